//! One conversation: what it has read, what it has said, and when it ends. Knows nothing of the library.

use std::time::{Duration, Instant};

use hither_engine::engine::{JobId, Output};
use hither_engine::text::{Added, Assembler};
use hither_engine::work::{FinishReason, GenerateWork, Piece};
use hither_types::request::Cost;
use hither_types::unit::Micros;

use crate::sampler::Sampler;

/// A conversation that runs or is about to.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) job: JobId,
    /// Prompt and tokens delivered before, then the last token produced: what the model reads.
    pub(crate) tokens: Vec<i32>,
    /// How many of them it has read.
    pub(crate) read: usize,
    pub(crate) sampler: Sampler,
    /// Tokens of the answer so far, across attempts.
    pub(crate) said: u32,
    pub(crate) ignore_eos: bool,
    limit: u32,
    assembler: Assembler,
    prompt_tokens: u32,
    resumed: u32,
    queued: Duration,
    started: Instant,
    first_said: Option<Instant>,
}

/// What is needed to begin.
pub(crate) struct Beginning {
    pub(crate) job: JobId,
    pub(crate) work: GenerateWork,
    pub(crate) prompt: Vec<i32>,
    pub(crate) resume: Vec<u32>,
    pub(crate) context_tokens: u32,
    pub(crate) since: Instant,
}

impl Sequence {
    /// Replays the tokens delivered before. The reason is there if nothing is left to say.
    pub(crate) fn new(beginning: Beginning, bytes: impl Fn(i32) -> Vec<u8>) -> (Self, Option<FinishReason>) {
        let Beginning { job, work, prompt, resume, context_tokens, since } = beginning;
        let mut assembler = Assembler::new(&work.stop);
        let mut stopped = false;
        for id in &resume {
            stopped |= matches!(assembler.push(&bytes(*id as i32)), Added::Stopped(_));
        }
        let prompt_tokens = prompt.len() as u32;
        let said = resume.len() as u32;
        let room = context_tokens.saturating_sub(prompt_tokens);
        let limit = work.max_tokens.unwrap_or(room).min(room);
        let now = Instant::now();
        let mut tokens = prompt;
        tokens.extend(resume.iter().map(|id| *id as i32));
        let GenerateWork { temperature, top_p, top_k, seed, ignore_eos, .. } = work;
        let sequence = Self {
            job,
            tokens,
            read: 0,
            sampler: Sampler { temperature, top_p, top_k, seed },
            said,
            ignore_eos,
            limit,
            assembler,
            prompt_tokens,
            resumed: said,
            queued: now - since,
            started: now,
            first_said: None,
        };
        let end = match (stopped, said >= limit) {
            (true, _) => Some(FinishReason::Stop),
            (false, true) => Some(FinishReason::Length),
            (false, false) => None,
        };
        (sequence, end)
    }

    /// Whether only its last token is unread: it is producing.
    pub(crate) fn is_decoding(&self) -> bool {
        self.first_said.is_some()
    }

    /// Takes the next token of the answer. Returns why it ends, if it does.
    pub(crate) fn say(&mut self, id: i32, bytes: &[u8], out: &mut dyn FnMut(JobId, Output)) -> Option<FinishReason> {
        self.first_said.get_or_insert_with(Instant::now);
        let first = self.said;
        self.said += 1;
        self.tokens.push(id);
        let (text, stopped) = match self.assembler.push(bytes) {
            Added::Text(text) => (text, false),
            Added::Stopped(text) => (text, true),
        };
        out(self.job, Output::Piece(Piece::Tokens { first, ids: vec![id as u32], text }));
        match (stopped, self.said >= self.limit) {
            (true, _) => Some(FinishReason::Stop),
            (false, true) => Some(FinishReason::Length),
            (false, false) => None,
        }
    }

    /// The end, with what was held back and what it took.
    pub(crate) fn finish(mut self, reason: FinishReason, out: &mut dyn FnMut(JobId, Output)) {
        let now = Instant::now();
        let text = self.assembler.finish();
        out(self.job, Output::Piece(Piece::End { reason, text }));
        let first_said = self.first_said.unwrap_or(now);
        let cost = Cost {
            queued: micros(self.queued),
            prefill: micros(first_said - self.started),
            decode: micros(now - first_said),
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.said - self.resumed,
            ..Cost::default()
        };
        out(self.job, Output::Done(cost));
    }
}

fn micros(span: Duration) -> Micros {
    Micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}
