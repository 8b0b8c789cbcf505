//! Lines as apps write them, ids, and a node that keeps nothing. What becomes of batches is tested where they are kept.

use super::lines::read;
use super::{BatchId, FileId};
use crate::tests::lab::Lab;

const CHAT: &str = "/v1/chat/completions";

fn code(line: &str, endpoint: &str) -> (String, Option<String>) {
    match read(line.as_bytes(), endpoint) {
        Ok(request) => (request.custom_id, None),
        Err(fault) => {
            assert!(!fault.message.contains("canary"), "the words of the app are not repeated: {}", fault.message);
            (fault.code, fault.param)
        }
    }
}

#[test]
fn a_line_is_read_or_refused_by_the_name_of_its_fault() {
    let good = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}"#;
    assert_eq!(code(good, CHAT), ("a".to_owned(), None));
    let deep = good.replace("[]", &("[".repeat(200) + &"]".repeat(200)));
    let long = good.replace("\"a\"", &format!("\"{}\"", "a".repeat(513)));
    let param = |name: &str| Some(name.to_owned());
    for (line, fault, field) in [
        ("canary".to_owned(), "invalid_json_line", None),
        ("[]".to_owned(), "invalid_json_line", None),
        (good.replace("\"method\"", "\"canary\""), "invalid_json_line", None),
        (deep, "invalid_json_line", None),
        (good.replace("\"custom_id\":\"a\",", ""), "missing_required_parameter", param("custom_id")),
        (good.replace("\"method\":\"POST\",", ""), "missing_required_parameter", param("method")),
        (good.replace("\"url\":\"/v1/chat/completions\",", ""), "missing_required_parameter", param("url")),
        (good.replace(",\"body\":{\"model\":\"m\",\"messages\":[]}", ""), "missing_required_parameter", param("body")),
        (good.replace("\"a\"", "\"\""), "invalid_custom_id", param("custom_id")),
        (long, "invalid_custom_id", param("custom_id")),
        (good.replace("POST", "GET"), "invalid_method", param("method")),
        (good.replace("/v1/chat/completions", "/v1/canary"), "mismatched_url", param("url")),
        (good.replace("{\"model\":\"m\",\"messages\":[]}", "[\"canary\"]"), "invalid_body", param("body")),
        (good.replace("\"model\"", "\"stream\":true,\"model\""), "unsupported_stream", param("body.stream")),
    ] {
        assert_eq!(code(&line, CHAT), (fault.to_owned(), field), "{line}");
    }
    // What streams unless it is told not to must be told.
    let ollama = good.replace("/v1/chat/completions", "/api/chat");
    assert_eq!(code(&ollama, "/api/chat").0, "unsupported_stream");
    assert_eq!(code(&ollama.replace("\"model\"", "\"stream\":false,\"model\""), "/api/chat").1, None);
}

#[test]
fn ids_are_read_as_they_are_written_and_not_otherwise() {
    let (file, batch) = (FileId(7 << 100), BatchId(9));
    assert_eq!(FileId::parse(&file.to_string()), Some(file));
    assert_eq!(BatchId::parse(&batch.to_string()), Some(batch));
    let wrong =
        ["", "file-", "file-1", "batch_00000000000000000000000000000007", "file-0000000000000000000000000000000G"];
    for text in
        wrong.into_iter().chain(["file-0000000000000000000000000000000A", "file-+000000000000000000000000000000a"])
    {
        assert_eq!(FileId::parse(text), None, "{text}");
    }
}

#[tokio::test]
async fn a_node_that_keeps_nothing_says_so() {
    let lab = Lab::new(|_| unreachable!("nothing here submits"));
    for head in ["GET /v1/files", "POST /v1/files", "GET /v1/batches", "POST /v1/batches"] {
        let came = lab.send(head, "{}").await;
        assert_eq!((came.status, came.json()["error"]["code"].as_str()), (503, Some("E0522")), "{head}");
    }
}
