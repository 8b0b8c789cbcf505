//! Who may say who belongs: shown, and changed.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use hither_types::authority::{Issuer, Quorum, Scope};
use hither_types::id::{NodeId, Operator};
use hither_types::place::Jurisdiction;

use super::joining::roles;
use super::{carry_out, command, read, socket_only, wrong};
use crate::admin::{IssuerDto, PingDto, QuorumDto};
use crate::door::Command;
use crate::errors::{Code, Problem};
use crate::limits::PINGS_MAX;
use crate::routes::App;

pub(super) async fn show(State(app): State<App>) -> Response {
    match socket_only(&app) {
        Ok(()) => carry_out(&app, Command::Authority).await,
        Err(problem) => wrong(&problem),
    }
}

pub(super) async fn revoke(State(app): State<App>, node: Result<Path<String>, PathRejection>) -> Response {
    of_node(&app, node, Command::Revoke).await
}

pub(super) async fn dismiss(State(app): State<App>, node: Result<Path<String>, PathRejection>) -> Response {
    of_node(&app, node, Command::Dismiss).await
}

pub(super) async fn ping(
    State(app): State<App>,
    node: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let node = node.map(|Path(node)| node).unwrap_or_default();
    command(&app, request, |asked: PingDto| {
        if !(1..=PINGS_MAX).contains(&asked.count) {
            let text = format!("count is {}, and takes 1 to {PINGS_MAX}", asked.count);
            return Err(Problem::new(Code::OutOfRange, text));
        }
        Ok(Command::Ping { node: read("the node in the path", NodeId::parse(&node))?, count: asked.count })
    })
    .await
}

pub(super) async fn appoint(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: IssuerDto| {
        let within = asked.within.iter().map(|code| read("within", Jurisdiction::parse(code)));
        let operators = asked.operators.iter().map(|name| read("operators", Operator::parse(name)));
        let scope = Scope {
            within: within.collect::<Result<_, _>>()?,
            operators: operators.collect::<Result<_, _>>()?,
            roles: roles(&asked.roles)?,
        };
        Ok(Command::Appoint(Issuer { node: read("node", NodeId::parse(&asked.node))?, scope }))
    })
    .await
}

pub(super) async fn quorum(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: QuorumDto| {
        let approvers = asked.approvers.iter().map(|key| read("approvers", NodeId::parse(key)));
        Ok(Command::Quorum(Quorum { needed: asked.needed, approvers: approvers.collect::<Result<_, _>>()? }))
    })
    .await
}

pub(super) async fn approve(State(app): State<App>, proposal: Result<Path<String>, PathRejection>) -> Response {
    match socket_only(&app) {
        Ok(()) => carry_out(&app, Command::Approve(proposal.map(|Path(proposal)| proposal).unwrap_or_default())).await,
        Err(problem) => wrong(&problem),
    }
}

/// A command about the node that the path names.
async fn of_node(
    app: &App,
    node: Result<Path<String>, PathRejection>,
    command: impl FnOnce(NodeId) -> Command,
) -> Response {
    if let Err(problem) = socket_only(app) {
        return wrong(&problem);
    }
    let node = node.map(|Path(node)| node).unwrap_or_default();
    match read("the node in the path", NodeId::parse(&node)) {
        Ok(node) => carry_out(app, command(node)).await,
        Err(problem) => wrong(&problem),
    }
}
