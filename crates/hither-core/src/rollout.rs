//! Which version a name means while a new one takes over from an old one, and when the new one is left again.
//!
//! The node that a request enters decides alone: by chance that is the same for all requests of one conversation, and only
//! for a version that some lawful place has open. It watches what its own requests meet. If the new version fails too
//! often, or gives a wrong answer, the node goes back at once and tells the others; two members that did so take it back
//! everywhere. Nobody has to be there for that: neither who published it, nor an operator.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::id::{Digest, ModelName, NodeId, RequestId, SiteName};
use hither_types::model::Manifest;
use hither_types::refusal::Failure;
use hither_types::request::RequestKind;
use hither_types::rollout::{RolledBack, Rollout, RolloutFault, RolloutView, Tally, Verdict};
use hither_types::view::Step;

use crate::catalog::Stage;
use crate::event::{Action, PullPolicy};
use crate::limits;
use crate::machine::Core;
use crate::random::Random;
use crate::request::Request;

#[cfg(test)]
mod tests;

/// The last word about each name, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Rollouts(BTreeMap<ModelName, Standing>);

#[derive(Debug)]
struct Standing {
    rollout: Rollout,
    old: Tally,
    new: Tally,
    unready: u64,
    back: Option<RolledBack>,
    against: BTreeSet<NodeId>,
}

/// A version of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Old,
    New,
}

impl Standing {
    fn new(rollout: Rollout) -> Self {
        let (old, new) = (Tally::default(), Tally::default());
        Self { rollout, old, new, unready: 0, back: None, against: BTreeSet::new() }
    }

    /// Whether a request is the new version's. The same request, and the same conversation, is at every share above its own.
    fn draws_new(&self, site: &SiteName, key: u64) -> bool {
        let drawn =
            self.rollout.name.as_str().bytes().fold(key, |hash, byte| Random::new(hash ^ u64::from(byte)).next());
        self.back.is_none()
            && self.rollout.is_at(site)
            && drawn % u64::from(Rollout::WHOLE) < u64::from(self.rollout.share)
    }

    fn version(&self, digest: Digest) -> Option<Version> {
        match digest {
            digest if digest == self.rollout.to => Some(Version::New),
            digest if digest == self.rollout.from => Some(Version::Old),
            _ => None,
        }
    }

    fn count(&mut self, version: Version, failed: bool) {
        let tally = match version {
            Version::Old => &mut self.old,
            Version::New => &mut self.new,
        };
        tally.tried += 1;
        tally.failed += u32::from(failed);
        if tally.tried >= limits::ROLLOUT_WINDOW {
            (tally.tried, tally.failed) = (tally.tried / 2, tally.failed / 2);
        }
    }

    /// Whether the new version fails too often: in thousandths, beyond what the old one does.
    fn fails_too_often(&self) -> bool {
        let share = |tally: &Tally| u64::from(tally.failed) * 1_000 / u64::from(tally.tried.max(1));
        self.new.failed >= limits::ROLLOUT_FAILURES_MIN
            && share(&self.new) > share(&self.old) + u64::from(self.rollout.tolerance)
    }
}

impl Rollouts {
    /// All of them, by name, as people are shown them.
    pub(crate) fn view(&self) -> Vec<RolloutView> {
        let of = |standing: &Standing| RolloutView {
            rollout: standing.rollout.clone(),
            old: standing.old,
            new: standing.new,
            unready: standing.unready,
            back: standing.back,
            against: standing.against.iter().copied().collect(),
        };
        self.0.values().map(of).collect()
    }
}

