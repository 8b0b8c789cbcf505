//! Operators: apps come, change and go, and hold for the next request. Users of the socket are known by the system.

use std::num::NonZeroU32;

use hither_types::id::{Digest, RequestId};

use super::{chat, open, outcome, shut};
use crate::admin::{AppDto, AppKeyDto};
use crate::callers::Limits;
use crate::routes::Listener;
use crate::tests::fake::OWNER;
use crate::tests::lab::{Came, Lab};

/// A door with two ways in, as a node has.
fn both(door: crate::tests::fake::FakeDoor) -> (Lab, Lab) {
    let unix = Lab::behind(door, Listener::Unix);
    let tcp = unix.beside(Listener::Tcp);
    (unix, tcp)
}

async fn ask(lab: &Lab, request: &str, body: &str) -> Came {
    lab.send(request, body.to_owned()).await
}

fn key(came: &Came) -> AppKeyDto {
    serde_json::from_slice(&came.bytes).unwrap_or_else(|error| panic!("{error} in {}", came.text()))
}

#[tokio::test]
async fn an_app_is_added_rotated_and_removed_and_each_holds_at_once() {
    let (unix, tcp) = both(open());
    let body = r#"{"name":"chat","limits":{"class":"personal","models":["smollm2-135m"],"tokens_per_min":500}}"#;
    let first = key(&ask(&unix, "POST /hither/v1/apps", body).await);
    assert_eq!((first.app.class.as_deref(), first.app.tokens_per_min), (Some("personal"), Some(500)));
    assert!(first.key.starts_with(&format!("hk_{}_", first.app.key_id)));
    let sent = |key: &AppKeyDto| format!("x-api-key: {}", key.key);
    assert_eq!(outcome(&tcp, &sent(&first)).await, "chat");

    let second = key(&ask(&unix, "POST /hither/v1/apps/chat/rotate", "").await);
    assert_eq!(
        (outcome(&tcp, &sent(&first)).await, outcome(&tcp, &sent(&second)).await),
        ("401 E0118".into(), "chat".into())
    );

    let listed = ask(&unix, "GET /hither/v1/apps", "").await;
    let apps: Vec<AppDto> = serde_json::from_slice(&listed.bytes).unwrap();
    assert_eq!((apps.len(), apps[0].requests, apps[0].tokens, apps[0].running), (1, 2, 24, 0));
    assert_eq!(apps[0].key_id, second.app.key_id);
    assert!(!listed.text().contains(&second.key), "a key is shown once");

    assert_eq!(ask(&unix, "DELETE /hither/v1/apps/chat", "").await.status, 200);
    assert_eq!(outcome(&tcp, &sent(&second)).await, "401 E0118");
    assert_eq!(ask(&unix, "DELETE /hither/v1/apps/chat", "").await.status, 422);
}

