//! The policy in force, and another in its place.

use axum::extract::{Request, State};
use axum::response::Response;
use hither_types::id::Digest;

use super::{carry_out, command, read, socket_only, wrong};
use crate::admin::NewPolicyDto;
use crate::door::{Command, NewPolicy};
use crate::routes::App;

/// What a policy says is for operators to know.
pub(super) async fn show(State(app): State<App>) -> Response {
    of_no_body(&app, Command::Policy).await
}

pub(super) async fn apply(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: NewPolicyDto| {
        let over = read("over", Digest::parse(&asked.over))?;
        Ok(Command::ApplyPolicy(NewPolicy { text: asked.text, over }))
    })
    .await
}

pub(super) async fn reload(State(app): State<App>) -> Response {
    of_no_body(&app, Command::ReloadPolicy).await
}

async fn of_no_body(app: &App, command: Command) -> Response {
    match socket_only(app) {
        Ok(()) => carry_out(app, command).await,
        Err(problem) => wrong(&problem),
    }
}
