//! The operator's interface: what the node sees, why a request went where it went, and commands.
//!
//! What must stay true: commands work over the Unix socket alone.

use std::convert::Infallible;
use std::path::PathBuf;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{delete, get, post};
use bytes::Bytes;
use futures_util::stream;
use hither_types::id::{Digest, ModelName, ParseIdError, RequestId};
use hither_types::model::Manifest;
use hither_types::rollout::Rollout;
use hither_types::unit::{Micros, Milliwatts};
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout};

use crate::admin::{
    AddModelDto, AuthorityDto, DoneDto, ExplanationDto, InviteStateDto, InvitedDto, IsolateDto, JoinDto, MemberDto,
    ModelDto, PoliciesDto, PolicyDto, PolicyTextDto, PongDto, PowerDto, PublishDto, RemoveModelDto, SignedFileDto,
    ViewDto,
};
use crate::body::check_depth;
use crate::callers::Caller;
use crate::door::{AddModel, Command, CommandDone, CommandError, SignedFile, Until};
use crate::errors::{Code, Problem};
use crate::explain;
use crate::golden;
use crate::limits::{SIGNED_BY_BYTES, VALID_FOR_MAX_S, VIEW_EVERY, VIEW_SILENCE};
use crate::respond::{self, Form, json, write};
use crate::routes::{App, Listener, Routes};
use crate::serve::stopped;

mod apps;
mod authority;
mod exports;
mod joining;
mod policies;
mod rollouts;
#[cfg(test)]
mod tests;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/hither/v1/view", get(view))
        .route("/hither/v1/events", get(events))
        .route("/hither/v1/requests/{id}", get(explain))
        .route("/hither/v1/models", get(models).post(add_model))
        .route("/hither/v1/models/{model}/pull", post(pull_model))
        .route("/hither/v1/models/{model}/pin", post(pin_model))
        .route("/hither/v1/models/{model}/unpin", post(unpin_model))
        .route("/hither/v1/models/{model}/remove", post(remove_model))
        .route("/hither/v1/models/{model}/publish", post(publish_model))
        .route("/hither/v1/models/{model}/rollout", post(rollouts::roll_out))
        .route("/hither/v1/models/{model}/rollback", post(rollouts::roll_back))
        .route("/hither/v1/models/{model}/verify", post(verify_model))
        .route("/hither/v1/invites", post(joining::invite))
        .route("/hither/v1/invites/confirm", post(joining::confirm))
        .route("/hither/v1/invites/{invite}", get(joining::invite_state))
        .route("/hither/v1/join", get(joining::join_state).post(joining::join))
        .route("/hither/v1/leave", post(leave))
        .route("/hither/v1/authority", get(authority::show))
        .route("/hither/v1/members/{node}/revoke", post(authority::revoke))
        .route("/hither/v1/members/{node}/ping", post(authority::ping))
        .route("/hither/v1/issuers", post(authority::appoint))
        .route("/hither/v1/issuers/{node}", delete(authority::dismiss))
        .route("/hither/v1/quorum", post(authority::quorum))
        .route("/hither/v1/proposals/{proposal}/approve", post(authority::approve))
        .route("/hither/v1/power", post(power))
        .route("/hither/v1/ledger/witness", post(witness))
        .route("/hither/v1/ledger/export", post(exports::record))
        .route("/hither/v1/isolate", post(isolate))
        .route("/hither/v1/policy", get(policies::show).post(policies::apply))
        .route("/hither/v1/policy/reload", post(policies::reload))
        .route("/hither/v1/policies", get(policies::published).post(policies::publish))
        .route("/hither/v1/policies/{digest}", get(policies::text))
        .route("/hither/v1/apps", get(apps::list).post(apps::add))
        .route("/hither/v1/apps/{app}", delete(apps::remove))
        .route("/hither/v1/apps/{app}/limits", post(apps::limit))
        .route("/hither/v1/apps/{app}/rotate", post(apps::rotate))
        .route("/hither/v1/apps/{app}/shred", post(apps::shred))
}

