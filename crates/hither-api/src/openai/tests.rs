//! The OpenAI API as clients see it: chunks byte for byte, and every refusal.

use futures_util::StreamExt;
use hither_engine::work::{FinishReason, Prompt, Work};
use hither_types::label::DataClass;
use hither_types::refusal::{Failure, InputFault, Refusal};
use hither_types::request::{Priority, Quality, RequestKind};
use hither_types::unit::Micros;

use crate::door::{Answer, Submission};
use crate::routes::Listener;
use crate::tests::fake::{FakeDoor, done, end, routed, stepped_down, tokens, unlawful};
use crate::tests::lab::{Came, Lab};

fn speaks(_: &Submission) -> Result<Vec<Answer>, Refusal> {
    Ok(vec![
        routed(),
        tokens(0, &[10], "Hel"),
        tokens(1, &[11], ""),
        tokens(2, &[12], "lo"),
        end(FinishReason::Stop, "!"),
        done(),
    ])
}

const HI: &str = r#""model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]"#;

async fn chat(more: &str) -> Came {
    Lab::new(speaks).send("POST /v1/chat/completions", format!("{{{HI}{more}}}")).await
}

/// The text without what changes from run to run.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"created\":") {
        let (before, after) = rest.split_at(at + "\"created\":".len());
        out.push_str(before);
        out.push('T');
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

