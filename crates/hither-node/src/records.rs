//! The ledger's hand: one thread that writes facts in groups and tells the loop when they are on disk.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use hither_core::Event;
use hither_ledger::{Entry, Expired, Kind, Ledger, OpenError};
use hither_types::fact::Fact;
use hither_types::id::{Digest, Ticket};
use hither_types::law::{Policy, Retention};
use hither_types::place::Jurisdiction;
use tokio::sync::{mpsc, oneshot};

use crate::apps::Apps;
use crate::driver::Inbound;
use crate::limits::{RECORDS_BATCH_MAX, RECORDS_DELAY, RECORDS_MAX};
use crate::trust::wall_now;

mod firsts;
mod keeper;

pub(crate) use firsts::FIRSTS;
use firsts::Firsts;
pub(crate) use keeper::Keeper;

/// A fact on its way to the disk.
struct Pending {
    ticket: Option<Ticket>,
    /// Who waits until it is on the disk, and is no request. Dropped unheard: it is not.
    written: Option<oneshot::Sender<()>>,
    entry: Entry,
}

impl Pending {
    fn is_awaited(&self) -> bool {
        self.ticket.is_some() || self.written.is_some()
    }
}

/// Facts that wait, shared by the loop and the thread. The thread sleeps while nobody waits for a fact: to wake it for
/// each would cost every request of this node a switch of threads.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    firsts: Mutex<Firsts>,
    /// How long records are kept, by which policy.
    law: Mutex<Option<(Retention, Digest)>>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    facts: VecDeque<Pending>,
    /// What found no room among them, for the gap that says so.
    lost: BTreeMap<Kind, u64>,
    /// Segments whose time is over, by which policy: deleted one after the other, between groups.
    expired: VecDeque<(Expired, Digest)>,
    /// Who waits until the segment of an earlier day is closed.
    closing: Option<Sender<()>>,
    /// Whether somebody waits for one of them.
    awaited: bool,
    /// Whether no more will come, or none will be written any more.
    ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No step under this lock leaves the state half-changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn firsts(&self) -> MutexGuard<'_, Firsts> {
        self.firsts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn law(&self) -> MutexGuard<'_, Option<(Retention, Digest)>> {
        self.law.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }
}

/// Says so when the thread is gone, however it went.
struct Alive(Arc<Queue>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.end();
        // Nobody answers any more, and who waits hears that.
        self.0.lock().closing = None;
    }
}

/// What the thread does next.
struct Work {
    group: Vec<Pending>,
    lost: BTreeMap<Kind, u64>,
    expired: Option<(Expired, Digest)>,
    closing: Option<Sender<()>>,
}

/// The way to the ledger.
pub(crate) struct Records {
    queue: Option<Arc<Queue>>,
    thread: Option<JoinHandle<()>>,
    start: Instant,
}

impl Records {
    /// Opens the ledger and starts its thread. A damaged ledger is given back as text: the node runs, and nothing
    /// leaves it.
    pub(crate) fn start(
        dir: &Path,
        key: &[u8; 32],
        origin: &str,
        inbox: mpsc::Sender<Inbound>,
    ) -> (Self, Option<String>) {
        let start = Instant::now();
        match Ledger::open(dir, key, origin) {
            Ok(ledger) => {
                let queue = Arc::new(Queue { firsts: Mutex::new(Firsts::beside(dir)), ..Queue::default() });
                let alive = Alive(Arc::clone(&queue));
                let thread = std::thread::Builder::new()
                    .name("ledger".into())
                    .spawn(move || write(ledger, &alive.0, &inbox, start))
                    .ok();
                let trouble = thread.is_none().then(|| "the thread of the ledger cannot be started".to_owned());
                (Self { queue: Some(queue), thread, start }, trouble)
            }
            Err(error) => (Self { queue: None, thread: None, start }, Some(trouble(&error))),
        }
    }

    /// Who deletes what is older than the law wants, once the law is known. None if nothing can be written.
    pub(crate) fn keeper(&self, dir: &Path, here: Jurisdiction, apps: Arc<Apps>) -> Option<Keeper> {
        self.queue.as_ref().map(|queue| Keeper { queue: Arc::clone(queue), dir: dir.to_owned(), here, apps })
    }

    /// The law that is in force now says how long records are kept.
    pub(crate) fn live_by(&self, policy: &Policy) {
        if let Some(queue) = &self.queue {
            *queue.law() = Some((policy.retention.clone(), policy.digest));
        }
    }

    /// Puts on the record, before payload leaves for a country for the first time, that it does.
    pub(crate) fn note_transfer(&self, here: Jurisdiction, there: Jurisdiction) {
        let Some(queue) = &self.queue else { return };
        let (left, to) = (here.country(), there.country());
        if queue.firsts().begin(left, to) && !self.record(None, Fact::FirstTransfer { left, to }) {
            queue.firsts().forget(left, to);
        }
    }

    /// Hands a fact in. `false`: it will not be written, and who waits must be told.
    #[must_use]
    pub(crate) fn record(&self, ticket: Option<Ticket>, fact: Fact) -> bool {
        self.hand_in(ticket, None, fact)
    }

