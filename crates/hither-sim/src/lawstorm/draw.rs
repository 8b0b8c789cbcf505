//! What a round is about, drawn by chance: laws, members, and kinds of requests.

use hither_types::id::{AppName, Digest, MeshId, ModelName, NodeId, Operator, Purpose, RuleId, SiteName, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::law::{LawAction, Policy, Rule};
use hither_types::member::{Member, Roles};
use hither_types::place::{Assurance, Jurisdiction, Region};
use hither_types::time::WallTime;

use super::oracle::Atlas;
use crate::chance::Chance;

/// Regions as policies write them, blocs already expanded.
const REGIONS: [&[&str]; 16] = [
    &["DE"],
    &["DE-BY"],
    &["DE-BY", "DE-BW"],
    &["DE", "FR"],
    &["FR-IDF", "DE"],
    &["DE", "FR", "IS", "NO", "NL"],
    &["DE", "FR", "IS", "NO", "NL", "CH", "GB"],
    &["DE", "FR", "IS", "NO", "NL", "CH", "GB", "BR", "US"],
    &["US"],
    &["US-CA", "US-NY"],
    &["ID"],
    &["ID-JK", "IN"],
    &["CN"],
    &["CN", "HK"],
    &["ZZ"],
    &["US-CA", "DE-BW", "IN", "ZZ"],
];

const STATES: [&str; 6] = ["US", "CN", "US-CA", "DE", "ID", "ZZ"];
/// What rules speak of: mostly of work, which everything else goes by.
const ACTIONS: [LawAction; 6] =
    [LawAction::Infer, LawAction::Infer, LawAction::Infer, LawAction::Infer, LawAction::Cache, LawAction::Replicate];

const ASSURANCES: [Assurance; 4] = [Assurance::Claimed, Assurance::Vouched, Assurance::Near, Assurance::Hardware];

/// Names of models: three of one family, the largest first, and one that nobody has.
pub(super) const MODELS: [&str; 4] = ["family-large", "family-middle", "family-small", "stranger"];

/// All names and places that a storm draws from.
#[derive(Debug)]
pub(super) struct Stock {
    pub(super) atlas: Atlas,
    pub(super) models: Vec<ModelName>,
    apps: Vec<AppName>,
    tags: Vec<Tag>,
    purposes: Vec<Purpose>,
    operators: Vec<Operator>,
    sites: Vec<SiteName>,
    codes: Vec<Jurisdiction>,
    states: Vec<Jurisdiction>,
    regions: Vec<Region>,
    rules: Vec<RuleId>,
}

/// What of a request the law asks for, its model aside.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) app: AppName,
    pub(super) label: Label,
}

impl Stock {
    pub(super) fn new() -> Self {
        let atlas = Atlas::new();
        let known = "a name of the storm has the form of one";
        let place = |code: &str| Jurisdiction::parse(code).expect(known);
        let region = |codes: &&[&str]| {
            let mut members: Vec<Jurisdiction> = codes.iter().map(|code| place(code)).collect();
            members.sort_unstable();
            Region { written: codes.iter().map(|code| (*code).to_owned()).collect(), members }
        };
        Self {
            codes: atlas.codes().collect(),
            atlas,
            models: MODELS.iter().map(|name| ModelName::parse(name).expect(known)).collect(),
            apps: ["chat", "fraud", "triage"].iter().map(|name| AppName::parse(name).expect(known)).collect(),
            tags: ["biometric", "pci", "phi"].iter().map(|name| Tag::parse(name).expect(known)).collect(),
            purposes: ["care", "research", "test"].iter().map(|name| Purpose::parse(name).expect(known)).collect(),
            operators: ["acme", "bolt", "corp"].iter().map(|name| Operator::parse(name).expect(known)).collect(),
            sites: (0..16).map(|site| SiteName::parse(&format!("site-{site}")).expect(known)).collect(),
            states: STATES.iter().map(|code| place(code)).collect(),
            regions: REGIONS.iter().map(region).collect(),
            rules: (0..16).map(|rule| RuleId::parse(&format!("rule-{rule}")).expect(known)).collect(),
        }
    }

