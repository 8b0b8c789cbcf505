//! Models whose entry in the catalog ends: from that moment on a node neither loads nor runs them, and neither fetches nor
//! hands on their files, until a newer entry says otherwise.
//!
//! Entries end on a day, and the mind has no wall clock: the driver tells it the time of day, at the start and every few
//! seconds, since clocks are set. In between the mind counts on. What ends has ended as long as nobody told it.

use hither_types::fact::Outcome;
use hither_types::id::{Digest, RequestId, Task};
use hither_types::refusal::Refusal;
use hither_types::request::RequestKind;
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::Micros;

use crate::catalog::Stage;
use crate::event::Action;
use crate::limits;
use crate::machine::Core;
use crate::request::Leave;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

/// The time of day, as it was told last.
#[derive(Debug, Default)]
pub(crate) struct Calendar(Option<(WallTime, Timestamp)>);

impl Calendar {
    /// When a moment of the day comes, on the clock of the mind; `None` if it has come, or nobody told what time it is.
    fn comes(&self, moment: WallTime, now: Timestamp) -> Option<Timestamp> {
        let (wall, at) = self.0?;
        let left = Micros(moment.0.saturating_sub(wall.0).saturating_mul(1_000));
        Some(at.after(left)).filter(|comes| *comes > now)
    }

    /// What time of day it is, in milliseconds since 1970.
    pub(crate) fn wall(&self, now: Timestamp) -> Option<u64> {
        self.0.map(|(wall, at)| wall.0.saturating_add(now.since(at).0 / 1_000))
    }

    /// Days since 1970, UTC; `None` if nobody told what time it is.
    pub(crate) fn day(&self, now: Timestamp) -> Option<u64> {
        self.wall(now).map(|wall| wall / DAY_MS)
    }

    /// How long it is until the next day begins, UTC.
    pub(crate) fn until_midnight(&self, now: Timestamp) -> Micros {
        Micros::from_millis(DAY_MS - self.wall(now).unwrap_or(0) % DAY_MS)
    }
}

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

impl Core {
    /// The driver says what time of day it is.
    pub(crate) fn day_told(&mut self, wall: WallTime) {
        self.calendar = Calendar(Some((wall, self.now)));
        self.turn_the_day();
        self.assure_all();
        let ends = self.catalog.manifests().filter(|manifest| manifest.expires.is_some());
        let ends: Vec<Digest> = ends.map(|manifest| manifest.digest).collect();
        ends.into_iter().for_each(|digest| self.look_at_end(digest));
    }

    /// Looks whether a model's entry has ended, and comes back when it does.
    pub(crate) fn look_at_end(&mut self, digest: Digest) {
        self.timers.clear(Timer::Expire(digest));
        let Some(manifest) = self.catalog.manifest(digest) else { return };
        let ended = match manifest.expires.map(|end| self.calendar.comes(end, self.now)) {
            Some(None) => true,
            Some(Some(comes)) => {
                self.timers.set(Timer::Expire(digest), comes.min(self.now.after(limits::EXPIRY_LOOK)));
                false
            }
            None => false,
        };
        if self.catalog.set_expired(digest, ended) {
            match ended {
                true => self.expire(digest),
                false => self.revive(digest),
            }
        }
    }

    /// What a client is told of a model whose entry has ended; `None` if it may be used.
    pub(crate) fn expired(&self, digest: Digest) -> Option<Refusal> {
        let manifest = self.catalog.manifest(digest).filter(|_| self.catalog.has_expired(digest))?;
        Some(Refusal::ModelExpired { model: manifest.name.clone(), ended: manifest.expires? })
    }

    /// The moment has come: what is done with the model ends.
    fn expire(&mut self, digest: Digest) {
        let own = self.requests.iter().filter(|(_, request)| request.digest == Some(digest));
        let own: Vec<RequestId> = own.map(|(id, _)| *id).collect();
        own.into_iter().for_each(|id| self.leave_expired(id));
        let name = self.catalog.manifest(digest).map(|manifest| manifest.name.clone());
        for task in self.hosted_on(digest) {
            // A program of the release before knows no better word for it.
            let refusal = name.clone().map_or(Refusal::NoCapacity { tried: 0 }, Refusal::UnknownModel);
            self.decline_running(task, refusal);
        }
        match self.catalog.stage(digest) {
            Stage::Loading | Stage::Ready => {
                self.close_expired(digest);
                self.engine_gone(digest);
            }
            Stage::Wanted => self.fetch(digest),
            // What comes still is kept, and not loaded.
            Stage::Fetching | Stage::Absent | Stage::Stored | Stage::Quarantined | Stage::Cold | Stage::Refuted => {}
        }
    }

    /// Closes the engine of a model that must not be used; its file stays.
    pub(crate) fn close_expired(&mut self, digest: Digest) {
        self.memory.close(digest);
        self.catalog.local_mut(digest).stage = Stage::Cold;
        let left: Vec<Task> = self.scheduler.lost(digest);
        left.into_iter().for_each(|task| self.act(Action::StopRun(task)));
        self.close(digest);
    }

    /// A request leaves a model whose entry has ended: another version may answer it, or what it asked for before a smaller one
    /// stood in. A stream that has begun stays with its weights, and ends.
    fn leave_expired(&mut self, id: RequestId) {
        self.drop_hedge(id, None, Leave::Stop(Outcome::Refused));
        self.leave(id, Leave::Stop(Outcome::Refused));
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.envelope.kind != RequestKind::Generate || request.attempts == 0 {
            (request.digest, request.instead) = (None, None);
            request.tried.clear();
            (request.losses_here, request.paid) = (0, true);
        }
        self.place(id);
    }

    /// A newer entry, or a clock that was set, lets a model be used again.
    fn revive(&mut self, digest: Digest) {
        if self.catalog.stage(digest) == Stage::Cold {
            self.catalog.local_mut(digest).stage = Stage::Stored;
            self.reload(digest);
        }
    }
}
