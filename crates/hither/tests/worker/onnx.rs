//! Workers with ONNX models.

use hither_engine::engine::{JobFault, JobId};
use hither_engine::protocol::{Command, Report, encode_command};
use hither_engine::work::{InferWork, Piece, Prompt, Tensor, Work};
use hither_types::model::{Datatype, ModelIo};
use hither_types::refusal::InputFault;

use crate::made;
use crate::node::{Node, cached, model};

pub(crate) const LIBRARY: &str = "lib/libonnxruntime.so.1.32.0";

pub(crate) fn floats(name: &str, shape: &[u64], numbers: &[f32]) -> Tensor {
    let data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Tensor { name: name.to_owned(), datatype: Datatype::Fp32, shape: shape.to_vec(), data }
}

fn start(model: &[u8], more: &[&str]) -> Option<(tempfile::TempDir, Node)> {
    let library = cached(LIBRARY)?;
    let (directory, path) = made::file(model);
    let base = ["--format", "onnx", "--model", &path, "--library", &library];
    Some((directory, Node::start(&[&base, more].concat())))
}

fn infer(inputs: Vec<Tensor>, outputs: &[&str]) -> Work {
    Work::Infer(InferWork { inputs, outputs: outputs.iter().map(|name| (*name).to_owned()).collect() })
}

fn ask(node: &mut Node, inputs: Vec<Tensor>, outputs: &[&str]) -> Result<Vec<Tensor>, JobFault> {
    node.run(1, &infer(inputs, outputs), &[]);
    let (pieces, end) = node.answer();
    end.map(|_| match pieces.as_slice() {
        [Piece::Outputs(tensors)] => tensors.clone(),
        other => panic!("{other:?}"),
    })
}

