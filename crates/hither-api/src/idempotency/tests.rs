//! A key has one answer: once, for its app alone, for ten minutes, within bounds.

use std::sync::Arc;
use std::time::Duration;

use hither_api::callers::Limits;
use hither_engine::work::FinishReason;
use hither_types::id::AppName;
use hither_types::refusal::Refusal;
use hither_types::unit::Micros;
use tokio::time::{Instant, advance};

use super::{Answer, Begun, Kept, State};
use crate::limits::{KEPT_ANSWER_BYTES, KEPT_BYTES, KEPT_FOR, KEPT_KEYS, KEPT_KEYS_OF_APP};
use crate::routes::Listener;
use crate::tests::fake::{FakeDoor, done, end, routed, tokens};
use crate::tests::lab::{Came, Lab};

fn speaks() -> Vec<hither_api::door::Answer> {
    vec![routed(), tokens(0, &[1, 2], "Hello"), end(FinishReason::Stop, "."), done()]
}

fn chat(text: &str, more: &str) -> String {
    format!(r#"{{"model":"smollm2-135m","messages":[{{"role":"user","content":"{text}"}}]{more}}}"#)
}

async fn ask(lab: &Lab, headers: &str, body: String) -> Came {
    lab.send(&format!("POST /v1/chat/completions\n{headers}"), body).await
}

fn asked(lab: &Lab) -> usize {
    lab.door.submissions.lock().unwrap().len()
}

const KEY: &str = "idempotency-key: \"8e03978e-40d5-43dd-bc93-6894a57f9324\"";

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_runs_once() {
    let lab = Lab::new(|_| Ok(speaks()));
    for more in ["", r#","stream":true,"stream_options":{"include_usage":true}"#] {
        let key = format!("idempotency-key: k{}", more.len());
        let before = asked(&lab);
        let first = ask(&lab, &key, chat("hi", more)).await;
        let again = ask(&lab, &format!("{key}\nx-request-id: mine"), chat("hi", more)).await;
        assert_eq!((first.status, first.header("x-hither-replayed")), (200, "-"));
        assert_eq!((again.status, again.header("x-hither-replayed")), (200, "true"));
        assert_eq!(first.text(), again.text());
        for name in ["content-type", "x-hither-request", "x-hither-served-by", "x-hither-model"] {
            assert_eq!(first.header(name), again.header(name), "{name}");
        }
        assert_eq!(again.header("x-request-id"), "mine");
        assert_eq!(asked(&lab) - before, 1);
    }
    assert_eq!(ask(&lab, "", chat("hi", "")).await.header("x-hither-replayed"), "-");
}

#[tokio::test]
async fn every_protocol_of_http_keeps_its_answers() {
    let lab = Lab::new(|_| Ok(speaks()));
    for (path, body) in [
        ("/v1/completions", r#"{"model":"smollm2-135m","prompt":"hi"}"#),
        ("/v1/responses", r#"{"model":"smollm2-135m","input":"hi","store":false}"#),
        ("/api/chat", r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]}"#),
        ("/api/generate", r#"{"model":"smollm2-135m","prompt":"hi","stream":false}"#),
    ] {
        let head = format!("POST {path}\nidempotency-key: {path}");
        let (first, again) = (lab.send(&head, body).await, lab.send(&head, body).await);
        assert_eq!((first.status, again.header("x-hither-replayed")), (200, "true"), "{path} {}", first.text());
        assert_eq!(first.text(), again.text(), "{path}");
    }
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let lab = Lab::new(|_| Ok(speaks()));
    assert_eq!(ask(&lab, KEY, chat("hi", "")).await.status, 200);
    for (headers, body) in [
        (KEY.to_owned(), chat("ho", "")),
        (KEY.to_owned(), chat("hi", ",\"seed\":1")),
        (format!("{KEY}\nx-hither-class: personal"), chat("hi", "")),
    ] {
        let came = ask(&lab, &headers, body).await;
        assert_eq!((came.status, came.header("x-hither-code")), (422, "E0423"), "{headers}");
    }
    let moved = lab.send(&format!("POST /v1/completions\n{KEY}"), r#"{"model":"smollm2-135m","prompt":"hi"}"#).await;
    assert_eq!(moved.status, 422);
    let wrong = lab.send(&format!("TRACE /v1/chat/completions\n{KEY}"), chat("ho", "")).await;
    assert_eq!(wrong.status, 405, "a method that nothing takes is no request under a key");
    // Packed or not, it is the same body.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, chat("hi", "").as_bytes()).unwrap();
    let head = format!("POST /v1/chat/completions\n{KEY}\ncontent-encoding: gzip");
    let came = lab.send(&head, packed.finish().unwrap()).await;
    assert_eq!((came.status, came.header("x-hither-replayed")), (200, "true"));
}

#[tokio::test]
async fn while_the_first_runs_the_second_is_told_to_come_again() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let mut door = FakeDoor::new(|_| Ok(speaks()));
    door.pause = Some((2, wait));
    let lab = Arc::new(Lab::behind(door, Listener::Tcp));
    let first = tokio::spawn({
        let lab = Arc::clone(&lab);
        async move { ask(&lab, KEY, chat("hi", "")).await }
    });
    while asked(&lab) == 0 {
        tokio::task::yield_now().await;
    }
    let second = ask(&lab, KEY, chat("hi", "")).await;
    assert_eq!((second.status, second.header("retry-after"), second.header("x-hither-code")), (409, "1", "E0424"));
    go.send(true).unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(ask(&lab, KEY, chat("hi", "")).await.header("x-hither-replayed"), "true");
    assert_eq!(asked(&lab), 1);
}

#[tokio::test]
async fn what_was_refused_broke_off_or_was_left_may_be_tried_again() {
    let refused = Lab::new(|_| Err(Refusal::Overloaded { retry_after: Micros(1) }));
    for _ in 0..2 {
        assert_eq!(ask(&refused, KEY, chat("hi", "")).await.status, 429);
    }
    // No end: the stream says in its last event that it broke off.
    let broken = Lab::new(|_| Ok(vec![routed(), tokens(0, &[1], "Hel")]));
    for _ in 0..2 {
        let came = ask(&broken, KEY, chat("hi", ",\"stream\":true")).await;
        assert_eq!((came.status, came.header("x-hither-replayed")), (200, "-"));
        assert!(came.text().contains("E0508"), "{}", came.text());
    }
    assert_eq!(asked(&broken), 2);
    let left = Lab::new(|_| Ok(speaks()));
    drop(left.open(&format!("POST /v1/chat/completions\n{KEY}"), chat("hi", ",\"stream\":true")).await);
    let came = ask(&left, KEY, chat("hi", ",\"stream\":true")).await;
    assert_eq!((came.status, came.header("x-hither-replayed"), asked(&left)), (200, "-", 2));
}

#[tokio::test]
async fn a_key_is_its_apps_and_its_form_is_checked() {
    let lab = Lab::new(|_| Ok(speaks()));
    let keys = ["one", "two"].map(|app| lab.door.add_app(app, None, Limits::default()));
    for app in &keys {
        let came = ask(&lab, &format!("{KEY}\nx-api-key: {app}"), chat("hi", "")).await;
        assert_eq!((came.status, came.header("x-hither-replayed")), (200, "-"));
    }
    for wrong in
        ["idempotency-key: ", "idempotency-key: a\nidempotency-key: b", &format!("idempotency-key: {KEY:0>300}")]
    {
        let came = ask(&lab, wrong, chat("hi", "")).await;
        assert_eq!((came.status, came.header("x-hither-code")), (400, "E0605"), "{wrong}");
    }
    assert_eq!(asked(&lab), 2);
}

#[tokio::test]
async fn nothing_above_personal_is_kept() {
    let lab = Lab::new(|_| Ok(speaks()));
    for (class, status) in [("internal", 200), ("personal", 200), ("special", 451), ("secret", 451), ("none", 400)] {
        let headers = format!("idempotency-key: {class}\nx-hither-class: {class}");
        let came = ask(&lab, &headers, chat("hi", "")).await;
        assert_eq!(came.status, status, "{class}");
        if status == 451 {
            assert_eq!(came.header("x-hither-code"), "E0305");
            assert!(came.text().contains("leave Idempotency-Key out"), "{}", came.text());
        }
    }
    assert_eq!(asked(&lab), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_for_ten_minutes() {
    let lab = Lab::new(|_| Ok(speaks()));
    assert_eq!(ask(&lab, KEY, chat("hi", "")).await.status, 200);
    advance(KEPT_FOR - Duration::from_millis(10)).await;
    assert_eq!(ask(&lab, KEY, chat("hi", "")).await.header("x-hither-replayed"), "true");
    advance(Duration::from_millis(20)).await;
    assert_eq!(ask(&lab, KEY, chat("hi", "")).await.header("x-hither-replayed"), "-");
    assert_eq!(asked(&lab), 2);
}

fn id(app: &str, key: usize) -> (AppName, String) {
    (AppName::parse(app).unwrap(), key.to_string())
}

fn answer(bytes: usize) -> State {
    let parts = vec![vec![b'x'; bytes].into()];
    State::Ended(Answer { status: hyper::StatusCode::OK, headers: hyper::HeaderMap::new(), parts })
}

#[tokio::test(start_paused = true)]
async fn keys_and_bytes_are_bounded_and_come_back_with_time() {
    let kept = Arc::new(Kept::default());
    let print = blake3::hash(b"request");
    let begin = |app: &str, key: usize| match Kept::begin(&kept, id(app, key), print, Instant::now()) {
        Ok(Begun::New(ticket)) => Ok(ticket),
        Ok(Begun::Before(_)) => Err("before".to_owned()),
        Err(problem) => Err(problem.code),
    };
    let apps = KEPT_KEYS / KEPT_KEYS_OF_APP;
    for app in 0..apps {
        for key in 0..KEPT_KEYS_OF_APP {
            begin(&format!("app{app}"), key).unwrap().end(answer(1));
        }
        assert_eq!(begin(&format!("app{app}"), KEPT_KEYS_OF_APP).err().as_deref(), Some("E0501"));
    }
    assert_eq!(begin("late", 0).err().as_deref(), Some("E0501"));
    assert_eq!(begin("app0", 0).err().as_deref(), Some("before"));
    advance(KEPT_FOR).await;
    kept.sweep();
    {
        let table = kept.table();
        assert_eq!((table.keys, table.bytes, table.apps.len(), table.ended.len()), (0, 0, 0, 0));
    }
    // One too large, then as many as fit, then one too many.
    begin("one", 0).unwrap().end(answer(KEPT_ANSWER_BYTES + 1));
    let fit = KEPT_BYTES / KEPT_ANSWER_BYTES;
    for key in 1..=fit + 1 {
        begin("one", key).unwrap().end(answer(KEPT_ANSWER_BYTES));
    }
    assert_eq!(kept.table().bytes, KEPT_BYTES);
    for (key, said) in [(0, "E0425"), (1, "before"), (fit, "before"), (fit + 1, "E0425")] {
        assert_eq!(begin("one", key).err().as_deref(), Some(said), "{key}");
    }
    drop(begin("two", 0).unwrap());
    assert!(begin("two", 0).is_ok(), "a key whose request was dropped is free");
    advance(KEPT_FOR).await;
    kept.sweep();
    let table = kept.table();
    assert_eq!((table.keys, table.bytes), (0, 0));
}