impl Core {
    /// A word about a name. An older one than is known changes nothing, unless that one is of somebody who may publish no more.
    pub(crate) fn rolled_out(&mut self, rollout: Rollout) {
        let known = self.rollouts.0.get(&rollout.name);
        let may = |publisher| self.catalog.may_publish(publisher);
        if known.is_some_and(|known| !rollout.supersedes(&known.rollout, may)) {
            return;
        }
        if known.is_none() && self.rollouts.0.len() >= limits::ROLLOUTS_MAX {
            let (name, most) = (&rollout.name, limits::ROLLOUTS_MAX);
            return self.complain(format!("no room for the rollout of {name}: {most} names have one"));
        }
        let to = rollout.to;
        self.rollouts.0.insert(rollout.name.clone(), Standing::new(rollout));
        self.bring_new_version(to);
    }

    /// Whoever has the old version fetches the new one before anybody asks for it, so that nobody waits for it.
    pub(crate) fn bring_new_version(&mut self, digest: Digest) {
        let here = |standing: &Standing| {
            let rollout = &standing.rollout;
            let takes_part = standing.back.is_none() && rollout.is_at(&self.me.site);
            takes_part && rollout.to == digest && self.catalog.stage(rollout.from).is_held()
        };
        let wanted = self.pull != PullPolicy::Manual && self.rollouts.0.values().any(here);
        let known = self.catalog.manifest(digest).is_some() && !self.catalog.has_expired(digest);
        let absent = self.catalog.stage(digest) == Stage::Absent && known;
        if wanted && absent && !self.draining && self.could_fit(digest) {
            self.catalog.local_mut(digest).stage = Stage::Wanted;
            self.fetch(digest);
        }
    }

    /// The model that a request which entered here means.
    pub(crate) fn meaning(&mut self, id: RequestId) -> Option<Digest> {
        let request = self.requests.get(&id)?;
        let name = &request.envelope.model;
        // Most names have no rollout, and their requests pay for none.
        let Some(standing) = self.rollouts.0.get(name) else { return self.catalog.resolve(name) };
        let (envelope, old_version) = (request.envelope.clone(), request.old_version);
        let name = &envelope.model;
        let key = request.affinity.unwrap_or((id.0 ^ (id.0 >> 64)) as u64);
        let draws_new = standing.draws_new(&self.me.site, key);
        let (from, to) = (standing.rollout.from, standing.rollout.to);
        // What is no version of the name is not what people meant by it, whoever says so; what has expired is none any more.
        let is_version =
            |manifest: &Manifest| manifest.name.is_version_of(name) && !self.catalog.has_expired(manifest.digest);
        let known =
            |digest: Digest| Some(digest).filter(|digest| self.catalog.manifest(*digest).is_some_and(is_version));
        let (from, to) = (known(from), known(to));
        let (Some(old), Some(new)) = (from, to) else { return from.or(to).or_else(|| self.catalog.resolve(name)) };
        let (digest, why) = match draws_new {
            _ if old_version => (old, "the new version failed"),
            false => (old, "the old version"),
            // Nobody waits for the new version while the old one answers.
            true if !self.is_open_somewhere(&envelope, new) && self.is_open_somewhere(&envelope, old) => {
                if let Some(standing) = self.rollouts.0.get_mut(name) {
                    standing.unready += 1;
                }
                (old, "no place has the new version open")
            }
            true => (new, "the new version"),
        };
        let model = self.catalog.manifest(digest)?.name.clone();
        self.trace.step(id, Step::Version { model, why }, self.now);
        Some(digest)
    }

    /// What the version that a request got is called, if that is another name than was asked for.
    pub(crate) fn version_of(&self, request: &Request) -> Option<ModelName> {
        let standing = self.rollouts.0.get(&request.envelope.model)?;
        let digest = request.digest.filter(|digest| standing.version(*digest).is_some())?;
        let Manifest { name, .. } = self.catalog.manifest(digest)?;
        (*name != request.envelope.model).then(|| name.clone())
    }

    /// A version answered.
    pub(crate) fn version_answered(&mut self, id: RequestId, digest: Digest) {
        let Some(request) = self.requests.get(&id) else { return };
        let Some(standing) = self.rollouts.0.get_mut(&request.envelope.model) else { return };
        if let Some(version) = standing.version(digest) {
            standing.count(version, false);
        }
    }

