//! The engine: one session, one call per step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hither_engine::engine::{Engine, JobFault, JobId, Loaded, Output};
use hither_engine::validate;
use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_types::model::{ModelIo, TensorSpec};
use hither_types::refusal::InputFault;
use hither_types::request::Cost;
use hither_types::unit::Micros;
use ort::session::{Session, SessionInputValue};

use crate::open::zeros;
use crate::tensor::{IntoError, from_value, into_value};

/// An ONNX model that is open.
pub struct OnnxEngine {
    session: Session,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    description: String,
    waiting: VecDeque<(JobId, Work, Instant)>,
}

impl OnnxEngine {
    pub(crate) fn new(session: Session, inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>) -> Self {
        Self { session, inputs, outputs, description: String::new(), waiting: VecDeque::new() }
    }

    pub(crate) fn describe(&mut self, description: String) {
        self.description = description;
    }

    pub(crate) fn warm_up(&mut self) -> Result<(), String> {
        let inputs = self.inputs.iter().map(zeros).collect::<Result<_, _>>()?;
        match self.answer(&InferWork { inputs, outputs: Vec::new() }) {
            Ok(_) => Ok(()),
            Err(JobFault::Input(fault)) => Err(fault.to_string()),
            Err(JobFault::Engine(reason)) => Err(reason),
        }
    }

    /// What the node is told.
    pub fn loaded(&self) -> Loaded {
        let io = ModelIo::Tensors { inputs: self.inputs.clone(), outputs: self.outputs.clone() };
        Loaded { io, slots: 1, engine: self.description.clone() }
    }

    /// Runs the model. The duration is the library's own.
    fn answer(&mut self, work: &InferWork) -> Result<(Vec<Tensor>, Duration), JobFault> {
        validate(work, &self.inputs, &self.outputs).map_err(JobFault::Input)?;
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
        let wanted = self.outputs.iter().map(|spec| spec.name.as_str());
        let wanted: Vec<&str> = match work.outputs.is_empty() {
            true => wanted.collect(),
            false => work.outputs.iter().map(String::as_str).collect(),
        };
        let output = |name: &str| {
            let value = results.get(name).ok_or_else(|| JobFault::Engine(format!("the model gave no {name:?}")))?;
            from_value(name, value).map_err(JobFault::Engine)
        };
        Ok((wanted.into_iter().map(output).collect::<Result<_, _>>()?, took))
    }
}

impl Engine for OnnxEngine {
    fn admit(&mut self, job: JobId, work: Work, _resume: Vec<u32>) {
        self.waiting.push_back((job, work, Instant::now()));
    }

    fn cancel(&mut self, job: JobId) {
        self.waiting.retain(|(waiting, _, _)| *waiting != job);
    }

    fn step(&mut self, out: &mut dyn FnMut(JobId, Output)) -> bool {
        let Some((job, work, since)) = self.waiting.pop_front() else {
            return false;
        };
        let queued = micros(since.elapsed());
        let answer = match work {
            Work::Infer(work) => self.answer(&work),
            Work::Generate(_) | Work::Embed(_) => {
                let text = "the model takes tensors, and a text came".to_owned();
                Err(JobFault::Input(InputFault::Other(text)))
            }
        };
        match answer {
            Ok((tensors, took)) => {
                out(job, Output::Piece(Piece::Outputs(tensors)));
                out(job, Output::Done(Cost { queued, prefill: micros(took), ..Cost::default() }));
            }
            Err(fault) => out(job, Output::Failed(fault)),
        }
        !self.waiting.is_empty()
    }
}

fn micros(span: Duration) -> Micros {
    Micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}
