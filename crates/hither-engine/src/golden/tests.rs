//! What counts as the known answer, and what is held on to of an answer.

use hither_types::model::{Datatype, KnownAnswer, ModelIo, Question, TensorSpec};

use super::{ABSOLUTE, ANSWER_MAX, RELATIVE, check, questions, record, work};
use crate::work::{Chance, Chances, FinishReason, Piece, Tensor, Work};

fn tensor(name: &str, datatype: Datatype, shape: &[u64], data: Vec<u8>) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec(), data }
}

fn floats(values: &[f32]) -> Piece {
    let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Piece::Outputs(vec![tensor("y", Datatype::Fp32, &[values.len() as u64], data)])
}

fn labels(values: &[i64]) -> Piece {
    let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Piece::Outputs(vec![tensor("label", Datatype::Int64, &[values.len() as u64], data)])
}

fn strings(values: &[&str]) -> Piece {
    let prefixed = |text: &&str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let data = values.iter().flat_map(prefixed).collect();
    Piece::Outputs(vec![tensor("s", Datatype::Bytes, &[values.len() as u64], data)])
}

fn known(piece: &Piece) -> KnownAnswer {
    KnownAnswer::Tensors { outputs: piece.encode(), relative: RELATIVE, absolute: ABSOLUTE }
}

const DRAWN: Question = Question::Drawn { seed: 1, rows: 1 };

#[test]
fn numbers_may_be_off_by_the_tolerance_and_no_more() {
    let answer = known(&floats(&[0.5, 1000.0, 0.0]));
    assert_eq!(check(&answer, &[floats(&[0.5004, 1000.9, 0.000_09])]), Ok(()));
    let error = check(&answer, &[floats(&[0.5, 1002.0, 0.0])]).unwrap_err();
    assert_eq!(error, "output \"y\" has 1.002e3 at element 1, and not 1e3");
    assert!(check(&answer, &[floats(&[0.5, 1000.0, 0.0002])]).is_err());
}

#[test]
fn what_is_no_number_equals_only_itself() {
    let (nan, infinite) = (f32::NAN, f32::INFINITY);
    let answer = known(&floats(&[nan, infinite]));
    assert_eq!(check(&answer, &[floats(&[nan, infinite])]), Ok(()));
    for wrong in [[0.0, infinite], [nan, nan], [nan, -infinite], [nan, 1.0]] {
        assert!(check(&answer, &[floats(&wrong)]).is_err(), "{wrong:?}");
    }
    assert!(check(&known(&floats(&[1.0])), &[floats(&[nan])]).is_err());
}

#[test]
fn labels_and_strings_are_exact() {
    let error = check(&known(&labels(&[1, -1])), &[labels(&[1, -2])]).unwrap_err();
    assert_eq!(error, "output \"label\" has -2 at element 1, and not -1");
    let error = check(&known(&strings(&["cat", "dog"])), &[strings(&["cat", "cow"])]).unwrap_err();
    assert_eq!(error, "output \"s\" has \"cow\" at element 1, and not \"dog\"");
    assert_eq!(check(&known(&strings(&["cat", ""])), &[strings(&["cat", ""])]), Ok(()));
}

#[test]
fn another_shape_type_or_name_is_another_answer() {
    let answer = known(&floats(&[1.0, 2.0]));
    assert!(check(&answer, &[floats(&[1.0])]).unwrap_err().contains("has the shape [1], and not [2]"));
    assert!(check(&answer, &[labels(&[1, 2])]).unwrap_err().contains("there is no output \"y\""));
    let integers = Piece::Outputs(vec![tensor("y", Datatype::Int32, &[2], vec![0; 8])]);
    assert!(check(&answer, &[integers]).unwrap_err().contains("is INT32, and not FP32"));
    let square = Piece::Outputs(vec![tensor("y", Datatype::Uint8, &[2, 3], vec![0; 6])]);
    let turned = Piece::Outputs(vec![tensor("y", Datatype::Uint8, &[3, 2], vec![0; 6])]);
    assert!(check(&known(&square), &[turned]).is_err());
    assert!(check(&answer, &[Piece::end(FinishReason::Stop, "1 2".to_owned())]).is_err());
}

#[test]
fn of_a_large_answer_the_beginning_is_kept() {
    let large: Vec<f32> = (0..5000).map(|n| n as f32).collect();
    let golden = record(DRAWN, &[floats(&large)], &[floats(&large)]).unwrap();
    let KnownAnswer::Tensors { outputs, .. } = &golden.answer else { panic!("tensors came") };
    assert!(outputs.len() <= ANSWER_MAX + 64, "{}", outputs.len());
    let mut wrong = large.clone();
    wrong[100] = 7.0;
    assert_eq!(check(&golden.answer, &[floats(&large)]), Ok(()));
    assert!(check(&golden.answer, &[floats(&wrong)]).is_err());
    let long = "x".repeat(300);
    let texts = vec![long.as_str(); 40];
    let golden = record(DRAWN, &[strings(&texts)], &[strings(&texts)]).unwrap();
    assert_eq!(check(&golden.answer, &[strings(&texts)]), Ok(()));
    assert!(check(&golden.answer, &[strings(&vec!["y"; 40])]).is_err());
}

