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
