//! How others become members, and how this node does.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use hither_types::id::{Operator, ParseIdError, SiteName};
use hither_types::member::{Role, Roles};
use hither_types::message::Comparison;
use hither_types::place::Jurisdiction;
use hither_types::unit::Micros;

use super::{carry_out, command, read, socket_only, wrong};
use crate::admin::{InviteDto, TicketDto, WordsDto};
use crate::door::{Command, Invitation};
use crate::errors::{Code, Problem};
use crate::routes::App;

pub(super) async fn invite(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: InviteDto| {
        let lifetime = asked.lifetime_s.checked_mul(1_000_000).filter(|lifetime| *lifetime > 0);
        let wrong = || {
            Problem::new(Code::OutOfRange, format!("lifetime_s is {}, and takes 1 second or more", asked.lifetime_s))
        };
        Ok(Command::Invite(Invitation {
            site: read("site", SiteName::parse(&asked.site))?,
            jurisdiction: read("jurisdiction", Jurisdiction::parse(&asked.jurisdiction))?,
            operator: asked.operator.as_deref().map(|name| read("operator", Operator::parse(name))).transpose()?,
            roles: roles(&asked.roles)?,
            comparison: if asked.confirm { Comparison::Typed } else { Comparison::Shown },
            lifetime: Micros(lifetime.ok_or_else(wrong)?),
        }))
    })
    .await
}

/// Roles by their names; all of them if none is named.
pub(super) fn roles(names: &[String]) -> Result<Roles, Problem> {
    let named: Result<Vec<Role>, ParseIdError> = names.iter().map(|name| Role::parse(name)).collect();
    let named = read("roles", named)?;
    Ok(if named.is_empty() { Roles::ALL } else { Roles::of(named) })
}

pub(super) async fn invite_state(State(app): State<App>, name: Result<Path<String>, PathRejection>) -> Response {
    if let Err(problem) = socket_only(&app) {
        return wrong(&problem);
    }
    let name = name.map(|Path(name)| name).unwrap_or_default();
    match read("the invite in the path", bytes_of(&name)) {
        Ok(name) => carry_out(&app, Command::InviteState(name)).await,
        Err(problem) => wrong(&problem),
    }
}

/// The name of an invite.
fn bytes_of(text: &str) -> Result<[u8; 16], ParseIdError> {
    let wrong = || ParseIdError::new("32 hexadecimal digits", text);
    let fits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = fits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    number.map(u128::to_be_bytes).ok_or_else(wrong)
}

pub(super) async fn confirm(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: WordsDto| Ok(Command::Confirm { words: asked.words })).await
}

pub(super) async fn join(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: TicketDto| Ok(Command::Join { ticket: asked.ticket })).await
}

pub(super) async fn join_state(State(app): State<App>) -> Response {
    match socket_only(&app) {
        Ok(()) => carry_out(&app, Command::JoinState).await,
        Err(problem) => wrong(&problem),
    }
}
