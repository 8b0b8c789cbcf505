//! Reads a file of examples, and holds each line against what a chat to train with is, as OpenAI has it.
//!
//! What must stay true: the words of the app are in no error; what no filter could read (pictures, sounds, files) is in no
//! example.

use serde_json::{Map, Value};

use crate::batches::{BatchStore, FileHead, KeptError, Lines, Read};
use crate::body::check_depth;
use crate::errors::{Code, Problem};
use crate::limits::{BATCH_LINE_BYTES, TRAINING_BYTES, TRAINING_EXAMPLES};

const FORM: &str = "a line is {\"messages\": [{\"role\": \"user\", \"content\": \"…\"}, {\"role\": \"assistant\", \"content\": \"…\"}]}";
const FIELDS: [&str; 5] = ["functions", "messages", "parallel_tool_calls", "tool_choice", "tools"];
const OF_MESSAGE: [&str; 7] = ["content", "function_call", "name", "role", "tool_call_id", "tool_calls", "weight"];
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

fn wrong(text: impl Into<String>) -> Problem {
    Problem::new(Code::Malformed, text).help(FORM).param("training_file")
}

/// All examples of a file, or what is wrong with the first that is none.
pub(super) fn read(store: &dyn BatchStore, head: FileHead) -> Result<Result<Vec<String>, Problem>, KeptError> {
    if head.bytes > TRAINING_BYTES {
        let text = format!("the file has {} bytes, and {TRAINING_BYTES} is the most that is handed over", head.bytes);
        let help = "hand it over in parts, or send it to your cloud yourself";
        return Ok(Err(Problem::new(Code::TooLarge, text).help(help).param("training_file")));
    }
    let (mut lines, mut examples) = (Lines::of(head), Vec::new());
    loop {
        let line = match lines.next(store)? {
            Read::End => break,
            Read::TooLong => {
                let text = format!("line {} has more than {BATCH_LINE_BYTES} bytes", lines.line + 1);
                return Ok(Err(wrong(text)));
            }
            Read::Line(line) => line,
        };
        let text = match example(&line) {
            Ok(text) => text,
            Err(what) => return Ok(Err(wrong(format!("line {}: {what}", lines.line)))),
        };
        if examples.len() == TRAINING_EXAMPLES {
            return Ok(Err(wrong(format!("the file has more than {TRAINING_EXAMPLES} examples"))));
        }
        examples.push(text);
    }
    if examples.is_empty() {
        return Ok(Err(wrong("the file has no example")));
    }
    Ok(Ok(examples))
}

/// One line, if it is a chat to train with.
pub(super) fn example(line: &[u8]) -> Result<String, String> {
    check_depth(line).map_err(|problem| problem.message)?;
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?.trim();
    // What the parser says of a value may have the value in it; where it is has not.
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON (column {})", error.column()))?;
    let Value::Object(fields) = value else { return Err("it is no object".to_owned()) };
    known(&fields, &FIELDS, "the example")?;
    let Some(Value::Array(messages)) = fields.get("messages") else {
        return Err("it has no list of messages".to_owned());
    };
    let mut answers = false;
    for (at, one) in messages.iter().enumerate() {
        answers |= message(one).map_err(|what| format!("message {}: {what}", at + 1))?;
    }
    match answers {
        true => Ok(text.to_owned()),
        false => Err("no message is the assistant's: there is nothing to learn".to_owned()),
    }
}

fn known(fields: &Map<String, Value>, known: &[&str], what: &str) -> Result<(), String> {
    match fields.keys().any(|name| !known.contains(&name.as_str())) {
        true => Err(format!("{what} has a field that is not known; the fields are {}", known.join(", "))),
        false => Ok(()),
    }
}

/// Whether one message is the assistant's, if it is a message.
fn message(value: &Value) -> Result<bool, String> {
    let Value::Object(fields) = value else { return Err("it is no object".to_owned()) };
    known(fields, &OF_MESSAGE, "it")?;
    let role = fields.get("role").and_then(Value::as_str).filter(|role| ROLES.contains(role));
    let role = role.ok_or_else(|| format!("its role is not one of {}", ROLES.join(", ")))?;
    let calls =
        ["tool_calls", "function_call"].iter().any(|name| fields.get(*name).is_some_and(|call| !call.is_null()));
    match fields.get("content") {
        None | Some(Value::Null) if role == "assistant" && calls => {}
        Some(Value::String(_)) => {}
        Some(Value::Array(parts)) if parts.iter().all(is_text) => {}
        Some(Value::Array(_)) => {
            return Err(
                "its content has a part that is no text: no filter could read it, so it is not handed over".to_owned()
            );
        }
        _ => return Err("its content is no text".to_owned()),
    }
    match fields.get("weight") {
        None => {}
        Some(weight) if matches!(weight.as_u64(), Some(0 | 1)) => {}
        Some(_) => return Err("its weight is neither 0 nor 1".to_owned()),
    }
    Ok(role == "assistant")
}

fn is_text(part: &Value) -> bool {
    let Value::Object(fields) = part else { return false };
    fields.get("type").and_then(Value::as_str) == Some("text") && fields.get("text").is_some_and(Value::is_string)
}