fn wrong(problem: &Problem) -> Response {
    respond::problem(Form::Own, problem)
}

async fn view(State(app): State<App>) -> Response {
    json(&ViewDto::from(&**app.door.view().borrow()))
}

async fn models(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let view = app.door.view();
    let seen = |manifest: &&Manifest| caller.sees(&manifest.name);
    let view = view.borrow();
    let models: Vec<ModelDto> = view.models.iter().filter(seen).map(|manifest| ModelDto::of(manifest, &view)).collect();
    json(&models)
}

/// The view as it changes, at most twice a second; the first at once, and again after a silence, so that a dead
/// connection is noticed at both ends.
async fn events(State(app): State<App>) -> Response {
    let start = (app.door.view(), app.stop.clone(), None::<Instant>);
    let body = Body::from_stream(stream::unfold(start, |(mut view, mut stop, last)| async move {
        if let Some(last) = last {
            let change = async {
                sleep_until(last + VIEW_EVERY).await;
                timeout(VIEW_SILENCE, view.changed()).await
            };
            let changed = tokio::select! {
                () = stopped(&mut stop) => return None,
                changed = change => changed,
            };
            // The inner error: the node behind the door is gone.
            if let Ok(Err(_)) = changed {
                return None;
            }
        }
        let said = format!("data: {}\n\n", write(&ViewDto::from(&**view.borrow_and_update())));
        Some((Ok::<_, Infallible>(Bytes::from(said)), (view, stop, Some(Instant::now()))))
    }));
    let mut response = respond::text("text/event-stream", body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn explain(State(app): State<App>, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let request = match RequestId::parse(&id) {
        Ok(request) => request,
        Err(error) => return wrong(&Problem::new(Code::Malformed, error.to_string()).help("hither status")),
    };
    match app.door.explain(request).await {
        Some(explanation) => json(&ExplanationDto::from(&explanation)),
        None => {
            let text = format!("request {request} is not remembered here: it is too old, or it entered another node");
            wrong(&Problem::new(Code::NotRemembered, text).help("hither explain ID, at the node that it entered"))
        }
    }
}

async fn add_model(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: AddModelDto| {
        let path = PathBuf::from(&asked.path);
        if !path.is_absolute() {
            let text = format!("path {:?} is not absolute, and the node does not stand where you do", asked.path);
            return Err(Problem::new(Code::OutOfRange, text));
        }
        let name = read("name", ModelName::parse(&asked.name))?;
        let golden = golden::read(asked.golden)?;
        let valid_for = valid_for(asked.valid_for_s)?;
        let signed = asked.signed.map(signed_file).transpose()?;
        Ok(Command::AddModel(AddModel { path, name, licence: asked.licence, golden, valid_for, signed }))
    })
    .await
}

async fn publish_model(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    command(&app, request, |asked: PublishDto| {
        let name = read("the name in the path", ModelName::parse(&name))?;
        let until = match (valid_for(asked.valid_for_s)?, asked.no_end) {
            (None, false) => Until::AsBefore,
            (None, true) => Until::NoEnd,
            (Some(span), false) => Until::For(span),
            (Some(_), true) => {
                let text = "valid_for_s and no_end say different things: leave one of them away";
                return Err(Problem::new(Code::OutOfRange, text));
            }
        };
        Ok(Command::Publish { name, until })
    })
    .await
}

/// Who signed a file that somebody checked.
fn signed_file(said: SignedFileDto) -> Result<SignedFile, Problem> {
    let SignedFileDto { by, digest } = said;
    if by.is_empty() || by.len() > SIGNED_BY_BYTES || by.chars().any(char::is_control) {
        let text = format!("signed.by takes 1 to {SIGNED_BY_BYTES} bytes, and no control characters");
        return Err(Problem::new(Code::OutOfRange, text));
    }
    Ok(SignedFile { by, digest: read("signed.digest", Digest::parse(&digest))? })
}

/// How long an entry of the catalog holds.
fn valid_for(seconds: Option<u64>) -> Result<Option<Micros>, Problem> {
    if let Some(wrong) = seconds.filter(|seconds| !(1..=VALID_FOR_MAX_S).contains(seconds)) {
        let text = format!("valid_for_s is {wrong}, and takes seconds from 1 to {VALID_FOR_MAX_S}");
        return Err(Problem::new(Code::OutOfRange, text));
    }
    Ok(seconds.map(|seconds| Micros(seconds * 1_000_000)))
}

async fn pull_model(State(app): State<App>, name: Result<Path<String>, PathRejection>) -> Response {
    of_model(&app, name, Command::PullModel).await
}

async fn pin_model(State(app): State<App>, name: Result<Path<String>, PathRejection>) -> Response {
    of_model(&app, name, Command::PinModel).await
}

async fn unpin_model(State(app): State<App>, name: Result<Path<String>, PathRejection>) -> Response {
    of_model(&app, name, Command::UnpinModel).await
}

async fn remove_model(State(app): State<App>, name: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    command(&app, request, |asked: RemoveModelDto| {
        let name = read("the name in the path", ModelName::parse(&name))?;
        Ok(Command::RemoveModel { name, last: asked.last })
    })
    .await
}

async fn verify_model(State(app): State<App>, name: Result<Path<String>, PathRejection>) -> Response {
    of_model(&app, name, Command::VerifyModel).await
}

/// A command about the model that the path names.
async fn of_model(
    app: &App,
    name: Result<Path<String>, PathRejection>,
    command: impl FnOnce(ModelName) -> Command,
) -> Response {
    if let Err(problem) = socket_only(app) {
        return wrong(&problem);
    }
    let name = name.map(|Path(name)| name).unwrap_or_default();
    match read("the name in the path", ModelName::parse(&name)) {
        Ok(name) => carry_out(app, command(name)).await,
        Err(problem) => wrong(&problem),
    }
}

async fn leave(State(app): State<App>) -> Response {
    match socket_only(&app) {
        Ok(()) => carry_out(&app, Command::Leave).await,
        Err(problem) => wrong(&problem),
    }
}

async fn power(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: PowerDto| {
        if !(0.0..=1e9).contains(&asked.cap_w) {
            let text = format!("cap_w is {}, and takes watts from 0 to 1000000000", asked.cap_w);
            return Err(Problem::new(Code::OutOfRange, text));
        }
        Ok(Command::SetCap(Milliwatts((asked.cap_w * 1000.0).round() as u64)))
    })
    .await
}

