//! The engine: conversations in slots, and one call of the library per step. There are two kinds of step, which take
//! turns where both have work: one reads a whole block of one prompt; the other has a token of each conversation that
//! produces, and the ends of prompts that fill no block.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use hither_engine::engine::{Engine, JobFault, JobId, Loaded, Output};
use hither_engine::limits::{MAX_BIASES, MAX_CHANCES};
use hither_engine::work::{CacheScope, Format, GenerateWork, Prompt, ToolChoice, Work};
use hither_types::model::{Device, ModelIo};
use hither_types::refusal::InputFault;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::cache::{Held, plan};
use crate::constraint::{Constraint, Constraints};
use crate::embed::{Embedder, is_causal};
use crate::limits::{BLOCK, PREFILL_BESIDE_DECODE, PREFILL_LEAST, STEP};
use crate::prompt::PromptReader;
use crate::sequence::{Beginning, Sequence, Spoken};
use crate::template::Template;
use crate::tools::{Dialect, Reader, permitted};

/// A GGUF model that is open.
pub struct LlamaEngine {
    opened: Opened,
    batch: LlamaBatch<'static>,
    /// The place in the list is the sequence's number in the library.
    slots: Vec<Slot>,
    waiting: VecDeque<Waiting>,
    /// Counts conversations, for what was used longest ago.
    begun: u64,
    constraints: Option<Constraints>,
    embedder: Option<Embedder>,
    /// Whether the last step made vectors: the two kinds of work take turns.
    has_embedded: bool,
    /// Whether the last step read a block of a prompt.
    has_read_block: bool,
    /// Whose turn it is to have a block read.
    turn: usize,
    /// Special tokens that mark calls of tools. They are text where tools may be called, and nothing elsewhere.
    marks: BTreeSet<u32>,
}

/// What opening a file gave.
pub(crate) struct Opened {
    pub(crate) backend: &'static LlamaBackend,
    pub(crate) model: &'static LlamaModel,
    pub(crate) context: LlamaContext<'static>,
    pub(crate) template: Option<Template>,
    pub(crate) context_tokens: u32,
    pub(crate) threads: i32,
}

/// A place for a conversation, and what is left in the library's memory of the last.
#[derive(Default)]
struct Slot {
    sequence: Option<Sequence>,
    left: Vec<i32>,
    scope: Option<CacheScope>,
    used: u64,
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
    pub(crate) fn new(opened: Opened, batch: LlamaBatch<'static>, slots: u16) -> Self {
        let slots = (0..slots).map(|_| Slot::default()).collect();
        let marks = Dialect::MARKS.iter().filter_map(|mark| special(opened.model, mark)).collect();
        Self {
            opened,
            batch,
            slots,
            waiting: VecDeque::new(),
            begun: 0,
            constraints: None,
            embedder: None,
            has_embedded: false,
            has_read_block: false,
            turn: 0,
            marks,
        }
    }

    /// What the node is told.
    pub fn loaded(&self) -> Loaded {
        Loaded {
            io: ModelIo::Language { context_tokens: self.opened.context_tokens },
            slots: self.slots.len() as u16,
            batch: 1,
            device: Device::Cpu,
            fallback: None,
            engine: "cpu, llama.cpp".to_owned(),
        }
    }

    /// Fills free slots. Jobs that end before they begin are told so.
    fn start_waiting(&mut self, out: &mut dyn FnMut(JobId, Output)) {
        let mut left = VecDeque::new();
        while let Some(waiting) = self.waiting.pop_front() {
            let job = waiting.job;
            let begun = match waiting.work {
                Work::Generate(_) if self.slots.iter().all(|slot| slot.sequence.is_some()) => {
                    left.push_back(waiting);
                    continue;
                }
                Work::Generate(work) => self.begin(job, work, &waiting.resume, waiting.since, out),
                Work::Embed(work) => self.begin_embedding(job, &work.inputs, waiting.since),
                Work::Infer(_) => {
                    Err(JobFault::Input(InputFault::Other("the model takes a text, and tensors came".to_owned())))
                }
                Work::Train(_) => {
                    Err(JobFault::Input(InputFault::Other("no engine of a node trains a model".to_owned())))
                }
            };
            if let Err(fault) = begun {
                out(job, Output::Failed(fault));
            }
        }
        self.waiting = left;
    }

