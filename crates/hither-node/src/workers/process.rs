//! The process of a worker: what it is given, how much memory it may take, and how it ended.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use hither_types::model::{Device, DeviceChoice, ModelFormat};
use hither_types::refusal::Crash;
use tokio::process::Child;

use crate::config::NodeConfig;
use crate::config::model::ModelConfig;

/// The variables of the node's environment that a worker is given: where libraries lie, and which devices it may use.
/// Nothing else, for the environment of a service is where its secrets are.
pub(super) const GIVEN: &[&str] = &[
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "GGML_VK_VISIBLE_DEVICES",
];

/// What accelerators look like from here: their drivers reserve more addresses than any machine has memory.
const ACCELERATORS: &[&str] = &["/dev/dri", "/dev/accel", "/dev/kfd", "/dev/nvidiactl"];

/// The most memory that a worker may take, in bytes: as the configuration says, else all that the machine has, so that
/// what asks for more fails alone. `None` where nobody knows, and for a worker that uses a GPU, whose driver reserves
/// more addresses than there is memory.
pub(super) fn memory_limit(config: &NodeConfig, settings: &ModelConfig) -> Option<u64> {
    let cpu = settings.device == Some(DeviceChoice::Only(Device::Cpu));
    let accelerated = !cpu
        && config.providers.iter().any(|dir| dir.is_dir())
        && ACCELERATORS.iter().any(|node| Path::new(node).exists());
    if accelerated {
        return None;
    }
    config.worker_memory.or_else(|| crate::machine::memory(Path::new("/")).map(|memory| memory.most()))
}

/// The command line and the environment of a worker.
pub(super) fn command(
    config: &NodeConfig,
    (format, settings): (ModelFormat, &ModelConfig),
    model: &Path,
    memory: Option<u64>,
) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(&config.program);
    command.args(["worker", "--fd", "0", "--format", format.as_str(), "--model"]).arg(model);
    command.args(["--threads", &config.threads.to_string()]);
    command.args(["--context-tokens", &config.context_tokens.to_string(), "--slots", &config.slots.to_string()]);
    if let (ModelFormat::Onnx, Some(library)) = (format, &config.library) {
        command.arg("--library").arg(library);
        let device = settings.device.unwrap_or_default();
        command.args(["--device", device.as_str()]);
        if device != DeviceChoice::Only(Device::Cpu) {
            config.providers.iter().for_each(|dir| {
                command.arg("--providers").arg(dir);
            });
        }
        let (rows, delay_us) = (settings.max_batch.max(1), settings.max_delay.as_micros());
        command.args(["--batch", &rows.to_string(), "--batch-delay-us", &delay_us.to_string()]);
    }
    if let Some(bytes) = memory {
        command.args(["--memory-bytes", &bytes.to_string()]);
    }
    command.env_clear().envs(GIVEN.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdout(Stdio::null()).kill_on_drop(true);
    command
}

/// Waits for the end of a worker whose socket is closed, and says how it was. One that lives on is killed.
pub(super) async fn end_of(child: &mut Child) -> Crash {
    // A process that is ending already keeps the signal that ended it.
    let _ = child.start_kill();
    child.wait().await.map_or(Crash::Exit(u8::MAX), crash_of)
}

fn crash_of(status: ExitStatus) -> Crash {
    let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match status.signal() {
        Some(signal) => Crash::Signal(small(signal)),
        None => Crash::Exit(small(status.code().unwrap_or(0))),
    }
}
