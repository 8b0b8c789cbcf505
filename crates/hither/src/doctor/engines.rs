//! The engines: which are here, whether a worker can load them, and on which devices they compute, which only they can
//! say.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hither_node::config::NodeConfig;

use super::sandbox::self_test;
use super::{Area, Check};
use crate::worker::Line;
use crate::worker::devices::DeviceLine;

pub(super) fn checks(config: Option<&NodeConfig>) -> Vec<Check> {
    let library = hither_node::library::find(config.and_then(|config| config.library.clone()));
    let tried = library.as_deref().map(|library| self_test("onnx", Some(library)));
    let beside = library.as_deref().and_then(hither_node::library::providers_beside);
    let providers: Vec<PathBuf> =
        config.into_iter().flat_map(|config| config.providers.iter().cloned()).chain(beside).collect();
    let listed = library.as_deref().map(|library| listed(library, &providers));
    let devices = listed.into_iter().flat_map(devices);
    let (onnx, llama) = (onnx(library.as_deref(), tried), llama(self_test("gguf", None)));
    std::iter::once(onnx).chain(devices).chain([llama]).collect()
}

/// What a worker says of the devices that ONNX models can run on.
fn listed(library: &Path, providers: &[PathBuf]) -> Result<String, String> {
    let text = |error: std::io::Error| format!("no worker can be asked: {error}");
    let mut command = Command::new(std::env::current_exe().map_err(text)?);
    command.args(["worker", "--devices", "--library"]).arg(library);
    providers.iter().for_each(|dir| {
        command.arg("--providers").arg(dir);
    });
    let output = command.stdin(Stdio::null()).output().map_err(text)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("a worker that was asked ended with {}", output.status)),
    }
}

/// The devices of ONNX Runtime, and each provider that is on disk.
fn devices(listed: Result<String, String>) -> Vec<Check> {
    const NAME: &str = "ONNX devices";
    let text = match listed {
        Ok(text) => text,
        Err(reason) => return vec![Check::warn(Area::Engines, NAME, reason, "hither worker --devices --library PATH")],
    };
    let lines: Vec<DeviceLine> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let name = |line: &DeviceLine| match line {
        DeviceLine::Device { device, provider, .. } => Some(format!("{device} ({provider})")),
        DeviceLine::Provider { .. } | DeviceLine::Unusable { .. } => None,
    };
    let found: Vec<String> = lines.iter().filter_map(name).collect();
    let found = if found.is_empty() { "the CPU alone".to_owned() } else { found.join(", ") };
    let of_provider = |line: &DeviceLine| match line {
        DeviceLine::Device { .. } => None,
        DeviceLine::Provider { name, devices, path } if *devices > 0 => {
            Some(Check::ok(Area::Engines, "provider", format!("{name} has {devices} devices here: {}", path.display())))
        }
        DeviceLine::Provider { name, path, .. } => {
            let found = format!("{name} loads and has no device here: {}", path.display());
            Some(Check::warn(Area::Engines, "provider", found, "install the driver of the device, or remove the file"))
        }
        DeviceLine::Unusable { name, path, reason } => {
            let found = format!("{name} cannot be used ({reason}): {}", path.display());
            Some(Check::warn(Area::Engines, "provider", found, "take the one made for this ONNX Runtime, or remove it"))
        }
    };
    let providers = lines.iter().filter_map(of_provider);
    std::iter::once(Check::ok(Area::Engines, NAME, found)).chain(providers).collect()
}

