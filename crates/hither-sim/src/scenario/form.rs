//! The text form of a scenario, and its checks.

use hither_types::time::Day;
use std::collections::BTreeMap;
use std::sync::Arc;

use hither_types::id::{ModelName, Operator, ParseIdError, SiteName};
use hither_types::place::Jurisdiction;
use hither_types::request::RequestKind;
use serde::Deserialize;

use super::fault::{FaultForm, fault};
use super::lay::{TopologyForm, topology};
use super::load::{LoadForm, load};
use super::names::{COUNTERS, FAULTS, is_counter};
use super::{LinkPlan, MOST_NODES, ModelPlan, NetworkPlan, NodePlan, Scenario, SimError, StormPlan};

pub(super) const MS: u64 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    about: String,
    duration_s: u64,
    /// Parts of the run that are looked at for themselves, each from and to.
    #[serde(default)]
    slices_ms: Vec<(u64, u64)>,
    /// Families of models, each from the largest member to the smallest.
    #[serde(default)]
    ladder: Vec<Vec<String>>,
    #[serde(default = "two")]
    sync_ms: u64,
    policies: BTreeMap<String, String>,
    #[serde(default)]
    network: NetworkForm,
    #[serde(default)]
    model: Vec<ModelForm>,
    #[serde(default)]
    node: Vec<NodeForm>,
    topology: Option<TopologyForm>,
    #[serde(default)]
    link: Vec<LinkForm>,
    #[serde(default)]
    load: Vec<LoadForm>,
    #[serde(default)]
    fault: Vec<FaultForm>,
    storm: Option<StormForm>,
    sometimes: BTreeMap<String, u64>,
    #[serde(default)]
    at_most: BTreeMap<String, u64>,
}

fn two() -> u64 {
    2
}

pub(super) fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkForm {
    delay_ms: u64,
    jitter_ms: u64,
    loss_permille: u32,
    rate_mbyte_s: u64,
}

