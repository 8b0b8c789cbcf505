//! The engines: which are here, and whether a worker can load them. What devices an engine sees, only it can say: a
//! worker that lists them belongs here, as one more check.

use std::path::{Path, PathBuf};

use super::sandbox::self_test;
use super::{Area, Check};
use crate::worker::Line;

pub(super) fn checks(configured: Option<PathBuf>) -> Vec<Check> {
    let library = hither_node::library::find(configured);
    let tried = library.as_deref().map(|library| self_test("onnx", Some(library)));
    vec![onnx(library.as_deref(), tried), llama(self_test("gguf", None))]
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
    fn the_devices_of_the_language_engine_are_told() {
        assert_eq!(llama(Ok("engine: CPU (Some Core)\n".into())).found, "built in; computes on CPU (Some Core)");
        assert_eq!((llama(Ok(String::new())).state, llama(Err("died".into())).state), (State::Fail, State::Fail));
    }
}
