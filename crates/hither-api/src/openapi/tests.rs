//! The description is whole and true, as far as one can tell without asking; tests/test_openapi.py asks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::describe::{description, operations};
use crate::respond::Form;
use crate::routes::described;
use crate::tests::lab::Lab;

fn lab() -> Lab {
    Lab::new(|_| unreachable!("nothing here submits"))
}

/// `{*id}` takes slashes, too, which OpenAPI has no way to say.
fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

#[tokio::test]
async fn what_is_served_is_described_and_what_is_described_is_served() {
    let lab = lab();
    let mut served: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in described().paths() {
        let asked: String =
            path.split('/').map(|part| if part.starts_with('{') { "a" } else { part }).collect::<Vec<_>>().join("/");
        // A method that nothing takes: the refusal names those that are taken.
        let came = lab.send(&format!("TRACE {asked}"), "").await;
        assert_eq!(came.status, 405, "{path}");
        let methods: BTreeSet<String> = came.header("allow").split(',').map(str::to_ascii_lowercase).collect();
        assert_eq!(
            methods.contains("get"),
            methods.contains("head"),
            "{path}: every GET answers HEAD, and no other does"
        );
        let there = served.insert(plain(path), methods.into_iter().filter(|method| method != "head").collect());
        assert!(there.is_none(), "{path} is routed twice");
    }
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in operations() {
        said.entry(operation.path.clone()).or_default().insert(operation.method.to_owned());
    }
    assert_eq!(served, said);
}

#[test]
fn the_file_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    // Whether objects keep the order of their making is a feature that any crate built beside this one may switch on.
    let mut whole = description();
    whole.sort_all_objects();
    let said = serde_json::to_string_pretty(&whole).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &said).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(
        kept == said,
        "docs/openapi.json is not what the code says: UPDATE_GOLDEN=1 cargo test -p hither-api openapi"
    );
}

#[test]
fn every_reference_leads_somewhere_and_every_part_is_referred_to() {
    let whole = description();
    let mut named = BTreeSet::new();
    references(&whole, &mut named);
    for reference in &named {
        assert!(whole.pointer(reference).is_some(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in whole["components"][kind].as_object().unwrap().keys() {
            // Named in words: what a stream is made of.
            let of_streams = ["CompletionChunk", "ChunkChoice", "Delta"].contains(&name.as_str());
            let is_named = named.contains(&format!("/components/{kind}/{name}"));
            assert!(is_named || of_streams, "nothing refers to {kind}/{name}");
        }
    }
}

fn references(value: &Value, named: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "$ref") {
                    Some(reference) => {
                        named.insert(reference.trim_start_matches('#').to_owned());
                    }
                    None => references(value, named),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, named)),
        _ => {}
    }
}

#[test]
fn ids_are_unique_and_every_parameter_of_a_path_is_described() {
    let whole = description();
    let mut ids = BTreeSet::new();
    for (path, methods) in whole["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            let given: BTreeSet<String> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|parameter| {
                    let parameter = match parameter["$ref"].as_str() {
                        Some(reference) => whole.pointer(&reference[1..]).unwrap(),
                        None => parameter,
                    };
                    (parameter["in"] == "path").then(|| parameter["name"].as_str().unwrap().to_owned())
                })
                .collect();
            let wanted: BTreeSet<String> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .map(str::to_owned)
                .collect();
            assert_eq!(given, wanted, "{method} {path}");
        }
    }
}

/// A body, the lists of its fields, and those of one value alone.
type Looked = (&'static str, &'static [&'static [&'static str]], &'static [&'static str]);

