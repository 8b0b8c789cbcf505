//! Tests of tensors from text.

use hither_api::admin::TensorDto;
use serde_json::json;

use super::{Table, count_right, from_text, text};

fn spec(datatype: &str, shape: &[i64]) -> TensorDto {
    TensorDto { name: "input".to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec() }
}

#[test]
fn values_fill_the_free_dimension() {
    let body = from_text(&["input=1,2,3,4".to_owned()], &[spec("FP32", &[-1, 2])]).unwrap();
    assert_eq!(
        body["inputs"][0],
        json!({"name": "input", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]})
    );
}

#[test]
fn wrong_input_says_what_would_be_right() {
    let message = |text: &str, spec: TensorDto| from_text(&[text.to_owned()], &[spec]).unwrap_err().message;
    assert_eq!(message("x=1", spec("FP32", &[1])), "the model has no input \"x\"; it has input");
    assert_eq!(message("input=1,a", spec("INT64", &[2])), "input input takes INT64, and \"a\" is none");
    assert_eq!(message("input=1.5", spec("INT64", &[1])), "input input takes INT64, and \"1.5\" is none");
    assert_eq!(message("input=-1", spec("UINT8", &[1])), "input input takes UINT8, and \"-1\" is none");
    assert_eq!(
        message("input=1,2,3", spec("FP32", &[-1, 2])),
        "input input has shape [-1, 2], and 3 values do not fill it"
    );
    assert_eq!(message("input", spec("FP32", &[1])), "expected NAME=1,2,3, found \"input\"");
}

#[test]
fn a_table_gives_its_labels_away() {
    let table = Table::parse("a,b,label\n1,2,0\n3,4,1\n\n").unwrap();
    assert_eq!((table.columns.len(), table.values.len(), table.labels), (2, 4, vec![0, 1]));
    assert!(Table::parse("a,b\n1,2\n").unwrap().labels.is_empty());
    assert_eq!(Table::parse("a,b\n1\n").err().unwrap(), "line 2: expected 2 values, found 1");
    assert_eq!(
        Table::parse("a,label\n1,x\n").err().unwrap(),
        "line 2: expected a whole number as the label, found \"x\""
    );
    assert_eq!(Table::parse("a,b\n").err().unwrap(), "there are no rows below the header");
}

#[test]
fn labels_are_compared_one_by_one() {
    let outputs = json!([{"name": "label", "datatype": "INT64", "shape": [3], "data": [0, 1, 1]}]);
    assert_eq!(count_right(&outputs, &[0, 1, 0]), Some(2));
    assert_eq!(count_right(&outputs, &[0, 1]), None);
}

#[test]
fn a_long_answer_says_that_it_goes_on() {
    let outputs = json!([{"name": "p", "datatype": "FP32", "shape": [12, 2], "data": vec![0.5; 24]}]);
    let text = text(&outputs);
    assert!(text.starts_with("p  FP32[12, 2]\n  0.5  0.5\n"), "{text}");
    assert!(text.ends_with("  … 2 more rows: --json shows all\n"), "{text}");
}
