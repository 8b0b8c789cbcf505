//! What people may write as a known answer, and what they are told of the rest.

use hither_engine::work::{Piece, Prompt, Work};
use hither_types::model::{KnownAnswer, Question};
use serde_json::json;

use super::read;
use crate::admin::GoldenDto;

fn dto(value: serde_json::Value) -> GoldenDto {
    serde_json::from_value(value).unwrap()
}

fn refused(value: serde_json::Value) -> String {
    read(vec![dto(value)]).unwrap_err().message
}

#[test]
fn tensors_come_in_the_form_of_the_protocol() {
    let case = json!({
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, 1]]}],
        "outputs": [{"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}],
        "relative": 0.01
    });
    let golden = read(vec![dto(case)]).unwrap().remove(0);
    let Question::Given(work) = &golden.question else { panic!("it was given") };
    let Ok(Work::Infer(work)) = Work::decode(work) else { panic!("tensors were given") };
    assert_eq!(work.inputs[0].data, [0.5_f32.to_le_bytes(), 1_f32.to_le_bytes()].concat());
    let KnownAnswer::Tensors { outputs, relative: 10_000, absolute: 100 } = &golden.answer else {
        panic!("{:?}", golden.answer)
    };
    let Ok(Piece::Outputs(outputs)) = Piece::decode(outputs) else { panic!("tensors were given") };
    assert_eq!((outputs[0].name.as_str(), outputs[0].data.as_slice()), ("label", 1_i64.to_le_bytes().as_slice()));
}

#[test]
fn words_are_a_prompt_and_a_beginning() {
    let golden = read(vec![dto(json!({"prompt": "2, 4, 6,", "begins": " 8"}))]).unwrap().remove(0);
    let Question::Given(work) = &golden.question else { panic!("it was given") };
    let Ok(Work::Generate(work)) = Work::decode(work) else { panic!("words were given") };
    assert!(work.prompt == Prompt::Text("2, 4, 6,".to_owned()) && work.max_tokens == Some(2));
    assert_eq!(golden.answer, KnownAnswer::Begins(" 8".to_owned()));
}

#[test]
fn what_is_wrong_is_said() {
    let tensor = json!([{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]);
    let float = json!([{"name": "x", "datatype": "FLOAT", "shape": [1], "data": [1]}]);
    assert!(refused(json!({"inputs": float, "outputs": tensor})).contains("datatype \"FLOAT\" is none of"));
    let loose = json!({"inputs": tensor, "outputs": tensor, "absolute": 3});
    assert!(refused(loose).contains("a tolerance is a number from 0 to 1, and 3 came"));
    assert!(refused(json!({"prompt": "a", "begins": ""})).contains("every answer begins with nothing"));
    let many = (0..17).map(|_| dto(json!({"prompt": "a", "begins": "b"}))).collect();
    assert!(read(many).unwrap_err().message.contains("17 known answers came, and a model has at most 16"));
    let long = json!({"prompt": "a".repeat(40_000), "begins": "b"});
    assert!(refused(long).contains("and 32768 are allowed"));
    assert!(serde_json::from_value::<GoldenDto>(json!({"prompt": "a", "starts": "b"})).is_err());
}
