//! What would make lawful what is denied: every single change of a fact, put to the evaluator.
//!
//! Nothing is read off a rule. A rule only says which values are worth asking about; what they would change is what the
//! evaluator answers, forbids and all. Two facts that would have to change together are not told.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use hither_types::id::RuleId;
use hither_types::label::{DataClass, Label};
use hither_types::law::{Policy, Rule, Then, WhatIf, Whose};
use hither_types::place::{Assurance, Jurisdiction, Region};

use super::miss::{level, list};
use super::{Answer, Law, Matter, Target};

#[cfg(test)]
mod tests;

/// The id of a permit that is not there.
const SUCH_A_PERMIT: &str = "such-a-permit";

/// The single changes after which a permit holds that does not now, or a forbid is gone: each with what the law says then.
/// None for what is permitted. In the order of the fields of a rule, then the rules.
pub fn what_ifs(law: &Law, matter: &Matter<'_>, target: &Target<'_>) -> Vec<WhatIf> {
    let asked = law.about(*matter);
    if matches!(asked.at(target), Answer::Permitted(_)) {
        return Vec::new();
    }
    let mut all = WhatIfs { law, permitted: asked.is_permitted_otherwise(target), found: Vec::new() };
    all.of_label(matter, target);
    all.of_names(matter, target);
    all.of_place(matter, target);
    all.of_rules(matter, target);
    all.found
}

struct WhatIfs<'a> {
    law: &'a Law,
    /// Whether a permit holds as it is, and a forbid is all that is in the way.
    permitted: bool,
    found: Vec<WhatIf>,
}

