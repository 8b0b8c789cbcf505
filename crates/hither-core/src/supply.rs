//! Models at this node: fetching, loading, losing and trying again.

use hither_types::id::{Digest, NodeId, RequestId};
use hither_types::member::Member;
use hither_types::model::Manifest;
use hither_types::unit::{ByteCount, Micros};
use hither_types::view::Step;

use crate::catalog::{Reason, Stage};
use crate::event::{Action, LocalModel, PullPolicy};
use crate::limits;
use crate::machine::Core;
use crate::memory::Want;
use crate::peers::Peer;
use crate::router::Gate;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

/// A member on the way of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partner {
    /// Who.
    pub node: NodeId,
    /// Whether it is at this node's site.
    pub near: bool,
    /// Whether the law lets it give copies to this node.
    pub gives: bool,
    /// Whether the law lets this node give copies to it.
    pub takes: bool,
}

impl Core {
    pub(crate) fn catalogued(&mut self, manifest: Manifest) {
        let (name, digest) = (manifest.name.clone(), manifest.digest);
        if !self.catalog.add(manifest) {
            let most = limits::MANIFESTS_MAX;
            return self.complain(format!("no room for model {name} in the catalog: it holds {most} entries"));
        }
        self.look_at_end(digest);
        self.bring_new_version(digest);
        // The file may have come first.
        if self.catalog.stage(digest) == Stage::Stored && !self.timers.is_set(Timer::Reload(digest)) {
            self.reload(digest);
        }
    }

    pub(crate) fn model_stored(&mut self, digest: Digest) {
        self.timers.clear(Timer::Refetch(digest));
        let complaint = not_fetched(&self.name_of(digest));
        self.complaints.retain(|text| !text.starts_with(&complaint));
        let local = self.catalog.local_mut(digest);
        local.fetch_failures = 0;
        match local.stage {
            Stage::Absent | Stage::Wanted | Stage::Fetching => {
                local.stage = Stage::Stored;
                self.reload(digest);
            }
            Stage::Stored | Stage::Loading | Stage::Ready | Stage::Quarantined | Stage::Cold | Stage::Refuted => {}
        }
    }

    /// Loads a stored model, if it is in the catalog and there is room for it. For what waits for it, room is made.
    pub(crate) fn reload(&mut self, digest: Digest) {
        self.timers.clear(Timer::Reload(digest));
        let known = self.catalog.manifest(digest).is_some();
        let want = if self.scheduler.queued(digest) > 0 { Want::Urgent } else { Want::Spare };
        let local = self.catalog.local_mut(digest);
        match local.stage {
            Stage::Stored | Stage::Quarantined | Stage::Refuted if known => {
                if !self.warm(digest, want) {
                    self.reconsider(digest);
                }
            }
            Stage::Stored | Stage::Quarantined | Stage::Refuted => local.stage = Stage::Stored,
            Stage::Absent | Stage::Wanted | Stage::Fetching | Stage::Loading | Stage::Ready | Stage::Cold => {}
        }
    }

    pub(crate) fn model_ready(&mut self, model: LocalModel) {
        // Its entry ended while it was opened.
        if self.catalog.has_expired(model.digest) {
            return self.close_expired(model.digest);
        }
        self.timers.clear(Timer::Reload(model.digest));
        self.timers.clear(Timer::Trust(model.digest));
        self.catalog.local_mut(model.digest).stage = Stage::Ready;
        self.warmed(model.digest, model.memory);
        self.scheduler.ready(model);
    }

    /// A model's engine is gone, or could not be opened. It is tried again after a while; if that happens too often,
    /// after a long while.
    pub(crate) fn model_lost(&mut self, digest: Digest) {
        if matches!(self.catalog.stage(digest), Stage::Absent | Stage::Cold | Stage::Refuted) {
            return;
        }
        self.memory.close(digest);
        self.timers.clear(Timer::Prove(digest));
        let now = self.now;
        let (stage, again) = self.catalog.local_mut(digest).lose(now);
        self.catalog.local_mut(digest).stage = stage;
        if !mutant!(NeverReloads) {
            self.timers.set(Timer::Reload(digest), again);
        }
        self.engine_gone(digest);
    }