    /// A version failed under a request, as its engine or its place did.
    pub(crate) fn version_failed(&mut self, id: RequestId, failure: &Failure) {
        let Some(request) = self.requests.get(&id) else { return };
        let Some(digest) = request.digest.filter(|_| is_of_engine(failure)) else { return };
        let Some(standing) = self.rollouts.0.get_mut(&request.envelope.model) else { return };
        let Some(version) = standing.version(digest) else { return };
        standing.count(version, true);
        if standing.back.is_none() && standing.fails_too_often() {
            let Tally { tried, failed } = standing.new;
            let name = standing.rollout.name.clone();
            self.go_back(&name, RolloutFault::Failures { tried, failed });
        }
    }

    /// Nothing of an answer has gone out, and its attempt is about to fail.
    pub(crate) fn unanswered(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.unanswered = true;
        }
    }

    /// What failed with the new version is answered by the old one. A stream that has begun stays with its weights.
    pub(crate) fn leave_new_version(&mut self, id: RequestId, failure: &Failure) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Some(standing) = self.rollouts.0.get(&request.envelope.model) else { return };
        let new = request.digest == Some(standing.rollout.to) && standing.rollout.to != standing.rollout.from;
        let has_begun = request.envelope.kind == RequestKind::Generate && !request.unanswered;
        if !new || !is_of_engine(failure) || has_begun {
            return;
        }
        (request.digest, request.old_version) = (None, true);
        // What is known of places, and paid for tries, is about the other version.
        request.tried.clear();
        (request.losses_here, request.paid) = (0, true);
    }

    /// The engine of this node gives wrong answers with a model: a new version is not waited for to do so elsewhere.
    pub(crate) fn new_version_is_wrong(&mut self, digest: Digest) {
        let goes_back = |standing: &&Standing| standing.rollout.to == digest && standing.back.is_none();
        let names: Vec<ModelName> =
            self.rollouts.0.values().filter(goes_back).map(|standing| standing.rollout.name.clone()).collect();
        names.iter().for_each(|name| self.go_back(name, RolloutFault::WrongAnswer));
    }

    /// This node goes back to the old version of a name, and says so.
    fn go_back(&mut self, name: &ModelName, fault: RolloutFault) {
        let me = self.me.node;
        let Some(standing) = self.rollouts.0.get_mut(name) else { return };
        // A name that never had another version has none to go back to.
        if standing.rollout.from == standing.rollout.to {
            return;
        }
        standing.back = Some(RolledBack::Found(fault));
        standing.against.insert(me);
        let Rollout { name, revision, publisher, .. } = standing.rollout.clone();
        self.act(Action::Judge(Verdict { name, revision, publisher, by: me, fault }));
    }

    /// A member found a new version bad; or this node did, before its last start.
    pub(crate) fn judged(&mut self, verdict: Verdict) {
        let me = self.me.node;
        let Some(standing) = self.rollouts.0.get_mut(&verdict.name) else { return };
        if standing.rollout.order() != verdict.order() {
            return;
        }
        standing.against.insert(verdict.by);
        if standing.back.is_some() {
            return;
        }
        if verdict.by == me {
            standing.back = Some(RolledBack::Found(verdict.fault));
        } else if standing.against.len() >= limits::VERDICTS {
            standing.back = Some(RolledBack::Told(standing.against.len()));
        }
    }
}

/// Whether a failure says something of the model, and not of the way to it, or of what was asked.
fn is_of_engine(failure: &Failure) -> bool {
    match failure {
        Failure::EngineLost | Failure::EngineCrashed(_) | Failure::Engine(_) => true,
        Failure::BadInput(_)
        | Failure::Declined(_)
        | Failure::Unreachable
        | Failure::Silent
        | Failure::Stuck
        | Failure::Severed(_) => false,
    }
}
