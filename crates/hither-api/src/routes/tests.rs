//! Who may knock, and what is not there.

use crate::routes::Listener;
use crate::tests::fake::FakeDoor;
use crate::tests::lab::Lab;

fn lab() -> Lab {
    Lab::new(|_| unreachable!("nothing here submits"))
}

#[tokio::test]
async fn what_is_not_there_is_a_404_in_the_callers_form() {
    for (path, body) in [
        (
            "/v2/nothing",
            r#"{"error":"there is nothing at /v2/nothing [E0403]; help: the paths are /v1 (OpenAI), /v2 (Open Inference Protocol), /api (Ollama), /hither/v1, /metrics, /docs and / (the dashboard)","code":"E0403","help":["the paths are /v1 (OpenAI), /v2 (Open Inference Protocol), /api (Ollama), /hither/v1, /metrics, /docs and / (the dashboard)"]}"#,
        ),
        (
            "/v1/moderations",
            r#"{"error":{"message":"there is nothing at /v1/moderations","type":"invalid_request_error","param":null,"code":"E0403","hither_code":"E0403","help":["the paths are /v1 (OpenAI), /v2 (Open Inference Protocol), /api (Ollama), /hither/v1, /metrics, /docs and / (the dashboard)"]}}"#,
        ),
        (
            "/api/blobs/sha256:0",
            r#"{"error":"there is nothing at /api/blobs/sha256:0 [E0403]; help: the paths are /v1 (OpenAI), /v2 (Open Inference Protocol), /api (Ollama), /hither/v1, /metrics, /docs and / (the dashboard)"}"#,
        ),
        (
            "/v10",
            r#"{"type":"/docs/errors#E0403","title":"There is nothing at this path","status":404,"detail":"there is nothing at /v10","code":"E0403","help":["the paths are /v1 (OpenAI), /v2 (Open Inference Protocol), /api (Ollama), /hither/v1, /metrics, /docs and / (the dashboard)"]}"#,
        ),
    ] {
        let came = lab().send(&format!("GET {path}"), "").await;
        let content_type = if path == "/v10" { "application/problem+json" } else { "application/json" };
        assert_eq!((came.status, came.text().as_str(), came.header("content-type")), (404, body, content_type));
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_405_that_says_what_is_allowed() {
    for (request, allow) in [
        ("POST /v2", "GET,HEAD"),
        ("GET /v2/models/fraud/infer", "POST"),
        ("DELETE /v1/models", "GET,HEAD"),
        ("GET /v1/chat/completions", "POST"),
        ("OPTIONS /v1/chat/completions", "POST"),
        ("PUT /hither/v1/models", "GET,HEAD,POST"),
    ] {
        let came = lab().send(request, "").await;
        assert_eq!((came.status, came.header("allow")), (405, allow), "{request}");
        assert!(came.text().contains("E0404"), "{}", came.text());
    }
}

#[tokio::test]
async fn over_tcp_only_names_of_this_machine_are_answered() {
    for (headers, status) in [
        ("host: 127.0.0.1", 200),
        ("host: 127.0.0.9:80", 200),
        ("host: LocalHost:7701", 200),
        ("host: [::1]:7701", 200),
        ("host: evil.example", 403),
        ("host: 127.0.0.1.evil.example:7701", 403),
        ("host: 10.0.0.1", 403),
        ("host:", 403),
        ("host: localhost:7701\norigin: http://localhost:7701", 200),
        ("host: localhost:7701\norigin: http://localhost:3000", 403),
        ("host: localhost:7701\norigin: https://evil.example", 403),
        ("host: localhost:7701\norigin: null", 403),
    ] {
        let came = lab().send(&format!("GET /v2/health/live\n{headers}"), "").await;
        assert_eq!(came.status, status, "{headers}: {}", came.text());
        assert!(came.headers.get("access-control-allow-origin").is_none());
    }
    let unix = Lab::behind(FakeDoor::new(|_| unreachable!()), Listener::Unix);
    assert_eq!(unix.send("GET /v2/health/live\nhost: node", "").await.status, 200);
}

#[tokio::test]
async fn health_answers_get_and_head() {
    assert_eq!(lab().send("GET /health", "").await.text(), "ok\n");
    let head = lab().send("HEAD /metrics", "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
}