    pub(crate) fn model_removed(&mut self, digest: Digest) {
        for timer in [Timer::Reload(digest), Timer::Refetch(digest), Timer::Trust(digest), Timer::Prove(digest)] {
            self.timers.clear(timer);
        }
        self.catalog.forget(digest);
        if let Some(stock) = &mut self.stock {
            stock.gone(digest);
        }
        self.memory.close(digest);
        // The worker may still have it open.
        for task in self.scheduler.lost(digest) {
            self.act(Action::StopRun(task));
        }
        self.engine_gone(digest);
    }

    pub(crate) fn engine_gone(&mut self, digest: Digest) {
        // The driver has reported each task as failed before; what it forgot ends here.
        for task in self.scheduler.lost(digest) {
            if task.origin == self.me.node {
                self.own_failed(task, hither_types::refusal::Failure::EngineLost);
            }
        }
        self.hosted_engine_gone(digest);
        self.reconsider(digest);
    }

    pub(crate) fn fetch_progress(&mut self, digest: Digest, bytes: ByteCount) {
        let local = self.catalog.local_mut(digest);
        if local.stage == Stage::Fetching {
            local.fetched = bytes;
        }
    }

    pub(crate) fn fetch_failed(&mut self, digest: Digest) {
        let now = self.now;
        let local = self.catalog.local_mut(digest);
        if local.stage != Stage::Fetching {
            return;
        }
        match local.fetch_failed(now) {
            Some(again) => {
                local.stage = Stage::Wanted;
                self.timers.set(Timer::Refetch(digest), again);
            }
            None => self.give_up_fetch(digest, "its fetch failed too often"),
        }
    }

    fn give_up_fetch(&mut self, digest: Digest, why: &str) {
        let local = self.catalog.local_mut(digest);
        local.stage = Stage::Absent;
        local.fetch_failures = 0;
        let complaint = not_fetched(&self.name_of(digest));
        self.complain(format!("{complaint}: {why}"));
        self.reconsider(digest);
    }

    /// An operator wants a model here.
    pub(crate) fn pull_wanted(&mut self, digest: Digest) {
        self.closing.remove(&digest);
        let local = self.catalog.local_mut(digest);
        match local.stage {
            Stage::Absent | Stage::Wanted => {
                local.fetch_failures = 0;
                (local.stage, local.reason) = (Stage::Wanted, Reason::Pulled);
                self.fetch(digest);
            }
            // An operator who asks knows better than the clock: it is tried now.
            Stage::Quarantined => {
                local.pardon();
                self.reload(digest);
            }
            Stage::Stored | Stage::Refuted => self.reload(digest),
            Stage::Cold => {
                self.demand(digest, Want::Urgent);
            }
            Stage::Fetching | Stage::Loading | Stage::Ready => {}
        }
    }

    /// A request that entered here is served elsewhere: perhaps the next one need not be.
    pub(crate) fn served_elsewhere(&mut self, request: RequestId, digest: Digest) {
        self.demand(digest, Want::Nearer);
        let wanted = match self.pull {
            PullPolicy::OnDemand => {
                let absent = self.catalog.stage(digest) == Stage::Absent && !self.catalog.has_expired(digest);
                absent && !self.draining && self.could_fit(digest)
            }
            // That is decided with the neighbours, not for one request.
            PullPolicy::Manual | PullPolicy::Automatic => false,
        };
        if !wanted {
            return;
        }
        let (lawful, _) = self.providers(digest);
        if lawful.is_empty() {
            return;
        }
        let local = self.catalog.local_mut(digest);
        (local.stage, local.reason) = (Stage::Wanted, Reason::Asked);
        self.fetch(digest);
        if self.catalog.stage(digest) == Stage::Fetching
            && let Some(from) = lawful.first().and_then(|node| self.peers.get(*node))
        {
            self.trace.step(request, Step::FetchBegun { from: from.member.site.clone() }, self.now);
        }
    }

