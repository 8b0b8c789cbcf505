//! The Open Inference Protocol as clients see it: every status, every form.

use std::sync::Arc;

use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_types::model::Datatype;
use hither_types::refusal::{Failure, InputFault, Refusal};
use hither_types::request::Quality;
use hither_types::unit::Micros;
use proptest::prelude::*;

use crate::door::{Answer, Submission};
use crate::tests::fake::{done, routed, stepped_down, unlawful};
use crate::tests::lab::{Came, Lab};

/// Fraud scores; echo gives back what it gets, of each type.
fn script(submission: &Submission) -> Result<Vec<Answer>, Refusal> {
    let Ok(Work::Infer(InferWork { inputs, outputs })) = Work::decode(&submission.payload) else {
        panic!("not tensors")
    };
    let all = match submission.envelope.model.as_str() {
        "echo" => {
            inputs.into_iter().map(|tensor| Tensor { name: tensor.name.replacen("in_", "out_", 1), ..tensor }).collect()
        }
        _ => vec![
            Tensor {
                name: "label".to_owned(),
                datatype: Datatype::Int64,
                shape: vec![1],
                data: 1i64.to_le_bytes().to_vec(),
            },
            Tensor {
                name: "score".to_owned(),
                datatype: Datatype::Fp32,
                shape: vec![1, 2],
                data: [0.25f32, 0.75].iter().flat_map(|number| number.to_le_bytes()).collect(),
            },
        ],
    };
    let wanted = all.into_iter().filter(|tensor| outputs.is_empty() || outputs.contains(&tensor.name)).collect();
    Ok(vec![routed(), Answer::Piece(Piece::Outputs(wanted)), done()])
}

async fn infer(body: &str) -> Came {
    Lab::new(script).send("POST /v2/models/fraud/infer", body.to_owned()).await
}

/// A body for `fraud` with this as its one input.
fn with_input(input: &str) -> String {
    format!(r#"{{"inputs":[{input}]}}"#)
}

const GOOD: &str = r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2.5,-3,4e-1]}"#;

