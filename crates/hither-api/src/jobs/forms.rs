//! Jobs as JSON: one set of structs for the node that writes them and for whoever reads them.

use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::submission::{json_of, raw};
use super::{Given, Head, Job, Status};
use crate::errors::{Code, Problem};

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Job"))]
pub struct JobDto {
    /// Its id.
    pub id: String,
    /// Always `job`.
    pub object: String,
    /// `queued`, `running`, `done`, `failed`, `expired` or `cancelled`.
    pub status: String,
    /// Whose it is.
    pub app: String,
    /// The path that is asked.
    pub url: String,
    /// The model that is asked, if the request names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The class of its data.
    pub class: String,
    /// When it was handed in, RFC 3339.
    pub created: String,
    /// By when, RFC 3339.
    pub deadline: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// How the last attempt ended that gave no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<TriedDto>,
    /// When it is tried again at the latest, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The site that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_by: Option<String>,
    /// Where that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
    /// The rule that allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The request that ended it, for `hither explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What the app wants to find again with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// The answer of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseDto>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemDto>,
    /// Whether a submission met a job that was there before; only in the answer to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<bool>,
}

/// An attempt that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "JobAttempt"))]
pub struct TriedDto {
    /// When, RFC 3339.
    pub at: String,
    /// The HTTP status.
    pub status: u16,
    /// The code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The request, for `hither explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// The answer of the path.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "JobResponse"))]
pub struct ResponseDto {
    /// The HTTP status.
    pub status: u16,
    /// The body, if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
    /// The body, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "JobProblem"))]
pub struct ProblemDto {
    /// The code.
    pub code: String,
    /// The HTTP status that goes with it.
    pub status: u16,
    /// What happened.
    pub message: String,
    /// What to type next.
    pub help: Vec<String>,
}

/// Several jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "JobList"))]
pub struct JobsDto {
    /// Always `list`.
    pub object: String,
    /// The jobs, the newest first.
    pub data: Vec<JobDto>,
    /// Whether there are older ones: ask with `after`, the id of the last.
    pub has_more: bool,
}

/// A time as RFC 3339 has it.
pub(super) fn time(at: WallTime) -> String {
    let millis = i64::try_from(at.0).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    millis.map_or_else(|| format!("{} ms after 1970", at.0), |at| at.to_string())
}

/// Why a job that ended has no answer.
pub(crate) fn problem_of(job: &Job) -> Option<Problem> {
    let head = &job.head;
    match head.status {
        Status::Queued | Status::Running | Status::Done => None,
        Status::Expired => {
            let mut text =
                format!("the deadline {} of job {} passed before an answer was there", time(head.deadline), head.id);
            match &head.last {
                Some(last) => text.push_str(&format!("; the last attempt: {} [{}]", last.message, last.code)),
                None => text.push_str("; it was never its turn"),
            }
            Some(Problem::new(Code::JobExpired, text).help("hand it in again with more time"))
        }
        Status::Cancelled => Some(
            Problem::new(Code::JobEnded, format!("job {} was cancelled, so there is no answer", head.id))
                .help("hand it in again"),
        ),
        Status::Failed => {
            let given = job.given.as_ref()?;
            let (code, message) = said(given);
            let mut problem = Problem::new(Code::JobEnded, message);
            (problem.code, problem.status) = (code, given.status);
            Some(problem)
        }
    }
}

/// Code and message of a refusal, in whatever form its path gave it.
pub(super) fn said(given: &Given) -> (String, String) {
    let value: serde_json::Value = serde_json::from_slice(&given.body).unwrap_or_default();
    let inner = if value["error"].is_object() { &value["error"] } else { &value };
    let first = |names: [&str; 3]| names.into_iter().find_map(|name| inner[name].as_str()).map(str::to_owned);
    // Not every protocol has a place for it in its body.
    let code = given.header("x-hither-code").map(str::to_owned).or_else(|| first(["hither_code", "code", "code"]));
    let code = code.unwrap_or_else(|| format!("HTTP {}", given.status));
    let message = first(["message", "detail", "error"])
        .unwrap_or_else(|| format!("the path answered with HTTP status {}", given.status));
    (code, message)
}

impl From<&Head> for JobDto {
    fn from(head: &Head) -> Self {
        Self {
            id: head.id.to_string(),
            object: "job".to_owned(),
            status: head.status.as_str().to_owned(),
            app: head.app.to_string(),
            url: head.url.clone(),
            model: head.model.clone(),
            class: head.class.as_str().to_owned(),
            created: time(head.created),
            deadline: time(head.deadline),
            ended: head.ended.map(time),
            attempts: head.attempts,
            last: head.last.as_ref().map(|last| TriedDto {
                at: time(last.at),
                status: last.status,
                code: last.code.clone(),
                message: last.message.clone(),
                request: last.request.clone(),
            }),
            next: head.next.map(time),
            served_by: None,
            jurisdiction: None,
            rule: None,
            request: None,
            metadata: None,
            response: None,
            problem: None,
            joined: None,
        }
    }
}

impl JobDto {
    /// What an operator sees: everything but the content.
    pub(super) fn without_content(job: &Job) -> Self {
        let header = |name: &str| job.given.as_ref().and_then(|given| given.header(name)).map(str::to_owned);
        let problem = problem_of(job).map(|problem| ProblemDto {
            code: problem.code,
            status: problem.status,
            message: problem.message,
            help: problem.help,
        });
        Self {
            served_by: header("x-hither-served-by"),
            jurisdiction: header("x-hither-jurisdiction"),
            rule: header("x-hither-rule"),
            request: header("x-hither-request"),
            problem,
            ..Self::from(&job.head)
        }
    }

    /// What its app sees.
    pub(super) fn whole(job: &Job) -> Self {
        let response = job.given.as_ref().map(|given| {
            let body = json_of(given.header("content-type"), &given.body);
            let body_base64 = body.is_none().then(|| data_encoding::BASE64.encode(&given.body));
            ResponseDto { status: given.status, body, body_base64 }
        });
        Self { metadata: job.metadata.as_deref().map(raw), response, ..Self::without_content(job) }
    }
}
