//! Calls of tools: each family of models writes them its own way. Here they become calls, and the rest stays text.
//!
//! What must stay true: what comes out is a function of the text so far and of nothing else, so that a stream that
//! goes on elsewhere neither loses nor repeats a call; and what is no call after all comes out as text.

use std::borrow::Cow;

use hither_engine::work::{Tool, ToolCall, ToolChoice};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::constraint::{compact, parse_schema};
use crate::limits::CALL_BYTES;

#[cfg(test)]
mod tests;

/// How a family of models writes its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`: Qwen, Hermes, SmolLM and many others.
    Hermes,
    /// `[TOOL_CALLS] [{"name": …, "arguments": …}]`, to the end: Mistral.
    Mistral,
    /// `{"name": …, "parameters": …}` and nothing else: Llama 3.
    Llama,
}

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const MISTRAL: &str = "[TOOL_CALLS]";
const PYTHON: &str = "<|python_tag|>";

impl Dialect {
    /// What a chat template was written for. `None`: it knows no tools.
    pub(crate) fn of(template: &str) -> Option<Self> {
        if !template.contains("tools") {
            None
        } else if template.contains(MISTRAL) {
            Some(Self::Mistral)
        } else if template.contains(PYTHON) || template.contains("<|start_header_id|>") {
            Some(Self::Llama)
        } else {
            Some(Self::Hermes)
        }
    }

    /// Marks of calls; a vocabulary may have them as special tokens.
    pub(crate) const MARKS: [&str; 4] = [OPEN, CLOSE, MISTRAL, PYTHON];

    /// A grammar by which nothing but one call of one of these tools can be said. `special` gives the id of a mark that
    /// is a special token.
    pub(crate) fn grammar(self, tools: &[&Tool], special: impl Fn(&str) -> Option<u32>) -> Result<String, String> {
        let key = if self == Self::Llama { "parameters" } else { "arguments" };
        let mut calls = Vec::new();
        for tool in tools {
            let parameters = match tool.parameters.as_str() {
                "" => json!({ "type": "object" }),
                text => parse_schema(text).map_err(|reason| format!("tool {}: {reason}", tool.name))?,
            };
            // References inside the parameters are from their own root.
            let definitions: Vec<_> = ["$defs", "definitions"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), parameters.get(name)?.clone())))
                .collect();
            let mut schema = json!({ "type": "object", "properties": { "name": { "const": tool.name } },
                "required": ["name", key], "additionalProperties": false });
            schema["properties"][key] = parameters;
            if let Value::Object(fields) = &mut schema {
                fields.extend(definitions);
            }
            calls.push(format!("%json {}", compact(schema)));
        }
        let mark = |mark: &str| special(mark).map_or_else(|| format!("{mark:?}"), |id| format!("<[{id}]>"));
        let start = match self {
            Self::Hermes => format!("{} \"\\n\" call \"\\n\" {}", mark(OPEN), mark(CLOSE)),
            Self::Mistral => format!("{} \"[\" call \"]\"", mark(MISTRAL)),
            Self::Llama => "call".to_owned(),
        };
        Ok(format!("start: {start}\ncall: {}\n", calls.join(" | ")))
    }
}

/// The tools that an answer may call.
pub(crate) fn permitted<'a>(tools: &'a [Tool], choice: &ToolChoice) -> Result<Vec<&'a Tool>, String> {
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    if let Some(tool) = tools.iter().find(|tool| !is_name(&tool.name)) {
        let shown: String = tool.name.chars().take(64).collect();
        return Err(format!("{shown:?} is no name of a tool: 1 to 64 letters, digits, _, - and ."));
    }
    let permitted: Vec<&Tool> = match choice {
        ToolChoice::Never => Vec::new(),
        ToolChoice::Auto | ToolChoice::Any => tools.iter().collect(),
        ToolChoice::Named(name) => tools.iter().filter(|tool| tool.name == *name).collect(),
    };
    match (choice, permitted.is_empty()) {
        (ToolChoice::Any, true) => Err("a tool must be called, and none was given".to_owned()),
        (ToolChoice::Named(name), true) => {
            Err(format!("the tool {:?} must be called, and was not given", name.chars().take(64).collect::<String>()))
        }
        _ => Ok(permitted),
    }
}

/// What a model without a template for tools is told: the dialect that most have learnt.
pub(crate) fn preamble(tools: &[&Tool]) -> String {
    let mut text = String::from(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function \
         signatures within <tools></tools> XML tags:\n<tools>",
    );
    for tool in tools {
        text.push_str(&format!("\n{}", described(tool)));
    }
    text.push_str(
        "\n</tools>\n\nFor each function call, return a json object with function name and arguments within \
         <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": \
         <args-json-object>}\n</tool_call>",
    );
    text
}

/// A tool as templates and models know it.
pub(crate) fn described(tool: &Tool) -> Value {
    let parameters = match tool.parameters.as_str() {
        "" => json!({ "type": "object", "properties": {} }),
        text => serde_json::from_str(text).unwrap_or(Value::Null),
    };
    json!({ "type": "function",
        "function": { "name": tool.name, "description": tool.description, "parameters": parameters } })
}

