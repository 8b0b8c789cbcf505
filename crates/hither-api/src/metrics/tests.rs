//! Counters equal the traffic, the series are bounded, and both forms say the same.

use std::collections::{BTreeMap, BTreeSet};

use hither_engine::work::FinishReason;
use hither_types::refusal::Refusal;
use hither_types::unit::Micros;

use super::page::Form;
use crate::limits::METRIC_MODELS;
use crate::tests::fake::{done, end, routed, stepped_down, tokens};
use crate::tests::lab::Lab;

const OPEN: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

fn chat(more: &str) -> String {
    format!(r#"{{"model":"smollm2-135m","messages":[{{"role":"user","content":"hi"}}]{more}}}"#)
}

fn speaks() -> Vec<hither_api::door::Answer> {
    vec![routed(), tokens(0, &[1], "a"), tokens(1, &[2, 3], "bc"), end(FinishReason::Stop, ""), done()]
}

async fn page(lab: &Lab) -> String {
    lab.send("GET /metrics", "").await.text()
}

fn check(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn answers_by_a_smaller_model_are_counted_by_the_model_that_was_asked_for() {
    let lab = Lab::new(|_| Ok(vec![stepped_down("echo"), end(FinishReason::Stop, "x"), done()]));
    for stream in ["", ",\"stream\":true"] {
        assert_eq!(lab.send("POST /v1/chat/completions", chat(stream)).await.status, 200);
    }
    check(&page(&lab).await, &["hither_stepped_down_total{model=\"smollm2-135m\"} 2"]);
}

#[tokio::test]
async fn what_went_between_nodes_is_told_by_kind() {
    let lab = Lab::new(|_| Ok(speaks()));
    let lines = [
        r#"hither_connections{kind="talk"} 2"#,
        r#"hither_wire_bytes_total{kind="talk",direction="sent"} 300"#,
        r#"hither_wire_bytes_total{kind="talk",direction="received"} 200"#,
        r#"hither_wire_datagrams_total{kind="talk",direction="sent"} 0"#,
        r#"hither_talk_bytes_total{about="presence"} 500"#,
        r#"hither_talk_messages_total{about="presence"} 4"#,
    ];
    check(&page(&lab).await, &lines);
}

#[tokio::test]
async fn counters_equal_the_traffic() {
    let lab = Lab::new(|_| Ok(vec![routed(), end(FinishReason::Stop, "x"), done()]));
    for _ in 0..3 {
        assert_eq!(lab.send("GET /v2/health/live", "").await.status, 200);
    }
    assert_eq!(lab.send("POST /v1/chat/completions", chat("")).await.status, 200);
    assert_eq!(lab.send("POST /v2/models/fraud/infer", "{").await.status, 400);
    for path in ["/nothing", "/v2/models/never-heard-of"] {
        assert_eq!(lab.send(&format!("GET {path}"), "").await.status, 404);
    }
    assert_eq!(lab.send("BREW /v2", "").await.status, 405);
    let came = lab.send("GET /metrics", "").await;
    assert_eq!(came.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(came.header("vary"), "accept");
    let lines = [
        r#"hither_http_responses_total{route="/v2/health/live",method="GET",status="200"} 3"#,
        r#"hither_http_responses_total{route="/v1/chat/completions",method="POST",status="200"} 1"#,
        r#"hither_http_responses_total{route="other",method="GET",status="404"} 1"#,
        r#"hither_http_responses_total{route="/v2/models/{model}",method="GET",status="404"} 1"#,
        r#"hither_http_responses_total{route="/v2",method="other",status="405"} 1"#,
        r#"hither_http_response_head_seconds_bucket{route="/v2/health/live",le="+Inf"} 3"#,
        r#"hither_http_response_head_seconds_count{route="/v2/health/live"} 3"#,
        r#"hither_refusals_total{code="E0401"} 1"#,
        r#"hither_refusals_total{code="E0403"} 1"#,
        r#"hither_refusals_total{code="E0404"} 1"#,
        r#"hither_refusals_total{code="E0601"} 1"#,
        r#"nv_inference_request_success{model="smollm2-135m",version="1"} 1"#,
        r#"nv_inference_request_failure{model="fraud",version="1"} 1"#,
        r#"nv_inference_count{model="smollm2-135m",version="1"} 1"#,
        r#"nv_inference_queue_duration_us{model="smollm2-135m",version="1"} 1250"#,
        r#"nv_inference_pending_request_count{model="fraud",version="1"} 0"#,
        r#"hither_stepped_down_total{model="smollm2-135m"} 0"#,
        "hither_requests_total 184",
        "hither_requests_refused_by_law_total 6",
        "hither_egress_request_bytes_total 48213",
        r#"hither_link_egress_bytes_total{node="0101010101",site="munich",jurisdiction="DE-BY",kind="request"} 40213"#,
        r#"hither_link_egress_bytes_total{node="0303030303",site="jakarta",jurisdiction="ID",kind="answer"} 0"#,
        r#"hither_link_rtt_seconds{node="0101010101",site="munich"} 0.0209"#,
        "hither_energy_joules_total 5400",
        "hither_members_present 3",
        "hither_slots 8",
        "hither_slots_busy 1",
        "hither_power_watts 31",
    ];
    check(&came.text(), &lines);
}

#[tokio::test(start_paused = true)]
async fn each_request_for_text_is_in_the_histograms_once() {
    let lab = Lab::new(|submission| match submission.envelope.label.class.as_str() {
        "personal" => Err(Refusal::Overloaded { retry_after: Micros(1) }),
        _ => Ok(speaks()),
    });
    for stream in ["", ",\"stream\":true"] {
        assert_eq!(lab.send("POST /v1/chat/completions", chat(stream)).await.status, 200);
    }
    let refused = lab.send("POST /v1/chat/completions\nx-hither-class: personal", chat("")).await;
    assert_eq!((refused.status, refused.header("x-hither-code")), (429, "E0501"));
    drop(lab.open("POST /v1/chat/completions", chat(",\"stream\":true")).await);
    let text = page(&lab).await;
    let of = r#"gen_ai_operation_name="chat",gen_ai_provider_name="hither",gen_ai_request_model="smollm2-135m""#;
    let count = |name: &str, more: &str, value: u64| format!("{name}_count{{{of}{more}}} {value}");
    let lines = [
        count("gen_ai_server_request_duration_seconds", "", 2),
        count("gen_ai_server_request_duration_seconds", r#",error_type="E0501""#, 1),
        count("gen_ai_server_request_duration_seconds", r#",error_type="ClientGone""#, 1),
        count("gen_ai_server_time_to_first_token_seconds", "", 2),
        count("gen_ai_server_time_per_output_token_seconds", "", 2),
        count("gen_ai_client_token_usage", r#",gen_ai_token_type="input""#, 2),
        format!(r#"gen_ai_client_token_usage_sum{{{of},gen_ai_token_type="input"}} 18"#),
        format!(r#"gen_ai_client_token_usage_sum{{{of},gen_ai_token_type="output"}} 6"#),
        format!(r#"gen_ai_client_token_usage_bucket{{{of},gen_ai_token_type="output",le="1.0"}} 0"#),
        format!(r#"gen_ai_client_token_usage_bucket{{{of},gen_ai_token_type="output",le="4.0"}} 2"#),
        r#"nv_inference_exec_count{model="smollm2-135m",version="1"} 2"#.to_owned(),
    ];
    check(&text, &lines.each_ref().map(String::as_str));
}

#[tokio::test]
async fn a_scraper_gets_the_form_that_it_asks_for_and_the_same_samples() {
    let lab = Lab::new(|_| Ok(speaks()));
    assert_eq!(lab.send("POST /v1/chat/completions", chat("")).await.status, 200);
    // A page counts itself once it is written, so it is asked for once before.
    for _ in 0..2 {
        page(&lab).await;
    }
    let is_sample = |line: &&str| !line.starts_with('#') && !line.contains("route=\"/metrics\"");
    let plain = page(&lab).await;
    let open = lab.send(&format!("GET /metrics\naccept: {OPEN}"), "").await;
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let open = open.text();
    assert!(open.ends_with("\n# EOF\n") && !plain.contains("# EOF"));
    let samples = |text: &str| text.lines().filter(is_sample).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&open), samples(&plain));
    assert!(
        open.contains("\n# TYPE hither_requests counter\n")
            && plain.contains("\n# TYPE hither_requests_total counter\n")
    );
    assert!(!open.contains("# TYPE nv_inference_count ") && plain.contains("\n# TYPE nv_inference_count counter\n"));
    for line in plain.lines().filter(is_sample) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn the_form_is_chosen_by_weight() {
    let accepted = |accept: &str| {
        let mut headers = hyper::HeaderMap::new();
        headers.insert("accept", accept.parse().unwrap());
        Form::accepted(&headers)
    };
    for (accept, form) in [
        (OPEN, Form::OpenMetrics),
        ("application/openmetrics-text", Form::OpenMetrics),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8;q=0.5, text/plain;q=0.4", Form::OpenMetrics),
        ("application/openmetrics-text;version=9.0.0", Form::Text),
        ("application/openmetrics-text;q=0.1, text/plain", Form::Text),
        ("application/openmetrics-text;q=0", Form::Text),
        ("*/*", Form::Text),
        ("text/html", Form::Text),
        ("application/json", Form::Text),
    ] {
        assert_eq!(accepted(accept), form, "{accept}");
    }
}

#[tokio::test]
async fn names_that_clients_make_up_make_no_series() {
    let lab = Lab::new(|_| Ok(speaks()));
    for at in 0..2 * METRIC_MODELS {
        lab.send(&format!("GET /made-up/{at}"), "").await;
        lab.send(&format!("GET /v2/models/made-up-{at}"), "").await;
        lab.send("POST /v1/chat/completions", format!(r#"{{"model":"made-up-{at}","messages":[]}}"#)).await;
        lab.send(&format!("MAKE{at} /v2"), "").await;
    }
    let text = page(&lab).await;
    assert!(!text.contains("made-up") && !text.contains("MAKE"), "{text}");
    assert!(text.lines().count() < 400, "{}", text.lines().count());
}

/// Rows of a table in `docs/operations.md`: the name in the first column, and the rest.
pub(crate) fn rows(after: &str) -> BTreeMap<String, String> {
    let page = include_str!("../../../../docs/operations.md");
    let (_, table) = page.split_once(after).unwrap_or_else(|| panic!("docs/operations.md has no {after}"));
    let table = table.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    table
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name.to_owned(), rest.trim_end_matches(" |").to_owned()))
        .collect()
}

#[tokio::test]
async fn the_page_for_operators_names_each_metric_and_no_other() {
    let lab = Lab::new(|_| Ok(speaks()));
    assert_eq!(lab.send("POST /v1/chat/completions", chat("")).await.status, 200);
    assert_eq!(lab.send("GET /nothing", "").await.status, 404);
    let text = page(&lab).await;
    let kinds: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let said = rows("## Metrics");
    let said_kinds: BTreeMap<&str, &str> =
        said.iter().map(|(name, rest)| (name.as_str(), rest.split(' ').next().unwrap())).collect();
    assert_eq!(said_kinds, kinds);
    for (name, kind) in kinds {
        let labels: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.split_once('{')?.1.rsplit_once('}'))
            .filter(|_| kind != "histogram" || !name.is_empty())
            .flat_map(|(inside, _)| inside.split("\",").filter_map(|label| label.split_once("=\"")))
            .map(|(label, _)| label)
            .filter(|label| *label != "le")
            .collect();
        for label in labels {
            assert!(said[name].contains(&format!("`{label}`")), "the row of {name} does not name its label {label}");
        }
    }
}
