//! Vectors of texts: a chunk of one text per step, pooled here. The library pools only what it reads at once, and a
//! long text read at once could not be cancelled.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use hither_engine::engine::{JobFault, JobId, Output};
use hither_engine::work::{Piece, Tensor};
use hither_types::model::Datatype;
use hither_types::request::Cost;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::limits::{BLOCK, EMBED_TOKENS};
use crate::sequence::micros;

/// How one vector is made of those of all tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The mean.
    Mean,
    /// The first token's.
    First,
    /// The last token's.
    Last,
}

impl Pooling {
    /// What a model's own file says. One that says nothing was made to speak, and the mean is usual for those.
    pub(crate) fn of(model: &LlamaModel) -> Result<Self, String> {
        match metadata(model, "pooling_type").as_deref() {
            None | Some("0" | "1") => Ok(Self::Mean),
            Some("2") => Ok(Self::First),
            Some("3") => Ok(Self::Last),
            Some("4") => Err("the model ranks texts, and gives no vectors".to_owned()),
            Some(_) => Err("the model pools its vectors in a way that is not known here".to_owned()),
        }
    }
}

/// Whether tokens see those before them alone. One that sees all was made for vectors, and cannot speak.
pub(crate) fn is_causal(model: &LlamaModel) -> bool {
    metadata(model, "attention.causal").as_deref() != Some("false")
}

fn metadata(model: &LlamaModel, key: &str) -> Option<String> {
    let architecture = model.meta_val_str("general.architecture").ok()?;
    model.meta_val_str(&format!("{architecture}.{key}")).ok()
}

/// A call for vectors on its way.
struct Job {
    job: JobId,
    texts: VecDeque<Vec<i32>>,
    /// How many tokens of the first text are read.
    read: usize,
    /// The vector of the first text so far.
    sum: Vec<f64>,
    done: Vec<f32>,
    count: u64,
    prompt_tokens: u32,
    queued: Duration,
    started: Instant,
}

/// A context of its own: the one that speaks gives chances of tokens, this one their vectors.
pub(crate) struct Embedder {
    context: LlamaContext<'static>,
    batch: LlamaBatch<'static>,
    pooling: Pooling,
    /// Tokens at once.
    chunk: usize,
    context_tokens: u32,
    jobs: VecDeque<Job>,
}

impl Embedder {
    /// Opened when the first call comes: most models never see one.
    pub(crate) fn open(
        backend: &'static LlamaBackend,
        model: &'static LlamaModel,
        threads: i32,
        context_tokens: u32,
    ) -> Result<Self, String> {
        let pooling = Pooling::of(model)?;
        let context_tokens = context_tokens.min(EMBED_TOKENS);
        let chunk = if is_causal(model) { (context_tokens as usize).min(BLOCK) } else { context_tokens as usize };
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(context_tokens))
            .with_n_batch(chunk as u32)
            .with_n_ubatch(chunk as u32)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_embeddings(true)
            .with_pooling_type(LlamaPoolingType::None);
        let context = model.new_context(backend, parameters);
        let context = context.map_err(|error| format!("no room for vectors: {error}"))?;
        // The library makes its batch smaller when the context is small.
        let chunk = chunk.min(context.n_batch() as usize);
        let batch = LlamaBatch::new(chunk, 1);
        Ok(Self { context, batch, pooling, chunk, context_tokens, jobs: VecDeque::new() })
    }

    /// Tokens that one text may have.
    pub(crate) fn context_tokens(&self) -> u32 {
        self.context_tokens
    }

    /// Takes texts, each with 1 to [`Embedder::context_tokens`] tokens.
    pub(crate) fn begin(&mut self, job: JobId, texts: VecDeque<Vec<i32>>, since: Instant) {
        let now = Instant::now();
        let prompt_tokens = texts.iter().map(Vec::len).sum::<usize>() as u32;
        let count = texts.len() as u64;
        let (sum, done) = (Vec::new(), Vec::new());
        self.jobs.push_back(Job {
            job,
            texts,
            read: 0,
            sum,
            done,
            count,
            prompt_tokens,
            queued: now - since,
            started: now,
        });
    }

    pub(crate) fn cancel(&mut self, job: JobId) {
        self.jobs.retain(|other| other.job != job);
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Reads a chunk of one text. Calls take turns, text by text.
    pub(crate) fn step(&mut self, out: &mut dyn FnMut(JobId, Output)) {
        let Some(mut job) = self.jobs.pop_front() else { return };
        let Some(text) = job.texts.front() else {
            job.finish(out);
            return;
        };
        if job.read == 0 {
            self.context.clear_kv_cache();
        }
        let chunk = &text[job.read..text.len().min(job.read + self.chunk)];
        self.batch.clear();
        for (place, id) in (job.read..).zip(chunk) {
            let added = self.batch.add(LlamaToken(*id), place as i32, &[0], true);
            added.expect("the batch has room for a chunk, and no more are added");
        }
        if let Err(reason) = self.context.decode(&mut self.batch).map_err(|error| error.to_string()) {
            let fault = JobFault::Engine(format!("llama.cpp could not go on: {reason}"));
            out(job.job, Output::Failed(fault));
            return;
        }
        let (from, end) = (job.read, job.read + chunk.len());
        let whole = text.len();
        for (at, place) in (0..).zip(from..end) {
            let counts = match self.pooling {
                Pooling::Mean => true,
                Pooling::First => place == 0,
                Pooling::Last => place + 1 == whole,
            };
            if counts {
                let Ok(vector) = self.context.embeddings_ith(at) else {
                    out(job.job, Output::Failed(JobFault::Engine("llama.cpp gave no vector".to_owned())));
                    return;
                };
                job.sum.resize(vector.len(), 0.);
                job.sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
            }
        }
        job.read = end;
        if end < whole {
            out(job.job, Output::Progress);
            self.jobs.push_front(job);
            return;
        }
        job.close_text();
        if job.texts.is_empty() {
            job.finish(out);
        } else {
            out(job.job, Output::Progress);
            self.jobs.push_back(job);
        }
    }
}

impl Job {
    /// The vector of the first text, of length one, whatever the pooling.
    fn close_text(&mut self) {
        let length = self.sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        let scale = if length > 0. { length.recip() } else { 0. };
        self.done.extend(self.sum.iter().map(|value| (value * scale) as f32));
        self.sum.clear();
        self.read = 0;
        self.texts.pop_front();
    }

    fn finish(self, out: &mut dyn FnMut(JobId, Output)) {
        let dimensions = self.done.len() as u64 / self.count.max(1);
        let data = self.done.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = vec![self.count, dimensions];
        let tensor = Tensor { name: "embedding".to_owned(), datatype: Datatype::Fp32, shape, data };
        out(self.job, Output::Piece(Piece::Outputs(vec![tensor])));
        let cost = Cost {
            queued: micros(self.queued),
            prefill: micros(self.started.elapsed()),
            prompt_tokens: self.prompt_tokens,
            ..Cost::default()
        };
        out(self.job, Output::Done(cost));
    }
}
