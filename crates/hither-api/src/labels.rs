//! What the headers of a request say: its label, how much and how long it matters, and what may answer. A label can only
//! be tightened.

use std::sync::Arc;

use bytes::Bytes;
use hither_types::id::{AppName, ParseIdError, Purpose, SiteName, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::place::Jurisdiction;
use hither_types::request::{Priority, Quality};
use hither_types::trace::TraceParent;
use hither_types::unit::Micros;
use hyper::HeaderMap;
use tokio::time::Instant;

use crate::callers::{Admission, Caller};
use crate::door::{Door, Referrer};
use crate::errors::{Code, Problem};
use crate::limits::{LABEL_ITEMS, PATIENCE_MAX_MS, PATIENCE_MS};

#[cfg(test)]
mod tests;

/// What the headers say, and who was let in with them.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Who asks. The request counts as under way as long as a clone of this is there.
    pub(crate) admission: Arc<Admission>,
    /// What the data are.
    pub(crate) label: Label,
    /// How much it matters.
    pub(crate) priority: Priority,
    /// The site that the caller would like best.
    pub(crate) prefer: Option<SiteName>,
    /// Whether a smaller model of the family may answer.
    pub(crate) quality: Quality,
    /// How long the client waits.
    pub(crate) patience: Micros,
    /// The trace of the caller.
    pub(crate) trace: Option<TraceParent>,
    /// Whether the answer is given whole, and not as it comes.
    pub(crate) whole: bool,
    /// How the record refers to the body, if it does.
    pub(crate) referrer: Option<Referrer>,
}

impl Asked {
    /// The app that asks.
    pub(crate) fn app(&self) -> &AppName {
        self.admission.caller().name()
    }

    /// Has the record refer to the body, if the app has references to data of this class.
    pub(crate) async fn refer_to(&mut self, body: &Bytes, door: &dyn Door) {
        let caller = self.admission.caller();
        if caller.refers(self.label.class) {
            self.referrer = door.refer(caller.name(), body.clone()).await;
        }
    }
}

/// Reads the headers, and lets the caller in if the label and the limits of its app allow. Before the body is read: what
/// is refused costs next to nothing.
pub(crate) fn read(headers: &HeaderMap, caller: &Caller, door: &dyn Door) -> Result<Asked, Problem> {
    Ok(Asked {
        label: label(headers, caller, door)?,
        patience: patience(headers)?,
        priority: one(headers, "x-hither-priority", priority)?.unwrap_or_default(),
        prefer: one(headers, "x-hither-prefer", SiteName::parse)?,
        quality: one(headers, "x-hither-quality", quality)?.unwrap_or_default(),
        // What cannot be read begins a new trace (W3C Trace Context, section 4.3).
        trace: headers.get("traceparent").and_then(|value| TraceParent::parse(value.to_str().ok()?)),
        whole: false,
        referrer: None,
        // The last: what is wrong in itself counts for nothing.
        admission: caller.enter(Instant::now())?,
    })
}

/// What the data are, by the headers, within what the app may send.
pub(crate) fn label(headers: &HeaderMap, caller: &Caller, door: &dyn Door) -> Result<Label, Problem> {
    let floor = door.unlabelled();
    let class = class(headers, floor)?;
    if class < floor {
        let text =
            format!("a label can only be tightened: {class} is less than {floor}, the least that this node takes");
        return Err(Problem::new(Code::LabelLoosened, text)
            .help(format!("leave x-hither-class out, or send {floor} or a higher class"))
            .param("x-hither-class"));
    }
    let mut subjects = list(headers, "x-hither-subjects", Jurisdiction::parse)?;
    if subjects.is_empty() {
        subjects.push(door.view().borrow().me.jurisdiction);
    }
    let label = Label {
        class,
        tags: list(headers, "x-hither-tags", Tag::parse)?,
        subjects,
        purpose: one(headers, "x-hither-purpose", Purpose::parse)?,
    };
    caller.may_send(&label)?;
    Ok(label)
}

/// The class that the label says, or that of data without a label.
pub(crate) fn class(headers: &HeaderMap, unlabelled: DataClass) -> Result<DataClass, Problem> {
    Ok(one(headers, "x-hither-class", DataClass::parse)?.unwrap_or(unlabelled))
}

/// How long the caller waits.
pub(crate) fn patience(headers: &HeaderMap) -> Result<Micros, Problem> {
    let millis = one(headers, "x-hither-timeout-ms", |text| {
        let wrong = || ParseIdError::new("milliseconds, a whole number from 1 to 3600000", text);
        let millis: u64 = text.parse().map_err(|_| wrong())?;
        if (1..=PATIENCE_MAX_MS).contains(&millis) { Ok(millis) } else { Err(wrong()) }
    })?;
    Ok(Micros::from_millis(millis.unwrap_or(PATIENCE_MS)))
}

/// Whether the ids of tokens are wanted beside their text.
pub(crate) fn wants_ids(headers: &HeaderMap) -> Result<bool, Problem> {
    let wanted = one(headers, "x-hither-tokens", |text| match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(ParseIdError::new("0 or 1", text)),
    })?;
    Ok(wanted.unwrap_or(false))
}

fn priority(text: &str) -> Result<Priority, ParseIdError> {
    match text {
        "low" => Ok(Priority::Low),
        "normal" => Ok(Priority::Normal),
        "critical" => Ok(Priority::Critical),
        _ => Err(ParseIdError::new("low, normal or critical", text)),
    }
}

fn quality(text: &str) -> Result<Quality, ParseIdError> {
    match text {
        "exact" => Ok(Quality::Exact),
        "family" => Ok(Quality::Family),
        _ => Err(ParseIdError::new("exact or family", text)),
    }
}

fn one<T>(
    headers: &HeaderMap,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, ParseIdError>,
) -> Result<Option<T>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(unreadable(name, "one value, and several came"));
    }
    let text = value.to_str().map_err(|_| unreadable(name, "plain text"))?;
    parse(text.trim()).map(Some).map_err(|error| unreadable(name, error))
}

fn list<T: Ord>(
    headers: &HeaderMap,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, ParseIdError>,
) -> Result<Vec<T>, Problem> {
    let mut items = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| unreadable(name, "plain text"))?;
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            if items.len() == LABEL_ITEMS {
                return Err(unreadable(name, format!("at most {LABEL_ITEMS} items")));
            }
            items.push(parse(item).map_err(|error| unreadable(name, error))?);
        }
    }
    items.sort();
    items.dedup();
    Ok(items)
}

fn unreadable(name: &'static str, why: impl std::fmt::Display) -> Problem {
    Problem::new(Code::LabelUnreadable, format!("header {name}: {why}")).param(name)
}
