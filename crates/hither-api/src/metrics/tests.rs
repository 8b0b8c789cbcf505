//! Counters equal the traffic, and the series are bounded.

use crate::tests::fake::{done, end, routed, stepped_down};
use crate::tests::lab::Lab;
use hither_engine::work::FinishReason;

#[tokio::test]
async fn answers_by_a_smaller_model_are_counted_by_the_model_that_was_asked_for() {
    let lab = Lab::new(|_| Ok(vec![stepped_down("echo"), end(FinishReason::Stop, "x"), done()]));
    for stream in ["", ",\"stream\":true"] {
        let chat = format!(r#"{{"model":"smollm2-135m","messages":[{{"role":"user","content":"hi"}}]{stream}}}"#);
        assert_eq!(lab.send("POST /v1/chat/completions", chat).await.status, 200);
    }
    let text = lab.send("GET /metrics", "").await.text();
    assert!(text.contains("\nhither_stepped_down_total{model=\"smollm2-135m\"} 2\n"), "{text}");
}

#[tokio::test]
async fn counters_equal_the_traffic() {
    let lab = Lab::new(|_| Ok(vec![routed(), end(FinishReason::Stop, "x"), done()]));
    for _ in 0..3 {
        assert_eq!(lab.send("GET /v2/health/live", "").await.status, 200);
    }
    let chat = r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(lab.send("POST /v1/chat/completions", chat).await.status, 200);
    assert_eq!(lab.send("POST /v2/models/fraud/infer", "{").await.status, 400);
    for path in ["/nothing", "/v2/models/never-heard-of"] {
        assert_eq!(lab.send(&format!("GET {path}"), "").await.status, 404);
    }
    assert_eq!(lab.send("BREW /v2", "").await.status, 405);
    let came = lab.send("GET /metrics", "").await;
    assert_eq!(came.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = came.text();
    for line in [
        r#"hither_http_responses_total{route="/v2/health/live",method="GET",status="200"} 3"#,
        r#"hither_http_responses_total{route="/v1/chat/completions",method="POST",status="200"} 1"#,
        r#"hither_http_responses_total{route="other",method="GET",status="404"} 1"#,
        r#"hither_http_responses_total{route="/v2/models/{model}",method="GET",status="404"} 1"#,
        r#"hither_http_responses_total{route="/v2",method="other",status="405"} 1"#,
        r#"hither_http_response_head_seconds_bucket{route="/v2/health/live",le="+Inf"} 3"#,
        r#"hither_http_response_head_seconds_count{route="/v2/health/live"} 3"#,
        r#"nv_inference_request_success{model="smollm2-135m",version="1"} 1"#,
        r#"nv_inference_request_failure{model="fraud",version="1"} 1"#,
        r#"hither_stepped_down_total{model="smollm2-135m"} 0"#,
        "hither_requests_total 184",
        "hither_requests_refused_by_law_total 6",
        "hither_egress_request_bytes_total 48213",
        "hither_members_present 3",
        "hither_power_watts 31",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}
