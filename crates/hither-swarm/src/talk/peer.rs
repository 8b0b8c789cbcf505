//! One member, as small talk knows it: what waits for it, and whether a link is wanted.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hither_types::message::{PeerMessage, Signal};
use hither_types::version::Program;
use hither_wire::versions::{OLDEST, WITH_NEAR, WITH_POLICIES, WITH_ROLLOUTS, WITH_WITNESSES};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits;
use crate::links::Code;

/// A link that is up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Up {
    /// Grows from link to link.
    pub(super) number: u64,
    pub(super) since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) outbox: VecDeque<PeerMessage>,
    pub(super) signals: VecDeque<(Instant, Signal)>,
    /// Those that are up, in the order in which they came up.
    pub(super) links: Vec<Up>,
    /// The number of the next one.
    pub(super) next: u64,
    /// The driver wants a link.
    pub(super) standing: bool,
    /// When a signal went or came last, or the other end said that it wants the link.
    pub(super) used: Option<Instant>,
    pub(super) epoch: Option<u64>,
    /// A start that had to come again, and how often.
    pub(super) moved: Option<(u64, u32)>,
    pub(super) program: Option<Program>,
    /// The newest version of the protocol that its program speaks; zero before it said so.
    pub(super) speaks: u16,
    pub(super) round_trip_at: Option<Instant>,
    pub(super) expelled: bool,
}

/// One member, as small talk knows it.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(super) state: Mutex<State>,
    /// There is something in the outbox.
    pub(super) ready: Notify,
    /// There is a signal.
    pub(super) signalled: Notify,
    /// The keeper of the link should look again.
    pub(super) wake: Notify,
    /// The program at the other end was started anew.
    pub(super) restarted: Notify,
}

impl State {
    /// Whether a link is the newest: the others only listen. What is under way over an older one may be stuck there.
    fn is_newest(&self, link: u64) -> bool {
        self.links.last().is_some_and(|newest| newest.number == link)
    }

    /// Counts one more link, and gives its number, and whether what was said over others may not have arrived: both ends may
    /// have dialled at once, but one that comes much later takes the place of one that does not work.
    pub(super) fn comes_up(&mut self, now: Instant) -> (u64, bool) {
        let number = self.next;
        self.next += 1;
        let late = self.links.last().is_none_or(|up| now.duration_since(up.since) >= limits::LINK_HELD);
        self.links.push(Up { number, since: now });
        (number, late)
    }

    /// Takes a link off the books. Whether it was the one over which something was said.
    pub(super) fn goes_down(&mut self, link: u64) -> bool {
        let newest = self.is_newest(link);
        self.links.retain(|up| up.number != link);
        newest
    }
}

impl Peer {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, message: PeerMessage) {
        let message = match message {
            PeerMessage::Signal(signal) => return self.push_signal(signal),
            PeerMessage::Presence(_)
            | PeerMessage::Catalog(_)
            | PeerMessage::Members(_)
            | PeerMessage::Authority(_)
            | PeerMessage::Start(_)
            | PeerMessage::Pulse(_)
            | PeerMessage::Rumours(_)
            | PeerMessage::Rollouts(_)
            | PeerMessage::Witness(_)
            | PeerMessage::Policy(_)
            | PeerMessage::Near(_) => message,
        };
        let mut state = self.lock();
        if state.links.is_empty() || state.speaks.max(OLDEST) < least_version(&message) {
            return;
        }
        if matches!(message, PeerMessage::Presence(_)) {
            state.outbox.retain(|waiting| !matches!(waiting, PeerMessage::Presence(_)));
        }
        if state.outbox.len() >= limits::OUTBOX {
            state.outbox.pop_front();
        }
        state.outbox.push_back(message);
        drop(state);
        self.ready.notify_waiters();
    }

    pub(super) fn push_signal(&self, signal: Signal) {
        let mut state = self.lock();
        if state.signals.len() >= limits::SIGNALS {
            state.signals.pop_front();
        }
        let now = Instant::now();
        state.used = Some(now);
        state.signals.push_back((now, signal));
        let linked = !state.links.is_empty();
        drop(state);
        self.signalled.notify_waiters();
        if !linked {
            self.wake.notify_one();
        }
    }

    pub(super) fn put_back(&self, message: PeerMessage) {
        let mut state = self.lock();
        if state.outbox.len() < limits::OUTBOX {
            state.outbox.push_front(message);
        }
        drop(state);
        self.ready.notify_waiters();
    }

    /// Whether a later start of the program at the other end has shown itself: what is said to this one goes nowhere.
    pub(super) fn is_outlived(&self, epoch: u64) -> bool {
        self.lock().epoch != Some(epoch)
    }

    /// Whether a start that shows itself where new connections would not go has to come again, once all are closed: if it is
    /// another than that of which something was heard last. Not for ever: where two programs have one key, the connections of
    /// one lead new ones away from the other again and again, and neither would be heard.
    pub(super) fn comes_again(&self, epoch: u64) -> bool {
        let mut state = self.lock();
        if state.epoch.is_none_or(|known| known == epoch) {
            return false;
        }
        let before = state.moved.filter(|(moved, _)| *moved == epoch).map_or(0, |(_, times)| times);
        state.moved = Some((epoch, before + 1));
        before < limits::MOVED_MAX
    }

    /// The next message that shall go over a link.
    pub(super) fn next_message(&self, link: u64) -> Option<PeerMessage> {
        let mut state = self.lock();
        if state.is_newest(link) { state.outbox.pop_front() } else { None }
    }

    /// The next signal that shall go over a link, and that anybody waits for still.
    pub(super) fn next_signal(&self, link: u64) -> Option<Signal> {
        let mut state = self.lock();
        if !state.is_newest(link) {
            return None;
        }
        while let Some((at, signal)) = state.signals.pop_front() {
            if at.elapsed() <= limits::SIGNAL_LIFE {
                return Some(signal);
            }
        }
        None
    }

    /// Whether a link is wanted now.
    pub(super) fn is_wanted(&self) -> bool {
        let state = self.lock();
        let waits = state.signals.back().is_some_and(|(at, _)| at.elapsed() <= limits::SIGNAL_LIFE);
        state.standing || waits
    }

    /// Resolves when nobody has had a use for the link for a while.
    pub(super) async fn unused(&self) -> (Code, &'static str) {
        loop {
            let (standing, used) = {
                let state = self.lock();
                (state.standing, state.used)
            };
            let now = Instant::now();
            let until = used.map_or(now, |used| used + limits::UNUSED);
            if !standing && until <= now {
                return (Code::Done, "not used");
            }
            tokio::time::sleep_until(until.max(now + limits::UNUSED / 4)).await;
        }
    }
}

/// The first version of the protocol whose programs know a message: earlier ones would end the link over it.
fn least_version(message: &PeerMessage) -> u16 {
    match message {
        PeerMessage::Rollouts(_) => WITH_ROLLOUTS,
        PeerMessage::Witness(_) => WITH_WITNESSES,
        PeerMessage::Policy(_) => WITH_POLICIES,
        PeerMessage::Near(_) => WITH_NEAR,
        PeerMessage::Presence(_)
        | PeerMessage::Catalog(_)
        | PeerMessage::Members(_)
        | PeerMessage::Signal(_)
        | PeerMessage::Authority(_)
        | PeerMessage::Start(_)
        | PeerMessage::Pulse(_)
        | PeerMessage::Rumours(_) => OLDEST,
    }
}
