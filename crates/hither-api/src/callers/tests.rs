//! Who calls and what they may, as clients see it.

use std::num::NonZeroU32;

use hither_engine::work::FinishReason;
use hither_types::id::{ModelName, Purpose};
use hither_types::label::DataClass;
use hither_types::refusal::Refusal;

use super::*;
use crate::door::{Answer, Submission};
use crate::tests::fake::{FakeDoor, OWNER, done, end, routed, tokens};
use crate::tests::lab::{Came, Lab};

mod hosts;
mod late;
mod operators;
mod tokens;

fn speaks(_: &Submission) -> Result<Vec<Answer>, Refusal> {
    Ok(vec![routed(), tokens(0, &[1, 2, 3], "Hello"), end(FinishReason::Stop, ""), done()])
}

fn open() -> FakeDoor {
    FakeDoor::new(speaks)
}

fn shut() -> FakeDoor {
    FakeDoor::new(speaks).guarded(Access { keys: Keys::Required, ..Access::default() })
}

fn models(names: &[&str]) -> Vec<ModelName> {
    names.iter().map(|name| ModelName::parse(name).unwrap()).collect()
}

const HI: &str = r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]}"#;

/// A chat with these headers.
async fn chat(lab: &Lab, headers: &str) -> Came {
    lab.send(&format!("POST /v1/chat/completions\n{headers}"), HI).await
}

/// Status, code and help of a refusal, or the app that was let in.
async fn outcome(lab: &Lab, headers: &str) -> String {
    let came = chat(lab, headers).await;
    match came.status {
        200 => lab.door.submissions.lock().unwrap().last().unwrap().envelope.app.to_string(),
        status => format!("{status} {}", came.json()["error"]["hither_code"].as_str().unwrap()),
    }
}

#[tokio::test]
async fn a_key_names_its_app_however_it_is_sent() {
    for door in [open(), shut()] {
        let key = door.add_app("triage", None, Limits::default());
        let lab = Lab::behind(door, Listener::Tcp);
        for headers in [
            format!("authorization: Bearer {key}"),
            format!("authorization: bearer   {key} "),
            format!("authorization: {key}"),
            format!("x-api-key: {key}"),
            format!("api-key: {key}"),
            format!("x-api-key: {key}\nauthorization: Bearer {key}"),
            format!("x-api-key: {key}\nauthorization: Bearer sk-of-someone-else"),
        ] {
            assert_eq!(outcome(&lab, &headers).await, "triage", "{headers}");
        }
    }
}

#[tokio::test]
async fn without_a_key_of_ours_a_caller_is_nameless_or_turned_away() {
    for (headers, optional, required) in [
        ("", "anonymous", "401 E0116"),
        ("authorization: Bearer sk-not-needed", "anonymous", "401 E0116"),
        ("authorization: Basic aGs6aGs=", "anonymous", "401 E0116"),
        ("x-api-key: something", "anonymous", "401 E0116"),
        ("authorization: Bearer", "anonymous", "401 E0116"),
        // What is meant as a key of ours is never taken for none.
        ("authorization: Bearer hk_", "401 E0118", "401 E0118"),
        ("authorization: Bearer hk_00000000_00", "401 E0118", "401 E0118"),
        ("authorization: hk_nonsense", "401 E0118", "401 E0118"),
        ("authorization: Bearer\thk_nonsense", "401 E0118", "401 E0118"),
        ("authorization: Bearer hk_\u{e9}", "401 E0118", "401 E0118"),
        ("api-key: hk_00000000_0000000000000000000000000000000000000000", "401 E0118", "401 E0118"),
    ] {
        assert_eq!(outcome(&Lab::behind(open(), Listener::Tcp), headers).await, optional, "{headers}");
        assert_eq!(outcome(&Lab::behind(shut(), Listener::Tcp), headers).await, required, "{headers}");
        let unix = outcome(&Lab::behind(shut(), Listener::Unix), headers).await;
        assert_eq!(unix, optional, "over the socket, which its file guards: {headers}");
    }
}

