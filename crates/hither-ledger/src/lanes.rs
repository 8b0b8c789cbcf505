//! Pieces of a ledger, looked at by several threads and taken in their order.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::check::{Batch, Rules, check};
use crate::damage::VerifyError;
use crate::feed::{Feed, Piece};

/// Below this a thread costs more than it saves.
const BYTES_MIN: u64 = 4 * 1024 * 1024;

/// More threads than this wait for the one that reads and makes the tree.
const LANES_MAX: usize = 8;

/// Pieces that wait or are done in each lane: one in work, and one more so that nobody waits. It bounds the memory.
const PIECES_A_LANE: usize = 2;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Go,
    Stop,
}

struct Lane {
    pieces: SyncSender<Piece>,
    batches: Receiver<Batch>,
}

/// Has every piece looked at, and gives what they hold in their order. What cannot be read comes after all before it.
pub(crate) fn each(
    mut feed: Feed,
    rules: &Rules,
    mut take: impl FnMut(Batch) -> Result<Next, VerifyError>,
) -> Result<(), VerifyError> {
    let lanes = std::thread::available_parallelism().map_or(1, usize::from).min(LANES_MAX);
    if lanes == 1 || feed.bytes() < BYTES_MIN {
        while let Some(piece) = feed.next()? {
            if take(check(&piece, rules))? == Next::Stop {
                break;
            }
        }
        return Ok(());
    }
    std::thread::scope(|scope| {
        let lane = |_| {
            let (pieces, work) = sync_channel::<Piece>(PIECES_A_LANE);
            let (done, batches) = sync_channel(PIECES_A_LANE);
            scope.spawn(move || work.iter().all(|piece| done.send(check(&piece, rules)).is_ok()));
            Lane { pieces, batches }
        };
        let lanes: Vec<Lane> = (0..lanes).map(lane).collect();
        take_turns(&mut feed, &lanes, &mut take)
    })
}

/// Each lane gets a piece in its turn, and what it made of it is taken in the same turn.
fn take_turns(
    feed: &mut Feed,
    lanes: &[Lane],
    take: &mut impl FnMut(Batch) -> Result<Next, VerifyError>,
) -> Result<(), VerifyError> {
    let (mut sent, mut taken, mut end) = (0, 0, None);
    loop {
        while end.is_none() && sent - taken < lanes.len() * PIECES_A_LANE {
            match feed.next() {
                Ok(Some(piece)) => {
                    if lanes[sent % lanes.len()].pieces.send(piece).is_err() {
                        // A lane that is gone has panicked, and the scope says so when it ends.
                        return Ok(());
                    }
                    sent += 1;
                }
                Ok(None) => end = Some(Ok(())),
                Err(error) => end = Some(Err(error)),
            }
        }
        if taken == sent {
            return end.unwrap_or(Ok(()));
        }
        let Ok(batch) = lanes[taken % lanes.len()].batches.recv() else { return Ok(()) };
        taken += 1;
        if take(batch)? == Next::Stop {
            return Ok(());
        }
    }
}
