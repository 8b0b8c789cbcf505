//! Which devices ONNX models can run on, and what of the machine a worker needs for them.

use std::error::Error;
use std::path::{Path, PathBuf};

use hither_onnx::{Provider, Runtime, find_providers};
use hither_types::model::{Device, DeviceChoice};
use serde::{Deserialize, Serialize};

use super::WorkerArgs;

/// Device nodes of accelerators: graphics and the kernel's own class of accelerators, NVIDIA's, AMD's.
const NODES: &[&str] = &["/dev/dri", "/dev/accel"];

/// What the names of further ones begin with.
const NODE_BEGINNINGS: &[&str] = &["nvidia", "kfd", "dxg"];

/// A line of `hither worker --devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum DeviceLine {
    /// A device that models can run on.
    Device {
        /// `cpu`, `gpu` or `npu`.
        device: String,
        /// The provider that offers it.
        provider: String,
        /// Who made it; empty if unknown.
        vendor: String,
    },
    /// A provider that is registered, whether it has a device or not.
    Provider {
        /// Its name.
        name: String,
        /// The shared library.
        path: PathBuf,
        /// How many devices it has here.
        devices: usize,
    },
    /// A provider that is on disk and cannot be used.
    Unusable {
        /// Its name.
        name: String,
        /// The shared library.
        path: PathBuf,
        /// The library's own text.
        reason: String,
    },
}

/// Registers all providers that are found. What cannot be used is given back with the reason.
pub(super) fn register(runtime: &Runtime, dirs: &[PathBuf]) -> Vec<(Provider, String)> {
    let refused = |provider: Provider| runtime.register(&provider).err().map(|reason| (provider, reason));
    find_providers(dirs).into_iter().filter_map(refused).collect()
}

/// Prints what there is, one JSON object per line.
pub(super) fn report(library: Option<&Path>, dirs: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let library = library.ok_or("which devices there are is ONNX Runtime's to say: --library PATH")?;
    let runtime = Runtime::load(library)?;
    let refused = register(&runtime, dirs);
    let devices = runtime.devices();
    let line = |facts: &hither_onnx::DeviceFacts| DeviceLine::Device {
        device: facts.device.as_str().to_owned(),
        provider: facts.provider.clone(),
        vendor: facts.vendor.clone(),
    };
    let mut lines: Vec<DeviceLine> = devices.iter().map(line).collect();
    for Provider { name, path } in find_providers(dirs) {
        let name = name.to_owned();
        lines.push(match refused.iter().find(|(provider, _)| provider.path == path) {
            Some((_, reason)) => DeviceLine::Unusable { name, path, reason: reason.clone() },
            None => {
                let devices = devices.iter().filter(|facts| facts.provider == name).count();
                DeviceLine::Provider { name, path, devices }
            }
        });
    }
    for line in lines {
        println!("{}", serde_json::to_string(&line)?);
    }
    Ok(())
}

/// What a worker may open beside its model: nothing, unless a device other than the CPU is there and wanted.
pub(super) fn reach(runtime: &Runtime, args: &WorkerArgs) -> Vec<PathBuf> {
    let is_wanted = |device: Device| match args.device {
        DeviceChoice::Auto => device != Device::Cpu,
        DeviceChoice::Only(only) => device == only && device != Device::Cpu,
    };
    if args.provider.is_none() && !runtime.devices().iter().any(|facts| is_wanted(facts.device)) {
        return Vec::new();
    }
    let named =
        std::fs::read_dir("/dev").into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let begins = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        NODE_BEGINNINGS.iter().any(|begin| name.starts_with(begin))
    };
    let nodes = NODES.iter().map(PathBuf::from).chain(named.filter(begins));
    nodes.chain(args.providers.iter().cloned()).filter(|path| path.exists()).collect()
}
