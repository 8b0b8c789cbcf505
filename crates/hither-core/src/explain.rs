//! Why a request went where it went, and what would have opened the places that the law left out.

use hither_types::id::{AppName, ModelName, NodeId, RequestId};
use hither_types::label::Label;
use hither_types::law::{Denial, LawAction, Then, Verdict, WhatIf, Whose};
use hither_types::member::{Member, Role};
use hither_types::place::PlaceKind;
use hither_types::view::{Explanation, Step};

use crate::machine::Core;
use crate::policy::what_if::what_ifs;
use crate::policy::{Answer, Matter, Target};

#[cfg(test)]
mod tests;

impl Core {
    /// Why a request went where it went, if it is one of the last thousand. What would have opened a place is worked out
    /// now, by the law and the certificates in force: if they say something else of it than they did, nothing is said.
    pub fn explain(&self, request: RequestId) -> Option<Explanation> {
        let mut explanation = self.trace.explain(request)?;
        let label = self.trace.label(request)?;
        let app = explanation.request.app.clone();
        let mut model = explanation.request.model.clone();
        for (_, step) in &mut explanation.steps {
            match step {
                // From there on, the law is asked about that one.
                Step::SteppedDown { model: other } | Step::Version { model: other, .. } => model = other.clone(),
                Step::Denied { node, action, denial, what_ifs, .. } => {
                    *what_ifs = self.what_ifs((*action, &app, &model), label, *node, denial);
                }
                _ => {}
            }
        }
        Some(explanation)
    }

    fn what_ifs(
        &self,
        (action, app, model): (LawAction, &AppName, &ModelName),
        label: &Label,
        node: NodeId,
        denial: &Denial,
    ) -> Vec<WhatIf> {
        let here = (node == self.me.node).then_some(&self.me);
        let Some(member) = here.or_else(|| self.peers.get(node).map(|peer| &peer.member)) else { return Vec::new() };
        let (origin, operator) = (self.me.jurisdiction, &self.me.operator);
        let matter = Matter { action, app, model, label, origin, operator };
        let target = Target::of(member, self.kind_of(node));
        let asked = self.law.about(matter);
        match (denial, self.roles_lacking(member, target.kind).as_slice()) {
            (Denial::Role(denied), [lacks]) if denied == lacks => match asked.at(&target) {
                Answer::Permitted(rule) => {
                    let (now, instead) = (String::new(), vec![lacks.to_string()]);
                    let then = Then::Permitted(Some(rule.clone()));
                    vec![WhatIf { fact: "role", now, instead, whose: Whose::Place, then }]
                }
                Answer::Forbidden(_) | Answer::NotPermitted => Vec::new(),
            },
            (Denial::Forbidden { .. } | Denial::NotPermitted { .. }, []) => match asked.judge(&target) {
                Verdict::Denied(said) if said == *denial => {
                    self.with_evidence(member, what_ifs(&self.law, &matter, &target))
                }
                Verdict::Denied(_) | Verdict::Permitted(_) => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// The same, with what the assurance of a member rests on.
    fn with_evidence(&self, member: &Member, mut what_ifs: Vec<WhatIf>) -> Vec<WhatIf> {
        let is_member = self.kind_of(member.node) == PlaceKind::Peer || member.node == self.me.node;
        for what_if in what_ifs.iter_mut().filter(|what_if| is_member && what_if.fact == "assurance") {
            what_if.now = format!("{}; {}", what_if.now, self.in_words(member));
        }
        what_ifs
    }

    /// What the certificates of both ends would have to give, and do not.
    fn roles_lacking(&self, target: &Member, kind: PlaceKind) -> Vec<Role> {
        let asks = [(&self.me, Role::Request), (target, Role::Serve)];
        let lacks = |(member, role): &(&Member, Role)| kind == PlaceKind::Peer && !member.roles.has(*role);
        asks.into_iter().filter(lacks).map(|(_, role)| role).collect()
    }
}
