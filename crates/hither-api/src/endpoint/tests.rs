//! What a server outside the mesh is asked, and how its words are read.

use std::time::Duration;

use hither_engine::work::{
    ChatMessage, EmbedWork, FinishReason, Format, GenerateWork, InferWork, Piece, Prompt, Tool, ToolChoice, TrainWork,
    Work,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Address, Cleared, Endpoint, EndpointError, Protocol, Totals};

/// A server that says one thing, once, and gives back what it was asked.
pub(super) async fn server(status: &str, kind: &str, body: &str) -> (Endpoint, JoinHandle<String>) {
    let said = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}");
    let (endpoint, asked) = saying(Protocol::OpenAi, vec![said]).await;
    (endpoint, tokio::spawn(async move { asked.await.unwrap().remove(0) }))
}

/// A server that says some JSON, one after the other, and gives back what it was asked.
pub(super) async fn server_of(protocol: Protocol, bodies: Vec<String>) -> (Endpoint, JoinHandle<Vec<String>>) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    saying(protocol, bodies.into_iter().map(|body| format!("{head}{body}")).collect()).await
}

async fn saying(protocol: Protocol, answers: Vec<String>) -> (Endpoint, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut all = Vec::new();
        for said in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            loop {
                stream.read_buf(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                if body.len() >= length.parse().unwrap() {
                    break;
                }
            }
            stream.write_all(said.as_bytes()).await.unwrap();
            all.push(String::from_utf8(request).unwrap());
        }
        all
    });
    let key = Some("sk-1".to_owned());
    let address = Address { base, key, authorities: None, probe: "/health".into(), pins: Vec::new(), protocol };
    (Endpoint::new(&address).unwrap(), asked)
}

/// A training with one example that has this in it.
pub(super) fn training_with(text: &str) -> Work {
    let example = format!("{{\"messages\":[{{\"role\":\"assistant\",\"content\":\"{text}\"}}]}}");
    Work::Train(TrainWork { training: 1, examples: vec![example], options: "{}".to_owned() })
}

fn greeting() -> Work {
    let prompt = Prompt::Chat(vec![ChatMessage::new("user", "hi")]);
    Work::Generate(GenerateWork { seed: 7, ..GenerateWork::new(prompt) })
}

/// Everything that is said, then what was counted or why it broke off.
async fn hear(endpoint: &Endpoint, work: &Work) -> (Vec<Piece>, Result<Totals, EndpointError>) {
    hear_as(endpoint, work, false).await
}

