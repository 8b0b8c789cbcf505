//! Every way in which tensors can fail to fit, by the text that the client reads.

use hither_types::model::{Datatype, TensorSpec};

use super::validate;
use crate::work::{InferWork, Tensor};

fn tensor(name: &str, datatype: Datatype, shape: &[u64], bytes: usize) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec(), data: vec![0; bytes] }
}

fn check(inputs: Vec<Tensor>, outputs: &[&str], expected: &str) {
    let spec = |name: &str, datatype, shape: &[Option<u64>]| TensorSpec {
        name: name.to_owned(),
        datatype,
        shape: shape.to_vec(),
    };
    let takes = [spec("x", Datatype::Fp32, &[None, Some(3)]), spec("s", Datatype::Bytes, &[Some(2)])];
    let gives = [spec("label", Datatype::Int64, &[None])];
    let work = InferWork { inputs, outputs: outputs.iter().map(|name| (*name).to_owned()).collect() };
    let found = validate(&work, &takes, &gives).map_or_else(|fault| fault.to_string(), |()| "fits".to_owned());
    assert_eq!(found, expected);
}

fn x() -> Tensor {
    tensor("x", Datatype::Fp32, &[2, 3], 24)
}

fn s() -> Tensor {
    Tensor { data: vec![1, 0, 0, 0, b'a', 0, 0, 0, 0], ..tensor("s", Datatype::Bytes, &[2], 0) }
}

#[test]
fn what_fits_is_let_through_in_any_order() {
    check(vec![x(), s()], &[], "fits");
    check(vec![s(), x()], &["label"], "fits");
    check(vec![s(), tensor("x", Datatype::Fp32, &[0, 3], 0)], &[], "fits");
}

#[test]
fn names_must_match_once_each() {
    check(vec![x()], &[], "input \"s\" is missing: expected BYTES [2]");
    check(vec![x(), s(), x()], &[], "input \"x\" came twice");
    let extra = tensor("y", Datatype::Fp32, &[1], 4);
    check(vec![x(), extra, s()], &[], "the model has no input \"y\"; it takes \"x\", \"s\"");
    check(vec![x(), s()], &["score"], "the model has no output \"score\"; it gives \"label\"");
}

#[test]
fn types_and_shapes_must_match() {
    let wrong_type = tensor("x", Datatype::Fp64, &[2, 3], 48);
    check(vec![wrong_type, s()], &[], "input \"x\" expects FP32, and FP64 came");
    let wrong_rank = tensor("x", Datatype::Fp32, &[6], 24);
    check(vec![wrong_rank, s()], &[], "input \"x\" expects the shape [any, 3], and [6] came");
    let wrong_dim = tensor("x", Datatype::Fp32, &[3, 2], 24);
    check(vec![wrong_dim, s()], &[], "input \"x\" expects the shape [any, 3], and [3, 2] came");
}

#[test]
fn data_must_be_as_long_as_the_shape_says() {
    let short = tensor("x", Datatype::Fp32, &[2, 3], 20);
    check(vec![short, s()], &[], "input \"x\" of shape [2, 3] expects 24 bytes, and 20 came");
    let huge = tensor("x", Datatype::Fp32, &[u64::MAX, 3], 24);
    check(vec![huge, s()], &[], "input \"x\" has a shape [18446744073709551615, 3] beyond all memory");
    let wrapping = tensor("x", Datatype::Fp32, &[1 << 61, 3], 0);
    check(vec![wrapping, s()], &[], "input \"x\" has a shape [2305843009213693952, 3] beyond all memory");
}

#[test]
fn strings_must_be_whole_and_as_many_as_the_shape_says() {
    let few = Tensor { data: vec![0; 4], ..s() };
    check(vec![x(), few], &[], "input \"s\" of shape [2] expects 2 elements, and 1 came");
    let cut = Tensor { data: vec![0, 0, 0, 0, 9, 0, 0, 0, b'a'], ..s() };
    check(vec![x(), cut], &[], "input \"s\" has an element whose length goes beyond the data");
}

#[test]
fn a_long_name_from_a_client_is_cut() {
    let extra = tensor(&"y".repeat(5000), Datatype::Fp32, &[1], 4);
    let expected = format!("the model has no input \"{}\"; it takes \"x\", \"s\"", "y".repeat(80));
    check(vec![extra], &[], &expected);
}
