//! Critical work and the watts of other work: it does not wait long for those of a chat, and does not throw away what is
//! about to end anyway.

use hither_types::id::Digest;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::machine::Core;
use crate::router::patience;
use crate::scheduler::{Job, Waiting};
use crate::timers::Timer;

#[cfg(test)]
mod tests;

impl Core {
    /// Stops work of a lower priority for critical work that waits for nothing but power, if that would wait too long;
    /// `false` if nothing has to stop now.
    pub(crate) fn frees_watts(&mut self) -> bool {
        if mutant!(CriticalWaitsForWatts) {
            return false;
        }
        let Some(waiting) = self.scheduler.starved_critical() else { return false };
        let most = self.deadline_of(waiting).map_or(Micros(0), |deadline| patience(waiting.not_before.until(deadline)));
        let until = waiting.not_before.after(most);
        if self.now < until && self.has_watts_within(waiting.digest, most) {
            self.timers.set(Timer::Urgent, until);
            return false;
        }
        let Some((task, job)) = self.scheduler.makes_way() else { return false };
        // What has to stop looks for a place at once, and must not find the one that it has just left.
        self.scheduler.keep(waiting.digest);
        match job {
            Job::Own(request) => self.preempt_own(request),
            Job::Peer(_) => self.preempt_hosted(task),
        }
        self.scheduler.unkeep(waiting.digest);
        true
    }

    /// Whether other work is expected to end, and to give its watts back, in so short a time.
    pub(crate) fn has_watts_within(&self, digest: Digest, most: Micros) -> bool {
        self.scheduler.next_watts(digest).is_some_and(|wait| wait <= most)
    }

    fn deadline_of(&self, waiting: Waiting) -> Option<Timestamp> {
        match waiting.job {
            Job::Own(id) => self.requests.get(&id).map(|request| request.deadline),
            Job::Peer(task) => self.hosted_deadline(task),
        }
    }
}
