//! The quality ladder: when there is no room, a smaller model of the same family answers, if the caller allows it. Lower
//! priorities step down first, and the answer says which model gave it.

use hither_types::fact::Ran;
use hither_types::id::{Digest, ModelName, RequestId};
use hither_types::place::PlaceKind;
use hither_types::request::{Envelope, Priority, Quality, RequestKind};
use hither_types::unit::Micros;
use hither_types::view::Step;

use crate::limits;
use crate::machine::Core;
use crate::request::Request;

#[cfg(test)]
mod tests;

/// Families of models, each from the largest member to the smallest.
#[derive(Debug, Default)]
pub(crate) struct Ladder(Vec<Vec<ModelName>>);

impl Ladder {
    /// The families that the operator named.
    pub(crate) fn new(families: Vec<Vec<ModelName>>) -> Self {
        Self(families)
    }

    /// The members of a family below a model, the largest first.
    fn below<'a>(&'a self, model: &'a ModelName) -> impl Iterator<Item = &'a ModelName> {
        let family = self.0.iter().find(|family| family.contains(model)).into_iter().flatten();
        family.skip_while(move |member| *member != model).skip(1)
    }

    /// Whether a model may stand in for another.
    pub(crate) fn stands_in(&self, model: &ModelName, asked: &ModelName) -> bool {
        self.below(asked).any(|member| member == model)
    }
}

impl Core {
    /// Takes the next smaller model for a request that finds no room; `false` if there is none, or the caller wants none.
    pub(crate) fn step_down(&mut self, id: RequestId, digest: Digest) -> bool {
        let Some(request) = self.requests.get(&id) else { return false };
        if (request.envelope.quality != Quality::Family && !mutant!(QualityUnasked))
            || (request.attempts > 0 && request.envelope.kind == RequestKind::Generate)
        {
            return false;
        }
        let envelope = request.envelope.clone();
        let now = self.model_name(digest, &envelope);
        let below: Vec<(ModelName, Digest)> =
            self.ladder.below(&now).filter_map(|name| Some((name.clone(), self.catalog.resolve(name)?))).collect();
        // A smaller model that the law allows nowhere is no way down.
        let found = below.into_iter().find(|(_, smaller)| self.is_open_somewhere(&envelope, *smaller));
        let Some((name, smaller)) = found else { return false };
        let Some(request) = self.requests.get_mut(&id) else { return false };
        (request.digest, request.instead) = (Some(smaller), Some(name.clone()));
        (request.held, request.rejects) = (false, 0);
        self.trace.step(id, Step::SteppedDown { model: name }, self.now);
        self.trace.totals.stepped_down += 1;
        true
    }

    /// Whether a place that the law allows has a model open.
    pub(crate) fn is_open_somewhere(&mut self, envelope: &Envelope, digest: Digest) -> bool {
        if self.catalog.has_expired(digest) {
            return false;
        }
        let here =
            self.scheduler.is_ready(digest) && self.gate_of(envelope, digest).at(&self.me, PlaceKind::Home).is_ok();
        here || !self.circle(envelope, digest).ready.is_empty()
    }

    /// Whether a wait is long enough for a request to step down rather than to wait: lower priorities are the first.
    pub(crate) fn steps_early(&self, envelope: &Envelope, wait: Micros, remaining: Micros) -> bool {
        let share = match envelope.priority {
            Priority::Low => limits::LADDER_LOW_PERCENT,
            Priority::Normal => limits::LADDER_NORMAL_PERCENT,
            Priority::Critical => return false,
        };
        envelope.quality == Quality::Family && wait.0 > remaining.0.saturating_mul(share) / 100
    }

    /// Whether peers have work of a smaller model of the family waiting: they stepped down, and it was not enough. What
    /// waits here steps down with them, so that there is room for all.
    pub(crate) fn is_pressed(&self, request: &Request, digest: Digest) -> bool {
        let envelope = &request.envelope;
        let yields = envelope.quality == Quality::Family && envelope.priority != Priority::Critical;
        let name = self.model_name(digest, envelope);
        let mut smaller = self.ladder.below(&name).filter_map(|name| self.catalog.resolve(name));
        yields && smaller.any(|smaller| self.hungry.knows_of(smaller, self.now))
    }

    /// What a request runs on, if that is not what its name means.
    pub(crate) fn ran(&self, digest: Digest, envelope: &Envelope) -> Option<Ran> {
        let model = &self.catalog.manifest(digest)?.name;
        let is_asked = *model == envelope.model && self.catalog.resolve(model) == Some(digest);
        (!is_asked).then(|| Ran { model: model.clone(), digest })
    }

    /// The name of the model that a request would run on.
    pub(crate) fn model_name(&self, digest: Digest, envelope: &Envelope) -> ModelName {
        self.catalog.manifest(digest).map_or_else(|| envelope.model.clone(), |manifest| manifest.name.clone())
    }
}
