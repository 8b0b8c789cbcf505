//! The one table of what can go wrong at the door: a stable code, a status, and what to type next.
//!
//! An app that may not observe the mesh learns the rule, the failed field and the help, never the name of a node.

use hither_types::filter::Withheld;
use hither_types::id::SiteName;
use hither_types::label::DataClass;
use hither_types::law::Denial;
use hither_types::refusal::{Bar, DeniedPlace, Failure, InputFault, Refusal};
use hither_types::unit::Micros;
use serde::{Deserialize, Serialize};

use crate::door::CommandError;
use crate::explain;

mod codes;
#[cfg(test)]
mod tests;

pub use codes::{Code, Entry, OF_COMMANDS};
pub(crate) use codes::{all, title};

impl Code {
    /// The code that people can look up; it never changes.
    pub fn as_str(self) -> &'static str {
        self.entry().code
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.entry().status
    }
}

/// One place that the law left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Nearest"))]
pub struct Nearest {
    /// Where the place stands; absent if the place itself said no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
    /// The forbid that matched, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbidden_by: Option<String>,
    /// The permit that came closest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What failed in that permit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// What went wrong: what, why, and what to type next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RequestProblem"))]
pub struct Problem {
    /// A stable code such as `E0301`.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and why.
    pub message: String,
    /// The forbid that matched, or the permit that came closest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The places that the law left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<Nearest>,
    /// What to type next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
    /// The field of the request that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// When trying again makes sense, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// OpenAI's own word for it, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openai_code: Option<String>,
    /// The request, once it has an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// When nobody knows better: long enough for a lost peer to be noticed and a slot to come free.
const RETRY_AFTER_S: u64 = 2;

impl Problem {
    /// Makes a problem from its code and what happened.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code.as_str().to_owned(),
            status: code.status(),
            message: message.into(),
            rule: None,
            nearest: Vec::new(),
            help: Vec::new(),
            param: None,
            retry_after_s: match code.status() {
                429 | 503 => Some(RETRY_AFTER_S),
                _ => None,
            },
            openai_code: code.openai().map(str::to_owned),
            request: None,
        }
    }

