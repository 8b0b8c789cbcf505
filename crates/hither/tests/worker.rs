//! Real workers: the program itself, in processes of their own, behind real sockets.
//!
//! What needs a library or a model that a plain checkout has not says so and passes: run `scripts/fetch-models` first.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use hither_engine::engine::JobId;
use hither_engine::protocol::{Command, FrameReader, Report, decode_report, encode_command};
use hither_engine::stub;
use hither_engine::work::{ChatMessage, GenerateWork, InferWork, Piece, Prompt, Tensor, Work};
use hither_types::model::Datatype;

#[path = "worker/devices.rs"]
mod devices;
#[path = "worker/made.rs"]
mod made;
#[path = "worker/node.rs"]
mod node;
#[path = "worker/onnx.rs"]
mod onnx;
#[path = "worker/operators.rs"]
mod operators;

use node::{Node, PATIENCE, cached, model};

fn stub_model(values: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.stub");
    std::fs::write(&path, format!("{}\n{values}", stub::HEADER)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

fn generate(prompt: Prompt, max_tokens: u32) -> Work {
    Work::Generate(GenerateWork { max_tokens: Some(max_tokens), ..GenerateWork::new(prompt) })
}

fn hello(max_tokens: u32) -> Work {
    generate(Prompt::Text("hello".into()), max_tokens)
}

fn text_of(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Tokens { text, .. } | Piece::End { text, .. } => text.clone(),
        Piece::Outputs(_) => String::new(),
    };
    pieces.iter().map(text).collect()
}

#[test]
fn a_worker_answers_and_ends_with_its_socket() {
    let (_directory, path) = stub_model("token_us=0");
    let mut node = Node::start(&["--format", "stub", "--model", &path]);
    let loaded = node.ready();
    assert!(loaded.engine.starts_with("stub, sandbox: "), "{loaded:?}");
    node.run(1, &hello(4), &[]);
    let (pieces, end) = node.answer();
    let expected: String = (0..4).map(|i| stub::text_of(stub::token(&Prompt::Text("hello".into()), i))).collect();
    assert_eq!((text_of(&pieces), end.unwrap().output_tokens), (expected, 4));
    node.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(node.child.wait().unwrap().success());
}

#[test]
fn a_crash_closes_the_socket_after_the_tokens_that_came_before_it() {
    let (_directory, path) = stub_model("token_us=0 crash_at=3");
    let mut node = Node::start(&["--format", "stub", "--model", &path]);
    node.ready();
    node.run(1, &hello(9), &[]);
    let mut pieces = 0;
    while let Some(report) = node.report() {
        assert!(matches!(report, Report::Piece { job: JobId(1), .. }), "{report:?}");
        pieces += 1;
    }
    assert_eq!(pieces, 3);
    let status = node.child.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(libc::SIGABRT), false));
}

#[test]
fn a_model_that_cannot_be_opened_is_reported_with_the_reason() {
    let (directory, path) = stub_model("slots=none");
    let mut node = Node::start(&["--format", "stub", "--model", &path]);
    let Some(Report::LoadFailed(reason)) = node.report() else { panic!("opened") };
    assert!(reason.starts_with("`slots=none` is none of"), "{reason}");
    assert_eq!(node.child.wait().unwrap().code(), Some(1));

    let absent = directory.path().join("absent.onnx");
    let mut node = Node::start(&["--format", "onnx", "--model", absent.to_str().unwrap()]);
    let Some(Report::LoadFailed(reason)) = node.report() else { panic!("opened") };
    assert!(reason.contains("--library"), "{reason}");
}

/// What `hither worker --self-test` says, by the first word of each line.
fn self_test(arguments: &[&str]) -> Vec<(String, String)> {
    let (_directory, path) = stub_model("");
    std::fs::write(Path::new(&path).with_file_name("another.stub"), stub::HEADER).unwrap();
    let mut command = Process::new(env!("CARGO_BIN_EXE_hither"));
    command
        .args(["worker", "--fd", "0", "--self-test", "--memory-bytes", "1000000000", "--model", &path])
        .args(arguments);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| line.split_once(": ").map(|(word, text)| (word.to_owned(), text.to_owned()));
    text.lines().map(|text| line(text).unwrap_or_else(|| panic!("{text}"))).collect()
}

