//! What models there are, and which of them are open here, as Ollama tells of them.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use data_encoding::HEXLOWER;
use hither_types::message::ModelStage;
use hither_types::model::{Device, Manifest, ModelIo};
use hither_types::view::{ModelView, PresenceView};
use serde::Serialize;
use serde_json::{Value, json as value};

use super::{find, parse};
use crate::callers::Caller;
use crate::chorus::take_in;
use crate::errors::Problem;
use crate::fields::Fields;
use crate::respond::{self, Form, json};
use crate::routes::App;

/// The version of Ollama's API that is spoken. Clients refuse to speak with versions that they take for too old.
const SPOKEN: &str = "0.13.3";

/// The catalog knows a model by its bytes, and bytes have no date.
const UNDATED: &str = "1970-01-01T00:00:00Z";

/// A model stays until its memory is needed, and nobody knows when that is.
const UNTIL_NEEDED: &str = "9999-12-31T23:59:59Z";

/// What the catalog does not know. It knows a model from outside: its name, its bytes, what goes in and what comes out.
const UNKNOWN: &str = "unknown";

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "{T}List"))]
pub(crate) struct List<T: Serialize> {
    models: Vec<T>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaModel"))]
pub(crate) struct TagForm {
    name: String,
    model: String,
    modified_at: &'static str,
    size: u64,
    digest: String,
    details: DetailsForm,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaRunningModel"))]
pub(crate) struct RunningForm {
    name: String,
    model: String,
    size: u64,
    digest: String,
    details: DetailsForm,
    expires_at: &'static str,
    size_vram: u64,
    context_length: u32,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaModelDetails"))]
struct DetailsForm {
    parent_model: &'static str,
    format: &'static str,
    family: &'static str,
    families: [&'static str; 0],
    parameter_size: &'static str,
    quantization_level: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaModelCard"))]
pub(crate) struct ShowForm {
    license: String,
    modelfile: &'static str,
    parameters: &'static str,
    template: &'static str,
    modified_at: &'static str,
    details: DetailsForm,
    model_info: BTreeMap<&'static str, Value>,
    capabilities: [&'static str; 3],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaVersion"))]
pub(crate) struct VersionForm {
    version: &'static str,
    hither: &'static str,
}

fn details(manifest: &Manifest) -> DetailsForm {
    DetailsForm {
        parent_model: "",
        format: manifest.format.as_str(),
        family: UNKNOWN,
        families: [],
        parameter_size: UNKNOWN,
        quantization_level: UNKNOWN,
    }
}

/// The name with a tag, as Ollama writes names.
fn tagged(manifest: &Manifest) -> String {
    let name = manifest.name.as_str();
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// Those that this API can speak with, here or at a peer.
pub(super) async fn tags(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let view = app.door.view();
    let view = view.borrow();
    let speaking = view.models.iter().filter(|manifest| matches!(manifest.io, ModelIo::Language { .. }));
    let speaking = speaking.filter(|manifest| caller.sees(&manifest.name));
    let models = speaking
        .map(|manifest| TagForm {
            name: tagged(manifest),
            model: tagged(manifest),
            modified_at: UNDATED,
            size: manifest.size.0,
            digest: HEXLOWER.encode(&manifest.sha256),
            details: details(manifest),
        })
        .collect();
    json(&List { models })
}

/// Those that are open at this node.
pub(super) async fn running(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let view = app.door.view();
    let view = view.borrow();
    let here = view.nodes.iter().filter(|node| node.presence == PresenceView::Here).flat_map(|node| &node.models);
    let open = here.filter(|held| held.stage == ModelStage::Ready);
    let form = |held: &ModelView| {
        let manifest = view.models.iter().find(|manifest| manifest.digest == held.digest)?;
        caller.sees(&manifest.name).then_some(())?;
        let ModelIo::Language { context_tokens } = manifest.io else { return None };
        let on_cpu = matches!(held.device, None | Some(Device::Cpu));
        Some(RunningForm {
            name: tagged(manifest),
            model: tagged(manifest),
            size: held.memory.0,
            digest: HEXLOWER.encode(&manifest.sha256),
            details: details(manifest),
            expires_at: UNTIL_NEEDED,
            size_vram: if on_cpu { 0 } else { held.memory.0 },
            context_length: context_tokens,
        })
    };
    json(&List { models: open.filter_map(form).collect() })
}

pub(super) async fn version() -> Response {
    json(&VersionForm { version: SPOKEN, hither: env!("CARGO_PKG_VERSION") })
}

pub(super) async fn show(State(app): State<App>, request: Request) -> Response {
    match shown(&app, request).await {
        Ok(form) => json(&form),
        Err(problem) => respond::problem(Form::Ollama, &problem),
    }
}

async fn shown(app: &App, request: Request) -> Result<ShowForm, Problem> {
    let (_, asked, body) = take_in(app, request).await?;
    let model = parse::model(&Fields::parse(&body.bytes)?)?;
    let found = find(app, &model, &mut None)?;
    asked.admission.caller().may_use(&found.name)?;
    let mut model_info = BTreeMap::from([
        ("general.architecture", value!(UNKNOWN)),
        ("general.size_bytes", value!(found.size.0)),
        ("general.license", value!(found.licence)),
    ]);
    if let ModelIo::Language { context_tokens } = found.io {
        // Clients look for it under the name of the architecture.
        model_info.insert("unknown.context_length", value!(context_tokens));
    }
    Ok(ShowForm {
        license: found.licence.clone(),
        modelfile: "",
        parameters: "",
        template: "",
        modified_at: UNDATED,
        details: details(&found),
        model_info,
        capabilities: ["completion", "tools", "embedding"],
    })
}
