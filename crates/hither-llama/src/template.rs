//! A conversation becomes the text that the model was trained on: by the template in the model's own file.

use std::io::{self, Write};

use hither_engine::work::{ChatMessage, Tool};
use llama_cpp_2::vocab::LlamaVocab;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::limits::{RENDERED_BYTES, TEMPLATE_BYTES, TEMPLATE_DEPTH, TEMPLATE_FUEL};
use crate::tools::{self, Dialect};

#[cfg(test)]
mod tests;

/// A chat template. It comes from a file that someone published, so it runs with a budget and can reach nothing.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    bos: String,
    eos: String,
}

impl Template {
    pub(crate) fn new(source: String, vocab: LlamaVocab<'_>) -> Self {
        let text = |token| vocab.text(token).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
        Self { source, bos: text(vocab.bos()), eos: text(vocab.eos()) }
    }

    /// How the model writes calls of tools.
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::of(&self.source).unwrap_or(Dialect::Hermes)
    }

    /// Lays a conversation out and asks for the assistant's turn. The error is a text for the client.
    pub(crate) fn render(&self, messages: &[ChatMessage], tools: &[&Tool]) -> Result<String, String> {
        let refused = |reason: &str| format!("the model's chat template refuses the conversation: {reason}");
        if self.source.len() > TEMPLATE_BYTES {
            return Err(refused("it is too long itself"));
        }
        let knows_tools = Dialect::of(&self.source).is_some();
        let laid_out: Vec<Value> = match knows_tools {
            true => messages.iter().map(message).collect(),
            false => without_tools(messages, tools).iter().map(message).collect(),
        };
        let told: Vec<Value> = tools.iter().map(|tool| Value::from_serialize(tools::described(tool))).collect();
        let values = context! {
            messages => laid_out,
            tools => (knows_tools && !told.is_empty()).then_some(told),
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        let taken: usize = messages.iter().map(|message| message.content.len()).sum();
        let mut out = Bounded { text: Vec::new(), room: RENDERED_BYTES + 2 * taken };
        let environment = environment();
        let template = environment.template_from_str(&self.source);
        let rendered = template.and_then(|template| template.render_captured_to(values, &mut out).map(drop));
        rendered.map_err(|error| match out.room {
            0 => refused("it makes too much of it"),
            _ => refused(&error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)),
        })?;
        String::from_utf8(out.text).map_err(|_| refused("it makes no text of it"))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.set_recursion_limit(TEMPLATE_DEPTH);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, reason))
    });
    // The filter of the same name in the library escapes for HTML, and models were trained on what Python writes.
    environment.add_filter("tojson", |value: Value, options: Kwargs| -> Result<String, Error> {
        let indent: Option<usize> = options.get("indent")?;
        let mut out = Vec::new();
        let written = match indent {
            None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
            Some(indent) => {
                let blanks = " ".repeat(indent.min(8));
                value.serialize(&mut Serializer::with_formatter(
                    &mut out,
                    PrettyFormatter::with_indent(blanks.as_bytes()),
                ))
            }
        };
        written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
        String::from_utf8(out).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
    });
    environment
}

/// JSON as Python writes it: a blank after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A turn as templates know it.
fn message(message: &ChatMessage) -> Value {
    let calls: Vec<Value> = message
        .calls
        .iter()
        .map(|call| {
            // Templates print the arguments as JSON, so they must not be a string of JSON.
            let arguments = serde_json::from_str::<serde_json::Value>(&call.arguments);
            let arguments = arguments.map_or_else(|_| Value::from(call.arguments.as_str()), Value::from_serialize);
            let function = context! { name => call.name.as_str(), arguments => arguments };
            context! { id => call.id.as_str(), type => "function", function => function }
        })
        .collect();
    let (role, content) = (message.role.as_str(), message.content.as_str());
    match (calls.is_empty(), &message.answers) {
        (true, None) => context! { role => role, content => content },
        (false, _) => context! { role => role, content => content, tool_calls => calls },
        (true, Some(call)) => context! { role => role, content => content, tool_call_id => call.as_str() },
    }
}

/// The conversation for a template that knows no tools: they are told of, called and answered in text.
fn without_tools(messages: &[ChatMessage], tools: &[&Tool]) -> Vec<ChatMessage> {
    let mut turns: Vec<ChatMessage> = Vec::with_capacity(messages.len() + 1);
    for message in messages {
        let mut content = message.content.clone();
        for call in &message.calls {
            let name = serde_json::Value::from(call.name.as_str());
            content.push_str(&format!(
                "\n<tool_call>\n{{\"name\": {name}, \"arguments\": {}}}\n</tool_call>",
                call.arguments
            ));
        }
        turns.push(match message.role.as_str() {
            "tool" => ChatMessage::new("user", format!("<tool_response>\n{content}\n</tool_response>")),
            role => ChatMessage::new(role, content.trim_start_matches('\n')),
        });
    }
    if !tools.is_empty() {
        let preamble = tools::preamble(tools);
        match turns.first_mut().filter(|first| first.role == "system") {
            Some(system) if system.content.is_empty() => system.content = preamble,
            Some(system) => system.content = format!("{}\n\n{preamble}", system.content),
            None => turns.insert(0, ChatMessage::new("system", preamble)),
        }
    }
    turns
}

/// Takes text up to a bound.
struct Bounded {
    text: Vec<u8>,
    room: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(room) = self.room.checked_sub(bytes.len()) else {
            self.room = 0;
            return Err(io::ErrorKind::WriteZero.into());
        };
        self.room = room;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