async fn witness(State(app): State<App>) -> Response {
    match socket_only(&app) {
        Ok(()) => carry_out(&app, Command::AskWitnesses).await,
        Err(problem) => wrong(&problem),
    }
}

async fn isolate(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: IsolateDto| Ok(Command::Isolate(asked.isolated))).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read<T>(what: &str, parsed: Result<T, ParseIdError>) -> Result<T, Problem> {
    parsed.map_err(|error| Problem::new(Code::OutOfRange, format!("{what}: {error}")))
}

pub(crate) fn socket_only(app: &App) -> Result<(), Problem> {
    match app.listener {
        Listener::Unix => Ok(()),
        Listener::Tcp => Err(Problem::new(
            Code::SocketOnly,
            "commands to the node are taken over its Unix socket alone, where the system says who asks",
        )
        .help("use the command line on this machine: hither help")),
    }
}

async fn command<T: DeserializeOwned>(
    app: &App,
    request: Request,
    understand: impl FnOnce(T) -> Result<Command, Problem>,
) -> Response {
    match body(app, request).await.and_then(understand) {
        Ok(command) => carry_out(app, command).await,
        Err(problem) => wrong(&problem),
    }
}

/// Reads what a command over the socket says.
async fn body<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Problem> {
    socket_only(app)?;
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts.headers, body).await?;
    check_depth(&body.bytes)?;
    serde_json::from_slice(&body.bytes).map_err(|error| Problem::new(Code::Malformed, format!("the body: {error}")))
}