fn of<'a>(lines: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    // What was tried, without the error in brackets.
    let short = |text: &'a str| text.split(" (").next().unwrap_or(text);
    lines.iter().filter(|(found, _)| found == word).map(|(_, text)| short(text)).collect()
}

#[test]
fn a_worker_in_its_sandbox_reads_its_model_and_nothing_else() {
    let lines = self_test(&["--format", "stub"]);
    assert_eq!(of(&lines, "works"), ["read its own model", "start a thread", "take 16 MB of memory"], "{lines:?}");
    if !of(&lines, "missing").is_empty() {
        eprintln!("skipped: this kernel gives no {:?}", of(&lines, "missing"));
        return;
    }
    let expected = [
        "write its own model",
        "read the directory of its model",
        "make a file beside its model",
        "read another model beside it",
        "read /etc/passwd",
        "read the environment that it was started with",
        "write into /tmp",
        "make a UDP socket",
        "connect by TCP",
        "make a Unix socket",
        "start a program",
        "copy itself",
        "signal its node",
        "raise its limits",
        "take more memory than its limit",
    ];
    assert_eq!((of(&lines, "held"), of(&lines, "open")), (expected.to_vec(), Vec::new()), "{lines:?}");
}

#[test]
fn the_libraries_of_the_engines_leave_no_hole_in_the_sandbox() {
    let gguf = self_test(&["--format", "gguf"]);
    assert_eq!(
        (of(&gguf, "open"), of(&gguf, "broken"), of(&gguf, "engine").len()),
        (Vec::new(), Vec::new(), 1),
        "{gguf:?}"
    );
    let Some(library) = cached("lib/libonnxruntime.so.1.32.0") else { return };
    let onnx = self_test(&["--format", "onnx", "--library", &library]);
    assert_eq!(
        (of(&onnx, "open"), of(&onnx, "broken"), of(&onnx, "engine").len()),
        (Vec::new(), Vec::new(), 1),
        "{onnx:?}"
    );
}