#[test]
fn fields_that_are_looked_at_are_described_but_for_those_with_one_value() {
    let whole = description();
    let cases: [Looked; 4] = [
        (
            "ChatRequest",
            &[&crate::openai::options::KNOWN, &crate::openai::options::NEUTRAL],
            &["audio", "function_call", "prediction", "prompt", "reasoning_effort", "verbosity", "web_search_options"],
        ),
        (
            "CompletionRequest",
            &[&crate::openai::options::KNOWN, &crate::openai::options::NEUTRAL],
            &[
                "audio",
                "function_call",
                "messages",
                "prediction",
                "reasoning_effort",
                "top_logprobs",
                "verbosity",
                "web_search_options",
            ],
        ),
        (
            "ResponseRequest",
            &[&crate::openai::responses::parse::KNOWN, &crate::openai::options::NEUTRAL],
            &["context_management", "conversation", "moderation", "previous_response_id", "prompt"],
        ),
        ("EmbeddingRequest", &[&crate::openai::embeddings::KNOWN], &["dimensions"]),
    ];
    for (name, known, left_out) in cases {
        let described: BTreeSet<&str> = whole["components"]["schemas"][name]["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let known: BTreeSet<&str> = known.iter().flat_map(|names| names.iter().copied()).collect();
        let left_out: BTreeSet<&str> = left_out.iter().copied().collect();
        assert_eq!(described, known.difference(&left_out).copied().collect(), "{name}");
    }
}

#[test]
fn every_operation_stands_under_a_heading_of_the_page() {
    let whole = description();
    let headings: BTreeSet<&str> =
        whole["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    for (path, methods) in whole["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let tags: Vec<&str> =
                operation["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
            assert!(tags.len() == 1 && headings.contains(tags[0]), "{method} {path}: {tags:?}");
        }
    }
}

#[tokio::test]
async fn the_description_and_its_pages_are_served_to_everyone_under_a_strict_policy() {
    let access = crate::callers::Access { keys: crate::callers::Keys::Required, ..Default::default() };
    let door = crate::tests::fake::FakeDoor::new(|_| unreachable!()).guarded(access);
    let lab = Lab::behind(door, crate::routes::Listener::Tcp);
    let came = lab.send("GET /openapi.json", "").await;
    assert_eq!((came.status, came.header("content-type")), (200, "application/json"));
    assert!(came.json() == description(), "it is the file");
    assert_eq!(lab.send("HEAD /openapi.json", "").await.status, 200);
    for path in ["/docs", "/docs/docs.js", "/docs/docs.css", "/docs/errors", "/style.css"] {
        let came = lab.send(&format!("GET {path}"), "").await;
        assert_eq!(came.status, 200, "{path}");
        assert!(came.header("content-security-policy").starts_with("default-src 'self';"), "{path}");
        for foreign in ["http://", "https://", "//cdn", "eval(", "innerHTML", "onclick=", "<style", "style=\""] {
            assert!(!came.text().contains(foreign), "{path} has {foreign}");
        }
    }
    assert_eq!(lab.send("GET /metrics", "").await.status, 401, "what is of this node stays behind the key");
    assert_eq!(lab.send("GET /docs\nhost: evil.example", "").await.status, 403);
}

#[tokio::test]
async fn every_code_has_its_place_on_the_page_that_problems_name() {
    let page = lab().send("GET /docs/errors", "").await.text();
    for entry in crate::errors::all() {
        assert!(page.contains(&format!("<tr id=\"{}\">", entry.code)), "{}", entry.code);
    }
    let refused = lab().send("GET /hither/v1/requests/none", "").await.json();
    let kind = refused["type"].as_str().unwrap();
    let (path, anchor) = kind.split_once('#').unwrap();
    assert_eq!((path, page.contains(&format!("id=\"{anchor}\""))), ("/docs/errors", true));
}

#[test]
fn every_status_of_an_operation_has_the_codes_that_have_it() {
    for operation in operations() {
        for (status, codes) in operation.by_status() {
            for code in codes {
                let moved = Form::Inference.status(code.as_str(), code.status());
                assert!(
                    status == code.status() || status == moved,
                    "{} {}: {code:?}",
                    operation.method,
                    operation.path
                );
            }
        }
    }
}
