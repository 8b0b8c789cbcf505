//! How a new version of a model takes over from an old one.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use hither_types::id::{ModelName, SiteName};
use hither_types::rollout::Rollout;

use super::{command, of_model, read};
use crate::admin::NewRolloutDto;
use crate::door::{Command, NewRollout};
use crate::errors::{Code, Problem};
use crate::limits::ROLLOUT_TOLERANCE;
use crate::routes::App;

pub(super) async fn roll_out(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    command(&app, request, |asked: NewRolloutDto| {
        let sites: Result<Vec<SiteName>, _> = asked.sites.iter().map(|site| SiteName::parse(site)).collect();
        let share = asked.share.map_or(Ok(Rollout::WHOLE), |share| thousandths("share", share, 1))?;
        Ok(Command::RollOut(NewRollout {
            name: read("the name in the path", ModelName::parse(&name))?,
            to: read("to", ModelName::parse(&asked.to))?,
            share,
            sites: read("sites", sites)?,
            tolerance: asked.tolerance.map_or(Ok(ROLLOUT_TOLERANCE), |share| thousandths("tolerance", share, 0))?,
        }))
    })
    .await
}

pub(super) async fn roll_back(State(app): State<App>, name: Result<Path<String>, PathRejection>) -> Response {
    of_model(&app, name, Command::RollBack).await
}

/// A share of one as thousandths, of which there are `least` at least.
fn thousandths(what: &str, share: f64, least: u16) -> Result<u16, Problem> {
    let number = (share * f64::from(Rollout::WHOLE)).round();
    let least_share = f64::from(least) / f64::from(Rollout::WHOLE);
    // A comparison that a NaN fails.
    if !(number >= f64::from(least) && number <= f64::from(Rollout::WHOLE)) {
        let text = format!("{what} is {share}, and takes {least_share} to 1");
        return Err(Problem::new(Code::OutOfRange, text));
    }
    Ok(number as u16)
}