fn onnx(library: Option<&Path>, tried: Option<Result<String, String>>) -> Check {
    const NAME: &str = "ONNX Runtime";
    let (Some(library), Some(tried)) = (library, tried) else {
        let fix = "scripts/fetch-models, or name it in hither.toml: [models] library = \"/path/libonnxruntime.so\"";
        return Check::warn(Area::Engines, NAME, "its library is not found: ONNX models are refused", fix);
    };
    let path = library.display();
    let found = match tried {
        Ok(text) if text.lines().filter_map(Line::parse).any(|(kind, _)| kind == Line::Engine) => {
            let missing = text.lines().filter_map(Line::parse).filter(|(kind, _)| *kind == Line::Missing);
            let missing: Vec<&str> = missing.map(|(_, text)| text).collect();
            if missing.is_empty() {
                return Check::ok(Area::Engines, NAME, format!("{}, loads: {path}", version(library)));
            }
            format!("{path} loads, and its workers run without {}", missing.join(", "))
        }
        Ok(_) => format!("a worker does not say whether {path} loads"),
        Err(reason) => {
            let fix = "1.24 or later is needed: scripts/fetch-models takes a fitting one";
            return Check::fail(Area::Engines, NAME, format!("{path} does not load: {reason}"), fix);
        }
    };
    Check::warn(Area::Engines, NAME, found, "export ORT_DISABLE_TELEMETRY=1, and use the library of the package")
}

/// The name carries the version wherever it is installed.
fn version(library: &Path) -> String {
    let name = library.file_name().unwrap_or_default().to_string_lossy();
    name.split_once(".so.").map_or_else(|| "of an unknown version".to_owned(), |(_, version)| version.to_owned())
}

fn llama(tried: Result<String, String>) -> Check {
    const NAME: &str = "llama.cpp";
    let fix = "hither worker --fd 0 --format gguf --model /dev/null --self-test </dev/null shows what it says";
    match tried {
        Ok(text) => match text.lines().filter_map(Line::parse).find(|(kind, _)| *kind == Line::Engine) {
            Some((_, devices)) => Check::ok(Area::Engines, NAME, format!("built in; computes on {devices}")),
            None => Check::fail(Area::Engines, NAME, "a worker does not say what it computes on", fix),
        },
        Err(reason) => Check::fail(Area::Engines, NAME, reason, fix),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_library_that_is_absent_warns_and_one_that_does_not_load_fails() {
        assert_eq!(onnx(None, None).state, State::Warn);
        let library = Path::new("/lib/libonnxruntime.so.1.32.0");
        let tried = |text: &str| onnx(Some(library), Some(Ok(text.to_owned())));
        assert_eq!(
            tried("engine: ONNX Runtime loads from /lib\nlayer: seccomp\n").found,
            format!("1.32.0, loads: {}", library.display())
        );
        assert_eq!(tried("engine: x\nmissing: landlock for 1 threads that were there before it\n").state, State::Warn);
        assert_eq!(tried("").state, State::Warn);
        assert_eq!(onnx(Some(library), Some(Err("too old".into()))).state, State::Fail);
    }

    #[test]
    fn devices_and_providers_are_told_each_with_what_to_do() {
        let text = concat!(
            r#"{"kind":"device","device":"cpu","provider":"CPUExecutionProvider","vendor":"AMD"}"#,
            "\n",
            r#"{"kind":"provider","name":"WebGpuExecutionProvider","path":"/p/w.so","devices":0}"#,
            "\n",
            r#"{"kind":"unusable","name":"OpenVINOExecutionProvider","path":"/p/o.so","reason":"too old"}"#,
        );
        let checks = devices(Ok(text.to_owned()));
        let found: Vec<(State, &str)> = checks.iter().map(|check| (check.state, check.found.as_str())).collect();
        assert_eq!(
            found,
            [
                (State::Ok, "cpu (CPUExecutionProvider)"),
                (State::Warn, "WebGpuExecutionProvider loads and has no device here: /p/w.so"),
                (State::Warn, "OpenVINOExecutionProvider cannot be used (too old): /p/o.so"),
            ]
        );
        assert_eq!(devices(Ok(String::new()))[0].found, "the CPU alone");
        assert_eq!(devices(Err("gone".into()))[0].state, State::Warn);
    }

    #[test]
    fn the_devices_of_the_language_engine_are_told() {
        assert_eq!(llama(Ok("engine: CPU (Some Core)\n".into())).found, "built in; computes on CPU (Some Core)");
        assert_eq!((llama(Ok(String::new())).state, llama(Err("died".into())).state), (State::Fail, State::Fail));
    }
}
