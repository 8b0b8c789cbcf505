//! The law read ahead: what each value of each fact leaves of the rules, found once per policy, so that a decision is a few
//! lookups and ANDs.
//!
//! Must stay true: every answer is that of [`super::judge`]. The bits are made by the evaluator's own fields, one value of
//! one fact at a time; what is put together here is only what several values make of a constraint: a permit wants all
//! sources inside and no state of several that can compel, and for a forbid one source is enough. Words are made when
//! somebody asks for them, by the evaluator itself.

use std::sync::Arc;

use hither_types::id::{AppName, ModelName, Operator, RuleId};
use hither_types::label::Label;
use hither_types::law::{Denial, LawAction, Policy, Question, Verdict};
use hither_types::member::Member;
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind};

use super::{Carried, Facts, LOCAL_RULE, in_words, is_local};

use index::Index;

mod index;
#[cfg(test)]
pub(super) mod tests;

/// A policy in force, and the index of its rules.
#[derive(Debug)]
pub struct Law {
    policy: Arc<Policy>,
    local: RuleId,
    index: Index,
}

/// All of a question but the place: what is done, with which data, from where.
#[derive(Debug, Clone, Copy)]
pub struct Matter<'a> {
    /// What would be done.
    pub action: LawAction,
    /// The app that asks.
    pub app: &'a AppName,
    /// The model.
    pub model: &'a ModelName,
    /// The label of the request.
    pub label: &'a Label,
    /// Where the request entered.
    pub origin: Jurisdiction,
    /// Who runs the node that it entered.
    pub operator: &'a Operator,
}

/// A place as the law sees it.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Which states can compel its operator; `None` is "unknown", an empty list is "nobody".
    pub control: Option<&'a [Jurisdiction]>,
    /// Who runs it.
    pub operator: &'a Operator,
    /// How well it is known where it stands.
    pub assurance: Assurance,
    /// What it is to the origin.
    pub kind: PlaceKind,
}

impl<'a> Target<'a> {
    /// A place, by its facts.
    pub fn new(place: &'a PlaceFacts, kind: PlaceKind) -> Self {
        let PlaceFacts { jurisdiction, control, operator, assurance, .. } = place;
        Self { jurisdiction: *jurisdiction, control: control.as_deref(), operator, assurance: *assurance, kind }
    }

    /// A member as its certificate states it.
    pub fn of(member: &'a Member, kind: PlaceKind) -> Self {
        let Member { jurisdiction, control, operator, assurance, .. } = member;
        Self { jurisdiction: *jurisdiction, control: control.as_deref(), operator, assurance: *assurance, kind }
    }
}

/// The answer of the law without words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// This rule permits it: the first in the file, or the one that is built in.
    Permitted(&'a RuleId),
    /// This rule forbids it: the first in the file.
    Forbidden(&'a RuleId),
    /// No rule permits it.
    NotPermitted,
}

impl Law {
    /// Reads a policy ahead: some tens of microseconds for a policy as people write it.
    pub fn new(policy: Arc<Policy>) -> Self {
        let local = RuleId::parse(LOCAL_RULE).expect("the name of the built-in rule is a rule id");
        let index = Index::new(&policy);
        Self { policy, local, index }
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Looks up what does not hang on the place, once for all places of a request.
    #[inline]
    pub fn about<'a>(&'a self, matter: Matter<'a>) -> Asked<'a> {
        Asked { law: self, matter, rows: self.index.rows(&matter) }
    }

    /// Answers one question, as [`super::judge`] does.
    pub fn judge(&self, question: &Question<'_>) -> Verdict {
        self.about(Matter::of(question)).judge(&Target::new(question.target, question.kind))
    }
}

impl<'a> Matter<'a> {
    /// What a question is about.
    pub fn of(question: &Question<'a>) -> Self {
        let Question { action, app, model, label, origin, origin_operator, .. } = question;
        Self { action: *action, app, model, label, origin: *origin, operator: origin_operator }
    }
}

/// A question that may be asked about many places.
#[derive(Debug)]
pub struct Asked<'a> {
    law: &'a Law,
    matter: Matter<'a>,
    rows: index::Rows,
}

impl<'a> Asked<'a> {
    /// Whether it may be done at a place, and by which rule.
    #[inline]
    pub fn at(&self, target: &Target<'_>) -> Answer<'a> {
        let found = self.law.index.find(&self.rows, &self.matter, target);
        let Policy { permits, forbids, .. } = &*self.law.policy;
        match (found.forbid, found.permit) {
            (Some(forbid), _) => Answer::Forbidden(&forbids[forbid].id),
            (None, _) if self.is_local(target) => Answer::Permitted(&self.law.local),
            (None, Some(permit)) => Answer::Permitted(&permits[permit].id),
            (None, None) => Answer::NotPermitted,
        }
    }

    #[inline]
    fn is_local(&self, target: &Target<'_>) -> bool {
        target.kind == PlaceKind::Home && is_local(self.matter.action, self.matter.label.class)
    }

    /// Whether some permit holds at a place, forbidden or not.
    pub(super) fn is_permitted_otherwise(&self, target: &Target<'_>) -> bool {
        let found = self.law.index.find(&self.rows, &self.matter, target);
        found.permit.is_some() || self.is_local(target)
    }

    /// The same with what is in the way, in words.
    pub fn judge(&self, target: &Target<'_>) -> Verdict {
        match self.at(target) {
            Answer::Permitted(rule) => Verdict::Permitted(rule.clone()),
            Answer::Forbidden(_) | Answer::NotPermitted => Verdict::Denied(self.denial(target)),
        }
    }

    /// What is in the way at a place that was denied, in words.
    pub fn denial(&self, target: &Target<'_>) -> Denial {
        let found = self.law.index.find(&self.rows, &self.matter, target);
        let Policy { forbids, .. } = &*self.law.policy;
        let forbid = found.forbid.map(|forbid| &forbids[forbid]);
        in_words(&self.law.policy, &self.facts(target), forbid, self.is_permitted_otherwise(target))
    }

    fn facts<'s>(&'s self, target: &'s Target<'_>) -> Facts<'s> {
        let Matter { action, app, model, label, origin, operator } = self.matter;
        Facts {
            action,
            app: Some(app),
            model: Some(model),
            carried: Carried::One { class: label.class, tags: &label.tags },
            purpose: label.purpose.as_ref(),
            origin,
            subjects: &label.subjects,
            target: target.jurisdiction,
            control: target.control,
            assurance: target.assurance,
            operators: [operator.as_str(), target.operator.as_str()],
            kind: target.kind,
        }
    }
}