fn refusal(library: &str, file: &[u8]) -> String {
    let (_directory, path) = made::file(file);
    let mut node = Node::start(&["--format", "onnx", "--model", &path, "--library", library]);
    match node.report() {
        Some(Report::LoadFailed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_no_model_is_refused_before_the_library_sees_it() {
    let Some(library) = cached(LIBRARY) else { return };
    let fraud = std::fs::read(model("fraud.onnx")).unwrap();
    let external = made::message(
        5,
        &[
            made::number(2, 1),
            made::text(8, "weights"),
            made::number(14, 1),
            made::message(13, &[made::text(1, "location"), made::text(2, "../../../../etc/passwd")]),
        ],
    );
    let copy = made::node("Identity", &["x"], &["y"], &[]);
    let (x, y) = (made::input("x", Datatype::Fp32, &["1"]), made::output("y", Datatype::Fp32, &["1"]));
    let outside = made::model(&[copy, external, x, y]);
    for (file, begins) in [
        (&b"# Models\n\nWhat is here and how it was made."[..], "the file is not ONNX: it looks like text"),
        (b"GGUF\x03\0\0\0", "the file is not ONNX: it looks like a GGUF language model"),
        (b"PK\x03\x04rest", "the file is not ONNX: it looks like a zip archive"),
        (b"", "the file is not ONNX: it looks like an empty file"),
        (&fraud[..fraud.len() / 2], "the file is cut short: the graph ends at byte"),
        (&outside, "tensor \"weights\" has its data in another file"),
    ] {
        let reason = refusal(&library, file);
        assert!(reason.starts_with(begins), "{begins}: {reason}");
    }
}

/// Three elements of a type, none of them the same, and the first one that makes trouble where there is one.
fn elements(datatype: Datatype) -> Vec<u8> {
    match datatype {
        Datatype::Bool => vec![0, 1, 1],
        Datatype::Bytes => {
            [&0u32.to_le_bytes()[..], &1u32.to_le_bytes(), b"a", &2u32.to_le_bytes(), "é".as_bytes()].concat()
        }
        Datatype::Fp32 => [f32::NAN, -0.0, f32::MIN_POSITIVE].iter().flat_map(|n| n.to_le_bytes()).collect(),
        Datatype::Fp64 => [f64::NAN, f64::INFINITY, 1e-310].iter().flat_map(|n| n.to_le_bytes()).collect(),
        // Not a number, minus infinity, the smallest.
        Datatype::Fp16 => [0x7e01_u16, 0xfc00, 0x0001].iter().flat_map(|n| n.to_le_bytes()).collect(),
        Datatype::Bf16 => [0x7fc1_u16, 0xff80, 0x0001].iter().flat_map(|n| n.to_le_bytes()).collect(),
        whole => {
            let size = whole.size().unwrap();
            (0..3 * size).map(|i| [0xff, 0x80, 0x01][i / size]).collect()
        }
    }
}

#[test]
fn every_type_of_the_protocol_goes_through_a_model_unchanged_to_the_bit() {
    for datatype in Datatype::ALL {
        let copy = made::node("Identity", &["x"], &["y"], &[]);
        let (x, y) = (made::input("x", datatype, &["n"]), made::output("y", datatype, &["n"]));
        let Some((_directory, mut node)) = start(&made::model(&[copy, x, y]), &["--device", "cpu"]) else { return };
        let loaded = node.ready();
        let word = datatype.as_str();
        assert!(!loaded.engine.contains("not warmed up"), "{word}: {}", loaded.engine);
        for (count, data) in [(3, elements(datatype)), (0, Vec::new())] {
            let input = Tensor { name: "x".to_owned(), datatype, shape: vec![count], data };
            let found = ask(&mut node, vec![input.clone()], &[]).unwrap();
            assert!(found == [Tensor { name: "y".to_owned(), ..input }], "{word}: {found:?}");
        }
    }
}

/// `sum = a + b` and `copy = a`, both of any shape with two dimensions.
fn two_in_two_out() -> Vec<u8> {
    made::model(&[
        made::node("Add", &["a", "b"], &["sum"], &[]),
        made::node("Identity", &["a"], &["copy"], &[]),
        made::input("a", Datatype::Fp32, &["rows", "columns"]),
        made::input("b", Datatype::Fp32, &["rows", "columns"]),
        made::output("sum", Datatype::Fp32, &["rows", "columns"]),
        made::output("copy", Datatype::Fp32, &["rows", "columns"]),
    ])
}

#[test]
fn several_inputs_and_outputs_of_any_shape_and_every_mistake_about_them() {
    let Some((_directory, mut node)) = start(&two_in_two_out(), &[]) else { return };
    let ModelIo::Tensors { inputs, outputs } = node.ready().io else { panic!("tensors") };
    assert!(inputs.iter().chain(&outputs).all(|spec| spec.shape == [None, None]), "{inputs:?} {outputs:?}");
    for shape in [[1, 1], [3, 2], [0, 2], [2, 0]] {
        let count = (shape[0] * shape[1]) as usize;
        let (a, b) = (floats("a", &shape, &vec![1.5; count]), floats("b", &shape, &vec![2.0; count]));
        // In the order in which they are asked for, whatever the order of the inputs.
        let found = ask(&mut node, vec![b, a.clone()], &["copy", "sum"]).unwrap();
        let sum = floats("sum", &shape, &vec![3.5; count]);
        assert!(found == [Tensor { name: "copy".to_owned(), ..a }, sum], "{shape:?}: {found:?}");
    }
    let right = || floats("a", &[1, 2], &[1.0, 2.0]);
    let b = || floats("b", &[1, 2], &[1.0, 2.0]);
    let wide = Tensor { datatype: Datatype::Fp64, ..b() };
    for (inputs, outputs, wanted) in [
        (vec![right()], &[][..], "input \"b\" is missing: expected FP32 [any, any]"),
        (vec![right(), b(), floats("c", &[1, 1], &[0.0])], &[], "the model has no input \"c\"; it takes \"a\", \"b\""),
        (vec![right(), right(), b()], &[], "input \"a\" came twice"),
        (vec![right(), wide], &[], "input \"b\" expects FP32, and FP64 came"),
        (vec![right(), floats("b", &[2], &[0.0; 2])], &[], "input \"b\" expects the shape [any, any], and [2] came"),
        (vec![right(), floats("b", &[1, 2], &[0.0])], &[], "input \"b\" of shape [1, 2] expects 8 bytes, and 4 came"),
        (vec![right(), floats("b", &[u64::MAX, 2], &[])], &[], "input \"b\" has a shape [18446744073709551615, 2]"),
        (vec![right(), b()], &["sun"], "the model has no output \"sun\"; it gives \"sum\", \"copy\""),
    ] {
        let fault = ask(&mut node, inputs, outputs).unwrap_err();
        assert!(matches!(&fault, JobFault::Input(InputFault::Tensor(text)) if text.starts_with(wanted)), "{fault:?}");
    }
    // What only the library finds is its own text, and the next job is answered.
    let fault = ask(&mut node, vec![right(), floats("b", &[1, 3], &[0.0; 3])], &[]).unwrap_err();
    assert!(matches!(&fault, JobFault::Engine(text) if text.contains("Add")), "{fault:?}");
    node.run(1, &crate::generate(Prompt::Text("hello".into()), 3), &[]);
    let (_, end) = node.answer();
    assert!(matches!(&end, Err(JobFault::Input(InputFault::Other(text))) if text.contains("takes tensors")), "{end:?}");
    assert!(ask(&mut node, vec![right(), b()], &[]).is_ok());
}

#[test]
fn strings_that_no_model_can_take_are_refused() {
    let datatype = Datatype::Bytes;
    let copy = made::node("Identity", &["x"], &["y"], &[]);
    let (x, y) = (made::input("x", datatype, &["n"]), made::output("y", datatype, &["n"]));
    let Some((_directory, mut node)) = start(&made::model(&[copy, x, y]), &[]) else { return };
    node.ready();
    for (data, wanted) in [
        (vec![1, 0, 0, 0, 0xff], "not UTF-8"),
        (vec![1, 0, 0, 0, 0], "zero byte"),
        (vec![9, 0, 0, 0, b'a'], "length goes beyond the data"),
        ([1, 0, 0, 0, b'a'].repeat(2), "expects 1 elements, and 2 came"),
    ] {
        let input = Tensor { name: "x".to_owned(), datatype, shape: vec![1], data };
        let fault = ask(&mut node, vec![input], &[]).unwrap_err();
        assert!(matches!(&fault, JobFault::Input(InputFault::Tensor(text)) if text.contains(wanted)), "{fault:?}");
    }
}

/// Sends jobs at once, in one write, and gives what came for each.
fn ask_all(node: &mut Node, works: &[Work], cancelled: &[usize]) -> Vec<Option<Result<Vec<Tensor>, JobFault>>> {
    use std::io::Write;
    let mut out = Vec::new();
    for (job, work) in works.iter().enumerate() {
        let command = Command::Run { job: JobId(job as u64), payload: work.encode(), resume: Vec::new() };
        out.extend(encode_command(&command));
    }
    for job in cancelled {
        out.extend(encode_command(&Command::Cancel { job: JobId(*job as u64) }));
    }
    node.socket.write_all(&out).unwrap();
    let mut answers: Vec<Option<Result<Vec<Tensor>, JobFault>>> = works.iter().map(|_| None).collect();
    let mut left = works.len() - cancelled.len();
    while left > 0 {
        match node.report().expect("the worker lives") {
            Report::Piece { job, bytes } => {
                let Piece::Outputs(tensors) = Piece::decode(&bytes).unwrap() else { panic!("tensors") };
                answers[job.0 as usize] = Some(Ok(tensors));
            }
            Report::Failed { job, fault } => {
                answers[job.0 as usize] = Some(Err(fault));
                left -= 1;
            }
            Report::Done { job, cost } => {
                assert!(cost.prefill.0 > 0 && answers[job.0 as usize].is_some());
                left -= 1;
            }
            other => panic!("{other:?}"),
        }
    }
    answers
}

fn fraud(salt: u64, rows: u64) -> Work {
    let numbers: Vec<f32> = (0..rows * 12).map(|i| ((i + 1) * (salt + 7) * 37 % 211) as f32 / 100.0).collect();
    infer(vec![floats("input", &[rows, 12], &numbers)], &[])
}

#[test]
fn jobs_in_a_batch_get_the_answers_that_they_get_alone_to_the_bit() {
    let model = std::fs::read(model("fraud.onnx")).unwrap();
    let Some((_one, mut alone)) = start(&model, &[]) else { return };
    let Some((_two, mut batch)) = start(&model, &["--batch", "16", "--batch-delay-us", "50000"]) else { return };
    let (single, several) = (alone.ready(), batch.ready());
    assert_eq!((single.slots, single.batch, several.slots, several.batch), (1, 1, 16, 16));
    assert!(several.engine.contains("up to 16 rows together"), "{}", several.engine);
    for round in 0..24 {
        // Rows of every count, sometimes more than a batch has.
        let works: Vec<Work> =
            (0..16).map(|i| fraud(round * 16 + i, [1, 1, 1, 3, 1, 7, 17][(round + i) as usize % 7])).collect();
        let (expected, found) = (ask_all(&mut alone, &works, &[]), ask_all(&mut batch, &works, &[]));
        for (place, (expected, found)) in expected.iter().zip(&found).enumerate() {
            assert!(expected == found, "round {round}, job {place}");
        }
    }
}

#[test]
fn one_bad_job_in_a_batch_fails_alone_and_a_cancelled_one_is_not_heard_of() {
    // A row with no place in the table makes the whole call fail.
    let table = made::message(
        5,
        &[made::number(1, 3), made::number(1, 2), made::number(2, 1), made::text(8, "t"), made::bytes(9, &[1; 24])],
    );
    let gather = made::model(&[
        made::node("Gather", &["t", "i"], &["y"], &[]),
        table,
        made::input("i", Datatype::Int64, &["n"]),
        made::output("y", Datatype::Fp32, &["n", "2"]),
    ]);
    let Some((_directory, mut node)) = start(&gather, &["--batch", "8", "--batch-delay-us", "20000"]) else { return };
    assert_eq!(node.ready().batch, 8);
    let place = |place: i64| {
        let data = place.to_le_bytes().to_vec();
        infer(vec![Tensor { name: "i".to_owned(), datatype: Datatype::Int64, shape: vec![1], data }], &[])
    };
    let works = [place(0), place(1), place(99), place(2), place(0)];
    let answers = ask_all(&mut node, &works, &[3]);
    for (job, answer) in answers.iter().enumerate() {
        match (job, answer) {
            (2, Some(Err(JobFault::Engine(text)))) => assert!(text.contains("Gather"), "{text}"),
            (3, None) => {}
            (0 | 1 | 4, Some(Ok(tensors))) => assert!(tensors[0].shape == [1, 2] && tensors[0].data == [1; 8]),
            _ => panic!("job {job}: {answer:?}"),
        }
    }
}

#[test]
fn a_model_whose_rows_touch_one_another_is_not_batched_and_says_so() {
    let over_rows = made::model(&[
        made::node("Softmax", &["x"], &["y"], &[("axis", 0)]),
        made::input("x", Datatype::Fp32, &["n", "4"]),
        made::output("y", Datatype::Fp32, &["n", "4"]),
    ]);
    let fixed = made::model(&[
        made::node("Identity", &["x"], &["y"], &[]),
        made::input("x", Datatype::Fp32, &["1", "4"]),
        made::output("y", Datatype::Fp32, &["1", "4"]),
    ]);
    let more = ["--batch", "8", "--batch-delay-us", "1000"];
    for (model, reason) in [
        (over_rows, "no batching: rows that go together get other answers than alone"),
        (fixed, "no batching: an input or output has no free first dimension"),
    ] {
        let Some((_directory, mut node)) = start(&model, &more) else { return };
        let loaded = node.ready();
        assert_eq!((loaded.slots, loaded.batch), (1, 1));
        assert!(loaded.engine.contains(reason), "{}", loaded.engine);
        assert!(ask(&mut node, vec![floats("x", &[1, 4], &[0.0, 1.0, 2.0, 3.0])], &[]).is_ok());
    }
}
