//! A worker over a real socket pair, with the stub engine on a thread of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use super::{ServeError, serve};
use crate::engine::JobId;
use crate::protocol::{Command, FrameReader, Report, decode_report, encode_command};
use crate::stub::{StubEngine, StubModel};
use crate::work::{GenerateWork, InferWork, Piece, Prompt, Tensor, Work};

struct Node {
    socket: UnixStream,
    reader: FrameReader,
    worker: JoinHandle<Result<(), ServeError>>,
}

impl Node {
    fn new(model: &str) -> Self {
        let engine = StubEngine::new(StubModel::parse(&format!("hither-stub 1\n{model}")).unwrap());
        let (socket, theirs) = UnixStream::pair().unwrap();
        let worker = std::thread::spawn(move || serve(theirs, Box::new(engine)));
        Self { socket, reader: FrameReader::default(), worker }
    }

    fn send(&mut self, command: &Command) {
        self.socket.write_all(&encode_command(command)).unwrap();
    }

    fn run(&mut self, job: u64, work: &Work, resume: &[u32]) {
        self.send(&Command::Run { job: JobId(job), payload: work.encode(), resume: resume.to_vec() });
    }

    fn report(&mut self) -> Report {
        let mut chunk = [0; 512];
        loop {
            if let Some(body) = self.reader.next_frame().unwrap() {
                return decode_report(body).unwrap();
            }
            let length = self.socket.read(&mut chunk).unwrap();
            assert!(length > 0, "the worker ended");
            self.reader.feed(&chunk[..length]);
        }
    }

    /// The ids and the text of a job that is alone, and its cost.
    fn answer(&mut self) -> (Vec<u32>, String, hither_types::request::Cost) {
        let (mut all, mut words) = (Vec::new(), String::new());
        loop {
            match self.report() {
                Report::Piece { bytes, .. } => match Piece::decode(&bytes).unwrap() {
                    Piece::Tokens { ids, text, .. } => {
                        all.extend(ids);
                        words.push_str(&text);
                    }
                    Piece::End { text, .. } => words.push_str(&text),
                    Piece::Outputs(_) => panic!("tensors from a language model"),
                },
                Report::Done { cost, .. } => return (all, words, cost),
                Report::Progress { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn end(self) -> Result<(), ServeError> {
        drop(self.socket);
        self.worker.join().unwrap()
    }
}

fn generate(prompt: &str, max_tokens: u32) -> Work {
    Work::Generate(GenerateWork {
        max_tokens: Some(max_tokens),
        stop: vec!["w7 ".to_owned()],
        ..GenerateWork::new(Prompt::Text(prompt.to_owned()))
    })
}

#[test]
fn a_stream_resumed_at_any_token_is_the_same_stream() {
    let mut node = Node::new("token_us=0");
    node.run(0, &generate("hello", 12), &[]);
    let (ids, text, cost) = node.answer();
    assert_eq!((ids.len(), cost.output_tokens), (12, 12));
    assert!(cost.answer.0 > 12 * 8, "{cost:?}");
    for split in 0..=12 {
        node.run(1 + split as u64, &generate("hello", 12), &ids[..split]);
        let (rest, later, cost) = node.answer();
        assert_eq!([&ids[..split], &rest].concat(), ids);
        assert!(text.ends_with(&later), "{later:?} is not the end of {text:?}");
        assert_eq!(cost.output_tokens as usize, 12 - split);
    }
    node.end().unwrap();
}

#[test]
fn a_cancelled_job_is_never_heard_of_again_and_frees_its_slot() {
    let mut node = Node::new("slots=1 token_us=1000 length=1000000 context=2000000");
    node.run(1, &generate("endless", 1_000_000), &[]);
    assert!(matches!(node.report(), Report::Piece { job: JobId(1), .. }));
    node.run(2, &generate("short", 3), &[]);
    node.send(&Command::Cancel { job: JobId(1) });
    let mut heard_second = 0;
    loop {
        match node.report() {
            Report::Piece { job: JobId(2), .. } => heard_second += 1,
            Report::Done { job: JobId(2), .. } => break,
            Report::Piece { job: JobId(1), .. } => assert_eq!(heard_second, 0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard_second, 4);
    node.end().unwrap();
}

#[test]
fn tensors_of_megabytes_pass_both_ways() {
    let mut node = Node::new("kind=infer");
    let data: Vec<u8> = (0..4_000_000u32).map(|i| (i % 251) as u8).collect();
    let datatype = hither_types::model::Datatype::Fp32;
    let inputs = vec![Tensor { name: "x".into(), datatype, shape: vec![1000, 1000], data }];
    let work = InferWork { inputs: inputs.clone(), outputs: Vec::new() };
    node.run(1, &Work::Infer(work), &[]);
    let Report::Piece { bytes, .. } = node.report() else { panic!("no piece") };
    assert!(Piece::decode(&bytes).unwrap() == Piece::Outputs(inputs));
    assert!(matches!(node.report(), Report::Done { cost, .. } if cost.answer.0 == bytes.len() as u64));
    node.end().unwrap();
}

#[test]
fn what_is_no_work_fails_the_job_and_what_is_no_command_ends_the_worker() {
    let mut node = Node::new("kind=infer");
    node.send(&Command::Run { job: JobId(1), payload: vec![99], resume: Vec::new() });
    assert_eq!(
        format!("{:?}", node.report()),
        "Failed(1, Input(Other(\"the form has version 99, and this program knows versions 1 to 3\")))"
    );
    node.run(2, &generate("text", 3), &[]);
    assert_eq!(format!("{:?}", node.report()), "Failed(2, Input(Other(\"the model takes tensors, and a text came\")))");
    node.socket.write_all(&[1, 0, 0, 0, 77]).unwrap();
    assert!(matches!(node.end(), Err(ServeError::Command(_))));
}

#[test]
fn stop_ends_the_worker_even_when_it_is_busy() {
    let mut node = Node::new("token_us=1000 length=1000000 context=2000000");
    node.run(1, &generate("endless", 1_000_000), &[]);
    node.report();
    node.send(&Command::Stop);
    node.worker.join().unwrap().unwrap();
}
