//! The choice of place. The law filters before cost ranks, by signature: only a [`Lawful`] place can be ranked, and
//! only the [`Gate`] makes one.

use hither_types::id::{AppName, Digest, ModelName, NodeId, RuleId};
use hither_types::label::Label;
use hither_types::law::{Denial, LawAction};
use hither_types::member::{Member, Role};
use hither_types::place::PlaceKind;
use hither_types::request::{Envelope, Priority, RequestKind};
use hither_types::unit::Micros;

use crate::circle::Circle;
use crate::limits;
use crate::machine::Core;
use crate::policy::{self, Answer, Asked, Law, Matter, Target};
use crate::random::Random;

#[cfg(test)]
mod tests;

/// A place that the law allows, with the rule that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lawful {
    node: NodeId,
    rule: RuleId,
    /// The permit for data to rest there, of a request that means them to.
    rests: Option<RuleId>,
}

impl Lawful {
    /// A place of a circle: the gate let it through when the circle was drawn, and is asked again before anything leaves.
    pub(crate) fn of_circle(circle: &Circle, node: NodeId) -> Option<Self> {
        circle.rule(node).map(|rule| Self { node, rule: rule.clone(), rests: None })
    }

    /// The members of a circle that have only the file, nearest first.
    pub(crate) fn of_cold(circle: &Circle) -> impl Iterator<Item = Self> {
        circle.cold.iter().map(|(node, rule)| Self { node: *node, rule: rule.clone(), rests: None })
    }

    /// The servers of a circle that are outside the mesh.
    pub(crate) fn of_endpoints(circle: &Circle) -> impl Iterator<Item = Self> {
        circle.endpoints.iter().map(|(node, rule)| Self { node: *node, rule: rule.clone(), rests: None })
    }

    /// The place.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// The permit.
    pub(crate) fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// The permit for data to rest there, of a request that means them to.
    pub(crate) fn rests(&self) -> Option<&RuleId> {
        self.rests.as_ref()
    }
}

/// The law in force, asked about one origin.
pub(crate) struct Gate<'a> {
    pub(crate) law: &'a Law,
    pub(crate) origin: &'a Member,
}

/// The gate for one request: what does not hang on the place is looked up once for all of them.
pub(crate) struct RequestGate<'a> {
    origin: &'a Member,
    asked: Asked<'a>,
    /// Of examples to train with: they rest where they are worked on.
    resting: Option<Asked<'a>>,
}

/// A "no" of the gate, not yet in words: most who ask want none.
pub(crate) struct No<'g> {
    action: LawAction,
    asked: &'g Asked<'g>,
    target: Target<'g>,
    why: Why<'g>,
}

enum Why<'g> {
    Role(Role),
    Forbidden(&'g RuleId),
    NotPermitted,
}

impl No<'_> {
    /// The rule that forbids it.
    pub(crate) fn forbid(&self) -> Option<&RuleId> {
        match self.why {
            Why::Forbidden(rule) => Some(rule),
            Why::Role(_) | Why::NotPermitted => None,
        }
    }

    /// What it does not allow.
    pub(crate) fn action(&self) -> LawAction {
        self.action
    }

    /// What is in the way.
    pub(crate) fn in_words(&self) -> Denial {
        match self.why {
            Why::Role(role) => Denial::Role(role),
            Why::Forbidden(_) | Why::NotPermitted => self.asked.denial(&self.target),
        }
    }
}

impl Core {
    /// Whether a request that entered here may be processed at a member, this node included.
    pub(crate) fn gate(&self, envelope: &Envelope, digest: Digest, target: &Member) -> Result<Lawful, Denial> {
        self.gate_of(envelope, digest).at(target, self.kind_of(target.node)).map_err(|no| no.in_words())
    }

    /// The gate for a request that entered here, and runs on this model.
    pub(crate) fn gate_of<'a>(&'a self, envelope: &'a Envelope, digest: Digest) -> RequestGate<'a> {
        let gate = Gate { law: &self.law, origin: &self.me };
        match self.catalog.manifest(digest).filter(|manifest| manifest.name != envelope.model) {
            None => gate.request(envelope, &envelope.model),
            Some(_) if mutant!(StandInUnjudged) => gate.request(envelope, &envelope.model),
            Some(smaller) => gate.request(envelope, &smaller.name),
        }
    }
}