    fn begin(
        &mut self,
        job: JobId,
        work: GenerateWork,
        resume: &[u32],
        since: Instant,
        out: &mut dyn FnMut(JobId, Output),
    ) -> Result<(), JobFault> {
        if !is_causal(self.opened.model) {
            let text = "the model makes vectors of texts, and does not speak: POST /v1/embeddings";
            return Err(JobFault::Input(InputFault::Other(text.to_owned())));
        }
        check(&work).map_err(|text| JobFault::Input(InputFault::Other(text)))?;
        let model = self.opened.model;
        let (constraint, reader) = self.constraint(&work)?;
        let tools = permitted(&work.tools, &work.tool_choice).map_err(InputFault::Other).map_err(JobFault::Input)?;
        let prompts = self.prompts();
        let read = prompts.read(&work, &tools).map_err(JobFault::Input)?;
        prompts.known(resume).map_err(JobFault::Input)?;
        let context_tokens = self.opened.context_tokens;
        let beginning = Beginning {
            job,
            prompt: read.tokens,
            dropped_tokens: read.dropped,
            constraint,
            reader,
            context_tokens,
            since,
            work,
        };
        let mut sequence = Sequence::new(beginning);
        let marks = sequence.has_tools().then_some(&self.marks);
        let end = sequence.replay(resume, |id| spoken(model, id, marks)).map_err(JobFault::Input)?;
        match end {
            Some(reason) => sequence.finish(reason, out),
            None => self.settle(sequence),
        }
        Ok(())
    }

    /// What holds an answer to a form, and what takes calls out of it.
    fn constraint(&mut self, work: &GenerateWork) -> Result<(Option<Constraint>, Option<Reader>), JobFault> {
        let wrong = |text: String| JobFault::Input(InputFault::Other(text));
        let tools = permitted(&work.tools, &work.tool_choice).map_err(wrong)?;
        let must_call = matches!(work.tool_choice, ToolChoice::Any | ToolChoice::Named(_));
        let model = self.opened.model;
        if must_call && work.format != Format::Text {
            return Err(wrong("an answer that must call a tool cannot have another format".to_owned()));
        }
        let dialect = self.opened.template.as_ref().map_or(Dialect::Hermes, Template::dialect);
        let reader = (!tools.is_empty()).then(|| Reader::new(dialect));
        if !must_call && work.format == Format::Text {
            return Ok((None, reader));
        }
        if self.constraints.is_none() {
            self.constraints = Some(Constraints::new(model).map_err(JobFault::Engine)?);
        }
        let Some(constraints) = &self.constraints else { return Ok((None, reader)) };
        if must_call {
            let grammar = dialect.grammar(&tools, |mark| special(model, mark)).map_err(wrong)?;
            return Ok((Some(constraints.lark(grammar).map_err(wrong)?), reader));
        }
        Ok((constraints.of(&work.format).map_err(wrong)?, reader))
    }

