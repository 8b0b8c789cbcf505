//! One model of scikit-learn over HTTP: a node of ours beside MLServer and mosec.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::Setting;
use super::page::{Goal, Row, median, short};
use super::run::{Server, bench, number, port};

/// Requests at once: few, and more than there are processors by far.
const STREAMS: [u64; 2] = [8, 32];

const PART: &str = "A small model over HTTP: a node beside MLServer and mosec";

const MLSERVER_RATE_MIN: f64 = 10.0;
const MOSEC_RATE_MIN: f64 = 2.0;
const CPU_MAX_US: f64 = 60.0;

/// Found with `perf record` on the node.
const WHY_CPU: &str = "half of it is the kernel's: two connections and a worker's socket, and the switches between the node's threads and \
                       the worker that go with them; of the rest most is allocation, and two tasks for each request";

const WHY_BATCH: &str = "mosec waits a millisecond for up to 16 requests, and pays for one switch of processes in the place of 16; a \
                         node here hands over what waits already, and its door costs what the next lines say";

/// What each round is told.
fn words(body: &Path) -> Vec<String> {
    let streams = STREAMS.map(|streams| streams.to_string()).join(",");
    let words = ["--body", &body.display().to_string(), "--streams", &streams, "--seconds", "2"];
    words.map(str::to_owned).to_vec()
}

fn mlserver(setting: &Setting, words: &[&str]) -> Result<Server, String> {
    let dir = setting.scratch.join("mlserver");
    let fraud = setting.rivals.join("fraud");
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for file in ["model.joblib", "model-settings.json"] {
        std::fs::copy(fraud.join(file), dir.join(file))
            .map_err(|error| format!("{}: {error}; scripts/rivals/setup makes it", fraud.join(file).display()))?;
    }
    let (http, grpc, metrics) = (port()?, port()?, port()?);
    let settings = json!({
        "parallel_workers": 0, "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "debug": false,
    });
    super::write(&dir.join("settings.json"), &settings.to_string())?;
    let mut command = Command::new(setting.rivals.join("mlserver/bin/mlserver"));
    command.args(["start", "."]).current_dir(&dir);
    let url = format!("http://127.0.0.1:{http}/v2/models/model/infer");
    Server::start(setting, &mut command, &setting.scratch.join("mlserver.log"), url, words)
}

fn mosec(setting: &Setting, batch: &str, words: &[&str]) -> Result<Server, String> {
    let port = port()?;
    let mut command = Command::new(setting.rivals.join("mosec/bin/python"));
    command.arg(crate::tidy::root().join("scripts/rivals/mosec_server.py"));
    command.args(["--port", &port.to_string()]).current_dir(&setting.scratch);
    command.env("MODEL", setting.rivals.join("fraud/fraud_sklearn.onnx")).env("WORKERS", "1").env("BATCH", batch);
    let url = format!("http://127.0.0.1:{port}/inference");
    Server::start(setting, &mut command, &setting.scratch.join(format!("mosec-{batch}.log")), url, words)
}

/// Rows for each rival and each number of streams.
pub(super) fn rows(setting: &Setting) -> Vec<Row> {
    let body = setting.rivals.join("fraud/request.json");
    let model = setting.rivals.join("fraud/fraud_sklearn.onnx").display().to_string();
    let words = words(&body);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut trial = words.clone();
    trial.extend(["--seconds", "0.1"]);
    // Given twice, the last would be refused: the trial has its own.
    trial.drain(4..6);
    let servers = [
        ("MLServer", mlserver(setting, &trial)),
        ("mosec", mosec(setting, "1", &trial)),
        ("mosec, batches", mosec(setting, "16", &trial)),
    ];
    // As mosec has it: up to 16 that wait already go together.
    let mut own_words = vec!["--model", model.as_str(), "--http", "--max-batch", "16"];
    own_words.extend(&words);
    let mut own = Vec::new();
    let mut theirs: [Result<Vec<Value>, String>; 3] = servers.each_ref().map(|(name, server)| match server {
        Ok(_) => Ok(Vec::new()),
        Err(why) => Err(format!("{name}: {why}")),
    });
    for _ in 0..setting.rounds {
        match bench(setting, &own_words) {
            Ok(found) => own.push(found),
            Err(why) => return vec![missing("this program", &why)],
        }
        for ((_, server), found) in servers.iter().zip(&mut theirs) {
            let (Ok(server), Ok(rounds)) = (server, found.as_mut()) else { continue };
            match server.round(setting, &words) {
                Ok(round) => rounds.push(round),
                Err(why) => *found = Err(why),
            }
        }
    }
    let mut rows = Vec::new();
    for ((name, _), found) in servers.iter().zip(&theirs) {
        let least = if *name == "MLServer" { MLSERVER_RATE_MIN } else { MOSEC_RATE_MIN };
        for streams in STREAMS {
            rows.push(rate(name, streams, least, &own, found));
        }
    }
    for streams in STREAMS {
        rows.push(spent(streams, &own));
    }
    rows
}

fn missing(what: &str, why: &str) -> Row {
    Row {
        part: PART,
        what: what.to_owned(),
        goal: Goal::None,
        unit: "",
        figures: Err(why.to_owned()),
        ours: "–".to_owned(),
        theirs: "–".to_owned(),
        why: "",
    }
}

/// Requests a second, beside a rival's.
fn rate(name: &str, streams: u64, least: f64, own: &[Value], theirs: &Result<Vec<Value>, String>) -> Row {
    let what = format!("requests a second beside {name}, {streams} at once");
    let theirs = match theirs {
        Ok(theirs) => theirs,
        Err(why) => return missing(&what, why),
    };
    let rate = |found: &Value| number(found, streams, "/requests_per_s");
    let figures = own.iter().zip(theirs).filter_map(|(own, theirs)| Some(rate(own)? / rate(theirs)?)).collect();
    Row {
        goal: Goal::AtLeast(least),
        figures: Ok(figures),
        ours: said(own, streams),
        theirs: said(theirs, streams),
        why: if name == "mosec, batches" { WHY_BATCH } else { WHY_CPU },
        ..missing(&what, "")
    }
}

/// Processor time of a request, of all processes of a node.
fn spent(streams: u64, own: &[Value]) -> Row {
    let figures = own.iter().filter_map(|found| number(found, streams, "/cpu_us_per_request")).collect();
    Row {
        goal: Goal::AtMost(CPU_MAX_US),
        unit: "µs",
        figures: Ok(figures),
        ours: said(own, streams),
        why: WHY_CPU,
        ..missing(&format!("processor time of a request, {streams} at once"), "")
    }
}

fn said(found: &[Value], streams: u64) -> String {
    let middle = |path: &str| {
        let numbers: Vec<f64> = found.iter().filter_map(|found| number(found, streams, path)).collect();
        short(median(&numbers))
    };
    format!(
        "{}/s, p50 {} µs, p99 {} µs, processor {} µs",
        middle("/requests_per_s"),
        middle("/latency_us/p50"),
        middle("/latency_us/p99"),
        middle("/cpu_us_per_request")
    )
}
