//! From a library and a file to an engine that has answered once.

use std::path::{Path, PathBuf};

use hither_engine::limits::MAX_FRAME;
use hither_engine::work::Tensor;
use hither_types::model::{Datatype, TensorSpec};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, ValueType};

use crate::engine::OnnxEngine;
use crate::tensor::datatype_of;

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The library is absent, too old, or no ONNX Runtime.
    #[error("ONNX Runtime cannot be used from {path}: {reason}", path = path.display())]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The library refuses the file.
    #[error("ONNX Runtime refuses the model: {0}")]
    Model(String),
    /// An input or output is not a tensor of the protocol.
    #[error("{role} {name:?} of the model is {found}; only tensors of numbers, booleans or strings can be served")]
    NotServable {
        /// `input` or `output`.
        role: &'static str,
        /// Its name.
        name: String,
        /// What it is.
        found: String,
    },
}

/// ONNX Runtime, loaded. Loading opens files, so it comes before a sandbox; opening a model comes after.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    version: String,
}

/// Loads the library and opens a model with it.
pub fn open(library: &Path, model: &Path, threads: usize) -> Result<OnnxEngine, OpenError> {
    Runtime::load(library)?.open(model, threads)
}

impl Runtime {
    /// Loads the library. A process has one: after the first success, later calls give that one.
    pub fn load(library: &Path) -> Result<Self, OpenError> {
        let refused = |reason: String| OpenError::Library { path: library.to_owned(), reason };
        let builder = ort::init_from(library).map_err(|error| refused(error.to_string()))?;
        // The process that loads the library must also set ORT_DISABLE_TELEMETRY=1, before: this switch comes after the
        // library's database of its own use is open.
        let environment =
            builder.with_name("hither").with_telemetry(false).build().map_err(|error| refused(error.to_string()))?;
        // The name carries the version wherever it is installed: libonnxruntime.so.1.32.0.
        let version = library.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once(".so."));
        let version = version.map_or_else(String::new, |(_, version)| format!(" {version}"));
        Ok(Self { environment, version })
    }

    /// Opens a model and runs it once on zeros, so that the first client does not pay for what is set up lazily.
    pub fn open(&self, model: &Path, threads: usize) -> Result<OnnxEngine, OpenError> {
        let session = self.session(model, threads).map_err(OpenError::Model)?;
        let inputs = specs("input", session.inputs())?;
        let outputs = specs("output", session.outputs())?;
        let mut engine = OnnxEngine::new(session, inputs, outputs);
        let warmth = match engine.warm_up() {
            Ok(()) => String::new(),
            Err(reason) => format!(", not warmed up: {reason}"),
        };
        engine.describe(format!("cpu, ONNX Runtime{}{warmth}", self.version));
        Ok(engine)
    }

    fn session(&self, model: &Path, threads: usize) -> Result<Session, String> {
        let text = |error: ort::Error<SessionBuilder>| error.to_string();
        let builder = Session::builder(&self.environment).map_err(|error| error.to_string())?;
        let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(text)?;
        let builder = builder.with_intra_threads(threads.max(1)).map_err(text)?;
        // A thread that spins while it waits burns the cores of everything else on an edge machine.
        let mut builder = builder.with_intra_op_spinning(false).map_err(text)?;
        builder.commit_from_file(model).map_err(|error| error.to_string())
    }
}

fn specs(role: &'static str, outlets: &[Outlet]) -> Result<Vec<TensorSpec>, OpenError> {
    outlets.iter().map(|outlet| spec(role, outlet)).collect()
}

fn spec(role: &'static str, outlet: &Outlet) -> Result<TensorSpec, OpenError> {
    let refused = |found| OpenError::NotServable { role, name: outlet.name().to_owned(), found };
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(refused(format!("{} (a scikit-learn export wants zipmap=False)", outlet.dtype())));
    };
    let datatype = datatype_of(*ty).ok_or_else(|| refused(format!("a tensor of {ty}")))?;
    let shape = shape.iter().map(|dim| u64::try_from(*dim).ok()).collect();
    Ok(TensorSpec { name: outlet.name().to_owned(), datatype, shape })
}

/// A tensor of zeros (or empty strings) that fits, with 1 for every dimension that a request chooses.
pub(crate) fn zeros(spec: &TensorSpec) -> Result<Tensor, String> {
    let shape: Vec<u64> = spec.shape.iter().map(|dim| dim.unwrap_or(1)).collect();
    let size = spec.datatype.size().unwrap_or(size_of::<u32>()) as u64;
    let bytes = shape.iter().try_fold(size, |product, dim| product.checked_mul(*dim));
    let bytes = bytes.filter(|bytes| *bytes <= MAX_FRAME as u64);
    let bytes = bytes.ok_or_else(|| format!("input {:?} of shape {shape:?} is too large", spec.name))?;
    debug_assert!(spec.datatype != Datatype::Bytes || size == 4, "an empty string is its length alone");
    Ok(Tensor { name: spec.name.clone(), datatype: spec.datatype, shape, data: vec![0; bytes as usize] })
}
