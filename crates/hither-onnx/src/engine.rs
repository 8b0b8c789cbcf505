//! The engine: one session, at most one call per step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hither_engine::engine::{Engine, JobFault, JobId, Loaded, Output};
use hither_engine::validate;
use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_types::model::{Device, ModelIo, TensorSpec};
use hither_types::refusal::InputFault;
use hither_types::request::Cost;
use hither_types::unit::Micros;
use ort::session::{Session, SessionInputValue};

use crate::batch::{self, Batching, Closeness};
use crate::open::zeros;
use crate::tensor::{IntoError, from_value, into_value};

/// An ONNX model that is open.
pub struct OnnxEngine {
    session: Session,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    pub(crate) device: Device,
    pub(crate) fallback: Option<String>,
    pub(crate) description: String,
    batching: Batching,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    job: JobId,
    since: Instant,
    /// The work, if it fits the model.
    work: Result<InferWork, JobFault>,
    /// The rows that it brings to a batch; none if it goes alone.
    rows: Option<u64>,
}

/// What the call of the library took, and what it gave.
type Answer = Result<(Vec<Tensor>, Duration), JobFault>;

impl OnnxEngine {
    pub(crate) fn new(session: Session, inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>) -> Self {
        Self {
            session,
            inputs,
            outputs,
            device: Device::Cpu,
            fallback: None,
            description: String::new(),
            batching: Batching::OFF,
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn warm_up(&mut self) -> Result<(), String> {
        let inputs = self.inputs.iter().map(zeros).collect::<Result<_, _>>()?;
        self.answer(&InferWork { inputs, outputs: Vec::new() }).map(drop).map_err(reason)
    }

    /// Lets jobs go together, if the model is such that they may: tried on two rows, alone and together.
    pub(crate) fn batch(&mut self, batching: Batching) -> Result<(), String> {
        if !batch::has_rows(&self.inputs) || !batch::has_rows(&self.outputs) {
            return Err("an input or output has no free first dimension".to_owned());
        }
        let [one, two] = batch::samples(&self.inputs)?;
        let together = InferWork { inputs: batch::join(&[&one, &two]), outputs: Vec::new() };
        let mut run = |work: &InferWork| self.answer(work).map(|(tensors, _)| tensors).map_err(reason);
        let alone = [run(&one)?, run(&two)?];
        let together = batch::split(&run(&together)?, &[1, 1]).ok_or("an output has not a row for each row")?;
        if !alone.iter().zip(&together).all(|(alone, together)| {
            let close = Closeness::ON_ONE_DEVICE;
            batch::agree(alone, together, close)
        }) {
            return Err("rows that go together get other answers than alone".to_owned());
        }
        self.batching = batching;
        Ok(())
    }

    /// Whether this engine answers like another of the same model, for one row and for two.
    pub(crate) fn must_equal(&mut self, other: &mut Self) -> Result<(), String> {
        let [one, two] = batch::samples(&self.inputs)?;
        let together = InferWork { inputs: batch::join(&[&one, &two]), outputs: Vec::new() };
        let both = if batch::has_rows(&self.inputs) { vec![one, together] } else { vec![one] };
        for work in both {
            // What the other cannot answer says nothing about this one.
            let Ok((wanted, _)) = other.answer(&work) else { continue };
            let (found, _) = self.answer(&work).map_err(reason)?;
            if !batch::agree(&found, &wanted, Closeness::BETWEEN_DEVICES) {
                return Err("it gives other answers than the cpu".to_owned());
            }
        }
        Ok(())
    }

    /// What the node is told.
    pub fn loaded(&self) -> Loaded {
        Loaded {
            io: ModelIo::Tensors { inputs: self.inputs.clone(), outputs: self.outputs.clone() },
            slots: self.batching.rows.max(1),
            batch: self.batching.rows.max(1),
            device: self.device,
            fallback: self.fallback.clone(),
            engine: self.description.clone(),
        }
    }

    /// Runs the model on what fits it. The duration is the library's own.
    fn answer(&mut self, work: &InferWork) -> Answer {
        let value = |tensor: &Tensor| match into_value(tensor) {
            Ok(value) => Ok((tensor.name.clone(), SessionInputValue::from(value))),
            Err(IntoError::Content(text)) => Err(JobFault::Input(InputFault::Tensor(text))),
            Err(IntoError::Library(text)) => Err(JobFault::Engine(text)),
        };
        let values = work.inputs.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now();
        let results = self.session.run(values);
        let took = start.elapsed();
        let results = results.map_err(|error| JobFault::Engine(error.to_string()))?;
        let output = |name: &str| {
            let value = results.get(name).ok_or_else(|| JobFault::Engine(format!("the model gave no {name:?}")))?;
            from_value(name, value).map_err(JobFault::Engine)
        };
        let wanted: Vec<&str> = match work.outputs.is_empty() {
            true => self.outputs.iter().map(|spec| spec.name.as_str()).collect(),
            false => work.outputs.iter().map(String::as_str).collect(),
        };
        Ok((wanted.into_iter().map(output).collect::<Result<_, _>>()?, took))
    }

    /// Which of those that wait go together with the first, and whether more would fit.
    fn gather(&self) -> (Vec<usize>, bool) {
        let most = u64::from(self.batching.rows);
        let Some(Waiting { work: Ok(first), rows: Some(own), .. }) = self.waiting.front() else {
            return (vec![0], false);
        };
        let mut rows = *own;
        let mut together = vec![0];
        for (place, other) in self.waiting.iter().enumerate().skip(1) {
            let (Ok(work), Some(more)) = (&other.work, other.rows) else { continue };
            if !batch::alike(first, work) {
                continue;
            }
            if rows + more > most {
                return (together, false);
            }
            rows += more;
            together.push(place);
        }
        (together, rows < most)
    }

    /// How long the first that waits may still wait for others.
    fn patience(&self, since: Instant) -> Duration {
        self.batching.delay.saturating_sub(since.elapsed())
    }

    /// Runs one job.
    fn run_alone(&mut self, waiting: Waiting, out: &mut dyn FnMut(JobId, Output)) {
        let Waiting { job, since, work, .. } = waiting;
        let queued = micros(since.elapsed());
        match work.and_then(|work| self.answer(&work)) {
            Ok((tensors, took)) => finish(job, tensors, queued, took, out),
            Err(fault) => out(job, Output::Failed(fault)),
        }
    }

    /// Runs several jobs in one call. If that fails, each goes alone afterwards, so that it answers for itself only.
    fn run_together(&mut self, mut batch: Vec<Waiting>, out: &mut dyn FnMut(JobId, Output)) {
        let begun = Instant::now();
        let works: Vec<&InferWork> = batch.iter().filter_map(|waiting| waiting.work.as_ref().ok()).collect();
        let rows: Vec<u64> = batch.iter().filter_map(|waiting| waiting.rows).collect();
        let joined = InferWork { inputs: batch::join(&works), outputs: Vec::new() };
        let answer = self.answer(&joined);
        if let Ok((tensors, took)) = answer
            && let Some(answers) = batch::split(&tensors, &rows)
        {
            for (waiting, mut tensors) in batch.into_iter().zip(answers) {
                if let Ok(work) = waiting.work
                    && !work.outputs.is_empty()
                {
                    let named = |name: &String| tensors.iter().find(|tensor| tensor.name == *name).cloned();
                    tensors = work.outputs.iter().filter_map(named).collect();
                }
                finish(waiting.job, tensors, micros(begun.saturating_duration_since(waiting.since)), took, out);
            }
            return;
        }
        while let Some(mut waiting) = batch.pop() {
            waiting.rows = None;
            self.waiting.push_front(waiting);
        }
    }
}

impl Engine for OnnxEngine {
    fn admit(&mut self, job: JobId, work: Work, _resume: Vec<u32>) {
        let work = match work {
            Work::Infer(work) => validate(&work, &self.inputs, &self.outputs).map(|()| work).map_err(JobFault::Input),
            Work::Generate(_) | Work::Embed(_) | Work::Train(_) => {
                let text = "the model takes tensors, and a text came".to_owned();
                Err(JobFault::Input(InputFault::Other(text)))
            }
        };
        let most = u64::from(self.batching.rows);
        let rows = work.as_ref().ok().and_then(batch::rows).filter(|rows| self.batching.is_on() && *rows < most);
        self.waiting.push_back(Waiting { job, since: Instant::now(), work, rows });
    }

    fn cancel(&mut self, job: JobId) {
        self.waiting.retain(|waiting| waiting.job != job);
    }

    fn step(&mut self, out: &mut dyn FnMut(JobId, Output)) -> bool {
        let Some(first) = self.waiting.front() else { return false };
        let since = first.since;
        let (together, more_fit) = self.gather();
        if more_fit && !self.patience(since).is_zero() {
            return true;
        }
        // From the back, so that the places of the others stay right.
        let mut batch: Vec<Waiting> = together.iter().rev().filter_map(|place| self.waiting.remove(*place)).collect();
        batch.reverse();
        match <[Waiting; 1]>::try_from(batch) {
            Ok([alone]) => self.run_alone(alone, out),
            Err(batch) => self.run_together(batch, out),
        }
        !self.waiting.is_empty()
    }

    fn rest(&self) -> Duration {
        match self.waiting.front() {
            Some(first) if first.rows.is_some() && self.gather().1 => self.patience(first.since),
            _ => Duration::ZERO,
        }
    }
}

fn finish(job: JobId, tensors: Vec<Tensor>, queued: Micros, took: Duration, out: &mut dyn FnMut(JobId, Output)) {
    out(job, Output::Piece(Piece::Outputs(tensors)));
    // The whole call: so long the job was in the library, and so long the next one would be.
    out(job, Output::Done(Cost { queued, prefill: micros(took), ..Cost::default() }));
}

fn reason(fault: JobFault) -> String {
    match fault {
        JobFault::Input(fault) => fault.to_string(),
        JobFault::Engine(reason) => reason,
    }
}

fn micros(span: Duration) -> Micros {
    Micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}
