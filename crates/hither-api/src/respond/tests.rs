//! Each refusal of the mesh in each protocol: its status, its form, its headers.

use hither_types::filter::{DataKind, Findings, Withheld};
use hither_types::id::{ModelName, SiteName};
use hither_types::law::Denial;
use hither_types::refusal::{Bar, Refusal};
use hither_types::spending::Budget;
use hither_types::time::WallTime;
use hither_types::unit::{ByteCount, Micros, Milliwatts};

use super::*;
use crate::door::Answer;
use crate::tests::fake::unlawful;
use crate::tests::lab::{Came, Lab};

mod headers;

/// A refusal, its code, its status, what the inference protocol has instead, and when to try again.
type Row = (fn() -> Refusal, &'static str, u16, u16, &'static str);

const TABLE: [Row; 16] = [
    (unlawful, "E0301", 451, 451, "-"),
    (|| Refusal::UnlawfulThere(Denial::NotPermitted { nearest: None }), "E0302", 451, 451, "-"),
    (withheld, "E0306", 422, 422, "-"),
    (|| Refusal::UnknownModel(name()), "E0401", 404, 404, "-"),
    (|| Refusal::ModelBroken(name()), "E0405", 500, 500, "-"),
    (|| Refusal::ModelExpired { model: name(), ended: WallTime(1_800_000_000_000) }, "E0411", 410, 410, "-"),
    (|| Refusal::NotTrained { model: name(), site: None }, "E0412", 404, 404, "-"),
    (|| Refusal::Overloaded { retry_after: Micros(6_500_000) }, "E0501", 429, 503, "7"),
    (|| Refusal::NoPower { cap: Milliwatts::from_watts(40) }, "E0502", 503, 503, "2"),
    (|| Refusal::NoCapacity { tried: 1 }, "E0503", 503, 503, "2"),
    (|| Refusal::DeadlinePassed, "E0504", 504, 504, "-"),
    (|| Refusal::LedgerUnavailable, "E0505", 503, 503, "2"),
    (|| Refusal::Stopping, "E0506", 503, 503, "2"),
    (|| Refusal::NotAMember, "E0507", 503, 503, "2"),
    (budget, "E0511", 429, 429, "60"),
    (barred, "E0512", 503, 503, "61"),
];

fn withheld() -> Refusal {
    let why = Withheld::Found(Findings([(DataKind::Email, 2)].into()));
    Refusal::Withheld { site: SiteName::parse("cloud").unwrap(), why }
}

fn barred() -> Refusal {
    Refusal::Barred { site: SiteName::parse("cloud").unwrap(), why: Bar::Key(401), again: Micros(60_500_000) }
}

fn budget() -> Refusal {
    Refusal::BudgetSpent { budget: Budget::Site(ByteCount(5)), renewed: Micros(60_000_000) }
}

fn name() -> ModelName {
    ModelName::parse("smollm2-135m").unwrap()
}

/// What holds in every protocol.
fn check(came: &Came, status: u16, code: &str, retry_after: &str) {
    let place = format!("{code}: {}", came.text());
    assert_eq!((came.status, came.header("retry-after")), (status, retry_after), "{place}");
    assert_eq!(came.header("cache-control"), "no-store", "{place}");
    let request = came.header("x-hither-request");
    assert_eq!(request.len(), 36, "{place}");
}

#[tokio::test]
async fn each_refusal_has_its_status_form_and_headers_in_each_protocol() {
    for (refusal, code, status, of_inference, retry_after) in TABLE {
        let lab = Lab::new(move |_| Ok(vec![Answer::Refused(refusal())]));
        let tensors = r#"{"inputs":[{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}"#;
        let came = lab.send("POST /v2/models/fraud/infer", tensors).await;
        check(&came, of_inference, code, retry_after);
        assert_eq!(came.header("content-type"), "application/json");
        let said = came.json();
        assert!(said["error"].as_str().unwrap().contains(code), "{said}");
        assert_eq!(
            (said["code"].as_str(), said["request"].as_str()),
            (Some(code), Some(came.header("x-hither-request")))
        );

        let chat = r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]}"#;
        for stream in [false, true] {
            let body = chat.replacen('{', &format!("{{\"stream\":{stream},"), 1);
            let came = lab.send("POST /v1/chat/completions", body).await;
            check(&came, status, code, retry_after);
            assert_eq!(came.header("content-type"), "application/json");
            let said = came.json()["error"].clone();
            assert_eq!(
                (said["hither_code"].as_str(), said["request"].as_str()),
                (Some(code), Some(came.header("x-hither-request")))
            );
            assert!(said["message"].is_string() && said["type"].is_string() && said["code"].is_string(), "{said}");
        }

        let came = lab.send("POST /api/chat", chat).await;
        check(&came, status, code, retry_after);
        let said = came.json();
        assert_eq!(said.as_object().unwrap().len(), 1, "Ollama's clients know nothing but error: {said}");
        assert!(said["error"].as_str().unwrap().contains(code), "{said}");
    }
}

#[tokio::test]
async fn the_same_refusals_are_problem_details_where_no_other_protocol_is_spoken_and_statuses_over_grpc() {
    for (refusal, code, status, _, retry_after) in TABLE {
        let mut refused = Problem::from(&refusal());
        let request = "0190f000-0000-7000-8000-000000000001";
        refused.request = Some(request.to_owned());
        let (parts, body) = problem(Form::Own, &refused).into_parts();
        let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes().to_vec();
        let came = Came { status: parts.status.as_u16(), headers: parts.headers, bytes };
        check(&came, status, code, retry_after);
        assert_eq!(came.header("content-type"), "application/problem+json");
        let said: ProblemDto = serde_json::from_slice(&came.bytes).unwrap();
        assert_eq!((said.r#type, said.status, said.code.as_str()), (format!("/docs/errors#{code}"), status, code));
        assert_eq!(said.instance, Some(format!("/hither/v1/requests/{request}")));
        assert!(!said.title.is_empty() && said.detail != said.title && !said.help.is_empty());
        assert_eq!(said.rule, refused.rule);
        assert_eq!(said.nearest, refused.nearest);

        let answer = problem(Form::Grpc, &refused);
        let header = |name: &str| answer.headers().get(name).map_or("-", |value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), header("content-type")), (200, "application/grpc"));
        // PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT, INTERNAL, UNAVAILABLE (upon which clients try again), DEADLINE_EXCEEDED.
        let wanted = match status {
            451 => "7",
            404 => "5",
            410 => "9",
            422 => "3",
            500 => "13",
            504 => "4",
            _ => "14",
        };
        assert_eq!((header("grpc-status"), header("x-hither-code")), (wanted, code));
        assert_eq!((header("x-hither-request"), header("retry-after")), (request, retry_after));
    }
}

#[test]
fn what_is_full_is_507_and_says_what_to_free() {
    for code in [Code::JobsFull, Code::JobDiskFull] {
        let answer = problem(Form::of("/v1/jobs", &HeaderMap::new()), &Problem::new(code, "full"));
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
            (507, "application/problem+json")
        );
    }
}
