//! `hither worker`: one model in one process, behind one socket. Started by a node, never by hand.
//!
//! What must stay true: the model file is opened only after the sandbox has closed, and what of the sandbox the kernel
//! does not give is said in the worker's first report and on its standard error.

use std::error::Error;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use hither_engine::engine::{Engine, Loaded};
use hither_engine::protocol::{Report, encode_report};
use hither_engine::serve::serve;
use hither_onnx::{Batching, Runtime, Settings};
use hither_types::model::{Device, DeviceChoice};

mod attempts;
pub(crate) mod devices;
mod sandbox;

pub(crate) use attempts::Line;

/// The largest piece of memory that is kept for the next job: what the allocator takes at most, and over any tensor
/// that comes often.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: i32 = 32 << 20;

/// What a node tells its worker.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// The inherited end of the socket to the node.
    #[arg(long, value_name = "N", default_value_t = -1)]
    fd: i32,
    /// The format of the model file.
    #[arg(long, default_value = "onnx")]
    format: Format,
    /// The model file.
    #[arg(long, value_name = "PATH", default_value = "-")]
    model: PathBuf,
    /// The shared library of ONNX Runtime; for ONNX models.
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
    /// Threads for one step of the engine.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Tokens of one conversation, prompt and answer together; for language models.
    #[arg(long, value_name = "N", default_value_t = 8192)]
    context_tokens: u32,
    /// Conversations at once; for language models.
    #[arg(long, value_name = "N", default_value_t = 4)]
    slots: u16,
    /// The most memory, in bytes: what the address space may grow by, beyond the program. Without it only the machine's
    /// memory bounds it, which a GPU's driver needs.
    #[arg(long, value_name = "N")]
    memory_bytes: Option<u64>,
    /// The device that is wanted; for ONNX models.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    device: DeviceChoice,
    /// Only devices of this execution provider, a CPU included, by its name in ONNX Runtime.
    #[arg(long, value_name = "NAME", hide = true)]
    provider: Option<String>,
    /// A directory with execution providers of ONNX Runtime, or with directories of them; may be given several times.
    #[arg(long, value_name = "DIR")]
    providers: Vec<PathBuf>,
    /// Rows of tensors that go together at most; for ONNX models.
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: u16,
    /// How long a job waits for others to go with, in microseconds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    batch_delay_us: u64,
    /// Says on which devices ONNX models can run, one JSON object per line, and ends.
    #[arg(long)]
    devices: bool,
    /// Closes the sandbox, tries what it must prevent, says what happened, and ends.
    #[arg(long, hide = true)]
    self_test: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Onnx,
    Gguf,
    Stub,
}

/// Runs until the node closes the socket.
pub(crate) fn run(args: WorkerArgs) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hither worker: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(args: WorkerArgs) -> Result<(), Box<dyn Error>> {
    begin_without_reserve()?;
    sandbox::tie_to_parent()?;
    keep_freed_memory();
    // ggml would otherwise start a debugger when it aborts, and the sandbox would stop that noisily.
    set_variable("GGML_NO_BACKTRACE", "1");
    // Microsoft's own builds of ONNX Runtime otherwise keep a database of its use under the home directory, and a
    // thread that sends it away. The sandbox would stop the sending; this stops all of it.
    set_variable("ORT_DISABLE_TELEMETRY", "1");
    if args.devices {
        return devices::report(args.library.as_deref(), &args.providers);
    }
    if args.self_test {
        return self_test(&args);
    }
    let mut socket = take_socket(args.fd)?;
    match open(&args) {
        Ok((engine, loaded)) => {
            socket.write_all(&encode_report(&Report::Ready(loaded)))?;
            Ok(serve(socket, engine)?)
        }
        Err(error) => {
            // The node may be gone; the exit status says the same.
            let _ = socket.write_all(&encode_report(&Report::LoadFailed(with_causes(error.as_ref()))));
            Err(error)
        }
    }
}

/// The limit of a worker's memory counts addresses, and the allocator reserves a gigabyte of them at its first call,
/// before there is a line of ours. It looks into the environment whether it shall; so this program begins once more.
fn begin_without_reserve() -> Result<(), Box<dyn Error>> {
    const RESERVE: &str = "MIMALLOC_ARENA_RESERVE";
    if std::env::var_os(RESERVE).is_some() {
        return Ok(());
    }
    let mut words = std::env::args_os();
    // By this name, for the file of a program that runs may have been replaced.
    let mut again = std::process::Command::new("/proc/self/exe");
    if let Some(name) = words.next() {
        again.arg0(name);
    }
    let error = again.args(words).env(RESERVE, "0").exec();
    Err(format!("the worker cannot begin without memory in reserve: {error}").into())
}

