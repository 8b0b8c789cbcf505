//! One operation: what it takes, and all that it can answer.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::Book;
use super::parts::reference;
use crate::errors::Code;
use crate::respond::Form;

type Make = fn(&mut SchemaGenerator) -> Schema;

/// What is answered with a status below 400.
#[derive(Clone)]
struct Answer {
    status: u16,
    text: &'static str,
    content: Vec<(&'static str, Content)>,
    headers: Vec<&'static str>,
}

#[derive(Clone)]
enum Content {
    Typed(Make),
    Written(Value),
}

/// One operation.
#[derive(Clone)]
pub(in crate::openapi) struct Operation {
    pub(in crate::openapi) method: &'static str,
    pub(in crate::openapi) path: String,
    id: String,
    tag: &'static str,
    form: Form,
    summary: &'static str,
    description: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<Answer>,
    codes: Vec<Code>,
    open: bool,
    /// Whether the node behind the door may refuse it with a code of its own.
    commands: bool,
    /// Whether it can also answer as another path did, with whatever status.
    passes_on: bool,
}

/// Where operations belong: a tag, and whose form their errors take.
#[derive(Clone, Copy)]
pub(super) struct Place(pub(super) &'static str, pub(super) Form);

impl Place {
    pub(super) fn get(self, path: &str, id: &str, summary: &'static str) -> Operation {
        self.operation("get", path, id, summary)
    }

    pub(super) fn post(self, path: &str, id: &str, summary: &'static str) -> Operation {
        self.operation("post", path, id, summary)
    }

    pub(super) fn delete(self, path: &str, id: &str, summary: &'static str) -> Operation {
        self.operation("delete", path, id, summary)
    }

    fn operation(self, method: &'static str, path: &str, id: &str, summary: &'static str) -> Operation {
        Operation {
            method,
            path: path.to_owned(),
            id: id.to_owned(),
            tag: self.0,
            form: self.1,
            summary,
            description: String::new(),
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            codes: Vec::new(),
            open: false,
            commands: false,
            passes_on: false,
        }
        // Whoever comes by a foreign name or from a foreign page, or without a key that is needed.
        .errors(&[Code::ForeignOrigin, Code::KeyNeeded, Code::WrongKey])
    }
}

impl Operation {
    /// More than a summary.
    pub(super) fn about(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Needs no key, ever.
    pub(super) fn open(mut self) -> Self {
        self.open = true;
        self.codes.retain(|code| code.status() != 401);
        self
    }

    /// Parameters that stand in the components, by name.
    pub(super) fn with(mut self, names: &[&str]) -> Self {
        self.parameters.extend(names.iter().map(|name| reference("parameters", name)));
        self
    }

    /// A parameter of its own.
    pub(super) fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// A body of JSON, whose schema stands in the components.
    pub(super) fn body(self, schema: &str, example: Value) -> Self {
        self.body_of(json!({
            "required": true,
            "content": { "application/json": { "schema": reference("schemas", schema), "example": example } },
        }))
    }

    /// A body of another kind.
    pub(super) fn body_of(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// What a command takes.
    pub(super) fn takes<T: JsonSchema>(self, example: Value) -> Self {
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_deserialize();
        let settings = settings.with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        self.body_of(json!({ "required": true, "content": content }))
    }

    /// Answers 200 with JSON of a type.
    pub(super) fn gives<T: JsonSchema>(self, text: &'static str) -> Self {
        self.answers::<T>(200, text)
    }

    /// Answers with JSON of a type.
    pub(super) fn answers<T: JsonSchema>(self, status: u16, text: &'static str) -> Self {
        self.content(status, text, vec![("application/json", Content::Typed(SchemaGenerator::subschema_for::<T>))])
    }

    /// Answers with something else.
    pub(super) fn gives_as(self, status: u16, text: &'static str, kind: &'static str, schema: Value) -> Self {
        self.content(status, text, vec![(kind, Content::Written(schema))])
    }

    /// Answers without a body.
    pub(super) fn gives_nothing(self, status: u16, text: &'static str) -> Self {
        self.content(status, text, Vec::new())
    }

    /// The same answer in another form, by its type.
    pub(super) fn or_as(mut self, kind: &'static str, schema: Value) -> Self {
        let answer = self.answers.last_mut().expect("an answer stands before its other form");
        answer.content.push((kind, Content::Written(schema)));
        self
    }

    fn content(mut self, status: u16, text: &'static str, content: Vec<(&'static str, Content)>) -> Self {
        self.answers.push(Answer { status, text, content, headers: Vec::new() });
        self
    }

    /// More headers of the last answer, by name.
    pub(super) fn headers(mut self, names: &'static [&'static str]) -> Self {
        self.answers.last_mut().expect("an answer stands before its headers").headers.extend(names);
        self
    }

    /// Refusals and failures.
    pub(super) fn errors(mut self, codes: &[Code]) -> Self {
        for code in codes {
            if !self.codes.contains(code) {
                self.codes.push(*code);
            }
        }
        self
    }

    /// The node behind the door may refuse it with a code of its own.
    pub(super) fn commands(mut self) -> Self {
        self.commands = true;
        self
    }

    /// It can also answer as another path did, with whatever status.
    pub(super) fn passes_on(mut self) -> Self {
        self.passes_on = true;
        self
    }

    /// The same for the version of a model.
    pub(super) fn versioned(mut self) -> Self {
        self.path = self.path.replace("{model}", "{model}/versions/{version}");
        self.id.push_str("OfVersion");
        self.with(&["version"]).errors(&[Code::UnknownVersion])
    }

    /// As OpenAPI has it.
    pub(super) fn write(&self, book: &mut Book) -> Value {
        let mut responses = BTreeMap::new();
        for answer in &self.answers {
            let mut content = serde_json::Map::new();
            for (kind, schema) in &answer.content {
                let schema = match schema {
                    Content::Typed(make) => book.of(*make),
                    Content::Written(schema) => schema.clone(),
                };
                content.insert((*kind).to_owned(), json!({ "schema": schema }));
            }
            let mut written = json!({ "description": answer.text });
            if !content.is_empty() {
                written["content"] = content.into();
            }
            if !answer.headers.is_empty() {
                written["headers"] = headers(&answer.headers);
            }
            responses.insert(answer.status.to_string(), written);
        }
        if self.commands {
            let schema = book.of(SchemaGenerator::subschema_for::<crate::admin::ProblemDto>);
            let refused = json!({
                "description": "The node did not carry the command out: the code says why (/docs/errors).",
                "content": { "application/problem+json": { "schema": schema } },
            });
            responses.insert("422".to_owned(), book.response("Command422", refused));
        }
        for (status, codes) in self.by_status() {
            responses.insert(status.to_string(), self.error(book, status, &codes));
        }
        if self.passes_on {
            let any = json!({ "application/json": { "schema": {} } });
            responses
                .insert("default".to_owned(), json!({ "description": "As the other path answered.", "content": any }));
        }
        let mut written = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "responses": responses,
        });
        if !self.description.is_empty() {
            written["description"] = self.description.clone().into();
        }
        if !self.parameters.is_empty() {
            written["parameters"] = self.parameters.clone().into();
        }
        if let Some(body) = &self.body {
            written["requestBody"] = body.clone();
        }
        if self.open {
            written["security"] = json!([]);
        }
        written
    }

