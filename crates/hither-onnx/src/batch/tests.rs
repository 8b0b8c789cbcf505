//! Joining and cutting apart, which need no library.

use hither_engine::work::{InferWork, Tensor};
use hither_types::model::{Datatype, TensorSpec};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Closeness, agree as agree_within, alike, half, has_rows, join, rows, samples, split};

fn agree(one: &[Tensor], other: &[Tensor]) -> bool {
    agree_within(one, other, Closeness::ON_ONE_DEVICE)
}

fn tensor(name: &str, datatype: Datatype, shape: &[u64], data: Vec<u8>) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec(), data }
}

/// A job with bytes of two columns and a string for each row; the inputs in either order.
fn job(rows: &[(u8, String)], swapped: bool) -> InferWork {
    let count = rows.len() as u64;
    let numbers = rows.iter().flat_map(|(number, _)| [*number, number.wrapping_add(1)]).collect();
    let text = |(_, text): &(u8, String)| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let texts = rows.iter().flat_map(text).collect();
    let mut inputs =
        vec![tensor("n", Datatype::Uint8, &[count, 2], numbers), tensor("t", Datatype::Bytes, &[count], texts)];
    if swapped {
        inputs.reverse();
    }
    InferWork { inputs, outputs: Vec::new() }
}

proptest! {
    #[test]
    fn what_was_joined_is_cut_into_the_same_parts(
        parts in vec((vec((any::<u8>(), "[a-zé]{0,5}"), 1..5), any::<bool>()), 1..6),
    ) {
        let jobs: Vec<InferWork> = parts.iter().map(|(rows, swapped)| job(rows, *swapped)).collect();
        let all: Vec<&InferWork> = jobs.iter().collect();
        prop_assert!(jobs.iter().all(|job| alike(job, &jobs[0])));
        let counts: Vec<u64> = jobs.iter().map(|job| rows(job).unwrap()).collect();
        let joined = join(&all);
        let total: u64 = counts.iter().sum();
        prop_assert!(joined.iter().all(|tensor| tensor.shape[0] == total));
        let cut = split(&joined, &counts).unwrap();
        for (cut, job) in cut.iter().zip(&jobs) {
            for tensor in &job.inputs {
                prop_assert!(cut.iter().any(|found| found == tensor));
            }
        }
    }
}

#[test]
fn what_is_not_alike_or_has_no_rows_does_not_go_together() {
    let one = |shape: &[u64]| {
        let length = shape.iter().product::<u64>() as usize;
        InferWork { inputs: vec![tensor("x", Datatype::Uint8, shape, vec![0; length])], outputs: Vec::new() }
    };
    assert!(alike(&one(&[1, 3]), &one(&[7, 3])));
    assert!(!alike(&one(&[1, 3]), &one(&[1, 4])));
    assert!(!alike(&one(&[1, 3]), &one(&[1, 3, 1])));
    let mut other = one(&[1, 3]);
    other.inputs[0].datatype = Datatype::Int8;
    assert!(!alike(&one(&[1, 3]), &other));
    other.inputs.push(other.inputs[0].clone());
    assert!(!alike(&one(&[1, 3]), &other));
    assert_eq!((rows(&one(&[5, 3])), rows(&one(&[0, 3])), rows(&one(&[]))), (Some(5), None, None));
    let spec = |shape: Vec<Option<u64>>| TensorSpec { name: "x".to_owned(), datatype: Datatype::Fp32, shape };
    assert!(has_rows(&[spec(vec![None, Some(3)]), spec(vec![None])]));
    assert!(!has_rows(&[spec(vec![None]), spec(vec![Some(1), None])]));
    assert!(!has_rows(&[spec(vec![None]), spec(Vec::new())]) && !has_rows(&[]));
}

#[test]
fn outputs_without_a_row_for_each_row_are_not_cut() {
    let whole = tensor("y", Datatype::Uint8, &[3, 1], vec![1, 2, 3]);
    assert_eq!(split(std::slice::from_ref(&whole), &[1, 2]).unwrap()[1][0].data, [2, 3]);
    assert!(split(std::slice::from_ref(&whole), &[1, 1]).is_none());
    assert!(split(&[tensor("y", Datatype::Uint8, &[], vec![1])], &[1]).is_none());
    assert!(split(&[tensor("y", Datatype::Bytes, &[2], vec![1, 0, 0, 0, b'a'])], &[1, 1]).is_none());
}

#[test]
fn samples_differ_and_rounding_is_forgiven() {
    for datatype in Datatype::ALL {
        let spec = TensorSpec { name: "x".to_owned(), datatype, shape: vec![None, Some(64)] };
        let [one, two] = samples(&[spec]).unwrap();
        assert!(one.inputs[0].data != two.inputs[0].data, "{}", datatype.as_str());
        assert!(agree(&one.inputs, &one.inputs) && !agree(&one.inputs, &two.inputs), "{}", datatype.as_str());
    }
    let single = |number: f32| [tensor("y", Datatype::Fp32, &[1], number.to_le_bytes().to_vec())];
    assert!(agree(&single(1000.0), &single(1000.5)) && !agree(&single(1000.0), &single(1002.0)));
    assert!(agree(&single(f32::NAN), &single(f32::NAN)) && !agree(&single(f32::NAN), &single(0.0)));
    let known =
        [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_953_125), (0x0001, 2f64.powi(-24)), (0x7bff, 65504.0)];
    assert!(known.iter().all(|(bits, number)| half(*bits) == *number));
    assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
}
