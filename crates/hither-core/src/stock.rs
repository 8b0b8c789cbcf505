//! Which models this node keeps, where it decides that itself: what it sees of its neighbours, and what is made of what the
//! planner wants.
//!
//! Its neighbourhood is its jurisdiction; of that, where its site is so large that others are not shown all of it, the site,
//! and else the other sites that are not. So whoever belongs to it sees the same nodes.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::id::{Digest, ModelName, NodeId, SiteName};
use hither_types::message::{ModelPresence, ModelStage, Placing, Room};
use hither_types::model::{Device, Manifest, ModelFormat};
use hither_types::unit::{ByteCount, Eighths, MicroHertz, Micros};

use crate::catalog::{Reason, Stage};
use crate::event::Action;
use crate::limits;
use crate::machine::Core;
use crate::peers::Peer;
use crate::placement::{Candidate, Demand, Glance, Planner, Sight, Step, Why};
use crate::router::Gate;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

/// How a complaint begins that a model finds no room.
const NO_ROOM: &str = "no room for a copy of";

/// What a node needs to decide about its models.
#[derive(Debug)]
pub(crate) struct Stock {
    planner: Planner,
    demand: Demand,
    /// The share of its power that is not in use, on an average, in thousandths.
    spare: u64,
    /// Who decides with this node, as of the last decision.
    neighbours: BTreeSet<NodeId>,
    /// What the others were told last.
    pub(crate) told: Option<Placing>,
}

impl Stock {
    pub(crate) fn new(me: NodeId, memory: Option<ByteCount>) -> Self {
        Self {
            planner: Planner::new(me, memory),
            demand: Demand::default(),
            spare: 1000,
            neighbours: BTreeSet::new(),
            told: None,
        }
    }

    /// A request for a model came in here.
    pub(crate) fn asked(&mut self, model: Digest) {
        self.demand.ask(model);
    }

    /// A request of a peer was accepted. Where the peer decides with this node, it counted it already.
    pub(crate) fn asked_by(&mut self, peer: NodeId, model: Digest) {
        if !self.neighbours.contains(&peer) {
            self.demand.ask(model);
        }
    }

    /// Work starts on a model.
    pub(crate) fn used(&mut self, model: Digest) {
        self.planner.used(model);
    }

    /// A model's file is gone.
    pub(crate) fn gone(&mut self, model: Digest) {
        self.planner.gone(model);
    }
}

/// What is known of one model among neighbours, as it is summed up.
#[derive(Debug, Default)]
struct Sum {
    holders: Vec<NodeId>,
    /// Those to whom it is on its way.
    coming: Vec<NodeId>,
    /// Copies here, and on their way here.
    mine: (u32, u32),
    open: u32,
    slots: u32,
    /// Services that were told, and of how many.
    service: (u64, u64),
    wait: Option<Micros>,
    demand: u64,
}

impl Sum {
    fn add(&mut self, node: NodeId, model: &ModelPresence) {
        match model.stage {
            ModelStage::Fetching => self.coming.push(node),
            ModelStage::Stored | ModelStage::Ready => self.holders.push(node),
            // It is no copy that anybody could go on with.
            ModelStage::Quarantined => {}
        }
        self.serves(model);
    }

    fn serves(&mut self, model: &ModelPresence) {
        if model.stage != ModelStage::Ready {
            return;
        }
        self.open += 1;
        self.slots += u32::from(model.slots);
        if model.service > Micros(0) {
            self.service = (self.service.0 + model.service.0, self.service.1 + 1);
        }
        let wait = match model.busy < model.slots {
            true => 0,
            false => (u64::from(model.queued) + 1) * model.service.0 / u64::from(model.slots.max(1)),
        };
        self.wait = Some(self.wait.map_or(Micros(wait), |least| least.min(Micros(wait))));
    }
}

/// The neighbourhood, as this node sees it when it decides.
struct Around<'a> {
    core: &'a Core,
    neighbours: Vec<&'a Peer>,
    sums: BTreeMap<Digest, Sum>,
    glances: Vec<Glance>,
}

impl Sight for Around<'_> {
    fn glances(&self) -> &[Glance] {
        &self.glances
    }

    fn holders(&self, model: Digest) -> &[NodeId] {
        self.sums.get(&model).map_or(&[], |sum| sum.holders.as_slice())
    }

    fn candidates(&self, model: Digest) -> Vec<Candidate> {
        let Some(manifest) = self.core.catalog.manifest(model) else { return Vec::new() };
        let lacks = |peer: &&Peer| peer.model(model).is_none();
        let room = |peer: &Peer| Some(peer.presence()?.placing.as_ref()?.room).filter(|room| room.free > Eighths::NONE);
        let others = self.neighbours.iter().copied().filter(lacks).filter_map(|peer| Some((peer, room(peer)?)));
        let lawful = others.filter(|(peer, _)| self.core.may_come(manifest, peer));
        lawful.map(|(peer, room)| Candidate { node: peer.member.node, room }).collect()
    }

    fn is_busy(&self, model: Digest) -> bool {
        self.core.is_in_use(model) || self.core.catalog.stage(model) == Stage::Loading
    }
}

