//! Cedar: the policy as it is exported, and one that is written for Cedar.

use cedar_policy::{Authorizer, Context, Decision, Entities, Entity, PolicySet, Request, RestrictedExpression, Schema};
use hither_types::law::{LawAction, Policy, Rule};

use super::Engine;
use super::words::{Lists, Tongue, conditions, level, many, texts};
use crate::cedar::{Asked, Loaded, schema, set, uid};
use crate::draw::{self, Act};

/// As exported.
pub(super) struct Exported {
    loaded: Loaded,
    schema: Schema,
    asked: Option<Asked>,
}

impl Exported {
    pub(super) fn new(policy: &Policy) -> Result<Self, String> {
        let schema = schema()?;
        Ok(Self { loaded: Loaded::new(&hither_law::cedar(policy), &schema)?, schema, asked: None })
    }
}

impl Engine for Exported {
    fn name(&self) -> String {
        "cedar-policy, as exported".to_owned()
    }

    fn take(&mut self, act: &Act) -> Result<(), String> {
        self.asked = Some(Asked::new(&draw::Request::Act(Box::new(act.clone())), &self.schema)?);
        Ok(())
    }

    fn permits(&mut self) -> Result<bool, String> {
        let asked = self.asked.as_ref().ok_or("nothing was asked")?;
        let response = Authorizer::new().is_authorized(&asked.request, &self.loaded.set, &asked.entities);
        Ok(response.decision() == Decision::Allow)
    }
}

/// Lists are groups: the target is a member of those that it is in, and who asks says in which groups the sources lie.
struct Groups;

impl Tongue for Groups {
    fn is(&self, fact: &str, word: &str) -> String {
        format!("context.{fact} == \"{word}\"")
    }

    fn is_in(&self, fact: &str, list: usize) -> String {
        match fact {
            "target" => format!("resource in Group::\"l{list}\""),
            _ => format!("@l{list}@.contains(context.{fact})"),
        }
    }

    fn is_not_in(&self, fact: &str, list: usize) -> String {
        format!("!({})", self.is_in(fact, list))
    }

    fn all_in(&self, _facts: &str, list: usize) -> String {
        format!("context.within.contains(\"l{list}\")")
    }

    fn any_in(&self, facts: &str, list: usize) -> String {
        format!("@l{list}@.containsAny(context.{facts})")
    }

    fn none_in(&self, facts: &str, list: usize) -> String {
        format!("!({})", self.any_in(facts, list))
    }

    fn model(&self, name: &str) -> String {
        format!("(context.model == \"{name}\" || context.model like \"{name}:*\")")
    }

    fn assured(&self, least: i64) -> String {
        format!("context.assurance >= {least}")
    }

    fn one_operator(&self) -> String {
        "context.operator == context.origin_operator".to_owned()
    }
}

/// Written for Cedar.
pub(super) struct Own {
    set: PolicySet,
    lists: Lists,
    asked: Option<(Request, Entities)>,
}

impl Own {
    pub(super) fn new(policy: &Policy) -> Result<Self, String> {
        let mut lists = Lists::default();
        let mut text = String::new();
        let mut rule = |word: &str, rule: &Rule, forbids: bool| {
            let mut bare = rule.clone();
            let principal = match rule.apps.as_slice() {
                [app] => {
                    bare.apps.clear();
                    format!("principal == App::\"{app}\"")
                }
                _ => "principal".to_owned(),
            };
            let actions: Vec<String> = rule.actions.iter().map(|a| format!("Action::\"{}\"", a.as_str())).collect();
            let action = match actions.as_slice() {
                [one] => format!("action == {one}"),
                _ => "action".to_owned(),
            };
            bare.actions = LawAction::ALL.to_vec();
            let rest = conditions(&bare, forbids, &mut lists, &Groups).join(" && ");
            let when = if rest.is_empty() { String::new() } else { format!(" when {{ {rest} }}") };
            text.push_str(&format!("@id(\"{}\")\n{word} ({principal}, {action}, resource){when};\n", rule.id));
        };
        policy.permits.iter().for_each(|permit| rule("permit", permit, false));
        policy.forbids.iter().for_each(|forbid| rule("forbid", forbid, true));
        for (number, list) in lists.0.iter().enumerate() {
            let words: Vec<String> = list.iter().map(|word| format!("\"{word}\"")).collect();
            text = text.replace(&format!("@l{number}@"), &format!("[{}]", words.join(", ")));
        }
        let set = text.parse().map_err(|error| format!("cedar: {error}\n{text}"))?;
        Ok(Self { set, lists, asked: None })
    }
}

impl Engine for Own {
    fn name(&self) -> String {
        "cedar-policy, own words".to_owned()
    }

    fn take(&mut self, act: &Act) -> Result<(), String> {
        let trouble = |error: &dyn std::fmt::Display| format!("cedar: {error}");
        let facts = texts(act);
        let groups = many(act);
        let sources =
            groups.iter().find(|(key, _)| *key == "sources").map(|(_, list)| list.clone()).unwrap_or_default();
        let target = act.target.jurisdiction.to_string();
        let numbered = || self.lists.0.iter().enumerate();
        let holding = |all: &[String]| -> Vec<usize> {
            numbered().filter(|(_, list)| all.iter().all(|one| list.contains(one))).map(|(number, _)| number).collect()
        };
        let within = holding(&sources).into_iter().map(|number| format!("l{number}"));
        let mut pairs = vec![
            ("within".to_owned(), set(within)),
            ("assurance".to_owned(), RestrictedExpression::new_long(level(act.target.assurance))),
        ];
        pairs.extend(
            facts.iter().map(|(key, text)| ((*key).to_owned(), RestrictedExpression::new_string(text.clone()))),
        );
        pairs.extend(groups.iter().map(|(key, list)| ((*key).to_owned(), set(list))));
        let parents =
            holding(std::slice::from_ref(&target)).into_iter().map(|number| uid("Group", &format!("l{number}")));
        let parents = parents.collect::<Result<_, String>>()?;
        let resource = uid("Place", &target)?;
        let place = Entity::new_no_attrs(resource.clone(), parents);
        let entities = Entities::from_entities([place], None).map_err(|error| trouble(&error))?;
        let context = Context::from_pairs(pairs).map_err(|error| trouble(&error))?;
        let (principal, action) = (uid("App", act.app.as_str())?, uid("Action", act.action.as_str())?);
        let request = Request::new(principal, action, resource, context, None).map_err(|error| trouble(&error))?;
        self.asked = Some((request, entities));
        Ok(())
    }

    fn permits(&mut self) -> Result<bool, String> {
        let (request, entities) = self.asked.as_ref().ok_or("nothing was asked")?;
        Ok(Authorizer::new().is_authorized(request, &self.set, entities).decision() == Decision::Allow)
    }
}