#[test]
fn a_model_that_answers_by_chance_has_no_known_answer() {
    assert!(record(DRAWN, &[floats(&[1.0])], &[floats(&[2.0])]).is_none());
    assert!(record(DRAWN, &[floats(&[])], &[floats(&[])]).is_none(), "nothing to hold on to");
}

/// An answer of tokens, each with how far it was ahead of the next.
fn said(tokens: &[(&str, f32)]) -> Vec<Piece> {
    let chance = |id, log, text: &str| Chance { id, log, bytes: text.as_bytes().to_vec() };
    let piece = |(at, (text, ahead)): (usize, &(&str, f32))| {
        let first = chance(at as u32, -0.1, text);
        let likeliest = vec![first.clone(), chance(99, -0.1 - ahead, "other")];
        let chances = vec![Chances { said: first, likeliest }];
        Piece::Tokens { first: at as u32, ids: vec![at as u32], text: (*text).to_owned(), chances, calls: Vec::new() }
    };
    let mut pieces: Vec<Piece> = tokens.iter().enumerate().map(piece).collect();
    pieces.push(Piece::end(FinishReason::Length, String::new()));
    pieces
}

#[test]
fn of_words_the_beginning_of_which_the_model_was_sure_is_kept() {
    let answer = said(&[(" Paris", 3.0), (".", 1.0), (" It", 0.1), (" is", 4.0)]);
    let question = questions(&ModelIo::Language { context_tokens: 512 }).remove(0);
    let golden = record(question, &answer, &answer).unwrap();
    assert_eq!(golden.answer, KnownAnswer::Begins(" Paris.".to_owned()));
    let Ok(Work::Generate(asked)) = work(&golden.question, &ModelIo::Language { context_tokens: 512 }) else {
        panic!("words are asked for")
    };
    assert_eq!((asked.max_tokens, asked.chances), (Some(2), None), "no more is asked than is known");
    assert_eq!(check(&golden.answer, &said(&[(" Paris", 3.0), (".", 1.0), (" The", 0.1)])), Ok(()));
    let error = check(&golden.answer, &said(&[(" London", 3.0), (".", 1.0)])).unwrap_err();
    assert_eq!(error, "the answer begins with \" London\", and not with \" Paris.\"");
    let unsure = said(&[(" Paris", 0.2)]);
    assert!(record(DRAWN, &unsure, &unsure).is_none());
}

fn spec(name: &str, datatype: Datatype, shape: &[Option<u64>]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec() }
}

#[test]
fn drawn_inputs_fit_the_model_and_are_the_same_everywhere() {
    let inputs: Vec<TensorSpec> =
        Datatype::ALL.iter().map(|datatype| spec(datatype.as_str(), *datatype, &[None, Some(3), None])).collect();
    let io = ModelIo::Tensors { inputs: inputs.clone(), outputs: Vec::new() };
    let asked = questions(&io);
    assert_eq!(asked, [Question::Drawn { seed: 1, rows: 1 }, Question::Drawn { seed: 1, rows: 64 }]);
    for question in &asked {
        let Ok(Work::Infer(drawn)) = work(question, &io) else { panic!("tensors are drawn") };
        assert_eq!(crate::validate(&drawn, &inputs, &[]), Ok(()));
        assert!(work(question, &io) == Ok(Work::Infer(drawn)));
    }
    let fixed = ModelIo::Tensors { inputs: vec![spec("x", Datatype::Fp32, &[Some(1), Some(8)])], outputs: Vec::new() };
    assert_eq!(questions(&fixed).len(), 1, "more rows would be the same question");
    let Ok(Work::Infer(drawn)) = work(&questions(&fixed)[0], &fixed) else { panic!("tensors are drawn") };
    let values: Vec<f32> =
        drawn.inputs[0].data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    // Part of what the catalog's signature stands for: another draw would make every known answer wrong.
    assert_eq!(values, [0.25, -1.0, -1.0, 0.5, -0.625, -1.0, 0.0, -0.25]);
}

#[test]
fn a_language_model_is_asked_in_words_and_for_how_sure_it_was() {
    let io = ModelIo::Language { context_tokens: 512 };
    for question in questions(&io) {
        let Ok(Work::Generate(asked)) = work(&question, &io) else { panic!("words are asked for") };
        assert_eq!((asked.temperature, asked.chances), (0., Some(2)));
    }
    assert!(work(&DRAWN, &io).is_err());
    assert!(work(&Question::Given(vec![1, 2, 3]), &io).is_err());
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let io = ModelIo::Tensors { inputs: vec![spec("x", Datatype::Fp32, &[Some(1 << 40)])], outputs: Vec::new() };
    assert!(work(&DRAWN, &io).unwrap_err().contains("too large to be drawn"));
}
