//! One conversation: what it has read, what it has said, and when it ends. Knows nothing of the library.

use std::time::{Duration, Instant};

use hither_engine::engine::{JobFault, JobId, Output};
use hither_engine::text::{Added, Assembler};
use hither_engine::work::{Account, CacheScope, Chance, Chances, FinishReason, GenerateWork, Piece};
use hither_types::refusal::InputFault;
use hither_types::request::Cost;
use hither_types::unit::Micros;

use crate::constraint::Constraint;
use crate::limits::BLOCK;
use crate::penalties::Penalties;
use crate::sampler::{Sampler, log_chances};
use crate::tools::Reader;

/// A conversation that runs or is about to.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) job: JobId,
    /// Prompt and tokens delivered before, then the last token produced: what the model reads.
    pub(crate) tokens: Vec<i32>,
    /// How many of them it has read.
    pub(crate) read: usize,
    /// Who may take from what was read.
    pub(crate) scope: Option<CacheScope>,
    pub(crate) account: Account,
    sampler: Sampler,
    penalties: Option<Penalties>,
    constraint: Option<Constraint>,
    /// How many of the likeliest are told of, if any.
    chances: Option<u8>,
    /// Tokens of the answer so far, across attempts.
    said: u32,
    ignore_eos: bool,
    limit: u32,
    assembler: Assembler,
    reader: Option<Reader>,
    has_called: bool,
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
    pub(crate) dropped_tokens: u32,
    pub(crate) constraint: Option<Constraint>,
    /// Takes calls out of the text, if tools may be called.
    pub(crate) reader: Option<Reader>,
    pub(crate) context_tokens: u32,
    pub(crate) since: Instant,
}

/// What the vocabulary says of a token.
pub(crate) struct Spoken {
    pub(crate) bytes: Vec<u8>,
    /// Whether it ends an answer.
    pub(crate) is_end: bool,
}

