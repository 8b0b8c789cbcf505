//! What a worker that went bad would try. `hither worker --self-test` says how far each attempt gets.

use std::fs::File;
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use super::sandbox::Sandbox;

/// Tries everything, and prints one line for each: `allowed` or the error's kind, then the attempt.
pub(super) fn report(model: &Path, sandbox: &Sandbox) {
    println!("{sandbox}");
    say("read its own model", File::open(model));
    say("write its own model", File::options().append(true).open(model));
    say("read the directory of its model", model.parent().map_or(Ok(()), |parent| parent.read_dir().map(drop)));
    say("read /etc/passwd", File::open("/etc/passwd"));
    say("read /proc/self/environ", File::open("/proc/self/environ"));
    say("write into /tmp", File::create("/tmp/hither-worker-self-test"));
    say("make a UDP socket", UdpSocket::bind("127.0.0.1:0"));
    // The address is of a range that is kept for documents: should it get out, nobody is there.
    say("connect by TCP", TcpStream::connect("192.0.2.1:9"));
    say("make a Unix socket", UnixStream::connect("/run/hither-worker-self-test"));
    say("start a program", Command::new("/bin/true").status());
}

fn say<T>(attempt: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("allowed: {attempt}"),
        Err(error) => println!("{:?}: {attempt}", error.kind()),
    }
}