impl Default for NetworkForm {
    fn default() -> Self {
        Self { delay_ms: 10, jitter_ms: 2, loss_permille: 0, rate_mbyte_s: 50 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelForm {
    name: String,
    kind: KindForm,
    #[serde(default = "two")]
    size_mb: u64,
    /// What it takes in memory once it is open.
    #[serde(default)]
    memory_mb: u64,
    slots: u16,
    slot_w: u64,
    #[serde(default)]
    load_ms: u64,
    /// Until the first token of a language model, or the whole call of a tensor model.
    prefill_ms: u64,
    #[serde(default)]
    token_ms: u64,
    /// What it takes of work that the trace of arrivals sets, in a thousandth.
    #[serde(default = "whole")]
    cost_permille: u64,
}

fn whole() -> u64 {
    1000
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindForm {
    Infer,
    Generate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeForm {
    name: String,
    site: Option<String>,
    jurisdiction: String,
    control: Option<Vec<String>>,
    #[serde(default = "operator")]
    operator: String,
    #[serde(default)]
    holds: Vec<String>,
    cap_w: u64,
    idle_w: u64,
    /// What models may use of its memory; without it, nobody watches.
    memory_mb: Option<u64>,
    #[serde(default)]
    pull: bool,
    #[serde(default = "policy")]
    policy: String,
}

fn operator() -> String {
    "acme".to_owned()
}

fn policy() -> String {
    "default".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkForm {
    between: [String; 2],
    delay_ms: u64,
    #[serde(default)]
    jitter_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StormForm {
    gap_ms: u64,
    kinds: Vec<String>,
    shortest_ms: u64,
    longest_ms: u64,
    quiet_ms: u64,
}

pub(super) fn wrong(place: impl Into<String>, reason: impl Into<String>) -> SimError {
    SimError::Value { place: place.into(), reason: reason.into() }
}

pub(super) fn id<T>(place: &str, parsed: Result<T, ParseIdError>) -> Result<T, SimError> {
    parsed.map_err(|error| wrong(place, error.to_string()))
}

pub(super) fn places(place: &str, texts: &[String]) -> Result<Vec<Jurisdiction>, SimError> {
    let mut list: Vec<_> =
        texts.iter().map(|text| id(place, Jurisdiction::parse(text))).collect::<Result<_, SimError>>()?;
    list.sort();
    list.dedup();
    Ok(list)
}

/// Names that the rest of the file refers to.
pub(super) struct Known {
    pub(super) nodes: Vec<String>,
    pub(super) models: Vec<String>,
    pub(super) policies: Vec<String>,
    /// Whether nodes are made, and have no names that a file could know.
    pub(super) made: bool,
}

pub(super) fn index(place: &str, kind: &str, known: &[String], name: &str) -> Result<usize, SimError> {
    known
        .iter()
        .position(|known| known == name)
        .ok_or_else(|| wrong(place, format!("there is no {kind} {name:?}; there are {}", known.join(", "))))
}

impl Known {
    pub(super) fn nodes(&self, place: &str, names: &[String]) -> Result<Vec<usize>, SimError> {
        names.iter().map(|name| index(place, "node", &self.nodes, name)).collect()
    }
}

/// Reads and checks a scenario.
pub(super) fn read(text: &str) -> Result<Scenario, SimError> {
    let file: File = toml::from_str(text).map_err(Box::new)?;
    let known = Known {
        nodes: file.node.iter().map(|node| node.name.clone()).collect(),
        models: file.model.iter().map(|model| model.name.clone()).collect(),
        policies: file.policies.keys().cloned().collect(),
        made: file.topology.is_some(),
    };
    if known.made && !(file.node.is_empty() && file.link.is_empty()) {
        return Err(wrong("topology", "a scenario either names its nodes and links or has a topology"));
    }
    if !known.made && (known.nodes.is_empty() || known.nodes.len() > MOST_NODES) {
        return Err(wrong("node", format!("a run has 1 to {MOST_NODES} nodes, not {}", known.nodes.len())));
    }
    if file.sometimes.is_empty() {
        return Err(wrong("sometimes", "state at least one counter: a run that exercised nothing is a failure"));
    }
    let duration = file.duration_s * 1000 * MS;
    let mut policies = Vec::new();
    for (name, text) in file.policies {
        let policy = hither_law::parse(&text, Day(0))
            .map_err(|error| SimError::Policy { name: name.clone(), reason: error.to_string() })?;
        policies.push((name, Arc::new(policy)));
    }
    let topology = file.topology.map(|form| topology(form, &known)).transpose()?;
    let mut models: Vec<ModelPlan> = file.model.iter().map(model).collect::<Result<_, _>>()?;
    if let Some(plan) = &topology {
        models.iter_mut().for_each(|model| model.slots = plan.slots);
    }
    let ladder = file.ladder.iter().map(|family| {
        let names = family.iter().map(|name| {
            index("ladder", "model", &known.models, name)?;
            id("ladder", ModelName::parse(name))
        });
        names.collect::<Result<Vec<_>, SimError>>()
    });
    let ladder = ladder.collect::<Result<Vec<_>, _>>()?;
    let mut scenario = Scenario {
        name: file.name,
        about: file.about,
        duration,
        models,
        nodes: file.node.iter().map(|form| node(form, &known)).collect::<Result<_, _>>()?,
        policies,
        network: NetworkPlan {
            delay: file.network.delay_ms * MS,
            jitter: file.network.jitter_ms * MS,
            loss_permille: file.network.loss_permille,
            rate: file.network.rate_mbyte_s.max(1) * 1_000_000,
        },
        links: file.link.iter().map(|form| link(form, &known)).collect::<Result<_, _>>()?,
        slices: file.slices_ms.iter().map(|(from, to)| (from * MS, to * MS)).collect(),
        ladder,
        sync: file.sync_ms * MS,
        loads: file.load.into_iter().map(|form| load(form, &known, duration)).collect::<Result<_, _>>()?,
        faults: file.fault.iter().map(|form| fault(form, &known)).collect::<Result<_, _>>()?,
        storm: file.storm.map(storm).transpose()?,
        sometimes: bounds("sometimes", file.sometimes)?,
        at_most: bounds("at_most", file.at_most)?,
        topology,
        mesh: None,
    };
    if scenario.topology.is_none() {
        scenario.settle(0);
    }
    Ok(scenario)
}

fn model(form: &ModelForm) -> Result<ModelPlan, SimError> {
    let place = format!("model {:?}", form.name);
    if form.slots == 0 {
        return Err(wrong(place, "slots must be at least 1"));
    }
    Ok(ModelPlan {
        name: id(&place, ModelName::parse(&form.name))?,
        kind: match form.kind {
            KindForm::Infer => RequestKind::Infer,
            KindForm::Generate => RequestKind::Generate,
        },
        size: form.size_mb * 1_000_000,
        memory: form.memory_mb * 1_000_000,
        slots: form.slots,
        slot_power: form.slot_w * 1000,
        load: form.load_ms * MS,
        prefill: form.prefill_ms * MS,
        token: form.token_ms * MS,
        cost: form.cost_permille,
    })
}

fn node(form: &NodeForm, known: &Known) -> Result<NodePlan, SimError> {
    let place = format!("node {:?}", form.name);
    if known.nodes.iter().filter(|name| **name == form.name).count() > 1 {
        return Err(wrong(place, "two nodes have this name"));
    }
    Ok(NodePlan {
        name: form.name.clone(),
        site: id(&place, SiteName::parse(form.site.as_ref().unwrap_or(&form.name)))?,
        jurisdiction: id(&place, Jurisdiction::parse(&form.jurisdiction))?,
        control: form.control.as_ref().map(|list| places(&place, list)).transpose()?,
        operator: id(&place, Operator::parse(&form.operator))?,
        holds: form.holds.iter().map(|name| index(&place, "model", &known.models, name)).collect::<Result<_, _>>()?,
        cap: form.cap_w * 1000,
        idle: form.idle_w * 1000,
        memory: form.memory_mb.map(|mb| mb * 1_000_000),
        pull: form.pull,
        policy: index(&place, "policy", &known.policies, &form.policy)?,
    })
}

fn link(form: &LinkForm, known: &Known) -> Result<LinkPlan, SimError> {
    let ends = known.nodes("link", &form.between)?;
    Ok(LinkPlan { a: ends[0], b: ends[1], delay: form.delay_ms * MS, jitter: form.jitter_ms * MS })
}

fn storm(form: StormForm) -> Result<StormPlan, SimError> {
    let unknown = form.kinds.iter().find(|kind| !FAULTS.contains(&kind.as_str()) || *kind == "law");
    if let Some(kind) = unknown {
        return Err(wrong("storm", format!("{kind:?} cannot be drawn; there are {} but law", FAULTS.join(", "))));
    }
    if form.gap_ms == 0 || form.kinds.is_empty() || form.shortest_ms > form.longest_ms {
        return Err(wrong("storm", "gap_ms must be above 0, kinds not empty, shortest_ms at most longest_ms"));
    }
    Ok(StormPlan {
        gap: form.gap_ms * MS,
        kinds: form.kinds,
        shortest: form.shortest_ms * MS,
        longest: form.longest_ms * MS,
        quiet: form.quiet_ms * MS,
    })
}

fn bounds(place: &str, given: BTreeMap<String, u64>) -> Result<Vec<(String, u64)>, SimError> {
    if let Some(name) = given.keys().find(|name| !is_counter(name)) {
        let known: Vec<_> = COUNTERS.iter().map(|(name, _)| *name).collect();
        return Err(wrong(place, format!("there is no counter {name:?}; there are fault_KIND, {}", known.join(", "))));
    }
    Ok(given.into_iter().collect())
}
