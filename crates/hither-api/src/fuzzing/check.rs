//! What every answer must be, whatever was asked.

use std::io::Read;

use axum::body::Body;
use hyper::{HeaderMap, Method, Request};
use serde_json::Value;

use super::bench::{Bench, Came};
use crate::respond::Form;

/// What was asked, as far as the answer depends on it.
struct Asked {
    method: Method,
    path: String,
    form: Form,
}

/// Sends a request and looks at what comes.
pub(super) fn answer(bench: &Bench, request: Request<Body>) {
    let path = request.uri().path().to_owned();
    let form = match Form::of(&path, request.headers()) {
        Form::Grpc if !is_service(&path) => Form::of(&path, &HeaderMap::new()),
        form => form,
    };
    let asked = Asked { method: request.method().clone(), path, form };
    let came = bench.send(request);
    well_formed(&asked, &came);
}

/// Whether a path is a method of a gRPC service.
fn is_service(path: &str) -> bool {
    ["/inference.", "/grpc."].iter().any(|root| path.starts_with(root))
}

fn well_formed(asked: &Asked, came: &Came) {
    let Asked { method, path, form } = asked;
    let shown = || format!("{method} {path}: {} {}", came.status, String::from_utf8_lossy(&came.bytes));
    // Views are told for as long as somebody listens, and so is health over gRPC.
    let endless = path.trim_end_matches('/') == "/hither/v1/events" || path.contains("/grpc.health.v1.Health/");
    assert!(came.ended || endless, "no end: {}", shown());
    // Who says that it is gRPC where there is none is answered by the path.
    let is_grpc = came.header("content-type").starts_with("application/grpc");
    assert!(is_grpc || *form != Form::Grpc, "gRPC is answered otherwise: {}", shown());
    if is_grpc {
        super::grpc::well_formed(came);
        return;
    }
    // Behind this door everything works and there is room for all.
    assert!(!matches!(came.status, 429 | 500 | 502), "{}", shown());
    assert!(matches!(came.status, 200..=299 | 303 | 400..=499 | 501 | 503 | 504), "{}", shown());
    if *method == Method::HEAD {
        return;
    }
    let body = unpacked(came);
    match came.status {
        // axum answers gRPC's own paths; what is not gRPC there is told so by status alone.
        415 if body.is_empty() && is_service(path) => {}
        204 | 303 => assert!(body.is_empty(), "{}", shown()),
        200..=299 => good(asked, came, &body),
        _ => bad(asked, came, &body),
    }
}

/// The body as it was before it was compressed.
pub(super) fn unpacked(came: &Came) -> Vec<u8> {
    let mut plain = Vec::new();
    match came.header("content-encoding") {
        "" => return came.bytes.clone(),
        "gzip" => flate2::read::GzDecoder::new(&came.bytes[..]).read_to_end(&mut plain).expect("gzip is whole"),
        "deflate" => flate2::read::ZlibDecoder::new(&came.bytes[..]).read_to_end(&mut plain).expect("zlib is whole"),
        other => panic!("an answer has the coding {other:?}"),
    };
    plain
}

fn json(bytes: &[u8]) -> Value {
    let read = serde_json::from_slice(bytes);
    read.unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(bytes)))
}

/// An error has the form of its protocol.
fn bad(asked: &Asked, came: &Came, body: &[u8]) {
    let shown = || format!("{} {}: {} {}", asked.method, asked.path, came.status, String::from_utf8_lossy(body));
    let problem = asked.form == Form::Own;
    let form = if problem { "application/problem+json" } else { "application/json" };
    assert_eq!(came.header("content-type"), form, "{}", shown());
    let said = json(body);
    let texts: &[&str] = match asked.form {
        Form::Inference => &["/error", "/code"],
        Form::OpenAi => &["/error/message", "/error/type", "/error/code", "/error/hither_code"],
        Form::Ollama => &["/error"],
        Form::Own => &["/type", "/title", "/detail", "/code"],
        Form::Grpc => &[],
    };
    for at in texts {
        let text = said.pointer(at).and_then(Value::as_str);
        assert!(text.is_some_and(|text| !text.is_empty()), "no {at}: {}", shown());
    }
    if asked.form == Form::OpenAi {
        let (param, code) = (&said["error"]["param"], &said["error"]["hither_code"]);
        assert!(param.is_null() || param.is_string(), "{}", shown());
        assert_ne!(code, "E0508", "the engine is blamed: {}", shown());
    }
    if problem {
        assert_eq!(said["status"], came.status, "{}", shown());
    }
    match came.status {
        401 => assert!(came.header("www-authenticate").starts_with("Bearer"), "{}", shown()),
        405 => assert!(came.headers.contains_key("allow"), "{}", shown()),
        503 => assert!(came.headers.contains_key("retry-after"), "{}", shown()),
        _ => {}
    }
}

/// An answer is what its type says, to its end.
fn good(asked: &Asked, came: &Came, body: &[u8]) {
    let content_type = came.header("content-type");
    let text = || std::str::from_utf8(body).unwrap_or_else(|_| panic!("{}: not UTF-8", asked.path));
    match content_type {
        // As the reference has it: what is done is said by the status alone.
        "application/json" if asked.path.starts_with("/v2/repository/models/") => assert!(body.is_empty()),
        "application/json" => {
            let said = json(body);
            if asked.form == Form::Inference && said.get("outputs").is_some() {
                assert!(came.header("inference-header-content-length").is_empty(), "no tensor is behind the JSON");
            }
        }
        "application/octet-stream" => {
            super::tensors::framed(came, body);
        }
        "application/x-ndjson" => lines(text()),
        "text/event-stream" => events(asked, text()),
        "" => panic!("{}: an answer without a type", asked.path),
        _ => assert!(!text().is_empty(), "{}: an empty answer", asked.path),
    }
}

/// Objects, a line each, of which the last and no other says that it is.
fn lines(text: &str) {
    assert!(text.ends_with('\n'), "the last line is cut: {text}");
    let lines: Vec<Value> = text.lines().map(|line| json(line.as_bytes())).collect();
    for (at, line) in lines.iter().enumerate() {
        assert!(line.get("error").is_none(), "an error in the middle: {text}");
        assert_eq!(line["done"], at + 1 == lines.len(), "{text}");
    }
}

/// Events of JSON, and after a stream of OpenAI's the mark of its end.
fn events(asked: &Asked, text: &str) {
    assert!(text.ends_with("\n\n"), "the last event is cut: {text}");
    let mut last = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        assert!(last != Some("[DONE]") || line.starts_with(':'), "something after the end: {text}");
        if let Some(data) = line.strip_prefix("data: ") {
            last = Some(data);
            if data != "[DONE]" {
                let event = json(data.as_bytes());
                assert!(event.get("error").is_none_or(Value::is_null), "an error in the middle: {text}");
                assert_ne!(event["type"], "response.failed", "{text}");
            }
        } else {
            assert!(line.starts_with(':') || line.starts_with("event: "), "not an event: {line:?}");
        }
    }
    if asked.path.contains("/completions") {
        assert_eq!(last, Some("[DONE]"), "{text}");
    }
}
