//! Identity of two small tensors: a node beside Triton, over REST with JSON, over REST with binary tensors, over gRPC.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::board::Board;
use super::http1::{post, request};
use super::load::{Closed, Post, h2load, wrk};
use super::process::{Running, node};
use super::{NODE, Part};
use crate::rivals::Setting;
use crate::rivals::page::Goal;
use crate::rivals::run::port;

const TRITON: &str = "Triton";

const RATE_MIN: f64 = 3.0;
const CPU_MAX_US: f64 = 40.0;

/// Two outputs of 64 bytes each.
const BYTES_MIN: f64 = 128.0;

/// Found with `perf record` on the node and its worker.
pub(super) const WHY: &str = "of the time of a node and its worker (JSON, 32 at once) the kernel has 32 % (sockets to the client and to the \
                   worker, and the switches between threads), allocating and copying 18 %; the rest is flat: no function has \
                   more than 1.1 %, the mind 3 %, all code of this program together 13 %, HTTP and its headers 9 %, ONNX \
                   Runtime 2 %. By thread: 77 % is the door and the loop, 14 % the worker, 9 % the ledger's";

/// How requests go.
const WAYS: [&str; 3] = ["REST, JSON", "REST, binary", "gRPC"];

/// Requests at once.
const STREAMS: [usize; 2] = [1, 32];

/// How a node groups requests: as Triton does, what waits goes together, and nothing waits for more.
pub(super) const GROUPED: &str = "[model.identity]\nmax_batch = 16\nmax_delay_ms = 0\n";

/// A Triton, and where it speaks gRPC.
pub(super) struct Triton {
    pub(super) running: Running,
    pub(super) grpc: SocketAddr,
}

/// Writes models and bodies into the scratch directory; gives it.
///
/// # Errors
/// The script failed.
pub(super) fn written(setting: &Setting, instances: u16) -> Result<PathBuf, String> {
    let dir = setting.scratch.join(format!("identity-{instances}"));
    let mut command = script(setting);
    command.arg(&dir).args(["--instances", &instances.to_string()]);
    run(&mut command)?;
    Ok(dir)
}

