//! The models that there are, and opening and closing them by hand.
//!
//! A model that is not open is opened by whoever asks for it; to load one is to do so before. To unload one is to give its
//! memory back as soon as nobody uses it: its file stays, and so does its place in the catalog.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use hither_types::message::ModelStage;
use hither_types::model::Manifest;
use hither_types::view::{ModelView, View};
use hyper::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::options::{self, Parameters, Scalar};
use super::{VERSION, wrong};
use crate::body::check_depth;
use crate::callers::Caller;
use crate::door::Command;
use crate::errors::{Code, Problem};
use crate::labels;
use crate::respond::{self, json};
use crate::routes::{App, Listener};
use crate::serving::manifest;

#[cfg(test)]
mod tests;

/// A model in the index.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RepositoryModel"))]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

/// Every model of the catalog that the caller may use, by name, and whether it is open here.
pub(crate) fn index(app: &App, caller: &Caller) -> Vec<Entry> {
    let view = app.door.view();
    let view = view.borrow();
    let mut entries: Vec<Entry> =
        view.models.iter().filter(|model| caller.sees(&model.name)).map(|model| entry(&view, model)).collect();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

fn entry(view: &View, model: &Manifest) -> Entry {
    let held = here(view, model);
    if view.expired.binary_search(&model.digest).is_ok() {
        let reason = "its entry in the catalog has expired".to_owned();
        return Entry { name: model.name.to_string(), version: VERSION, state: "UNAVAILABLE", reason };
    }
    let (state, reason) = match held.map(|held| held.stage) {
        Some(ModelStage::Ready) => ("READY", String::new()),
        Some(ModelStage::Fetching) => ("LOADING", "its file is being fetched".to_owned()),
        Some(ModelStage::Stored | ModelStage::Quarantined) => {
            let note = held.map(|held| held.note.clone()).unwrap_or_default();
            ("UNAVAILABLE", if note.is_empty() { "not in memory".to_owned() } else { note })
        }
        None => ("UNAVAILABLE", elsewhere(view, model)),
    };
    Entry { name: model.name.to_string(), version: VERSION, state, reason }
}

/// Who has a model that is not here.
fn elsewhere(view: &View, model: &Manifest) -> String {
    let holders = view.nodes.iter().filter(|node| node.models.iter().any(|held| held.digest == model.digest));
    let sites: Vec<&str> = holders.map(|node| node.member.site.as_str()).collect();
    match sites.as_slice() {
        [] => "its file is at no node that is known".to_owned(),
        sites => format!("its file is not here; requests for it go to {}", sites.join(", ")),
    }
}

fn here<'v>(view: &'v View, model: &Manifest) -> Option<&'v ModelView> {
    let me = view.nodes.iter().find(|node| node.member.node == view.me.node)?;
    me.models.iter().find(|held| held.digest == model.digest)
}

/// Opens a model at this node, and waits until it is open.
pub(crate) async fn load(app: &App, headers: &HeaderMap, name: &str, parameters: &Parameters) -> Result<(), Problem> {
    let model = manifest(app, name)?;
    let foreign = |name: &&String| *name == "config" || name.starts_with("file:");
    if let Some(name) = parameters.keys().find(foreign) {
        let said: String = name.chars().take(80).collect();
        let text = format!("load brings {said:?}, and a model is what its file is: nothing of it is set by a request");
        return Err(Problem::new(Code::Unsupported, text)
            .help("hither models add FILE --name NAME")
            .param("parameters"));
    }
    let until = Instant::now() + patience(headers)?;
    let stage = here(&app.door.view().borrow(), &model).map(|held| held.stage);
    match (stage, app.listener) {
        (Some(ModelStage::Ready), _) => return Ok(()),
        (Some(ModelStage::Stored), _)
        | (Some(ModelStage::Fetching | ModelStage::Quarantined) | None, Listener::Unix) => {}
        // What only an operator decides.
        (Some(ModelStage::Quarantined), Listener::Tcp) => {
            return Err(Problem::from(&hither_types::refusal::Refusal::ModelBroken(model.name)));
        }
        (Some(ModelStage::Fetching) | None, Listener::Tcp) => {
            let text = format!("the file of model {} is not on this node", model.name);
            return Err(Problem::new(Code::NoCapacity, text).help(format!("hither models pull {}", model.name)));
        }
    }
    command(app, Command::PullModel(model.name.clone())).await?;
    wait(app, until, |view| match here(view, &model) {
        Some(held) if held.stage == ModelStage::Ready => Some(Ok(())),
        Some(held) if held.stage == ModelStage::Quarantined => {
            let text = format!("model {} cannot be loaded: {}", model.name, held.note);
            Some(Err(Problem::new(Code::ModelBroken, text).help("hither status")))
        }
        _ => None,
    })
    .await
    .unwrap_or_else(|| {
        let view = app.door.view();
        let note = here(&view.borrow(), &model).map(|held| held.note.clone()).unwrap_or_default();
        let text = format!("model {} was not loaded in time: {note}", model.name);
        Err(Problem::new(Code::DeadlinePassed, text)
            .help("give more time with the header x-hither-timeout-ms")
            .help("hither models ls"))
    })
}