impl<'a> Gate<'a> {
    /// The gate for a request that runs on this model: the one that it asks for, or one that stands in for that.
    pub(crate) fn request(&self, envelope: &'a Envelope, model: &'a ModelName) -> RequestGate<'a> {
        let about = |action| self.law.about(self.matter(action, &envelope.app, model, &envelope.label));
        let resting = match envelope.kind {
            RequestKind::Train => Some(about(LawAction::Enqueue)),
            RequestKind::Infer | RequestKind::Generate => None,
        };
        RequestGate { origin: self.origin, asked: about(LawAction::Infer), resting }
    }

    /// The permit by which what an engine reads of a request may stay in its memory at a place. Of tensors nothing stays.
    pub(crate) fn caches(&self, envelope: &Envelope, model: &ModelName, target: &Target<'_>) -> Option<RuleId> {
        if envelope.kind != RequestKind::Generate {
            return None;
        }
        match self.law.about(self.matter(LawAction::Cache, &envelope.app, model, &envelope.label)).at(target) {
            Answer::Permitted(rule) => Some(rule.clone()),
            Answer::Forbidden(_) | Answer::NotPermitted => None,
        }
    }

    /// Whether a model may be copied from the origin to a place. Weights are public data of the receiver's own.
    pub(crate) fn replicates(&self, model: &ModelName, target: &Member) -> bool {
        let (app, label) = policy::of_weights(target.jurisdiction);
        let matter = self.matter(LawAction::Replicate, &app, model, &label);
        let answer = self.law.about(matter).at(&Target::of(target, PlaceKind::Peer));
        matches!(answer, Answer::Permitted(_)) || mutant!(LawSkipped)
    }

    fn matter<'m>(&self, action: LawAction, app: &'m AppName, model: &'m ModelName, label: &'m Label) -> Matter<'m>
    where
        'a: 'm,
    {
        Matter { action, app, model, label, origin: self.origin.jurisdiction, operator: &self.origin.operator }
    }
}

impl RequestGate<'_> {
    /// Whether it may be processed at a place.
    pub(crate) fn at<'g>(&'g self, target: &'g Member, kind: PlaceKind) -> Result<Lawful, No<'g>> {
        let no = |why| No { action: LawAction::Infer, asked: &self.asked, target: Target::of(target, kind), why };
        // The certificates before the law: what they do not let two members do, no rule makes up for.
        if kind == PlaceKind::Peer {
            if !self.origin.roles.has(Role::Request) {
                return Err(no(Why::Role(Role::Request)));
            }
            if !target.roles.has(Role::Serve) {
                return Err(no(Why::Role(Role::Serve)));
            }
        }
        let node = target.node;
        let rule = match self.asked.at(&Target::of(target, kind)) {
            Answer::Permitted(rule) => rule.clone(),
            Answer::Forbidden(_) | Answer::NotPermitted if mutant!(LawSkipped) => {
                RuleId::parse("none").expect("four letters are an id")
            }
            Answer::Forbidden(rule) => return Err(no(Why::Forbidden(rule))),
            Answer::NotPermitted => return Err(no(Why::NotPermitted)),
        };
        let Some(resting) = &self.resting else { return Ok(Lawful { node, rule, rests: None }) };
        let no = |why| No { action: LawAction::Enqueue, asked: resting, target: Target::of(target, kind), why };
        // A member trains nothing, whatever its law says: what it was sent to train with would rest there for nothing.
        if kind == PlaceKind::Peer {
            return Err(no(Why::NotPermitted));
        }
        match resting.at(&Target::of(target, kind)) {
            Answer::Permitted(rests) => Ok(Lawful { node, rule, rests: Some(rests.clone()) }),
            Answer::Forbidden(rule) => Err(no(Why::Forbidden(rule))),
            Answer::NotPermitted => Err(no(Why::NotPermitted)),
        }
    }
}

/// A lawful peer that could serve a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) lawful: Lawful,
    pub(crate) preferred: bool,
    pub(crate) rtt: Micros,
    /// What a request takes there.
    pub(crate) service: Micros,
    /// Whether a slot is free there.
    pub(crate) free: bool,
    /// Predicted time before a slot is free there.
    pub(crate) wait: Micros,
    /// How old the word is on which that stands; `None` if it is what the peer tells everybody.
    pub(crate) age: Option<Micros>,
    /// What it costs that others hear the same and come too.
    pub(crate) crowd: Micros,
    /// What is saved because the beginning of the prompt was read there before.
    pub(crate) saved: Micros,
}

impl Offer {
    /// Whether the peer said so itself, a moment ago, to this node.
    fn is_fresh(&self) -> bool {
        self.age.is_some()
    }

    /// What ranks it: the way, the wait, the work, and how much of that is only believed.
    pub(crate) fn cost(&self) -> Micros {
        let age = self.age.map_or(0, |age| age.0.saturating_mul(limits::WORD_AGE_COST.0) / 1_000_000);
        let sum = self.predicted().0.saturating_add(age).saturating_add(self.crowd.0);
        Micros(sum.saturating_sub(self.saved.0))
    }

    /// Predicted time until the answer.
    pub(crate) fn predicted(&self) -> Micros {
        Micros(self.rtt.0.saturating_add(self.wait.0).saturating_add(self.service.0))
    }
}

