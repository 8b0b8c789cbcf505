//! What a server is sent to train with, and how its words are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hither_engine::work::{TrainWork, Work};
use hither_filter::Kinds;

use super::super::tests::server;
use super::super::{Cleared, EndpointError, Filter, OnFinding, OnUnreadable};
use super::{TrainingThere, plain};

const MAIL: &str = "max@example.org";

fn work(lines: &[&str]) -> Work {
    let examples = lines.iter().map(|line| (*line).to_owned()).collect();
    Work::Train(TrainWork { training: 1, examples, options: r#"{"suffix":"mine","seed":3}"#.to_owned() })
}

fn cleared(lines: &[&str]) -> Cleared {
    Cleared::new(work(lines), None).unwrap()
}

#[tokio::test]
async fn examples_are_one_file_of_the_purpose_and_each_part_is_told_of() {
    let (endpoint, asked) = server("200 OK", "application/json", r#"{"id":"file-abc","object":"file"}"#).await;
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let on_part = move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let file = endpoint.upload(&cleared(&["{\"messages\":[]}", &long]), None, on_part).await;
    assert_eq!(file.as_deref(), Ok("file-abc"));
    assert!(told.load(Ordering::Relaxed) > 2, "a long file goes in parts");
    let asked = asked.await.unwrap();
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/files HTTP/1.1\r\n") && head.contains("authorization: Bearer sk-1"), "{head}");
    let boundary = head.split_once("boundary=").unwrap().1.lines().next().unwrap();
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    let [_, purpose, file, end] = parts[..] else { panic!("{} parts", parts.len()) };
    assert_eq!(purpose, "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n");
    assert!(file.contains("name=\"file\"; filename=\"training.jsonl\""), "{}", &file[..200]);
    assert!(file.ends_with(&format!("\r\n\r\n{{\"messages\":[]}}\n{long}\n\r\n")));
    assert_eq!(end, "--\r\n");
}

#[tokio::test]
async fn a_training_is_begun_with_the_names_there_and_what_was_said_of_it() {
    let body = r#"{"id":"ftjob-abc","object":"fine_tuning.job","status":"validating_files","fine_tuned_model":null,"trained_tokens":null,"finished_at":null,"error":{}}"#;
    let (endpoint, asked) = server("200 OK", "application/json", body).await;
    let there = endpoint.begin_training("big-1-base", &cleared(&["{}"]), "file-abc").await.unwrap();
    let expected = TrainingThere {
        id: "ftjob-abc".to_owned(),
        status: "validating_files".to_owned(),
        made: None,
        tokens: None,
        finished: None,
        error: None,
    };
    assert_eq!(there, expected);
    let asked = asked.await.unwrap();
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/fine_tuning/jobs "), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected =
        serde_json::json!({ "model": "big-1-base", "training_file": "file-abc", "suffix": "mine", "seed": 3 });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_it_says_of_one_is_read_and_cut_short() {
    let long = "x".repeat(5000);
    let body = format!(
        r#"{{"id":"ftjob-abc","status":"failed","trained_tokens":12,"finished_at":99,"error":{{"code":"c","message":"{long}"}}}}"#
    );
    let (endpoint, asked) = server("200 OK", "application/json", &body).await;
    let there = endpoint.training("ftjob-abc").await.unwrap();
    assert_eq!((there.tokens, there.finished, there.error.map(|text| text.len())), (Some(12), Some(99), Some(256)));
    assert!(asked.await.unwrap().starts_with("GET /v1/fine_tuning/jobs/ftjob-abc "));
    let (endpoint, asked) = server("200 OK", "application/json", r#"{"id":"ftjob-abc","status":"cancelled"}"#).await;
    assert_eq!(endpoint.cancel_training("ftjob-abc").await.unwrap().status, "cancelled");
    assert!(asked.await.unwrap().starts_with("POST /v1/fine_tuning/jobs/ftjob-abc/cancel "));
    for (status, gone) in [("200 OK", true), ("404 Not Found", true), ("500 Internal Server Error", false)] {
        let (endpoint, asked) = server(status, "application/json", "{}").await;
        assert_eq!(endpoint.delete_file("file-abc").await.is_ok(), gone, "{status}");
        assert!(asked.await.unwrap().starts_with("DELETE /v1/files/file-abc "));
    }
}

#[tokio::test]
async fn a_no_is_told_from_what_nobody_knows() {
    for (status, is_clear) in [
        ("400 Bad Request", true),
        ("404 Not Found", true),
        ("403 Forbidden", true),
        ("429 Too Many Requests", true),
        ("500 Internal Server Error", false),
    ] {
        let (endpoint, _) = server(status, "application/json", r#"{"error":{"message":"no"}}"#).await;
        let error = endpoint.upload(&cleared(&["{}"]), None, |_| {}).await.unwrap_err();
        assert_eq!(!matches!(error, EndpointError::Failed(_) | EndpointError::Unreachable(_)), is_clear, "{status}");
    }
    for body in ["{}", "nonsense", r#"{"id":"../../v1/models"}"#, r#"{"id":""}"#] {
        let (endpoint, _) = server("200 OK", "application/json", body).await;
        assert!(endpoint.upload(&cleared(&["{}"]), None, |_| {}).await.is_err(), "{body}");
    }
    for wrong in ["", "a/b", "a b", "..", "a?b", "a\nb", &"x".repeat(257)] {
        assert!(plain(wrong.to_owned()).is_err(), "{wrong}");
    }
}

#[test]
fn every_text_of_every_line_is_read_and_json_within_json_stays_so() {
    let arguments = r#"{\"to\":\"max@example.org\",\"card\":4111111111111111}"#;
    let call = format!(
        r#"{{"messages":[{{"role":"user","content":"{MAIL}","name":"{MAIL}"}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"1","type":"function","function":{{"name":"send","arguments":"{arguments}"}}}}]}}],"tools":[{{"type":"function","function":{{"name":"send","description":"{MAIL}"}}}}]}}"#
    );
    let parts = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"max\u0040example.org"}]},{"role":"assistant","content":"ok"}]}"#;
    let plain = r#"{"messages":[{"role":"user","content":"a  colour"},{"role":"assistant","content":"blue"}]}"#;
    let filter = Filter { kinds: Kinds::all(), on_finding: OnFinding::Mask, on_unreadable: OnUnreadable::Block };
    let options = format!(r#"{{"suffix":"{MAIL}"}}"#);
    let examples = vec![call, parts.to_owned(), plain.to_owned()];
    let cleared = Cleared::new(Work::Train(TrainWork { training: 1, examples, options }), Some(&filter)).unwrap();
    let Work::Train(work) = cleared.work() else { unreachable!("it is a training") };
    let all = work.examples.join("\n") + &work.options;
    assert!(!all.contains("example.org") && !all.contains("4111"), "{all}");
    assert!(all.contains("[EMAIL_1]") && !all.contains("[EMAIL_2]"), "one value, one placeholder: {all}");
    let first: serde_json::Value = serde_json::from_str(&work.examples[0]).unwrap();
    let arguments = first["messages"][1]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    let arguments: serde_json::Value = serde_json::from_str(arguments).expect("arguments stay JSON");
    assert_eq!(arguments["card"], "[CARD_1]");
    assert_eq!(work.examples[2], plain, "what has nothing leaves as it was written");
    assert!(work.examples.iter().all(|line| !line.contains('\n')));
    let block = Filter { on_finding: OnFinding::Block, ..filter };
    assert!(Cleared::new(super::super::tests::training_with(MAIL), Some(&block)).is_err());
}
