//! The engine: conversations in slots, and one call of the library per step. Those that produce come first, one token
//! each; what is left of the step reads prompts.

use std::collections::VecDeque;
use std::time::Instant;

use hither_engine::engine::{Engine, JobFault, JobId, Loaded, Output};
use hither_engine::work::{FinishReason, GenerateWork, Prompt, Work};
use hither_types::model::ModelIo;
use hither_types::refusal::InputFault;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::limits::{PREFILL_ALONE, PREFILL_BESIDE_DECODE};
use crate::sequence::{Beginning, Sequence};
use crate::template::Template;

/// A GGUF model that is open.
pub struct LlamaEngine {
    model: &'static LlamaModel,
    context: LlamaContext<'static>,
    batch: LlamaBatch<'static>,
    template: Option<Template>,
    context_tokens: u32,
    /// The place in the list is the sequence's number in the library.
    slots: Vec<Option<Sequence>>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    job: JobId,
    work: Work,
    resume: Vec<u32>,
    since: Instant,
}

/// What a slot put into the batch.
struct Share {
    slot: usize,
    /// Tokens of it.
    count: usize,
    /// The place in the batch whose result is wanted: the last token of all that the slot has.
    result: Option<i32>,
}

impl LlamaEngine {
    pub(crate) fn new(
        model: &'static LlamaModel,
        context: LlamaContext<'static>,
        batch: LlamaBatch<'static>,
        template: Option<Template>,
        context_tokens: u32,
        slots: u16,
    ) -> Self {
        let slots = (0..slots).map(|_| None).collect();
        Self { model, context, batch, template, context_tokens, slots, waiting: VecDeque::new() }
    }

    /// What the node is told.
    pub fn loaded(&self) -> Loaded {
        Loaded {
            io: ModelIo::Language { context_tokens: self.context_tokens },
            slots: self.slots.len() as u16,
            engine: "cpu, llama.cpp".to_owned(),
        }
    }

    /// Fills free slots. Jobs that end before they begin are told so.
    fn start_waiting(&mut self, out: &mut dyn FnMut(JobId, Output)) {
        while let Some(slot) = self.slots.iter().position(Option::is_none) {
            let Some(waiting) = self.waiting.pop_front() else {
                return;
            };
            let job = waiting.job;
            match self.begin(waiting) {
                Ok((sequence, None)) => self.slots[slot] = Some(sequence),
                Ok((sequence, Some(reason))) => sequence.finish(reason, out),
                Err(fault) => out(job, Output::Failed(JobFault::Input(fault))),
            }
        }
    }

    fn begin(&self, waiting: Waiting) -> Result<(Sequence, Option<FinishReason>), InputFault> {
        let Waiting { job, work, resume, since } = waiting;
        let Work::Generate(work) = work else {
            return Err(InputFault::Other("the model takes a text, and tensors came".to_owned()));
        };
        let in_range = |value: f32| value.is_finite() && value >= 0.;
        if !in_range(work.temperature) || !in_range(work.top_p) {
            return Err(InputFault::Other("temperature and top_p are numbers from 0 up".to_owned()));
        }
        if let Some(id) = resume.iter().find(|id| i64::from(**id) >= i64::from(self.model.n_vocab())) {
            return Err(InputFault::Other(format!("the model has no token {id} to go on from")));
        }
        let prompt = self.read_prompt(&work)?;
        let prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
        if prompt_tokens >= self.context_tokens {
            return Err(InputFault::ContextOverflow { prompt_tokens, context_tokens: self.context_tokens });
        }
        let beginning = Beginning { job, work, prompt, resume, context_tokens: self.context_tokens, since };
        Ok(Sequence::new(beginning, |id| self.bytes(id)))
    }

    fn read_prompt(&self, work: &GenerateWork) -> Result<Vec<i32>, InputFault> {
        let rendered = match (&work.prompt, &self.template) {
            (Prompt::Text(text), _) => text.clone(),
            (Prompt::Chat(messages), Some(template)) => template.render(messages).map_err(InputFault::Other)?,
            (Prompt::Chat(_), None) => {
                let text = "the model has no chat template: it completes text, so send a prompt to /v1/completions";
                return Err(InputFault::Other(text.to_owned()));
            }
        };
        let vocab = self.model.vocab();
        let mut tokens: Vec<i32> =
            vocab.tokenize(rendered.as_bytes(), true, true).iter().map(|token| token.0).collect();
        // Some templates begin with the token that the tokeniser adds by itself.
        let bos = vocab.bos().0;
        if tokens.len() > 1 && tokens[..2] == [bos, bos] {
            tokens.remove(0);
        }
        if tokens.is_empty() {
            return Err(InputFault::Other("the prompt is empty".to_owned()));
        }
        Ok(tokens)
    }