    /// The codes by the status that they have in this protocol.
    pub(in crate::openapi) fn by_status(&self) -> BTreeMap<u16, Vec<Code>> {
        let mut sorted: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        let mut codes = self.codes.clone();
        codes.sort_by_key(|code| code.as_str());
        for code in codes {
            sorted.entry(self.form.status(code.as_str(), code.status())).or_default().push(code);
        }
        sorted
    }

    fn error(&self, book: &mut Book, status: u16, codes: &[Code]) -> Value {
        let (name, kind, schema) = match self.form {
            Form::Inference => (
                "Inference",
                "application/json",
                book.of(SchemaGenerator::subschema_for::<crate::respond::InferenceError<'static>>),
            ),
            Form::OpenAi => (
                "OpenAi",
                "application/json",
                book.of(SchemaGenerator::subschema_for::<crate::respond::OpenAiError<'static>>),
            ),
            Form::Ollama => {
                ("Ollama", "application/json", book.of(SchemaGenerator::subschema_for::<crate::respond::OllamaError>))
            }
            Form::Own => (
                "Problem",
                "application/problem+json",
                book.of(SchemaGenerator::subschema_for::<crate::admin::ProblemDto>),
            ),
            Form::Grpc => unreachable!("gRPC is described by reflection"),
        };
        let said: Vec<String> = codes
            .iter()
            .map(|code| format!("[{code}](/docs/errors#{code}) {}", code.entry().summary(), code = code.as_str()))
            .collect();
        let named: &[&str] = match status {
            401 => &["WWW-Authenticate", "X-Hither-Code", "X-Request-Id"],
            415 => &["Accept-Encoding", "X-Hither-Code", "X-Request-Id"],
            409 | 429 | 503 => &["Retry-After", "X-Hither-Code", "X-Hither-Request", "X-Request-Id"],
            _ => &["X-Hither-Code", "X-Hither-Request", "X-Request-Id"],
        };
        let response = json!({
            "description": said.join("; ") + ".",
            "content": { kind: { "schema": schema } },
            "headers": headers(named),
        });
        let mut response = response;
        if self.passes_on {
            response["content"]["application/json"] = json!({ "schema": {} });
            return response;
        }
        book.response(&format!("{name}{status}"), response)
    }
}

fn headers(names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), reference("headers", name))).collect::<serde_json::Map<_, _>>().into()
}
