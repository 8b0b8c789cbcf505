//! A response as it grows, item by item, and the server-sent events that tell of it, numbered without a gap. The first
//! is written when the first token exists.

use hither_engine::work::{Chances, FinishReason, ToolCall};
use serde::Serialize;

use super::{Head, Item, PartForm, ResponseForm, Standing};
use crate::chorus::{Chorus, End, Heard, Teller, Tokens};
use crate::errors::Problem;
use crate::openai::chances::{PlaceForm, places};
use crate::respond::write;
use crate::tail::comments;

/// A response as it grows.
pub(super) struct Growth {
    head: Head,
    out: Out,
    begun: bool,
    /// What is complete.
    items: Vec<Grown>,
    /// What may become a message, or is one already.
    message: Message,
    reason: Option<FinishReason>,
}

/// What was written and not yet taken.
#[derive(Default)]
struct Out {
    /// The number of the next event.
    number: u32,
    text: String,
}

/// An item that is complete.
enum Grown {
    Message(Message, Standing),
    Call(ToolCall),
}

#[derive(Default)]
struct Message {
    /// Whether it was announced. Blanks alone are held back: before a call of a tool they are no message.
    is_open: bool,
    text: String,
    /// How much of the text was told.
    told: usize,
    logprobs: Vec<PlaceForm>,
    /// For how many tokens they were told.
    told_logprobs: usize,
}

#[derive(Serialize)]
struct Event<T: Serialize> {
    r#type: &'static str,
    sequence_number: u32,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct OfResponse<'a> {
    response: ResponseForm<'a>,
}

#[derive(Serialize)]
struct OfItem<'a> {
    output_index: usize,
    item: Item<'a>,
}

#[derive(Serialize)]
struct OfPart<'a> {
    item_id: &'a str,
    output_index: usize,
    content_index: u32,
    part: PartForm<'a>,
}

#[derive(Serialize)]
struct OfText<'a> {
    item_id: &'a str,
    output_index: usize,
    content_index: u32,
    #[serde(flatten)]
    more: More<'a>,
    logprobs: &'a [PlaceForm],
}

#[derive(Serialize)]
struct OfArguments<'a> {
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    more: More<'a>,
}