/// What a worker really gets on this machine: everything up to the model, which is not opened.
fn self_test(args: &WorkerArgs) -> Result<(), Box<dyn Error>> {
    let _runtime = load_runtime(args)?;
    match (args.format, &args.library) {
        (Format::Onnx, Some(library)) => Line::Engine.print(&format!("loads from {}", library.display())),
        (Format::Gguf, _) => Line::Engine.print(&hither_llama::devices()?.join(", ")),
        (Format::Onnx, None) | (Format::Stub, _) => {}
    }
    let neighbour = attempts::neighbour(&args.model);
    let sandbox = sandbox::close(&args.model, args.memory_bytes, &[])?;
    attempts::report(&args.model, neighbour.as_deref(), args.memory_bytes, &sandbox);
    Ok(())
}

/// Loads what has to be loaded from disk, closes the sandbox, and only then opens the model.
fn open(args: &WorkerArgs) -> Result<(Box<dyn Engine>, Loaded), Box<dyn Error>> {
    let runtime = load_runtime(args)?;
    let reach = runtime.as_ref().map_or_else(Vec::new, |runtime| devices::reach(runtime, args));
    let sandbox = sandbox::close(&args.model, args.memory_bytes, &reach)?;
    let (engine, mut loaded): (Box<dyn Engine>, Loaded) = match (args.format, runtime) {
        (Format::Onnx, Some(runtime)) => {
            inspect(&args.model)?;
            let settings = Settings {
                threads: args.threads,
                device: args.device,
                provider: args.provider.clone(),
                batching: batching(args),
            };
            let engine = runtime.open(&args.model, &settings)?;
            let loaded = engine.loaded();
            (Box::new(engine), loaded)
        }
        (Format::Gguf, _) => {
            let engine = hither_llama::open(&args.model, args.threads, args.context_tokens, args.slots)?;
            let loaded = engine.loaded();
            (Box::new(engine), loaded)
        }
        (Format::Stub, _) | (Format::Onnx, None) => {
            let engine = hither_engine::stub::open(&args.model)?;
            let loaded = engine.loaded();
            (Box::new(engine), loaded)
        }
    };
    loaded.engine.push_str(&format!(", {sandbox}"));
    Ok((engine, loaded))
}

fn load_runtime(args: &WorkerArgs) -> Result<Option<Runtime>, Box<dyn Error>> {
    match (args.format, &args.library) {
        (Format::Onnx, Some(library)) => {
            let runtime = Runtime::load(library)?;
            if args.device != DeviceChoice::Only(Device::Cpu) {
                for (provider, reason) in devices::register(&runtime, &args.providers) {
                    eprintln!("hither worker: {} cannot be used: {reason}", provider.path.display());
                }
            }
            Ok(Some(runtime))
        }
        (Format::Onnx, None) => Err("an ONNX model needs the shared library of ONNX Runtime: --library PATH".into()),
        (Format::Gguf | Format::Stub, _) => Ok(None),
    }
}

fn batching(args: &WorkerArgs) -> Batching {
    Batching { rows: args.batch.max(1), delay: Duration::from_micros(args.batch_delay_us) }
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    DeviceChoice::parse(text).ok_or_else(|| "expected auto, cpu, gpu or npu".to_owned())
}

/// Walks over an ONNX file before the library sees it.
fn inspect(model: &Path) -> Result<(), Box<dyn Error>> {
    let file = std::fs::File::open(model)?;
    let length = file.metadata()?.len();
    hither_engine::onnx::inspect(file, length)?;
    Ok(())
}

#[expect(unsafe_code, reason = "a file descriptor that was inherited is known by its number alone")]
fn take_socket(fd: i32) -> Result<UnixStream, Box<dyn Error>> {
    let wrong = || format!("file descriptor {fd} is no socket: a node starts its workers, people do not");
    if fd < 0 {
        return Err(wrong().into());
    }
    // SAFETY: nothing else in this process owns the descriptor: it was inherited, and this is called once, before any
    // file is opened. Should it be closed, the next line finds out before anything else uses it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    if rustix::net::sockopt::socket_type(&fd).is_err() {
        // Closing what is not ours, or not open, would be wrong.
        std::mem::forget(fd);
        return Err(wrong().into());
    }
    let socket = UnixStream::from(fd);
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// Memory that was freed stays with the process up to [`KEPT_BYTES`], ready for the next tensor of that size. Otherwise
/// each tensor over 128 kB gets new pages from the kernel, every one of them by a fault, at each of its copies.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the allocator is set up by a call into the C library")]
fn keep_freed_memory() {
    // SAFETY: two settings of the allocator, while this process has one thread. A refusal changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * KEPT_BYTES);
    }
}

/// Other C libraries have no such settings.
#[cfg(not(target_env = "gnu"))]
fn keep_freed_memory() {}

#[expect(unsafe_code, reason = "the library reads its settings from the environment")]
fn set_variable(name: &str, value: &str) {
    // SAFETY: the process has one thread at this point.
    unsafe { std::env::set_var(name, value) };
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