    /// Adds what to type next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Names the field of the request that is wrong.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub(crate) fn retry_after(mut self, span: Micros) -> Self {
        self.retry_after_s = Some(span.0.div_ceil(1_000_000).max(1));
        self
    }

    /// Where the code is explained, at the node itself.
    pub(crate) fn kind(&self) -> String {
        format!("/docs/errors#{}", self.code)
    }

    /// What, why and help in one string, for protocols that have room for no more.
    pub fn sentence(&self) -> String {
        let mut text = format!("{} [{}]", self.message, self.code);
        for help in &self.help {
            text.push_str("; help: ");
            text.push_str(help);
        }
        text
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::UnknownModel(model) => {
                Self::new(Code::UnknownModel, format!("nobody in the mesh has a model called {model}"))
                    .help("hither models ls")
                    .help(format!("hither models add FILE --name {model}"))
                    .param("model")
            }
            Refusal::Unlawful { model, denied, .. } if is_for_want_of_roles(denied) => {
                Self::role_missing(format!("no member may serve {model} for this node: {}", places(denied)))
            }
            Refusal::UnlawfulThere(denial @ Denial::Role(_)) => {
                Self::role_missing(format!("the place that was asked says no: {}", explain::denial(denial)))
            }
            Refusal::Unlawful { model, class, denied } => {
                let why = places(denied);
                let message = format!("no lawful place can serve {model} with data of class {class}: {why}");
                let mut problem = Self::new(Code::Unlawful, message)
                    .help(format!("hither models pull {model}  (once the model is here, the data need not leave)"));
                problem.rule = denied.iter().find_map(|place| rule_of(&place.denial));
                problem.nearest = denied.iter().map(Nearest::from).collect();
                problem
            }
            Refusal::UnlawfulThere(denial) => {
                let message = format!("the law of the place that was asked says no: {}", explain::denial(denial));
                let mut problem = Self::new(Code::UnlawfulThere, message)
                    .help("compare the policy files of both sites: hither policy check FILE");
                problem.rule = rule_of(denial);
                problem.nearest = vec![nearest(denial, None)];
                problem
            }
            Refusal::Overloaded { retry_after } => {
                let wait = explain::span(*retry_after);
                Self::new(
                    Code::Overloaded,
                    format!("too much is asked for at the moment; trying again makes sense in {wait}"),
                )
                .retry_after(*retry_after)
                .help("hither status")
            }
            Refusal::NoPower { cap } => {
                Self::new(Code::NoPower, format!("the power budget of {} leaves no slot for it", explain::watts(*cap)))
                    .help("wait, or raise the cap of the site: hither status shows who has power to spare")
            }
            Refusal::NoCapacity { tried } => Self::new(Code::NoCapacity, capacity(*tried)).help("hither status"),
            Refusal::DeadlinePassed => {
                Self::new(Code::DeadlinePassed, "the deadline passed before an answer was there")
                    .help("give more time with the header x-hither-timeout-ms")
            }
            Refusal::LedgerUnavailable => {
                Self::new(Code::LedgerUnavailable, "the ledger cannot record that data leaves, so nothing leaves")
                    .help("look into the log of the node for the fault of its disk, then try again")
            }
            Refusal::ModelBroken(model) => {
                let text = format!(
                    "model {model} is in quarantine: where it is stored, its engine crashed or could not be loaded three \
                     times within ten minutes"
                );
                Self::new(Code::ModelBroken, text)
                    .help("hither status  (says why, and when it is tried again)")
                    .help(format!("hither models pull {model}  (tries at once)"))
            }
            Refusal::NotAMember => {
                Self::new(Code::NotAMember, "the place that was asked does not know this node as a member")
                    .help("hither status, at both sites")
            }
            Refusal::Stopping => {
                Self::new(Code::Stopping, "this node is stopping").help("ask another node, or try again")
            }
            Refusal::ModelExpired { model, ended } => {
                let text = format!(
                    "model {model} is not to be used any more: its entry in the catalog ended {}",
                    explain::day(*ended)
                );
                Self::new(Code::ModelExpired, text)
                    .help(format!("hither models publish {model} --valid-for 90d  (at a member that may publish)"))
                    .help("hither models ls  (shows other models)")
                    .param("model")
            }
            Refusal::BudgetSpent { budget, renewed } => {
                let text = format!(
                    "{}; nothing nearer can answer, and the next day begins in {} (UTC)",
                    explain::budget_text(budget),
                    explain::span(*renewed)
                );
                Self::new(Code::BudgetSpent, text)
                    .retry_after(*renewed)
                    .help("hither budget  (shows what is spent, by app and by server)")
                    .help("raise it under [egress] or [endpoint.NAME] in hither.toml, and start the node again")
            }
            Refusal::Withheld { site, why } => withheld(site, why),
            Refusal::Barred { site, why, again } => barred(site, *why, *again),
            Refusal::NotTrained { model, site } => {
                let who = match site {
                    Some(site) => format!("{site} is no server outside the mesh that trains {model} for this app"),
                    None => format!("no server outside the mesh that this app may use trains {model}"),
                };
                Self::new(Code::NotTrained, who)
                    .help(format!("name it in hither.toml: trains = [\"{model}\"] under [endpoint.NAME]"))
                    .param("model")
            }
            Refusal::KeyInUse => Self::new(
                Code::KeyInUse,
                "another program runs with the same key as this node, and was started before it: its data directory was \
                 copied",
            )
            .help("hither status  (says since when)")
            .help("stop one of the two; a machine of its own joins by hither invite, with a new data directory"),
        }
    }
}

fn withheld(site: &SiteName, why: &Withheld) -> Problem {
    let text = format!(
        "the filter of endpoint {site} lets nothing of this request leave for there: {why}; no other place can answer"
    );
    let problem = Problem::new(Code::Withheld, text);
    match why {
        Withheld::Found(_) => problem
            .help("take it out of the request")
            .help(format!("or let it be masked: action = \"mask\" under [endpoint.{site}.filter] of hither.toml")),
        Withheld::Unreadable(_) => problem
            .help("send text")
            .help(format!("or let it pass: unreadable = \"pass\" under [endpoint.{site}.filter] of hither.toml")),
    }
}

fn barred(site: &SiteName, why: Bar, again: Micros) -> Problem {
    let text = format!(
        "endpoint {site} is left alone for a while: {why}; no other place can answer, and it is asked again in {}",
        explain::span(again)
    );
    let problem = Problem::new(Code::Barred, text).retry_after(again);
    match why {
        Bar::Key(_) => problem
            .help(format!("put the right key into the file that key_file under [endpoint.{site}] of hither.toml names"))
            .help("a changed file is read within a second; a changed hither.toml when the node starts again"),
        Bar::NoModel => problem.help(format!("look at url and models under [endpoint.{site}] of hither.toml")),
        Bar::Failing => {
            problem.help("hither explain ID  (shows what it said)").help("look into the log of that server")
        }
    }
}