    /// Gives a conversation a slot, with what was read of its beginning.
    fn settle(&mut self, mut sequence: Sequence) {
        let model = self.opened.model;
        // What these have read cannot be cut.
        let is_whole = model.is_recurrent() || model.is_hybrid();
        let scope = sequence.scope.filter(|_| !is_whole);
        let held: Vec<Held<'_>> = self.slots.iter().map(Slot::held).collect();
        let plan = plan(&held, scope, &sequence.tokens).expect("a slot was free a moment ago");
        let mut common = sequence.taken(plan.common);
        let number = |slot: usize| slot as i32;
        if let Some(from) = plan.from {
            // Some models forget what is far back, and then nothing can be taken.
            if self.opened.context.kv_cache_seq_pos_min(number(from)) != 0 {
                common = 0;
            }
            if from != plan.slot {
                self.clear(plan.slot, 0);
                let copied = self.opened.context.copy_kv_cache_seq(
                    number(from),
                    number(plan.slot),
                    Some(0),
                    Some(common as u32),
                );
                debug_assert!(copied.is_ok(), "the numbers are small");
            }
        }
        if (plan.from.is_none() || plan.from == Some(plan.slot) || common == 0) && !self.clear(plan.slot, common) {
            self.clear(plan.slot, 0);
            common = 0;
        }
        sequence.read = common;
        sequence.account.cached_tokens = common as u32;
        self.begun += 1;
        self.slots[plan.slot] = Slot { scope, sequence: Some(sequence), left: Vec::new(), used: self.begun };
    }

    /// Forgets what the library holds of a slot from a place on. `false`: it cannot.
    fn clear(&mut self, slot: usize, from: usize) -> bool {
        let from = (from > 0).then_some(from as u32);
        matches!(self.opened.context.clear_kv_cache_seq(Some(slot as u32), from, None), Ok(true))
    }

    fn begin_embedding(&mut self, job: JobId, inputs: &[Prompt], since: Instant) -> Result<(), JobFault> {
        let Opened { backend, model, threads, context_tokens, .. } = self.opened;
        if self.embedder.is_none() {
            let opened = Embedder::open(backend, model, threads, context_tokens);
            self.embedder = Some(opened.map_err(|text| JobFault::Input(InputFault::Other(text)))?);
        }
        let prompts = self.prompts();
        let texts: VecDeque<Vec<i32>> =
            inputs.iter().map(|input| prompts.read_plain(input)).collect::<Result<_, _>>().map_err(JobFault::Input)?;
        if texts.is_empty() {
            return Err(JobFault::Input(InputFault::Other("there is no text to make a vector of".to_owned())));
        }
        let Some(embedder) = &mut self.embedder else { return Ok(()) };
        let context_tokens = embedder.context_tokens();
        let prompt_tokens = texts.iter().map(Vec::len).max().unwrap_or(0) as u32;
        if prompt_tokens > context_tokens {
            return Err(JobFault::Input(InputFault::ContextOverflow { prompt_tokens, context_tokens }));
        }
        embedder.begin(job, texts, since);
        Ok(())
    }