/// Takes calls out of a text as it comes.
#[derive(Debug)]
pub(crate) struct Reader {
    dialect: Dialect,
    /// Not given out yet: a call, or what may be the beginning of one.
    held: String,
    is_inside: bool,
    /// Whether the last that came was a call: blanks after it belong to the layout.
    is_after_call: bool,
    /// Whether anything but blanks was given out: Llama's calls have no mark, and stand alone.
    has_spoken: bool,
}

impl Reader {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, held: String::new(), is_inside: false, is_after_call: false, has_spoken: false }
    }

    /// Takes a part of the text. Gives what is text, and the calls that are complete.
    pub(crate) fn push(&mut self, text: &str) -> (String, Vec<ToolCall>) {
        self.held.push_str(text);
        let mut said = String::new();
        let mut calls = Vec::new();
        loop {
            if self.is_inside {
                if !self.close(&mut said, &mut calls) {
                    break;
                }
            } else if !self.open(&mut said) {
                break;
            }
        }
        self.has_spoken |= !said.trim().is_empty();
        (said, calls)
    }

    /// The end of the text.
    pub(crate) fn finish(mut self) -> (String, Vec<ToolCall>) {
        let held = std::mem::take(&mut self.held);
        if !self.is_inside {
            return (held, Vec::new());
        }
        let body = [OPEN, MISTRAL, PYTHON].iter().find_map(|mark| held.strip_prefix(mark)).unwrap_or(&held);
        match calls_in(body) {
            Some(calls) => (String::new(), calls),
            None => (held, Vec::new()),
        }
    }

    /// Looks for the beginning of a call. Whether one was found.
    fn open(&mut self, said: &mut String) -> bool {
        let mark = match self.dialect {
            Dialect::Hermes => OPEN,
            Dialect::Mistral => MISTRAL,
            Dialect::Llama if self.has_spoken => {
                said.push_str(&std::mem::take(&mut self.held));
                return false;
            }
            Dialect::Llama => {
                let begins = self.held.trim_start();
                if begins.starts_with('{') || begins.starts_with(PYTHON) {
                    self.held = begins.to_owned();
                    self.is_inside = true;
                } else if !PYTHON.starts_with(begins) {
                    said.push_str(&std::mem::take(&mut self.held));
                }
                return self.is_inside;
            }
        };
        if self.is_after_call {
            self.held = self.held.trim_start().to_owned();
            self.is_after_call = self.held.is_empty();
        }
        if let Some(at) = self.held.find(mark) {
            let call = self.held.split_off(at);
            said.push_str(&std::mem::replace(&mut self.held, call));
            self.is_inside = true;
            return true;
        }
        let may_begin = |at: &usize| mark.starts_with(&self.held[*at..]);
        let keep = self.held.char_indices().map(|(at, _)| at).find(may_begin).unwrap_or(self.held.len());
        let kept = self.held.split_off(keep);
        said.push_str(&std::mem::replace(&mut self.held, kept));
        false
    }

    /// Looks for the end of a call. Whether there is one, or what was held is no call.
    fn close(&mut self, said: &mut String, calls: &mut Vec<ToolCall>) -> bool {
        if self.held.len() > CALL_BYTES {
            said.push_str(&std::mem::take(&mut self.held));
            self.is_inside = false;
            return false;
        }
        if self.dialect != Dialect::Hermes {
            // To the end of the answer.
            return false;
        }
        let Some(at) = self.held.find(CLOSE) else {
            return false;
        };
        let rest = self.held.split_off(at + CLOSE.len());
        let whole = std::mem::replace(&mut self.held, rest);
        match calls_in(&whole[OPEN.len()..at]) {
            Some(found) => {
                calls.extend(found);
                self.is_after_call = true;
            }
            None => said.push_str(&whole),
        }
        self.is_inside = false;
        true
    }
}

#[derive(Deserialize)]
struct CallForm<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, alias = "parameters")]
    arguments: Option<&'a RawValue>,
}

/// One call, a list of calls, or several with `;` between them.
fn calls_in(text: &str) -> Option<Vec<ToolCall>> {
    let text = text.trim().trim_end_matches(';');
    if let Ok(forms) = serde_json::from_str::<Vec<CallForm<'_>>>(text) {
        return forms.into_iter().map(call).collect::<Option<Vec<_>>>().filter(|calls| !calls.is_empty());
    }
    let mut calls = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<CallForm<'_>>();
        calls.push(call(stream.next()?.ok()?)?);
        rest = rest[stream.byte_offset()..].trim_start_matches([' ', '\n', '\t', ';']);
    }
    (!calls.is_empty()).then_some(calls)
}

fn call(form: CallForm<'_>) -> Option<ToolCall> {
    let arguments = match form.arguments.map(RawValue::get) {
        None => "{}".to_owned(),
        Some(object) if object.starts_with('{') => object.to_owned(),
        // Some write the object as a string.
        Some(string) => {
            serde_json::from_str::<String>(string).ok().filter(|text| text.trim_start().starts_with('{'))?
        }
    };
    Some(ToolCall { id: String::new(), name: form.name.into_owned(), arguments })
}
