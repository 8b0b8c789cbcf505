//! What went wrong, as RFC 9457 has it.

use serde::{Deserialize, Serialize};

use crate::errors::{self, Nearest, Problem};

/// The body of an error, `application/problem+json`, where no other protocol is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Problem"))]
pub struct ProblemDto {
    /// Where the code is explained: a page of the node itself.
    pub r#type: String,
    /// What the code means; the same each time.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and why.
    pub detail: String,
    /// Where to ask why the request went where it went, once it has an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// A stable code such as `E0301`.
    pub code: String,
    /// What to type next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
    /// The field or header of the request that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The forbid that matched, or the permit that came closest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The places that the law left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<Nearest>,
    /// The request, once it has an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl From<&Problem> for ProblemDto {
    fn from(problem: &Problem) -> Self {
        Self {
            r#type: problem.kind(),
            title: errors::title(&problem.code).unwrap_or("Refused").to_owned(),
            status: problem.status,
            detail: problem.message.clone(),
            instance: problem.request.as_ref().map(|request| format!("/hither/v1/requests/{request}")),
            code: problem.code.clone(),
            help: problem.help.clone(),
            param: problem.param.clone(),
            rule: problem.rule.clone(),
            nearest: problem.nearest.clone(),
            request: problem.request.clone(),
        }
    }
}