/// This node as a place for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Here {
    pub(crate) lawful: Lawful,
    pub(crate) preferred: bool,
    pub(crate) free: bool,
    /// Predicted wait; `None` if nothing can start as things are.
    pub(crate) wait: Option<Micros>,
    /// What a request takes here.
    pub(crate) service: Micros,
    /// For how long it is worth looking for a much faster place while a slot is free here.
    pub(crate) hold: Option<Micros>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It starts here.
    Here(Lawful),
    /// It is offered to a peer.
    Peer(Offer),
    /// It waits here for a slot, here or elsewhere.
    Queue(Lawful),
    /// It could start here, and waits a moment for a much faster place.
    Hold(Micros),
    /// Every lawful place is full, or there is none.
    Nowhere,
}

/// The longest wait that a queue may impose on a request.
pub(crate) fn patience(remaining: Micros) -> Micros {
    Micros(remaining.0.saturating_mul(if mutant!(EndlessPatience) { 100 } else { limits::QUEUE_SHARE_PERCENT }) / 100)
}

/// Chooses among lawful places: the caller's wish; then here, without a packet, unless a peer that said so itself is
/// free and faster; then the best of those peers, or the better of two by what everybody is told, against the queue
/// here. What everybody is told is a hint: never the minimum over all of it.
pub(crate) fn choose(
    here: Option<Here>,
    offers: &[Offer],
    remaining: Micros,
    priority: Priority,
    random: &mut Random,
) -> Choice {
    let free_here = here.as_ref().filter(|here| here.free);
    if let Some(here) = free_here.filter(|here| here.preferred) {
        return Choice::Here(here.lawful.clone());
    }
    let wished: Vec<&Offer> = offers.iter().filter(|offer| offer.preferred && wishable(offer)).collect();
    if let Some(offer) = better_of_two(&wished, random) {
        return Choice::Peer(offer.clone());
    }
    let fresh = offers.iter().filter(|offer| offer.free && offer.is_fresh()).min_by_key(|offer| offer.cost());
    if let Some(here) = free_here {
        let bias = here.service.0.saturating_mul(limits::BIAS_PERCENT) / 100;
        return match fresh.filter(|offer| offer.cost().0.saturating_add(bias) < here.service.0) {
            Some(offer) => Choice::Peer(offer.clone()),
            None => here.hold.map_or_else(|| Choice::Here(here.lawful.clone()), Choice::Hold),
        };
    }
    let told: Vec<&Offer> = offers.iter().filter(|offer| offer.free && !offer.is_fresh()).collect();
    let best = fresh.or_else(|| better_of_two(&told, random));
    // Critical work goes before all other work wherever it is: it need not wait here for a slot that is free elsewhere.
    let urgent = offers.iter().filter(|offer| priority == Priority::Critical && offer.is_fresh());
    let best = best.or_else(|| urgent.min_by_key(|offer| offer.cost()));
    let patience = patience(remaining);
    let queue = here.as_ref().and_then(|here| here.wait.filter(|wait| *wait <= patience).map(|wait| (here, wait)));
    match (queue, best) {
        (Some((here, wait)), Some(offer)) if wait.0.saturating_add(here.service.0) <= offer.cost().0 => {
            Choice::Queue(here.lawful.clone())
        }
        (_, Some(offer)) => Choice::Peer(offer.clone()),
        (Some((here, _)), None) => Choice::Queue(here.lawful.clone()),
        (None, None) => least_full(offers, patience, random),
    }
}

/// Whether a wish may be tried: what a peer said while it served the last request is no reason, for it can still say no.
fn wishable(offer: &Offer) -> bool {
    offer.free || offer.is_fresh() && offer.wait < limits::RETRY_AFTER_MAX
}

/// Nobody is free, and this node is no place to wait: the peer where the wait is shortest, if it is short.
fn least_full(offers: &[Offer], patience: Micros, random: &mut Random) -> Choice {
    let short = |offer: &&Offer| offer.wait <= patience.min(limits::QUEUE_FOR_PEER);
    let fresh = offers.iter().filter(|offer| offer.is_fresh()).filter(short).min_by_key(|offer| offer.cost());
    let told: Vec<&Offer> = offers.iter().filter(|offer| !offer.is_fresh()).collect();
    let best = fresh.or_else(|| better_of_two(&told, random).filter(short));
    best.map_or(Choice::Nowhere, |offer| Choice::Peer(offer.clone()))
}

fn better_of_two<'a>(offers: &[&'a Offer], random: &mut Random) -> Option<&'a Offer> {
    match offers {
        [] => None,
        [only] => Some(only),
        several => {
            if mutant!(BestOfAll) {
                return several.iter().copied().min_by_key(|offer| (offer.cost(), offer.lawful.node()));
            }
            let (first, second) = random.pair(several.len());
            let (first, second) = (several[first], several[second]);
            Some(if second.cost() < first.cost() { second } else { first })
        }
    }
}
