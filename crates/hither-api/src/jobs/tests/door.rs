//! What is taken, what is refused, and what is shown.

use hither_types::label::DataClass;
use serde_json::{Value, json};

use super::*;
use crate::jobs::Given;
use crate::tests::lab::Came;

async fn submit(lab: &Lab, headers: &str, body: &str) -> Came {
    lab.send(&format!("POST /v1/jobs\n{headers}"), body.to_owned()).await
}

fn first(kept: &Kept) -> (JobId, NewJob) {
    let state = kept.state();
    let (id, (new, _)) = state.jobs.first_key_value().unwrap();
    (*id, new.clone())
}

#[tokio::test]
async fn a_job_is_accepted_with_its_id_and_kept_with_its_label() {
    let (lab, kept) = lab();
    let before = wall_now().0;
    let headers = "x-hither-class: personal\nx-hither-tags: b,a\nx-hither-tokens: 1\nIdempotency-Key: \"k 1\"";
    let came = submit(&lab, headers, &chat(r#","metadata":{"ticket":7}"#)).await;
    let (id, new) = first(&kept);
    let said = came.json();
    assert_eq!((came.status, came.header("location")), (202, format!("/v1/jobs/{id}").as_str()), "{}", came.text());
    assert_eq!(
        (said["id"].as_str(), said["status"].as_str(), said["joined"].as_bool(), said["metadata"].to_string()),
        (Some(id.to_string().as_str()), Some("queued"), Some(false), r#"{"ticket":7}"#.to_owned())
    );
    assert!((before + 3_600_000..=wall_now().0 + 3_600_000).contains(&new.deadline.0));
    assert!(said["deadline"].as_str().unwrap().ends_with('Z'), "{said}");
    let headers: Vec<String> = new.ask.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        headers,
        [
            "x-hither-class: personal",
            "x-hither-priority: low",
            "x-hither-subjects: FR",
            "x-hither-tags: b,a",
            "x-hither-tokens: 1"
        ]
    );
    assert_eq!(
        (new.key.as_deref(), new.model.as_deref(), new.app.as_str()),
        (Some("k 1"), Some("smollm2-135m"), "anonymous")
    );
    let body = r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(new.ask.body, body, "byte for byte");
    let again = submit(&lab, "Idempotency-Key: k 1", &chat(r#","metadata":{"ticket":7}"#)).await;
    assert_eq!(
        (again.status, again.json()["id"].as_str(), again.json()["joined"].as_bool()),
        (200, Some(id.to_string().as_str()), Some(true))
    );
}

#[tokio::test]
async fn a_deadline_is_a_time_or_seconds_and_one_of_them() {
    let with = |deadline: &str| chat("").replace(r#""deadline_s":3600,"#, deadline);
    for deadline in [r#""deadline":"2100-01-01T00:00:00Z","#, r#""deadline_s":2592001,"#] {
        let came = submit(&lab().0, "", &with(deadline)).await;
        assert!(came.text().contains("more than 30 days away"), "{}", came.text());
    }
    for (deadline, why) in [
        ("", "needs a deadline"),
        (r#""deadline_s":0,"#, "has passed"),
        (r#""deadline":"2020-01-01T00:00:00Z","#, "the deadline 2020-01-01T00:00:00Z has passed"),
        (r#""deadline":"tomorrow","#, "not a time of RFC 3339"),
        (r#""deadline":"2100-01-01T00:00:00Z","deadline_s":5,"#, "both"),
    ] {
        let (lab, kept) = lab();
        let came = submit(&lab, "", &with(deadline)).await;
        let error = came.json();
        assert_eq!((came.status, error["param"].as_str()), (400, Some("deadline")), "{deadline}: {}", came.text());
        assert!(error["detail"].as_str().unwrap().contains(why), "{deadline}: {error}");
        assert!(!error["help"][0].as_str().unwrap().is_empty());
        assert!(kept.state().jobs.is_empty());
    }
    let (lab, kept) = lab();
    let at = jiff::Timestamp::from_millisecond(wall_now().0 as i64 + 7_200_000).unwrap();
    let local = at.to_string().replace('Z', "+00:00");
    let came = submit(&lab, "", &with(&format!(r#""deadline":"{local}","#))).await;
    assert_eq!(came.status, 202, "{}", came.text());
    assert_eq!(first(&kept).1.deadline.0 as i64, at.as_millisecond());
}

#[tokio::test]
async fn what_cannot_be_kept_or_run_is_refused_before_it_is_kept() {
    let good = chat("");
    let url = |url: &str| good.replace("/v1/chat/completions", url);
    for (headers, body, status, code, param) in [
        ("", good.replace("\"url\"", "\"stream\":true,\"url\""), 400, "E0601", Value::Null),
        ("", good.replace("\"model\"", "\"stream\":true,\"model\""), 400, "E0604", json!("request.body.stream")),
        ("", url("/api/chat"), 400, "E0604", json!("request.body.stream")),
        ("", url("/api/generate"), 400, "E0604", json!("request.body.stream")),
        ("", good.replace("\"url\"", "\"method\":\"GET\",\"url\""), 400, "E0605", json!("request.method")),
        ("", url("/v1/models"), 400, "E0605", json!("request.url")),
        ("", url("/v1/jobs"), 400, "E0605", json!("request.url")),
        ("", url("/hither/v1/power"), 400, "E0605", json!("request.url")),
        ("", url("http://elsewhere/v1/completions"), 400, "E0605", json!("request.url")),
        ("", url("/v2/models/a?b/infer"), 400, "E0605", json!("request.url")),
        ("", url("/v2/models/a/../b/infer"), 400, "E0605", json!("request.url")),
        ("", chat(r#","metadata":[1]"#), 400, "E0605", json!("metadata")),
        ("", chat(&format!(r#","metadata":{{"a":"{}"}}"#, "x".repeat(5000))), 400, "E0605", json!("metadata")),
        ("", chat(r#","surprise":1"#), 400, "E0601", Value::Null),
        ("", "[".repeat(500), 400, "E0601", Value::Null),
        (
            "",
            r#"{"deadline_s":5,"request":{"url":"/v1/completions","body":"text"}}"#.to_owned(),
            400,
            "E0601",
            json!("request.body"),
        ),
        ("x-hither-class: special", good.clone(), 451, "E0305", json!("x-hither-class")),
        ("x-hither-class: secret", good.clone(), 451, "E0305", json!("x-hither-class")),
        ("x-hither-class: special\nx-hither-purpose: care", good.clone(), 451, "E0305", json!("x-hither-class")),
        ("x-hither-purpose: forbidden", good.clone(), 451, "E0305", json!("x-hither-class")),
        ("x-hither-class: public", good.clone(), 400, "E0303", json!("x-hither-class")),
        ("Idempotency-Key: \"\"", good.clone(), 400, "E0605", json!("Idempotency-Key")),
        ("Idempotency-Key: a\nIdempotency-Key: b", good.clone(), 400, "E0605", json!("Idempotency-Key")),
    ] {
        let (lab, kept) = lab();
        let came = submit(&lab, headers, &body).await;
        let error = came.json();
        let found = (came.status, error["code"].as_str(), error["param"].clone());
        assert_eq!(found, (status, Some(code), param), "{headers} {:.200}: {}", body, came.text());
        assert!(kept.state().jobs.is_empty());
    }
}

#[tokio::test]
async fn what_the_law_lets_rest_is_kept_with_its_class() {
    let (lab, kept) = lab();
    let body = r#"{"deadline_s":60,"request":{"url":"/v1/completions","body":{"model":"small","prompt":"a"}}}"#;
    let came = submit(&lab, "x-hither-class: secret\nx-hither-purpose: kept", body).await;
    assert_eq!(came.status, 202, "{}", came.text());
    let (_, job) = first(&kept);
    assert_eq!(job.class, DataClass::Secret);
    assert!(job.ask.headers.contains(&("x-hither-class".to_owned(), "secret".to_owned())), "{:?}", job.ask.headers);
}

#[tokio::test]
async fn paths_of_models_are_asked_by_their_name() {
    for (url, model) in [
        ("/v2/models/fraud/infer", "fraud"),
        ("/v2/models/fraud/versions/1/infer", "fraud"),
        ("/v2/models/acme%2Ffraud/infer", "acme/fraud"),
        ("/v1/embeddings", "smollm2-135m"),
        ("/v1/responses", "smollm2-135m"),
        ("/api/embed", "smollm2-135m"),
    ] {
        let (lab, kept) = lab();
        let came = submit(&lab, "", &chat("").replace("/v1/chat/completions", url)).await;
        assert_eq!((came.status, first(&kept).1.model.as_deref()), (202, Some(model)), "{url}: {}", came.text());
    }
}

#[tokio::test]
async fn a_store_that_takes_nothing_says_why_and_with_which_status() {
    let full: fn() -> JobError = || JobError::Full("the node keeps 9 jobs".to_owned());
    let disk: fn() -> JobError = || JobError::DiskFull(std::io::Error::from(std::io::ErrorKind::StorageFull));
    let other: fn() -> JobError = || JobError::KeyReused(JobId(7));
    for (refuses, status, code) in [(full, 507, "E0520"), (disk, 507, "E0521"), (other, 422, "E0423")] {
        let kept = Kept { refuses: Some(refuses), ..Kept::default() };
        let (lab, _) = lab_of(FakeDoor::new(|_| unreachable!()), Listener::Tcp, kept);
        let came = submit(&lab, "", &chat("")).await;
        let error = came.json();
        assert_eq!((came.status, error["code"].as_str()), (status, Some(code)), "{}", came.text());
        assert!(!error["help"].as_array().unwrap().is_empty());
    }
    let none = Lab::new(|_| unreachable!());
    for head in ["POST /v1/jobs", "GET /v1/jobs", "GET /v1/jobs/01900000-0000-7000-8000-000000000001"] {
        let came = none.send(head, chat("")).await;
        assert_eq!((came.status, came.json()["code"].as_str()), (503, Some("E0522")), "{head}");
    }
}

#[tokio::test]
async fn how_far_a_job_is_is_told_and_its_result_is_what_the_path_would_have_said() {
    let (lab, kept) = lab();
    submit(&lab, "", &chat("")).await;
    let (id, new) = first(&kept);
    let path = format!("/v1/jobs/{id}");
    let came = lab.send(&format!("GET {path}/result"), "").await;
    assert_eq!((came.status, came.json()["code"].as_str(), came.header("retry-after")), (409, Some("E0421"), "2"));
    let Next::Run(leased) = kept.lease() else { panic!("it is its turn") };
    let last = Tried {
        at: WallTime(1_800_000_000_000),
        status: 503,
        code: "E0503".to_owned(),
        message: "nobody is there".to_owned(),
        request: None,
    };
    kept.end(id, |job| job.head.last = Some(last));
    let told = lab.send(&format!("GET {path}"), "").await.json();
    assert_eq!((told["status"].as_str(), told["last"]["code"].as_str()), (Some("running"), Some("E0503")), "{told}");
    assert_eq!(told["last"]["at"], "2027-01-15T08:00:00Z");
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let body = bytes::Bytes::from_static(b"{\"choices\": [1.50]}");
    let headers = vec![
        header("content-type", "application/json"),
        header("x-hither-served-by", "munich"),
        header("x-hither-rule", "eea-personal"),
    ];
    let answer = Given { status: 200, headers, body: body.clone() };
    kept.settle(id, leased.epoch, End::Done(answer)).unwrap();
    let told = lab.send(&format!("GET {path}"), "").await;
    let json = told.json();
    assert_eq!(
        (json["status"].as_str(), json["served_by"].as_str(), json["rule"].as_str()),
        (Some("done"), Some("munich"), Some("eea-personal"))
    );
    assert!(told.text().contains(r#""response":{"status":200,"body":{"choices": [1.50]}}"#), "{}", told.text());
    let result = lab.send(&format!("GET {path}/result"), "").await;
    assert_eq!((result.status, &result.bytes[..]), (200, &body[..]));
    assert_eq!((result.header("x-hither-served-by"), result.header("content-type")), ("munich", "application/json"));
    kept.end(id, |job| {
        job.head.status = Status::Expired;
        job.given = None;
    });
    let expired = lab.send(&format!("GET {path}/result"), "").await;
    assert_eq!((expired.status, expired.json()["code"].as_str()), (504, Some("E0523")));
    assert!(expired.text().contains("nobody is there [E0503]"), "{}", expired.text());
    let told = lab.send(&format!("GET {path}"), "").await.json();
    assert_eq!((told["status"].as_str(), told["problem"]["code"].as_str()), (Some("expired"), Some("E0523")));
    assert_eq!(new.ask.url, told["url"]);
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_shown_in_base64_and_given_as_it_is() {
    let (lab, kept) = lab();
    submit(&lab, "", &chat("")).await;
    let (id, _) = first(&kept);
    let Next::Run(leased) = kept.lease() else { panic!("it is its turn") };
    let headers = vec![("content-type".to_owned(), "application/octet-stream".to_owned())];
    let body = bytes::Bytes::from_static(&[0, 255, 7]);
    kept.settle(id, leased.epoch, End::Done(Given { status: 200, headers, body })).unwrap();
    let told = lab.send(&format!("GET /v1/jobs/{id}"), "").await.json();
    assert_eq!(told["response"], json!({"status": 200, "body_base64": "AP8H"}));
    assert_eq!(lab.send(&format!("GET /v1/jobs/{id}/result"), "").await.bytes, [0, 255, 7]);
}

#[tokio::test]
async fn jobs_are_listed_page_by_page_taken_back_and_deleted() {
    let (lab, kept) = lab();
    for at in 0..3 {
        assert_eq!(submit(&lab, "", &chat(&format!(r#","metadata":{{"at":{at}}}"#))).await.status, 202);
    }
    let (id, _) = first(&kept);
    let page = lab.send("GET /v1/jobs?limit=2", "").await.json();
    assert_eq!((page["data"].as_array().unwrap().len(), page["has_more"].as_bool()), (2, Some(true)));
    let after = page["data"][1]["id"].as_str().unwrap();
    let rest = lab.send(&format!("GET /v1/jobs?limit=2&after={after}"), "").await.json();
    assert_eq!(
        (rest["data"][0]["id"].as_str(), rest["has_more"].as_bool()),
        (Some(id.to_string().as_str()), Some(false))
    );
    for query in ["limit=0", "limit=1001", "limit=x", "after=x", "page=2"] {
        assert_eq!(lab.send(&format!("GET /v1/jobs?{query}"), "").await.status, 400, "{query}");
    }
    let path = format!("/v1/jobs/{id}");
    let refused = lab.send(&format!("DELETE {path}"), "").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("E0421")));
    let cancelled = lab.send(&format!("POST {path}/cancel"), "").await;
    assert_eq!((cancelled.status, cancelled.json()["status"].as_str()), (200, Some("cancelled")));
    let again = lab.send(&format!("POST {path}/cancel"), "").await;
    assert_eq!((again.status, again.json()["code"].as_str()), (409, Some("E0422")));
    assert_eq!(lab.send(&format!("DELETE {path}"), "").await.status, 204);
    for head in
        [format!("GET {path}"), format!("GET {path}/result"), format!("POST {path}/cancel"), format!("DELETE {path}")]
    {
        let came = lab.send(&head, "").await;
        assert_eq!((came.status, came.json()["code"].as_str()), (404, Some("E0420")), "{head}");
    }
    assert_eq!(lab.send("GET /v1/jobs/nonsense", "").await.status, 400);
}

#[tokio::test]
async fn operators_see_all_jobs_over_the_socket_and_never_their_content() {
    let (lab, kept) = lab_of(FakeDoor::new(|_| unreachable!()), Listener::Unix, Kept::default());
    submit(&lab, "", &chat(r#","metadata":{"note":"m-canary"}"#)).await;
    let (id, _) = first(&kept);
    let Next::Run(leased) = kept.lease() else { panic!("it is its turn") };
    let headers = vec![("x-hither-served-by".to_owned(), "munich".to_owned())];
    let given = Given { status: 200, headers, body: bytes::Bytes::from_static(b"\"a-canary\"") };
    kept.settle(id, leased.epoch, End::Done(given)).unwrap();
    for path in ["/hither/v1/jobs".to_owned(), format!("/hither/v1/jobs/{id}")] {
        let came = lab.send(&format!("GET {path}"), "").await;
        assert!(came.status == 200 && came.text().contains(&id.to_string()), "{path}: {}", came.text());
        assert!(!came.text().contains("canary"), "{path}: {}", came.text());
    }
    let (tcp, _) = super::lab();
    for head in [
        "GET /hither/v1/jobs".to_owned(),
        format!("GET /hither/v1/jobs/{id}"),
        format!("POST /hither/v1/jobs/{id}/cancel"),
    ] {
        let came = tcp.send(&head, "").await;
        assert_eq!((came.status, came.json()["code"].as_str()), (403, Some("E0114")), "{head}");
    }
}