    /// Fetches a model that is wanted from the lawful members that hold it, nearest first.
    pub(crate) fn fetch(&mut self, digest: Digest) {
        self.timers.clear(Timer::Refetch(digest));
        if self.catalog.stage(digest) != Stage::Wanted {
            return;
        }
        if self.catalog.has_expired(digest) {
            return self.give_up_fetch(digest, "its entry in the catalog has expired");
        }
        let (providers, forbidden) = self.providers(digest);
        let Some(manifest) = self.catalog.manifest(digest).cloned() else {
            return self.give_up_fetch(digest, "it is not in the catalog");
        };
        if !providers.is_empty() {
            self.catalog.local_mut(digest).stage = Stage::Fetching;
            if mutant!(LoadsBeforeStored) {
                self.act(Action::Load(digest));
            }
            return self.act(Action::Fetch { manifest, providers });
        }
        if forbidden > 0 {
            return self.give_up_fetch(digest, "the law forbids the copy from every member that holds it");
        }
        // Nobody present holds it; that is as good as a fetch that failed.
        let now = self.now;
        match self.catalog.local_mut(digest).fetch_failed(now) {
            Some(again) => self.timers.set(Timer::Refetch(digest), again),
            None => self.give_up_fetch(digest, "no member that is present holds it"),
        }
    }

    /// The present members that have a model or fetch it, nearest first, as partners on its way.
    pub fn partners(&self, digest: Digest) -> Vec<Partner> {
        let takes_part = |peer: &&Peer| self.peers.is_present(peer, self.now) && peer.model(digest).is_some();
        let mut found: Vec<(Micros, Partner)> = self
            .peers
            .iter()
            .filter(takes_part)
            .filter_map(|peer| Some((peer.far(), self.partner(digest, peer.member.node)?)))
            .collect();
        found.sort_unstable_by_key(|(far, partner)| (*far, partner.node));
        found.into_iter().map(|(_, partner)| partner).collect()
    }

    /// A member as a partner on the way of a model; `None` if the law lets no copy go either way, or the model's entry has
    /// ended.
    pub fn partner(&self, digest: Digest, node: NodeId) -> Option<Partner> {
        let (manifest, peer) = (self.catalog.manifest(digest)?, self.peers.get(node)?);
        if self.is_endpoint(node) || self.catalog.has_expired(digest) {
            return None;
        }
        let may = |from: &Member, to: &Member| {
            mutant!(CopiesUnlawfully) || Gate { law: &self.law, origin: from }.replicates(&manifest.name, to)
        };
        let (gives, takes) = (may(&peer.member, &self.me), may(&self.me, &peer.member));
        (gives || takes).then(|| Partner { node, near: peer.member.site == self.me.site, gives, takes })
    }

    /// How many other members that are present hold a model's file, whatever the law says of copies.
    pub fn holders(&self, digest: Digest) -> usize {
        let holds = |peer: &&Peer| !self.is_endpoint(peer.member.node) && peer.holding(digest).is_some();
        self.peers.iter().filter(holds).filter(|peer| self.peers.is_present(peer, self.now)).count()
    }

    /// The present members that hold a model and from which the law allows a copy, nearest first; and how many of those
    /// present it forbids.
    fn providers(&self, digest: Digest) -> (Vec<NodeId>, usize) {
        let Some(manifest) = self.catalog.manifest(digest) else { return (Vec::new(), 0) };
        let (mut found, mut forbidden) = (Vec::new(), 0);
        for peer in self.peers.iter() {
            let gives = !self.is_endpoint(peer.member.node) && peer.holding(digest).is_some();
            if !gives || !self.peers.is_present(peer, self.now) {
                continue;
            }
            let gate = Gate { law: &self.law, origin: &peer.member };
            if gate.replicates(&manifest.name, &self.me) {
                found.push((peer.far(), peer.member.node));
            } else if mutant!(CopiesUnlawfully) {
                found.push((Micros(0), peer.member.node));
            } else {
                forbidden += 1;
            }
        }
        found.sort_unstable();
        (found.into_iter().map(|(_, node)| node).take(limits::PROVIDERS_MAX).collect(), forbidden)
    }

    pub(crate) fn name_of(&self, digest: Digest) -> String {
        self.catalog.manifest(digest).map_or_else(|| digest.short(), |manifest| manifest.name.to_string())
    }
}

fn not_fetched(name: &str) -> String {
    format!("model {name} is not fetched")
}