impl Core {
    /// Decides what this node should hold, and tells the others what it has left.
    pub(crate) fn look_at_stock(&mut self) {
        let Some(mut stock) = self.stock.take() else { return };
        self.timers.set(Timer::Stock, self.now.after(limits::PLACE_EVERY));
        stock.demand.pass(self.now);
        self.take_stock(&mut stock.planner);
        let around = self.around(&stock.demand);
        stock.neighbours = around.neighbours.iter().filter(|peer| places(peer)).map(|peer| peer.member.node).collect();
        let steps = if self.draining { Vec::new() } else { stock.planner.decide(&around, self.now) };
        stock.spare = (stock.spare * 11 + self.scheduler.power().spare()) / 12;
        let mut room = stock.planner.room(Eighths::of(stock.spare, 1000), self.speed());
        if self.draining {
            room = Room { free: Eighths::NONE, ..room };
        }
        let placing = Placing { room, demand: stock.demand.told() };
        self.herald.due |= stock.told.as_ref() != Some(&placing);
        stock.told = Some(placing);
        self.stock = Some(stock);
        self.restock(steps);
    }

    /// Carries out what the planner wants.
    fn restock(&mut self, steps: Vec<Step>) {
        let mut homeless = Vec::new();
        for step in steps {
            match step {
                Step::Fetch { model, why } => {
                    let local = self.catalog.local_mut(model);
                    (local.stage, local.reason, local.fetch_failures) = (Stage::Wanted, Reason::Placed(why), 0);
                    self.trace.totals.placed += 1;
                    self.fetch(model);
                }
                Step::Evict { model, by } => {
                    self.trace.totals.evicted += 1;
                    self.act(Action::Evict { digest: model, by });
                }
                Step::NoRoom { model, why } => homeless.push(format!("{} ({})", self.name_of(model), why_text(why))),
            }
        }
        self.complaints.retain(|text| !text.starts_with(NO_ROOM));
        if let Some(first) = homeless.first() {
            let more = if homeless.len() > 1 { format!(" and {} more", homeless.len() - 1) } else { String::new() };
            self.complain(format!(
                "{NO_ROOM} {first}{more}: all that is here is needed, pinned, busy, new, or the last copy of its jurisdiction; \
                 raise memory_mb under [models] in hither.toml, or add a node"
            ));
        }
    }

    /// Tells the planner what is here, for it may have come or gone in many ways.
    fn take_stock(&self, planner: &mut Planner) {
        for manifest in self.catalog.manifests() {
            planner.pin(manifest.digest, self.pins.contains(&manifest.name));
        }
        for (digest, local) in self.catalog.locals() {
            let bytes = self.need(digest);
            match local.stage {
                Stage::Absent => planner.gone(digest),
                Stage::Wanted | Stage::Fetching => planner.coming(digest, bytes),
                Stage::Stored | Stage::Loading | Stage::Ready | Stage::Quarantined | Stage::Cold | Stage::Refuted => {
                    planner.came(digest, bytes, self.reload_of(digest), self.now)
                }
            }
        }
    }

    /// What a model takes to come and be opened.
    fn reload_of(&self, digest: Digest) -> Micros {
        let size = self.catalog.manifest(digest).map_or(0, |manifest| manifest.size.0);
        let open = self.memory.load(digest).unwrap_or(Micros(size.saturating_mul(1_000_000) / limits::OPEN_RATE));
        Micros(open.0.saturating_add(size.saturating_mul(1_000_000) / limits::FETCH_RATE))
    }

    /// How fast this node computes: 4 on a processor, and more where a model runs on something faster.
    fn speed(&self) -> u8 {
        let devices = self.catalog.locals().filter_map(|(digest, _)| self.scheduler.device(digest));
        let speed = |device| match device {
            Device::Cpu => 4,
            Device::Npu => 8,
            Device::Gpu => 16,
        };
        devices.map(speed).max().unwrap_or(4)
    }

    /// Those with whom this node decides that are there.
    fn neighbours(&self) -> Vec<&Peer> {
        let mut sizes: BTreeMap<&SiteName, usize> = BTreeMap::from([(&self.me.site, 1)]);
        let members = || self.peers.iter().filter(|peer| !self.is_endpoint(peer.member.node));
        members().for_each(|peer| *sizes.entry(&peer.member.site).or_default() += 1);
        let is_large = |site: &SiteName| sizes.get(site).is_some_and(|size| *size > limits::SHOWN_WHOLE);
        let alike =
            |peer: &&Peer| peer.member.site == self.me.site || !is_large(&self.me.site) && !is_large(&peer.member.site);
        members()
            .filter(|peer| peer.member.jurisdiction == self.me.jurisdiction)
            .filter(alike)
            .filter(|peer| self.peers.is_present(peer, self.now))
            .collect()
    }

