//! What an answer takes of its app's tokens: charged when it is known, or when the client leaves before.

use std::sync::Arc;

use hither_engine::work::{Piece, Work};

use crate::callers::Admission;
use crate::door::Summary;

/// Bytes of a prompt that are taken for a token when nobody counted: English has about four.
const BYTES_PER_TOKEN: u64 = 4;

/// One answer's account. It is settled once, at the latest when it is dropped.
pub(super) struct Tally {
    admission: Arc<Admission>,
    /// Tokens that came so far.
    delivered: u64,
    /// The prompt by its length: what is charged of it if the answer is cut off once it was read.
    prompt_guess: u64,
    settled: bool,
}

impl Tally {
    /// For work that was let in.
    pub(super) fn new(admission: Arc<Admission>, work: &Work, payload_bytes: usize) -> Self {
        let prompt_guess = match work {
            Work::Generate(_) => payload_bytes as u64 / BYTES_PER_TOKEN,
            Work::Embed(_) | Work::Infer(_) | Work::Train(_) => 0,
        };
        Self { admission, delivered: 0, prompt_guess, settled: false }
    }

    /// A part of the answer came: how many tokens it has.
    pub(super) fn piece(&mut self, piece: &Piece) -> usize {
        let tokens = match piece {
            Piece::Tokens { ids, .. } => ids.len(),
            Piece::Outputs(_) | Piece::End { .. } => 0,
        };
        self.delivered += tokens as u64;
        tokens
    }

    /// The answer is whole.
    pub(super) fn done(&mut self, summary: &Summary) {
        self.settle(u64::from(summary.cost.prompt_tokens));
    }

    fn settle(&mut self, prompt: u64) {
        if !self.settled {
            self.settled = true;
            self.admission.caller().charge(prompt + self.delivered);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // A client that leaves just before the end would have the prompt for nothing.
        let prompt = if self.delivered > 0 { self.prompt_guess } else { 0 };
        self.settle(prompt);
    }
}
