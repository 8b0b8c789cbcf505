//! The Open Inference Protocol.

use serde_json::{Value, json};

use super::codes::{BODY, KEYED, LABEL, MESH, MODEL};
use super::operation::{Operation, Place};
use super::parts::{ASKED, SERVED, schema, text};
use crate::errors::Code;
use crate::oip::repository::Entry;
use crate::oip::statistics::All;
use crate::oip::{Live, Metadata, Ready, Server};
use crate::respond::Form;

const OIP: Place = Place("Open Inference Protocol", Form::Inference);

pub(super) fn all() -> Vec<Operation> {
    let of_model = [model(), ready(), infer(), config(), statistics()];
    let of_version = of_model.clone().map(Operation::versioned);
    [vec![server()], health(), of_model.into(), of_version.into(), repository(), settings(), shared_memory()].concat()
}

/// What speaks of one model.
fn of_model(operation: Operation) -> Operation {
    operation.with(&["model"]).errors(&[Code::UnknownModel, Code::NotAllowed, Code::Malformed])
}

fn server() -> Operation {
    OIP.get("/v2", "serverMetadata", "What the server is, and which extensions it has.").gives::<Server>("The server.")
}

fn health() -> Vec<Operation> {
    vec![
        OIP.get("/v2/health/live", "serverLive", "Whether the server lives.").gives::<Live>("It does.").open(),
        OIP.get("/v2/health/ready", "serverReady", "Whether the server takes requests.")
            .gives::<Ready<'_>>("It does.")
            .errors(&[Code::Stopping])
            .open(),
    ]
}

fn model() -> Operation {
    of_model(OIP.get("/v2/models/{model}", "modelMetadata", "What a model takes and gives."))
        .gives::<Metadata<'_>>("The model.")
}

fn ready() -> Operation {
    of_model(OIP.get("/v2/models/{model}/ready", "modelReady", "Whether a node that is there has the model."))
        .gives::<Ready<'_>>("One has.")
        .errors(&[Code::NoCapacity])
}

fn config() -> Operation {
    of_model(OIP.get("/v2/models/{model}/config", "modelConfig", "How a model is set up.")).gives_as(
        200,
        "The configuration.",
        "application/json",
        schema("ModelConfig"),
    )
}

fn statistics() -> Operation {
    of_model(OIP.get("/v2/models/{model}/stats", "modelStatistics", "What was counted of a model since the start."))
        .gives::<All>("The counts; spans in nanoseconds.")
}

fn infer() -> Operation {
    let binary = json!({ "type": "string", "format": "binary" });
    let example = json!({ "inputs": [{
        "name": "features", "datatype": "FP32", "shape": [1, 4], "data": [0.1, 0.2, 0.3, 0.4],
    }] });
    of_model(OIP.post("/v2/models/{model}/infer", "infer", "Tensors in, tensors out."))
        .about("Tensors in binary form follow the JSON, in the order of the inputs, where the header \
                Inference-Header-Content-Length says how long the JSON is. The answer is compressed where Accept-Encoding \
                has gzip or deflate and it is worth it.")
        .with(&ASKED)
        .with(&["Content-Encoding", "Idempotency-Key", "Inference-Header-Content-Length"])
        .body_of(json!({ "required": true, "content": {
            "application/json": { "schema": schema("InferRequest"), "example": example },
            "application/octet-stream": { "schema": binary },
        } }))
        .gives_as(200, "The outputs.", "application/json", schema("InferResponse"))
        .or_as("application/octet-stream", binary)
        .headers(SERVED)
        .headers(&["Inference-Header-Content-Length", "Content-Encoding", "Vary"])
        .errors(BODY)
        .errors(KEYED)
        .errors(LABEL)
        .errors(MODEL)
        .errors(MESH)
        .errors(&[Code::WrongTensor, Code::Unsupported, Code::NotJson])
}

