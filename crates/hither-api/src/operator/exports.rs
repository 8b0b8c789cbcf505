//! A copy of the ledger for somebody: on the record before they have it.

use axum::extract::{Request, State};
use axum::response::Response;
use hither_types::fact::Export;
use hither_types::id::{Digest, Operator, RuleId};
use hither_types::place::Jurisdiction;

use super::{command, read};
use crate::admin::ExportDto;
use crate::door::Command;
use crate::routes::App;

pub(super) async fn record(State(app): State<App>, request: Request) -> Response {
    command(&app, request, |asked: ExportDto| {
        let ExportDto { jurisdiction, operator, records, root, rules, policy } = asked;
        let rules = rules.iter().map(|rule| read("rules", RuleId::parse(rule))).collect::<Result<_, _>>()?;
        Ok(Command::RecordExport(Export {
            to: read("jurisdiction", Jurisdiction::parse(&jurisdiction))?,
            operator: operator.map(|name| read("operator", Operator::parse(&name))).transpose()?,
            records,
            root: read("root", Digest::parse(&root))?,
            rules,
            policy: read("policy", Digest::parse(&policy))?,
        }))
    })
    .await
}
