//! The ledger's hand: one thread that writes facts in groups and tells the loop when they are on disk.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use hither_core::Event;
use hither_ledger::{Entry, Ledger};
use hither_types::fact::Fact;
use hither_types::id::Ticket;
use tokio::sync::mpsc;

use crate::driver::Inbound;
use crate::limits::{RECORDS_BATCH_MAX, RECORDS_DELAY, RECORDS_MAX};
use crate::trust::wall_now;

/// A fact on its way to the disk.
struct Pending {
    ticket: Option<Ticket>,
    entry: Entry,
}

/// The way to the ledger.
pub(crate) struct Records {
    queue: Option<SyncSender<Pending>>,
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
                let (queue, facts) = sync_channel(RECORDS_MAX);
                let thread =
                    std::thread::Builder::new().name("ledger".into()).spawn(move || write(ledger, &facts, &inbox)).ok();
                let trouble = thread.is_none().then(|| "the thread of the ledger cannot be started".to_owned());
                (Self { queue: Some(queue), thread, start }, trouble)
            }
            Err(error) => (Self { queue: None, thread: None, start }, Some(error.to_string())),
        }
    }

    /// Hands a fact in. `false`: it will not be written, and who waits must be told.
    #[must_use]
    pub(crate) fn record(&self, ticket: Option<Ticket>, fact: Fact) -> bool {
        let entry = Entry { fact, wall: wall_now(), mono_ms: self.start.elapsed().as_millis() as u64 };
        let Some(queue) = &self.queue else { return false };
        match queue.try_send(Pending { ticket, entry }) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Writes what is pending and ends the thread.
    pub(crate) fn stop(mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // The thread ends once the queue is empty; a panic in it was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn write(mut ledger: Ledger, facts: &Receiver<Pending>, inbox: &mpsc::Sender<Inbound>) {
    while let Ok(first) = facts.recv() {
        let group = gather(first, facts);
        let tickets: Vec<Ticket> = group.iter().filter_map(|pending| pending.ticket).collect();
        let entries: Vec<Entry> = group.into_iter().map(|pending| pending.entry).collect();
        let written = ledger.append(&entries);
        if let Err(error) = &written {
            tracing::error!(%error, facts = entries.len(), "the ledger cannot be written; nothing leaves this node");
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
}

/// A group: everything that is there, and, while nobody waits, what comes within a tenth of a second.
fn gather(first: Pending, facts: &Receiver<Pending>) -> Vec<Pending> {
    let until = Instant::now() + RECORDS_DELAY;
    let mut awaited = first.ticket.is_some();
    let mut group = vec![first];
    while group.len() < RECORDS_BATCH_MAX {
        let next = match awaited {
            true => facts.try_recv().map_err(|_| RecvTimeoutError::Timeout),
            false => facts.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        let Ok(next) = next else { break };
        awaited |= next.ticket.is_some();
        group.push(next);
    }
    group
}