fn repository() -> Vec<Operation> {
    let optional = |name| {
        let content = json!({ "application/json": { "schema": schema(name), "example": {} } });
        json!({ "required": false, "content": content })
    };
    let change = |path, id, summary| {
        of_model(OIP.post(path, id, summary))
            .about("A command: an app over the Unix socket may not give it.")
            .with(&["x-hither-timeout-ms", "Content-Encoding"])
            .body_of(optional("RepositoryChange"))
            .gives_nothing(200, "Done.")
            .errors(BODY)
            .errors(&[Code::LabelUnreadable, Code::DeadlinePassed, Code::NoCapacity])
    };
    vec![
        OIP.get("/v2/models/stats", "allStatistics", "What was counted of all models since the start.")
            .gives::<All>("The counts; spans in nanoseconds."),
        OIP.post("/v2/repository/index", "repositoryIndex", "All models, and whether they are open here.")
            .with(&["Content-Encoding"])
            .body_of(optional("RepositoryIndexRequest"))
            .gives::<Vec<Entry>>("The models.")
            .errors(BODY),
        change(
            "/v2/repository/models/{model}/load",
            "repositoryLoad",
            "Opens a model here, and waits until it is open.",
        )
        .errors(&[Code::Unsupported, Code::ModelBroken]),
        change("/v2/repository/models/{model}/unload", "repositoryUnload", "Closes a model here, once nobody uses it."),
    ]
}

fn settings() -> Vec<Operation> {
    let trace: Value = crate::oip::settings::TRACE.iter().map(|(name, _)| ((*name).to_owned(), text())).collect();
    let mut trace = json!({ "type": "object", "properties": trace });
    trace["properties"]["trace_level"] = json!({ "type": "array", "items": text() });
    let fixed = |path, id| {
        let refused = OIP.post(path, id, "Cannot be changed by a request.");
        refused.errors(&[Code::NotOffered]).body_of(
            json!({ "required": false, "content": { "application/json": { "schema": { "type": "object" } } } }),
        )
    };
    vec![
        OIP.get("/v2/trace/setting", "traceSetting", "Tracing, as the protocol names it: it is off.").gives_as(
            200,
            "The settings.",
            "application/json",
            trace.clone(),
        ),
        fixed("/v2/trace/setting", "changeTraceSetting"),
        of_model(OIP.get("/v2/models/{model}/trace/setting", "traceSettingOfModel", "The same of one model."))
            .gives_as(200, "The settings.", "application/json", trace),
        fixed("/v2/models/{model}/trace/setting", "changeTraceSettingOfModel")
            .with(&["model"])
            .errors(&[Code::NotAllowed]),
        OIP.get("/v2/logging", "logging", "The log, as the protocol names it.").gives_as(
            200,
            "The settings.",
            "application/json",
            json!({ "type": "object" }),
        ),
        fixed("/v2/logging", "changeLogging"),
    ]
}

/// Clients look for it; there is none.
fn shared_memory() -> Vec<Operation> {
    let none = json!({ "type": "array", "maxItems": 0 });
    let of_kind = |kind: &str| {
        let at = format!("/v2/{kind}sharedmemory");
        let status = |path: &str, id: &str| {
            OIP.get(path, id, "The regions that are shared: none.").gives_as(
                200,
                "None.",
                "application/json",
                none.clone(),
            )
        };
        let share =
            |path: &str, id: &str| OIP.post(path, id, "No memory is shared with callers.").errors(&[Code::NotOffered]);
        vec![
            status(&format!("{at}/status"), &format!("{kind}SharedMemory")),
            status(&format!("{at}/region/{{region}}/status"), &format!("{kind}SharedMemoryRegion")).with(&["region"]),
            share(&format!("{at}/unregister"), &format!("{kind}SharedMemoryUnregister")),
            share(&format!("{at}/region/{{region}}/register"), &format!("{kind}SharedMemoryRegionRegister"))
                .with(&["region"]),
            share(&format!("{at}/region/{{region}}/unregister"), &format!("{kind}SharedMemoryRegionUnregister"))
                .with(&["region"]),
        ]
    };
    [of_kind("system"), of_kind("cuda")].concat()
}
