//! Tensors of every size through a real worker: they come back as they went. What a round trip takes is printed, for
//! whoever changes the way: `cargo test --release -p hither --test hops -- --nocapture`.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use hither_engine::engine::JobId;
use hither_engine::limits::READ_CHUNK;
use hither_engine::protocol::{Command, FrameReader, Report, decode_report, encode_command};
use hither_engine::stub;
use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_types::model::Datatype;

/// Nothing here takes that long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    socket: UnixStream,
    reader: FrameReader,
    child: Child,
    chunk: Vec<u8>,
}

impl Node {
    fn report(&mut self) -> Report {
        loop {
            if let Some(body) = self.reader.next_frame().unwrap() {
                return decode_report(body).unwrap();
            }
            let length = self.socket.read(&mut self.chunk).unwrap();
            assert!(length > 0, "the worker ended");
            self.reader.feed(&self.chunk[..length]);
        }
    }

    /// Sends a tensor and gives what comes back.
    fn echo(&mut self, job: u64, work: &Work) -> Vec<Tensor> {
        let command = Command::Run { job: JobId(job), payload: work.encode(), resume: Vec::new() };
        self.socket.write_all(&encode_command(&command)).unwrap();
        let mut tensors = Vec::new();
        loop {
            match self.report() {
                Report::Piece { bytes, .. } => match Piece::decode(&bytes).unwrap() {
                    Piece::Outputs(outputs) => tensors = outputs,
                    other => panic!("{other:?}"),
                },
                Report::Progress { .. } => {}
                Report::Done { .. } => return tensors,
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its own child.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tensors_of_every_size_come_back_from_a_worker_as_they_went() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.stub");
    std::fs::write(&path, format!("{}\nkind=infer prefill_us=0", stub::HEADER)).unwrap();
    let (socket, theirs) = UnixStream::pair().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut worker = Process::new(env!("CARGO_BIN_EXE_hither"));
    worker.args(["worker", "--fd", "0", "--memory-bytes", "1000000000", "--format", "stub", "--model"]).arg(&path);
    let child = worker.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    let mut node = Node { socket, reader: FrameReader::default(), child, chunk: vec![0; READ_CHUNK] };
    assert!(matches!(node.report(), Report::Ready(_)));
    let mut job = 0;
    for (bytes, rounds) in [(1 << 10, 2000), (64 << 10, 1000), (600 << 10, 300), (5 << 20, 60)] {
        let data: Vec<u8> = (0..bytes / 4).flat_map(|n| (n as f32).to_le_bytes()).collect();
        let input = Tensor { name: "x".into(), datatype: Datatype::Fp32, shape: vec![1, bytes as u64 / 4], data };
        let work = Work::Infer(InferWork { inputs: vec![input.clone()], outputs: Vec::new() });
        let mut times = Vec::new();
        for _ in 0..rounds {
            job += 1;
            let start = Instant::now();
            let back = node.echo(job, &work);
            times.push(start.elapsed());
            assert_eq!(back, std::slice::from_ref(&input));
        }
        times.sort();
        let at = |percent: usize| times[times.len() * percent / 100];
        eprintln!("{bytes:>9} bytes there and back: p10 {:?}, p50 {:?}, p90 {:?}", at(10), at(50), at(90));
    }
}
