//! Which part of a file is asked of whom. No I/O and no clock: time comes in.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use hither_types::id::NodeId;
use tokio::time::Instant;

use crate::limits;

/// A part of a file, in bytes.
pub(crate) type Piece = Range<u64>;

/// The answer to "what next?".
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask for this.
    Piece(Piece),
    /// Everything is asked for; look again when something changes, or after this long.
    Wait(Duration),
    /// Everything is here.
    Complete,
}

#[derive(Debug)]
struct Flight {
    end: u64,
    since: Instant,
    askers: Vec<NodeId>,
}

/// The plan of one fetch.
#[derive(Debug)]
pub(crate) struct Plan {
    waiting: VecDeque<Piece>,
    flying: BTreeMap<u64, Flight>,
    missing: u64,
}

/// How a file of this size is cut: small enough that several providers have something to do, large enough to stream.
pub(crate) fn pieces(size: u64) -> impl Iterator<Item = Piece> {
    let step = if size >= 64 * limits::PIECE_MAX { limits::PIECE_MAX } else { limits::PIECE_MIN };
    cut(size, step)
}

/// A file of a size, cut into parts of so many bytes.
pub(crate) fn cut(size: u64, step: u64) -> impl Iterator<Item = Piece> {
    (0..size.div_ceil(step)).map(move |index| index * step..((index + 1) * step).min(size))
}

impl Plan {
    pub(crate) fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let waiting: VecDeque<Piece> = pieces.into_iter().collect();
        let missing = waiting.iter().map(|piece| piece.end - piece.start).sum();
        Self { waiting, flying: BTreeMap::new(), missing }
    }

    /// Bytes that are not here yet.
    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    /// What this provider should be asked next: something nobody was asked, else what a slow one has kept for long.
    pub(crate) fn next(&mut self, provider: NodeId, now: Instant) -> Next {
        if let Some(piece) = self.waiting.pop_front() {
            let flight = Flight { end: piece.end, since: now, askers: vec![provider] };
            self.flying.insert(piece.start, flight);
            return Next::Piece(piece);
        }
        if self.flying.is_empty() {
            return Next::Complete;
        }
        let stealable = self.flying.iter_mut().filter(|(_, flight)| flight.askers.as_slice() != [provider]);
        let oldest = stealable.filter(|(_, flight)| flight.askers.len() == 1).min_by_key(|(_, flight)| flight.since);
        match oldest {
            Some((start, flight)) if now.duration_since(flight.since) >= limits::PIECE_SLOW => {
                flight.askers.push(provider);
                Next::Piece(*start..flight.end)
            }
            Some((_, flight)) => Next::Wait(limits::PIECE_SLOW - now.duration_since(flight.since)),
            None => Next::Wait(limits::PIECE_STALL),
        }
    }

    /// A piece is here and verified. `false` if it was here already.
    pub(crate) fn arrived(&mut self, piece: &Piece) -> bool {
        let waited = self.waiting.iter().position(|waiting| waiting == piece);
        if let Some(index) = waited {
            self.waiting.remove(index);
        }
        let new = self.flying.remove(&piece.start).is_some() || waited.is_some();
        if new {
            self.missing -= piece.end - piece.start;
        }
        new
    }

    /// What a provider was asked for waits again, unless somebody else was asked too.
    pub(crate) fn release(&mut self, provider: NodeId) {
        let mut orphans = Vec::new();
        for (start, flight) in &mut self.flying {
            flight.askers.retain(|asker| *asker != provider);
            if flight.askers.is_empty() {
                orphans.push(*start..flight.end);
            }
        }
        for piece in orphans.into_iter().rev() {
            self.flying.remove(&piece.start);
            self.waiting.push_front(piece);
        }
    }
}

#[cfg(test)]
mod tests;