    fn prompts(&self) -> PromptReader<'_> {
        let Opened { model, ref template, context_tokens, .. } = self.opened;
        PromptReader { model, template: template.as_ref(), context_tokens }
    }

    /// Fills the batch, with a block of a prompt or with all that is small.
    fn fill_batch(&mut self) -> Vec<Share> {
        self.batch.clear();
        let block = self.next_block();
        if let (Some(slot), false) = (block, self.has_read_block) {
            return self.fill_block(slot);
        }
        self.has_read_block = false;
        let shares = self.fill_small();
        match block {
            Some(slot) if shares.is_empty() => self.fill_block(slot),
            _ => shares,
        }
    }

    /// Who is next to have a block of its prompt read: they take turns.
    fn next_block(&self) -> Option<usize> {
        let count = self.slots.len();
        let has_block = |slot: &usize| self.slots[*slot].sequence.as_ref().is_some_and(Sequence::has_block);
        // The library makes its batch smaller when the context is small.
        let fits = self.opened.context.n_batch() as usize >= BLOCK;
        (self.turn..self.turn + count).map(|slot| slot % count).find(has_block).filter(|_| fits)
    }

    fn fill_block(&mut self, slot: usize) -> Vec<Share> {
        self.has_read_block = true;
        self.turn = slot + 1;
        vec![self.put(slot, BLOCK)]
    }

    /// A token of each conversation that produces, then a share of each end of a prompt.
    fn fill_small(&mut self) -> Vec<Share> {
        let busy = (0..self.slots.len()).filter(|slot| self.slots[*slot].sequence.is_some());
        let (producing, mut reading): (Vec<usize>, Vec<usize>) =
            busy.partition(|slot| self.slots[*slot].is_producing());
        reading.retain(|slot| self.slots[*slot].small() > 0);
        reading.sort_by_key(|slot| self.slots[*slot].small());
        let chunk = if producing.is_empty() { STEP } else { PREFILL_BESIDE_DECODE };
        let chunk = chunk.min(STEP.saturating_sub(producing.len())).max(PREFILL_LEAST);
        // Whatever comes, the library aborts the process on one token more than this.
        let batch = self.opened.context.n_batch() as usize;
        let mut shares = Vec::new();
        for slot in producing.into_iter().take(batch) {
            shares.push(self.put(slot, 1));
        }
        let mut room = chunk.min(batch - shares.len());
        // The shortest first: what it does not need of its share is the others'.
        let mut left = reading.len();
        for slot in reading {
            let count = self.slots[slot].small().min(room.div_ceil(left));
            left -= 1;
            if count > 0 {
                room -= count;
                shares.push(self.put(slot, count));
            }
        }
        shares
    }

    /// Puts tokens of a slot into the batch.
    fn put(&mut self, slot: usize, count: usize) -> Share {
        let Some(sequence) = &self.slots[slot].sequence else { return Share { slot, count: 0, result: None } };
        let unread = &sequence.tokens[sequence.read..];
        let is_last = count == unread.len();
        for (index, id) in unread[..count].iter().enumerate() {
            let wants_result = is_last && index + 1 == count;
            let place = (sequence.read + index) as i32;
            let added = self.batch.add(LlamaToken(*id), place, &[slot as i32], wants_result);
            added.expect("the batch has room for n_batch tokens, and no more are added");
        }
        Share { slot, count, result: is_last.then(|| self.batch.n_tokens() - 1) }
    }

    /// Takes what the library computed for one slot.
    fn take_result(&mut self, share: &Share, out: &mut dyn FnMut(JobId, Output)) {
        let Some(sequence) = &mut self.slots[share.slot].sequence else {
            return;
        };
        sequence.read += share.count;
        let Some(index) = share.result else {
            out(sequence.job, Output::Progress);
            return;
        };
        let marks = sequence.has_tools().then_some(&self.marks);
        let model = self.opened.model;
        let went = sequence.go_on(self.opened.context.get_logits_ith(index), |id| spoken(model, id, marks), out);
        match went {
            Ok(None) => {}
            Ok(Some(reason)) => {
                if let Some(sequence) = self.leave(share.slot) {
                    sequence.finish(reason, out);
                }
            }
            Err(fault) => {
                if let Some(sequence) = self.leave(share.slot) {
                    out(sequence.job, Output::Failed(fault));
                }
            }
        }
    }

    /// Empties a slot. What was read stays for its scope, if it has one.
    fn leave(&mut self, slot: usize) -> Option<Sequence> {
        let place = &mut self.slots[slot];
        let mut sequence = place.sequence.take()?;
        if place.scope.is_some() {
            sequence.tokens.truncate(sequence.read);
            place.left = std::mem::take(&mut sequence.tokens);
        } else {
            let cleared = self.clear(slot, 0);
            debug_assert!(cleared, "a whole sequence can always be removed");
        }
        Some(sequence)
    }

    fn step_sequences(&mut self, out: &mut dyn FnMut(JobId, Output)) {
        let shares = self.fill_batch();
        if shares.is_empty() {
            return;
        }
        match self.opened.context.decode(&mut self.batch) {
            Ok(()) => shares.iter().for_each(|share| self.take_result(share, out)),
            Err(error) => {
                for share in &shares {
                    // What the library has of it is not known any more.
                    self.slots[share.slot].scope = None;
                    if let Some(sequence) = self.leave(share.slot) {
                        let fault = JobFault::Engine(format!("llama.cpp could not go on: {error}"));
                        out(sequence.job, Output::Failed(fault));
                    }
                }
            }
        }
    }
}

