//! Several texts of one answer: how they are handed in, told, counted, and ended.

use hither_engine::work::{FinishReason, GenerateWork, Prompt, Work};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::yield_now;

use crate::door::{Answer, Submission};
use crate::routes::Listener;
use crate::tests::fake::{FakeDoor, done, end, routed, tokens};
use crate::tests::lab::Lab;
use hither_types::refusal::{Failure, Refusal};

const HI: &str = r#""model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]"#;

fn work(submission: &Submission) -> GenerateWork {
    match Work::decode(&submission.payload) {
        Ok(Work::Generate(work)) => work,
        other => panic!("{other:?}"),
    }
}

/// Each says its seed, in two parts.
fn says_its_seed(submission: &Submission) -> Result<Vec<Answer>, Refusal> {
    let seed = work(submission).seed.to_string();
    Ok(vec![routed(), tokens(0, &[1], "s"), tokens(1, &[2], &seed), end(FinishReason::Length, "!"), done()])
}

fn chunks(text: &str) -> Vec<Value> {
    text.split("\n\n").filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok()).collect()
}

#[tokio::test]
async fn several_texts_have_their_own_seeds_and_one_count() {
    let came = Lab::new(says_its_seed).send("POST /v1/chat/completions", format!("{{{HI},\"n\":3,\"seed\":7}}")).await;
    let json = came.json();
    let said: Vec<(u64, &str)> = json["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| (choice["index"].as_u64().unwrap(), choice["message"]["content"].as_str().unwrap()))
        .collect();
    assert_eq!(said, [(0, "s7!"), (1, "s8!"), (2, "s9!")]);
    // The prompt was read for each, and is one.
    assert_eq!((&json["usage"]["prompt_tokens"], &json["usage"]["completion_tokens"]), (&9.into(), &6.into()));
    assert_eq!(came.header("x-hither-request").split(", ").count(), 3);
    assert_eq!((came.header("x-hither-served-by"), came.header("x-hither-egress-bytes")), ("munich", "5496"));
}

#[tokio::test]
async fn streams_of_several_texts_are_told_apart_by_their_index() {
    let body = format!(
        "{{{HI},\"n\":2,\"seed\":1,\"stream\":true,\"stream_options\":{{\"include_usage\":true,\"continuous_usage_stats\":true}}}}"
    );
    let text = Lab::new(says_its_seed).send("POST /v1/chat/completions", body).await.text();
    let chunks = chunks(&text);
    for (index, whole) in [(0, "s1!"), (1, "s2!")] {
        let own: Vec<&Value> = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index).collect();
        let said: String = own.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!((said.as_str(), &own[0]["choices"][0]["delta"]["role"]), (whole, &"assistant".into()));
        assert_eq!(own.last().unwrap()["choices"][0]["finish_reason"], "length");
    }
    // Both have begun before one has ended.
    let first_end = chunks.iter().position(|chunk| chunk["choices"][0]["finish_reason"] == "length").unwrap();
    assert!(chunks[..first_end].iter().any(|chunk| chunk["choices"][0]["index"] == 1), "{text}");
    // The count grows; the prompt's is known at the end.
    assert_eq!(chunks[0]["usage"], serde_json::json!({"prompt_tokens":null,"completion_tokens":1,"total_tokens":null}));
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&serde_json::json!([]), &13.into()));
    assert_eq!(text.matches(": hither {").count(), 2);
    assert!(text.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn each_prompt_of_a_list_has_its_texts() {
    let lab = Lab::new(|submission| {
        let said = match work(submission).prompt {
            Prompt::Text(text) => text,
            Prompt::Tokens(ids) => format!("{ids:?}"),
            Prompt::Chat(_) => panic!("not a chat"),
        };
        Ok(vec![routed(), tokens(0, &[1], &format!("<{said}>")), end(FinishReason::Stop, ""), done()])
    });
    for (prompt, more, expected, prompt_tokens) in [
        (r#"["a","b"]"#, r#","n":2"#, vec!["<a>", "<a>", "<b>", "<b>"], 18),
        (r#"["a","b"]"#, r#","echo":true"#, vec!["a<a>", "b<b>"], 18),
        ("[[1],[2,3]]", "", vec!["<[1]>", "<[2, 3]>"], 18),
        ("[4,5]", "", vec!["<[4, 5]>"], 9),
    ] {
        let body = format!(r#"{{"model":"smollm2-135m","prompt":{prompt}{more}}}"#);
        let json = lab.send("POST /v1/completions", body).await.json();
        let said: Vec<&str> =
            json["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap()).collect();
        assert_eq!((said, &json["usage"]["prompt_tokens"]), (expected, &prompt_tokens.into()), "{prompt}{more}");
    }
    let body = r#"{"model":"smollm2-135m","prompt":["a","b"],"echo":true,"stream":true}"#;
    let text = lab.send("POST /v1/completions", body).await.text();
    let first = |index: u64| chunks(&text).into_iter().find(|chunk| chunk["choices"][0]["index"] == index).unwrap();
    assert_eq!(first(0)["choices"][0]["text"], "a<a>");
    assert_eq!(first(1)["choices"][0]["text"], "b<b>");
    for (fields, param) in [
        (r#""prompt":[1],"echo":true"#, "echo"),
        (r#""prompt":"a","echo":true,"logprobs":1"#, "echo"),
        (r#""prompt":"a","suffix":"b""#, "suffix"),
        (r#""prompt":["a","b"],"n":65"#, "n"),
    ] {
        let came = lab.send("POST /v1/completions", format!(r#"{{"model":"smollm2-135m",{fields}}}"#)).await;
        assert_eq!((came.status, came.json()["error"]["param"].as_str()), (400, Some(param)), "{fields}");
    }
}

#[tokio::test]
async fn no_more_run_at_once_than_a_place_has_room_for() {
    let go = watch::Sender::new(false);
    let mut door = FakeDoor::new(says_its_seed);
    door.pause = Some((2, go.subscribe()));
    let lab = std::sync::Arc::new(Lab::behind(door, Listener::Tcp));
    let asking = std::sync::Arc::clone(&lab);
    let answer =
        tokio::spawn(async move { asking.send("POST /v1/chat/completions", format!("{{{HI},\"n\":6}}")).await });
    let handed_in = || lab.door.submissions.lock().unwrap().len();
    while handed_in() < 4 {
        yield_now().await;
    }
    // All that can happen has happened: the four wait, and the others wait for them.
    for _ in 0..1000 {
        yield_now().await;
    }
    assert_eq!(handed_in(), 4, "munich has four slots");
    go.send_replace(true);
    let came = answer.await.unwrap();
    assert_eq!((handed_in(), came.json()["choices"].as_array().unwrap().len()), (6, 6));
}

#[tokio::test]
async fn the_first_that_fails_ends_all() {
    let script = |submission: &Submission| {
        let mut answers = says_its_seed(submission)?;
        if work(submission).seed == 8 {
            answers.truncate(2);
            answers.push(Answer::Failed(Failure::Silent));
        }
        Ok(answers)
    };
    let body = format!("{{{HI},\"n\":2,\"seed\":7}}");
    let came = Lab::new(script).send("POST /v1/chat/completions", body.clone()).await;
    assert_eq!((came.status, came.json()["error"]["hither_code"].as_str()), (503, Some("E0509")));
    let streamed = Lab::new(script).send("POST /v1/chat/completions", body.replace("}]", "}],\"stream\":true")).await;
    let text = streamed.text();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("data: {\"error\":"), "{text}");
    assert_eq!(streamed.status, 200);
}

#[tokio::test]
async fn several_texts_are_of_one_model() {
    let head = "POST /v1/chat/completions\nx-hither-quality: family";
    let came = Lab::new(says_its_seed).send(head, format!("{{{HI},\"n\":2}}")).await;
    assert_eq!((came.status, came.json()["error"]["param"].as_str()), (400, Some("x-hither-quality")));
    assert_eq!(Lab::new(says_its_seed).send(head, format!("{{{HI},\"n\":1}}")).await.status, 200);
}

#[tokio::test]
async fn whoever_leaves_ends_all_of_it() {
    let mut door = FakeDoor::new(|_| Ok(vec![routed(), tokens(0, &[1], "a")]));
    door.endless = true;
    let lab = Lab::behind(door, Listener::Tcp);
    let mut left = lab.door.left.subscribe();
    let body = format!("{{{HI},\"n\":3,\"stream\":true}}");
    let response = lab.open("POST /v1/chat/completions", body).await;
    assert_eq!(response.status(), 200);
    drop(response);
    left.wait_for(|left| *left == 3).await.unwrap();
}