    /// Hands a fact in, for somebody who waits until it is on the disk. The other end closes if it is not written.
    pub(crate) fn record_and_tell(&self, fact: Fact) -> oneshot::Receiver<()> {
        let (written, told) = oneshot::channel();
        // Where it is not taken, the other end is dropped, and that says it.
        let _ = self.hand_in(None, Some(written), fact);
        told
    }

    fn hand_in(&self, ticket: Option<Ticket>, written: Option<oneshot::Sender<()>>, fact: Fact) -> bool {
        let entry = Entry { fact, wall: wall_now(), mono_ms: self.start.elapsed().as_millis() as u64 };
        let Some(queue) = &self.queue else { return false };
        let mut waiting = queue.lock();
        if waiting.ended || waiting.facts.len() >= RECORDS_MAX {
            *waiting.lost.entry(Kind::from(&entry.fact)).or_default() += 1;
            return false;
        }
        let pending = Pending { ticket, written, entry };
        let is_awaited = pending.is_awaited();
        waiting.awaited |= is_awaited;
        waiting.facts.push_back(pending);
        let count = waiting.facts.len();
        let wanted = is_awaited || count == 1 || count == RECORDS_BATCH_MAX;
        drop(waiting);
        if wanted {
            queue.changed.notify_one();
        }
        true
    }

    /// Writes what is pending and ends the thread.
    pub(crate) fn stop(mut self) {
        if let Some(queue) = self.queue.take() {
            queue.end();
        }
        if let Some(thread) = self.thread.take() {
            // The thread ends once the queue is empty; a panic in it was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn write(mut ledger: Ledger, queue: &Queue, inbox: &mpsc::Sender<Inbound>, start: Instant) {
    while let Some(Work { mut group, lost, expired, closing }) = gather(queue) {
        if let Some(closing) = closing {
            keeper::end_day(&mut ledger, &closing);
        }
        if let Some((expired, policy)) = expired {
            keeper::delete(&mut ledger, &expired, policy, start);
        }
        lost.into_iter().for_each(|(kind, count)| ledger.lost(kind, count));
        let tickets: Vec<Ticket> = group.iter().filter_map(|pending| pending.ticket).collect();
        let told: Vec<_> = group.iter_mut().filter_map(|pending| pending.written.take()).collect();
        let entries: Vec<Entry> = group.into_iter().map(|pending| pending.entry).collect();
        let written = ledger.append(&entries);
        if written.is_ok() {
            // Who has gone does not wait.
            told.into_iter().for_each(|told| _ = told.send(()));
        }
        if let Err(error) = &written {
            tracing::error!(%error, facts = entries.len(), "the ledger cannot be written; nothing leaves this node");
        }
        let firsts = entries.iter().filter_map(|entry| match entry.fact {
            Fact::FirstTransfer { left, to } => Some((left, to)),
            _ => None,
        });
        for (left, to) in firsts {
            match written {
                Ok(_) => {
                    Firsts::keep(&queue.firsts, left, to);
                    let text = format!(
                        "first transfer of data from {left} to {to} by this node: some laws count a deadline from it (when: \
                         hither audit report LEDGER --transfers)"
                    );
                    if inbox.blocking_send(Inbound::Warn(text)).is_err() {
                        return;
                    }
                }
                Err(_) => queue.firsts().forget(left, to),
            }
        }
        for ticket in tickets {
            let event = match written {
                Ok(_) => Event::Recorded(ticket),
                Err(_) => Event::RecordFailed(ticket),
            };
            if inbox.blocking_send(Inbound::Event(event)).is_err() {
                return;
            }
        }
    }
    // What found no room and has no fact behind it: the next start says so.
    let lost = std::mem::take(&mut queue.lock().lost);
    lost.into_iter().for_each(|(kind, count)| ledger.lost(kind, count));
}

/// What is wrong, and what its operator can do. Not all of it is damage: a disk may be full, or not be there.
fn trouble(error: &OpenError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    match error {
        OpenError::Damaged { .. } | OpenError::OtherOwner { .. } => {
            format!("{error}{cause}; keep a copy, stop the node and type: hither ledger accept-loss")
        }
        _ => format!("{error}{cause}; the node finds it again when it is started"),
    }
}

/// A group, and what found no room: everything that is there, and, while nobody waits, what comes within a tenth of a
/// second; or, if there is nothing to write, a segment to delete. `None`: the end.
fn gather(queue: &Queue) -> Option<Work> {
    let mut waiting = queue.lock();
    if waiting.ended {
        // The next start finds what is old again; nobody waits for it now.
        waiting.expired.clear();
    }
    while waiting.facts.is_empty() && waiting.expired.is_empty() && waiting.closing.is_none() {
        if waiting.ended {
            return None;
        }
        waiting = queue.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
    }
    let until = Instant::now() + RECORDS_DELAY;
    while !waiting.awaited && !waiting.ended && (1..RECORDS_BATCH_MAX).contains(&waiting.facts.len()) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        waiting = queue.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    let count = waiting.facts.len().min(RECORDS_BATCH_MAX);
    let group: Vec<Pending> = waiting.facts.drain(..count).collect();
    waiting.awaited = waiting.facts.iter().any(Pending::is_awaited);
    // A group goes first: somebody may wait for it, and for a deletion nobody does.
    let expired = if group.is_empty() { waiting.expired.pop_front() } else { None };
    let closing = waiting.closing.take();
    Some(Work { group, lost: std::mem::take(&mut waiting.lost), expired, closing })
}
