//! The benchmark itself: a few real nodes, a few requests, and numbers that add up.

use super::{ends, hither, text};

#[test]
fn a_small_mesh_is_measured_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace.jsonl");
    let line = |at: u32| {
        let (at, node) = (at * 20_000, at % 3);
        format!("{{\"at_us\":{at},\"node\":{node},\"work_us\":30000,\"deadline_us\":60000000}}\n")
    };
    std::fs::write(&trace, (0..30).map(line).collect::<String>()).unwrap();
    let (mesh, samples) = (dir.path().join("mesh"), dir.path().join("samples.jsonl"));
    let args = ["--json", "bench", "mesh", "--nodes", "3", "--slots", "2", "--trace", text(&trace)];
    let args: Vec<&str> = args.into_iter().chain(["--dir", text(&mesh), "--samples", text(&samples)]).collect();
    let output = hither(&args);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    let object: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((object["requests"].as_u64(), object["answered"].as_u64()), (Some(30), Some(30)), "{object}");
    assert!(object["latency_us"]["p50"].as_f64() >= Some(30_000.0), "{object}");
    // Ticks of ten milliseconds: a mesh that does so little may use none.
    assert!(object["processor"]["count"].as_f64() > Some(0.0), "{object}");
    assert_eq!(std::fs::read_to_string(samples).unwrap().lines().count(), 30);
    assert!(!mesh.exists());
}

#[test]
fn a_trace_that_cannot_be_replayed_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace.jsonl");
    std::fs::write(&trace, "{\"at_us\":0}\n").unwrap();
    let (_, stderr) = ends(&["bench", "mesh", "--trace", text(&trace)], 2);
    assert!(stderr.contains("error[E0912]") && stderr.contains("line 1"), "{stderr}");
    ends(&["bench", "mesh", "--trace", "/nonexistent"], 1);
}

/// ONNX Runtime, if it was fetched; a run that promises it fails without it.
fn runtime() -> Option<std::path::PathBuf> {
    let found = hither_node::find_library(None);
    assert!(found.is_some() || std::env::var_os("HITHER_NEEDS_MODELS").is_none(), "scripts/fetch-models");
    found
}

#[test]
fn one_model_is_measured_alone_behind_http_and_from_outside() {
    let Some(library) = runtime() else {
        eprintln!("not run: ONNX Runtime is not there; scripts/fetch-models");
        return;
    };
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/fraud.onnx");
    for way in [&[][..], &["--http"]] {
        let mut args = vec!["--json", "bench", "engine", "--model", model, "--streams", "1,3", "--seconds", "0.3"];
        args.extend(["--library", text(&library)]);
        args.extend(way);
        let output = hither(&args);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stdout} {}", String::from_utf8_lossy(&output.stderr));
        let object: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        for (round, streams) in [(0, 1), (1, 3)] {
            let round = &object["rounds"][round];
            assert_eq!(round["streams"], streams, "{object}");
            let number = |path: &str| round.pointer(path).and_then(serde_json::Value::as_f64).unwrap();
            assert!(number("/requests") >= f64::from(streams), "{object}");
            assert!(number("/latency_us/p50") <= number("/latency_us/p99"), "{object}");
            assert!(number("/memory_bytes") > 1e6, "{object}");
        }
    }
}

#[test]
fn what_cannot_be_measured_is_named_with_what_to_type() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.txt");
    std::fs::write(&file, "no model").unwrap();
    let (_, stderr) = ends(&["bench", "engine", "--model", text(&file)], 2);
    assert!(stderr.contains("neither .onnx nor .gguf") && stderr.contains("help:"), "{stderr}");
    for url in ["ftp://127.0.0.1:1/", "http://192.0.2.1:80/v1/completions", "http://127.0.0.1"] {
        let (_, stderr) = ends(&["bench", "engine", "--at", url, "--body", text(&file)], 2);
        assert!(stderr.contains("E0912"), "{url}: {stderr}");
    }
    let (_, stderr) = ends(&["bench", "engine", "--at", "http://127.0.0.1:9/infer"], 2);
    assert!(stderr.contains("--body REQUEST.json"), "{stderr}");
    ends(&["bench", "engine"], 2);
}
