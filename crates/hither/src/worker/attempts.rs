//! What a worker that went bad would try, and what a good one must be able to do. `hither worker --self-test` says how
//! far each gets: one line each, of a word from [`Line`], what was tried, and the error. `hither doctor` reads them.

use std::fs::File;
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::sandbox::Sandbox;

/// The first word of a line of the self test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The engine's library, as it was loaded.
    Engine,
    /// A layer of the sandbox that is closed.
    Layer,
    /// One that is not, with the reason.
    Missing,
    /// Something that must be prevented was.
    Held,
    /// Something that must be prevented was not.
    Open,
    /// Something that must be possible is.
    Works,
    /// Something that must be possible is not.
    Broken,
}

impl Line {
    const ALL: [Self; 7] =
        [Self::Engine, Self::Layer, Self::Missing, Self::Held, Self::Open, Self::Works, Self::Broken];

    fn word(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Layer => "layer",
            Self::Missing => "missing",
            Self::Held => "held",
            Self::Open => "open",
            Self::Works => "works",
            Self::Broken => "broken",
        }
    }

    /// Reads a line of the self test.
    pub(crate) fn parse(line: &str) -> Option<(Self, &str)> {
        let (word, text) = line.split_once(": ")?;
        Self::ALL.into_iter().find(|kind| kind.word() == word).map(|kind| (kind, text))
    }

    pub(super) fn print(self, text: &str) {
        println!("{}: {text}", self.word());
    }
}

/// A file beside the model, if there is one: another model, as far as this worker is concerned. Asked before the
/// sandbox closes, when the directory can still be read.
pub(super) fn neighbour(model: &Path) -> Option<PathBuf> {
    let entries = model.parent()?.read_dir().ok()?;
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).find(|path| path.is_file() && path != model)
}

/// Tries everything, and prints one line for each.
pub(super) fn report(model: &Path, neighbour: Option<&Path>, memory: Option<u64>, sandbox: &Sandbox) {
    sandbox.layers.iter().for_each(|layer| Line::Layer.print(layer));
    sandbox.missing.iter().for_each(|missing| Line::Missing.print(missing));

    must("read its own model", File::open(model));
    must("start a thread", std::thread::Builder::new().spawn(|| ()).map(std::thread::JoinHandle::join));
    must("take 16 MB of memory", reserve(16 << 20));

    must_not("write its own model", File::options().append(true).open(model));
    if let Some(directory) = model.parent() {
        must_not("read the directory of its model", directory.read_dir());
        must_not("make a file beside its model", File::create(directory.join("self-test")));
    }
    if let Some(neighbour) = neighbour {
        must_not("read another model beside it", File::open(neighbour));
    }
    must_not("read /etc/passwd", File::open("/etc/passwd"));
    must_not("read the environment that it was started with", File::open("/proc/self/environ"));
    must_not("write into /tmp", File::create("/tmp/hither-worker-self-test"));
    must_not("make a UDP socket", UdpSocket::bind("127.0.0.1:0"));
    // The address is of a range that is kept for documents: should it get out, nobody is there.
    must_not("connect by TCP", TcpStream::connect("192.0.2.1:9"));
    must_not("make a Unix socket", UnixStream::connect("/run/hither-worker-self-test"));
    must_not("start a program", Command::new("/bin/true").status());
    must_not("copy itself", fork());
    must_not("signal its node", signal_parent());
    must_not("raise its limits", raise_limits());
    if let Some(bytes) = memory {
        must_not("take more memory than its limit", reserve(bytes));
    }
}

fn must<T>(attempt: &str, result: io::Result<T>) {
    match result {
        Ok(_) => Line::Works.print(attempt),
        Err(error) => Line::Broken.print(&format!("{attempt} ({error})")),
    }
}

fn must_not<T>(attempt: &str, result: io::Result<T>) {
    match result {
        Ok(_) => Line::Open.print(attempt),
        Err(error) => Line::Held.print(&format!("{attempt} ({error})")),
    }
}

fn reserve(bytes: u64) -> io::Result<()> {
    let mut memory: Vec<u8> = Vec::new();
    let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
    memory.try_reserve_exact(bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // So that the compiler keeps the attempt.
    std::hint::black_box(&memory);
    Ok(())
}

#[expect(unsafe_code, reason = "a copy of a process is made by this call alone")]
fn fork() -> io::Result<()> {
    // SAFETY: should it succeed, the copy ends at once and touches nothing.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: as above.
        0 => unsafe { libc::_exit(0) },
        _ => Ok(()),
    }
}

fn signal_parent() -> io::Result<()> {
    let parent = rustix::process::getppid().ok_or(io::ErrorKind::NotFound)?;
    // No signal is sent, only the right to send one is asked for.
    Ok(rustix::process::test_kill_process(parent)?)
}

fn raise_limits() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(1 << 16), maximum: Some(1 << 16) })?)
}
