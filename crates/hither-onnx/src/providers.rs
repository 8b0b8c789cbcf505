//! Execution providers: shared libraries beside ONNX Runtime that bring it to other devices. They are found on disk by
//! their file names; nothing is compiled in.
//!
//! Registering one runs its code, so they are looked for only where the operator or the package put them, and before
//! the sandbox closes.

use std::path::{Path, PathBuf};

use hither_types::model::Device;
use ort::environment::Environment;
use ort::memory::DeviceType;

#[cfg(test)]
mod tests;

/// What stands in the file name, and the name by which ONNX Runtime knows the provider; the vendors' own first, since
/// several may offer one device.
const KNOWN: &[(&str, &str)] = &[
    ("nv_tensorrt_rtx", "NvTensorRTRTXExecutionProvider"),
    ("tensorrt", "TensorrtExecutionProvider"),
    ("cuda", "CUDAExecutionProvider"),
    ("qnn", "QNNExecutionProvider"),
    ("vitisai", "VitisAIExecutionProvider"),
    ("migraphx", "MIGraphXExecutionProvider"),
    ("cann", "CANNExecutionProvider"),
    ("openvino", "OpenVINOExecutionProvider"),
    ("webgpu", "WebGpuExecutionProvider"),
];

/// A provider on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The name by which ONNX Runtime knows it.
    pub name: &'static str,
    /// The shared library.
    pub path: PathBuf,
}

/// A device that ONNX Runtime, with the providers that are registered, can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    /// What it is.
    pub device: Device,
    /// The provider that offers it.
    pub provider: String,
    /// Who made it; empty if the provider does not say.
    pub vendor: String,
}

/// The providers in these directories and the directories in them, each once: the first that is found counts.
pub fn find(dirs: &[PathBuf]) -> Vec<Provider> {
    let mut found: Vec<Provider> = Vec::new();
    for dir in dirs {
        let below = entries(dir).into_iter().filter(|path| path.is_dir());
        for path in std::iter::once(dir.clone()).chain(below).flat_map(|dir| entries(&dir)) {
            if let Some(name) = name_of(&path)
                && found.iter().all(|provider| provider.name != name)
            {
                found.push(Provider { name, path });
            }
        }
    }
    found.sort_by_key(|provider| rank(provider.name));
    found
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths
}

/// `libonnxruntime_providers_openvino_plugin.so`; not `libonnxruntime_providers_shared.so`, which is none.
fn name_of(path: &Path) -> Option<&'static str> {
    let file = path.file_name()?.to_str()?;
    let middle = file.strip_prefix("lib").unwrap_or(file).strip_prefix("onnxruntime_providers_")?;
    let middle = middle.strip_suffix(".so").or_else(|| middle.strip_suffix(".dylib"))?;
    let key = middle.strip_suffix("_plugin").or_else(|| middle.strip_suffix("_ep")).unwrap_or(middle);
    KNOWN.iter().find(|(known, _)| *known == key).map(|(_, name)| *name)
}

/// The place of a provider in the order of preference.
pub(crate) fn rank(name: &str) -> usize {
    KNOWN.iter().position(|(_, known)| *known == name).unwrap_or(KNOWN.len())
}

/// What runs where, the processor itself first.
pub(crate) fn devices(environment: &Environment) -> Vec<DeviceFacts> {
    let facts = |device: ort::device::Device<'_>| DeviceFacts {
        device: kind(&device),
        provider: device.ep().unwrap_or_default().to_owned(),
        vendor: device.hardware_device().vendor().unwrap_or_default().to_owned(),
    };
    let mut all: Vec<DeviceFacts> = environment.devices().map(facts).collect();
    all.sort_by_key(|facts| (facts.device, rank(&facts.provider)));
    all
}

pub(crate) fn kind(device: &ort::device::Device<'_>) -> Device {
    match device.hardware_device().ty() {
        DeviceType::GPU => Device::Gpu,
        DeviceType::NPU => Device::Npu,
        _ => Device::Cpu,
    }
}