#[tokio::test]
async fn a_key_that_differs_in_any_place_is_wrong() {
    let door = open();
    let key = door.add_app("triage", None, Limits::default());
    let lab = Lab::behind(door, Listener::Tcp);
    for at in 0..key.len() {
        let mut other = key.clone().into_bytes();
        other[at] = if other[at] == b'f' { b'e' } else { b'f' };
        let other = String::from_utf8(other).unwrap();
        let wanted = if at < 3 { "anonymous" } else { "401 E0118" };
        assert_eq!(outcome(&lab, &format!("x-api-key: {other}")).await, wanted, "{other}");
    }
    for other in [format!("{key}0"), key[..key.len() - 1].to_owned(), key.to_uppercase().replacen("HK", "hk", 1)] {
        assert_eq!(outcome(&lab, &format!("x-api-key: {other}")).await, "401 E0118", "{other}");
    }
    let two = format!("x-api-key: {key}\nauthorization: Bearer hk_00000000_{}", "0".repeat(40));
    assert_eq!(outcome(&lab, &two).await, "401 E0118");
}

#[tokio::test]
async fn a_refused_key_is_told_in_the_form_of_each_protocol() {
    let lab = Lab::behind(shut(), Listener::Tcp);
    let came = chat(&lab, "authorization: Bearer hk_wrong").await;
    let error = &came.json()["error"];
    assert_eq!((came.status, came.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(
        (error["type"].as_str(), error["code"].as_str()),
        (Some("authentication_error"), Some("invalid_api_key"))
    );
    assert!(came.headers.get("access-control-allow-origin").is_none());
    assert!(!came.text().contains("hk_wrong"), "a key is not said back: {}", came.text());

    let came = lab.send("POST /v2/models/fraud/infer", "{}").await;
    assert_eq!((came.status, came.header("www-authenticate")), (401, "Bearer"));
    assert!(came.json()["error"].as_str().unwrap().contains("hither apps add NAME"), "{}", came.text());
    for path in ["/", "/app.js", "/metrics", "/hither/v1/view", "/hither/v1/events", "/v2", "/v2/models/fraud/ready"] {
        let came = lab.send(&format!("GET {path}"), "").await;
        assert_eq!((came.status, came.header("www-authenticate")), (401, "Bearer"), "{path}");
    }
    // Not even what is there is told.
    assert_eq!(lab.send("GET /nothing", "").await.status, 401);
}

#[tokio::test]
async fn health_needs_no_key_and_takes_a_wrong_one() {
    for door in [open(), shut()] {
        let lab = Lab::behind(door, Listener::Tcp);
        for path in ["/health", "/v2/health/live", "/v2/health/ready"] {
            for headers in ["", "\nx-api-key: hk_wrong"] {
                assert_eq!(lab.send(&format!("GET {path}{headers}"), "").await.status, 200, "{path}{headers}");
            }
        }
    }
}

#[tokio::test]
async fn a_class_above_the_apps_own_is_refused_with_what_to_type() {
    let door = open();
    let limits = Limits { class: Some(DataClass::Personal), ..Limits::default() };
    let key = door.add_app("triage", None, limits);
    let lab = Lab::behind(door, Listener::Tcp);
    assert_eq!(outcome(&lab, &format!("x-api-key: {key}\nx-hither-class: personal")).await, "triage");
    assert_eq!(outcome(&lab, &format!("x-api-key: {key}")).await, "triage");
    let came = chat(&lab, &format!("x-api-key: {key}\nx-hither-class: special")).await;
    let error = &came.json()["error"];
    assert_eq!(
        (came.status, error["code"].as_str(), error["type"].as_str()),
        (403, Some("E0117"), Some("permission_error"))
    );
    assert_eq!(error["message"], "app triage may send data of class personal at most, and these are special");
    assert_eq!(error["help"][0], "hither apps limit triage --class special");
}

#[tokio::test]
async fn an_app_with_purposes_has_to_name_one_of_them() {
    let door = open();
    let limits = Limits { purposes: vec![Purpose::parse("triage").unwrap()], ..Limits::default() };
    let key = door.add_app("ward", None, limits);
    let lab = Lab::behind(door, Listener::Tcp);
    assert_eq!(outcome(&lab, &format!("x-api-key: {key}\nx-hither-purpose: triage")).await, "ward");
    for (headers, help) in [
        ("", "send the header x-hither-purpose: triage"),
        ("x-hither-purpose: marketing", "hither apps limit ward --purposes triage,marketing"),
    ] {
        let came = chat(&lab, &format!("x-api-key: {key}\n{headers}")).await;
        assert_eq!((came.status, came.json()["error"]["help"][0].as_str()), (403, Some(help)), "{}", came.text());
    }
}

#[tokio::test]
async fn models_that_are_not_an_apps_own_are_refused_and_not_listed() {
    let door = open();
    let limits = Limits { models: models(&["maintenance"]), ..Limits::default() };
    let key = format!("\nx-api-key: {}", door.add_app("plant", None, limits));
    let lab = Lab::behind(door, Listener::Tcp);
    for (request, status) in [
        ("GET /v1/models/smollm2-135m", 403),
        ("GET /v1/models/smollm2%2D135m", 403),
        ("GET /v2/models/fraud", 403),
        ("GET /v2/models/fraud/ready", 403),
        ("GET /v2/models/fraud/versions/1", 403),
        ("POST /v2/models/fraud/infer", 403),
        ("POST /v2/models/fraud/versions/1/infer", 403),
        ("GET /v2/models/maintenance", 200),
        ("GET /v2/models/maintenance/ready", 200),
        ("POST /v2/models/maintenance/infer", 400),
    ] {
        let came = lab.send(&format!("{request}{key}"), "").await;
        assert_eq!(came.status, status, "{request}: {}", came.text());
        assert_eq!(came.text().contains("app plant may not use model"), status == 403, "{request}: {}", came.text());
    }
    let came = chat(&lab, &key).await;
    assert_eq!(came.json()["error"]["help"][0], "hither apps limit plant --models maintenance,smollm2-135m");
    assert_eq!(came.json()["error"]["param"], "model");
    assert_eq!(lab.send(&format!("GET /v1/models{key}"), "").await.json()["data"], serde_json::json!([]));
    let listed = lab.send(&format!("GET /hither/v1/models{key}"), "").await.json();
    assert_eq!(listed.as_array().unwrap().iter().map(|model| &model["name"]).collect::<Vec<_>>(), ["maintenance"]);
    assert_eq!(lab.door.submissions.lock().unwrap().len(), 0);
    assert_eq!(lab.send("GET /v1/models", "").await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_wait_as_long_as_they_are_told() {
    let door = open();
    let key = door.add_app("chat", None, Limits { requests_per_s: NonZeroU32::new(2), ..Limits::default() });
    let other = door.add_app("other", None, Limits::default());
    let lab = Lab::behind(door, Listener::Tcp);
    let key = format!("x-api-key: {key}");
    assert_eq!((outcome(&lab, &key).await, outcome(&lab, &key).await), ("chat".into(), "chat".into()));
    let came = chat(&lab, &key).await;
    let error = &came.json()["error"];
    assert_eq!((came.status, came.header("retry-after")), (429, "1"));
    assert_eq!(
        (error["type"].as_str(), error["code"].as_str()),
        (Some("rate_limit_error"), Some("rate_limit_exceeded"))
    );
    assert_eq!(error["message"], "app chat may send 2 requests a second; the next is let in in 500 ms");
    assert_eq!(error["help"][0], "hither apps limit chat --requests-per-s N");
    assert_eq!(outcome(&lab, &format!("x-api-key: {other}")).await, "other", "one app's haste is not another's");
    assert_eq!(lab.send(&format!("GET /v1/models\n{key}"), "").await.status, 200, "a list is no work");
    tokio::time::advance(std::time::Duration::from_millis(500)).await;
    assert_eq!(outcome(&lab, &key).await, "chat");
    let said = lab.send("GET /metrics", "").await.text();
    for line in ["hither_app_requests_total{app=\"chat\"} 3", "hither_app_limited_total{app=\"chat\"} 1"] {
        assert!(said.contains(line), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_charged_when_they_are_known_streamed_or_not() {
    for stream in ["", r#","stream":true"#] {
        let door = open();
        let key = door.add_app("chat", None, Limits { tokens_per_min: NonZeroU32::new(12), ..Limits::default() });
        let lab = Lab::behind(door, Listener::Tcp);
        let request = format!("POST /v1/chat/completions\nx-api-key: {key}");
        let body = format!("{}{stream}}}", HI.strip_suffix('}').unwrap());
        // Nine tokens of prompt and three of answer.
        assert_eq!(lab.send(&request, body.clone()).await.status, 200);
        assert_eq!(lab.door.callers.apps()[0].counts(), Counts { requests: 1, limited: 0, tokens: 12, running: 0 });
        let came = lab.send(&request, body.clone()).await;
        assert_eq!((came.status, came.header("retry-after")), (429, "5"), "{}", came.text());
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        assert_eq!(lab.send(&request, body).await.status, 200);
    }
}

#[tokio::test]
async fn a_stream_counts_as_under_way_until_it_ends_or_its_client_leaves() {
    let mut door = FakeDoor::new(|_| Ok(vec![routed(), tokens(0, &[1, 2], "Hel")]));
    door.endless = true;
    let key = door.add_app("chat", None, Limits { concurrent: NonZeroU32::new(1), ..Limits::default() });
    let lab = Lab::behind(door, Listener::Tcp);
    let body = HI.replacen('{', r#"{"stream":true,"#, 1);
    let request = format!("POST /v1/chat/completions\nx-api-key: {key}");
    let running = lab.open(&request, body.clone()).await;
    assert_eq!(running.status(), 200);
    let came = lab.send(&request, body.clone()).await;
    assert_eq!(came.status, 429, "{}", came.text());
    assert!(came.text().contains("app chat may have 1 requests under way at once"), "{}", came.text());
    drop(running);
    let counts = lab.door.callers.apps()[0].counts();
    assert_eq!((counts.running, counts.limited), (0, 1));
    assert!(counts.tokens > 2, "what was delivered, and the prompt by its length: {counts:?}");
    assert_eq!(lab.open(&request, body).await.status(), 200);
}

#[tokio::test]
async fn what_is_refused_for_itself_takes_no_share_of_the_limits() {
    let door = open();
    let key = door.add_app("chat", None, Limits { requests_per_s: NonZeroU32::new(1), ..Limits::default() });
    let lab = Lab::behind(door, Listener::Tcp);
    for _ in 0..3 {
        assert_eq!(outcome(&lab, &format!("x-api-key: {key}\nx-hither-class: nonsense")).await, "400 E0304");
    }
    assert_eq!(outcome(&lab, &format!("x-api-key: {key}")).await, "chat");
}

#[tokio::test]
async fn the_nameless_have_limits_of_their_own() {
    let anonymous = Limits {
        class: Some(DataClass::Internal),
        models: models(&["smollm2-135m"]),
        requests_per_s: NonZeroU32::new(1),
        ..Limits::default()
    };
    let door = open().guarded(Access { anonymous, ..Access::default() });
    let key = door.add_app("chat", None, Limits::default());
    let lab = Lab::behind(door, Listener::Tcp);
    assert_eq!(lab.send("GET /v2/models/fraud", "").await.status, 403);
    let came = chat(&lab, "x-hither-class: personal").await;
    let help = "send the key of an app, or change class under [api.anonymous] in hither.toml";
    assert_eq!((came.status, came.json()["error"]["help"][0].as_str()), (403, Some(help)));
    assert_eq!(outcome(&lab, "").await, "anonymous");
    assert_eq!(outcome(&lab, "").await, "429 E0510");
    assert_eq!(outcome(&lab, &format!("x-api-key: {key}\nx-hither-class: secret")).await, "chat");
}

#[test]
fn a_key_reads_back_and_never_shows_in_a_log() {
    let key = Key::new(KeyId(0x00ab_cdef), [9; SECRET_BYTES]);
    assert_eq!(key.reveal(), format!("hk_00abcdef_{}", "09".repeat(20)));
    assert_eq!(Key::parse(key.reveal()).unwrap(), key);
    assert_eq!(format!("{key:?}"), "Key(00abcdef, secret of 20 bytes)");
    let callers = Callers::new(Access::default(), [1; 32], OWNER);
    let elsewhere = Callers::new(Access::default(), [2; 32], OWNER);
    assert_ne!(callers.mark(&key).hash, elsewhere.mark(&key).hash, "a file of hashes opens no other node");
}
