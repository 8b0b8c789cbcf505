//! The index, loading and unloading, statistics, configuration and settings, as clients see them.

use hither_engine::work::{Piece, Tensor};
use hither_types::message::ModelStage;
use hither_types::model::Datatype;
use serde_json::{Value, json};

use crate::door::Answer;
use crate::routes::Listener;
use crate::tests::fake::{FakeDoor, done, example, routed};
use crate::tests::lab::Lab;

fn lab() -> Lab {
    behind(Listener::Tcp)
}

fn behind(listener: Listener) -> Lab {
    let scores = || Tensor {
        name: "score".to_owned(),
        datatype: Datatype::Fp32,
        shape: vec![2, 2],
        data: [0.25f32, 0.75, 0.5, -1.0].iter().flat_map(|number| number.to_le_bytes()).collect(),
    };
    let script = move |_: &_| Ok(vec![routed(), Answer::Piece(Piece::Outputs(vec![scores()])), done()]);
    Lab::behind(FakeDoor::new(script), listener)
}

const TWO_ROWS: &str = r#"{"inputs":[{"name":"features","datatype":"FP32","shape":[2,4],"data":[1,2,3,4,5,6,7,8]}],"outputs":[{"name":"score"MORE}]}"#;

#[tokio::test]
async fn the_index_says_how_each_model_stands_here() {
    let all = json!([
        { "name": "echo", "version": "1", "state": "UNAVAILABLE", "reason": "its file is at no node that is known" },
        { "name": "fraud", "version": "1", "state": "READY" },
        { "name": "maintenance", "version": "1", "state": "UNAVAILABLE", "reason": "its file is not here; requests for it go to munich, jakarta" },
        { "name": "smollm2-135m", "version": "1", "state": "LOADING", "reason": "its file is being fetched" },
    ]);
    let lab = lab();
    for (body, wanted) in
        [("", &all), ("{}", &all), (r#"{"ready":false}"#, &all), (r#"{"ready":true}"#, &json!([all[1]]))]
    {
        let came = lab.send("POST /v2/repository/index", body).await;
        assert_eq!((came.status, &came.json()), (200, wanted), "{body}");
    }
    for body in [r#"{"ready":1}"#, r#"{"ready":"true"}"#, "[", "[1]"] {
        assert_eq!(lab.send("POST /v2/repository/index", body).await.status, 400, "{body}");
    }
    let deep = lab.send("POST /v2/repository/index", "[".repeat(250_000)).await;
    assert!(deep.status == 400 && deep.text().contains("nests deeper"), "{}", deep.text());
    assert_eq!(lab.send("GET /v2/repository/index", "").await.status, 405);
}

#[tokio::test]
async fn loading_opens_what_is_here_and_leaves_the_rest_to_an_operator() {
    let lab = lab();
    let load = async |model: &str, body: &str| {
        lab.send(&format!("POST /v2/repository/models/{model}/load"), body.to_owned()).await
    };
    let done = load("fraud", "").await;
    assert_eq!((done.status, done.text().as_str()), (200, ""));
    assert_eq!(load("fraud", r#"{"parameters":{"a":"b"}}"#).await.status, 200);
    for (model, body, status, said) in [
        ("none", "", 404, "nobody in the mesh has a model called none"),
        ("..%2F..%2Fetc", "", 404, "model called ../../etc"),
        ("maintenance", "", 503, "hither models pull maintenance"),
        ("fraud", r#"{"parameters":{"config":"{}"}}"#, 400, "nothing of it is set by a request"),
        ("fraud", r#"{"parameters":{"file:../../../x":"aGk="}}"#, 400, "nothing of it is set by a request"),
        ("fraud", r#"{"parameters":{"a":null}}"#, 400, "value of a parameter"),
        ("fraud", r#"{"parameters":7}"#, 400, "the body"),
    ] {
        let came = load(model, body).await;
        assert_eq!(came.status, status, "{model} {body}: {}", came.text());
        assert!(came.text().contains(said), "{model} {body}: {}", came.text());
    }
    let long = load("fraud", &format!(r#"{{"parameters":{{"file:{}":""}}}}"#, "x".repeat(400))).await;
    assert_eq!(long.status, 400);
    assert!(lab.door.commands.lock().unwrap().is_empty(), "nothing was asked of the node");
}

#[tokio::test]
async fn a_cold_model_is_waited_for_until_it_is_open() {
    let lab = lab();
    let mut view = example();
    view.nodes[0].models[0].stage = ModelStage::Stored;
    lab.door.show(view);
    let load = lab.send("POST /v2/repository/models/fraud/load", "");
    let open = async {
        // The command is given first; then the node opens it.
        while lab.door.commands.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        lab.door.show(example());
    };
    let (came, ()) = tokio::join!(load, open);
    assert_eq!(came.status, 200, "{}", came.text());
    assert_eq!(*lab.door.commands.lock().unwrap(), [r#"PullModel("fraud")"#]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_open_or_close_in_time_is_said() {
    let lab = lab();
    let unload = lab.send("POST /v2/repository/models/fraud/unload\nx-hither-timeout-ms: 50", "").await;
    assert_eq!(unload.status, 504, "{}", unload.text());
    assert!(unload.text().contains("still in use"), "{}", unload.text());
    assert_eq!(*lab.door.commands.lock().unwrap(), [r#"CloseModel("fraud")"#]);
    let mut view = example();
    view.nodes[0].models[0].stage = ModelStage::Stored;
    view.nodes[0].models[0].note = "loading for 3.0 s".to_owned();
    lab.door.show(view.clone());
    let load = lab.send("POST /v2/repository/models/fraud/load\nx-hither-timeout-ms: 50", "").await;
    assert!(load.status == 504 && load.text().contains("loading for 3.0 s"), "{}", load.text());
    let done =
        lab.send("POST /v2/repository/models/fraud/unload", r#"{"parameters":{"unload_dependents":true}}"#).await;
    assert_eq!((done.status, done.text().as_str()), (200, ""));
    view.nodes[0].models[0].stage = ModelStage::Quarantined;
    lab.door.show(view);
    let load = lab.send("POST /v2/repository/models/fraud/load", "").await;
    assert!(load.status == 500 && load.text().contains("quarantine"), "{}", load.text());
    assert_eq!(lab.send("POST /v2/repository/models/none/unload", "").await.status, 404);
}

#[tokio::test]
async fn statistics_count_what_was_answered_and_what_was_not() {
    let lab = lab();
    for _ in 0..3 {
        assert_eq!(lab.send("POST /v2/models/fraud/infer", TWO_ROWS.replace("MORE", "")).await.status, 200);
    }
    // What is wrong is never handed in.
    assert_eq!(lab.send("POST /v2/models/fraud/infer", "{}").await.status, 400);
    let came = lab.send("GET /v2/models/fraud/versions/1/stats", "").await.json();
    let stats = &came["model_stats"][0];
    assert_eq!(
        (&stats["name"], &stats["inference_count"], &stats["execution_count"]),
        (&json!("fraud"), &json!(6), &json!(3))
    );
    for (name, count) in [
        ("success", 3),
        ("fail", 0),
        ("queue", 3),
        ("compute_input", 3),
        ("compute_infer", 3),
        ("compute_output", 3),
        ("cache_hit", 0),
        ("cache_miss", 0),
    ] {
        assert_eq!(stats["inference_stats"][name]["count"], count, "{name}");
    }
    assert_eq!(stats["inference_stats"]["queue"]["ns"], 3 * 1_250_000);
    assert_eq!(stats["inference_stats"]["compute_infer"]["ns"], 3 * 320_001_000u64);
    assert_eq!(
        (&stats["batch_stats"][0]["batch_size"], &stats["batch_stats"][0]["compute_infer"]["count"]),
        (&json!(2), &json!(3))
    );
    let all = lab.send("GET /v2/models/stats", "").await.json();
    let names: Vec<&Value> = all["model_stats"].as_array().unwrap().iter().map(|stats| &stats["name"]).collect();
    assert_eq!(names, ["fraud", "maintenance", "smollm2-135m", "echo"]);
    assert_eq!(all["model_stats"][0], *stats);
    assert_eq!(all["model_stats"][1]["last_inference"], 0);
    for path in [
        "/v2/models/none/stats",
        "/v2/models/fraud/versions/2/stats",
        "/v2/models/none/config",
        "/v2/models/none/trace/setting",
    ] {
        assert_eq!(lab.send(&format!("GET {path}"), "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_configuration_has_whole_shapes_and_says_what_the_model_runs_on() {
    let config = lab().send("GET /v2/models/fraud/config", "").await.json();
    assert_eq!(
        (&config["name"], &config["backend"], &config["max_batch_size"]),
        (&json!("fraud"), &json!("onnxruntime"), &json!(0))
    );
    assert_eq!(config["model_transaction_policy"], json!({ "decoupled": false }));
    assert_eq!((&config["input"][0]["data_type"], &config["input"][0]["dims"]), (&json!("TYPE_FP32"), &json!([-1, 4])));
    assert_eq!(
        config["output"][0],
        json!({ "name": "label", "data_type": "TYPE_INT64", "dims": [-1], "label_filename": "", "is_shape_tensor": false })
    );
    assert_eq!(config["instance_group"], json!([{ "name": "fraud", "kind": "KIND_MODEL", "count": 4, "gpus": [] }]));
    assert_eq!(config["parameters"]["digest"]["string_value"], "10".repeat(32));
    let text = lab().send("GET /v2/models/smollm2-135m/versions/1/config", "").await.json();
    assert_eq!(
        (&text["backend"], &text["input"], &text["instance_group"]),
        (&json!("llamacpp"), &json!([]), &json!([]))
    );
}

#[tokio::test]
async fn classes_come_in_the_place_of_elements() {
    let body = TWO_ROWS.replace("MORE", r#","parameters":{"classification":1}"#);
    let came = lab().send("POST /v2/models/fraud/infer", body).await;
    assert_eq!(
        came.json()["outputs"],
        json!([{ "name": "score", "datatype": "BYTES", "shape": [2, 1], "data": ["0.750000:1", "0.500000:0"] }])
    );
}

#[tokio::test]
async fn settings_are_shown_and_not_changed_and_no_memory_is_shared() {
    let lab = lab();
    for (path, key, value) in [
        ("/v2/trace/setting", "trace_level", json!(["OFF"])),
        ("/v2/models/fraud/trace/setting", "trace_level", json!(["OFF"])),
        ("/v2/logging", "log_error", json!(true)),
    ] {
        let came = lab.send(&format!("GET {path}"), "").await;
        assert_eq!((came.status, &came.json()[key]), (200, &value), "{path}");
        let change = lab.send(&format!("POST {path}"), "{}").await;
        assert_eq!((change.status, change.json()["code"].as_str()), (501, Some("E0410")), "{path}");
    }
    for kind in ["system", "cuda"] {
        for path in ["status", "region/mine/status"] {
            let came = lab.send(&format!("GET /v2/{kind}sharedmemory/{path}"), "").await;
            assert_eq!((came.status, came.text().as_str()), (200, "[]"), "{kind} {path}");
        }
        for path in ["region/mine/register", "region/mine/unregister", "unregister"] {
            let came = lab.send(&format!("POST /v2/{kind}sharedmemory/{path}"), "{}").await;
            assert!(came.status == 501 && came.text().contains("in the request itself"), "{}", came.text());
        }
    }
}

#[tokio::test]
async fn a_large_answer_is_compressed_for_those_who_ask() {
    let values: Vec<u8> = (0..2000u32).flat_map(|number| (number as f32).to_le_bytes()).collect();
    let big = Tensor { name: "score".to_owned(), datatype: Datatype::Fp32, shape: vec![1000, 2], data: values };
    let lab = Lab::new(move |_| Ok(vec![routed(), Answer::Piece(Piece::Outputs(vec![big.clone()])), done()]));
    let body = TWO_ROWS.replace("MORE", r#","parameters":{"binary_data":true}"#);
    let plain = lab.send("POST /v2/models/fraud/infer", body.clone()).await;
    assert_eq!((plain.status, plain.header("content-encoding")), (200, "-"));
    let packed = lab.send("POST /v2/models/fraud/infer\naccept-encoding: deflate, gzip;q=0.5", body).await;
    assert_eq!(packed.header("content-encoding"), "deflate");
    // The length is that of the JSON before it was compressed.
    assert_eq!(packed.header("inference-header-content-length"), plain.header("inference-header-content-length"));
    let mut back = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&packed.bytes[..]), &mut back).unwrap();
    assert_eq!(back, plain.bytes);
    assert!(packed.bytes.len() < plain.bytes.len());
    let index = lab.send("POST /v2/repository/index\naccept-encoding: gzip", "").await;
    assert_eq!(index.header("content-encoding"), "-", "clients look for a coding on tensors alone");
}
