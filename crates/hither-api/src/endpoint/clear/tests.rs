//! Every text of a request is read, and what is left of it is still a request.

use hither_engine::work::{
    ChatMessage, EmbedWork, Format, GenerateWork, InferWork, Prompt, Tensor, Tool, ToolCall, ToolChoice, Work,
};
use hither_filter::Kinds;
use hither_types::filter::Withheld;
use hither_types::model::Datatype;

use super::{Cleared, Filter, OnFinding, OnUnreadable};
use crate::endpoint::ask;

const MAIL: &str = "max@example.org";

fn filter(on_finding: OnFinding) -> Filter {
    Filter { kinds: Kinds::all(), on_finding, on_unreadable: OnUnreadable::Block }
}

fn body(work: &Work) -> String {
    String::from_utf8(ask::render("big-1", work, true).unwrap().body).unwrap()
}

/// A request with the same address in every text that is written into it.
fn full() -> Work {
    let call = ToolCall {
        id: MAIL.to_owned(),
        name: MAIL.to_owned(),
        arguments: r#"{"to":"max\u0040example.org","card":4111111111111111,"max@example.org":[1.50,"x"]}"#.to_owned(),
    };
    let turn = ChatMessage { calls: vec![call], answers: Some(MAIL.to_owned()), ..ChatMessage::new(MAIL, MAIL) };
    let schema = format!("{{\"type\":\"object\",\"description\":\"{MAIL}\"}}");
    Work::Generate(GenerateWork {
        stop: vec![MAIL.to_owned()],
        format: Format::Schema(schema.clone()),
        tools: vec![Tool { name: MAIL.to_owned(), description: MAIL.to_owned(), parameters: schema }],
        tool_choice: ToolChoice::Named(MAIL.to_owned()),
        ..GenerateWork::new(Prompt::Chat(vec![ChatMessage::new("system", MAIL), turn]))
    })
}

#[test]
fn every_text_of_a_chat_is_masked_and_json_stays_json() {
    let before = body(&full());
    assert_eq!(before.matches(MAIL).count(), 13, "{before}");
    let cleared = Cleared::new(full(), Some(&filter(OnFinding::Mask))).unwrap();
    let after = body(cleared.work());
    assert!(!after.contains("example.org") && !after.contains("4111"), "{after}");
    assert_eq!(after.matches("[EMAIL_1]").count(), 14, "one value, one placeholder: {after}");
    assert!(!after.contains("[EMAIL_2]"));
    assert_eq!(cleared.masked().to_string(), "email=14,card=1");
    let parsed: serde_json::Value = serde_json::from_str(&after).unwrap();
    let arguments = parsed["messages"][1]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap();
    assert_eq!(arguments["card"], "[CARD_1]");
}

#[test]
fn what_has_nothing_leaves_as_it_was_written() {
    let call = ToolCall { id: "c1".into(), name: "look".into(), arguments: "{ \"b\" : 1.50, \"a\":2 }".into() };
    let turn = ChatMessage { calls: vec![call], ..ChatMessage::new("assistant", "") };
    let work = Work::Generate(GenerateWork::new(Prompt::Chat(vec![turn])));
    let cleared = Cleared::new(work.clone(), Some(&filter(OnFinding::Block))).unwrap();
    assert!(*cleared.work() == work && cleared.masked().is_empty());
    assert!(*Cleared::new(full(), None).unwrap().work() == full());
}

#[test]
fn a_filter_that_blocks_lets_nothing_leave_and_says_how_much_it_found() {
    let refused = Cleared::new(full(), Some(&filter(OnFinding::Block))).err();
    let Some(Withheld::Found(findings)) = refused else { panic!("it was let through") };
    assert_eq!(findings.to_string(), "email=14,card=1");
}

#[test]
fn what_cannot_be_read_does_not_leave_unless_it_may() {
    let ids = || Work::Embed(EmbedWork { inputs: vec![Prompt::Tokens(vec![1, 2])] });
    let strict = filter(OnFinding::Mask);
    assert!(matches!(Cleared::new(ids(), Some(&strict)), Err(Withheld::Unreadable("ids of tokens"))));
    let lax = Filter { on_unreadable: OnUnreadable::Pass, ..strict };
    assert!(Cleared::new(ids(), Some(&lax)).is_ok());
}

#[test]
fn elements_of_text_are_masked_and_numbers_pass_where_they_may() {
    let element = |text: &[u8]| [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text].concat();
    let tensor = |datatype, data| Tensor { name: "x".into(), datatype, shape: vec![2], data };
    let work = |data| {
        let numbers = tensor(Datatype::Fp32, vec![0; 8]);
        Work::Infer(InferWork { inputs: vec![tensor(Datatype::Bytes, data), numbers], outputs: Vec::new() })
    };
    let data = [element(MAIL.as_bytes()), element(b"fine")].concat();
    let passing = Filter { on_unreadable: OnUnreadable::Pass, ..filter(OnFinding::Mask) };
    let cleared = Cleared::new(work(data), Some(&passing)).unwrap();
    let expected = work([element(b"[EMAIL_1]"), element(b"fine")].concat());
    assert!(*cleared.work() == expected);
    let numbers = Cleared::new(work(element(b"fine")), Some(&filter(OnFinding::Mask)));
    assert!(matches!(numbers, Err(Withheld::Unreadable("tensors of numbers"))));
    let work = |data| Work::Infer(InferWork { inputs: vec![tensor(Datatype::Bytes, data)], outputs: Vec::new() });
    let torn = work([element(b"fine"), vec![9, 0, 0, 0, b'x']].concat());
    assert!(matches!(Cleared::new(torn, Some(&filter(OnFinding::Mask))), Err(Withheld::Unreadable(_))));
    let binary = work(element(&[0xff, 0xfe]));
    assert!(matches!(Cleared::new(binary, Some(&filter(OnFinding::Mask))), Err(Withheld::Unreadable(_))));
}

#[test]
fn json_is_read_as_it_is_written_too() {
    let call = |arguments: &str| {
        let call = ToolCall { id: "1".into(), name: "send".into(), arguments: arguments.into() };
        let turn = ChatMessage { calls: vec![call], ..ChatMessage::new("assistant", "") };
        Work::Generate(GenerateWork::new(Prompt::Chat(vec![turn])))
    };
    let said = |arguments: &str| match Cleared::new(call(arguments), Some(&filter(OnFinding::Mask)))
        .map(|c| c.work().clone())
    {
        Ok(Work::Generate(work)) => match work.prompt {
            Prompt::Chat(turns) => turns[0].calls[0].arguments.clone(),
            _ => unreachable!(),
        },
        Ok(_) => unreachable!(),
        Err(why) => format!("withheld: {why}"),
    };
    // Of two fields with one name a value has only the last.
    let twice = said(&format!(r#"{{"to":"{MAIL}","to":"x"}}"#));
    assert!(!twice.contains(MAIL) && twice.contains("[EMAIL_1]"), "{twice}");
    // What its name says of a value is seen where both stand.
    let named = said(r#"{"password":"hunter22x"}"#);
    assert!(!named.contains("hunter22x"), "{named}");
    // Two names that would be one: a field would be lost.
    assert!(said(r#"{"a@x.example":1,"A@x.example":2}"#).starts_with("withheld"));
    assert_eq!(said(r#"{"colour":"blue","n":5}"#), r#"{"colour":"blue","n":5}"#);
}