async fn carry_out(app: &App, command: Command) -> Response {
    let done = |message: &str| json(&DoneDto { message: message.to_owned(), proposal: None });
    match app.door.command(command).await {
        Ok(CommandDone::ModelAdded(manifest)) => json(&ModelDto::from(&manifest)),
        Ok(CommandDone::Published { revision, expires: None }) => {
            done(&format!("its entry is revision {revision}, and has no end; all members hear of it"))
        }
        Ok(CommandDone::Published { revision, expires: Some(end) }) => {
            done(&format!("its entry is revision {revision}, and ends {}; all members hear of it", explain::day(end)))
        }
        Ok(CommandDone::PullBegun) => {
            done("the fetch has begun, or the model is here already; hither models ls shows how far it is")
        }
        Ok(CommandDone::ModelRemoved { holders }) => done(&match holders {
            0 => "its file is gone from this disk, and nobody who is present has another".to_owned(),
            1 => "its file is gone from this disk; one member that is present has it".to_owned(),
            more => format!("its file is gone from this disk; {more} members that are present have it"),
        }),
        Ok(CommandDone::RolledOut { from, to, share }) => {
            let (share, all) = (f64::from(share) / 10.0, share == Rollout::WHOLE);
            let which = if all { "all requests".to_owned() } else { format!("{share} % of the requests") };
            done(&format!("{to} gets {which} from {from}, wherever a place has it open"))
        }
        Ok(CommandDone::RolledBack { from, to }) => done(&format!("{to} answers again instead of {from}")),
        Ok(CommandDone::Pinned { here: true }) => done("it stays on this node"),
        Ok(CommandDone::Pinned { here: false }) => {
            done("it stays on this node once it is here; with [models] pull = \"automatic\" it comes by itself")
        }
        Ok(CommandDone::Unpinned) => done("it stays on this node only while nothing else needs its room"),
        Ok(CommandDone::Verified { answers: 0 }) => {
            done("nothing is known of its answers: hither models add --golden FILE tells the mesh what is")
        }
        Ok(CommandDone::Verified { answers }) => done(&format!("all {answers} known answers came")),
        Ok(CommandDone::Invited { ticket, invite }) => json(&InvitedDto { ticket, invite: hex(&invite) }),
        Ok(CommandDone::Invite(state)) => json(&InviteStateDto::from(state)),
        Ok(CommandDone::Confirmed { node, site }) => {
            done(&format!("the words fit: {} is let in as {site} in a second", node.short()))
        }
        Ok(CommandDone::Joining { words, member }) => json(&JoinDto::of(words, member.as_ref())),
        Ok(CommandDone::Left(member)) => json(&MemberDto::from(&member)),
        Ok(CommandDone::Proposed { id, needed }) => {
            let (id, begins) = (hex(&id), hex(&id[..5]));
            let message = format!(
                "proposed, and in force once approvers, {needed} of them, type: hither authority approve {begins}"
            );
            json(&DoneDto { message, proposal: Some(id) })
        }
        Ok(CommandDone::Policy(policy)) => json(&PolicyDto::from(policy)),
        Ok(CommandDone::Policies(published)) => json(&PoliciesDto::from(published)),
        Ok(CommandDone::PolicyText(text)) => json(&PolicyTextDto { text }),
        Ok(CommandDone::Pinged(pinged)) => json(&PongDto::from(&pinged)),
        Ok(CommandDone::Authority(view)) => json(&AuthorityDto::from(&view)),
        Ok(CommandDone::Done) => done("done"),
        Err(error) => failed(error),
    }
}

fn failed(error: CommandError) -> Response {
    wrong(&Problem::from(&error))
}
