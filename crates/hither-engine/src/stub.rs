//! An engine that needs no model: for tests of the mesh alone. Token `i` is a hash of the prompt and `i`, so that any
//! gap or repetition in a stream shows.
//!
//! Its model file is text: a line `hither-stub 1`, then `name=value` pairs, which [`StubModel`] explains.

use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use hither_types::model::{Datatype, Device, ModelIo, TensorSpec};
use hither_types::refusal::InputFault;
use hither_types::request::Cost;
use hither_types::unit::Micros;

use crate::engine::{Engine, JobFault, JobId, Loaded, Output};
use crate::mix::mix;
use crate::text::{Added, Assembler};
use crate::validate::validate;
use crate::work::{FinishReason, Format, GenerateWork, InferWork, Piece, Prompt, Work};

#[cfg(test)]
mod tests;

/// What the first line of a stub model is.
pub const HEADER: &str = "hither-stub 1";

/// A stub model is a few lines; anything longer is something else.
const MAX_FILE: u64 = 64 << 10;

/// The longest wait inside one step, so that a command is seen soon.
const MAX_WAIT: Duration = Duration::from_millis(1);

/// Reading a prompt shows progress this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// A sleep shows progress this often: as often as a node tells of it, and many of them cost next to nothing.
const SLEEP_PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// The longest sleep that a request may ask for: an hour.
const SLEEP_MAX_US: f32 = 3.6e9;

/// What kind of model the stub plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StubKind {
    /// Tokens.
    Generate,
    /// One input `x` of FP32 and shape `[any, any]`, which comes back as output `x`.
    Infer,
    /// The same, and the first number of `x` is how long the call takes, in microseconds: for benchmarks of a mesh, where
    /// each request brings its own service time and no processor is used. Single floats are exact up to 16 seconds.
    Sleep,
}

/// The values of a stub model's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StubModel {
    /// `kind=generate|infer|sleep`.
    pub kind: StubKind,
    /// `slots=`: jobs at once.
    pub slots: u16,
    /// `context=`: tokens of prompt and answer.
    pub context: u32,
    /// `length=`: tokens until the model ends by itself.
    pub length: u32,
    /// `load_us=`: microseconds to open.
    pub load: Duration,
    /// `prefill_us=`: microseconds to read a prompt, or for one call.
    pub prefill: Duration,
    /// `token_us=`: microseconds per token.
    pub token: Duration,
    /// `percent=`: of the time that a request asks for, how much a sleep takes: a smaller model takes less.
    pub percent: u32,
    /// `crash_at=`: aborts the process instead of producing this token, or of answering this call, from 0.
    pub crash_at: Option<u32>,
    /// `hang_at=`: never returns from the step that should produce this token, or answer this call, from 0.
    pub hang_at: Option<u32>,
    /// `wrong_at=`: answers this call and all later ones, from 0, with the negative of each number.
    pub wrong_at: Option<u32>,
}

/// Why a file is not a stub model.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error("the model file cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// Its first line is another.
    #[error("the first line of a stub model is `{HEADER}`")]
    Header,
    /// A value is unknown or wrong.
    #[error(
        "`{0}` is none of kind, slots, context, length, load_us, prefill_us, token_us, percent, crash_at, hang_at and wrong_at with its value"
    )]
    Value(String),
}

