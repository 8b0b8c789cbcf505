//! A bare axum server: no middleware, Nagle off. It is what a server on this machine can do at best, and the backend that
//! every gateway stands in front of.
//!
//! `POST /v1/chat/completions` is answered with one fixed completion of some 300 bytes, or, if `stream` is true, with 64
//! tokens as events; any other POST with the bytes of a file. Words: `--answer FILE`, `--type CONTENT-TYPE`,
//! `--first-us N` (until the first token), `--token-us N` (from one token to the next; 0: all at once). The first line of
//! standard output is the address.

use std::convert::Infallible;
use std::process::exit;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::serve::ListenerExt;
use futures_util::stream;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};

/// Tokens of a stream.
const TOKENS: u32 = 64;

const COMPLETION: &str = r#"{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1700000000,"model":"assistant","choices":[{"index":0,"message":{"role":"assistant","content":"The pump runs warm; look at its bearing today."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":11,"total_tokens":23}}"#;

const MODELS: &str =
    r#"{"object":"list","data":[{"id":"assistant","object":"model","created":1700000000,"owned_by":"bare"}]}"#;

#[derive(Clone)]
struct Told {
    answer: Bytes,
    kind: HeaderValue,
    first: Duration,
    token: Duration,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    stream: bool,
}

#[tokio::main]
async fn main() {
    if let Err(error) = serve().await {
        eprintln!("bare: {error}");
        exit(1);
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let json = HeaderValue::from_static("application/json");
    let mut told = Told { answer: Bytes::new(), kind: json, first: Duration::ZERO, token: Duration::ZERO };
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} wants a value", pair[0]).into()) };
        match name.as_str() {
            "--answer" => told.answer = std::fs::read(value)?.into(),
            "--type" => told.kind = HeaderValue::from_str(value)?,
            "--first-us" => told.first = Duration::from_micros(value.parse()?),
            "--token-us" => told.token = Duration::from_micros(value.parse()?),
            other => return Err(format!("there is no {other:?}").into()),
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(|| async { json_of(MODELS) }))
        .fallback(any(answer))
        .with_state(told);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("bare: Nagle stays on: {error}");
        }
    });
    Ok(axum::serve(listener, router).await?)
}

fn json_of(text: &'static str) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// Reads the body whole, as whoever uses it would, and gives the fixed bytes.
async fn answer(State(told): State<Told>, _body: Bytes) -> Response {
    ([(CONTENT_TYPE, told.kind)], told.answer).into_response()
}

async fn chat(State(told): State<Told>, body: Bytes) -> Response {
    let asked: Asked = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return (axum::http::StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    if !asked.stream {
        return json_of(COMPLETION);
    }
    let first = Instant::now() + told.first;
    let events = stream::unfold(0, move |at| async move {
        // One more than the tokens: the end.
        if at > TOKENS {
            return None;
        }
        let due = first + told.token * at.min(TOKENS - 1);
        if !told.first.is_zero() || !told.token.is_zero() {
            sleep_until(due).await;
        }
        Some((Ok::<Bytes, Infallible>(event(at)), at + 1))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

fn event(at: u32) -> Bytes {
    if at == TOKENS {
        return Bytes::from_static(b"data: [DONE]\n\n");
    }
    let end = if at + 1 == TOKENS { "\"stop\"" } else { "null" };
    format!(
        "data: {{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
         \"model\":\"assistant\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" w{at}\"}},\"finish_reason\":{end}}}]}}\n\n"
    )
    .into()
}
