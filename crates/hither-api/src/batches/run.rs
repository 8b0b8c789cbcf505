//! Works at the batches of the node, one after the other, until the node stops.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::warn;

use super::{BatchId, Desk, Moved, turn};
use crate::door::Door;
use crate::limits::{BATCH_AGAIN, BATCH_LOOK};
use crate::serve::stopped;

/// Works at the batches of the node behind a door until `stop` says true. A turn that has begun is ended.
pub async fn run_batches(door: Arc<dyn Door>, mut stop: watch::Receiver<bool>) {
    // Without a store there is nothing to work at; whoever hands a batch in is told why.
    let Ok(store) = door.batches() else { return };
    let mut changed = store.changed();
    let mut desks: BTreeMap<BatchId, Desk> = BTreeMap::new();
    loop {
        changed.mark_unchanged();
        let (open, mut more, mut trouble) = (store.open(), false, false);
        desks.retain(|id, _| open.contains(id));
        for id in open {
            if *stop.borrow() {
                return;
            }
            let (store, mut desk) = (Arc::clone(&store), desks.remove(&id).unwrap_or_default());
            let worked = tokio::task::spawn_blocking(move || (turn(&*store, id, &mut desk), desk)).await;
            // The program is ending, or the work cannot be done: what is on the disk is begun anew with the next start.
            let Ok((moved, desk)) = worked else { return };
            match moved {
                Ok(Moved::Ended) => {}
                Ok(moved) => {
                    more |= moved == Moved::More;
                    desks.insert(id, desk);
                }
                Err(error) => {
                    // Whatever it had in memory is read again.
                    warn!(batch = %id, %error, "a batch cannot be worked at, and is tried again");
                    trouble = true;
                }
            }
        }
        if trouble {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(BATCH_AGAIN) => {}
            }
        } else if !more {
            tokio::select! {
                () = stopped(&mut stop) => return,
                told = changed.changed() => if told.is_err() { return },
                // A deadline may have passed.
                () = tokio::time::sleep(BATCH_LOOK) => {}
            }
        }
    }
}
