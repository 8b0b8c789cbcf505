//! The sandbox: what a worker really gets on this kernel. A worker of this program closes it and tries the walls.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Area, Check};
use crate::worker::Line;

/// What the worker that tries may take: enough for every library, and a wall to run into.
const MEMORY: u64 = 1 << 30;

pub(super) fn checks() -> Vec<Check> {
    match self_test("stub", None) {
        Ok(text) => read(&text),
        Err(reason) => vec![Check::fail(Area::Sandbox, "worker", reason, "hither worker --help")],
    }
}

/// Runs a worker's self test, and gives what it printed.
pub(super) fn self_test(format: &str, library: Option<&Path>) -> Result<String, String> {
    let text = |error: std::io::Error| format!("no worker can be tried: {error}");
    let folder = Folder::make().map_err(text)?;
    let model = folder.0.join("model.stub");
    // Two files: a worker may read the one that is its own.
    std::fs::write(&model, hither_engine::stub::HEADER).map_err(text)?;
    std::fs::write(folder.0.join("other.stub"), hither_engine::stub::HEADER).map_err(text)?;
    let mut command = Command::new(std::env::current_exe().map_err(text)?);
    command.args(["worker", "--fd", "0", "--format", format, "--self-test"]).arg("--model").arg(&model);
    command.args(["--memory-bytes", &MEMORY.to_string()]);
    if let Some(library) = library {
        command.arg("--library").arg(library);
    }
    let output = command.stdin(Stdio::null()).output().map_err(text)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("a worker that was tried ended with {}: {}", output.status, said.trim()))
}

/// What the self test says, as checks: the layers, and how the walls held.
fn read(text: &str) -> Vec<Check> {
    let of = |kind: Line| -> Vec<&str> {
        text.lines().filter_map(Line::parse).filter(|(found, _)| *found == kind).map(|(_, text)| text).collect()
    };
    let (layers, missing) = (of(Line::Layer), of(Line::Missing));
    let layers = if missing.is_empty() {
        Check::ok(Area::Sandbox, "layers", layers.join(", "))
    } else {
        let found = format!("{}; workers run without {}", layers.join(", "), missing.join(", "));
        let fix =
            "a Linux kernel of 5.13 or later, started with lsm=landlock,… gives landlock; see dmesg | grep -i landlock";
        Check::warn(Area::Sandbox, "layers", found, fix)
    };
    let (held, open) = (of(Line::Held), of(Line::Open));
    let walls = if open.is_empty() {
        Check::ok(Area::Sandbox, "walls", format!("all {} attempts to get out failed", held.len()))
    } else {
        let found = format!("a worker that is taken over can {}", open.join(", "));
        Check::warn(
            Area::Sandbox,
            "walls",
            found,
            "serve only models that you trust here, or use a kernel with landlock",
        )
    };
    let (works, broken) = (of(Line::Works), of(Line::Broken));
    let work = if broken.is_empty() && !works.is_empty() {
        Check::ok(Area::Sandbox, "work", format!("a worker inside can {}", works.join(", ")))
    } else {
        let found = format!("a worker inside cannot {}", broken.join(", "));
        Check::fail(Area::Sandbox, "work", found, "ulimit -a shows limits that the node inherits")
    };
    vec![layers, walls, work]
}

/// A folder that goes when it is dropped.
struct Folder(std::path::PathBuf);

impl Folder {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("hither-doctor-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder of two lines that stays is no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    const GOOD: &str =
        "layer: landlock ABI 7\nlayer: seccomp\nheld: read /etc/passwd (no)\nworks: read its own model\n";

    fn states(text: &str) -> Vec<State> {
        read(text).iter().map(|check| check.state).collect()
    }

    #[test]
    fn a_hole_warns_and_a_worker_that_cannot_work_fails() {
        assert_eq!(states(GOOD), [State::Ok, State::Ok, State::Ok]);
        assert_eq!(states(&format!("{GOOD}missing: landlock (none)\n")), [State::Warn, State::Ok, State::Ok]);
        assert_eq!(states(&format!("{GOOD}open: read /etc/passwd\n")), [State::Ok, State::Warn, State::Ok]);
        assert_eq!(states(&format!("{GOOD}broken: start a thread (no)\n")), [State::Ok, State::Ok, State::Fail]);
        assert_eq!(states(""), [State::Ok, State::Ok, State::Fail]);
    }
}