    /// Sums up what this node and its neighbours say.
    fn around(&self, demand: &Demand) -> Around<'_> {
        let neighbours = self.neighbours();
        let mut sums: BTreeMap<Digest, Sum> = BTreeMap::new();
        for peer in &neighbours {
            let Some(presence) = peer.presence() else { continue };
            for model in &presence.models {
                sums.entry(model.digest).or_default().add(peer.member.node, model);
            }
            for (digest, rate) in presence.placing.iter().flat_map(|placing| &placing.demand).take(limits::DEMANDS_TOLD)
            {
                let sum = sums.entry(*digest).or_default();
                sum.demand = sum.demand.saturating_add(rate.0);
            }
        }
        for model in self.model_presences() {
            sums.entry(model.digest).or_default().serves(&model);
        }
        for (digest, local) in self.catalog.locals() {
            let comes = matches!(local.stage, Stage::Wanted | Stage::Fetching);
            sums.entry(digest).or_default().mine = (u32::from(local.stage.is_whole()), u32::from(comes));
        }
        for (digest, rate) in demand.rates() {
            let sum = sums.entry(digest).or_default();
            sum.demand = sum.demand.saturating_add(rate.0);
        }
        for manifest in self.catalog.manifests().filter(|manifest| self.pins.contains(&manifest.name)) {
            sums.entry(manifest.digest).or_default();
        }
        let glances = sums.iter().filter_map(|(digest, sum)| self.glance(*digest, sum)).collect();
        Around { core: self, neighbours, sums, glances }
    }

    /// One model, if this node may have it.
    fn glance(&self, digest: Digest, sum: &Sum) -> Option<Glance> {
        let placed =
            |manifest: &&Manifest| manifest.format != ModelFormat::Outside && !self.catalog.has_expired(digest);
        let manifest = self.catalog.manifest(digest).filter(placed)?;
        let is_here = self.catalog.stage(digest).is_held();
        let is_wanted = sum.demand > 0 || self.pins.contains(&manifest.name);
        if !is_here && (!is_wanted || !self.could_fit(digest) || !self.may_come_here(manifest)) {
            return None;
        }
        let told = sum.service.0.checked_div(sum.service.1).map(Micros);
        Some(Glance {
            model: digest,
            bytes: self.need(digest),
            demand: MicroHertz(sum.demand),
            service: told.unwrap_or_default(),
            copies: sum.holders.len() as u32 + sum.mine.0,
            coming: sum.coming.len() as u32 + sum.mine.1,
            open: sum.open,
            slots: sum.slots,
            wait: sum.wait.unwrap_or_default(),
            load: self.reload_of(digest),
        })
    }

    /// Whether somebody who is there and has a model may give it to a member.
    fn may_come(&self, manifest: &Manifest, to: &Peer) -> bool {
        let gives = |peer: &Peer| Gate { law: &self.law, origin: &peer.member }.replicates(&manifest.name, &to.member);
        self.givers(manifest.digest).any(gives)
    }

    /// … to this node.
    fn may_come_here(&self, manifest: &Manifest) -> bool {
        let gives = |peer: &Peer| Gate { law: &self.law, origin: &peer.member }.replicates(&manifest.name, &self.me);
        self.givers(manifest.digest).any(gives)
    }

    /// The members that are there and have a model's file.
    fn givers(&self, digest: Digest) -> impl Iterator<Item = &Peer> {
        let gives = move |peer: &&Peer| !self.is_endpoint(peer.member.node) && peer.holding(digest).is_some();
        self.peers.iter().filter(gives).filter(|peer| self.peers.is_present(peer, self.now))
    }

    /// The names of models that stay here changed.
    pub(crate) fn pins_changed(&mut self, pins: BTreeSet<ModelName>) {
        self.pins = pins;
    }

    /// Why a model is here or comes, in words for people; empty if nobody knows any more.
    pub fn why(&self, digest: Digest) -> &'static str {
        let name = self.catalog.manifest(digest).map(|manifest| &manifest.name);
        if name.is_some_and(|name| self.pins.contains(name)) {
            return "pinned";
        }
        match self.catalog.reason(digest) {
            Reason::Unknown => "",
            Reason::Pulled => "pulled by hand",
            Reason::Asked => "asked for here",
            Reason::Placed(why) => why_text(why),
        }
    }
}

/// Whether a member decides with others which models go where.
fn places(peer: &Peer) -> bool {
    peer.presence().is_some_and(|presence| presence.placing.is_some())
}

/// Why a node should have a model.
fn why_text(why: Why) -> &'static str {
    match why {
        Why::Pinned => "pinned",
        Why::First => "owner: asked for in its jurisdiction, where nobody had it",
        Why::Load => "owner: its load asks for a copy here",
        Why::Relief => "owner: requests for it waited",
        Why::Spare => "owner: a second copy of what is asked for",
    }
}
