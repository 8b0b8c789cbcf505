//! Tests of what the program makes of a node's answers.

use super::sse::{Splitter, SseEvent};
use super::trouble_of;
use crate::output::Exit;

fn split(parts: &[&str]) -> Vec<SseEvent> {
    let mut splitter = Splitter::default();
    parts.iter().for_each(|part| splitter.push(part.as_bytes()));
    std::iter::from_fn(|| splitter.pop()).collect()
}

fn data(name: &str, text: &str) -> SseEvent {
    SseEvent::Data { name: name.to_owned(), text: text.to_owned() }
}

#[test]
fn events_survive_any_cut() {
    let text = "event: view\ndata: {\"a\":1}\n\n: hither {}\ndata: x\ndata: y\r\n\r\ndata: [DONE]\n\n";
    let whole = split(&[text]);
    assert_eq!(
        whole,
        [data("view", "{\"a\":1}"), SseEvent::Comment("hither {}".to_owned()), data("", "x\ny"), data("", "[DONE]")]
    );
    for cut in 1..text.len() {
        assert_eq!(split(&[&text[..cut], &text[cut..]]), whole);
    }
}

#[test]
fn an_event_without_its_empty_line_is_not_complete() {
    assert_eq!(split(&["data: half\n"]), []);
}

#[test]
fn a_refusal_by_law_ends_with_three_and_names_the_rule() {
    let body = br#"{"code":"E0301","status":451,"message":"no lawful place","rule":"id-bank","help":["pull it"],
        "nearest":[{"jurisdiction":"DE-BY","forbidden_by":"id-bank","rule":"eea","failed":["target: DE is not in ID"]}]}"#;
    let trouble = trouble_of(451, body);
    assert_eq!((trouble.exit, trouble.code.as_str()), (Exit::Refused, "E0301"));
    let place = "DE-BY: forbidden by id-bank; nearest permit eea, failed: target: DE is not in ID";
    assert_eq!(trouble.notes, ["rule: id-bank", place]);
    assert_eq!(trouble.help, ["pull it"]);
}

#[test]
fn errors_of_both_protocols_are_read() {
    assert_eq!(trouble_of(404, br#"{"error":"no such model"}"#).message, "no such model");
    let trouble = trouble_of(404, br#"{"error":{"message":"no such model","code":"E0401"}}"#);
    assert_eq!((trouble.code.as_str(), trouble.message.as_str()), ("E0401", "no such model"));
    assert_eq!(trouble_of(500, b"<html>").message, "the node answered with HTTP status 500");
}

#[test]
fn exit_codes_follow_the_status() {
    let exit = |status, code: &str| trouble_of(status, format!("{{\"code\":\"{code}\"}}").as_bytes()).exit;
    assert_eq!(exit(400, "E0601"), Exit::Failed);
    assert_eq!(exit(429, "E0501"), Exit::OverBudget);
    assert_eq!(exit(503, "E0501"), Exit::OverBudget);
    assert_eq!(exit(451, "E0302"), Exit::Refused);
    assert_eq!(exit(503, "E0502"), Exit::OverBudget);
    assert_eq!(exit(503, "E0503"), Exit::Unreachable);
    assert_eq!(exit(504, "E0504"), Exit::Unreachable);
}
