//! Small files that are right, the models of the repository, and both after something has happened to them.

use std::io::{Cursor, Read};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{OnnxFacts, OnnxFault, inspect};

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(super) fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

pub(super) fn bytes(field: u64, inside: &[u8]) -> Vec<u8> {
    [&varint(field << 3 | 2)[..], &varint(inside.len() as u64), inside].concat()
}

pub(super) fn text(field: u64, text: &str) -> Vec<u8> {
    bytes(field, text.as_bytes())
}

pub(super) fn message(field: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    bytes(field, &parts.concat())
}

/// The parts of a tensor: two numbers of four bytes.
pub(super) fn tensor() -> Vec<Vec<u8>> {
    vec![number(1, 2), number(2, 1), text(8, "w"), bytes(9, &[0; 8])]
}

/// The parts of a graph: one initializer, and one node with every kind of attribute that is not a message.
pub(super) fn graph() -> Vec<Vec<u8>> {
    let attribute = vec![text(1, "a"), number(20, 7), number(8, 3), bytes(7, &[0; 8]), text(9, "x")];
    let node = vec![text(1, "x"), text(2, "y"), text(4, "Identity"), message(5, &attribute)];
    let dimension = message(1, &[number(1, 2)]);
    let shape = message(2, &[message(1, &[number(1, 1), message(2, &[dimension])])]);
    vec![message(1, &node), text(2, "g"), message(5, &tensor()), message(11, &[text(1, "x"), shape])]
}

pub(super) fn opset(domain: &str, version: u64) -> Vec<u8> {
    message(8, &[text(1, domain), number(2, version)])
}

/// The parts of a model.
pub(super) fn model(graph: &[Vec<u8>]) -> Vec<Vec<u8>> {
    vec![number(1, 10), text(2, "by hand"), message(7, graph), opset("", 21), opset("ai.onnx.ml", 4)]
}

pub(super) fn with(mut parts: Vec<Vec<u8>>, more: Vec<u8>) -> Vec<Vec<u8>> {
    parts.push(more);
    parts
}

fn read(file: &[u8]) -> Result<OnnxFacts, OnnxFault> {
    inspect(file, file.len() as u64)
}

fn said(parts: &[Vec<u8>]) -> String {
    read(&parts.concat()).map_or_else(|fault| fault.to_string(), |facts| format!("{facts:?}"))
}

/// The models of the repository.
fn real() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let files = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let models: Vec<Vec<u8>> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(models.len() >= 2, "the models are gone");
    models
}