/// Closes a model at this node, and waits until nobody uses it any more.
pub(crate) async fn unload(app: &App, headers: &HeaderMap, name: &str, parameters: &Parameters) -> Result<(), Problem> {
    let model = manifest(app, name)?;
    // Nothing here depends on another model: there is nothing more to unload.
    options::flag(parameters, "unload_dependents")?;
    let until = Instant::now() + patience(headers)?;
    command(app, Command::CloseModel(model.name.clone())).await?;
    let closed = |view: &View| {
        let open = here(view, &model).is_some_and(|held| held.stage == ModelStage::Ready);
        (!open).then_some(())
    };
    wait(app, until, closed).await.ok_or_else(|| {
        let text = format!("model {} is still in use; it is closed when nobody uses it any more", model.name);
        Problem::new(Code::DeadlinePassed, text).help("hither ps")
    })
}

fn patience(headers: &HeaderMap) -> Result<std::time::Duration, Problem> {
    Ok(std::time::Duration::from_micros(labels::patience(headers)?.0))
}

async fn command(app: &App, command: Command) -> Result<(), Problem> {
    app.door.command(command).await.map(|_| ()).map_err(|error| {
        let problem = Problem::new(Code::NoCapacity, format!("{} [{}]", error.message, error.code));
        if error.help.is_empty() { problem } else { problem.help(error.help) }
    })
}

/// Looks at each new picture of the node until it shows what is waited for. `None`: it did not in time.
async fn wait<T>(app: &App, until: Instant, seen: impl Fn(&View) -> Option<T>) -> Option<T> {
    let mut view = app.door.view();
    loop {
        if let Some(found) = seen(&view.borrow_and_update()) {
            return Some(found);
        }
        // The inner error: the node behind the door is gone.
        match timeout_at(until, view.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}

#[derive(Default, Deserialize)]
struct IndexForm {
    #[serde(default)]
    ready: bool,
}

/// `POST /v2/repository/index`.
pub(super) async fn index_route(State(app): State<App>, request: Request) -> Response {
    let caller = Caller::of(request.extensions()).clone();
    match read::<IndexForm>(&app, request).await {
        Ok((_, form)) => {
            let all = index(&app, &caller).into_iter().filter(|entry| !form.ready || entry.state == "READY");
            json(&all.collect::<Vec<_>>())
        }
        Err(problem) => wrong(problem),
    }
}

#[derive(Default, Deserialize)]
struct ChangeForm {
    #[serde(default)]
    parameters: Option<std::collections::BTreeMap<String, Scalar>>,
}

/// `POST /v2/repository/models/{model}/load`.
pub(super) async fn load_route(State(app): State<App>, name: NamePath, request: Request) -> Response {
    let done = async {
        let (headers, form) = read::<ChangeForm>(&app, request).await?;
        load(&app, &headers, &named(name)?, &form.parameters.unwrap_or_default()).await
    };
    done.await.map_or_else(wrong, |()| empty())
}

/// `POST /v2/repository/models/{model}/unload`.
pub(super) async fn unload_route(State(app): State<App>, name: NamePath, request: Request) -> Response {
    let done = async {
        let (headers, form) = read::<ChangeForm>(&app, request).await?;
        unload(&app, &headers, &named(name)?, &form.parameters.unwrap_or_default()).await
    };
    done.await.map_or_else(wrong, |()| empty())
}

type NamePath = Result<Path<String>, PathRejection>;

fn named(name: NamePath) -> Result<String, Problem> {
    let path = |error| Problem::new(Code::Malformed, format!("the path: {error}"));
    name.map(|Path(name)| name).map_err(path)
}

/// A body of JSON, which may be empty.
async fn read<T: serde::de::DeserializeOwned + Default>(
    app: &App,
    request: Request,
) -> Result<(HeaderMap, T), Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    if body.bytes.is_empty() {
        return Ok((parts.headers, T::default()));
    }
    check_depth(&body.bytes)?;
    let form = serde_json::from_slice(&body.bytes)
        .map_err(|error| Problem::new(Code::Malformed, format!("the body: {error}")))?;
    Ok((parts.headers, form))
}

fn empty() -> Response {
    respond::text("application/json", Body::empty())
}
