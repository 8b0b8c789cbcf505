//! Records that are older than the law wants them kept are deleted: when the node starts, and each day.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use hither_ledger::{Expired, Ledger, Plan, plan};
use hither_types::id::Digest;
use hither_types::place::Jurisdiction;
use hither_types::time::Day;

use super::Queue;
use crate::apps::Apps;
use crate::limits::RETENTION_LOOK;
use crate::trust::wall_now;

/// Who looks for what is old.
pub(crate) struct Keeper {
    pub(super) queue: Arc<Queue>,
    pub(super) dir: PathBuf,
    pub(super) here: Jurisdiction,
    pub(super) apps: Arc<Apps>,
}

impl Keeper {
    /// Looks for as long as the node runs. Reading old segments takes a while, so it happens beside the thread of the
    /// ledger, which gets what it is to delete.
    pub(crate) async fn watch(self) {
        let keeper = Arc::new(self);
        let mut is_first = true;
        loop {
            let looking = Arc::clone(&keeper);
            if let Err(error) = tokio::task::spawn_blocking(move || looking.look(is_first)).await {
                tracing::warn!(%error, "old records were not looked for");
            }
            is_first = false;
            tokio::time::sleep(RETENTION_LOOK).await;
        }
    }

    fn look(&self, is_first: bool) {
        let Some((retention, policy)) = self.queue.law().clone() else { return };
        // Records stay as long as the longest period of an origin among them, and keys as long as any may stay.
        let oldest = Day(wall_now().day().0.saturating_sub(retention.longest().0));
        self.apps.expire_references(oldest, policy, is_first);
        let (closing, closed) = channel();
        let mut waiting = self.queue.lock();
        if waiting.ended {
            return;
        }
        waiting.closing = Some(closing);
        drop(waiting);
        self.queue.changed.notify_one();
        // The thread of the ledger drops the other end unheard if it ends before.
        if closed.recv().is_err() {
            return;
        }
        let Plan { expired, kept, .. } = match plan(&self.dir, &retention, self.here, wall_now()) {
            Ok(plan) => plan,
            Err(error) => {
                tracing::warn!(%error, "old records cannot be looked for; none is deleted");
                return;
            }
        };
        // A machine whose clock is years ahead when it starts is set right soon after; what was deleted would be gone.
        if is_first && kept == 0 && !expired.is_empty() {
            tracing::warn!(
                segments = expired.len(),
                "all records of earlier days are older than [retention] wants: if the clock is right they are deleted in a day, or \
                 now by hither ledger prune while the node does not run"
            );
            return;
        }
        let mut waiting = self.queue.lock();
        // What was not deleted since yesterday is found again.
        waiting.expired = expired.into_iter().map(|expired| (expired, policy)).collect();
        drop(waiting);
        self.queue.changed.notify_one();
    }
}

/// Closes the segment of an earlier day, and tells who waits for that.
pub(super) fn end_day(ledger: &mut Ledger, closing: &Sender<()>) {
    if let Err(error) = ledger.end_day(wall_now()) {
        tracing::warn!(%error, "the records of an earlier day cannot be closed yet");
    }
    // Who has gone does not wait.
    let _ = closing.send(());
}

/// Deletes one segment. The record of it is in the ledger; what fails is found again the next day.
pub(super) fn delete(ledger: &mut Ledger, expired: &Expired, policy: Digest, start: Instant) {
    let Expired { first, count, days, to, .. } = expired;
    let mono_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match ledger.delete(expired, policy, wall_now(), mono_ms) {
        Ok(()) => tracing::info!(first, count, days = days.0, until = %to, %policy, "records deleted by retention"),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, ?cause, "old records are not deleted yet");
        }
    }
}