    /// The position of a permit in its policy, by its id.
    pub(super) fn position(&self, rule: &RuleId) -> Option<usize> {
        self.rules.iter().position(|known| known == rule)
    }

    /// A member, or what its next certificate says.
    pub(super) fn member(&self, index: u8, chance: &mut Chance) -> Member {
        let state = |chance: &mut Chance| *chance.pick(&self.states);
        let control = match chance.below(6) {
            0 => None,
            1 | 2 => Some(Vec::new()),
            3 | 4 => Some(vec![state(chance)]),
            _ => Some(vec![state(chance), state(chance)]),
        };
        Member {
            node: NodeId([index; 32]),
            mesh: MeshId([1; 32]),
            site: self.sites[usize::from(index)].clone(),
            jurisdiction: *chance.pick(&self.codes),
            control,
            operator: chance.pick(&self.operators).clone(),
            assurance: *chance.pick(&ASSURANCES),
            expires: WallTime(0),
            roles: Roles::ALL,
        }
    }

    /// A kind of request.
    pub(super) fn kind(&self, home: Jurisdiction, chance: &mut Chance) -> Kind {
        let tags = self.tags.iter().filter(|_| chance.permille(250)).cloned().collect();
        let mut subjects: Vec<Jurisdiction> = (0..chance.below(3)).map(|_| *chance.pick(&self.codes)).collect();
        if subjects.is_empty() {
            subjects.push(home);
        }
        subjects.sort_unstable();
        subjects.dedup();
        let purpose = chance.permille(600).then(|| chance.pick(&self.purposes).clone());
        let label = Label { class: *chance.pick(&DataClass::ALL), tags, subjects, purpose };
        Kind { app: chance.pick(&self.apps).clone(), label }
    }

    /// A law. Its number becomes its digest.
    pub(super) fn policy(&self, number: u8, chance: &mut Chance) -> Policy {
        let permits = chance.between(1, 7) as usize;
        let forbids = chance.below(4) as usize;
        let permits = (0..permits).map(|index| self.rule(index, 170, chance)).collect();
        let forbids = (0..forbids).map(|index| self.rule(8 + index, 300, chance)).collect();
        Policy { permits, forbids, ..Policy::closed(Digest([number; 32])) }
    }

    /// A law that differs from another in one rule.
    pub(super) fn amended(&self, of: &Policy, number: u8, chance: &mut Chance) -> Policy {
        let mut policy = Policy { digest: Digest([number; 32]), ..of.clone() };
        match chance.below(3) {
            0 => _ = policy.forbids.pop(),
            1 => policy.forbids.push(self.rule(8 + policy.forbids.len(), 300, chance)),
            _ => {
                let index = chance.below(policy.permits.len() as u64) as usize;
                policy.permits[index] = self.rule(index, 170, chance);
            }
        }
        policy
    }

    /// A rule that states each constraint with a chance of so many in a thousand.
    fn rule(&self, id: usize, permille: u32, chance: &mut Chance) -> Rule {
        let region = |chance: &mut Chance| chance.permille(permille).then(|| chance.pick(&self.regions).clone());
        Rule {
            id: self.rules[id].clone(),
            actions: some(&ACTIONS, 1000, chance),
            classes: some(&DataClass::ALL, 2 * permille, chance),
            tags: some(&self.tags, permille / 2, chance),
            apps: some(&self.apps, permille, chance),
            models: some(&self.models, permille, chance),
            purposes: some(&self.purposes, permille, chance),
            origin: region(chance),
            origin_not: region(chance),
            target: region(chance),
            target_not: region(chance),
            not_control: some(&self.states, permille, chance),
            assurance: chance.permille(permille).then(|| *chance.pick(&ASSURANCES)),
            same_operator: chance.permille(permille).then(|| chance.permille(600)),
        }
    }
}

/// With a chance of so many in a thousand one to three of a list, else none.
fn some<T: Clone + PartialEq>(list: &[T], permille: u32, chance: &mut Chance) -> Vec<T> {
    let mut some: Vec<T> = Vec::new();
    if chance.permille(permille) {
        for _ in 0..chance.between(1, 3) {
            let one = chance.pick(list);
            if !some.contains(one) {
                some.push(one.clone());
            }
        }
    }
    some
}
