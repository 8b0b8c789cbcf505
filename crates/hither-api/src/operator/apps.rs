//! What an operator asks about apps.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use hither_types::id::AppName;

use super::{body, failed, read, socket_only, wrong};
use crate::admin::{AddAppDto, AppDto, AppKeyDto, ChangeDto};
use crate::door::AppCommand;
use crate::errors::Problem;
use crate::respond::json;
use crate::routes::App;

type AppPath = Result<Path<String>, PathRejection>;

/// The apps of this node; what they may do is for operators to know.
pub(super) async fn list(State(app): State<App>) -> Response {
    match socket_only(&app) {
        Ok(()) => json(&app.callers.apps().iter().map(AppDto::from).collect::<Vec<AppDto>>()),
        Err(problem) => wrong(&problem),
    }
}

pub(super) async fn add(State(app): State<App>, request: Request) -> Response {
    let asked = async {
        let (name, change) = body::<AddAppDto>(&app, request).await?.read()?;
        Ok(AppCommand::Add { name, change })
    };
    carry_out(&app, asked.await).await
}

pub(super) async fn limit(State(app): State<App>, name: AppPath, request: Request) -> Response {
    let asked = async {
        let change = body::<ChangeDto>(&app, request).await?.read()?;
        Ok(AppCommand::Limit { name: named(name)?, change })
    };
    carry_out(&app, asked.await).await
}

pub(super) async fn rotate(State(app): State<App>, name: AppPath) -> Response {
    let asked = socket_only(&app).and_then(|()| named(name)).map(AppCommand::Rotate);
    carry_out(&app, asked).await
}

pub(super) async fn remove(State(app): State<App>, name: AppPath) -> Response {
    let asked = socket_only(&app).and_then(|()| named(name)).map(AppCommand::Remove);
    carry_out(&app, asked).await
}

pub(super) async fn shred(State(app): State<App>, name: AppPath) -> Response {
    let asked = socket_only(&app).and_then(|()| named(name)).map(AppCommand::Shred);
    carry_out(&app, asked).await
}

fn named(name: AppPath) -> Result<AppName, Problem> {
    read("the name in the path", AppName::parse(&name.map(|Path(name)| name).unwrap_or_default()))
}

async fn carry_out(app: &App, asked: Result<AppCommand, Problem>) -> Response {
    let command = match asked {
        Ok(command) => command,
        Err(problem) => return wrong(&problem),
    };
    match app.door.apps(command).await {
        Ok(done) => match &done.key {
            Some(key) => json(&AppKeyDto::new(&done.entry, key)),
            None => json(&AppDto::from(&done.entry)),
        },
        Err(error) => failed(error),
    }
}