#[tokio::test]
async fn a_limit_is_changed_lifted_and_the_rest_stays() {
    let (unix, tcp) = both(open());
    let made = key(&ask(&unix, "POST /hither/v1/apps", r#"{"name":"chat","limits":{"concurrent":3}}"#).await);
    let changed = |body: &'static str| async { ask(&unix, "POST /hither/v1/apps/chat/limits", body).await.json() };
    let app = changed(r#"{"requests_per_s":1,"models":["fraud"]}"#).await;
    assert_eq!(
        (&app["requests_per_s"], &app["concurrent"], &app["models"][0]),
        (&1.into(), &3.into(), &"fraud".into())
    );
    let sent = format!("x-api-key: {}", made.key);
    assert_eq!(outcome(&tcp, &sent).await, "403 E0117");
    let app = changed(r#"{"models":[],"concurrent":0}"#).await;
    assert_eq!((&app["models"], app["concurrent"].is_null()), (&serde_json::json!([]), true));
    // The request above was refused for its model after it was let in: it has used the second's one.
    assert_eq!(outcome(&tcp, &sent).await, "chat", "a new limit begins full");
    assert_eq!(outcome(&tcp, &sent).await, "429 E0510");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let (unix, tcp) = both(open());
    let many = format!(r#"{{"name":"a","limits":{{"models":{:?}}}}}"#, vec!["m"; 257]);
    for (body, status, text) in [
        (r#"{"name":"a b"}"#, 400, "name: expected an app name"),
        (r#"{"name":"a","limits":{"class":"hidden"}}"#, 400, "class: expected public, internal"),
        (r#"{"name":"a","limits":{"models":["a b"]}}"#, 400, "models: expected a model name"),
        (r#"{"name":"a","limits":{"purposes":["a b"]}}"#, 400, "purposes: expected a purpose"),
        (r#"{"name":"a","limits":{"requests_per_s":-1}}"#, 400, "the body: "),
        (r#"{"name":"a","limits":{"speed":1}}"#, 400, "unknown field `speed`"),
        (&many, 400, "models has 257 items"),
    ] {
        let came = ask(&unix, "POST /hither/v1/apps", body).await;
        assert_eq!(came.status, status, "{body}: {}", came.text());
        assert!(came.text().contains(text), "{body}: {}", came.text());
    }
    for request in [
        "POST /hither/v1/apps",
        "GET /hither/v1/apps",
        "DELETE /hither/v1/apps/a",
        "POST /hither/v1/apps/a/rotate",
        "POST /hither/v1/apps/a/shred",
        "POST /hither/v1/apps/a/limits",
    ] {
        let came = ask(&tcp, request, r#"{"name":"a"}"#).await;
        assert_eq!((came.status, came.json()["code"].as_str()), (403, Some("E0114")), "{request}");
    }
}

#[tokio::test]
async fn a_user_of_the_socket_is_its_app_and_a_key_comes_first() {
    let door = shut();
    let other = door.add_app("other", None, Limits::default());
    door.add_app("batch", Some(4711), Limits { concurrent: NonZeroU32::new(9), ..Limits::default() });
    let (unix, tcp) = both(door);
    assert_eq!(outcome(&unix, "peer-uid: 4711").await, "batch");
    assert_eq!(outcome(&unix, "peer-uid: 4712").await, "anonymous");
    assert_eq!(outcome(&unix, &format!("peer-uid: 4711\nx-api-key: {other}")).await, "other");
    assert_eq!(outcome(&unix, "peer-uid: 4711\nx-api-key: hk_wrong").await, "401 E0118");
    assert_eq!(outcome(&tcp, "x-hither-uid: 4711").await, "401 E0116", "a header proves nothing");
}

#[tokio::test]
async fn an_app_that_is_a_user_gives_no_commands() {
    let door = open();
    door.add_app("batch", Some(4711), Limits { requests_per_s: NonZeroU32::new(1), ..Limits::default() });
    door.add_app("own", Some(OWNER), Limits::default());
    let (unix, _) = both(door);
    for request in [
        "POST /hither/v1/apps",
        "POST /hither/v1/apps/batch/limits",
        "DELETE /hither/v1/apps/batch",
        "POST /hither/v1/power",
        "POST /v2/repository/models/echo/load",
    ] {
        let came = ask(&unix, &format!("{request}\npeer-uid: 4711"), "{}").await;
        assert_eq!((came.status, came.json()["code"].as_str()), (403, Some("E0117")), "{request}");
        assert!(came.text().contains("user 4711 is app batch here"), "{}", came.text());
    }
    assert_eq!(ask(&unix, "GET /hither/v1/view\npeer-uid: 4711", "").await.status, 200);
    for uid in [0, OWNER, 4712] {
        let came = ask(&unix, &format!("POST /hither/v1/apps/batch/rotate\npeer-uid: {uid}"), "").await;
        assert_eq!(came.status, 200, "{uid}: {}", came.text());
    }
}

#[tokio::test]
async fn limits_of_the_nameless_are_not_the_operators() {
    let access = crate::callers::Access {
        anonymous: Limits { requests_per_s: NonZeroU32::new(1), ..Limits::default() },
        ..crate::callers::Access::default()
    };
    let (unix, tcp) = both(open().guarded(access));
    assert_eq!(chat(&tcp, "").await.status, 200);
    assert_eq!((chat(&tcp, "").await.status, chat(&unix, "peer-uid: 4711").await.status), (429, 429));
    for _ in 0..3 {
        assert_eq!(chat(&unix, &format!("peer-uid: {OWNER}")).await.status, 200);
    }
}

/// By what the record of the last request refers to its body.
fn referred(lab: &Lab) -> Option<Digest> {
    let submissions = lab.door.submissions.lock().unwrap();
    submissions.last().unwrap().referrer.as_ref().map(|referrer| referrer.of(RequestId(1)))
}

#[tokio::test]
async fn records_refer_to_what_an_app_asked_up_to_the_class_that_it_wants() {
    let (unix, tcp) = both(open());
    let body = r#"{"name":"triage","limits":{"references":"personal"}}"#;
    let made = key(&ask(&unix, "POST /hither/v1/apps", body).await);
    assert_eq!(made.app.references.as_deref(), Some("personal"));
    let asked = r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"}],"max_tokens":2}"#;
    let refers = async |class: &str| {
        let head = format!("POST /v1/chat/completions\nx-hither-class: {class}\nx-api-key: {}", made.key);
        let came = tcp.send(&head, asked.to_owned()).await;
        assert_eq!(came.status, 200, "{}", came.text());
        referred(&tcp)
    };
    let expected = Some(Digest(blake3::hash(asked.as_bytes()).into()));
    assert_eq!((refers("personal").await, refers("special").await), (expected, None));

    let changed = ask(&unix, "POST /hither/v1/apps/triage/limits", r#"{"references":"special"}"#).await.json();
    assert_eq!(changed["references"], "special");
    assert_eq!(refers("special").await, expected);
    let tensors = r#"{"inputs":[{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}"#;
    let head = format!("POST /v2/models/fraud/infer\nx-api-key: {}", made.key);
    // This door has text for tensors too; what it was handed is what counts.
    tcp.send(&head, tensors.to_owned()).await;
    assert_eq!(referred(&tcp), Some(Digest(blake3::hash(tensors.as_bytes()).into())));

    let none = ask(&unix, "POST /hither/v1/apps/triage/limits", r#"{"references":"none"}"#).await.json();
    assert!(none.get("references").is_none());
    assert_eq!(refers("internal").await, None);
    let wrong = ask(&unix, "POST /hither/v1/apps/triage/limits", r#"{"references":"all"}"#).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert_eq!(ask(&unix, "POST /hither/v1/apps/triage/shred", "").await.status, 200);
}
