//! The choice of place. The law filters before cost ranks, by signature: only a [`Lawful`] place can be ranked, and
//! only the [`Gate`] makes one.

use hither_types::id::{ModelName, NodeId, RuleId};
use hither_types::label::{DataClass, Label};
use hither_types::law::{Denial, LawAction, Policy, Question, Verdict};
use hither_types::member::Member;
use hither_types::place::PlaceKind;
use hither_types::request::Envelope;
use hither_types::unit::Micros;

use crate::limits;
use crate::policy;
use crate::random::Random;

#[cfg(test)]
mod tests;

/// A place that the law allows, with the rule that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lawful {
    node: NodeId,
    rule: RuleId,
}

impl Lawful {
    /// The place.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// The permit.
    pub(crate) fn rule(&self) -> &RuleId {
        &self.rule
    }
}

/// The law in force, asked about one origin.
pub(crate) struct Gate<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) origin: &'a Member,
}

impl Gate<'_> {
    /// Whether a request may be processed at a place.
    pub(crate) fn infer(&self, envelope: &Envelope, target: &Member, kind: PlaceKind) -> Result<Lawful, Denial> {
        self.ask(LawAction::Infer, &envelope.app, &envelope.model, &envelope.label, target, kind)
    }

    /// Whether a model may be copied from the origin to a place. Weights are public data of the receiver's own.
    pub(crate) fn replicate(&self, model: &ModelName, target: &Member) -> Result<Lawful, Denial> {
        let app = hither_types::id::AppName::parse("hither").expect("six letters are a name");
        let label =
            Label { class: DataClass::Public, tags: Vec::new(), subjects: vec![target.jurisdiction], purpose: None };
        self.ask(LawAction::Replicate, &app, model, &label, target, PlaceKind::Peer)
    }

    fn ask(
        &self,
        action: LawAction,
        app: &hither_types::id::AppName,
        model: &ModelName,
        label: &Label,
        target: &Member,
        kind: PlaceKind,
    ) -> Result<Lawful, Denial> {
        let verdict = policy::judge(
            self.policy,
            &Question {
                action,
                app,
                model,
                label,
                origin: self.origin.jurisdiction,
                origin_operator: &self.origin.operator,
                target: &target.place(),
                kind,
            },
        );
        match verdict {
            Verdict::Permitted(rule) => Ok(Lawful { node: target.node, rule }),
            Verdict::Denied(denial) => Err(denial),
        }
    }
}

/// A lawful peer that could serve a request, by what it last said and what was sent there since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) lawful: Lawful,
    pub(crate) preferred: bool,
    pub(crate) rtt: Micros,
    pub(crate) service: Micros,
    pub(crate) slots: u64,
    /// Running, waiting, and sent there since it last spoke.
    pub(crate) load: u64,
}

impl Offer {
    fn is_free(&self) -> bool {
        self.load < self.slots
    }

    /// Predicted time before a slot is free there.
    fn wait(&self) -> Micros {
        let ahead = (self.load + 1).saturating_sub(self.slots);
        Micros(self.service.0.saturating_mul(ahead) / self.slots.max(1))
    }

    /// What ranks it: the way there, and its load.
    fn cost(&self) -> u64 {
        self.rtt.0.saturating_add(self.service.0.saturating_mul(self.load) / self.slots.max(1))
    }

    /// Predicted time until the answer.
    pub(crate) fn predicted(&self) -> Micros {
        Micros(self.rtt.0.saturating_add(self.wait().0).saturating_add(self.service.0))
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
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It starts here.
    Here(Lawful),
    /// It goes to a peer.
    Peer(Offer),
    /// It waits here.
    Queue(Lawful),
    /// Every lawful place is full, or there is none.
    Nowhere,
}

/// The longest wait that a queue may impose on a request.
pub(crate) fn patience(remaining: Micros) -> Micros {
    Micros(remaining.0.saturating_mul(limits::QUEUE_SHARE_PERCENT) / 100)
}

/// Chooses among lawful places: the caller's wish, then a free slot here without a packet, then the better of two peers
/// by chance against the queue here. What peers said is a hint: never the minimum over all of it.
pub(crate) fn choose(here: Option<Here>, offers: &[Offer], remaining: Micros, random: &mut Random) -> Choice {
    if let Some(here) = here.as_ref().filter(|here| here.preferred && here.free) {
        return Choice::Here(here.lawful.clone());
    }
    let wished: Vec<&Offer> = offers.iter().filter(|offer| offer.preferred && offer.is_free()).collect();
    if let Some(offer) = better_of_two(&wished, random) {
        return Choice::Peer(offer.clone());
    }
    if let Some(here) = here.as_ref().filter(|here| here.free) {
        return Choice::Here(here.lawful.clone());
    }
    let free: Vec<&Offer> = offers.iter().filter(|offer| offer.is_free()).collect();
    let full: Vec<&Offer> = offers.iter().filter(|offer| offer.slots > 0).collect();
    let patience = patience(remaining);
    let best = better_of_two(if free.is_empty() { &full } else { &free }, random)
        .filter(|offer| offer.wait() <= patience.min(limits::QUEUE_FOR_PEER));
    let queue = here.as_ref().and_then(|here| here.wait.filter(|wait| *wait <= patience).map(|wait| (here, wait)));
    match (queue, best) {
        (Some((here, wait)), Some(offer)) if wait.0 <= offer.rtt.0.saturating_add(offer.wait().0) => {
            Choice::Queue(here.lawful.clone())
        }
        (_, Some(offer)) => Choice::Peer(offer.clone()),
        (Some((here, _)), None) => Choice::Queue(here.lawful.clone()),
        (None, None) => Choice::Nowhere,
    }
}

fn better_of_two<'a>(offers: &[&'a Offer], random: &mut Random) -> Option<&'a Offer> {
    match offers {
        [] => None,
        [only] => Some(only),
        several => {
            let (first, second) = random.pair(several.len());
            let (first, second) = (several[first], several[second]);
            Some(if second.cost() < first.cost() { second } else { first })
        }
    }
}
