//! Every header that an answer has is on the page for operators, in every protocol.

use std::collections::BTreeSet;

use hither_engine::work::{Account, FinishReason, Piece, Tensor};
use hither_types::model::Datatype;
use hither_types::refusal::Refusal;
use hither_types::unit::Micros;

use crate::door::{Answer, Submission};
use crate::metrics::tests::rows;
use crate::tests::fake::{done, end, masked, routed, tokens};
use crate::tests::lab::{Came, Lab};

const TIMING: &str = "queue;dur=1.250, prefill;dur=20.000, decode;dur=300.001";
const CHAT: &str = r#""model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]"#;
const ROW: &str = r#"{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}"#;

fn floats(name: &str, width: u64) -> Tensor {
    let data = vec![0; width as usize * 4];
    Tensor { name: name.to_owned(), datatype: Datatype::Fp32, shape: vec![1, width], data }
}

/// Texts that left 7 tokens of their prompt out, tensors and vectors, by what is asked.
fn answers(submission: &Submission) -> Result<Vec<Answer>, Refusal> {
    let outputs = match submission.operation {
        "infer" => vec![
            Tensor { name: "label".to_owned(), datatype: Datatype::Int64, shape: vec![1], data: vec![0; 8] },
            floats("score", 2),
        ],
        "embeddings" => vec![floats("vectors", 3)],
        _ => {
            let account = Account { dropped_tokens: 7, ..Account::default() };
            let (reason, text, calls) = (FinishReason::Stop, ".".to_owned(), Vec::new());
            let end = Answer::Piece(Piece::End { reason, text, calls, account });
            return Ok(vec![routed(), tokens(0, &[1], "a"), end, done()]);
        }
    };
    Ok(vec![routed(), Answer::Piece(Piece::Outputs(outputs)), done()])
}

fn lab() -> Lab {
    Lab::new(answers)
}

async fn post(path: &str, more: &str, body: impl Into<String>) -> Came {
    lab().send(&format!("POST {path}\n{more}"), body.into()).await
}

#[tokio::test]
async fn a_whole_answer_says_what_it_took_in_its_head() {
    for (path, body) in [
        ("/v1/chat/completions", format!("{{{CHAT}}}")),
        ("/v1/completions", r#"{"model":"smollm2-135m","prompt":"hi"}"#.to_owned()),
        ("/v1/responses", r#"{"model":"smollm2-135m","input":"hi","store":false}"#.to_owned()),
        ("/v1/embeddings", r#"{"model":"smollm2-135m","input":"hi"}"#.to_owned()),
        ("/v2/models/fraud/infer", ROW.to_owned()),
        ("/api/chat", format!(r#"{{{CHAT},"stream":false}}"#)),
        ("/api/embed", r#"{"model":"smollm2-135m","input":"hi"}"#.to_owned()),
    ] {
        let came = post(path, "", body).await;
        assert_eq!(came.status, 200, "{path}: {}", came.text());
        let said = ["server-timing", "x-hither-joules", "x-hither-egress-bytes"].map(|name| came.header(name));
        assert_eq!(said, [TIMING, "2.500", "1832"], "{path}");
    }
}

#[tokio::test]
async fn a_stream_says_what_it_took_at_its_end() {
    for (path, body) in [
        ("/v1/chat/completions", format!(r#"{{{CHAT},"stream":true}}"#)),
        ("/v1/responses", r#"{"model":"smollm2-135m","input":"hi","store":false,"stream":true}"#.to_owned()),
        ("/api/chat", format!("{{{CHAT}}}")),
    ] {
        let came = post(path, "", body).await;
        assert_eq!((came.status, came.header("x-hither-joules")), (200, "-"), "{path}");
        let text = came.text();
        let said = r#""egress_bytes":1832,"queue_us":1250,"prefill_us":20000,"decode_us":300001,"prompt_tokens":9,"output_tokens":1,"joules":2.5,"truncated":7}"#;
        assert!(text.contains(said), "{path}: {text}");
    }
}

#[tokio::test]
async fn what_was_left_out_of_a_prompt_is_in_the_head() {
    let came = post("/v1/chat/completions", "", format!(r#"{{{CHAT},"truncation":"auto"}}"#)).await;
    assert_eq!((came.status, came.header("x-hither-truncated")), (200, "7"));
    let twice = post("/v1/chat/completions", "", format!(r#"{{{CHAT},"truncation":"auto","n":2}}"#)).await;
    assert_eq!(twice.header("x-hither-truncated"), "14");
    assert_eq!(post("/v2/models/fraud/infer", "", ROW).await.header("x-hither-truncated"), "-");
}

#[tokio::test]
async fn the_name_that_a_client_gives_its_request_comes_back_and_else_the_nodes() {
    for (head, body) in [
        ("POST /v1/chat/completions", format!("{{{CHAT}}}")),
        ("POST /v1/chat/completions", "{".to_owned()),
        ("POST /v2/models/fraud/infer", ROW.to_owned()),
        ("GET /v2/health/live", String::new()),
        ("GET /nothing", String::new()),
        ("POST /another.Service/Method\ncontent-type: application/grpc", String::new()),
    ] {
        let came = lab().send(&format!("{head}\nx-request-id: mine-17"), body).await;
        assert_eq!(came.header("x-request-id"), "mine-17", "{head}");
    }
    let came = post("/v1/chat/completions", "", format!("{{{CHAT}}}")).await;
    assert_eq!(came.header("x-request-id"), came.header("x-hither-request"));
    assert_eq!(lab().send("GET /v2", "").await.header("x-request-id"), "-");
}

#[tokio::test]
async fn the_page_for_operators_names_each_header_and_no_other() {
    let full = Lab::new(|_| Err(Refusal::Overloaded { retry_after: Micros(1) }));
    let key = "idempotency-key: one";
    let kept = lab();
    let chat = || format!(r#"{{{CHAT},"truncation":"auto"}}"#);
    let outside = Lab::new(|_| Ok(vec![masked(), tokens(0, &[1], "x"), end(FinishReason::Stop, ""), done()]));
    let filtered = outside.send("POST /v1/chat/completions", chat()).await;
    assert_eq!(filtered.header("x-hither-masked"), "email=2");
    let all = [
        filtered,
        post("/v1/chat/completions", "", chat()).await,
        post("/v2/models/fraud/infer", "", ROW).await,
        post("/api/chat", "", format!(r#"{{{CHAT},"options":{{"num_thread":4}}}}"#)).await,
        full.send("POST /v1/chat/completions", chat()).await,
        kept.send(&format!("POST /v1/chat/completions\n{key}"), chat()).await,
        kept.send(&format!("POST /v1/chat/completions\n{key}"), chat()).await,
    ];
    let is_ours = |name: &&str| name.starts_with("x-hither-") || matches!(*name, "server-timing" | "x-request-id");
    let given: BTreeSet<&str> =
        all.iter().flat_map(|came| came.headers.keys()).map(|name| name.as_str()).filter(is_ours).collect();
    let said = rows("## Headers of answers");
    let said: BTreeSet<&str> = said.keys().map(String::as_str).collect();
    assert_eq!(said, given);
}
