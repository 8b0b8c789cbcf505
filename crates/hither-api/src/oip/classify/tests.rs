//! Classes are the greatest elements of each row, best first, with their places.

use hither_engine::work::Tensor;
use hither_types::model::{Datatype, TensorSpec};

use super::{Classes, apply};

fn texts(data: &[u8]) -> Vec<String> {
    let (mut rest, mut found) = (data, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (text, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        found.push(String::from_utf8(text.to_vec()).unwrap());
        rest = after;
    }
    found
}

fn check(
    datatype: Datatype,
    shape: &[u64],
    spec: &[Option<u64>],
    data: Vec<u8>,
    count: usize,
) -> (Vec<u64>, Vec<String>) {
    let mut tensors = [Tensor { name: "scores".to_owned(), datatype, shape: shape.to_vec(), data }];
    let spec = TensorSpec { name: "scores".to_owned(), datatype, shape: spec.to_vec() };
    apply(&mut tensors, &Classes::from([("scores".to_owned(), count)]), &[spec]).unwrap();
    let [tensor] = tensors;
    assert_eq!(tensor.datatype, Datatype::Bytes);
    (tensor.shape, texts(&tensor.data))
}

fn singles(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[test]
fn each_row_of_a_batch_has_its_own_best() {
    let data = singles(&[0.25, 0.75, 0.5, 3.0, -1.0, 3.0]);
    let (shape, found) = check(Datatype::Fp32, &[2, 3], &[None, Some(3)], data, 2);
    assert_eq!(shape, [2, 2]);
    assert_eq!(found, ["0.750000:1", "0.500000:2", "3.000000:0", "3.000000:2"]);
}

#[test]
fn without_a_batch_all_elements_are_one_row_and_no_more_come_than_there_are() {
    let data = singles(&[1.0, 2.0]);
    assert_eq!(
        check(Datatype::Fp32, &[1, 2], &[Some(1), Some(2)], data, 9),
        (vec![2], vec!["2.000000:1".to_owned(), "1.000000:0".to_owned()])
    );
}

#[test]
fn whole_numbers_are_compared_exactly() {
    let data = [i64::MAX - 1, i64::MAX, i64::MIN].iter().flat_map(|number| number.to_le_bytes()).collect();
    let (_, found) = check(Datatype::Int64, &[3], &[Some(3)], data, 2);
    assert_eq!(found, ["9223372036854775807:1", "9223372036854775806:0"]);
}

#[test]
fn an_empty_batch_has_no_classes_and_texts_have_none() {
    let (shape, found) = check(Datatype::Fp32, &[0, 4], &[None, Some(4)], Vec::new(), 2);
    assert_eq!((shape, found.len()), (vec![0, 0], 0));
    let mut texts =
        [Tensor { name: "t".to_owned(), datatype: Datatype::Bytes, shape: vec![1], data: vec![1, 0, 0, 0, 65] }];
    let refused = apply(&mut texts, &Classes::from([("t".to_owned(), 1)]), &[]).unwrap_err();
    assert!(refused.message.contains("BYTES"), "{}", refused.message);
}