impl Slot {
    fn is_producing(&self) -> bool {
        self.sequence.as_ref().is_some_and(Sequence::is_decoding)
    }

    /// Tokens that may be read in small steps now.
    fn small(&self) -> usize {
        self.sequence.as_ref().map_or(0, Sequence::small)
    }

    fn held(&self) -> Held<'_> {
        let running = self.sequence.as_ref().map(|sequence| &sequence.tokens[..sequence.read]);
        let tokens = running.unwrap_or(&self.left);
        Held { is_busy: self.sequence.is_some(), scope: self.scope, tokens, used: self.used }
    }
}

/// The numbers of a request. The error is a text for the client.
fn check(work: &GenerateWork) -> Result<(), String> {
    let in_range = |value: f32, least: f32| value.is_finite() && value >= least;
    if ![work.temperature, work.top_p, work.min_p].iter().all(|value| in_range(*value, 0.)) {
        return Err("temperature, top_p and min_p are numbers from 0 up".to_owned());
    }
    if !(work.frequency_penalty.is_finite() && work.presence_penalty.is_finite()) {
        return Err("frequency_penalty and presence_penalty are numbers".to_owned());
    }
    if !(work.repetition_penalty.is_finite() && work.repetition_penalty > 0.) {
        return Err("repetition_penalty is a number above 0".to_owned());
    }
    if work.logit_bias.len() > MAX_BIASES || work.logit_bias.iter().any(|(_, bias)| !bias.is_finite()) {
        return Err(format!("logit_bias takes numbers, and at most {MAX_BIASES} of them"));
    }
    match work.chances {
        Some(count) if usize::from(count) > MAX_CHANCES => Err(format!("at most {MAX_CHANCES} chances are told of")),
        _ => Ok(()),
    }
}

/// What a token says. Marks of calls are text where they are looked for.
fn spoken(model: &LlamaModel, id: u32, marks: Option<&BTreeSet<u32>>) -> Spoken {
    let is_mark = marks.is_some_and(|marks| marks.contains(&id));
    let (vocab, token) = (model.vocab(), LlamaToken(id.cast_signed()));
    Spoken { bytes: vocab.token_to_piece(token, is_mark, None), is_end: vocab.is_eog(token) }
}

/// The id of a mark that is a token of its own, and is not written as text.
fn special(model: &LlamaModel, mark: &str) -> Option<u32> {
    let vocab = model.vocab();
    match vocab.tokenize(mark.as_bytes(), false, true).as_slice() {
        [token] if vocab.token_to_piece(*token, false, None).is_empty() => Some(token.0.cast_unsigned()),
        _ => None,
    }
}

impl Engine for LlamaEngine {
    fn admit(&mut self, job: JobId, work: Work, resume: Vec<u32>) {
        self.waiting.push_back(Waiting { job, work, resume, since: Instant::now() });
    }

    fn cancel(&mut self, job: JobId) {
        self.waiting.retain(|waiting| waiting.job != job);
        let running = |slot: &Slot| slot.sequence.as_ref().is_some_and(|sequence| sequence.job == job);
        if let Some(slot) = self.slots.iter().position(running) {
            self.leave(slot);
        }
        if let Some(embedder) = &mut self.embedder {
            embedder.cancel(job);
        }
    }

    fn step(&mut self, out: &mut dyn FnMut(JobId, Output)) -> bool {
        self.start_waiting(out);
        let speaks = self.slots.iter().any(|slot| slot.sequence.is_some());
        match &mut self.embedder {
            Some(embedder) if embedder.is_busy() && !(speaks && self.has_embedded) => {
                self.has_embedded = true;
                embedder.step(out);
            }
            _ => {
                self.has_embedded = false;
                self.step_sequences(out);
            }
        }
        !self.waiting.is_empty()
            || self.slots.iter().any(|slot| slot.sequence.is_some())
            || self.embedder.as_ref().is_some_and(Embedder::is_busy)
    }
}