#[tokio::test]
async fn metadata_and_health_are_as_the_protocol_says() {
    let lab = Lab::new(script);
    for (path, status, body) in [
        (
            "/v2",
            200,
            r#"{"name":"hither","version":"0.1.0","extensions":["binary_tensor_data","classification","model_configuration","model_repository","schedule_policy","statistics"]}"#,
        ),
        (
            "/v2/",
            200,
            r#"{"name":"hither","version":"0.1.0","extensions":["binary_tensor_data","classification","model_configuration","model_repository","schedule_policy","statistics"]}"#,
        ),
        ("/v2/health/live", 200, r#"{"live":true}"#),
        ("/v2/health/ready", 200, r#"{"ready":true}"#),
        (
            "/v2/models/fraud",
            200,
            r#"{"name":"fraud","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"features","datatype":"FP32","shape":[-1,4]}],"outputs":[{"name":"label","datatype":"INT64","shape":[-1]},{"name":"score","datatype":"FP32","shape":[-1,2]}]}"#,
        ),
        (
            "/v2/models/fraud/versions/1/",
            200,
            r#"{"name":"fraud","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"features","datatype":"FP32","shape":[-1,4]}],"outputs":[{"name":"label","datatype":"INT64","shape":[-1]},{"name":"score","datatype":"FP32","shape":[-1,2]}]}"#,
        ),
        ("/v2/models/fraud/ready", 200, r#"{"name":"fraud","ready":true}"#),
        ("/v2/models/fraud/versions/1/ready", 200, r#"{"name":"fraud","ready":true}"#),
        ("/v2/models/smollm2-135m/ready", 200, r#"{"name":"smollm2-135m","ready":true}"#),
        (
            "/v2/models/echo/ready",
            503,
            r#"{"error":"no node that is there holds model echo [E0503]; help: hither status","code":"E0503","help":["hither status"]}"#,
        ),
        (
            "/v2/models/fraud/versions/2",
            404,
            r#"{"error":"model fraud has no version \"2\"; it has 1 [E0402]","code":"E0402"}"#,
        ),
        (
            "/v2/models/org%2Fnone/ready",
            404,
            r#"{"error":"nobody in the mesh has a model called org/none [E0401]; help: hither models ls; help: hither models add FILE --name org/none","code":"E0401","help":["hither models ls","hither models add FILE --name org/none"]}"#,
        ),
        (
            "/v2/models/%20",
            404,
            r#"{"error":"no model can have this name: expected a model name of at most 120 letters, digits and ._-/:, found \" \" [E0401]; help: hither models ls","code":"E0401","help":["hither models ls"]}"#,
        ),
    ] {
        let came = lab.send(&format!("GET {path}"), "").await;
        assert_eq!((came.status, came.text().as_str()), (status, body), "{path}");
        assert_eq!(came.header("content-type"), "application/json", "{path}");
        let bare = lab.send(&format!("HEAD {path}"), "").await;
        assert_eq!((bare.status, bare.bytes.len()), (status, 0), "HEAD {path}");
    }
}

#[tokio::test]
async fn a_model_whose_entry_has_ended_is_not_ready_and_listed_with_why() {
    let lab = Lab::new(script);
    let mut view = crate::tests::fake::example();
    let fraud = view.models.iter_mut().find(|model| model.name.as_str() == "fraud").unwrap();
    fraud.expires = Some(hither_types::time::WallTime(1_800_000_000_000));
    view.expired = vec![fraud.digest];
    lab.door.show(view);
    let came = lab.send("GET /v2/models/fraud/ready", "").await;
    let text = "model fraud is not to be used any more: its entry in the catalog ended at 2027-01-15T08:00:00Z";
    assert_eq!((came.status, came.header("x-hither-code")), (410, "E0411"));
    assert!(came.text().contains(text) && came.text().contains("hither models publish fraud"), "{}", came.text());
    let listed = lab.send("POST /v2/repository/index", "{}").await.text();
    assert!(listed.contains(r#""state":"UNAVAILABLE","reason":"its entry in the catalog has expired""#), "{listed}");
    let models = lab.send("GET /hither/v1/models", "").await.text();
    assert!(models.contains(r#""expires_unix_ms":1800000000000,"expired":true"#), "{models}");
}

#[tokio::test]
async fn a_stopping_node_is_not_ready() {
    let lab = Lab::new(script);
    lab.stop.send(true).unwrap();
    let came = lab.send("GET /v2/health/ready", "").await;
    assert_eq!((came.status, came.header("retry-after")), (503, "2"));
    assert_eq!(lab.send("GET /v2/health/live", "").await.status, 200);
}

#[tokio::test]
async fn an_answer_says_where_it_came_from() {
    let came =
        infer(&format!(r#"{{"id":"my \"own\"","parameters":{{"a":1,"b":"c","d":true,"e":0.5}},"inputs":[{GOOD}]}}"#))
            .await;
    assert_eq!(
        (came.status, came.text().as_str()),
        (
            200,
            r#"{"id":"my \"own\"","model_name":"fraud","model_version":"1","outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]},{"name":"score","datatype":"FP32","shape":[1,2],"data":[0.25,0.75]}]}"#
        )
    );
    for (header, value) in [
        ("content-type", "application/json"),
        ("x-hither-request", "01900000-0000-7000-8000-000000000000"),
        ("x-hither-served-by", "munich"),
        ("x-hither-jurisdiction", "DE-BY"),
        ("x-hither-device", "npu"),
        ("x-hither-rule", "eea-personal"),
        ("x-hither-model", "fraud"),
        ("x-hither-digest", "1010101010101010101010101010101010101010101010101010101010101010"),
        ("x-hither-quality", "exact"),
        ("x-hither-attempts", "1"),
        ("x-hither-migrations", "0"),
        ("x-hither-egress-bytes", "1832"),
        ("server-timing", "queue;dur=1.250, prefill;dur=20.000, decode;dur=300.001"),
    ] {
        assert_eq!(came.header(header), value, "{header}");
    }
}

#[tokio::test]
async fn the_quality_that_will_do_reaches_the_door_and_the_model_that_answered_is_named() {
    let lab = Lab::new(|submission| {
        let mut answers = script(submission)?;
        answers[0] = stepped_down("maintenance");
        Ok(answers)
    });
    let body = format!(r#"{{"inputs":[{GOOD}]}}"#);
    let came = lab.send("POST /v2/models/fraud/infer\nx-hither-quality: family", body.clone()).await;
    assert_eq!((came.status, came.json()["model_name"].as_str()), (200, Some("maintenance")), "{}", came.text());
    assert_eq!((came.header("x-hither-model"), came.header("x-hither-quality")), ("maintenance", "family"));
    assert_eq!(came.header("x-hither-digest"), "20".repeat(32));
    lab.send("POST /v2/models/fraud/infer\nx-hither-quality: exact", body.clone()).await;
    lab.send("POST /v2/models/fraud/infer", body.clone()).await;
    let qualities: Vec<_> =
        lab.door.submissions.lock().unwrap().iter().map(|submission| submission.envelope.quality).collect();
    assert_eq!(qualities, [Quality::Family, Quality::Exact, Quality::Exact]);
    let wrong = lab.send("POST /v2/models/fraud/infer\nx-hither-quality: any", body).await;
    let error = wrong.json()["error"].as_str().unwrap().to_owned();
    assert_eq!(wrong.status, 400);
    assert!(error.starts_with("header x-hither-quality: expected exact or family, found \"any\" [E0304]"), "{error}");
}

#[tokio::test]
async fn a_refusal_for_overload_says_when_to_come_back_in_whole_seconds() {
    for (micros, seconds) in [(0, "1"), (1, "1"), (1_000_000, "1"), (1_000_001, "2"), (59_000_001, "60")] {
        let lab = Lab::new(move |_| Err(Refusal::Overloaded { retry_after: Micros(micros) }));
        let came = lab.send("POST /v2/models/fraud/infer", format!(r#"{{"inputs":[{GOOD}]}}"#)).await;
        assert_eq!((came.status, came.header("retry-after")), (503, seconds), "{micros} µs");
        assert_eq!(came.json()["code"], "E0501");
    }
}

#[tokio::test]
async fn data_may_be_flat_or_nested_and_outputs_chosen_and_ordered() {
    for data in ["[1,2,3,4,5,6,7,8]", "[[1,2,3,4],[5,6,7,8]]", "[[[1],[2],[3],[4],[5],[6],[7],[8]]]"] {
        let lab = Lab::new(script);
        let input = format!(r#"{{"data":{data},"name":"features","shape":[2,4],"datatype":"FP32","parameters":null}}"#);
        let body =
            format!(r#"{{"inputs":[{input}],"outputs":[{{"name":"score"}},{{"name":"label"}}],"unknown":[[{{}}]]}}"#);
        let came = lab.send("POST /v2/models/fraud/versions/1/infer", body).await;
        assert_eq!(came.status, 200, "{data}: {}", came.text());
        assert_eq!(came.json()["outputs"][0]["name"], "score");
        let submissions = lab.door.submissions.lock().unwrap();
        let Ok(Work::Infer(work)) = Work::decode(&submissions[0].payload) else { panic!("not tensors") };
        let wanted: Vec<u8> = (1..=8u8).flat_map(|number| f32::from(number).to_le_bytes()).collect();
        assert_eq!(
            (work.inputs[0].data.as_slice(), work.outputs.as_slice()),
            (&wanted[..], &["score".to_owned(), "label".to_owned()][..])
        );
    }
    assert_eq!(infer(&format!(r#"{{"inputs":[{GOOD}],"outputs":[]}}"#)).await.json()["outputs"][1]["name"], "score");
}

#[tokio::test]
async fn what_is_wrong_is_a_400_that_says_what() {
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "EOF"),
        ("{".to_owned(), "EOF"),
        ("[]".to_owned(), "inference request"),
        ("{}".to_owned(), "missing field `inputs`"),
        (r#"{"inputs":{}}"#.to_owned(), "a list of at most 256"),
        (r#"{"inputs":[]}"#.to_owned(), "input \"features\" is missing: expected FP32 [any, 4]"),
        (format!(r#"{{"id":7,"inputs":[{GOOD}]}}"#), "id"),
        (format!(r#"{{"inputs":[{GOOD}],"parameters":{{"a":null}}}}"#), "value of a parameter"),
        (format!(r#"{{"inputs":[{GOOD}],"parameters":{{"a":{{}}}}}}"#), "value of a parameter"),
        (format!(r#"{{"inputs":[{GOOD}],"parameters":{{"binary_data_output":1}}}}"#), "neither true nor false"),
        (format!(r#"{{"inputs":[{GOOD},{GOOD}]}}"#), "input \"features\" came twice"),
        (format!(r#"{{"inputs":[{GOOD}],"outputs":[{{"name":"none"}}]}}"#), "no output \"none\""),
        (format!(r#"{{"inputs":[{GOOD}],"outputs":[{{"name":"label"}},{{"name":"label"}}]}}"#), "asked for twice"),
        (
            format!(r#"{{"inputs":[{GOOD}],"outputs":[{{"name":"label","parameters":{{"classification":-1}}}}]}}"#),
            "classification is not a whole number",
        ),
        (
            format!(
                r#"{{"inputs":[{GOOD}],"outputs":[{{"name":"label","parameters":{{"shared_memory_region":"r"}}}}]}}"#
            ),
            "does not offer",
        ),
        (format!(r#"{{"inputs":[{GOOD}],"parameters":{{"priority":"high"}}}}"#), "priority is not a whole number"),
        (format!(r#"{{"inputs":[{GOOD}],"parameters":{{"timeout":-1}}}}"#), "timeout is not a whole number"),
        (format!(r#"{{"inputs":[{GOOD}],"parameters":{{"sequence_id":7}}}}"#), "keeps a state"),
        (with_input(r#"{"datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}"#), "missing field `name`"),
        (with_input(r#"{"name":"features","datatype":"FP32","data":[1,2,3,4]}"#), "missing field `shape`"),
        (with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4]}"#), "neither data nor binary_data_size"),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":null}"#),
            "neither data nor binary_data_size",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FLOAT","shape":[1,4],"data":[1,2,3,4]}"#),
            "datatype \"FLOAT\" is none of BOOL",
        ),
        (
            with_input(r#"{"name":"features","datatype":"INT32","shape":[1,4],"data":[1,2,3,4]}"#),
            "expects FP32, and INT32 came",
        ),
        (with_input(r#"{"name":"other","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}"#), "no input \"other\""),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[1,5],"data":[1,2,3,4,5]}"#),
            "expects the shape [any, 4], and [1, 5] came",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[4],"data":[1,2,3,4]}"#),
            "expects the shape [any, 4], and [4] came",
        ),
        (with_input(r#"{"name":"features","datatype":"FP32","shape":[-1,4],"data":[1,2,3,4]}"#), "integer `-1`"),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[4294967296,4294967297],"data":[1]}"#),
            "beyond all memory",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,3]}"#),
            "data has 3 elements, and its shape says 4",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,3,4,5]}"#),
            "more than the 4 elements",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[2,4],"data":[[1,2,3,4,5],[6,7,8]]}"#),
            "a list has 3 items where another has 5",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,[2,3,4]]}"#),
            "nested deeper than others",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,"3",4]}"#),
            "a string is not a value of FP32",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,1e300,4]}"#),
            "1e300 is not a value of FP32",
        ),
        (with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,null,4]}"#), "null"),
        (with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":7}"#), "a list is expected"),
        (with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,NaN,4]}"#), "expected value"),
        (
            with_input(r#"{"name":"features","datatype":"FP16","shape":[1,4],"data":[1,2,3,4]}"#),
            "FP16 has no form in JSON",
        ),
        (
            with_input(r#"{"name":"features","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}"#),
            "needs the header",
        ),
        (
            with_input(
                r#"{"name":"features","datatype":"FP32","shape":[1,4],"data":[1,2,3,4],"parameters":{"binary_data_size":16}}"#,
            ),
            "both data and binary_data_size",
        ),
    ];
    for (body, said) in cases {
        let came = infer(&body).await;
        assert_eq!(came.status, 400, "{body}: {}", came.text());
        let error = came.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(said), "{body}: {error}");
    }
}

#[tokio::test]
async fn numbers_that_do_not_fit_are_refused_never_wrapped() {
    for (datatype, data) in [
        ("INT32", "[2147483648]"),
        ("INT32", "[1.0]"),
        ("INT32", "[\"1\"]"),
        ("UINT8", "[-1]"),
        ("UINT64", "[18446744073709551616]"),
        ("INT64", "[9223372036854775808]"),
        ("BOOL", "[1]"),
        ("BYTES", "[1]"),
    ] {
        let input = format!(r#"{{"name":"in_{datatype}","datatype":"{datatype}","shape":[1],"data":{data}}}"#);
        let came = Lab::new(script).send("POST /v2/models/echo/infer", with_input(&input)).await;
        assert_eq!(came.status, 400, "{datatype} {data}: {}", came.text());
        assert!(came.text().contains(&format!("is not a value of {datatype}")), "{}", came.text());
    }
}

#[tokio::test]
async fn binary_tensors_go_in_and_out() {
    let lab = Lab::new(script);
    let blob: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let json = r#"{"inputs":[{"name":"features","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}],"parameters":{"binary_data_output":true},"outputs":[{"name":"score"},{"name":"label","parameters":{"binary_data":false}}]}"#;
    let body = [json.as_bytes(), &blob].concat();
    let head = format!("POST /v2/models/fraud/infer\ninference-header-content-length: {}", json.len());
    let came = lab.send(&head, body).await;
    let wanted = r#"{"model_name":"fraud","model_version":"1","outputs":[{"name":"score","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},{"name":"label","datatype":"INT64","shape":[1],"data":[1]}]}"#;
    assert_eq!((came.status, came.header("content-type")), (200, "application/octet-stream"), "{}", came.text());
    assert_eq!(came.header("inference-header-content-length"), wanted.len().to_string());
    assert_eq!(came.bytes, [wanted.as_bytes(), &0.25f32.to_le_bytes(), &0.75f32.to_le_bytes()].concat());

    let raw = lab.send("POST /v2/models/fraud/infer\ninference-header-content-length: 0", blob).await;
    assert_eq!((raw.status, raw.header("content-type")), (200, "application/octet-stream"), "{}", raw.text());
    let length: usize = raw.header("inference-header-content-length").parse().unwrap();
    assert_eq!(raw.bytes.len() - length, 16);
}

#[tokio::test]
async fn a_binary_body_that_disagrees_with_its_head_is_a_400() {
    let one = |size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"features","datatype":"FP32","shape":[1,4],"parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    let good = one("16");
    for (length, json, blob, said) in [
        ("abc".to_owned(), good.as_str(), 16, "not a length"),
        ("".to_owned(), good.as_str(), 16, "not a length"),
        ("-1".to_owned(), good.as_str(), 16, "not a length"),
        ("+5".to_owned(), good.as_str(), 16, "not a length"),
        ("99999999999999999999999".to_owned(), good.as_str(), 16, "not a length"),
        ("2147483649".to_owned(), good.as_str(), 16, "and the body has"),
        (good.len().to_string(), good.as_str(), 15, "15 bytes are left"),
        (good.len().to_string(), good.as_str(), 17, "1 bytes are left over"),
        (good.len().to_string(), one("12").as_str(), 12, "expects 16 bytes, and 12 came"),
        (good.len().to_string(), one("-1").as_str(), 16, "not a length in bytes"),
        ("0".to_owned(), "", 15, "not a multiple of 16"),
    ] {
        let body = [json.as_bytes(), &vec![0; blob]].concat();
        let came = Lab::new(script)
            .send(&format!("POST /v2/models/fraud/infer\ninference-header-content-length: {length}"), body)
            .await;
        assert_eq!(came.status, 400, "{length} {json} {blob}: {}", came.text());
        assert!(came.text().contains(said), "{length} {json} {blob}: {}", came.text());
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_reason_and_gets_its_status() {
    let cases: Vec<(Result<Answer, Refusal>, u16, &str, &str)> = vec![
        (Ok(Answer::Refused(unlawful())), 451, "E0301", "-"),
        (Ok(Answer::Refused(Refusal::UnlawfulThere(crate::tests::fake::denial()))), 451, "E0302", "-"),
        (Err(Refusal::Overloaded { retry_after: Micros(1_200_000) }), 503, "E0501", "2"),
        (Ok(Answer::Refused(Refusal::NoPower { cap: hither_types::unit::Milliwatts(40_000) })), 503, "E0502", "2"),
        (Ok(Answer::Refused(Refusal::NoCapacity { tried: 2 })), 503, "E0503", "2"),
        (Ok(Answer::Refused(Refusal::DeadlinePassed)), 504, "E0504", "-"),
        (Ok(Answer::Refused(Refusal::LedgerUnavailable)), 503, "E0505", "2"),
        (Err(Refusal::Stopping), 503, "E0506", "2"),
        (Ok(Answer::Refused(Refusal::NotAMember)), 503, "E0507", "2"),
        (Ok(Answer::Failed(Failure::EngineLost)), 500, "E0508", "-"),
        (Ok(Answer::Failed(Failure::Silent)), 503, "E0509", "2"),
        (Ok(Answer::Failed(Failure::Declined(Refusal::NoCapacity { tried: 0 }))), 503, "E0503", "2"),
        (Ok(Answer::Failed(Failure::BadInput(InputFault::Tensor("bad".to_owned())))), 400, "E0602", "-"),
    ];
    for (answer, status, code, retry) in cases {
        let said = format!("{answer:?}");
        let answer = std::sync::Mutex::new(Some(answer));
        let lab = Lab::new(move |_| answer.lock().unwrap().take().unwrap().map(|answer| vec![answer]));
        let came = lab.send("POST /v2/models/fraud/infer", with_input(GOOD)).await;
        assert_eq!(
            (came.status, came.json()["code"].as_str().unwrap(), came.header("retry-after")),
            (status, code, retry),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_refusal_by_law_says_which_rule_and_what_would_help() {
    let lab = Lab::new(|_| Ok(vec![Answer::Refused(unlawful())]));
    let came = lab.send("POST /v2/models/fraud/infer", with_input(GOOD)).await;
    assert_eq!(
        came.text(),
        r#"{"error":"no lawful place can serve smollm2-135m with data of class personal: in DE-BY forbidden by rule id-bank; in FR no rule permits it; eea-personal came closest, but target: ID is not in [\"EEA\"] [E0301]; help: hither models pull smollm2-135m  (once the model is here, the data need not leave); help: hither explain 01900000-0000-7000-8000-000000000000","code":"E0301","rule":"id-bank","nearest":[{"jurisdiction":"DE-BY","forbidden_by":"id-bank"},{"jurisdiction":"FR","rule":"eea-personal","failed":["target: ID is not in [\"EEA\"]"]}],"help":["hither models pull smollm2-135m  (once the model is here, the data need not leave)","hither explain 01900000-0000-7000-8000-000000000000"],"request":"01900000-0000-7000-8000-000000000000"}"#
    );
    assert_eq!(came.header("x-hither-request"), "01900000-0000-7000-8000-000000000000");
}

#[tokio::test]
async fn an_output_that_json_cannot_hold_is_refused_with_the_way_out() {
    for (datatype, data) in [
        (Datatype::Fp32, f32::NAN.to_le_bytes().to_vec()),
        (Datatype::Fp16, vec![0, 0]),
        (Datatype::Bytes, vec![1, 0, 0, 0, 0xff]),
    ] {
        let lab = Lab::new(move |_| {
            let tensor = Tensor { name: "label".to_owned(), datatype, shape: vec![1], data: data.clone() };
            Ok(vec![routed(), Answer::Piece(Piece::Outputs(vec![tensor])), done()])
        });
        let came = lab.send("POST /v2/models/fraud/infer", with_input(GOOD)).await;
        assert_eq!((came.status, came.json()["code"].as_str()), (400, Some("E0608")), "{datatype:?}");
        assert!(came.text().contains("binary_data"), "{}", came.text());
    }
}

#[tokio::test]
async fn an_engine_that_breaks_its_word_is_a_500_never_a_hang() {
    for answers in [
        vec![],
        vec![routed()],
        vec![routed(), done()],
        vec![routed(), crate::tests::fake::tokens(0, &[1], "x"), done()],
    ] {
        let answers = std::sync::Mutex::new(Some(answers));
        let lab = Lab::new(move |_| Ok(answers.lock().unwrap().take().unwrap()));
        let came = lab.send("POST /v2/models/fraud/infer", with_input(GOOD)).await;
        assert_eq!((came.status, came.json()["code"].as_str()), (500, Some("E0508")), "{}", came.text());
    }
}

#[tokio::test]
async fn text_models_are_not_called_with_tensors() {
    let came = Lab::new(script).send("POST /v2/models/smollm2-135m/infer", with_input(GOOD)).await;
    assert_eq!((came.status, came.json()["code"].as_str()), (400, Some("E0406")));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Any values that JSON may carry, with their bytes and their JSON.
fn column() -> impl Strategy<Value = (Datatype, Vec<u8>, Vec<String>)> {
    fn numbers<T: serde::Serialize, const N: usize>(
        datatype: Datatype,
        numbers: Vec<T>,
        bytes: fn(&T) -> [u8; N],
    ) -> (Datatype, Vec<u8>, Vec<String>) {
        let data = numbers.iter().flat_map(bytes).collect();
        (datatype, data, numbers.iter().map(|number| serde_json::to_string(number).unwrap()).collect())
    }
    let many = || 0..20usize;
    prop_oneof![
        prop::collection::vec(any::<bool>(), many())
            .prop_map(|list| numbers(Datatype::Bool, list, |flag| [u8::from(*flag)])),
        prop::collection::vec(any::<u8>(), many())
            .prop_map(|list| numbers(Datatype::Uint8, list, |number| number.to_le_bytes())),
        prop::collection::vec(any::<u16>(), many())
            .prop_map(|list| numbers(Datatype::Uint16, list, |number| number.to_le_bytes())),
        prop::collection::vec(any::<u32>(), many())
            .prop_map(|list| numbers(Datatype::Uint32, list, |number| number.to_le_bytes())),
        prop::collection::vec(any::<u64>(), many())
            .prop_map(|list| numbers(Datatype::Uint64, list, |number| number.to_le_bytes())),
        prop::collection::vec(any::<i8>(), many())
            .prop_map(|list| numbers(Datatype::Int8, list, |number| number.to_le_bytes())),
        prop::collection::vec(any::<i16>(), many())
            .prop_map(|list| numbers(Datatype::Int16, list, |number| number.to_le_bytes())),
        prop::collection::vec(any::<i32>(), many())
            .prop_map(|list| numbers(Datatype::Int32, list, |number| number.to_le_bytes())),
        prop::collection::vec(any::<i64>(), many())
            .prop_map(|list| numbers(Datatype::Int64, list, |number| number.to_le_bytes())),
        prop::collection::vec(
            any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |number| number.is_finite()),
            many()
        )
        .prop_map(|list| numbers(Datatype::Fp32, list, |number| number.to_le_bytes())),
        prop::collection::vec(
            any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |number| number.is_finite()),
            many()
        )
        .prop_map(|list| numbers(Datatype::Fp64, list, |number| number.to_le_bytes())),
        prop::collection::vec(any::<String>(), many()).prop_map(|list| {
            let data =
                list.iter().flat_map(|text| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()).collect();
            (Datatype::Bytes, data, list.iter().map(|text| serde_json::to_string(text).unwrap()).collect())
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_tensor_comes_back_bit_for_bit((datatype, bytes, json) in column(), nested: bool) {
        let flat = json.join(",");
        let data = if nested { format!("[[{flat}]]") } else { format!("[{flat}]") };
        let read = super::elements::read(datatype, json.len(), &data);
        prop_assert_eq!(read.as_deref(), Ok(&bytes[..]));
        let tensor = Tensor { name: "t".to_owned(), datatype, shape: vec![json.len() as u64], data: bytes };
        let rendered = super::render::response("m", "1", None, &[tensor], &super::parse::Binary::default());
        let rendered: serde_json::Value = serde_json::from_slice(&rendered.ok().unwrap().bytes).unwrap();
        let again = super::elements::read(datatype, json.len(), &rendered["outputs"][0]["data"].to_string());
        prop_assert_eq!(again, read);
    }

    #[test]
    fn no_body_makes_the_door_panic(body: Vec<u8>, length in prop::option::of(0usize..64)) {
        let lab = Arc::new(block_on(async { Lab::new(script) }));
        let head = length.map_or_else(String::new, |length| format!("\ninference-header-content-length: {length}"));
        let came = block_on(lab.send(&format!("POST /v2/models/fraud/infer{head}"), body.clone()));
        prop_assert!(came.status == 400 || came.status == 200, "{}", came.text());
        let chat = block_on(lab.send("POST /v1/chat/completions", body));
        prop_assert_eq!(chat.status, 400);
    }

    #[test]
    fn nearly_good_json_never_panics(cut in 0usize..200, insert in "[\\[\\]{}\",:0-9a-z\\-.eE]{0,4}") {
        let good = with_input(GOOD);
        let cut = cut.min(good.len());
        let body = format!("{}{insert}{}", &good[..cut], &good[cut..]);
        let came = block_on(Lab::new(script).send("POST /v2/models/fraud/infer", body));
        prop_assert!(came.status == 400 || came.status == 200, "{}", came.text());
    }
}