impl StubModel {
    /// Reads the text of a stub model.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        let (header, rest) = text.split_once('\n').unwrap_or((text, ""));
        if header.trim_end() != HEADER {
            return Err(OpenError::Header);
        }
        let mut model = Self {
            kind: StubKind::Generate,
            slots: 2,
            context: 4096,
            length: 48,
            load: Duration::ZERO,
            prefill: Duration::ZERO,
            token: Duration::from_millis(2),
            percent: 100,
            crash_at: None,
            hang_at: None,
            wrong_at: None,
        };
        for pair in rest.split_whitespace() {
            model.set(pair).ok_or_else(|| OpenError::Value(pair.chars().take(80).collect()))?;
        }
        Ok(model)
    }

    fn set(&mut self, pair: &str) -> Option<()> {
        let (name, value) = pair.split_once('=')?;
        let micros = || value.parse().ok().map(Duration::from_micros);
        match name {
            "kind" if value == "generate" => self.kind = StubKind::Generate,
            "kind" if value == "infer" => self.kind = StubKind::Infer,
            "kind" if value == "sleep" => self.kind = StubKind::Sleep,
            "slots" => self.slots = value.parse().ok().filter(|slots| *slots > 0)?,
            "context" => self.context = value.parse().ok()?,
            "length" => self.length = value.parse().ok()?,
            "load_us" => self.load = micros()?,
            "prefill_us" => self.prefill = micros()?,
            "token_us" => self.token = micros()?,
            "percent" => self.percent = value.parse().ok()?,
            "crash_at" => self.crash_at = Some(value.parse().ok()?),
            "hang_at" => self.hang_at = Some(value.parse().ok()?),
            "wrong_at" => self.wrong_at = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }
}

/// A stub model that is open.
pub struct StubEngine {
    model: StubModel,
    waiting: VecDeque<Waiting>,
    running: Vec<Running>,
    calls: u32,
}

struct Waiting {
    job: JobId,
    work: Work,
    resume: Vec<u32>,
    since: Instant,
}

struct Running {
    job: JobId,
    kind: RunningKind,
    since: Instant,
    queued: Duration,
    /// When the next thing happens.
    due: Instant,
    /// When the prompt is read.
    ready: Instant,
    /// How often it shows progress until then.
    every: Duration,
}

enum RunningKind {
    Infer(InferWork),
    Generate(Box<Stream>),
}

struct Stream {
    seed: u64,
    prompt_tokens: u32,
    first: u32,
    next: u32,
    limit: u32,
    end: Option<u32>,
    assembler: Assembler,
    /// A stop string was complete in the tokens resumed from.
    stopped: bool,
}

/// Opens a stub model.
pub fn open(path: &Path) -> Result<StubEngine, OpenError> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    let model = StubModel::parse(&text)?;
    std::thread::sleep(model.load);
    Ok(StubEngine::new(model))
}

/// Token `index` of the answer to a prompt: what a test compares with.
pub fn token(prompt: &Prompt, index: u32) -> u32 {
    token_of(seed_of(prompt), index)
}

/// The text of a token.
pub fn text_of(token: u32) -> String {
    format!(" w{token}")
}

impl StubEngine {
    /// An engine for these values.
    pub fn new(model: StubModel) -> Self {
        Self { model, waiting: VecDeque::new(), running: Vec::new(), calls: 0 }
    }

    /// What the node is told.
    pub fn loaded(&self) -> Loaded {
        let io = match self.model.kind {
            StubKind::Generate => ModelIo::Language { context_tokens: self.model.context },
            StubKind::Infer | StubKind::Sleep => {
                ModelIo::Tensors { inputs: vec![echo_spec()], outputs: vec![echo_spec()] }
            }
        };
        Loaded { io, slots: self.model.slots, batch: 1, device: Device::Cpu, fallback: None, engine: "stub".to_owned() }
    }

    fn start(&self, waiting: Waiting) -> Result<Running, (JobId, InputFault)> {
        let Waiting { job, work, resume, since } = waiting;
        let kind = match (self.model.kind, work) {
            (StubKind::Infer | StubKind::Sleep, Work::Infer(work)) => {
                validate(&work, &[echo_spec()], &[echo_spec()]).map_err(|fault| (job, fault))?;
                RunningKind::Infer(work)
            }
            (StubKind::Generate, Work::Generate(work)) => {
                let stream = Stream::new(&work, &resume, &self.model).map_err(|fault| (job, fault))?;
                RunningKind::Generate(Box::new(stream))
            }
            (StubKind::Infer | StubKind::Sleep, Work::Generate(_) | Work::Embed(_)) => {
                return Err((job, InputFault::Other("the model takes tensors, and a text came".to_owned())));
            }
            (StubKind::Generate, Work::Infer(_)) => {
                return Err((job, InputFault::Other("the model takes a text, and tensors came".to_owned())));
            }
            (StubKind::Generate, Work::Embed(_)) => {
                return Err((job, InputFault::Other("a stub gives no embeddings".to_owned())));
            }
            (StubKind::Infer | StubKind::Sleep | StubKind::Generate, Work::Train(_)) => {
                return Err((job, InputFault::Other("no engine of a node trains a model".to_owned())));
            }
        };
        let now = Instant::now();
        let (takes, every) = match (self.model.kind, &kind) {
            (StubKind::Sleep, RunningKind::Infer(work)) => {
                let asked = asked_for(work).map_err(|fault| (job, fault))?;
                (asked * self.model.percent / 100, SLEEP_PROGRESS_EVERY)
            }
            _ => (self.model.prefill, PROGRESS_EVERY),
        };
        let ready = now + takes;
        let due = ready.min(now + every);
        Ok(Running { job, kind, since: now, queued: now - since, due, ready, every })
    }

