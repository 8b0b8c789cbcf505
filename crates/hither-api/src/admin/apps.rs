//! Apps in the operator's interface: what an operator asks, and what is known of each.

use std::num::NonZeroU32;

use hither_types::id::{AppName, ModelName, ParseIdError, Purpose};
use hither_types::label::DataClass;
use serde::{Deserialize, Serialize};

use crate::callers::{AppEntry, Caller, Change, Counts, Key, Link, is_link};
use crate::errors::{Code, Problem};
use crate::fields::quoted;
use crate::limits::{LIMIT_ITEMS, LINK_BYTES};

/// What an app may do: part of `POST /hither/v1/apps`, and the body of `POST /hither/v1/apps/{app}/limits`. What is
/// absent stays as it is; 0 and an empty list lift a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AppLimits"))]
#[serde(deny_unknown_fields, default)]
pub struct ChangeDto {
    /// The user whose programs are the app when they come over the Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name in the certificates that the app shows: a DNS name or URI of the subject alternative names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The value in the tokens that the app sends, in the claim that `[api.oidc]` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What makes the app known no more: `uid`, `certificate` or `subject`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlink: Vec<String>,
    /// Up to which class of data the record of a request has a keyed reference to what was asked; `none`: none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// The highest class of data that it may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The models that it may ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// What its requests may be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purposes: Option<Vec<String>>,
    /// Requests a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_s: Option<u32>,
    /// Requests under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    /// Tokens a minute, prompts and answers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_min: Option<u32>,
}

/// The body of `POST /hither/v1/apps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NewApp"))]
#[serde(deny_unknown_fields)]
pub struct AddAppDto {
    /// What the law, the ledger and people call it.
    pub name: String,
    /// What it may do; all, if nothing is said.
    #[serde(default)]
    pub limits: ChangeDto,
}

/// One app: `GET /hither/v1/apps` gives all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "App"))]
pub struct AppDto {
    /// What it is called.
    pub name: String,
    /// The part of its key that is no secret.
    pub key_id: String,
    /// The user whose programs it is.
    pub uid: Option<u32>,
    /// The name in the certificates that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The value in the tokens that it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Up to which class of data the record of a request has a keyed reference to what was asked; absent if none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// The highest class of data that it may send; absent if any.
    pub class: Option<String>,
    /// The models that it may ask for; empty if all.
    pub models: Vec<String>,
    /// What its requests may be for; empty if anything.
    pub purposes: Vec<String>,
    /// Requests a second; absent if not limited.
    pub requests_per_s: Option<u32>,
    /// Requests under way at once; absent if not limited.
    pub concurrent: Option<u32>,
    /// Tokens a minute; absent if not limited.
    pub tokens_per_min: Option<u32>,
    /// Requests that were let in since the node started; zero in the answer to a command.
    pub requests: u64,
    /// Requests that a limit of numbers kept out.
    pub limited: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// Requests under way.
    pub running: u32,
}

/// The answer to making a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AppKey"))]
pub struct AppKeyDto {
    /// The app.
    pub app: AppDto,
    /// Its key: shown here, and never again.
    pub key: String,
}

impl ChangeDto {
    /// Reads it as words.
    ///
    /// # Errors
    /// Which field is wrong, and what would be right.
    pub(crate) fn read(self) -> Result<Change, Problem> {
        Ok(Change {
            uid: self.uid,
            certificate: self.certificate.map(|name| link("certificate", name)).transpose()?,
            subject: self.subject.map(|value| link("subject", value)).transpose()?,
            unlink: self.unlink.iter().map(|word| unlinked(word)).collect::<Result<_, _>>()?,
            references: self.references.map(|class| references(&class)).transpose()?,
            class: self.class.map(|class| field("class", DataClass::parse(&class))).transpose()?,
            models: self.models.map(|models| list("models", &models, ModelName::parse)).transpose()?,
            purposes: self.purposes.map(|purposes| list("purposes", &purposes, Purpose::parse)).transpose()?,
            requests_per_s: self.requests_per_s,
            concurrent: self.concurrent,
            tokens_per_min: self.tokens_per_min,
        })
    }
}

impl AddAppDto {
    /// Reads it as words.
    ///
    /// # Errors
    /// Which field is wrong, and what would be right.
    pub(crate) fn read(self) -> Result<(AppName, Change), Problem> {
        Ok((field("name", AppName::parse(&self.name))?, self.limits.read()?))
    }
}

fn field<T>(what: &'static str, parsed: Result<T, ParseIdError>) -> Result<T, Problem> {
    parsed.map_err(|error| Problem::new(Code::OutOfRange, format!("{what}: {error}")).param(what))
}

/// A class, or none.
fn references(word: &str) -> Result<Option<DataClass>, Problem> {
    if word == "none" { Ok(None) } else { field("references", DataClass::parse(word)).map(Some) }
}

/// A name as certificates have it, or a value as tokens have it.
fn link(what: &'static str, name: String) -> Result<String, Problem> {
    if is_link(&name) {
        return Ok(name);
    }
    let text = format!("{what} takes 1 to {LINK_BYTES} letters, digits and signs, without spaces");
    Err(Problem::new(Code::OutOfRange, text).param(what))
}

fn unlinked(word: &str) -> Result<Link, Problem> {
    Link::parse(word).ok_or_else(|| {
        let all = Link::ALL.map(Link::as_str).join(", ");
        Problem::new(Code::OutOfRange, format!("unlink takes {all}, and not {}", quoted(word))).param("unlink")
    })
}

fn list<T: Ord>(
    what: &'static str,
    items: &[String],
    parse: impl Fn(&str) -> Result<T, ParseIdError>,
) -> Result<Vec<T>, Problem> {
    if items.len() > LIMIT_ITEMS {
        let text = format!("{what} has {} items, and takes {LIMIT_ITEMS} at most", items.len());
        return Err(Problem::new(Code::OutOfRange, text).param(what));
    }
    let mut parsed = items.iter().map(|item| field(what, parse(item))).collect::<Result<Vec<T>, Problem>>()?;
    parsed.sort();
    parsed.dedup();
    Ok(parsed)
}

fn app_dto(entry: &AppEntry, counts: Counts) -> AppDto {
    let limits = &entry.limits;
    AppDto {
        name: entry.name.to_string(),
        key_id: entry.key.id.to_string(),
        uid: entry.uid,
        certificate: entry.certificate.clone(),
        subject: entry.subject.clone(),
        references: entry.references.map(|class| class.to_string()),
        class: limits.class.map(|class| class.to_string()),
        models: limits.models.iter().map(ToString::to_string).collect(),
        purposes: limits.purposes.iter().map(ToString::to_string).collect(),
        requests_per_s: limits.requests_per_s.map(NonZeroU32::get),
        concurrent: limits.concurrent.map(NonZeroU32::get),
        tokens_per_min: limits.tokens_per_min.map(NonZeroU32::get),
        requests: counts.requests,
        limited: counts.limited,
        tokens: counts.tokens,
        running: counts.running,
    }
}

impl From<&AppEntry> for AppDto {
    fn from(entry: &AppEntry) -> Self {
        app_dto(entry, Counts::default())
    }
}

impl From<&Caller> for AppDto {
    fn from(caller: &Caller) -> Self {
        app_dto(caller.entry(), caller.counts())
    }
}

impl AppKeyDto {
    /// The app with its new key.
    pub(crate) fn new(entry: &AppEntry, key: &Key) -> Self {
        Self { app: AppDto::from(entry), key: key.reveal().to_owned() }
    }
}