/// What an event adds, or ends with.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum More<'a> {
    Delta(&'a str),
    Text(&'a str),
    Arguments(&'a str),
}

impl Out {
    fn event(&mut self, name: &'static str, rest: impl Serialize) {
        let event = Event { r#type: name, sequence_number: self.number, rest };
        self.text.push_str(&format!("event: {name}\ndata: {}\n\n", write(&event)));
        self.number += 1;
    }
}

impl Growth {
    pub(super) fn new(head: Head) -> Self {
        Self { head, out: Out::default(), begun: false, items: Vec::new(), message: Message::default(), reason: None }
    }

    /// The response as it stands.
    pub(super) fn form<'a>(&'a self, chorus: &'a Chorus, standing: Standing) -> ResponseForm<'a> {
        let item = |(at, item): (usize, &'a Grown)| match item {
            Grown::Message(said, standing) => {
                self.head.message(at, *standing, vec![PartForm::new(&said.text, &said.logprobs)])
            }
            Grown::Call(call) => self.head.call(at, call, Standing::Completed),
        };
        self.head.form(chorus, standing, self.items.iter().enumerate().map(item).collect())
    }

    /// How it stands once all has been said.
    pub(super) fn standing(&self) -> Standing {
        match self.reason {
            Some(FinishReason::Length) => Standing::Incomplete,
            Some(FinishReason::Stop | FinishReason::ToolCalls) => Standing::Completed,
            None => Standing::InProgress,
        }
    }

    fn begin(&mut self, chorus: &Chorus) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for name in ["response.created", "response.in_progress"] {
            let response = self.head.form(chorus, Standing::InProgress, Vec::new());
            self.out.event(name, OfResponse { response });
        }
    }

    fn speak(&mut self, text: &str, chances: &[Chances]) {
        self.message.text.push_str(text);
        self.message.logprobs.extend(places(chances));
        if self.message.is_open || !self.message.text.trim().is_empty() {
            self.flush();
        }
    }

    /// Tells what was held back of the message, and announces it first if need be.
    fn flush(&mut self) {
        let output_index = self.items.len();
        let item_id = &self.head.message_id(output_index);
        if !std::mem::replace(&mut self.message.is_open, true) {
            let item = self.head.message(output_index, Standing::InProgress, Vec::new());
            self.out.event("response.output_item.added", OfItem { output_index, item });
            let part = PartForm::new("", &[]);
            self.out.event("response.content_part.added", OfPart { item_id, output_index, content_index: 0, part });
        }
        let message = &mut self.message;
        let logprobs = &message.logprobs[message.told_logprobs..];
        let delta = &message.text[message.told..];
        if !delta.is_empty() || !logprobs.is_empty() {
            let more = More::Delta(delta);
            self.out.event(
                "response.output_text.delta",
                OfText { item_id, output_index, content_index: 0, more, logprobs },
            );
        }
        message.told = message.text.len();
        message.told_logprobs = message.logprobs.len();
    }

    /// Ends the message, if there is one. What was held back of none was blank.
    fn hush(&mut self, standing: Standing) {
        let message = std::mem::take(&mut self.message);
        if !message.is_open {
            return;
        }
        let output_index = self.items.len();
        let item_id = &self.head.message_id(output_index);
        let (text, logprobs) = (message.text.as_str(), &message.logprobs[..]);
        let more = More::Text(text);
        self.out.event("response.output_text.done", OfText { item_id, output_index, content_index: 0, more, logprobs });
        let part = PartForm::new(text, logprobs);
        self.out.event("response.content_part.done", OfPart { item_id, output_index, content_index: 0, part });
        let item = self.head.message(output_index, standing, vec![PartForm::new(text, logprobs)]);
        self.out.event("response.output_item.done", OfItem { output_index, item });
        self.items.push(Grown::Message(message, standing));
    }

    /// Tells a call, which comes whole.
    fn call(&mut self, call: ToolCall) {
        self.hush(Standing::Completed);
        let output_index = self.items.len();
        let item_id = &self.head.call_id(output_index);
        let item = self.head.call(output_index, &call, Standing::InProgress);
        self.out.event("response.output_item.added", OfItem { output_index, item });
        let more = More::Delta(&call.arguments);
        self.out
            .event("response.function_call_arguments.delta", OfArguments { item_id, output_index, name: None, more });
        let (name, more) = (Some(call.name.as_str()), More::Arguments(&call.arguments));
        self.out.event("response.function_call_arguments.done", OfArguments { item_id, output_index, name, more });
        let item = self.head.call(output_index, &call, Standing::Completed);
        self.out.event("response.output_item.done", OfItem { output_index, item });
        self.items.push(Grown::Call(call));
    }

    fn end(&mut self, reason: FinishReason) {
        self.reason = Some(reason);
        // An answer that says and calls nothing is an empty message.
        if self.items.is_empty() || self.message.is_open {
            self.flush();
        }
        self.hush(self.standing());
    }
}

impl Teller for Growth {
    fn tell(&mut self, _index: usize, heard: Heard, chorus: &Chorus) -> Result<String, Problem> {
        self.begin(chorus);
        let (text, chances, calls, reason) = match heard {
            Heard::Tokens(Tokens { text, chances, calls, .. }) => (text, chances, calls, None),
            Heard::End(End { reason, text, calls }) => (text, Vec::new(), calls, Some(reason)),
        };
        self.speak(&text, &chances);
        calls.into_iter().for_each(|call| self.call(call));
        if let Some(reason) = reason {
            self.end(reason);
        }
        Ok(std::mem::take(&mut self.out.text))
    }

    fn close(&mut self, chorus: &Chorus) -> String {
        let standing = self.standing();
        let name = if standing == Standing::Incomplete { "response.incomplete" } else { "response.completed" };
        let mut out = std::mem::take(&mut self.out);
        out.event(name, OfResponse { response: self.form(chorus, standing) });
        out.text + &comments(chorus)
    }

    fn fail(&mut self, problem: &Problem, chorus: &Chorus) -> String {
        self.hush(Standing::Incomplete);
        let mut out = std::mem::take(&mut self.out);
        let response = self.form(chorus, Standing::Failed).failed(problem);
        out.event("response.failed", OfResponse { response });
        out.text
    }
}