fn capacity(tried: u8) -> String {
    match tried {
        0 => "a lawful place holds the model, and none is there to serve it now".to_owned(),
        1 => "1 lawful place holds the model, and it cannot serve it now".to_owned(),
        several => format!("{several} lawful places hold the model, and none can serve it now"),
    }
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::BadInput(InputFault::ContextOverflow { prompt_tokens, context_tokens }) => {
                let fault =
                    InputFault::ContextOverflow { prompt_tokens: *prompt_tokens, context_tokens: *context_tokens };
                Self::new(Code::ContextOverflow, fault.to_string())
                    .help("shorten the messages or ask for fewer tokens; nothing is ever cut off silently")
                    .param("messages")
            }
            Failure::BadInput(InputFault::Tensor(text)) => Self::new(Code::WrongTensor, text.clone()),
            Failure::BadInput(InputFault::Other(text)) => Self::new(Code::Malformed, text.clone()),
            Failure::Declined(refusal) => Self::from(refusal),
            Failure::EngineLost | Failure::EngineCrashed(_) | Failure::Engine(_) => Self::new(
                Code::EngineFailed,
                format!("no place gave an answer; at the last, {}", explain::failure(failure)),
            )
            .help("look into the log of the node"),
            Failure::Severed(_) => {
                Self::new(Code::PlacesLost, format!("{}; no other place can go on with it", explain::failure(failure)))
                    .help("ask again: the next answer begins anew")
            }
            Failure::Unreachable | Failure::Silent | Failure::Stuck => Self::new(
                Code::PlacesLost,
                format!("no place gave an answer; of the last, {}", explain::failure(failure)),
            )
            .help("hither status"),
        }
    }
}

impl Problem {
    /// What the law does not let this node keep on its disk.
    pub(crate) fn not_kept(class: DataClass, denial: &Denial) -> Self {
        let why = explain::denial(denial);
        let message = format!("the law does not let this node keep data of class {class} for later (enqueue): {why}");
        let mut problem = Self::new(Code::NotKeptByLaw, message)
            .help("send the request itself and wait for its answer, without a job")
            .help("or have the policy permit it: a [[permit]] with action = [\"enqueue\"] for this class")
            .param("x-hither-class");
        problem.rule = rule_of(denial);
        problem.nearest = vec![nearest(denial, None)];
        problem
    }

    /// What the certificates do not let anybody do.
    fn role_missing(message: String) -> Self {
        Self::new(Code::RoleMissing, message)
            .help("hither member ls  (it shows what each certificate lets its node do)")
    }
}

/// Whether the certificates alone, and no rule of the law, keep a request from every place.
fn is_for_want_of_roles(denied: &[DeniedPlace]) -> bool {
    !denied.is_empty() && denied.iter().all(|place| matches!(place.denial, Denial::Role(_)))
}

fn rule_of(denial: &Denial) -> Option<String> {
    match denial {
        Denial::Role(_) => None,
        Denial::Forbidden { rule, .. } => Some(rule.to_string()),
        Denial::NotPermitted { nearest } => nearest.as_ref().map(|miss| miss.rule.to_string()),
    }
}

fn places(denied: &[DeniedPlace]) -> String {
    let each: Vec<String> = denied
        .iter()
        .map(|place| format!("in {} {}", place.jurisdiction, explain::denied(place.action, &place.denial)))
        .collect();
    if each.is_empty() { "no place is left".to_owned() } else { each.join("; ") }
}

fn nearest(denial: &Denial, jurisdiction: Option<String>) -> Nearest {
    let (forbidden_by, miss) = match denial {
        Denial::Forbidden { rule, nearest } => (Some(rule.to_string()), nearest),
        Denial::NotPermitted { nearest } => (None, nearest),
        Denial::Role(_) => (None, &None),
    };
    Nearest {
        jurisdiction,
        forbidden_by,
        rule: miss.as_ref().map(|miss| miss.rule.to_string()),
        failed: miss.iter().flat_map(|miss| miss.failed.iter().map(ToString::to_string)).collect(),
    }
}

impl From<&DeniedPlace> for Nearest {
    fn from(place: &DeniedPlace) -> Self {
        nearest(&place.denial, Some(place.jurisdiction.to_string()))
    }
}

impl From<&CommandError> for Problem {
    fn from(error: &CommandError) -> Self {
        // 422 whatever the code: the command was understood, and the node did not carry it out.
        let mut problem = Self::new(Code::Malformed, error.message.clone());
        (problem.code, problem.status, problem.openai_code) = (error.code.to_owned(), 422, None);
        if error.help.is_empty() { problem } else { problem.help(error.help.clone()) }
    }
}
