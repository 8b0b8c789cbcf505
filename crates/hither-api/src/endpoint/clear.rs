//! Work that may leave: what every request to a server outside the mesh passes, for [`super::Endpoint::ask`] takes nothing
//! else.
//!
//! What must stay true: each text that is written into a request is read here, whatever it is called; a new part of the
//! work does not compile before it was thought about.

use hither_engine::work::{
    ChatMessage, EmbedWork, Format, GenerateWork, InferWork, Prompt, Tensor, Tool, ToolCall, ToolChoice, TrainWork,
    Work,
};
use hither_filter::{Kinds, Masker, TEXT_MAX};
use hither_types::filter::{Findings, Withheld};
use hither_types::model::Datatype;
use serde_json::Value;

/// What happens to a request in which something is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFinding {
    /// A placeholder stands in its place.
    Mask,
    /// Nothing of the request leaves.
    Block,
}

/// What happens to a request with a part that cannot be read: ids of tokens, tensors of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnreadable {
    /// Nothing of it leaves.
    Block,
    /// It leaves as it is.
    Pass,
}

/// What is looked for before something leaves, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// What is looked for.
    pub kinds: Kinds,
    /// What happens if it is there.
    pub on_finding: OnFinding,
    /// What happens to what cannot be read.
    pub on_unreadable: OnUnreadable,
}

/// Work that may leave.
#[derive(Clone)]
pub struct Cleared {
    work: Work,
    masked: Findings,
}

impl Cleared {
    /// Lets work leave if a filter does. Without one everything may.
    pub fn new(work: Work, filter: Option<&Filter>) -> Result<Self, Withheld> {
        let Some(filter) = filter else { return Ok(Self { work, masked: Findings::default() }) };
        let mut reading = Reading { masker: Masker::new(filter.kinds), on_unreadable: filter.on_unreadable };
        let work = reading.work(work)?;
        let masked = reading.masker.into_findings();
        match filter.on_finding {
            OnFinding::Block if !masked.is_empty() => Err(Withheld::Found(masked)),
            OnFinding::Block | OnFinding::Mask => Ok(Self { work, masked }),
        }
    }

    /// The work.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// What was taken out of it.
    pub fn masked(&self) -> &Findings {
        &self.masked
    }
}

/// One walk through the work of a request.
struct Reading {
    masker: Masker,
    on_unreadable: OnUnreadable,
}

impl Reading {
    fn work(&mut self, work: Work) -> Result<Work, Withheld> {
        Ok(match work {
            Work::Generate(work) => Work::Generate(self.generate(work)?),
            Work::Embed(EmbedWork { inputs }) => {
                let inputs = inputs.into_iter().map(|input| self.prompt(input)).collect::<Result<_, _>>()?;
                Work::Embed(EmbedWork { inputs })
            }
            Work::Infer(InferWork { inputs, outputs }) => {
                let inputs = inputs.into_iter().map(|tensor| self.tensor(tensor)).collect::<Result<_, _>>()?;
                let outputs = self.texts(outputs)?;
                Work::Infer(InferWork { inputs, outputs })
            }
            Work::Train(TrainWork { training, examples, options }) => {
                let examples = examples.into_iter().map(|example| self.json(example)).collect::<Result<_, _>>()?;
                Work::Train(TrainWork { training, examples, options: self.json(options)? })
            }
        })
    }

    fn generate(&mut self, work: GenerateWork) -> Result<GenerateWork, Withheld> {
        let GenerateWork { prompt, stop, format, tools, tool_choice, .. } = work;
        Ok(GenerateWork {
            prompt: self.prompt(prompt)?,
            stop: self.texts(stop)?,
            format: match format {
                Format::Text | Format::Json => format,
                Format::Schema(schema) => Format::Schema(self.json(schema)?),
                Format::Pattern(pattern) => Format::Pattern(self.text(pattern)?),
            },
            tools: tools.into_iter().map(|tool| self.tool(tool)).collect::<Result<_, _>>()?,
            tool_choice: match tool_choice {
                ToolChoice::Auto | ToolChoice::Never | ToolChoice::Any => tool_choice,
                ToolChoice::Named(name) => ToolChoice::Named(self.text(name)?),
            },
            // Numbers, and words that are not written into a request.
            max_tokens: work.max_tokens,
            temperature: work.temperature,
            top_p: work.top_p,
            top_k: work.top_k,
            min_p: work.min_p,
            frequency_penalty: work.frequency_penalty,
            presence_penalty: work.presence_penalty,
            repetition_penalty: work.repetition_penalty,
            logit_bias: work.logit_bias,
            seed: work.seed,
            ignore_eos: work.ignore_eos,
            chances: work.chances,
            overflow: work.overflow,
            cache: work.cache,
        })
    }

    fn prompt(&mut self, prompt: Prompt) -> Result<Prompt, Withheld> {
        Ok(match prompt {
            Prompt::Chat(messages) => {
                Prompt::Chat(messages.into_iter().map(|message| self.message(message)).collect::<Result<_, _>>()?)
            }
            Prompt::Text(text) => Prompt::Text(self.text(text)?),
            // Text in a vocabulary that this node does not have.
            Prompt::Tokens(ids) => Prompt::Tokens(self.unreadable(ids, "ids of tokens")?),
        })
    }