#[test]
fn a_file_that_is_right_tells_its_facts() {
    let facts = read(&model(&graph()).concat()).unwrap();
    let opsets = vec![(String::new(), 21), ("ai.onnx.ml".to_owned(), 4)];
    assert_eq!(facts, OnnxFacts { ir_version: 10, opsets, nodes: 1, tensors: 1 });
    for model in real() {
        let facts = read(&model).unwrap();
        assert!(facts.nodes >= 1 && facts.opsets.iter().any(|(domain, _)| domain == "ai.onnx.ml"), "{facts:?}");
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let small = model(&graph()).concat();
    for length in 0..small.len() - opset("ai.onnx.ml", 4).len() {
        assert!(read(&small[..length]).is_err(), "{length}");
        // And one that is shorter than its length says.
        assert!(inspect(&small[..length], small.len() as u64).is_err(), "{length}");
    }
    for model in real() {
        // What comes after the graph names the operator sets; without the last of them a file may still be whole.
        for length in (0..model.len() - 64).step_by(model.len() / 500) {
            let fault = read(&model[..length]).unwrap_err().to_string();
            let is_told = fault.contains("cut short") || fault.contains("empty file") || fault.contains("no graph");
            assert!(is_told, "{length}: {fault}");
        }
    }
}

#[test]
fn data_in_another_file_are_refused_wherever_they_may_stand() {
    let elsewhere = |field| message(field, &[text(1, "location"), text(2, "../../etc/passwd")]);
    for outside in [
        with(tensor(), number(14, 1)),
        with(tensor(), elsewhere(13)),
        // Parsers keep the lowest 32 bits, or any number that is not known as none at all: only zero is safe.
        with(tensor(), number(14, 1 << 32 | 1)),
        with(tensor(), number(14, 7)),
        vec![elsewhere(13), number(14, 1), number(2, 1), text(8, "w")],
        // An address in memory, by ONNX Runtime's own marker.
        with(tensor(), message(13, &[text(1, "location"), text(2, "*/_ORT_MEM_ADDR_/*")])),
    ] {
        let attribute = |parts: Vec<u8>| message(1, &[text(4, "Constant"), message(5, &[text(1, "value"), parts])]);
        let inner = with(graph(), message(5, &outside));
        let sparse = |field, role| message(field, &[message(role, &outside)]);
        let function = |part: Vec<u8>| with(model(&graph()), message(25, &[text(1, "f"), part]));
        for (place, file) in [
            ("initializer", model(&inner)),
            ("sparse values", model(&with(graph(), sparse(15, 1)))),
            ("sparse indices", model(&with(graph(), sparse(15, 2)))),
            ("attribute", model(&with(graph(), attribute(message(5, &outside))))),
            ("attribute's tensors", model(&with(graph(), attribute(message(10, &outside))))),
            ("attribute's sparse tensor", model(&with(graph(), attribute(sparse(22, 1))))),
            ("attribute's sparse tensors", model(&with(graph(), attribute(sparse(23, 2))))),
            ("inner graph", model(&with(graph(), attribute(message(6, &inner))))),
            ("inner graphs", model(&with(graph(), attribute(message(11, &inner))))),
            ("function", function(message(7, &[text(4, "Constant"), message(5, &[message(5, &outside)])]))),
            ("function's attribute", function(message(11, &[text(1, "a"), message(5, &outside)]))),
            ("training", with(model(&graph()), message(20, &[message(1, &inner)]))),
            ("training's algorithm", with(model(&graph()), message(20, &[message(2, &inner)]))),
        ] {
            let fault = read(&file.concat()).expect_err(place);
            assert!(matches!(&fault, OnnxFault::External(name) if name == "w"), "{place}: {fault}");
        }
    }
}

#[test]
fn hostile_files_are_refused_by_what_is_wrong_with_them() {
    let broken = |more: Vec<u8>| model(&with(graph(), message(5, &with(tensor(), more))));
    let alone = |parts: &[Vec<u8>]| model(&with(graph(), message(5, parts)));
    let huge = varint(u64::MAX >> 1);
    let deep =
        (0..40).fold(graph(), |inside, _| vec![message(1, &[text(4, "If"), message(5, &[message(6, &inside)])])]);
    let deep_type =
        (0..80).fold(vec![message(1, &[number(1, 1)])], |inside, _| vec![message(4, &[message(1, &inside)])]);
    for (file, begins) in [
        (vec![number(1, 10), opset("", 21)], "the file is not ONNX: there is no graph"),
        (vec![message(7, &graph()), opset("", 21)], "the version of the form is 0"),
        (vec![number(1, 65), message(7, &graph()), opset("", 21)], "the version of the form is 65"),
        (vec![number(1, 10), message(7, &graph())], "the model does not say which operator set"),
        (vec![number(1, 10), message(7, &graph()), opset("", 0)], "the operator set \"\" has version 0"),
        (
            vec![number(1, 10), message(7, &graph()), opset("", 1 << 40)],
            "the operator set \"\" has version 1099511627776",
        ),
        (with(model(&graph()), opset("", 9)), "the operator set \"\" is imported twice"),
        (with(model(&graph()), message(7, &graph())), "the graph is there twice"),
        (with(model(&graph()), number(1, 10)), "the version of the form is there twice"),
        (with(model(&graph()), number(15, 1)), "the file is not ONNX: the model has a field 15"),
        (with(model(&graph()), vec![0x0b]), "the file is not ONNX: the model has at byte"),
        (with(model(&graph()), vec![0xf0, 0x80, 0x80, 0x80, 0x10, 1]), "the file is not ONNX: the model has at byte"),
        (with(model(&graph()), vec![0xb8, 0x80, 0x00]), "the file is not ONNX: the model has at byte"),
        (
            with(model(&graph()), [vec![0xa2, 1], huge.clone()].concat()),
            "the file is cut short: the part for training ends",
        ),
        (with(model(&graph()), [&[0x28][..], &[0xff; 10]].concat()), "the version of the model has a number of more"),
        (with(model(&graph()), number(6, 1)), "the text about the model is written as another type"),
        (with(model(&graph()), bytes(5, &[1])), "the version of the model is written as another type"),
        (model(&with(graph(), [vec![0x0a], huge.clone()].concat())), "a node ends at byte"),
        (model(&with(graph(), number(3, 1))), "a graph has a field 3"),
        (broken(number(2, 1)), "the type of a tensor is there twice"),
        (broken(bytes(9, &[0; 8])), "the bytes of a tensor is there twice"),
        (broken(number(1, 3)), "tensor \"w\" has 8 bytes, and its shape needs 24"),
        (broken(number(1, u64::MAX)), "a tensor has a negative dimension"),
        (broken(bytes(1, &varint(1 << 62))), "tensor \"w\" has more elements than can be counted"),
        (broken([number(1, 1 << 62), number(1, 1 << 62)].concat()), "tensor \"w\" has more elements"),
        (broken(bytes(4, &[0; 7])), "the numbers of a tensor is written as another type"),
        (alone(&[number(2, 29)]), "tensor \"\" is of type 29"),
        (alone(&[text(8, "e")]), "tensor \"e\" is of type 0"),
        (alone(&[number(2, 8), number(1, 1), bytes(9, &[0])]), "tensor \"\" has 1 bytes"),
        (alone(&[number(2, 22), number(1, 3), bytes(9, &[0])]), "tensor \"\" has 1 bytes, and its shape needs 2"),
        (alone(&[number(2, 1), bytes(8, &[0xff])]), "the name of a tensor is no UTF-8"),
        (alone(&[number(2, 1), text(8, &"n".repeat(70_000))]), "bytes of a name: there are 70000"),
        (model(&with(graph(), message(1, &[text(4, "EPContext")]))), "a node is EPContext"),
        (model(&deep), "messages inside messages: there are 65"),
        (model(&with(graph(), message(11, &[message(2, &deep_type)]))), "messages inside messages: there are 65"),
    ] {
        let found = said(&file);
        assert!(found.starts_with(begins), "{begins}: {found}");
    }
}

#[test]
fn counts_of_millions_are_bounded_before_a_parser_sees_them() {
    let nodes = vec![[0x0a, 0]; 5 << 20].concat();
    let found = said(&model(&with(graph(), nodes)));
    assert_eq!(found, "messages: there are 4194305, and 4194304 is the most that is taken");
    let inputs = vec![[0x0a, 0]; 9 << 20].concat();
    let found = said(&model(&with(graph(), message(1, &[inputs]))));
    assert_eq!(found, "texts: there are 8388609, and 8388608 is the most that is taken");
    // A file that says that it is endless, and is.
    let endless = Cursor::new(number(1, 10)).chain(std::io::repeat(0x0a));
    assert!(inspect(endless, u64::MAX).unwrap_err().to_string().starts_with("the bytes of the file: there are"));
}

#[test]
fn other_files_are_named_as_what_they_look_like() {
    for (begin, what) in [
        (&b""[..], "an empty file"),
        (b"GGUF\x03\0\0\0", "a GGUF language model"),
        (b"PK\x03\x04\x14\0", "a zip archive"),
        (b"\x80\x02}q\0(X", "a Python pickle"),
        (b"\x80\x04\x95\x10\0", "a Python pickle"),
        (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file"),
        (b"\n  <!DOCTYPE html><html>", "a web page"),
        (b"<HTML><body>Sign in", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"\x18\0\0\0TFL3\0\0", "a TensorFlow Lite model"),
        (b"\x18\0\0\0ORTM\0\0", "a model in ONNX Runtime's own format"),
        (b"\x40\0\0\0\0\0\0\0{\"__metadata__\":", "safetensors"),
        (b"{\"model\": 1}", "JSON"),
        (b"Hello, this is a model.", "text"),
        (&[0; 100], "zeros"),
    ] {
        let found = read(begin).unwrap_err().to_string();
        assert!(found.starts_with(&format!("the file is not ONNX: it looks like {what}")), "{begin:?}: {found}");
    }
    for noise in [&[0xff_u8; 40][..], &[7; 40], b"hi\x01\x02"] {
        let found = read(noise).unwrap_err();
        assert!(matches!(found, OnnxFault::NotOnnx(_)), "{found}");
    }
}

proptest! {
    #[test]
    fn a_file_with_flipped_bits_never_makes_it_panic(flips in vec((0usize..1000, 0u8..8), 1..9)) {
        let mut file = model(&graph()).concat();
        for (at, bit) in flips {
            let at = at % file.len();
            file[at] ^= 1 << bit;
        }
        let _ = read(&file);
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(rest in vec(any::<u8>(), 0..300)) {
        let _ = read(&rest);
        let _ = read(&[number(1, 10), message(7, std::slice::from_ref(&rest)), opset("", 21)].concat());
        let _ = read(&[number(1, 10), message(7, &[message(5, &[rest])]), opset("", 21)].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn real_models_that_were_damaged_never_make_it_panic(
        which in any::<prop::sample::Index>(),
        flips in vec((any::<prop::sample::Index>(), 0u8..8), 1..33),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let models = real();
        let mut file = which.get(&models).clone();
        for (at, bit) in flips {
            // Half of them where the structure is: at the front.
            let most = if bit % 2 == 0 { file.len() } else { file.len().min(4096) };
            let at = at.index(most);
            file[at] ^= 1 << bit;
        }
        let length = cut.map_or(file.len(), |cut| cut.index(file.len()));
        let _ = read(&file[..length]);
    }
}