    fn misbehave(&self, index: u32) {
        if self.model.crash_at == Some(index) {
            std::process::abort();
        }
        while self.model.hang_at == Some(index) {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

impl Engine for StubEngine {
    fn admit(&mut self, job: JobId, work: Work, resume: Vec<u32>) {
        self.waiting.push_back(Waiting { job, work, resume, since: Instant::now() });
    }

    fn cancel(&mut self, job: JobId) {
        self.waiting.retain(|waiting| waiting.job != job);
        self.running.retain(|running| running.job != job);
    }

    fn step(&mut self, out: &mut dyn FnMut(JobId, Output)) -> bool {
        while self.running.len() < usize::from(self.model.slots) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            match self.start(waiting) {
                Ok(running) => self.running.push(running),
                Err((job, fault)) => out(job, Output::Failed(JobFault::Input(fault))),
            }
        }
        let Some(due) = self.running.iter().map(|running| running.due).min() else {
            return false;
        };
        let now = Instant::now();
        if due > now {
            std::thread::sleep((due - now).min(MAX_WAIT));
        }
        let now = Instant::now();
        let mut running = std::mem::take(&mut self.running);
        running.retain_mut(|running| running.due > now || self.advance(running, now, out));
        self.running = running;
        !self.running.is_empty() || !self.waiting.is_empty()
    }

    fn rest(&self) -> Duration {
        if !self.waiting.is_empty() && self.running.len() < usize::from(self.model.slots) {
            return Duration::ZERO;
        }
        let next = self.running.iter().map(|running| running.due).min();
        next.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()))
    }
}

impl StubEngine {
    /// Does what is due for one job. Returns whether it goes on.
    fn advance(&mut self, running: &mut Running, now: Instant, out: &mut dyn FnMut(JobId, Output)) -> bool {
        let job = running.job;
        if running.due < running.ready {
            running.due = running.ready.min(running.due + running.every);
            out(job, Output::Progress);
            return true;
        }
        let micros = |span: Duration| Micros(span.as_micros() as u64);
        let mut cost = Cost { queued: micros(running.queued), ..Cost::default() };
        match &mut running.kind {
            RunningKind::Infer(work) => {
                self.misbehave(self.calls);
                let is_wrong = self.model.wrong_at.is_some_and(|first| self.calls >= first);
                self.calls += 1;
                let mut outputs = std::mem::take(&mut work.inputs);
                if is_wrong {
                    // The sign of a single float is the highest bit of its last byte.
                    let numbers = outputs.iter_mut().flat_map(|output| output.data.chunks_exact_mut(4));
                    numbers.for_each(|number| number[3] ^= 0x80);
                }
                out(job, Output::Piece(Piece::Outputs(outputs)));
                cost.prefill = micros(now - running.since);
            }
            RunningKind::Generate(stream) => {
                if let Some((reason, text)) = stream.end() {
                    out(job, Output::Piece(Piece::end(reason, text)));
                } else {
                    self.misbehave(stream.next);
                    let (piece, end) = stream.produce();
                    out(job, Output::Piece(piece));
                    let Some(end) = end else {
                        running.due = (running.due + self.model.token).max(now);
                        return true;
                    };
                    out(job, Output::Piece(end));
                }
                cost.prefill = micros(running.ready - running.since);
                cost.decode = micros(now - running.ready);
                cost.prompt_tokens = stream.prompt_tokens;
                cost.output_tokens = stream.next - stream.first;
            }
        }
        out(job, Output::Done(cost));
        false
    }
}