async fn hear_as(endpoint: &Endpoint, work: &Work, whole: bool) -> (Vec<Piece>, Result<Totals, EndpointError>) {
    let cleared = Cleared::new(work.clone(), None).unwrap();
    let mut answer = match endpoint.ask("big-1", &cleared, whole, None).await {
        Ok(answer) => answer,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut pieces = Vec::new();
    loop {
        match answer.next().await {
            Ok(Some(piece)) => pieces.push(piece),
            Ok(None) => return (pieces, Ok(answer.totals())),
            Err(error) => return (pieces, Err(error)),
        }
    }
}

fn text(pieces: &[Piece]) -> String {
    let said = |piece: &Piece| match piece {
        Piece::Tokens { text, .. } | Piece::End { text, .. } => text.clone(),
        Piece::Outputs(_) => String::new(),
    };
    pieces.iter().map(said).collect()
}

const STREAM: &str = "text/event-stream; charset=utf-8";

#[tokio::test]
async fn a_stream_becomes_tokens_and_an_end_with_what_it_cost() {
    let events = ": a comment\r\n\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
                  data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n\
                  data: [DONE]\n\n";
    let (endpoint, asked) = server("200 OK", STREAM, events).await;
    let (pieces, totals) = hear(&endpoint, &greeting()).await;
    assert_eq!(text(&pieces), "Hello");
    assert!(
        matches!(pieces.last(), Some(Piece::End { reason: FinishReason::Length, account, .. }) if account.cached_tokens == 3)
    );
    assert_eq!(totals, Ok(Totals { prompt_tokens: 9, output_tokens: 4, cached_tokens: 3 }));
    let firsts: Vec<u32> = pieces
        .iter()
        .filter_map(|piece| if let Piece::Tokens { first, .. } = piece { Some(*first) } else { None })
        .collect();
    assert_eq!(firsts, [0, 1], "no token for an empty word");

    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Bearer sk-1\r\n"), "{asked}");
    let body = asked.split_once("\r\n\r\n").unwrap().1;
    let expected = r#"{"model":"big-1","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true},"temperature":0.0,"seed":7}"#;
    assert_eq!(body, expected, "what changes nothing is not written");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_from_one_that_ended() {
    let part = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
    for (events, ends) in [
        (part.to_owned(), false),
        (format!("{part}data: [DONE]\n\n"), false),
        (format!("{part}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n"), true),
        (format!("{part}data: {{\"error\":{{\"message\":\"out of memory\"}}}}\n\n"), false),
        (format!("{part}data: nonsense\n\n"), false),
    ] {
        let (endpoint, _) = server("200 OK", STREAM, &events).await;
        let (pieces, totals) = hear(&endpoint, &greeting()).await;
        assert_eq!(text(&pieces), "Hel", "{events}");
        assert_eq!(totals.is_ok(), ends, "{events}");
    }
}

#[tokio::test]
async fn an_answer_that_is_wanted_whole_is_asked_whole_and_understood() {
    let body = r#"{"choices":[{"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    for whole in [true, false] {
        let (endpoint, asked) = server("200 OK", "application/json", body).await;
        let (pieces, totals) = hear_as(&endpoint, &greeting(), whole).await;
        assert_eq!((text(&pieces).as_str(), pieces.len()), ("Hello", 2));
        assert_eq!(totals, Ok(Totals { prompt_tokens: 3, output_tokens: 2, cached_tokens: 0 }));
        let asked = asked.await.unwrap();
        assert!(asked.contains(&format!("\"stream\":{}", !whole)), "{asked}");
        assert_eq!(asked.contains("stream_options"), !whole, "who does not stream may not say how: {asked}");
    }
}

#[tokio::test]
async fn calls_of_tools_are_put_together() {
    let events = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"look\",\"arguments\":\"\"}}]}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"at\\\":\"}}]}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n\
                  data: [DONE]\n\n";
    let (endpoint, asked) = server("200 OK", STREAM, events).await;
    let Work::Generate(work) = greeting() else { unreachable!("it is text") };
    let tool = Tool { name: "look".into(), description: String::new(), parameters: r#"{"type":"object"}"#.into() };
    let format = Format::Schema(r#"{"type":"object"}"#.into());
    let work = Work::Generate(GenerateWork { tools: vec![tool], tool_choice: ToolChoice::Any, format, ..work });
    let (pieces, _) = hear(&endpoint, &work).await;
    let [Piece::End { reason: FinishReason::ToolCalls, calls, .. }] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("look", "{\"at\":1}"));
    let asked = asked.await.unwrap();
    assert!(asked.contains(r#""response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":{"type":"object"}}}"#), "{asked}");
    assert!(asked.contains(r#""tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}],"tool_choice":"required""#), "{asked}");
}

#[tokio::test]
async fn vectors_come_in_the_order_of_their_texts_or_not_at_all() {
    let work = Work::Embed(EmbedWork { inputs: vec![Prompt::Text("a".into()), Prompt::Text("b".into())] });
    let body = r#"{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":2}}"#;
    let (endpoint, asked) = server("200 OK", "application/json", body).await;
    let (pieces, totals) = hear(&endpoint, &work).await;
    let [Piece::Outputs(tensors)] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!(tensors[0].shape, [2, 2]);
    let numbers: Vec<f32> =
        tensors[0].data.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(numbers, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(totals.unwrap().prompt_tokens, 2);
    assert!(asked.await.unwrap().starts_with("POST /v1/embeddings "));
    for body in [
        r#"{"data":[{"index":0,"embedding":[1]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}"#,
        "{}",
    ] {
        let (endpoint, _) = server("200 OK", "application/json", body).await;
        assert!(matches!(hear(&endpoint, &work).await, (_, Err(EndpointError::Failed(_)))), "{body}");
    }
}

#[tokio::test]
async fn each_kind_of_no_is_known_and_the_key_is_in_none() {
    let error = r#"{"error":{"message":"the prompt is too long"}}"#;
    for (status, expected) in [
        ("400 Bad Request", EndpointError::Wrong("the prompt is too long".into())),
        ("401 Unauthorized", EndpointError::Forbidden(401)),
        ("404 Not Found", EndpointError::Absent("the prompt is too long".into())),
        ("429 Too Many Requests\r\nRetry-After: 3", EndpointError::Full(Some(Duration::from_secs(3)))),
        ("503 Service Unavailable", EndpointError::Full(None)),
        ("500 Internal Server Error", EndpointError::Failed("HTTP 500: the prompt is too long".into())),
    ] {
        let (endpoint, _) = server(status, "application/json", error).await;
        assert_eq!(hear(&endpoint, &greeting()).await.1, Err(expected.clone()), "{status}");
        assert!(!format!("{expected} {endpoint:?}").contains("sk-1"));
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let gone = Endpoint::new(&Address {
        base,
        key: None,
        authorities: None,
        probe: "/".into(),
        pins: Vec::new(),
        protocol: Protocol::OpenAi,
    })
    .unwrap();
    assert!(matches!(hear(&gone, &greeting()).await.1, Err(EndpointError::Unreachable(_))));
    assert!(gone.probe(Duration::from_secs(5)).await.is_err());
}

#[tokio::test]
async fn another_key_is_sent_from_then_on_and_the_same_is_no_other() {
    let (endpoint, asked) = server("200 OK", "application/json", "{}").await;
    assert!(endpoint.with_key("sk-1").unwrap().is_none());
    assert!(matches!(endpoint.with_key("a\nb"), Err(super::AddressError::Key)));
    let anew = endpoint.with_key("sk-2").unwrap().unwrap();
    let _ = hear(&anew, &greeting()).await;
    assert!(asked.await.unwrap().contains("authorization: Bearer sk-2\r\n"));
}

#[tokio::test]
async fn what_such_a_server_cannot_do_is_not_sent() {
    let (endpoint, asked) = server("200 OK", STREAM, "").await;
    let Work::Generate(work) = greeting() else { unreachable!("it is text") };
    for work in [
        Work::Infer(InferWork { inputs: Vec::new(), outputs: Vec::new() }),
        training_with("a"),
        Work::Generate(GenerateWork { logit_bias: vec![(1, 1.0)], ..work.clone() }),
        Work::Generate(GenerateWork { format: Format::Pattern("a".into()), ..work.clone() }),
        Work::Generate(GenerateWork { chances: Some(1), prompt: Prompt::Text("a".into()), ..work }),
    ] {
        let cleared = Cleared::new(work.clone(), None).unwrap();
        assert!(matches!(endpoint.ask("m", &cleared, false, None).await, Err(EndpointError::Cannot(_))), "{work:?}");
    }
    assert!(!asked.is_finished());
}

#[tokio::test]
async fn any_answer_is_life_but_that_of_a_gateway_before_nobody() {
    for (status, lives) in
        [("200 OK", true), ("401 Unauthorized", true), ("404 Not Found", true), ("502 Bad Gateway", false)]
    {
        let (endpoint, asked) = server(status, "text/plain", "").await;
        assert_eq!(endpoint.probe(Duration::from_secs(5)).await.is_ok(), lives, "{status}");
        assert!(asked.await.unwrap().starts_with("GET /health "));
    }
}

#[test]
fn an_address_and_its_certificates_are_checked_before_anything_is_sent() {
    let address = |base: &str| Address {
        base: base.into(),
        key: None,
        authorities: None,
        probe: "/".into(),
        pins: Vec::new(),
        protocol: Protocol::OpenAi,
    };
    for wrong in ["", "nothing", "ftp://x", "http://"] {
        assert!(Endpoint::new(&address(wrong)).is_err(), "{wrong}");
    }
    assert!(Endpoint::new(&Address { key: Some("a\nb".into()), ..address("http://x") }).is_err());
    assert!(Endpoint::new(&Address { authorities: Some(b"nothing".to_vec()), ..address("https://x") }).is_err());
}
