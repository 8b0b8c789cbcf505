//! What goes wrong: the text form, its checks, and which nodes it happens to.

use hither_types::id::SiteName;
use hither_types::place::Jurisdiction;
use serde::Deserialize;

use super::form::{Known, MS, id, index, wrong};
use super::load::permille;
use super::names::FAULTS;
use super::{Fault, FaultPlan, NodePlan, Pick, SimError};
use crate::chance::Chance;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultForm {
    at_ms: u64,
    for_ms: Option<u64>,
    kind: String,
    /// Where; all nodes if absent.
    #[serde(default)]
    nodes: Vec<String>,
    /// … or a share of them, drawn by the seed …
    share: Option<f64>,
    /// … or a share of the sites …
    sites: Option<f64>,
    /// … or one site …
    site: Option<String>,
    /// … or all of a jurisdiction.
    jurisdiction: Option<String>,
    /// The other side of a cut; all other nodes if absent.
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    one_way: bool,
    factor: Option<u64>,
    cap_w: Option<u64>,
    permille: Option<u32>,
    policy: Option<String>,
}

/// Checks one.
pub(super) fn fault(form: &FaultForm, known: &Known) -> Result<FaultPlan, SimError> {
    let place = format!("fault {:?} at {} ms", form.kind, form.at_ms);
    let need = |what: &str| wrong(place.clone(), format!("this kind of fault needs {what}"));
    let pick = pick(form, known, &place)?;
    let against = if form.from.is_empty() { None } else { Some(known.nodes(&place, &form.from)?) };
    let nodes = Vec::new;
    let fault = match form.kind.as_str() {
        "kill" => Fault::Kill(nodes()),
        "freeze" => Fault::Freeze(nodes()),
        "slow" => Fault::Slow(nodes(), form.factor.ok_or_else(|| need("factor"))?.max(1)),
        "cap" => Fault::Cap(nodes(), form.cap_w.ok_or_else(|| need("cap_w"))? * 1000),
        "disk-full" => Fault::DiskFull(nodes()),
        "cut" => Fault::Cut { from: nodes(), to: Vec::new(), both: !form.one_way },
        "loss" => Fault::Loss(form.permille.ok_or_else(|| need("permille"))?.min(900)),
        "law" => {
            let name = form.policy.as_ref().ok_or_else(|| need("policy"))?;
            Fault::Law(nodes(), index(&place, "policy", &known.policies, name)?)
        }
        "engine-crash" => Fault::EngineCrash(nodes()),
        "hang" => Fault::Hang(nodes()),
        "mute" => Fault::Mute(nodes()),
        _ => return Err(wrong(place, format!("there is no such kind; there are {}", FAULTS.join(", ")))),
    };
    Ok(FaultPlan { at: form.at_ms * MS, lasts: form.for_ms.map(|ms| ms * MS), fault, pick, against })
}

fn pick(form: &FaultForm, known: &Known, place: &str) -> Result<Pick, SimError> {
    let share = |share: f64| match (0.0..=1.0).contains(&share) {
        true => Ok(permille(share) as u32),
        false => Err(wrong(place, "a share is 0 to 1")),
    };
    match (form.share, form.sites, &form.site, &form.jurisdiction) {
        (None, None, None, None) if form.nodes.is_empty() => Ok(Pick::Share(1000)),
        (None, None, None, None) => Ok(Pick::Nodes(known.nodes(place, &form.nodes)?)),
        _ if !form.nodes.is_empty() => {
            Err(wrong(place, "state nodes, share, sites, site or jurisdiction, one of them"))
        }
        (Some(of), None, None, None) => Ok(Pick::Share(share(of)?)),
        (None, Some(of), None, None) => Ok(Pick::Sites(share(of)?)),
        (None, None, Some(site), None) => Ok(Pick::Site(id(place, SiteName::parse(site))?)),
        (None, None, None, Some(land)) => Ok(Pick::Jurisdiction(id(place, Jurisdiction::parse(land))?)),
        _ => Err(wrong(place, "state nodes, share, sites, site or jurisdiction, one of them")),
    }
}

impl FaultPlan {
    /// Settles which nodes it happens to.
    pub(super) fn settle(&mut self, nodes: &[NodePlan], chance: &mut Chance) {
        let picked = self.pick.nodes(nodes, chance);
        let against = &self.against;
        match &mut self.fault {
            Fault::Kill(at)
            | Fault::Freeze(at)
            | Fault::Slow(at, _)
            | Fault::Cap(at, _)
            | Fault::DiskFull(at)
            | Fault::Law(at, _)
            | Fault::EngineCrash(at)
            | Fault::Hang(at)
            | Fault::Mute(at) => *at = picked,
            Fault::Cut { from, to, both: _ } => {
                let mut inside = vec![false; nodes.len()];
                picked.iter().for_each(|node| inside[*node] = true);
                let others = || (0..nodes.len()).filter(|node| !inside[*node]).collect();
                *to = against.clone().unwrap_or_else(others);
                *from = picked;
            }
            Fault::Loss(_) => {}
        }
    }
}

impl Pick {
    fn nodes(&self, nodes: &[NodePlan], chance: &mut Chance) -> Vec<usize> {
        let of = |wanted: &dyn Fn(&NodePlan) -> bool| {
            nodes.iter().enumerate().filter(|(_, node)| wanted(node)).map(|(index, _)| index).collect()
        };
        match self {
            Self::Nodes(named) => named.clone(),
            Self::Share(1000) => (0..nodes.len()).collect(),
            Self::Share(share) => {
                let count = (nodes.len() * *share as usize).div_ceil(1000);
                let mut drawn = draw((0..nodes.len()).collect(), count, chance);
                drawn.sort_unstable();
                drawn
            }
            Self::Sites(share) => {
                let mut sites: Vec<&SiteName> = nodes.iter().map(|node| &node.site).collect();
                sites.dedup();
                let count = (sites.len() * *share as usize).div_ceil(1000).max(1);
                let drawn = draw(sites, count, chance);
                of(&|node| drawn.contains(&&node.site))
            }
            Self::Site(site) => of(&|node| node.site == *site),
            Self::Jurisdiction(land) => of(&|node| node.jurisdiction.within(*land)),
        }
    }
}

/// So many of a list, by chance.
fn draw<T>(mut list: Vec<T>, count: usize, chance: &mut Chance) -> Vec<T> {
    let count = count.min(list.len());
    for first in 0..count {
        let other = first + chance.below((list.len() - first) as u64) as usize;
        list.swap(first, other);
    }
    list.truncate(count);
    list
}
