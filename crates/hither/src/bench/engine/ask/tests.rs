//! Requests that are made up are requests that are understood.

use hither_types::model::Datatype;

use super::*;

#[test]
fn what_is_made_up_for_a_model_is_what_it_takes() {
    let spec = |name: &str, datatype, shape| TensorSpec { name: name.to_owned(), datatype, shape };
    let specs = [
        spec("x", Datatype::Fp32, vec![None, Some(3)]),
        spec("ids", Datatype::Int64, vec![None, None]),
        spec("name", Datatype::Bytes, vec![Some(2)]),
    ];
    let Work::Infer(work) = Ask::made_for(&specs, 4).unwrap().work(0).unwrap() else { panic!("not tensors") };
    hither_engine::validate(&work, &specs, &[]).unwrap();
    assert_eq!(work.inputs[0].shape, [4, 3]);
    let half = [spec("h", Datatype::Fp16, vec![Some(1)])];
    assert!(Ask::made_for(&half, 1).unwrap_err().message.contains("FP16"));
}

#[test]
fn prompts_have_their_words_and_no_common_beginning() {
    let beginnings: std::collections::BTreeSet<String> = (0..200).map(|number| prompt(12, number)).collect();
    assert_eq!(beginnings.len(), 200);
    assert_eq!(prompt(300, 7).split(' ').count(), 300);
    assert_eq!(prompt(300, 7), prompt(300, 7));
}
