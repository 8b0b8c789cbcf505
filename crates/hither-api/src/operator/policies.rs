//! The policy in force, another in its place, and those that were published.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use hither_types::authority::Range;
use hither_types::id::{Digest, Operator};
use hither_types::place::Jurisdiction;

use super::{carry_out, command, read, socket_only, wrong};
use crate::admin::{NewPolicyDto, NewPublicationDto};
use crate::door::Command;
use crate::door::policy::{NewPolicy, NewPublication};
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

pub(super) async fn published(State(app): State<App>) -> Response {
    of_no_body(&app, Command::Policies).await
}

pub(super) async fn text(State(app): State<App>, digest: Result<Path<String>, PathRejection>) -> Response {
    of_no_body(&app, Command::PolicyText(digest.map(|Path(digest)| digest).unwrap_or_default())).await
}

pub(super) async fn publish(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: NewPublicationDto| {
        let within = asked.within.iter().map(|code| read("within", Jurisdiction::parse(code)));
        let operators = asked.operators.iter().map(|name| read("operators", Operator::parse(name)));
        let mut range =
            Range { within: within.collect::<Result<_, _>>()?, operators: operators.collect::<Result<_, _>>()? };
        // However it was written, it is one range.
        range.within.sort();
        range.within.dedup();
        range.operators.sort();
        range.operators.dedup();
        Ok(Command::PublishPolicy(NewPublication { text: asked.text, range }))
    })
    .await
}

async fn of_no_body(app: &App, command: Command) -> Response {
    match socket_only(app) {
        Ok(()) => carry_out(app, command).await,
        Err(problem) => wrong(&problem),
    }
}