impl WhatIfs<'_> {
    fn add(&mut self, fact: &'static str, now: String, instead: String, whose: Whose, then: Then) {
        // Values of one fact that come to the same stand together.
        let same = |one: &&mut WhatIf| one.fact == fact && one.now == now && one.whose == whose && one.then == then;
        match self.found.iter_mut().find(same) {
            Some(one) if one.instead.len() >= WhatIf::INSTEAD_MAX || one.instead.contains(&instead) => {}
            Some(one) => one.instead.push(instead),
            None => self.found.push(WhatIf { fact, now, instead: vec![instead], whose, then }),
        }
    }

    /// What the law would say, if that is worth a word.
    fn then(&self, matter: &Matter<'_>, target: &Target<'_>) -> Option<Then> {
        then(self.law, self.permitted, matter, target)
    }

    fn of_label(&mut self, matter: &Matter<'_>, target: &Target<'_>) {
        let now = matter.label;
        for class in DataClass::ALL.into_iter().filter(|class| *class != now.class) {
            let label = Label { class, ..now.clone() };
            let whose = if class > now.class { Whose::Request } else { Whose::Operator };
            if let Some(then) = self.then(&Matter { label: &label, ..*matter }, target) {
                self.add("class", now.class.to_string(), class.to_string(), whose, then);
            }
        }
        for tag in &now.tags {
            let tags = now.tags.iter().filter(|other| *other != tag).cloned().collect();
            let label = Label { tags, ..now.clone() };
            if let Some(then) = self.then(&Matter { label: &label, ..*matter }, target) {
                self.add("tags", tag.to_string(), list(&label.tags), Whose::Operator, then);
            }
        }
        let purposes = self.named(|rule| &rule.purposes);
        for purpose in purposes.into_iter().filter(|purpose| now.purpose.as_ref() != Some(purpose)) {
            let label = Label { purpose: Some(purpose.clone()), ..now.clone() };
            let said = now.purpose.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            if let Some(then) = self.then(&Matter { label: &label, ..*matter }, target) {
                self.add("purpose", said, purpose.to_string(), Whose::Request, then);
            }
        }
        // The last that is left out would be those of the entry node.
        for subject in now.subjects.iter().filter(|subject| now.subjects.len() > 1 || **subject != matter.origin) {
            let mut subjects: Vec<Jurisdiction> = now.subjects.iter().copied().filter(|one| one != subject).collect();
            if subjects.is_empty() {
                subjects.push(matter.origin);
            }
            let label = Label { subjects, ..now.clone() };
            if let Some(then) = self.then(&Matter { label: &label, ..*matter }, target) {
                self.add("subjects", subject.to_string(), list(&label.subjects), Whose::Operator, then);
            }
        }
    }

    fn of_names(&mut self, matter: &Matter<'_>, target: &Target<'_>) {
        for app in self.named(|rule| &rule.apps) {
            if let Some(then) = self.then(&Matter { app: &app, ..*matter }, target).filter(|_| app != *matter.app) {
                self.add("apps", matter.app.to_string(), app.to_string(), Whose::Operator, then);
            }
        }
        for model in self.named(|rule| &rule.models) {
            if let Some(then) =
                self.then(&Matter { model: &model, ..*matter }, target).filter(|_| model != *matter.model)
            {
                self.add("models", matter.model.to_string(), model.to_string(), Whose::Request, then);
            }
        }
    }

    fn of_place(&mut self, matter: &Matter<'_>, target: &Target<'_>) {
        let law = self.law;
        let regions = law.policy().permits.iter().filter_map(|rule| rule.target.as_ref());
        for region in regions.filter(|region| !region.contains(target.jurisdiction)) {
            // Only if it is the same at every place of the list.
            let at = |place: &Jurisdiction| self.then(matter, &Target { jurisdiction: *place, ..*target });
            let first = region.members.first().and_then(at);
            let then = first.filter(|first| region.members.iter().all(|place| at(place).as_ref() == Some(first)));
            if let Some(then) = then {
                self.add("target", target.jurisdiction.to_string(), list(&region.written), Whose::Place, then);
            }
        }
        let under = |control: Option<&[Jurisdiction]>| control.map_or_else(|| "unknown".to_owned(), list);
        let states = target.control.unwrap_or_default();
        let fewer = states.iter().map(|state| states.iter().copied().filter(|one| one != state).collect());
        for control in fewer.chain([Vec::new()]) {
            if let Some(then) = self.then(matter, &Target { control: Some(&control), ..*target }) {
                self.add("not_control", under(target.control), under(Some(&control)), Whose::Place, then);
                break;
            }
        }
        for assurance in [Assurance::Vouched, Assurance::Near, Assurance::Hardware] {
            let then = self.then(matter, &Target { assurance, ..*target }).filter(|_| assurance > target.assurance);
            if let Some(then) = then {
                self.add(
                    "assurance",
                    level(target.assurance).to_owned(),
                    level(assurance).to_owned(),
                    Whose::Place,
                    then,
                );
            }
        }
        if target.operator != matter.operator
            && let Some(then) = self.then(matter, &Target { operator: matter.operator, ..*target })
        {
            self.add("same_operator", target.operator.to_string(), matter.operator.to_string(), Whose::Place, then);
        }
    }

    fn of_rules(&mut self, matter: &Matter<'_>, target: &Target<'_>) {
        let policy = &**self.law.policy();
        if let Answer::Forbidden(forbid) = self.law.about(*matter).at(target)
            && self.permitted
        {
            let forbids = policy.forbids.iter().filter(|rule| rule.id != *forbid).cloned().collect();
            let law = Law::new(Arc::new(Policy { forbids, ..policy.clone() }));
            // The next forbid may be in the way then.
            let then = match law.about(*matter).at(target) {
                Answer::Permitted(rule) => Some(Then::Permitted(Some(rule.clone()))),
                Answer::Forbidden(rule) => Some(Then::Forbidden(rule.clone())),
                Answer::NotPermitted => None,
            };
            if let Some(then) = then {
                self.add("forbid", String::new(), forbid.to_string(), Whose::Policy, then);
            }
        }
        // A permit cannot name a place that nobody knows.
        if self.permitted || target.jurisdiction.is_unknown() {
            return;
        }
        let mut permits = policy.permits.clone();
        permits.push(such_a_permit(matter, target));
        let law = Law::new(Arc::new(Policy { permits, ..policy.clone() }));
        if let Some(then) = then(&law, false, matter, target) {
            let Matter { action, app, label, .. } = matter;
            let (action, place) = (action.as_str(), target.jurisdiction);
            let text = format!("{action} of {} data by app {app} at {place}", label.class);
            self.add("permit", String::new(), text, Whose::Policy, then);
        }
    }

    /// Names that rules speak of.
    fn named<T: Ord + Clone + fmt::Display>(&self, of: fn(&Rule) -> &Vec<T>) -> BTreeSet<T> {
        let Policy { permits, forbids, .. } = &**self.law.policy();
        permits.iter().chain(forbids).flat_map(|rule| of(rule).iter().cloned()).collect()
    }
}

fn then(law: &Law, permitted: bool, matter: &Matter<'_>, target: &Target<'_>) -> Option<Then> {
    let asked = law.about(*matter);
    match asked.at(target) {
        Answer::Permitted(rule) => Some(Then::Permitted((rule.as_str() != SUCH_A_PERMIT).then(|| rule.clone()))),
        Answer::Forbidden(rule) if !permitted && asked.is_permitted_otherwise(target) => {
            Some(Then::Forbidden(rule.clone()))
        }
        Answer::Forbidden(_) | Answer::NotPermitted => None,
    }
}

/// The narrowest permit of what is asked that people would write.
fn such_a_permit(matter: &Matter<'_>, target: &Target<'_>) -> Rule {
    let place = target.jurisdiction;
    Rule {
        id: RuleId::parse(SUCH_A_PERMIT).expect("letters and hyphens are an id"),
        actions: vec![matter.action],
        classes: vec![matter.label.class],
        tags: Vec::new(),
        apps: vec![matter.app.clone()],
        models: Vec::new(),
        purposes: Vec::new(),
        origin: None,
        origin_not: None,
        target: Some(Region { written: vec![place.to_string()], members: vec![place] }),
        target_not: None,
        not_control: Vec::new(),
        assurance: None,
        same_operator: None,
    }
}
