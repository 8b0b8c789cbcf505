//! Workers with ONNX models.

use hither_engine::protocol::Report;
use hither_types::model::Datatype;

use crate::made;
use crate::node::{Node, cached, model};

pub(crate) const LIBRARY: &str = "lib/libonnxruntime.so.1.32.0";

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
