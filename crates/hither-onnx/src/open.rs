//! From a library and a file to an engine that has answered once.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hither_engine::limits::MAX_FRAME;
use hither_engine::work::Tensor;
use hither_types::model::{Datatype, Device, DeviceChoice, TensorSpec};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, ValueType};

use crate::batch::Batching;
use crate::engine::OnnxEngine;
use crate::providers::{self, DeviceFacts, Provider};
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

/// How a model is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Threads of one call; at least 1.
    pub threads: usize,
    /// The device that is wanted.
    pub device: DeviceChoice,
    /// Only devices of this provider, a CPU included, by its name in ONNX Runtime; `None` for any.
    pub provider: Option<String>,
    /// Whether jobs go together.
    pub batching: Batching,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threads: 1, device: DeviceChoice::Auto, provider: None, batching: Batching::OFF }
    }
}

/// ONNX Runtime, loaded. Loading opens files, so it comes before a sandbox; opening a model comes after.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    version: String,
    /// Providers that could not be registered, and why.
    refused: Mutex<Vec<String>>,
}

/// The provider that is in the library itself.
const CPU: &str = "CPUExecutionProvider";

/// A device and the provider that offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    device: Device,
    provider: String,
}

/// Whether what a provider cannot run may run on the CPU instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    OnCpu,
    Nowhere,
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
        Ok(Self { environment, version, refused: Mutex::default() })
    }

    /// Registers a provider: from then on its devices are among [`Runtime::devices`]. It opens files, so it comes
    /// before a sandbox. The error is the library's own text.
    pub fn register(&self, provider: &Provider) -> Result<(), String> {
        let registered = self.environment.register_ep_library(provider.name, &provider.path);
        registered.map_err(|error| error.to_string()).inspect_err(|reason| {
            self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{}: {reason}", provider.name));
        })
    }

    /// The devices that models can run on, the CPU first.
    pub fn devices(&self) -> Vec<DeviceFacts> {
        providers::devices(&self.environment)
    }

    /// Opens a model and runs it once on zeros, so that the first client does not pay for what is set up lazily.
    ///
    /// On the first device of those wanted that gives the CPU's answers; else on the CPU, and
    /// [`OnnxEngine::loaded`] says why.
    pub fn open(&self, model: &Path, settings: &Settings) -> Result<OnnxEngine, OpenError> {
        let cpu = Candidate { device: Device::Cpu, provider: CPU.to_owned() };
        let mut engine = opened(self.session(model, settings.threads, &cpu, Rest::OnCpu).map_err(OpenError::Model)?)?;
        let warmth = engine.warm_up();
        let candidates = self.candidates(settings);
        let mut reasons = Vec::new();
        if candidates.is_empty() {
            reasons.extend(self.absent(settings));
        }
        for candidate in candidates {
            let device = candidate.device.as_str();
            for rest in [Rest::Nowhere, Rest::OnCpu] {
                match self.open_on(model, settings.threads, &candidate, rest, &mut engine) {
                    Ok(mut engine) => {
                        if rest == Rest::OnCpu {
                            reasons.push(format!("{} takes only a part, the cpu the rest", candidate.provider));
                        }
                        self.describe(&mut engine, &candidate, reasons, settings.batching);
                        return Ok(engine);
                    }
                    Err(_) if rest == Rest::Nowhere => {}
                    Err(error) => reasons.push(format!("{} on the {device}: {error}", candidate.provider)),
                }
            }
        }
        self.describe(&mut engine, &cpu, reasons, settings.batching);
        if let Err(reason) = warmth {
            engine.description.push_str(&format!(", not warmed up: {reason}"));
        }
        Ok(engine)
    }

    /// Why there is nothing to try, if something was asked for.
    fn absent(&self, settings: &Settings) -> Option<String> {
        let what = match (&settings.provider, settings.device) {
            (Some(provider), _) => format!("device of {provider}"),
            (None, DeviceChoice::Only(device)) if device != Device::Cpu => device.as_str().to_owned(),
            (None, _) => return None,
        };
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let refused: String = refused.iter().map(|text| format!("; {text}")).collect();
        Some(format!("there is no {what} that ONNX Runtime can use{refused}"))
    }

    /// The devices to try before the CPU, the best first. A provider that chooses among its own devices (its name has a
    /// dot in it) would hide which one it is.
    fn candidates(&self, settings: &Settings) -> Vec<Candidate> {
        let wanted: &[Device] = match (&settings.provider, settings.device) {
            (Some(_), DeviceChoice::Auto) => &[Device::Npu, Device::Gpu, Device::Cpu],
            (None, DeviceChoice::Auto) => &[Device::Npu, Device::Gpu],
            (Some(_), DeviceChoice::Only(Device::Cpu)) => &[Device::Cpu],
            (None, DeviceChoice::Only(Device::Cpu)) => &[],
            (_, DeviceChoice::Only(Device::Gpu)) => &[Device::Gpu],
            (_, DeviceChoice::Only(Device::Npu)) => &[Device::Npu],
        };
        let is_meant = |name: &str| match &settings.provider {
            Some(provider) => name == provider,
            None => !name.contains('.'),
        };
        let devices = self.devices();
        let mut candidates = Vec::new();
        for device in wanted {
            for facts in devices.iter().filter(|facts| facts.device == *device && is_meant(&facts.provider)) {
                let candidate = Candidate { device: *device, provider: facts.provider.clone() };
                if !candidates.contains(&candidate) {
                    candidates.push(candidate);
                }
            }
        }
        candidates
    }

    /// With a provider, whose answers must be those of the CPU: for one row and for two, since some fail only when a
    /// length changes.
    fn open_on(
        &self,
        model: &Path,
        threads: usize,
        candidate: &Candidate,
        rest: Rest,
        cpu: &mut OnnxEngine,
    ) -> Result<OnnxEngine, String> {
        let mut engine = opened(self.session(model, threads, candidate, rest)?).map_err(|error| error.to_string())?;
        engine.warm_up()?;
        engine.must_equal(cpu)?;
        Ok(engine)
    }

    fn describe(&self, engine: &mut OnnxEngine, on: &Candidate, reasons: Vec<String>, batching: Batching) {
        let provider = if on.provider == CPU { String::new() } else { format!(" with {}", on.provider) };
        engine.device = on.device;
        engine.description = format!("{}, ONNX Runtime{}{provider}", on.device.as_str(), self.version);
        if batching.is_on() {
            match engine.batch(batching) {
                Ok(()) => engine.description.push_str(&format!(", up to {} rows together", batching.rows)),
                Err(reason) => engine.description.push_str(&format!(", no batching: {reason}")),
            }
        }
        if !reasons.is_empty() {
            let reason = reasons.join("; ");
            engine.description.push_str(&format!(", {reason}"));
            engine.fallback = Some(reason);
        }
    }

    fn session(&self, model: &Path, threads: usize, on: &Candidate, rest: Rest) -> Result<Session, String> {
        let text = |error: ort::Error<SessionBuilder>| error.to_string();
        let builder = Session::builder(&self.environment).map_err(|error| error.to_string())?;
        let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(text)?;
        let builder = builder.with_intra_threads(threads.max(1)).map_err(text)?;
        // A thread that spins while it waits burns the cores of everything else on an edge machine.
        let mut builder = builder.with_intra_op_spinning(false).map_err(text)?;
        // Always named: ONNX Runtime would otherwise choose among all providers that are registered.
        let is_meant = |device: &ort::device::Device<'_>| {
            device.ep().is_ok_and(|name| name == on.provider) && providers::kind(device) == on.device
        };
        builder = builder.with_devices(self.environment.devices().filter(is_meant), None).map_err(text)?;
        if rest == Rest::Nowhere {
            builder = builder.with_disable_cpu_fallback().map_err(text)?;
        }
        builder.commit_from_file(model).map_err(|error| error.to_string())
    }
}

fn opened(session: Session) -> Result<OnnxEngine, OpenError> {
    let inputs = specs("input", session.inputs())?;
    let outputs = specs("output", session.outputs())?;
    Ok(OnnxEngine::new(session, inputs, outputs))
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