    fn bytes(&self, id: i32) -> Vec<u8> {
        self.model.vocab().token_to_piece(LlamaToken(id), false, None)
    }

    /// Fills the batch: a token of each conversation that produces, then a chunk of the oldest prompts.
    fn fill_batch(&mut self) -> Vec<Share> {
        self.batch.clear();
        let mut shares = Vec::new();
        let is_producing = |slot: &Option<Sequence>| slot.as_ref().is_some_and(Sequence::is_decoding);
        let producing = self.slots.iter().filter(|slot| is_producing(slot)).count();
        let chunk = if producing == 0 { PREFILL_ALONE } else { PREFILL_BESIDE_DECODE };
        // Whatever comes, the library aborts the process on one token more than this.
        let mut room = (self.context.n_batch() as usize).min(producing + chunk);
        let mut order: Vec<usize> = (0..self.slots.len()).filter(|slot| self.slots[*slot].is_some()).collect();
        order.sort_by_key(|slot| (!is_producing(&self.slots[*slot]), self.slots[*slot].as_ref().map(|s| s.job)));
        for slot in order {
            let Some(sequence) = &self.slots[slot] else { continue };
            let unread = &sequence.tokens[sequence.read..];
            let count = unread.len().min(room);
            if count == 0 {
                break;
            }
            room -= count;
            let is_last = count == unread.len();
            for (index, id) in unread[..count].iter().enumerate() {
                let wants_result = is_last && index + 1 == count;
                let place = (sequence.read + index) as i32;
                let added = self.batch.add(LlamaToken(*id), place, &[slot as i32], wants_result);
                added.expect("the batch has room for n_batch tokens, and no more are added");
            }
            let result = is_last.then(|| self.batch.n_tokens() - 1);
            shares.push(Share { slot, count, result });
        }
        shares
    }

    /// Takes what the library computed for one slot.
    fn take_result(&mut self, share: &Share, out: &mut dyn FnMut(JobId, Output)) {
        let Some(mut sequence) = self.slots[share.slot].take() else {
            return;
        };
        sequence.read += share.count;
        let Some(index) = share.result else {
            out(sequence.job, Output::Progress);
            self.slots[share.slot] = Some(sequence);
            return;
        };
        let drawn = sequence.sampler.draw(self.context.get_logits_ith(index), sequence.said);
        let Some(id) = drawn.map(|id| id as i32) else {
            self.forget(share.slot);
            let fault = JobFault::Engine("the model gave no numbers that can be compared".to_owned());
            out(sequence.job, Output::Failed(fault));
            return;
        };
        let end = if self.model.vocab().is_eog(LlamaToken(id)) && !sequence.ignore_eos {
            Some(FinishReason::Stop)
        } else {
            sequence.say(id, &self.bytes(id), out)
        };
        match end {
            None => self.slots[share.slot] = Some(sequence),
            Some(reason) => {
                self.forget(share.slot);
                sequence.finish(reason, out);
            }
        }
    }

    /// Empties a slot, in the library too.
    fn forget(&mut self, slot: usize) {
        self.slots[slot] = None;
        let cleared = self.context.clear_kv_cache_seq(Some(slot as u32), None, None);
        debug_assert!(matches!(cleared, Ok(true)), "a whole sequence can always be removed");
    }
}

impl Engine for LlamaEngine {
    fn admit(&mut self, job: JobId, work: Work, resume: Vec<u32>) {
        self.waiting.push_back(Waiting { job, work, resume, since: Instant::now() });
    }

    fn cancel(&mut self, job: JobId) {
        self.waiting.retain(|waiting| waiting.job != job);
        let running = |slot: &Option<Sequence>| slot.as_ref().is_some_and(|sequence| sequence.job == job);
        if let Some(slot) = self.slots.iter().position(running) {
            self.forget(slot);
        }
    }

    fn step(&mut self, out: &mut dyn FnMut(JobId, Output)) -> bool {
        self.start_waiting(out);
        let shares = self.fill_batch();
        if shares.is_empty() {
            return false;
        }
        match self.context.decode(&mut self.batch) {
            Ok(()) => shares.iter().for_each(|share| self.take_result(share, out)),
            Err(error) => {
                for share in &shares {
                    if let Some(sequence) = self.slots[share.slot].take() {
                        self.forget(share.slot);
                        let fault = JobFault::Engine(format!("llama.cpp could not go on: {error}"));
                        out(sequence.job, Output::Failed(fault));
                    }
                }
            }
        }
        !self.waiting.is_empty() || self.slots.iter().any(Option::is_some)
    }
}
