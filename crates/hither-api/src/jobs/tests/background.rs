//! Responses in the background: jobs, as OpenAI's clients see them.

use super::*;
use crate::jobs::{End, Given};

const ASK: &str =
    r#"{"model":"smollm2-135m","input":"hi","background":true,"instructions":"Be brief.","metadata":{"a":"b"}}"#;

async fn begun(lab: &Lab, head: &str, body: &str) -> serde_json::Value {
    let came = lab.send(head, body.to_owned()).await;
    assert_eq!(came.status, 200, "{}", came.json());
    came.json()
}

/// The job behind a response.
fn job_of(response: &serde_json::Value) -> JobId {
    JobId::parse(response["id"].as_str().unwrap().strip_prefix("resp_").unwrap()).unwrap()
}

#[tokio::test]
async fn a_response_in_the_background_is_a_job_and_has_its_own_id_when_it_is_done() {
    let (lab, kept) = lab();
    let response = begun(&lab, "POST /v1/responses\nx-hither-deadline: 60", ASK).await;
    assert_eq!((response["status"].as_str(), response["object"].as_str()), (Some("queued"), Some("response")));
    assert_eq!((&response["background"], &response["store"]), (&true.into(), &true.into()));
    assert_eq!((response["instructions"].as_str(), response["metadata"]["a"].as_str()), (Some("Be brief."), Some("b")));
    let id = job_of(&response);
    let new = kept.state().jobs[&id].0.clone();
    assert!(new.deadline.0 <= wall_now().0 + 60_000, "the header says by when");
    let asked: serde_json::Value = serde_json::from_slice(&new.ask.body).unwrap();
    assert!(asked.get("background").is_none() && asked["input"] == "hi", "the job asks for an answer at once");
    let other = begun(&lab, "POST /v1/responses", ASK).await;
    assert_ne!(other["id"], response["id"], "the same words are another response");
    let far = kept.state().jobs[&job_of(&other)].0.deadline.0;
    assert!(far > wall_now().0 + 29 * 86_400_000, "without a header it has as long as a job may have");

    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    let Next::Run(leased) = kept.lease() else { panic!("it waits to be asked") };
    assert_eq!(lab.send(&format!("GET {path}"), "").await.json()["status"], "in_progress");
    let body = r#"{"id":"resp_x","status":"incomplete","background":false,"store":false,"output":[1.50]}"#;
    let given = Given { status: 200, headers: vec![("x-hither-served-by".into(), "munich".into())], body: body.into() };
    kept.settle(id, leased.epoch, End::Done(given)).unwrap();
    let came = lab.send(&format!("GET {path}"), "").await;
    assert_eq!(came.headers["x-hither-served-by"], "munich");
    let done = came.json();
    assert_eq!((&done["id"], &done["status"]), (&response["id"], &"incomplete".into()));
    assert_eq!((&done["background"], &done["store"], &done["output"][0]), (&true.into(), &true.into(), &1.5.into()));
    // Cancelled too late, it is what it was.
    assert_eq!(lab.send(&format!("POST {path}/cancel"), "").await.json()["status"], "incomplete");
    assert_eq!(lab.send(&format!("DELETE {path}"), "").await.json()["deleted"], true);
    let gone = lab.send(&format!("GET {path}"), "").await;
    assert_eq!((gone.status, gone.json()["error"]["hither_code"].as_str()), (404, Some("E0408")));
}

#[tokio::test]
async fn a_response_ends_cancelled_or_failed_and_another_job_is_no_response() {
    let (lab, kept) = lab();
    let response = begun(&lab, "POST /v1/responses", ASK).await;
    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    assert_eq!(lab.send(&format!("POST {path}/cancel"), "").await.json()["status"], "cancelled");
    let response = begun(&lab, "POST /v1/responses", ASK).await;
    let Next::Run(leased) = kept.lease() else { panic!("it waits to be asked") };
    let body = r#"{"error":{"message":"it is wrong","hither_code":"E0101"}}"#;
    let given = Given { status: 400, headers: Vec::new(), body: body.into() };
    kept.settle(leased.id, leased.epoch, End::Failed(given)).unwrap();
    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    let failed = lab.send(&format!("GET {path}"), "").await.json();
    assert_eq!((failed["status"].as_str(), failed["error"]["code"].as_str()), (Some("failed"), Some("invalid_prompt")));
    assert!(failed["error"]["message"].as_str().unwrap().contains("it is wrong"));
    let job = lab.send("POST /v1/jobs", chat("")).await.json();
    for call in ["GET", "DELETE"] {
        let came = lab.send(&format!("{call} /v1/responses/resp_{}", job["id"].as_str().unwrap()), "").await;
        assert_eq!(came.status, 404, "{call}");
    }
    assert_eq!(lab.send("GET /v1/responses/nonsense", "").await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_by_name() {
    let (lab, kept) = lab();
    let with = |more: &str| format!(r#"{{"model":"smollm2-135m","input":"hi","background":true{more}}}"#);
    for (head, more, param) in [
        ("", r#","store":false"#, "store"),
        ("", r#","stream":true"#, "stream"),
        ("\nx-hither-deadline: soon", "", "x-hither-deadline"),
        ("\nx-hither-deadline: 9999999", "", "x-hither-deadline"),
    ] {
        let came = lab.send(&format!("POST /v1/responses{head}"), with(more)).await;
        assert_eq!((came.status, came.json()["error"]["param"].as_str()), (400, Some(param)), "{more} {head}");
    }
    let came = lab.send("POST /v1/responses\nx-hither-class: special", with("")).await;
    assert_eq!((came.status, came.json()["error"]["hither_code"].as_str()), (451, Some("E0305")));
    let job =
        r#"{"deadline_s":60,"request":{"url":"/v1/responses","body":{"model":"m","input":"x","background":true}}}"#;
    assert_eq!(lab.send("POST /v1/jobs", job.to_owned()).await.status, 400);
    assert!(kept.state().jobs.is_empty());
}

#[tokio::test]
async fn a_long_request_is_repeated_as_far_as_a_job_may_keep() {
    let (lab, kept) = lab();
    let long = ASK.replace("Be brief.", &"x".repeat(100_000));
    let response = begun(&lab, "POST /v1/responses", &long).await;
    assert!(response.get("instructions").is_none() && response["metadata"]["a"] == "b");
    let (new, _) = kept.state().jobs[&job_of(&response)].clone();
    assert!(new.metadata.unwrap().len() <= 4096 && new.ask.body.len() > 100_000);
}