#[tokio::test]
async fn models_are_listed_and_found_by_any_spelling() {
    let lab = Lab::new(speaks);
    let one = r#"{"id":"smollm2-135m","object":"model","created":0,"owned_by":"hither"}"#;
    assert_eq!(lab.send("GET /v1/models", "").await.text(), format!(r#"{{"object":"list","data":[{one}]}}"#));
    assert_eq!(lab.send("GET /v1/models/smollm2-135m", "").await.text(), one);
    assert_eq!(lab.send("GET /v1/models/smollm2%2D135m", "").await.text(), one);
    for path in ["/v1/models/org%2Fnone", "/v1/models/org/none", "/v1/models/fraud"] {
        let came = lab.send(&format!("GET {path}"), "").await;
        assert_eq!((came.status, came.json()["error"]["code"].as_str()), (404, Some("model_not_found")), "{path}");
    }
}

#[tokio::test]
async fn a_whole_answer_has_its_text_usage_and_origin() {
    let came = chat("").await;
    assert_eq!(
        timeless(&came.text()),
        r#"{"id":"chatcmpl-01900000-0000-7000-8000-000000000000","object":"chat.completion","created":T,"model":"smollm2-135m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":0}}}"#
    );
    assert_eq!(
        (came.status, came.header("x-hither-served-by"), came.header("x-hither-migrations")),
        (200, "munich", "0")
    );
    assert_eq!(came.header("server-timing"), "queue;dur=1.250, prefill;dur=20.000, decode;dur=300.001");
    let with_ids = Lab::new(speaks).send("POST /v1/chat/completions\nx-hither-tokens: 1", format!("{{{HI}}}")).await;
    assert_eq!(with_ids.json()["hither"], serde_json::json!({"first": 0, "ids": [10, 11, 12]}));
}

#[tokio::test]
async fn a_stream_is_framed_as_clients_read_it() {
    let came = chat(r#","stream":true,"stream_options":{"include_usage":true}"#).await;
    let chunk = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-01900000-0000-7000-8000-000000000000\",\"object\":\"chat.completion.chunk\",\"created\":T,\"model\":\"smollm2-135m\",\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
        )
    };
    let choice = |delta: &str, finish: &str| {
        format!("{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":{finish}}}")
    };
    let wanted = [
        chunk(&choice(r#""role":"assistant","content":"Hel""#, "null"), "null"),
        chunk(&choice(r#""content":"lo""#, "null"), "null"),
        chunk(&choice(r#""content":"!""#, "null"), "null"),
        chunk(&choice("", "\"stop\""), "null"),
        chunk("", r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":0}}"#),
        ": hither {\"request\":\"01900000-0000-7000-8000-000000000000\",\"served_by\":\"munich\",\"jurisdiction\":\"DE-BY\",\"rule\":\"eea-personal\",\"model\":\"smollm2-135m\",\"digest\":\"3030303030303030303030303030303030303030303030303030303030303030\",\"quality\":\"exact\",\"attempts\":1,\"migrations\":0,\"egress_bytes\":1832,\"queue_us\":1250,\"prefill_us\":20000,\"decode_us\":300001,\"prompt_tokens\":9,\"output_tokens\":3,\"joules\":2.5}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(timeless(&came.text()), wanted.concat());
    assert_eq!(
        (came.status, came.header("content-type"), came.header("cache-control")),
        (200, "text/event-stream", "no-cache")
    );
    assert_eq!((came.header("x-accel-buffering"), came.header("x-hither-served-by")), ("no", "munich"));
}

#[tokio::test]
async fn a_smaller_model_that_answers_is_named_in_headers_and_body() {
    let lab = Lab::new(|submission| {
        let mut answers = speaks(submission)?;
        answers[0] = stepped_down("echo");
        Ok(answers)
    });
    let head = "POST /v1/chat/completions\nx-hither-quality: family";
    let whole = lab.send(head, format!("{{{HI}}}")).await;
    assert_eq!((whole.status, whole.json()["model"].as_str()), (200, Some("echo")));
    let streamed = lab.send(head, format!("{{{HI},\"stream\":true}}")).await;
    let text = streamed.text();
    assert!(text.contains(r#","model":"echo","choices""#) && !text.contains("smollm2"), "{text}");
    assert!(text.contains(&format!(r#""model":"echo","digest":"{}","quality":"family""#, "40".repeat(32))), "{text}");
    for came in [whole, streamed] {
        assert_eq!((came.header("x-hither-model"), came.header("x-hither-quality")), ("echo", "family"));
        assert_eq!(came.header("x-hither-digest"), "40".repeat(32));
    }
    let submissions = lab.door.submissions.lock().unwrap();
    assert!(submissions.iter().all(|submission| submission.envelope.quality == Quality::Family));
    assert!(submissions.iter().all(|submission| submission.envelope.model.as_str() == "smollm2-135m"));
}

#[tokio::test]
async fn a_model_that_was_asked_for_is_named_as_exact_and_a_word_that_is_neither_is_refused() {
    let came = chat("").await;
    assert_eq!((came.header("x-hither-model"), came.header("x-hither-quality")), ("smollm2-135m", "exact"));
    let came = Lab::new(speaks).send("POST /v1/chat/completions\nx-hither-quality: Family", format!("{{{HI}}}")).await;
    let error = &came.json()["error"];
    assert_eq!(
        (came.status, error["param"].as_str(), error["code"].as_str()),
        (400, Some("x-hither-quality"), Some("E0304"))
    );
    assert_eq!(error["message"], "header x-hither-quality: expected exact or family, found \"Family\"");
}

#[tokio::test]
async fn with_token_ids_each_piece_is_one_chunk() {
    let came = Lab::new(speaks)
        .send("POST /v1/chat/completions\nx-hither-tokens: 1", format!("{{{HI},\"stream\":true}}"))
        .await;
    let hither: Vec<String> = came
        .text()
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: {"))
        .map(|json| serde_json::from_str::<serde_json::Value>(&format!("{{{json}")).unwrap()["hither"].to_string())
        .collect();
    assert_eq!(
        hither,
        [r#"{"first":0,"ids":[10]}"#, r#"{"first":1,"ids":[11]}"#, r#"{"first":2,"ids":[12]}"#, "null", "null"]
    );
    assert!(!came.text().contains("usage"));
}

#[tokio::test]
async fn an_answer_without_tokens_still_has_its_role_and_end() {
    let lab = Lab::new(|_| Ok(vec![routed(), end(FinishReason::Length, ""), done()]));
    let came = lab.send("POST /v1/chat/completions", format!("{{{HI},\"stream\":true}}")).await;
    assert!(
        came.text().contains(r#""delta":{"role":"assistant"},"logprobs":null,"finish_reason":"length""#),
        "{}",
        came.text()
    );
    assert!(came.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn completions_write_text_not_deltas() {
    let lab = Lab::new(speaks);
    let body = r#"{"model":"smollm2-135m","prompt":["once"],"logprobs":null,"seed":null,"n":1}"#;
    let came = lab.send("POST /v1/completions", body).await;
    assert_eq!(
        timeless(&came.text()),
        r#"{"id":"cmpl-01900000-0000-7000-8000-000000000000","object":"text_completion","created":T,"model":"smollm2-135m","choices":[{"index":0,"text":"Hello!","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":0}}}"#
    );
    let streamed = lab.send("POST /v1/completions", r#"{"model":"smollm2-135m","prompt":"once","stream":true}"#).await;
    assert!(streamed.text().contains(r#""object":"text_completion""#) && streamed.text().contains(r#""text":"Hel""#));
    for (prompt, status) in [("[1,2]", 200), ("[[1,2]]", 200), ("[[1],[2]]", 200), (r#"["a","b"]"#, 200), ("7", 400)] {
        let ids = lab.send("POST /v1/completions", format!(r#"{{"model":"smollm2-135m","prompt":{prompt}}}"#)).await;
        assert_eq!(ids.status, status, "{prompt}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_wish_reaches_the_engine_as_it_was_made() {
    let lab = Lab::new(speaks);
    let body = r#"{"model":"smollm2-135m","messages":[{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"text","text":"h"},{"type":"text","text":"i"}],"name":"me"},{"role":"assistant","content":"yes","tool_calls":[]}],
        "max_tokens":5,"max_completion_tokens":7,"temperature":0,"top_p":0.5,"top_k":-1,"seed":-1,"stop":["a","b"],"ignore_eos":true,
        "n":1,"tools":[],"tool_choice":null,"response_format":{"type":"text"},"logprobs":false,"frequency_penalty":0,"logit_bias":{},"user":"u","metadata":{}}"#;
    let head = "POST /v1/chat/completions\nx-hither-class: personal\nx-hither-tags: phi, child,phi\nx-hither-subjects: ID,DE-BY\nx-hither-purpose: triage\nx-hither-prefer: paris\nx-hither-priority: critical\nx-hither-timeout-ms: 1500\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let came = lab.send(head, body).await;
    assert_eq!(came.status, 200, "{}", came.text());
    let submissions = lab.door.submissions.lock().unwrap();
    let Submission { envelope, patience, payload, operation, trace, whole, referrer: _ } = &submissions[0];
    assert!(*whole, "it does not stream");
    assert_eq!((*operation, trace.map(|trace| trace.span)), ("chat", Some(0x00f0_67aa_0ba9_02b7)));
    assert_eq!(
        (*patience, envelope.priority, envelope.kind),
        (Micros(1_500_000), Priority::Critical, RequestKind::Generate)
    );
    assert_eq!(
        (envelope.size.0, envelope.app.as_str(), envelope.model.as_str()),
        (payload.len() as u64, "anonymous", "smollm2-135m")
    );
    assert_eq!(envelope.prefer.as_ref().map(|site| site.as_str()), Some("paris"));
    let label = &envelope.label;
    assert_eq!(
        format!("{} {:?} {:?} {:?}", label.class, label.tags, label.subjects, label.purpose),
        r#"personal ["child", "phi"] [DE-BY, ID] Some("triage")"#
    );
    let Ok(Work::Generate(work)) = Work::decode(payload) else { panic!("not text") };
    assert_eq!((work.max_tokens, work.temperature, work.top_p, work.top_k), (Some(7), 0.0, 0.5, 0));
    assert_eq!((work.seed, work.stop, work.ignore_eos), (u64::MAX, vec!["a".to_owned(), "b".to_owned()], true));
    let Prompt::Chat(messages) = work.prompt else { panic!("not a chat") };
    let said: Vec<String> = messages.iter().map(|message| format!("{}:{}", message.role, message.content)).collect();
    assert_eq!(said, ["system:be brief", "user:hi", "assistant:yes"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asked_for_takes_its_default() {
    let lab = Lab::new(speaks);
    let nulls = r#","max_tokens":null,"temperature":null,"top_p":null,"seed":null,"stop":null,"stream":null,"stream_options":null,"tools":null,"n":null"#;
    assert_eq!(lab.send("POST /v1/chat/completions", format!("{{{HI}{nulls}}}")).await.status, 200);
    assert_eq!(lab.send("POST /v1/chat/completions", format!("{{{HI}}}")).await.status, 200);
    let submissions = lab.door.submissions.lock().unwrap();
    let works: Vec<_> = submissions
        .iter()
        .map(|submission| match Work::decode(&submission.payload) {
            Ok(Work::Generate(work)) => work,
            _ => panic!("not text"),
        })
        .collect();
    let [one, other] = &works[..] else { panic!("two were sent") };
    assert_eq!((one.max_tokens, one.temperature, one.top_p, one.top_k, one.ignore_eos), (None, 1.0, 1.0, 0, false));
    assert_ne!(one.seed, other.seed, "each answer has its own seed");
    let envelope = &submissions[0].envelope;
    assert_eq!(
        (envelope.label.class, format!("{:?}", envelope.label.subjects)),
        (DataClass::Internal, "[FR]".to_owned())
    );
    assert_eq!(submissions[0].patience, Micros(120_000_000));
}

#[tokio::test]
async fn what_is_wrong_or_not_offered_is_a_400_that_names_the_field() {
    for (more, param, code) in [
        (r#","temperature":2.1"#, "temperature", "invalid_value"),
        (r#","temperature":-1"#, "temperature", "invalid_value"),
        (r#","temperature":"hot""#, "temperature", "E0601"),
        (r#","top_p":2"#, "top_p", "invalid_value"),
        (r#","top_k":-2"#, "top_k", "invalid_value"),
        (r#","max_tokens":0"#, "max_tokens", "invalid_value"),
        (r#","max_completion_tokens":-1"#, "max_completion_tokens", "invalid_value"),
        (r#","max_tokens":1.5"#, "max_tokens", "E0601"),
        (r#","seed":1e3"#, "seed", "E0601"),
        (r#","stop":["1","2","3","4","5"]"#, "stop", "invalid_value"),
        (r#","stop":"""#, "stop", "invalid_value"),
        (r#","stream":"yes""#, "stream", "E0601"),
        (r#","stream_options":{"include_usage":true}"#, "stream_options", "invalid_value"),
        (r#","n":0"#, "n", "invalid_value"),
        (r#","n":129"#, "n", "invalid_value"),
        (r#","n":2,"best_of":3"#, "best_of", "unsupported_parameter"),
        (r#","stream":true,"stream_options":{"include_usages":true}"#, "stream_options", "E0601"),
        (r#","stream":true,"stream_options":{"continuous_usage_stats":true}"#, "stream_options", "invalid_value"),
        (r#","min_tokens":2"#, "min_tokens", "unsupported_parameter"),
        (r#","min_tokens":4,"max_tokens":3"#, "min_tokens", "invalid_value"),
        (r#","echo":true"#, "echo", "unsupported_parameter"),
        (r#","functions":[{}]"#, "functions", "unsupported_parameter"),
        (r#","messages":[]"#, "messages", "invalid_value"),
        (r#","messages":null"#, "messages", "E0601"),
        (r#","messages":[{"role":"wizard","content":"x"}]"#, "messages", "invalid_value"),
        (r#","messages":[{"role":"user"}]"#, "messages", "invalid_value"),
        (r#","messages":[{"role":"user","content":[{"type":"image_url"}]}]"#, "messages", "unsupported_parameter"),
        (r#","model":null"#, "model", "E0601"),
        (r#","model":7"#, "model", "E0601"),
    ] {
        let came = chat(more).await;
        let error = &came.json()["error"];
        assert_eq!(
            (came.status, error["param"].as_str(), error["code"].as_str()),
            (400, Some(param), Some(code)),
            "{more}: {error}"
        );
        assert_eq!(error["type"], "invalid_request_error");
    }
    for body in ["", "{", "[]", "null", "7"] {
        let came = Lab::new(speaks).send("POST /v1/chat/completions", body).await;
        assert_eq!((came.status, came.json()["error"]["code"].as_str()), (400, Some("E0601")), "{body}");
    }
    let tensors = Lab::new(speaks)
        .send("POST /v1/chat/completions", HI.replace("smollm2-135m", "fraud").as_str().to_owned())
        .await;
    assert_eq!(tensors.status, 400);
    let wrong_kind = Lab::new(speaks)
        .send("POST /v1/chat/completions", format!("{{{}}}", HI.replace("smollm2-135m", "fraud")))
        .await;
    assert_eq!((wrong_kind.status, wrong_kind.json()["error"]["hither_code"].as_str()), (400, Some("E0406")));
    let unknown =
        Lab::new(speaks).send("POST /v1/chat/completions", format!("{{{}}}", HI.replace("smollm2-135m", "none"))).await;
    assert_eq!((unknown.status, unknown.json()["error"]["code"].as_str()), (404, Some("model_not_found")));
}

#[tokio::test]
async fn before_the_first_token_a_refusal_is_a_status_even_of_a_stream() {
    let overflow =
        || Answer::Failed(Failure::BadInput(InputFault::ContextOverflow { prompt_tokens: 3000, context_tokens: 2048 }));
    for stream in ["", ",\"stream\":true"] {
        let lab = Lab::new(move |_| Ok(vec![routed(), overflow()]));
        let came = lab.send("POST /v1/chat/completions", format!("{{{HI}{stream}}}")).await;
        assert_eq!(
            came.text(),
            r#"{"error":{"message":"the prompt has 3000 tokens, and the model takes 2048 for prompt and answer together","type":"invalid_request_error","param":"messages","code":"context_length_exceeded","hither_code":"E0603","help":["shorten the messages or ask for fewer tokens; nothing is ever cut off silently","hither explain 01900000-0000-7000-8000-000000000000"],"request":"01900000-0000-7000-8000-000000000000"}}"#
        );
        assert_eq!(came.status, 400);
        let lab = Lab::new(|_| Ok(vec![Answer::Refused(unlawful())]));
        let came = lab.send("POST /v1/chat/completions", format!("{{{HI}{stream}}}")).await;
        let error = &came.json()["error"];
        assert_eq!(
            (came.status, error["code"].as_str(), error["rule"].as_str()),
            (451, Some("E0301"), Some("id-bank"))
        );
        assert_eq!(
            (error["type"].as_str(), error["nearest"][1]["rule"].as_str()),
            (Some("permission_error"), Some("eea-personal"))
        );
        let lab = Lab::new(|_| Ok(vec![Answer::Refused(Refusal::Overloaded { retry_after: Micros(1) })]));
        let came = lab.send("POST /v1/chat/completions", format!("{{{HI}{stream}}}")).await;
        assert_eq!((came.status, came.header("retry-after")), (429, "1"));
        let lab = Lab::new(|_| Err(Refusal::Overloaded { retry_after: Micros(2_000_001) }));
        let came = lab.send("POST /v1/chat/completions", format!("{{{HI}{stream}}}")).await;
        let error = &came.json()["error"];
        assert_eq!(
            (came.status, error["type"].as_str(), came.header("retry-after")),
            (429, Some("rate_limit_error"), "3")
        );
    }
}

#[tokio::test]
async fn a_failure_in_the_midst_is_said_and_ends_the_stream() {
    for ending in [vec![Answer::Failed(Failure::Silent)], vec![], vec![done()]] {
        let ending = std::sync::Mutex::new(Some(ending));
        let lab = Lab::new(move |_| {
            let mut answers = vec![routed(), tokens(0, &[10], "Hel")];
            answers.extend(ending.lock().unwrap().take().unwrap());
            Ok(answers)
        });
        let came = lab.send("POST /v1/chat/completions", format!("{{{HI},\"stream\":true}}")).await;
        let text = came.text();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        let error: serde_json::Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((came.status, error["error"]["type"].as_str()), (200, Some("server_error")), "{text}");
        assert!(!text.contains("[DONE]"));
    }
}

#[tokio::test]
async fn a_label_that_loosens_is_refused() {
    let lab = Lab::new(speaks);
    let came = lab.send("POST /v1/chat/completions\nx-hither-class: public", format!("{{{HI}}}")).await;
    let error = &came.json()["error"];
    assert_eq!((came.status, error["code"].as_str()), (400, Some("E0303")));
    assert!(error["message"].as_str().unwrap().starts_with("a label can only be tightened"), "{error}");
    assert!(lab.door.submissions.lock().unwrap().is_empty());
}

#[tokio::test]
async fn dropping_the_response_cancels_the_request() {
    let mut door = FakeDoor::new(|_| Ok(vec![routed(), tokens(0, &[10], "Hel")]));
    door.endless = true;
    let lab = Lab::behind(door, Listener::Tcp);
    let mut left = lab.door.left.subscribe();
    let response = lab.open("POST /v1/chat/completions", format!("{{{HI},\"stream\":true}}")).await;
    let mut chunks = response.into_body().into_data_stream();
    let first = chunks.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: {"));
    drop(chunks);
    left.wait_for(|left| *left == 1).await.unwrap();
}
