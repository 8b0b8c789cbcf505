//! Ollama's API as its clients see it: lines, whole answers, what is ignored, and what is refused.

use hither_engine::work::{FinishReason, Format, GenerateWork, Piece, Prompt, Tensor, ToolCall, Work};
use hither_types::model::Datatype;
use hither_types::refusal::Failure;
use serde_json::{Value, json};

use crate::door::Answer;
use crate::tests::fake::{done, end, routed, stepped_down, tokens};
use crate::tests::lab::{Came, Lab};

fn lab() -> Lab {
    Lab::new(|_| {
        Ok(vec![routed(), tokens(0, &[10], "Hel"), tokens(1, &[11], "lo"), end(FinishReason::Length, "!"), done()])
    })
}

const HI: &str = r#","messages":[{"role":"user","content":"hi"}]"#;

async fn post(lab: &Lab, path: &str, more: &str) -> Came {
    lab.send(&format!("POST /api/{path}"), format!(r#"{{"model":"smollm2-135m"{more}}}"#)).await
}

async fn work(path: &str, more: &str) -> GenerateWork {
    let lab = lab();
    let came = post(&lab, path, more).await;
    assert_eq!(came.status, 200, "{more}: {}", came.text());
    let submissions = lab.door.submissions.lock().unwrap();
    match Work::decode(&submissions[0].payload) {
        Ok(Work::Generate(work)) => work,
        other => panic!("{other:?}"),
    }
}

fn lines(came: &Came) -> Vec<Value> {
    came.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_answer_is_lines_of_json_unless_it_is_wanted_whole() {
    let came = post(&lab(), "chat", HI).await;
    assert_eq!((came.status, came.header("content-type")), (200, "application/x-ndjson"));
    let lines = lines(&came);
    let said: Vec<&str> = lines.iter().map(|line| line["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["Hel", "lo", "!", ""]);
    assert_eq!((&lines[0]["done"], &lines[0]["model"]), (&false.into(), &"smollm2-135m".into()));
    let last = &lines[3];
    for (field, value) in [
        ("done", json!(true)),
        ("done_reason", json!("length")),
        ("load_duration", json!(1_250_000)),
        ("prompt_eval_count", json!(9)),
        ("prompt_eval_duration", json!(20_000_000)),
        ("eval_count", json!(2)),
        ("eval_duration", json!(300_001_000)),
    ] {
        assert_eq!(last[field], value, "{field}");
    }
    assert!(last["total_duration"].as_u64().unwrap() > 0 && last["hither"]["served_by"] == "munich");
    let stamp = last["created_at"].as_str().unwrap();
    assert!(stamp.len() >= 20 && stamp.starts_with("20") && stamp.ends_with('Z'), "{stamp}");
    let whole = post(&lab(), "generate", r#","prompt":"hi","stream":false"#).await;
    assert_eq!((whole.header("content-type"), whole.header("x-hither-served-by")), ("application/json", "munich"));
    let whole = whole.json();
    assert_eq!((&whole["response"], &whole["done"], &whole["eval_count"]), (&"Hello!".into(), &true.into(), &2.into()));
    let streamed = post(&lab(), "generate", r#","prompt":"hi""#).await.text();
    assert_eq!(streamed.matches("\"response\":").count(), 4);
}

#[tokio::test]
async fn options_reach_the_engine_and_what_has_no_effect_is_named() {
    let options = r#","options":{"num_predict":7,"temperature":0,"top_p":0.5,"top_k":3,"min_p":0.1,"seed":5,"stop":["a"],"repeat_penalty":1.2,"presence_penalty":0.5,"frequency_penalty":0.25,"num_ctx":2048}"#;
    let asked = work("chat", &format!("{HI}{options}")).await;
    assert_eq!((asked.max_tokens, asked.temperature, asked.top_p, asked.top_k), (Some(7), 0.0, 0.5, 3));
    assert_eq!((asked.min_p, asked.seed, asked.repetition_penalty), (0.1, 5, 1.2));
    assert_eq!((asked.presence_penalty, asked.frequency_penalty, asked.stop), (0.5, 0.25, vec!["a".to_owned()]));
    let plain = work(
        "chat",
        &format!(r#"{HI},"options":{{"num_predict":-1,"seed":-1}},"tools":[],"think":false,"keep_alive":"5m""#),
    )
    .await;
    assert_eq!((plain.max_tokens, plain.temperature, plain.top_p, plain.top_k), (None, 0.8, 0.9, 40));
    assert!(work("chat", &format!(r#"{HI},"format":"json""#)).await.format == Format::Json);
    assert!(
        work("generate", r#","prompt":"x","format":{"type":"object"}"#).await.format
            == Format::Schema(r#"{"type":"object"}"#.into())
    );
    assert!(work("generate", r#","prompt":"x","format":"""#).await.format == Format::Text);
    let came = post(&lab(), "chat", &format!(r#"{HI},"options":{{"mirostat":1,"num_thread":4}},"shift":true"#)).await;
    assert_eq!((came.status, came.header("x-hither-ignored")), (200, "shift, options.mirostat, options.num_thread"));
    assert_eq!(post(&lab(), "chat", HI).await.header("x-hither-ignored"), "-");
}

#[tokio::test]
async fn prompts_are_laid_out_unless_they_are_raw() {
    let Prompt::Chat(turns) = work("generate", r#","prompt":"p","system":"s""#).await.prompt else {
        panic!("laid out")
    };
    let said: Vec<String> = turns.iter().map(|turn| format!("{}:{}", turn.role, turn.content)).collect();
    assert_eq!(said, ["system:s", "user:p"]);
    assert!(work("generate", r#","prompt":"p","raw":true"#).await.prompt == Prompt::Text("p".into()));
    let calls = r#","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},{"function":{"name":"g","arguments":{}}}]},
        {"role":"tool","content":"G","tool_name":"g"},{"role":"tool","content":"F"}]"#;
    let Prompt::Chat(turns) = work("chat", calls).await.prompt else { panic!("a chat") };
    assert_eq!((turns[1].calls[0].arguments.as_str(), turns[1].calls[1].id.as_str()), (r#"{"a":1}"#, "call_1_1"));
    assert_eq!((turns[2].answers.as_deref(), turns[3].answers.as_deref()), (Some("call_1_1"), Some("call_1_0")));
}

#[tokio::test]
async fn calls_of_tools_have_objects_for_arguments() {
    let lab = Lab::new(|_| {
        let calls = vec![ToolCall { id: String::new(), name: "f".into(), arguments: r#"{"city":"Paris"}"#.into() }];
        let end =
            Piece::End { reason: FinishReason::ToolCalls, text: String::new(), calls, account: Default::default() };
        Ok(vec![routed(), tokens(0, &[10], ""), Answer::Piece(end), done()])
    });
    let tools = r#","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#;
    let came = post(&lab, "chat", &format!("{HI}{tools}")).await;
    let lines = lines(&came);
    let call = &lines[0]["message"]["tool_calls"][0]["function"];
    assert_eq!((lines.len(), call), (2, &json!({"name": "f", "arguments": {"city": "Paris"}})));
    assert_eq!(lines[1]["done_reason"], "stop");
}

#[tokio::test]
async fn a_request_without_a_text_opens_the_model() {
    for (path, more, field) in [
        ("generate", "", "response"),
        ("generate", r#","prompt":"""#, "response"),
        ("chat", r#","messages":[]"#, "message"),
    ] {
        let lab = lab();
        let came = post(&lab, path, more).await;
        assert_eq!((came.status, came.header("content-type")), (200, "application/json"), "{path}{more}");
        let json = came.json();
        assert_eq!((&json["done_reason"], &json["done"]), (&"load".into(), &true.into()));
        assert!(json[field] == "" || json[field]["content"] == "", "{json}");
        let submissions = lab.door.submissions.lock().unwrap();
        let Ok(Work::Generate(work)) = Work::decode(&submissions[0].payload) else { panic!("not text") };
        assert_eq!(work.max_tokens, Some(1));
    }
    let came = post(&lab(), "generate", r#","keep_alive":0"#).await;
    assert!(came.status == 400 && came.json()["error"].as_str().unwrap().contains("hither ps"), "{}", came.text());
}

#[tokio::test]
async fn names_may_have_the_tag_that_ollama_adds() {
    let body = |name: &str| format!(r#"{{"model":"{name}"{HI},"stream":false}}"#);
    let came = lab().send("POST /api/chat", body("smollm2-135m:latest")).await;
    assert_eq!((came.status, came.json()["model"].as_str()), (200, Some("smollm2-135m:latest")));
    for name in ["none", "none:latest", "smollm2-135m:q4"] {
        let came = lab().send("POST /api/chat", body(name)).await;
        assert!(came.status == 404 && came.json()["error"].as_str().unwrap().contains("[E0401]"), "{}", came.text());
    }
    let smaller =
        Lab::new(|_| Ok(vec![stepped_down("echo"), tokens(0, &[1], "x"), end(FinishReason::Stop, ""), done()]));
    let came = smaller.send("POST /api/chat\nx-hither-quality: family", body("smollm2-135m:latest")).await;
    assert_eq!(came.json()["model"], "echo");
}

#[tokio::test]
async fn what_is_wrong_is_an_object_with_an_error_and_nothing_else() {
    for (path, more, said) in [
        ("chat", r#","messages":[{"role":"user","content":"x","images":["aGk="]}]"#, "images"),
        ("chat", r#","messages":[{"role":"wizard","content":"x"}]"#, "roles"),
        ("chat", r#","messages":[{"role":"tool","content":"x"}]"#, "no call before it"),
        ("generate", r#","prompt":"x","think":true"#, "think"),
        ("generate", r#","prompt":"x","think":"high""#, "think"),
        ("generate", r#","prompt":"x","images":["aGk="]"#, "images"),
        ("generate", r#","prompt":"x","suffix":"y""#, "suffix"),
        ("generate", r#","prompt":"x","template":"y""#, "template"),
        ("generate", r#","prompt":"x","context":[1]"#, "context"),
        ("generate", r#","prompt":"x","raw":true,"system":"s""#, "system"),
        ("generate", r#","prompt":"x","format":"xml""#, "format"),
        ("generate", r#","prompt":"x","options":{"num_ctx":4096}"#, "2048"),
        ("generate", r#","prompt":"x","options":{"temperature":3}"#, "temperature"),
        ("generate", r#","prompt":"x","options":{"stop":["1","2","3","4","5"]}"#, "stop"),
        ("generate", r#","prompt":"x","options":7"#, "options"),
        ("embed", "", "input"),
        ("embed", r#","input":[]"#, "input"),
        ("embed", r#","input":"a","dimensions":3"#, "dimensions"),
    ] {
        let came = post(&lab(), path, more).await;
        let json = came.json();
        assert_eq!((came.status, json.as_object().unwrap().len()), (400, 1), "{more}: {json}");
        assert!(json["error"].as_str().unwrap().contains(said), "{more}: {json}");
    }
    let tensors = lab().send("POST /api/chat", format!(r#"{{"model":"fraud"{HI}}}"#)).await;
    assert!(tensors.status == 400 && tensors.text().contains("/v2/models/fraud/infer"), "{}", tensors.text());
    let lost = Lab::new(|_| Ok(vec![routed(), tokens(0, &[10], "Hel"), Answer::Failed(Failure::Silent)]));
    let came = post(&lost, "chat", HI).await;
    let last = lines(&came).pop().unwrap();
    assert!(came.status == 200 && last["error"].as_str().unwrap().contains("[E0509]"), "{last}");
    let missing = lab().send("POST /api/nothing", "").await;
    assert_eq!((missing.status, missing.json().as_object().unwrap().len()), (404, 1));
}

#[tokio::test]
async fn vectors_come_in_both_forms() {
    let lab = || {
        Lab::new(|submission| {
            let Ok(Work::Embed(work)) = Work::decode(&submission.payload) else { panic!("not vectors") };
            let data = (0..2 * work.inputs.len()).flat_map(|value| (value as f32).to_le_bytes()).collect();
            let shape = vec![work.inputs.len() as u64, 2];
            let tensor = Tensor { name: "embedding".into(), datatype: Datatype::Fp32, shape, data };
            Ok(vec![routed(), Answer::Piece(Piece::Outputs(vec![tensor])), done()])
        })
    };
    let came = post(&lab(), "embed", r#","input":["a","b"],"truncate":true,"options":{"num_thread":2}"#).await;
    assert_eq!((came.status, came.header("x-hither-ignored")), (200, "options.num_thread"));
    let json = came.json();
    assert_eq!((&json["embeddings"], &json["prompt_eval_count"]), (&json!([[0.0, 1.0], [2.0, 3.0]]), &9.into()));
    let older = post(&lab(), "embeddings", r#","prompt":"a""#).await.json();
    assert_eq!(older, json!({"embedding": [0.0, 1.0]}));
}

#[tokio::test]
async fn models_are_listed_shown_and_left_to_operators() {
    let tags = lab().send("GET /api/tags", "").await.json();
    let one = &tags["models"][0];
    assert_eq!((tags["models"].as_array().unwrap().len(), &one["name"]), (1, &"smollm2-135m:latest".into()));
    assert_eq!(
        (&one["size"], &one["digest"], &one["details"]["format"]),
        (&101_000_000.into(), &"31".repeat(32).into(), &"gguf".into())
    );
    // At paris it is still being fetched.
    assert_eq!(lab().send("GET /api/ps", "").await.json(), json!({"models": []}));
    let mut view = crate::tests::fake::example();
    view.nodes[0].models[1].stage = hither_types::message::ModelStage::Ready;
    let lab = lab();
    lab.door.show(view);
    let running = lab.send("GET /api/ps", "").await.json();
    assert_eq!(
        (&running["models"][0]["name"], &running["models"][0]["context_length"]),
        (&"smollm2-135m:latest".into(), &2048.into())
    );
    let shown = post(&lab, "show", "").await.json();
    assert_eq!(
        (&shown["license"], &shown["model_info"]["unknown.context_length"]),
        (&"Apache-2.0".into(), &2048.into())
    );
    assert!(shown["capabilities"].as_array().unwrap().contains(&"completion".into()));
    let version = lab.send("GET /api/version", "").await.json();
    assert!(version["version"].as_str().unwrap().split('.').count() == 3 && version["hither"].is_string());
    for (head, body, said) in [
        ("POST /api/pull", r#"{"model":"smollm2:latest"}"#, "hither models pull smollm2"),
        ("POST /api/create", r#"{"model":"mine"}"#, "hither models add FILE --name mine"),
        ("DELETE /api/delete", r#"{"name":"mine"}"#, "hither models ls"),
        ("POST /api/copy", r#"{"source":"a","destination":"b"}"#, "hither models ls"),
    ] {
        let came = lab.send(head, body).await;
        assert!(came.status == 403 && came.json()["error"].as_str().unwrap().contains(said), "{}", came.text());
    }
    assert_eq!(lab.send("HEAD /api/version", "").await.status, 200);
    assert_eq!(lab.send("HEAD /api/tags", "").await.status, 200);
}
