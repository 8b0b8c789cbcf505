//! Responses as clients see them: events in their order, items in and out, and every refusal.

use hither_engine::work::{
    Account, FinishReason, Format, GenerateWork, Overflow, Piece, Prompt, ToolCall, ToolChoice, Work,
};
use hither_types::refusal::Failure;
use serde_json::{Value, json};

use crate::door::Answer;
use crate::tests::fake::{done, end, routed, tokens};
use crate::tests::lab::{Came, Lab};

const TOOLS: &str =
    r#","tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true}]"#;

fn lab() -> Lab {
    Lab::new(|_| {
        Ok(vec![routed(), tokens(0, &[10], "Hel"), tokens(1, &[11], "lo"), end(FinishReason::Stop, "!"), done()])
    })
}

/// Blanks, then two calls.
fn calling() -> Lab {
    Lab::new(|_| {
        let call = |name: &str| ToolCall { id: String::new(), name: name.into(), arguments: r#"{"a":1}"#.into() };
        let calls = vec![call("f")];
        let piece = Piece::Tokens { first: 1, ids: vec![11], text: String::new(), chances: Vec::new(), calls };
        let (reason, account) = (FinishReason::ToolCalls, Account { cached_tokens: 5, dropped_tokens: 0 });
        let end = Piece::End { reason, text: String::new(), calls: vec![call("g")], account };
        Ok(vec![routed(), tokens(0, &[10], " \n"), Answer::Piece(piece), Answer::Piece(end), done()])
    })
}

async fn respond(lab: &Lab, more: &str) -> Came {
    lab.send("POST /v1/responses", format!(r#"{{"model":"smollm2-135m"{more}}}"#)).await
}

async fn work(more: &str) -> GenerateWork {
    let lab = lab();
    let came = respond(&lab, more).await;
    assert_eq!(came.status, 200, "{more}: {}", came.text());
    let submissions = lab.door.submissions.lock().unwrap();
    match Work::decode(&submissions[0].payload) {
        Ok(Work::Generate(work)) => work,
        other => panic!("{other:?}"),
    }
}

fn turns(work: &GenerateWork) -> Vec<String> {
    let Prompt::Chat(turns) = &work.prompt else { panic!("not a chat") };
    let each = turns.iter().map(|turn| {
        let calls: Vec<String> = turn.calls.iter().map(|call| format!(" {}={}", call.id, call.name)).collect();
        let answers = turn.answers.as_ref().map(|id| format!(" to {id}")).unwrap_or_default();
        format!("{}:{}{}{answers}", turn.role, turn.content, calls.concat())
    });
    each.collect()
}

fn events(text: &str) -> Vec<Value> {
    let event = |event: &str| {
        let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
        let json: Value = serde_json::from_str(data).unwrap();
        assert_eq!(json["type"], name);
        Some(json)
    };
    let events: Vec<Value> = text.split("\n\n").filter_map(event).collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    events
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

#[tokio::test]
async fn a_whole_response_has_its_message_usage_and_what_was_asked() {
    let more = r#","input":"hi","instructions":"be brief","max_output_tokens":16,"metadata":{"k":"v"},"temperature":0.5,"user":"u""#;
    let came = respond(&lab(), more).await;
    assert_eq!((came.status, came.header("x-hither-served-by")), (200, "munich"));
    let response = came.json();
    let id = "01900000-0000-7000-8000-000000000000";
    assert_eq!((&response["id"], &response["object"]), (&format!("resp_{id}").into(), &"response".into()));
    assert_eq!(
        (&response["status"], &response["error"], &response["store"]),
        (&"completed".into(), &Value::Null, &false.into())
    );
    assert_eq!(
        response["output"],
        json!([{"type": "message", "id": format!("msg_{id}_0"), "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello!", "annotations": [], "logprobs": []}]}])
    );
    assert_eq!(
        response["usage"],
        json!({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 11})
    );
    for (field, value) in [
        ("instructions", json!("be brief")),
        ("max_output_tokens", json!(16)),
        ("metadata", json!({"k": "v"})),
        ("temperature", json!(0.5)),
        ("top_p", json!(1.0)),
        ("text", json!({"format": {"type": "text"}})),
        ("tools", json!([])),
        ("tool_choice", json!("auto")),
        ("parallel_tool_calls", json!(true)),
        ("truncation", json!("disabled")),
        ("user", json!("u")),
        ("previous_response_id", Value::Null),
    ] {
        assert_eq!(response[field], value, "{field}");
    }
}

#[tokio::test]
async fn a_stream_tells_of_each_item_from_its_beginning_to_its_end() {
    let text = respond(&lab(), r#","input":"hi","stream":true"#).await.text();
    let events = events(&text);
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed"
        ]
    );
    let said: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!((said.as_str(), &events[7]["text"]), ("Hello!", &"Hello!".into()));
    assert_eq!(
        (&events[0]["response"]["status"], &events[0]["response"]["output"]),
        (&"in_progress".into(), &json!([]))
    );
    assert_eq!(events[2]["item"]["content"], json!([]));
    let whole = &events[10]["response"];
    assert_eq!(whole["output"][0], events[9]["item"]);
    assert_eq!((&whole["usage"]["total_tokens"], &whole["id"]), (&11.into(), &events[0]["response"]["id"]));
    assert!(text.contains(": hither {\"request\"") && !text.contains("[DONE]"));
}

#[tokio::test]
async fn calls_are_items_and_blanks_before_them_are_no_message() {
    let whole = respond(&calling(), &format!(r#","input":"hi"{TOOLS}"#)).await.json();
    let id = "01900000-0000-7000-8000-000000000000";
    let call = json!({"type": "function_call", "id": format!("fc_{id}_0"), "status": "completed",
        "call_id": format!("call_{id}_0"), "name": "f", "arguments": "{\"a\":1}"});
    assert_eq!((&whole["output"][0], &whole["output"][1]["name"]), (&call, &"g".into()));
    assert_eq!(whole["usage"]["input_tokens_details"]["cached_tokens"], 5);
    let text =
        respond(&calling(), &format!(r#","input":"hi","stream":true,"parallel_tool_calls":false{TOOLS}"#)).await.text();
    let events = events(&text);
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed"
        ]
    );
    assert_eq!((&events[2]["item"]["arguments"], &events[4]["arguments"]), (&"".into(), &"{\"a\":1}".into()));
    assert_eq!((&events[4]["name"], &events[5]["item"]), (&"f".into(), &call));
    let whole = &events[6]["response"];
    assert_eq!((whole["output"].as_array().unwrap().len(), &whole["hither"]["dropped_tool_calls"]), (1, &1.into()));
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_incomplete_and_one_that_breaks_off_has_failed() {
    let short = || Lab::new(|_| Ok(vec![routed(), tokens(0, &[10], "Hel"), end(FinishReason::Length, ""), done()]));
    let whole = respond(&short(), r#","input":"hi","max_output_tokens":1"#).await.json();
    assert_eq!(
        (&whole["status"], &whole["incomplete_details"]["reason"]),
        (&"incomplete".into(), &"max_output_tokens".into())
    );
    let streamed = respond(&short(), r#","input":"hi","stream":true"#).await.text();
    let last = events(&streamed).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["output"][0]["status"]),
        (&"response.incomplete".into(), &"incomplete".into())
    );
    let lost = || Lab::new(|_| Ok(vec![routed(), tokens(0, &[10], "Hel"), Answer::Failed(Failure::Silent)]));
    let streamed = respond(&lost(), r#","input":"hi","stream":true"#).await.text();
    let last = events(&streamed).pop().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&"response.failed".into(), &"failed".into()));
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Hel");
    let whole = respond(&lost(), r#","input":"hi""#).await;
    assert_eq!((whole.status, whole.json()["error"]["hither_code"].as_str()), (503, Some("E0509")));
    let silent = Lab::new(|_| Ok(vec![routed(), end(FinishReason::Stop, ""), done()]));
    let empty = respond(&silent, r#","input":"hi""#).await.json();
    assert_eq!(empty["output"][0]["content"][0]["text"], "");
}

#[tokio::test]
async fn items_become_turns() {
    let items = r#","instructions":"i","input":[{"role":"developer","content":"d"},{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
        {"type":"message","id":"m","status":"completed","role":"assistant","content":[{"type":"output_text","text":"c","annotations":[]}]},
        {"type":"function_call","call_id":"1","name":"f","arguments":"{}"},{"type":"function_call","call_id":"2","name":"g","arguments":"{}"},
        {"type":"function_call_output","call_id":"1","output":"x"},{"type":"function_call_output","call_id":"2","output":[{"type":"input_text","text":"y"}]}]"#;
    assert_eq!(
        turns(&work(items).await),
        ["system:i", "system:d", "user:ab", "assistant:c 1=f 2=g", "tool:x to 1", "tool:y to 2"]
    );
    assert_eq!(turns(&work(r#","input":"hi""#).await), ["user:hi"]);
}

#[tokio::test]
async fn options_reach_the_engine() {
    let asked = work(&format!(
        r#","input":"hi","tool_choice":{{"type":"function","name":"f"}},"max_output_tokens":5,"top_p":0.5,"seed":3,"truncation":"auto","top_logprobs":2,"include":["message.output_text.logprobs","reasoning.encrypted_content"],"reasoning":{{"effort":null}},"stream_options":null,"store":false,"background":false{TOOLS}"#
    ))
    .await;
    assert!(asked.tool_choice == ToolChoice::Named("f".into()) && asked.tools[0].parameters == r#"{"type":"object"}"#);
    assert_eq!((asked.max_tokens, asked.top_p, asked.seed, asked.chances), (Some(5), 0.5, 3, Some(2)));
    assert_eq!(asked.overflow, Overflow::DropOldest);
    let schema = work(r#","input":"hi","text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}},"verbosity":"medium"}"#).await;
    assert!(schema.format == Format::Schema(r#"{"type":"object"}"#.into()));
    assert!(work(r#","input":"hi","text":{"format":{"type":"json_object"}}"#).await.format == Format::Json);
}

#[tokio::test]
async fn what_needs_memory_or_is_not_offered_is_a_400_that_names_the_field() {
    let lab = lab();
    for (more, param) in [
        ("", "input"),
        (r#","input":[]"#, "input"),
        (r#","input":7"#, "input"),
        (r#","input":[{"role":"wizard","content":"x"}]"#, "input"),
        (r#","input":[{"role":"user"}]"#, "input"),
        (r#","input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]"#, "input"),
        (r#","input":[{"type":"item_reference","id":"x"}]"#, "input"),
        (r#","input":[{"type":"function_call","name":"f","arguments":"{}"}]"#, "input"),
        (r#","input":"hi","store":true"#, "store"),
        (r#","input":"hi","background":true,"store":false"#, "store"),
        (r#","input":"hi","previous_response_id":"resp_1""#, "previous_response_id"),
        (r#","input":"hi","conversation":"conv_1""#, "conversation"),
        (r#","input":"hi","prompt":{"id":"p"}"#, "prompt"),
        (r#","input":"hi","reasoning":{"effort":"high"}"#, "reasoning"),
        (r#","input":"hi","tools":[{"type":"web_search"}]"#, "tools"),
        (r#","input":"hi","tools":[{"type":"function"}]"#, "tools"),
        (r#","input":"hi","tool_choice":"required""#, "tool_choice"),
        (r#","input":"hi","tool_choice":{"type":"file_search"}"#, "tool_choice"),
        (r#","input":"hi","text":{"format":{"type":"xml"}}"#, "text"),
        (r#","input":"hi","text":{"format":{"type":"json_schema"}}"#, "text"),
        (r#","input":"hi","text":{"verbosity":"low"}"#, "text"),
        (r#","input":"hi","include":["all"]"#, "include"),
        (r#","input":"hi","top_logprobs":2"#, "top_logprobs"),
        (r#","input":"hi","max_output_tokens":0"#, "max_output_tokens"),
        (r#","input":"hi","stream_options":{"include_obfuscation":false}"#, "stream_options"),
        (r#","input":"hi","stream":true,"stream_options":{"include_usage":true}"#, "stream_options"),
        (r#","input":"hi","temprature":1"#, "temprature"),
    ] {
        let came = respond(&lab, more).await;
        assert_eq!(
            (came.status, came.json()["error"]["param"].as_str()),
            (400, Some(param)),
            "{more}: {}",
            came.text()
        );
    }
    assert!(lab.door.submissions.lock().unwrap().is_empty());
    for head in ["GET /v1/responses/resp_1", "DELETE /v1/responses/resp_1", "POST /v1/responses/resp_1/cancel"] {
        let came = lab.send(head, "").await;
        assert_eq!((came.status, came.json()["error"]["hither_code"].as_str()), (404, Some("E0408")), "{head}");
    }
}