impl Stream {
    fn new(work: &GenerateWork, resume: &[u32], model: &StubModel) -> Result<Self, InputFault> {
        let words = |text: &str| text.split_whitespace().count() as u32;
        let prompt_tokens = match &work.prompt {
            Prompt::Chat(messages) => messages.iter().map(|message| words(&message.content)).sum(),
            Prompt::Text(text) => words(text),
            Prompt::Tokens(ids) => ids.len() as u32,
        };
        if work.format != Format::Text || !work.tools.is_empty() || work.chances.is_some() {
            return Err(InputFault::Other("a stub knows no formats, no tools and no chances".to_owned()));
        }
        let room = model.context.saturating_sub(prompt_tokens);
        if room == 0 {
            return Err(InputFault::ContextOverflow { prompt_tokens, context_tokens: model.context });
        }
        let mut assembler = Assembler::new(&work.stop);
        let replayed = resume.iter().map(|id| assembler.push(text_of(*id).as_bytes()));
        let stopped = replayed.filter(|added| matches!(added, Added::Stopped(_))).count() > 0;
        let first = resume.len() as u32;
        let limit = work.max_tokens.unwrap_or(room).min(room);
        let end = (!work.ignore_eos).then_some(model.length);
        Ok(Self { seed: seed_of(&work.prompt), prompt_tokens, first, next: first, limit, end, assembler, stopped })
    }

    /// The end, if no further token is to come.
    fn end(&mut self) -> Option<(FinishReason, String)> {
        if self.stopped {
            Some((FinishReason::Stop, String::new()))
        } else if self.next >= self.limit {
            Some((FinishReason::Length, self.assembler.finish()))
        } else if self.end.is_some_and(|end| self.next >= end) {
            Some((FinishReason::Stop, self.assembler.finish()))
        } else {
            None
        }
    }

    fn produce(&mut self) -> (Piece, Option<Piece>) {
        let id = token_of(self.seed, self.next);
        let first = self.next;
        self.next += 1;
        let text = match self.assembler.push(text_of(id).as_bytes()) {
            Added::Text(text) => text,
            Added::Stopped(text) => {
                self.stopped = true;
                text
            }
        };
        let end = self.end().map(|(reason, text)| Piece::end(reason, text));
        (Piece::tokens(first, vec![id], text), end)
    }
}

/// How long a request asks a sleep to take.
fn asked_for(work: &InferWork) -> Result<Duration, InputFault> {
    let first = work.inputs.first().and_then(|tensor| tensor.data.first_chunk());
    let micros = first.map(|bytes| f32::from_le_bytes(*bytes)).filter(|micros| (0.0..=SLEEP_MAX_US).contains(micros));
    let micros = micros.ok_or_else(|| {
        InputFault::Tensor(format!("the first number of x is the time to take, 0 to {SLEEP_MAX_US} microseconds"))
    })?;
    Ok(Duration::from_micros(micros as u64))
}

fn echo_spec() -> TensorSpec {
    TensorSpec { name: "x".to_owned(), datatype: Datatype::Fp32, shape: vec![None, None] }
}

fn seed_of(prompt: &Prompt) -> u64 {
    let fold = |hash: u64, text: &str| text.bytes().chain([0]).fold(hash, |hash, byte| mix(hash ^ u64::from(byte)));
    match prompt {
        Prompt::Text(text) => fold(1, text),
        Prompt::Tokens(ids) => ids.iter().fold(3, |hash, id| mix(hash ^ u64::from(*id))),
        Prompt::Chat(messages) => {
            messages.iter().fold(2, |hash, message| fold(fold(hash, &message.role), &message.content))
        }
    }
}

fn token_of(seed: u64, index: u32) -> u32 {
    (mix(seed.wrapping_add(u64::from(index))) % 50_000) as u32
}
