//! Tools, formats, chances and vectors, from the body to the engine and back.

use hither_engine::work::{
    Account, Chance, Chances, FinishReason, Format, GenerateWork, Overflow, Piece, Prompt, Tensor, ToolCall,
    ToolChoice, Work,
};
use hither_types::model::Datatype;

use crate::door::Answer;
use crate::tests::fake::{done, end, routed, tokens};
use crate::tests::lab::{Came, Lab};

const HI: &str = r#""model":"smollm2-135m","messages":[{"role":"user","content":"hi"}]"#;
const TOOLS: &str =
    r#","tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]"#;

fn lab() -> Lab {
    Lab::new(|_| Ok(vec![routed(), tokens(0, &[10], "Hi"), end(FinishReason::Stop, ""), done()]))
}

async fn chat(lab: &Lab, more: &str) -> Came {
    lab.send("POST /v1/chat/completions", format!("{{{HI}{more}}}")).await
}

/// The work that a body became.
async fn work(more: &str) -> GenerateWork {
    let lab = lab();
    let came = chat(&lab, more).await;
    assert_eq!(came.status, 200, "{more}: {}", came.text());
    let submissions = lab.door.submissions.lock().unwrap();
    match Work::decode(&submissions[0].payload) {
        Ok(Work::Generate(work)) => work,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn options_reach_the_engine_as_they_were_given() {
    let numbers = work(
        r#","min_p":0.1,"frequency_penalty":-2,"presence_penalty":0.5,"repetition_penalty":1.1,"logit_bias":{"5":-100,"7":1.5}"#,
    )
    .await;
    assert_eq!((numbers.min_p, numbers.frequency_penalty, numbers.presence_penalty), (0.1, -2.0, 0.5));
    assert_eq!((numbers.repetition_penalty, numbers.logit_bias), (1.1, vec![(5, -100.0), (7, 1.5)]));
    let schema = r#","response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}}"#;
    assert!(work(schema).await.format == Format::Schema(r#"{"type":"object"}"#.into()));
    assert!(work(r#","response_format":{"type":"json_object"}"#).await.format == Format::Json);
    let beside = r#","response_format":{"type":"json_object","schema":{"type":"object"}}"#;
    assert!(work(beside).await.format == Format::Schema(r#"{"type":"object"}"#.into()));
    assert!(
        work(r#","response_format":{"type":"pattern","pattern":"a+"}"#).await.format == Format::Pattern("a+".into())
    );
    assert!(work(r#","response_format":{"type":"text"}"#).await.format == Format::Text);
    assert_eq!(work(r#","logprobs":true,"top_logprobs":3"#).await.chances, Some(3));
    assert_eq!(work(r#","logprobs":true"#).await.chances, Some(0));
    assert_eq!(work(r#","logprobs":false,"top_logprobs":0"#).await.chances, None);
    assert_eq!(work(r#","truncation":"auto""#).await.overflow, Overflow::DropOldest);
    assert_eq!(work(r#","truncation":"disabled""#).await.overflow, Overflow::Refuse);
}

#[tokio::test]
async fn tools_and_what_came_of_them_reach_the_engine() {
    let tools = work(TOOLS).await;
    assert_eq!((tools.tools[0].name.as_str(), tools.tools[0].description.as_str()), ("f", "d"));
    assert_eq!(tools.tools[0].parameters, r#"{"type":"object"}"#);
    for (choice, expected) in [
        (r#""auto""#, ToolChoice::Auto),
        (r#""none""#, ToolChoice::Never),
        (r#""required""#, ToolChoice::Any),
        (r#"{"type":"function","function":{"name":"f"}}"#, ToolChoice::Named("f".into())),
    ] {
        assert!(work(&format!("{TOOLS},\"tool_choice\":{choice}")).await.tool_choice == expected, "{choice}");
    }
    let lab = lab();
    let body = r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c","content":"rain"}]}"#;
    assert_eq!(lab.send("POST /v1/chat/completions", body).await.status, 200);
    let submissions = lab.door.submissions.lock().unwrap();
    let Ok(Work::Generate(work)) = Work::decode(&submissions[0].payload) else { panic!("not text") };
    let Prompt::Chat(turns) = work.prompt else { panic!("not a chat") };
    let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() };
    assert_eq!((&turns[1].calls, turns[1].content.as_str()), (&vec![call], ""));
    assert_eq!((turns[2].role.as_str(), turns[2].answers.as_deref()), ("tool", Some("c")));
}

#[tokio::test]
async fn callers_without_a_name_share_a_prompt_only_by_a_salt() {
    assert_eq!(work("").await.cache, None);
    let one = work(r#","prompt_cache_key":"a""#).await.cache;
    assert!(one.is_some() && one == work(r#","prompt_cache_key":"a""#).await.cache);
    assert_ne!(one, work(r#","prompt_cache_key":"b""#).await.cache);
    assert_ne!(one, work(r#","cache_salt":"a""#).await.cache);
}

#[tokio::test]
async fn what_is_unknown_or_out_of_range_is_named() {
    let lab = lab();
    let long = format!(r#","cache_salt":"{}""#, "x".repeat(257));
    for (more, param, code) in [
        (r#","temprature":1"#, "temprature", "unsupported_parameter"),
        (r#","reasoning_effort":"high""#, "reasoning_effort", "unsupported_parameter"),
        (r#","tools":[{"type":"function"}]"#, "tools", "E0601"),
        (r#","tools":[{"type":"web_search"}]"#, "tools", "unsupported_parameter"),
        (r#","tools":[{"type":"function","function":{"name":"a b"}}]"#, "tools", "invalid_value"),
        (r#","tools":[{"type":"function","function":{"name":"f","parameters":7}}]"#, "tools", "invalid_value"),
        (r#","tool_choice":"required""#, "tool_choice", "invalid_value"),
        (r#","tool_choice":"maybe""#, "tool_choice", "invalid_value"),
        (r#","tool_choice":{"type":"function","function":{"name":"g"}}"#, "tool_choice", "invalid_value"),
        (r#","response_format":{"type":"json_schema","json_schema":{}}"#, "response_format", "invalid_value"),
        (r#","response_format":{"type":"json_schema","json_schema":{"schema":7}}"#, "response_format", "invalid_value"),
        (r#","response_format":{"type":"pattern"}"#, "response_format", "invalid_value"),
        (r#","response_format":{"type":"json_object","schema":7}"#, "response_format", "invalid_value"),
        (r#","response_format":{"type":"text","schema":{}}"#, "response_format", "unsupported_parameter"),
        (r#","response_format":{"type":"xml"}"#, "response_format", "unsupported_parameter"),
        (r#","top_logprobs":3"#, "top_logprobs", "invalid_value"),
        (r#","logprobs":true,"top_logprobs":21"#, "top_logprobs", "invalid_value"),
        (r#","logit_bias":{"x":1}"#, "logit_bias", "invalid_value"),
        (r#","logit_bias":{"5":-101}"#, "logit_bias", "invalid_value"),
        (r#","presence_penalty":2.5"#, "presence_penalty", "invalid_value"),
        (r#","min_p":1.5"#, "min_p", "invalid_value"),
        (r#","truncation":"middle""#, "truncation", "invalid_value"),
        (&long, "prompt_cache_key", "invalid_value"),
        (r#","messages":[{"role":"tool","content":"x"}]"#, "messages", "invalid_value"),
        (
            r#","messages":[{"role":"user","content":"x","tool_calls":[{"id":"c","function":{"name":"f","arguments":""}}]}]"#,
            "messages",
            "invalid_value",
        ),
    ] {
        let came = chat(&lab, more).await;
        let error = &came.json()["error"];
        let found = (came.status, error["param"].as_str(), error["code"].as_str());
        assert_eq!(found, (400, Some(param), Some(code)), "{more}: {error}");
    }
}

fn calling() -> Lab {
    Lab::new(|_| {
        let call = |name: &str| ToolCall { id: String::new(), name: name.into(), arguments: r#"{"a":1}"#.into() };
        let token = |first, calls| {
            Answer::Piece(Piece::Tokens { first, ids: vec![10], text: String::new(), chances: Vec::new(), calls })
        };
        let account = Account { cached_tokens: 5, dropped_tokens: 7 };
        let (reason, text) = (FinishReason::ToolCalls, String::new());
        let end = Piece::End { reason, text, calls: vec![call("g")], account };
        Ok(vec![routed(), token(0, Vec::new()), token(1, vec![call("f")]), Answer::Piece(end), done()])
    })
}

#[tokio::test]
async fn calls_are_written_as_clients_read_them() {
    let came = chat(&calling(), TOOLS).await.json();
    let choice = &came["choices"][0];
    assert_eq!((choice["finish_reason"].as_str(), choice["message"]["content"].is_null()), (Some("tool_calls"), true));
    let id = "call_01900000-0000-7000-8000-000000000000_0";
    let call = serde_json::json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    assert_eq!(choice["message"]["tool_calls"][0], call);
    assert_eq!(choice["message"]["tool_calls"][1]["function"]["name"], "g");
    assert_eq!(came["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
    assert_eq!(came["hither"]["dropped_prompt_tokens"], 7);

    let more = format!("{TOOLS},\"stream\":true,\"stream_options\":{{\"include_usage\":true}}");
    let text = chat(&calling(), &more).await.text();
    let chunks: Vec<serde_json::Value> =
        text.split("\n\n").filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok()).collect();
    let calls: Vec<_> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).collect();
    assert_eq!((calls.len(), &calls[0][0]["index"], &calls[1][0]["index"]), (2, &0.into(), &1.into()), "{text}");
    assert_eq!((&calls[0][0]["id"], &calls[1][0]["function"]["name"]), (&id.into(), &"g".into()));
    let last = chunks.iter().find(|chunk| chunk["choices"][0]["finish_reason"] == "tool_calls").unwrap();
    assert_eq!(last["hither"]["dropped_prompt_tokens"], 7);
    assert_eq!(chunks.last().unwrap()["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
}

fn chancy() -> Lab {
    Lab::new(|_| {
        let chance = |id, log, text: &str| Chance { id, log, bytes: text.as_bytes().to_vec() };
        let piece = |first, text: &str| {
            let likeliest = vec![chance(1, -0.5, text), chance(2, f32::NEG_INFINITY, "x")];
            let chances = vec![Chances { said: chance(1, -0.5, text), likeliest }];
            Answer::Piece(Piece::Tokens { first, ids: vec![1], text: text.into(), chances, calls: Vec::new() })
        };
        Ok(vec![routed(), piece(0, "Hé"), piece(1, "y"), end(FinishReason::Stop, ""), done()])
    })
}

#[tokio::test]
async fn chances_are_written_as_each_endpoint_has_them() {
    let came = chat(&chancy(), r#","logprobs":true,"top_logprobs":2"#).await.json();
    let first = &came["choices"][0]["logprobs"]["content"][0];
    assert_eq!((&first["token"], &first["logprob"], &first["bytes"][2]), (&"Hé".into(), &(-0.5).into(), &0xa9.into()));
    assert_eq!(first["top_logprobs"][1], serde_json::json!({"token": "x", "logprob": -9999.0, "bytes": [120]}));
    let body = r#"{"model":"smollm2-135m","prompt":"hi","logprobs":2}"#;
    let came = chancy().send("POST /v1/completions", body).await.json();
    let columns = &came["choices"][0]["logprobs"];
    assert_eq!((&columns["tokens"][1], &columns["text_offset"][1]), (&"y".into(), &2.into()));
    assert_eq!((&columns["token_logprobs"][0], &columns["top_logprobs"][0]["x"]), (&(-0.5).into(), &(-9999.0).into()));
    let streamed = chat(&chancy(), r#","logprobs":true,"stream":true"#).await.text();
    assert_eq!(streamed.matches(r#""logprobs":{"content":[{"token":"#).count(), 2, "{streamed}");
}

async fn embed(body: &str) -> Came {
    let lab = Lab::new(|submission| {
        let Ok(Work::Embed(work)) = Work::decode(&submission.payload) else { panic!("not vectors") };
        let data = (0..2 * work.inputs.len()).flat_map(|value| (value as f32).to_le_bytes()).collect();
        let shape = vec![work.inputs.len() as u64, 2];
        let tensor = Tensor { name: "embedding".into(), datatype: Datatype::Fp32, shape, data };
        Ok(vec![routed(), Answer::Piece(Piece::Outputs(vec![tensor])), done()])
    });
    lab.send("POST /v1/embeddings", body.to_owned()).await
}

#[tokio::test]
async fn vectors_are_given_as_numbers_or_as_their_bytes() {
    let came = embed(r#"{"model":"smollm2-135m","input":["a","b"],"user":"u","dimensions":null}"#).await;
    assert_eq!(
        came.text(),
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.0,1.0]},{"object":"embedding","index":1,"embedding":[2.0,3.0]}],"model":"smollm2-135m","usage":{"prompt_tokens":9,"total_tokens":9}}"#
    );
    let came = embed(r#"{"model":"smollm2-135m","input":[5,6],"encoding_format":"base64"}"#).await;
    assert_eq!(came.json()["data"][0]["embedding"], "AAAAAAAAgD8=");
    for input in [r#""a""#, "[[5],[6,7]]"] {
        assert_eq!(embed(&format!(r#"{{"model":"smollm2-135m","input":{input}}}"#)).await.status, 200, "{input}");
    }
    for (body, param) in [
        (r#"{"model":"smollm2-135m"}"#, "input"),
        (r#"{"input":"a"}"#, "model"),
        (r#"{"model":"smollm2-135m","input":""}"#, "input"),
        (r#"{"model":"smollm2-135m","input":[]}"#, "input"),
        (r#"{"model":"smollm2-135m","input":{}}"#, "input"),
        (r#"{"model":"smollm2-135m","input":"a","dimensions":5}"#, "dimensions"),
        (r#"{"model":"smollm2-135m","input":"a","encoding_format":"hex"}"#, "encoding_format"),
        (r#"{"model":"smollm2-135m","input":"a","other":1}"#, "other"),
        (r#"{"model":"fraud","input":"a"}"#, "model"),
    ] {
        let came = embed(body).await;
        assert_eq!((came.status, came.json()["error"]["param"].as_str()), (400, Some(param)), "{body}");
    }
}

#[tokio::test]
async fn who_wants_one_call_gets_one_and_hears_of_the_others() {
    let one = format!("{TOOLS},\"parallel_tool_calls\":false");
    let whole = chat(&calling(), &one).await.json();
    let calls = whole["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["function"]["name"]), (1, &"f".into()));
    assert_eq!(whole["hither"]["dropped_tool_calls"], 1);
    let streamed = chat(&calling(), &format!("{one},\"stream\":true")).await.text();
    assert_eq!(streamed.matches(r#""type":"function""#).count(), 1, "{streamed}");
    assert!(streamed.contains(r#""dropped_tool_calls":1"#), "{streamed}");
}

#[tokio::test]
async fn what_says_nothing_about_the_answer_is_read_past() {
    let neutral = r#","metadata":{"a":"b"},"store":true,"user":"me","service_tier":"auto","safety_identifier":"x","prompt_cache_retention":"24h""#;
    let with = work(&format!(r#"{neutral},"seed":1"#)).await;
    assert!(with == work(r#","seed":1"#).await);
    let fixed = work(r#","min_tokens":5,"max_tokens":5"#).await;
    assert_eq!((fixed.max_tokens, fixed.ignore_eos), (Some(5), true));
    assert!(!work(r#","min_tokens":0,"max_tokens":5"#).await.ignore_eos);
}