    fn message(&mut self, message: ChatMessage) -> Result<ChatMessage, Withheld> {
        let ChatMessage { role, content, calls, answers } = message;
        Ok(ChatMessage {
            role: self.text(role)?,
            content: self.text(content)?,
            calls: calls.into_iter().map(|call| self.call(call)).collect::<Result<_, _>>()?,
            answers: answers.map(|id| self.text(id)).transpose()?,
        })
    }

    fn call(&mut self, call: ToolCall) -> Result<ToolCall, Withheld> {
        let ToolCall { id, name, arguments } = call;
        Ok(ToolCall { id: self.text(id)?, name: self.text(name)?, arguments: self.json(arguments)? })
    }

    fn tool(&mut self, tool: Tool) -> Result<Tool, Withheld> {
        let Tool { name, description, parameters } = tool;
        Ok(Tool { name: self.text(name)?, description: self.text(description)?, parameters: self.json(parameters)? })
    }

    fn texts(&mut self, texts: Vec<String>) -> Result<Vec<String>, Withheld> {
        texts.into_iter().map(|text| self.text(text)).collect()
    }

    fn text(&mut self, text: String) -> Result<String, Withheld> {
        if text.len() > TEXT_MAX {
            return self.unreadable(text, "a text that is too long");
        }
        Ok(self.masker.mask(&text).unwrap_or(text))
    }

    /// A text that is JSON stays JSON: what is masked in it are its words, not its signs. One in which nothing is found
    /// stays as it was written.
    fn json(&mut self, text: String) -> Result<String, Withheld> {
        let Ok(mut value) = serde_json::from_str::<Value>(&text) else { return self.text(text) };
        let plain = if self.value(&mut value)? { value.to_string() } else { text };
        // Once more as it is written: what a name says of its value is seen there alone, and of two fields with one name a value
        // has only the last.
        let masked = self.text(plain.clone())?;
        match masked == plain || serde_json::from_str::<Value>(&masked).is_ok() {
            true => Ok(masked),
            // What was found is no text within quotes, and a placeholder in its place would make it another thing.
            false => Err(Withheld::Unreadable("a number in JSON that should not leave")),
        }
    }

    /// Masks what is in a value; whether there was something.
    fn value(&mut self, value: &mut Value) -> Result<bool, Withheld> {
        Ok(match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => match self.masker.mask(&number.to_string()) {
                Some(masked) => {
                    *value = Value::String(masked);
                    true
                }
                None => false,
            },
            Value::String(text) => {
                // The arguments of a call are JSON within JSON, and stay so.
                let masked = match text.starts_with(['{', '[']) {
                    true => self.json(text.clone())?,
                    false => self.text(text.clone())?,
                };
                let differs = masked != *text;
                *text = masked;
                differs
            }
            Value::Array(values) => {
                let mut any = false;
                for value in values {
                    any |= self.value(value)?;
                }
                any
            }
            Value::Object(fields) => {
                let mut any = false;
                let mut masked = serde_json::Map::new();
                for (name, mut field) in std::mem::take(fields) {
                    let plain = self.text(name.clone())?;
                    any |= plain != name;
                    any |= self.value(&mut field)?;
                    if masked.insert(plain, field).is_some() {
                        return Err(Withheld::Unreadable("fields of JSON whose names would be one"));
                    }
                }
                *fields = masked;
                any
            }
        })
    }

    /// Elements of text are read one by one. Numbers say nothing that a pattern could read: a face, a voice or a record may be
    /// in them, as text may be in ids of tokens.
    fn tensor(&mut self, tensor: Tensor) -> Result<Tensor, Withheld> {
        let Tensor { name, datatype, shape, data } = tensor;
        let name = self.text(name)?;
        if datatype != Datatype::Bytes {
            let data = self.unreadable(data, "tensors of numbers")?;
            return Ok(Tensor { name, datatype, shape, data });
        }
        let mut plain = Vec::with_capacity(data.len());
        let mut rest = data.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((element, behind)) = behind.split_at_checked(length) else { break };
            rest = behind;
            let element = match std::str::from_utf8(element) {
                Ok(text) => self.text(text.to_owned())?.into_bytes(),
                Err(_) => self.unreadable(element.to_vec(), "bytes that are no text")?,
            };
            plain.extend_from_slice(&u32::try_from(element.len()).unwrap_or(u32::MAX).to_le_bytes());
            plain.extend_from_slice(&element);
        }
        if !rest.is_empty() {
            plain.extend(self.unreadable(rest.to_vec(), "bytes that are no elements")?);
        }
        Ok(Tensor { name, datatype, shape, data: plain })
    }

    fn unreadable<T>(&self, part: T, what: &'static str) -> Result<T, Withheld> {
        match self.on_unreadable {
            OnUnreadable::Block => Err(Withheld::Unreadable(what)),
            OnUnreadable::Pass => Ok(part),
        }
    }
}

#[cfg(test)]
mod tests;