impl Sequence {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let Beginning { job, work, prompt, dropped_tokens, constraint, reader, context_tokens, since } = beginning;
        let prompt_tokens = prompt.len() as u32;
        let room = context_tokens.saturating_sub(prompt_tokens);
        let now = Instant::now();
        let penalties = Penalties::new(&work, &prompt);
        let GenerateWork { temperature, top_p, top_k, min_p, seed, ignore_eos, chances, cache, .. } = work;
        Self {
            job,
            tokens: prompt,
            read: 0,
            scope: cache,
            account: Account { cached_tokens: 0, dropped_tokens },
            sampler: Sampler { temperature, top_p, top_k, min_p, seed },
            penalties,
            constraint,
            chances,
            said: 0,
            // A form is complete when it says so.
            ignore_eos,
            limit: work.max_tokens.unwrap_or(room).min(room),
            assembler: Assembler::new(&work.stop),
            reader,
            has_called: false,
            prompt_tokens,
            resumed: 0,
            queued: now - since,
            started: now,
            first_said: None,
        }
    }

    /// Says the tokens delivered before again, to nobody. The reason is there if nothing is left to say.
    pub(crate) fn replay(
        &mut self,
        resume: &[u32],
        spoken: impl Fn(u32) -> Spoken,
    ) -> Result<Option<FinishReason>, InputFault> {
        let mut end = (self.limit == 0).then_some(FinishReason::Length);
        for id in resume {
            let said = self.say(*id, &spoken(*id).bytes, None, &mut |_, _| {});
            let said =
                said.map_err(|_| InputFault::Other("the answer so far does not keep to its format".to_owned()))?;
            end = end.or(said);
        }
        self.resumed = self.said;
        self.first_said = None;
        Ok(end)
    }

    /// Whether only its last token is unread: it is producing.
    pub(crate) fn is_decoding(&self) -> bool {
        self.first_said.is_some()
    }

    /// Whether a whole block of its prompt comes next.
    pub(crate) fn has_block(&self) -> bool {
        self.read.is_multiple_of(BLOCK) && self.read + BLOCK <= self.prompt_tokens as usize
    }

    /// Tokens that come next in small steps.
    pub(crate) fn small(&self) -> usize {
        let until = if self.has_block() { self.read } else { self.tokens.len() };
        until - self.read
    }

    /// How much to take of what a slot holds of its beginning: whole blocks if another one follows, which is then read
    /// as one, as it would be without the slot.
    pub(crate) fn taken(&self, common: usize) -> usize {
        let blocks = common - common % BLOCK;
        if blocks + BLOCK <= self.prompt_tokens as usize { blocks } else { common }
    }

    /// Whether calls may be among what it says.
    pub(crate) fn has_tools(&self) -> bool {
        self.reader.is_some()
    }

    /// Draws the next token and says it. Returns why the answer ends, if it does.
    pub(crate) fn go_on(
        &mut self,
        logits: &[f32],
        spoken: impl Fn(u32) -> Spoken,
        out: &mut dyn FnMut(JobId, Output),
    ) -> Result<Option<FinishReason>, JobFault> {
        let moved = match (&self.penalties, &mut self.constraint) {
            (None, None) => None,
            (penalties, constraint) => {
                let mut moved = logits.to_vec();
                if let Some(penalties) = penalties {
                    penalties.apply(&mut moved);
                }
                if let Some(constraint) = constraint {
                    constraint.mask(&mut moved).map_err(lost_form)?;
                }
                Some(moved)
            }
        };
        let drawn = self.sampler.draw(moved.as_deref().unwrap_or(logits), self.said);
        let id = drawn.ok_or_else(|| JobFault::Engine("the model gave no numbers that can be compared".to_owned()))?;
        let Spoken { bytes, is_end } = spoken(id);
        if is_end && (!self.ignore_eos || self.constraint.is_some()) {
            return Ok(Some(FinishReason::Stop));
        }
        let chances = self.chances.map(|count| {
            let (log, likeliest) = log_chances(logits, id, usize::from(count));
            let chance = |(id, log): (u32, f32)| Chance { id, log, bytes: spoken(id).bytes };
            Chances { said: chance((id, log)), likeliest: likeliest.into_iter().map(chance).collect() }
        });
        self.say(id, &bytes, chances, out)
    }

    /// Takes the next token of the answer. Returns why it ends, if it does.
    fn say(
        &mut self,
        id: u32,
        bytes: &[u8],
        chances: Option<Chances>,
        out: &mut dyn FnMut(JobId, Output),
    ) -> Result<Option<FinishReason>, JobFault> {
        self.first_said.get_or_insert_with(Instant::now);
        let first = self.said;
        self.said += 1;
        self.tokens.push(id.cast_signed());
        if let Some(penalties) = &mut self.penalties {
            penalties.say(id);
        }
        let mut is_complete = false;
        if let Some(constraint) = &mut self.constraint {
            constraint.take(id).map_err(lost_form)?;
            is_complete = constraint.is_complete();
        }
        let (text, stopped) = match self.assembler.push(bytes) {
            Added::Text(text) => (text, false),
            Added::Stopped(text) => (text, true),
        };
        let (text, calls) = match &mut self.reader {
            Some(reader) => reader.push(&text),
            None => (text, Vec::new()),
        };
        self.has_called |= !calls.is_empty();
        let chances = chances.into_iter().collect();
        out(self.job, Output::Piece(Piece::Tokens { first, ids: vec![id], text, chances, calls }));
        Ok(if stopped || is_complete {
            Some(FinishReason::Stop)
        } else if self.said >= self.limit {
            Some(FinishReason::Length)
        } else {
            None
        })
    }

    /// The end, with what was held back and what it took.
    pub(crate) fn finish(mut self, reason: FinishReason, out: &mut dyn FnMut(JobId, Output)) {
        let now = Instant::now();
        let mut text = self.assembler.finish();
        let mut calls = Vec::new();
        if let Some(mut reader) = self.reader.take() {
            let (said, more) = reader.push(&text);
            let (rest, last) = reader.finish();
            text = said + &rest;
            calls = more;
            calls.extend(last);
        }
        let reason = match reason {
            FinishReason::Stop if self.has_called || !calls.is_empty() => FinishReason::ToolCalls,
            reason => reason,
        };
        out(self.job, Output::Piece(Piece::End { reason, text, calls, account: self.account }));
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

fn lost_form(reason: String) -> JobFault {
    JobFault::Input(InputFault::Other(format!("the format cannot be kept to any further: {reason}")))
}

pub(crate) fn micros(span: Duration) -> Micros {
    Micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}