#[test]
fn a_worker_that_runs_into_its_memory_limit_ends_and_says_why_before_it_serves() {
    let Some(path) = cached("models/SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let (mut socket, theirs) = UnixStream::pair().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut worker = Process::new(env!("CARGO_BIN_EXE_hither"))
        .args(["worker", "--fd", "0", "--memory-bytes", "150000000", "--format", "gguf", "--model", &path])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    // The node sees a reason, or the end of the socket; never a worker that hangs.
    let _ = socket.read_to_end(&mut said);
    assert!(!worker.wait().unwrap().success());
    let mut reader = FrameReader::default();
    reader.feed(&said);
    if let Some(body) = reader.next_frame().unwrap() {
        assert!(matches!(decode_report(body).unwrap(), Report::LoadFailed(_)));
    }
}

#[test]
fn the_kernel_confirms_the_sandbox_of_a_worker_that_serves() {
    let (_directory, path) = stub_model("");
    let mut node = Node::start(&["--format", "stub", "--model", &path]);
    let loaded = node.ready();
    assert!(loaded.engine.contains("seccomp") && !loaded.engine.contains("without"), "{loaded:?}");
    assert!(loaded.engine.contains("at most 4.00 GB of memory"), "{loaded:?}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    assert_eq!((value("NoNewPrivs:"), value("Seccomp:"), value("Threads:")), (Some("1"), Some("2"), Some("1")));
}

#[test]
fn a_worker_that_hangs_still_ends_when_its_node_is_killed() {
    let (_directory, path) = stub_model("token_us=0 hang_at=1");
    let (mut socket, theirs) = UnixStream::pair().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // A shell plays the node. Our end of the socket stays open: only the signal can end the worker.
    let script = "exec 3<&0; \"$0\" worker --fd 3 --format stub --model \"$1\" & echo $!; wait";
    let mut node = Process::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_hither"), &path])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut worker = String::new();
    BufReader::new(node.stdout.take().unwrap()).read_line(&mut worker).unwrap();
    let run = Command::Run { job: JobId(1), payload: hello(9).encode(), resume: Vec::new() };
    socket.write_all(&encode_command(&run)).unwrap();
    let mut reader = FrameReader::default();
    let mut chunk = [0; 512];
    let mut pieces = 0;
    while pieces == 0 {
        let length = socket.read(&mut chunk).unwrap();
        assert!(length > 0, "the worker ended early");
        reader.feed(&chunk[..length]);
        while let Some(body) = reader.next_frame().unwrap() {
            pieces += u32::from(matches!(decode_report(body).unwrap(), Report::Piece { .. }));
        }
    }
    assert!(Path::new(&format!("/proc/{}", worker.trim())).exists());
    node.kill().unwrap();
    node.wait().unwrap();
    // Both ends of the socket that were not ours are closed when both are gone.
    assert_eq!(socket.read(&mut chunk).unwrap(), 0);
}

#[test]
fn an_onnx_model_answers_from_inside_the_sandbox_at_the_cost_of_a_hop() {
    let Some(library) = cached("lib/libonnxruntime.so.1.32.0") else { return };
    let fraud = model("fraud.onnx");
    let mut node = Node::start(&["--format", "onnx", "--model", fraud.to_str().unwrap(), "--library", &library]);
    let loaded = node.ready();
    assert!(loaded.engine.starts_with("cpu, ONNX Runtime 1.32.0, sandbox: "), "{loaded:?}");
    // Microsoft's builds start a thread for telemetry unless told not to; it would be outside of landlock, too.
    let threads = std::fs::read_dir(format!("/proc/{}/task", node.child.id())).unwrap().count();
    assert_eq!(threads, 1, "{loaded:?}");
    let golden = std::fs::read_to_string(model("fraud.golden.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let mut hops = Vec::new();
    for round in 0..2000usize {
        let row = round % golden["input"].as_array().unwrap().len();
        let numbers = golden["input"][row].as_array().unwrap();
        let data = numbers.iter().flat_map(|number| (number.as_f64().unwrap() as f32).to_le_bytes()).collect();
        let input = Tensor { name: "input".into(), datatype: Datatype::Fp32, shape: vec![1, 12], data };
        let work = Work::Infer(InferWork { inputs: vec![input], outputs: vec!["probabilities".into()] });
        let start = Instant::now();
        node.run(round as u64, &work, &[]);
        let (pieces, end) = node.answer();
        let took = start.elapsed();
        hops.push(took.saturating_sub(Duration::from_micros(end.unwrap().prefill.0)));
        let [Piece::Outputs(tensors)] = pieces.as_slice() else { panic!("{pieces:?}") };
        let found = f32::from_le_bytes(*tensors[0].data.last_chunk().unwrap());
        let wanted = golden["probabilities"][row][1].as_f64().unwrap() as f32;
        assert!((found - wanted).abs() <= 1e-5, "row {row}: {found} is not {wanted}");
    }
    hops.sort();
    let (p50, p99) = (hops[hops.len() / 2], hops[hops.len() * 99 / 100]);
    eprintln!("hop over a real worker, without the model's own time: p50 {p50:?}, p99 {p99:?}");
    // Far over what is measured, far under what a second thread or a timer in the way would cost.
    assert!(p50 < Duration::from_millis(2), "{p50:?}");
}

#[test]
fn a_language_model_answers_from_inside_the_sandbox_and_goes_on_in_another_worker() {
    let Some(path) = cached("models/SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let arguments = ["--format", "gguf", "--model", &path, "--context-tokens", "512", "--slots", "2"];
    let turn = |role: &str, content: &str| ChatMessage::new(role, content);
    let prompt = Prompt::Chat(vec![turn("system", ""), turn("user", "What is the capital of France?")]);
    let mut first = Node::start(&arguments);
    let loaded = first.ready();
    assert!(loaded.engine.starts_with("cpu, llama.cpp, sandbox: "), "{loaded:?}");
    first.run(1, &generate(prompt.clone(), 32), &[]);
    let mut ids = Vec::new();
    let mut text = String::new();
    while ids.len() < 3 {
        match first.report() {
            Some(Report::Piece { bytes, .. }) => match Piece::decode(&bytes).unwrap() {
                Piece::Tokens { ids: more, text: words, .. } => {
                    ids.extend(more);
                    text.push_str(&words);
                }
                other => panic!("{other:?}"),
            },
            Some(Report::Progress { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(first);
    let mut second = Node::start(&arguments);
    second.ready();
    second.run(1, &generate(prompt, 32), &ids);
    let (pieces, end) = second.answer();
    end.unwrap();
    assert_eq!(text + &text_of(&pieces), "The capital of France is Paris.");
}
