//! Streams of requests: their text form, and its checks.

use hither_types::id::{AppName, ModelName, Purpose, SiteName, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::request::{Priority, Quality};
use serde::Deserialize;

use super::form::{Known, MS, id, places, wrong};
use super::{Arrivals, LoadPlan, Pulse, Service, SimError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadForm {
    /// Where it enters; all nodes if absent.
    #[serde(default)]
    nodes: Vec<String>,
    #[serde(default = "app")]
    app: String,
    model: String,
    #[serde(default = "class")]
    class: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    subjects: Vec<String>,
    purpose: Option<String>,
    #[serde(default = "super::form::one")]
    tokens: u32,
    #[serde(default = "size")]
    size: u64,
    deadline_ms: u64,
    #[serde(default)]
    priority: PriorityForm,
    #[serde(default)]
    quality: QualityForm,
    prefer: Option<String>,
    patience_ms: Option<u64>,
    /// One request at this time …
    at_ms: Option<u64>,
    /// … or so many per second at each node, in tenths.
    per_10s: Option<u64>,
    /// … or a share of what all nodes of a topology can do.
    rho: Option<f64>,
    /// Mean work of a request at the usual speed.
    service_ms: Option<u64>,
    #[serde(default)]
    service: ServiceForm,
    pulse: Option<PulseForm>,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
    /// Figures are of requests from then on.
    measure_from_ms: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum ServiceForm {
    Fixed,
    #[default]
    Lognormal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PulseForm {
    from_ms: u64,
    to_ms: u64,
    times: u64,
}

fn app() -> String {
    "app".to_owned()
}

fn class() -> String {
    "internal".to_owned()
}

fn size() -> u64 {
    400
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum PriorityForm {
    Low,
    #[default]
    Normal,
    Critical,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum QualityForm {
    #[default]
    Exact,
    Family,
}

/// Checks one.
pub(super) fn load(form: LoadForm, known: &Known, duration: u64) -> Result<LoadPlan, SimError> {
    let place = format!("load of {:?}", form.model);
    let mut tags: Vec<Tag> =
        form.tags.iter().map(|tag| id(&place, Tag::parse(tag))).collect::<Result<_, SimError>>()?;
    tags.sort();
    let arrivals = arrivals(&form, known, &place, duration)?;
    Ok(LoadPlan {
        nodes: known.nodes(&place, &form.nodes)?,
        app: id(&place, AppName::parse(&form.app))?,
        model: id(&place, ModelName::parse(&form.model))?,
        known: known.models.iter().position(|name| *name == form.model),
        label: Label {
            class: id(&place, DataClass::parse(&form.class))?,
            tags,
            subjects: places(&place, &form.subjects)?,
            purpose: form.purpose.map(|text| id(&place, Purpose::parse(&text))).transpose()?,
        },
        tokens: form.tokens.max(1),
        size: form.size,
        deadline: form.deadline_ms * MS,
        priority: match form.priority {
            PriorityForm::Low => Priority::Low,
            PriorityForm::Normal => Priority::Normal,
            PriorityForm::Critical => Priority::Critical,
        },
        quality: match form.quality {
            QualityForm::Exact => Quality::Exact,
            QualityForm::Family => Quality::Family,
        },
        prefer: form.prefer.map(|text| id(&place, SiteName::parse(&text))).transpose()?,
        patience: form.patience_ms.map(|ms| ms * MS),
        arrivals,
        measure_from: form.measure_from_ms.unwrap_or(0) * MS,
    })
}

fn arrivals(form: &LoadForm, known: &Known, place: &str, duration: u64) -> Result<Arrivals, SimError> {
    let from = form.from_ms.unwrap_or(0) * MS;
    let to = form.to_ms.map_or(duration, |to| to * MS);
    if known.made {
        let (Some(rho), Some(work), None, None) = (form.rho, form.service_ms, form.at_ms, form.per_10s) else {
            return Err(wrong(place, "of a topology, state rho and service_ms"));
        };
        if !(0.001..=100.0).contains(&rho) || work == 0 {
            return Err(wrong(place, "rho must be 0.001 to 100, and service_ms above 0"));
        }
        let pulse = form.pulse.as_ref().map(|pulse| Pulse {
            from: pulse.from_ms * MS,
            to: pulse.to_ms * MS,
            times: pulse.times.max(1),
        });
        let service = match form.service {
            ServiceForm::Fixed => Service::Fixed,
            ServiceForm::Lognormal => Service::Lognormal,
        };
        return Ok(Arrivals::Share { permille: permille(rho), work: work * MS, service, pulse, from, to });
    }
    match (form.at_ms, form.per_10s, form.rho) {
        (Some(at), None, None) => Ok(Arrivals::Once(at * MS)),
        (None, Some(rate), None) if rate > 0 => Ok(Arrivals::Open { gap: 10_000_000 / rate, from, to }),
        _ => Err(wrong(place, "state either at_ms or per_10s (more than 0)")),
    }
}

/// A share in thousandths.
pub(super) fn permille(share: f64) -> u64 {
    (share * 1000.0).round() as u64
}
