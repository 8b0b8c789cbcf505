//! Cedar: a policy loaded as it was exported, and questions put to it as the head of the export says.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Request,
    RestrictedExpression, Schema, ValidationMode, Validator,
};
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind};

use crate::draw::{self, Act};

/// What Cedar says: whether it allows, and the rules that made it so, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) allowed: bool,
    pub(crate) because: Vec<String>,
    pub(crate) errors: Vec<String>,
}

/// The types of requests.
pub(crate) fn schema() -> Result<Schema, String> {
    let (schema, warnings) =
        Schema::from_cedarschema_str(hither_law::CEDAR_SCHEMA).map_err(|error| error.to_string())?;
    let warnings: Vec<String> = warnings.map(|warning| warning.to_string()).collect();
    if warnings.is_empty() { Ok(schema) } else { Err(format!("the schema is warned of: {warnings:?}")) }
}

/// An exported policy that Cedar has found valid.
pub(crate) struct Loaded {
    pub(crate) set: PolicySet,
    rules: BTreeMap<PolicyId, (usize, String)>,
}

impl Loaded {
    /// Parses and validates, strictly.
    pub(crate) fn new(text: &str, schema: &Schema) -> Result<Self, String> {
        let set: PolicySet = text.parse().map_err(|error| format!("Cedar cannot read it: {error}"))?;
        let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
        if !result.validation_passed() {
            let errors: Vec<String> = result.validation_errors().map(ToString::to_string).collect();
            return Err(format!("Cedar finds it invalid: {}", errors.join("; ")));
        }
        let mut rules = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for policy in set.policies() {
            let id = policy.annotation("id").ok_or("a policy has no @id")?.to_owned();
            if !ids.insert(id.clone()) {
                return Err(format!("two policies have the @id {id:?}"));
            }
            // Cedar numbers the policies of a text.
            let number = policy.id().to_string().trim_start_matches("policy").parse().map_err(|_| "no number")?;
            rules.insert(policy.id().clone(), (number, id));
        }
        Ok(Self { set, rules })
    }

    /// Asks.
    pub(crate) fn ask(&self, asked: &Asked) -> Said {
        let response = Authorizer::new().is_authorized(&asked.request, &self.set, &asked.entities);
        let mut because: Vec<&(usize, String)> = response.diagnostics().reason().map(|id| &self.rules[id]).collect();
        because.sort();
        Said {
            allowed: response.decision() == Decision::Allow,
            because: because.into_iter().map(|(_, id)| id.clone()).collect(),
            errors: response.diagnostics().errors().map(ToString::to_string).collect(),
        }
    }
}

/// A question as Cedar takes it.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

impl Asked {
    /// Turns a question into it, and has it checked against the schema.
    pub(crate) fn new(request: &draw::Request, schema: &Schema) -> Result<Self, String> {
        let (data, action, target, context) = match request {
            draw::Request::Act(act) => (of_act(act), act.action.as_str(), &act.target, circumstances(act)),
            draw::Request::Relay(ends) => {
                let [me, relay] = &**ends;
                let places = [me.jurisdiction];
                let data = data("secret", Vec::new(), me.operator.as_str(), &places);
                (data, "relay", relay, vec![("home".to_owned(), RestrictedExpression::new_bool(false))])
            }
        };
        let (attributes, tags) = data;
        let text = |error: &dyn std::fmt::Display| format!("Cedar does not take the question: {error}");
        let principal = uid("Hither::Data", "request")?;
        let resource = uid("Hither::Place", "target")?;
        let data = Entity::new_with_tags(principal.clone(), attributes, [], tags).map_err(|error| text(&error))?;
        let place = Entity::new_with_tags(resource.clone(), place(target), [], []).map_err(|error| text(&error))?;
        let entities = Entities::from_entities([data, place], Some(schema)).map_err(|error| text(&error))?;
        let context = Context::from_pairs(context).map_err(|error| text(&error))?;
        let action = uid("Hither::Action", action)?;
        let request = Request::new(principal, action, resource, context, Some(schema)).map_err(|error| text(&error))?;
        Ok(Self { request, entities })
    }
}

pub(crate) fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind: EntityTypeName = kind.parse().map_err(|error| format!("{kind} is no type: {error}"))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

pub(crate) type Pairs = Vec<(String, RestrictedExpression)>;

fn string(text: impl ToString) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_string())
}

pub(crate) fn set<T: ToString>(items: impl IntoIterator<Item = T>) -> RestrictedExpression {
    RestrictedExpression::new_set(items.into_iter().map(string))
}

pub(crate) fn record(pairs: Pairs) -> RestrictedExpression {
    RestrictedExpression::new_record(pairs).expect("no key stands twice")
}

fn places(places: &[Jurisdiction]) -> RestrictedExpression {
    record(vec![
        ("countries".to_owned(), set(places.iter().map(|place| place.country()))),
        ("codes".to_owned(), set(places)),
    ])
}

/// Data: attributes, and the codes by country.
fn data(class: &str, tags: Vec<String>, operator: &str, from: &[Jurisdiction]) -> (Pairs, Pairs) {
    let mut by_country: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for place in from {
        by_country.entry(place.country().to_string()).or_default().push(place.to_string());
    }
    let attributes = vec![
        ("class".to_owned(), string(class)),
        ("tags".to_owned(), set(tags)),
        ("operator".to_owned(), string(operator)),
        ("from".to_owned(), places(from)),
    ];
    (attributes, by_country.into_iter().map(|(country, codes)| (country, set(codes))).collect())
}

fn of_act(act: &Act) -> (Pairs, Pairs) {
    let from: Vec<Jurisdiction> = std::iter::once(act.origin).chain(act.label.subjects.iter().copied()).collect();
    let tags = act.label.tags.iter().map(ToString::to_string).collect();
    data(act.label.class.as_str(), tags, act.operator.as_str(), &from)
}

fn place(facts: &PlaceFacts) -> Pairs {
    let assurance = match facts.assurance {
        Assurance::Claimed => 0,
        Assurance::Vouched => 1,
        Assurance::Near => 2,
        Assurance::Hardware => 3,
    };
    let mut pairs = vec![
        ("country".to_owned(), string(facts.jurisdiction.country())),
        ("code".to_owned(), string(facts.jurisdiction)),
        ("assurance".to_owned(), RestrictedExpression::new_long(assurance)),
        ("operator".to_owned(), string(&facts.operator)),
    ];
    if let Some(control) = &facts.control {
        pairs.push(("control".to_owned(), places(control)));
    }
    pairs
}

fn circumstances(act: &Act) -> Pairs {
    let home = RestrictedExpression::new_bool(act.kind == PlaceKind::Home);
    let mut pairs =
        vec![("app".to_owned(), string(&act.app)), ("model".to_owned(), string(&act.model)), ("home".to_owned(), home)];
    if let Some(purpose) = &act.label.purpose {
        pairs.push(("purpose".to_owned(), string(purpose)));
    }
    pairs
}
