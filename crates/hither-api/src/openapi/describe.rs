//! Makes the description of what is served (OpenAPI 3.1): answers off the types that are written, bodies with the bounds
//! that are checked, errors off the table of codes.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

mod batches;
mod bodies;
mod codes;
mod jobs;
mod node;
mod oip;
mod ollama;
mod openai;
mod operation;
mod operator;
mod parts;
mod trainings;

use operation::Operation;

/// Everything that is described, by path and method in small letters.
pub(super) fn operations() -> Vec<Operation> {
    [
        node::all(),
        oip::all(),
        openai::all(),
        ollama::all(),
        jobs::all(),
        batches::all(),
        trainings::all(),
        operator::all(),
    ]
    .concat()
}

/// The whole description.
pub(super) fn description() -> Value {
    let mut book = Book::new();
    // Named in words: OpenAPI 3.1 has no place for what a stream is made of.
    book.of(SchemaGenerator::subschema_for::<crate::openai::stream::Chunk<'static>>);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in operations() {
        let written = operation.write(&mut book);
        let there = paths.entry(operation.path.clone()).or_default().insert(operation.method.to_owned(), written);
        assert!(there.is_none(), "{} {} is described twice", operation.method, operation.path);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hither",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Inference at the edge: the Open Inference Protocol, the OpenAI API and Ollama's, and Hither's own.",
            "description": ABOUT,
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/", "description": "The node that gave this description." }],
        "security": [{ "bearer": [] }, { "xApiKey": [] }, { "apiKey": [] }, { "certificate": [] }, {}],
        "tags": tags(),
        "paths": paths,
        "components": book.components(),
    })
}

const ABOUT: &str = "Every answer is in the form of its own protocol, errors too; what speaks no other protocol answers \
errors as problem details (RFC 9457). Each error carries a stable code: /docs/errors explains them. Every GET answers \
HEAD as well. Paths may end in a slash. The Content-Type of a request is not looked at: a body is what its path takes. \
Bodies may be compressed (Content-Encoding: gzip or deflate). gRPC, on the same port, describes itself by reflection.";

fn tags() -> Value {
    let tag = |name: &str, text: &str| json!({ "name": name, "description": text });
    json!([
        tag("OpenAI", "What clients of OpenAI ask."),
        tag("Open Inference Protocol", "Version 2, with the extensions that GET /v2 names."),
        tag("Ollama", "What clients of Ollama ask."),
        tag("Jobs", "Requests that the node keeps on its disk until they can be answered."),
        tag("Batches", "Files of requests, each of which is a job."),
        tag("Training", "Files of chats, handed over to a server that trains a model with them."),
        tag("Operator", "What the node sees, and commands. Commands are taken over the Unix socket alone."),
        tag("Node", "Health, metrics, the dashboard and this description."),
    ])
}

/// What operations share while they are written.
pub(super) struct Book {
    generator: SchemaGenerator,
    schemas: Map<String, Value>,
    responses: BTreeMap<String, Value>,
}

impl Book {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self { generator: settings.into_generator(), schemas: bodies::all(), responses: BTreeMap::new() }
    }

    /// The schema of a type that is written.
    fn of(&mut self, schema: fn(&mut SchemaGenerator) -> schemars::Schema) -> Value {
        schema(&mut self.generator).to_value()
    }

    /// Keeps a response under a name of its own, once.
    fn response(&mut self, name: &str, response: Value) -> Value {
        let mut at = 1;
        loop {
            let name = if at == 1 { name.to_owned() } else { format!("{name}.{at}") };
            let kept = self.responses.entry(name.clone()).or_insert_with(|| response.clone());
            if *kept == response {
                return json!({ "$ref": format!("#/components/responses/{name}") });
            }
            at += 1;
        }
    }

    fn components(mut self) -> Value {
        for (name, schema) in self.generator.take_definitions(true) {
            let there = self.schemas.insert(name.clone(), schema);
            assert!(there.is_none(), "two schemas are called {name}");
        }
        json!({
            "schemas": self.schemas,
            "responses": self.responses,
            "parameters": parts::parameters(),
            "headers": parts::headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The key of an app: hk_…; or a token (JWT) of the issuer under [api.oidc] in hither.toml.",
                },
                "xApiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "api-key" },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A name in the certificate of the client that is linked to an app, under [api.tls].",
                },
            },
        })
    }
}
