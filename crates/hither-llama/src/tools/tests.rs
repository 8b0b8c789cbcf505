//! Calls as models write them, whole and cut anywhere.

use hither_engine::work::{Tool, ToolChoice};
use proptest::prelude::*;

use super::{Dialect, Reader, permitted};

/// What comes of a text that arrives in parts: the text, and the calls as `name arguments`.
fn read(dialect: Dialect, parts: &[&str]) -> (String, Vec<String>) {
    let mut reader = Reader::new(dialect);
    let (mut said, mut calls) = (String::new(), Vec::new());
    for part in parts {
        let (text, more) = reader.push(part);
        said.push_str(&text);
        calls.extend(more);
    }
    let (text, more) = reader.finish();
    calls.extend(more);
    (said + &text, calls.into_iter().map(|call| format!("{} {}", call.name, call.arguments)).collect())
}

fn check(dialect: Dialect, text: &str, said: &str, calls: &[&str]) {
    assert_eq!(read(dialect, &[text]), (said.to_owned(), calls.iter().map(|call| (*call).to_owned()).collect()));
    let characters: Vec<String> = text.chars().map(String::from).collect();
    let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
    assert_eq!(read(dialect, &characters), read(dialect, &[text]), "cut into characters");
}

#[test]
fn each_dialect_is_understood() {
    use Dialect::{Hermes, Llama, Mistral};
    let one = r#"{"name": "f", "arguments": {"b": 1, "a": "x"}}"#;
    check(Hermes, &format!("Wait. <tool_call>\n{one}\n</tool_call>"), "Wait. ", &[r#"f {"b": 1, "a": "x"}"#]);
    let two = format!("<tool_call>{one}</tool_call>\n<tool_call>\n{one}\n</tool_call>\n");
    check(Hermes, &two, "", &[r#"f {"b": 1, "a": "x"}"#; 2]);
    // The end of the answer ends a call, too.
    check(Hermes, &format!("<tool_call>{one}"), "", &[r#"f {"b": 1, "a": "x"}"#]);
    check(Mistral, &format!("[TOOL_CALLS] [{one}, {one}]"), "", &[r#"f {"b": 1, "a": "x"}"#; 2]);
    check(Llama, r#"{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}"#, "", &["f {}", "g {}"]);
    check(Llama, r#"<|python_tag|>{"name": "f", "parameters": {}}"#, "", &["f {}"]);
    check(Hermes, r#"<tool_call>{"name": "f"}</tool_call>"#, "", &["f {}"]);
    check(Hermes, r#"<tool_call>{"name": "f", "arguments": "{\"a\": 1}"}</tool_call>"#, "", &[r#"f {"a": 1}"#]);
}

#[test]
fn what_is_no_call_stays_text() {
    for (dialect, text) in [
        (Dialect::Hermes, "a < b and <tool> and <tool_cal"),
        (Dialect::Hermes, "<tool_call>not json</tool_call> after"),
        (Dialect::Hermes, "<tool_call>{\"name\": \"f\", \"arguments\": 7}</tool_call>"),
        (Dialect::Hermes, "<tool_call>{\"name\":"),
        (Dialect::Mistral, "[TOOL_CALLS] nothing"),
        (Dialect::Mistral, "[TOOL_CALLS] []"),
        (Dialect::Llama, "{\"a\": 1}"),
        (Dialect::Llama, "Say {\"name\": \"f\", \"parameters\": {}}"),
        (Dialect::Llama, "<|python"),
    ] {
        check(dialect, text, text, &[]);
    }
}

#[test]
fn a_template_tells_its_dialect() {
    for (template, dialect) in [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", None),
        ("{% if tools %}<tool_call>{% endif %}", Some(Dialect::Hermes)),
        ("{% if tools %}[AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS]", Some(Dialect::Mistral)),
        ("<|start_header_id|>{% if tools %}{% endif %}", Some(Dialect::Llama)),
    ] {
        assert_eq!(Dialect::of(template), dialect, "{template}");
    }
}

#[test]
fn only_what_was_given_may_be_called() {
    let tool = |name: &str| Tool { name: name.into(), description: String::new(), parameters: String::new() };
    let tools = [tool("f"), tool("g")];
    let names = |choice| permitted(&tools, &choice).map(|tools| tools.iter().map(|tool| tool.name.clone()).collect());
    assert_eq!(names(ToolChoice::Auto), Ok(vec!["f".to_owned(), "g".to_owned()]));
    assert_eq!(names(ToolChoice::Named("g".into())), Ok(vec!["g".to_owned()]));
    assert_eq!(names(ToolChoice::Never), Ok(Vec::new()));
    assert!(names(ToolChoice::Named("h".into())).unwrap_err().contains("was not given"));
    assert!(permitted(&[], &ToolChoice::Any).is_err());
    assert!(permitted(&[tool("a b")], &ToolChoice::Auto).is_err());
}

proptest! {
    #[test]
    fn no_text_is_lost_however_it_is_cut(
        parts in proptest::collection::vec(r#"(<|>|tool|_|call|/|\{|\}|"|name|:|,|x| |\[|\]|TOOL_CALLS){0,6}"#, 0..9)
    ) {
        let whole = parts.concat();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        for dialect in [Dialect::Hermes, Dialect::Mistral, Dialect::Llama] {
            let (said, calls) = read(dialect, &parts);
            prop_assert_eq!(&(said.clone(), calls.clone()), &read(dialect, &[&whole]));
            if calls.is_empty() {
                let bare = |text: &str| text.replace([' ', '\n'], "");
                prop_assert_eq!(bare(&said), bare(&whole));
            }
        }
    }
}