fn script(setting: &Setting) -> Command {
    let mut command = Command::new(setting.cache.join("venv/bin/python"));
    command.arg(crate::tidy::root().join("scripts/rivals/identity.py"));
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}; scripts/rivals/setup gateway"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Starts the Triton that scripts/conformance/setup installs, with the models of a directory.
///
/// # Errors
/// As [`Running::start`]; or it is not installed.
pub(super) fn triton(setting: &Setting, name: &str, models: &Path) -> Result<Triton, String> {
    let lib = setting.cache.join("venv-triton/lib");
    let entries = std::fs::read_dir(&lib).map_err(|_| "it is not installed: scripts/conformance/setup".to_owned())?;
    let site = entries.flatten().map(|entry| entry.path().join("site-packages")).find(|path| path.is_dir());
    let site = site.ok_or("it is not installed whole: scripts/conformance/setup")?;
    let server = site.join("pytriton/tritonserver");
    let (http, grpc) = (port()?, port()?);
    let mut command = Command::new(server.join("bin/tritonserver"));
    command.arg("--model-repository").arg(models).arg("--backend-directory").arg(server.join("backends"));
    command.args(["--model-control-mode=explicit", "--load-model=*", "--allow-metrics=false", "--log-info=false"]);
    command.args(["--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]);
    command.args([format!("--http-port={http}"), format!("--grpc-port={grpc}")]);
    command
        .arg("--backend-config=python,shm-default-byte-size=1048576")
        .arg("--cache-directory")
        .arg(server.join("caches"));
    command.env("PYTHONPATH", &site).env("LD_LIBRARY_PATH", site.join("nvidia_pytriton.libs"));
    let log = setting.scratch.join(format!("{name}.log"));
    let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let ready = request("GET", "/v2/health/ready", &[], b"");
    let running = Running::start(&mut command, &log, &|| Some(address(http)), &ready)?;
    Ok(Triton { running, grpc: address(grpc) })
}

/// Asks a server all ways at so many at once.
fn asked(server: &Running, grpc: SocketAddr, dir: &Path, way: &str, streams: usize) -> Result<Closed, String> {
    let length = std::fs::read_to_string(dir.join("infer.binary.length")).map_err(|error| error.to_string())?;
    let length = format!("inference-header-content-length: {length}");
    let path = "/v2/models/identity/infer";
    match way {
        "gRPC" => {
            let body = &dir.join("infer.grpc");
            let path = "/inference.GRPCInferenceService/ModelInfer";
            let post = Post { path, body, headers: &["content-type: application/grpc", "te: trailers"] };
            // A client has one connection, and many share it: four of them, as four programs.
            let at_once = if streams == 1 { (1, 1) } else { (4, streams / 4) };
            h2load(grpc, server, post, at_once, BYTES_MIN)
        }
        "REST, binary" => {
            let body = &dir.join("infer.binary");
            let headers = &["content-type: application/octet-stream", length.as_str()];
            wrk(server, Post { path, body, headers }, streams)
        }
        _ => {
            let body = &dir.join("infer.json");
            wrk(server, Post { path, body, headers: &["content-type: application/json"] }, streams)
        }
    }
}

/// The part.
pub(super) fn part(setting: &Setting) -> Part {
    let mut board = Board::default();
    if let Err(why) = measure(setting, &mut board) {
        board.lacks(TRITON, &why);
    }
    let mut rows = Vec::new();
    for way in WAYS {
        for streams in STREAMS {
            let what = format!("{way}, {streams} at once: requests a second");
            let said = format!("{what}, beside {TRITON}");
            rows.push(board.ratio(&said, &what, (NODE, TRITON), Goal::AtLeast(RATE_MIN)).because(WHY));
        }
        let what = format!("{way}, 32 at once: processor time of a request");
        let mut row = board.alone(&what, &what, "µs", NODE, Goal::AtMost(CPU_MAX_US)).because(WHY);
        row.theirs = board.shown(TRITON, &what);
        rows.push(row);
    }
    Part {
        title: "Identity of two tensors: a node beside Triton",
        about: "Two inputs and two outputs of INT32 [1,16]. The node runs an ONNX model of two Identity operators in a worker \
                process of one thread; Triton runs the same in its Python backend, which hands both arrays back. Both may group \
                up to 16 requests that wait already. Before each is measured, Triton's own client asks it all three ways and \
                compares what comes back. REST is asked by `wrk`, one thread; gRPC by `h2load` over one connection for one at \
                once, and four for 32. Triton's Python backend is its slowest: it is the one backend that its package brings; \
                what is compared is a server around a model that does nothing."
            .to_owned(),
        rows,
        board,
    }
}

fn measure(setting: &Setting, board: &mut Board) -> Result<(), String> {
    let dir = written(setting, 1)?;
    let ours = node(setting, "triton-node", GROUPED, &[("identity", &dir.join("identity.onnx"))])?;
    let theirs = triton(setting, "triton", &dir.join("repository"))?;
    for (http, grpc) in [(ours.address, ours.address), (theirs.running.address, theirs.grpc)] {
        run(script(setting).arg(&dir).args(["--ask", &http.to_string(), &grpc.to_string()]))?;
    }
    // What each does once it does before.
    let body = std::fs::read(dir.join("infer.json")).map_err(|error| error.to_string())?;
    for address in [ours.address, theirs.running.address] {
        super::warm(address, &post("/v2/models/identity/infer", &body))?;
    }
    for _ in 0..setting.rounds {
        for way in WAYS {
            for streams in STREAMS {
                let servers = [(NODE, &ours, ours.address), (TRITON, &theirs.running, theirs.grpc)];
                for (name, server, grpc) in servers {
                    super::add(
                        board,
                        name,
                        &format!("{way}, {streams} at once"),
                        &asked(server, grpc, &dir, way, streams)?,
                    );
                }
            }
        }
    }
    Ok(())
}
