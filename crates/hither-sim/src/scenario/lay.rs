//! A mesh that is made from the seed: its text form, its checks, and the nodes that come of it.

use std::sync::Arc;

use hither_types::id::{Operator, SiteName};
use hither_types::place::Jurisdiction;
use serde::Deserialize;

use super::form::{Known, MS, id, index, wrong};
use super::{MOST_MADE, NodePlan, Scenario, SimError, TopologyPlan};
use crate::chance::Chance;
use crate::mesh::Mesh;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopologyForm {
    nodes: usize,
    #[serde(default = "ten")]
    per_site: usize,
    #[serde(default = "four")]
    slots: u16,
    /// Speeds in a thousandth of the usual, each with its share in per cent.
    #[serde(default = "usual")]
    speeds: Vec<(u32, u32)>,
    #[serde(default = "half_a_millisecond")]
    site_rtt_us: u64,
    #[serde(default = "millisecond")]
    rtt_min_us: u64,
    #[serde(default = "sixty_milliseconds")]
    rtt_max_us: u64,
    jurisdictions: Vec<String>,
    #[serde(default)]
    demand_sigma: bool,
    #[serde(default = "sixty_four")]
    near: usize,
    #[serde(default = "twice_sixty_four")]
    far: usize,
    #[serde(default = "second")]
    gossip_ms: u64,
    #[serde(default = "four_seconds")]
    membership_ms: u64,
    #[serde(default = "hundred")]
    cap_w: u64,
    #[serde(default = "twenty")]
    idle_w: u64,
    #[serde(default = "law")]
    policy: String,
}

fn ten() -> usize {
    10
}

fn four() -> u16 {
    4
}

fn usual() -> Vec<(u32, u32)> {
    vec![(1000, 100)]
}

fn half_a_millisecond() -> u64 {
    500
}

fn millisecond() -> u64 {
    1000
}

fn sixty_milliseconds() -> u64 {
    60_000
}

fn sixty_four() -> usize {
    64
}

fn twice_sixty_four() -> usize {
    128
}

fn second() -> u64 {
    1000
}

fn four_seconds() -> u64 {
    4000
}

fn hundred() -> u64 {
    100
}

fn twenty() -> u64 {
    20
}

fn law() -> String {
    "default".to_owned()
}

/// Checks one.
pub(super) fn topology(form: TopologyForm, known: &Known) -> Result<TopologyPlan, SimError> {
    let place = "topology";
    if form.per_site == 0 || !(1..=MOST_MADE).contains(&form.nodes) || form.slots == 0 {
        return Err(wrong(place, format!("nodes must be 1 to {MOST_MADE}, per_site and slots at least 1")));
    }
    if form.speeds.iter().any(|(speed, _)| *speed == 0) || form.speeds.iter().all(|(_, share)| *share == 0) {
        return Err(wrong(place, "speeds are pairs of a speed above 0 and a share, and some share must be above 0"));
    }
    if form.rtt_max_us < form.rtt_min_us || form.jurisdictions.is_empty() {
        return Err(wrong(place, "rtt_max_us is at least rtt_min_us, and there is a jurisdiction"));
    }
    let lands = form.jurisdictions.iter().map(|text| id(place, Jurisdiction::parse(text)));
    Ok(TopologyPlan {
        nodes: form.nodes,
        per_site: form.per_site,
        slots: form.slots,
        speeds: form.speeds,
        site_rtt: form.site_rtt_us,
        rtt_min: form.rtt_min_us,
        rtt_max: form.rtt_max_us,
        jurisdictions: lands.collect::<Result<_, _>>()?,
        demand_sigma: form.demand_sigma,
        near: form.near,
        far: form.far,
        gossip: form.gossip_ms.max(1) * MS,
        membership: form.membership_ms * MS,
        cap: form.cap_w * 1000,
        idle: form.idle_w * 1000,
        policy: index(place, "policy", &known.policies, &form.policy)?,
    })
}

impl Scenario {
    /// The same with what depends on the seed: the nodes of a topology, and the nodes that faults happen to.
    #[must_use]
    pub fn laid_out(&self, seed: u64) -> Self {
        let mut scenario = self.clone();
        scenario.settle(seed);
        scenario
    }

    pub(super) fn settle(&mut self, seed: u64) {
        if let Some(plan) = &self.topology {
            let mesh = Mesh::new(plan, seed);
            self.nodes = made(plan, &mesh, self.models.len());
            self.mesh = Some(Arc::new(mesh));
        }
        let mut chance = Chance::new(seed, 0xfa17);
        self.faults.iter_mut().for_each(|fault| fault.settle(&self.nodes, &mut chance));
    }
}

fn made(plan: &TopologyPlan, mesh: &Mesh, models: usize) -> Vec<NodePlan> {
    let operator = Operator::parse("acme").expect("four letters are a name");
    let count = plan.nodes.div_ceil(plan.per_site);
    let sites: Vec<SiteName> =
        (0..count).map(|site| SiteName::parse(&format!("s{site}")).expect("letters and digits are a name")).collect();
    let node = |(index, spot): (usize, &crate::mesh::Spot)| NodePlan {
        name: format!("n{index}"),
        site: sites[spot.site as usize].clone(),
        jurisdiction: plan.jurisdictions[usize::from(spot.jurisdiction)],
        control: None,
        operator: operator.clone(),
        holds: (0..models).collect(),
        cap: plan.cap,
        idle: plan.idle,
        pull: false,
        memory: None,
        policy: plan.policy,
    };
    mesh.spots.iter().enumerate().map(node).collect()
}
