//! The division of the domain against the domain: drawn policies, asked about every case of a small world one by one.

use hither_types::id::{AppName, ModelName, Purpose, Tag};
use hither_types::label::DataClass;
use hither_types::law::{Claim, HomeWork, LawAction, Policy, Rule};
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};

use crate::policy::changes::changes;
use crate::policy::proof::prove;
use crate::policy::tests::{place, policy, region, rule};
use crate::policy::{Carried, Facts, found, free_of};
use crate::random::Random;

pub(in crate::policy) const COUNTRIES: [&str; 4] = ["DE", "FR", "ID", "CH"];
const PLACES: [&str; 8] = ["DE", "FR", "ID", "CH", "DE-BY", "DE-BW", "DE-ZZZ", "ZZ"];
const REGIONS: [&[&str]; 6] = [&["DE"], &["DE-BY"], &["DE", "FR"], &["FR"], &["ID", "DE-BW"], &["CH", "FR", "ID"]];
const STATES: [&[&str]; 8] = [&[], &["DE-BW"], &["FR"], &["DE"], &["DE-BY"], &["FR", "ID"], &["ZZ"], &["CH"]];
const LEVELS: [Assurance; 4] = [Assurance::Claimed, Assurance::Vouched, Assurance::Near, Assurance::Hardware];
const DRAWS: u64 = 60;

pub(in crate::policy) fn countries() -> Vec<Jurisdiction> {
    COUNTRIES.iter().map(|code| place(code)).collect()
}

/// One fact that drawn rules may ask for beside class and places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extra {
    Control,
    Assurance,
    Operator,
    App,
    Model,
    Purpose,
    Tags,
    Action,
}

const EXTRAS: [Extra; 8] = [
    Extra::Control,
    Extra::Assurance,
    Extra::Operator,
    Extra::App,
    Extra::Model,
    Extra::Purpose,
    Extra::Tags,
    Extra::Action,
];

struct Draw {
    chance: Random,
    extras: [Extra; 2],
}

impl Draw {
    fn new(seed: u64) -> Self {
        let mut chance = Random::new(seed);
        let (one, other) = chance.pair(EXTRAS.len());
        Self { chance, extras: [EXTRAS[one], EXTRAS[other]] }
    }

    fn one<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.chance.below(list.len())]
    }

    fn rule(&mut self, id: &str, permit: bool) -> Rule {
        let mut rule = rule(id);
        let classes: [&[DataClass]; 4] =
            [&[], &[DataClass::Personal], &[DataClass::Public, DataClass::Special], &[DataClass::Special]];
        rule.classes = self.one(&classes).to_vec();
        for at in 0..4 {
            if self.chance.below(5) < 2 {
                let place = region(self.one(&REGIONS));
                *[&mut rule.origin, &mut rule.origin_not, &mut rule.target, &mut rule.target_not][at] = place;
            }
        }
        for extra in self.extras {
            if self.chance.below(2) == 0 {
                self.extra(&mut rule, extra, permit);
            }
        }
        rule
    }

    fn extra(&mut self, rule: &mut Rule, extra: Extra, permit: bool) {
        match extra {
            Extra::Control if permit => {
                rule.not_control =
                    self.one(&[&["FR"][..], &["DE-BY"], &["FR", "DE"]]).iter().map(|s| place(s)).collect();
            }
            Extra::Assurance if permit => rule.assurance = Some(self.one(&LEVELS)),
            Extra::Control | Extra::Assurance => {}
            Extra::Operator => rule.same_operator = Some(self.chance.below(2) == 0),
            Extra::App => rule.apps = vec![app(self.one(&["chat", "triage"]))],
            Extra::Model => rule.models = vec![model(self.one(&["fraud", "fraud:2"]))],
            Extra::Purpose => rule.purposes = vec![Purpose::parse(self.one(&["care", "billing"])).unwrap()],
            Extra::Tags if !permit => {
                let tags: [&[&str]; 3] = [&["phi"], &["pci"], &["phi", "child"]];
                rule.tags = self.one(&tags).iter().map(|tag| Tag::parse(tag).unwrap()).collect();
            }
            Extra::Tags => {}
            Extra::Action => {
                let actions: [&[LawAction]; 4] = [
                    &[LawAction::Infer, LawAction::Relay],
                    &[LawAction::Replicate],
                    &[LawAction::Relay],
                    &LawAction::ALL,
                ];
                rule.actions = self.one(&actions).to_vec();
            }
        }
    }

    fn policy(&mut self) -> Policy {
        let permits = (0..1 + self.chance.below(3)).map(|n| self.rule(&format!("permit-{n}"), true)).collect();
        let forbids = (0..self.chance.below(3)).map(|n| self.rule(&format!("forbid-{n}"), false)).collect();
        policy(permits, forbids)
    }

    fn claim(&mut self) -> Claim {
        let mut rule = self.rule("claim", false);
        if self.extras.contains(&Extra::Action) && self.chance.below(2) == 0 {
            rule.actions = LawAction::ALL.to_vec();
        }
        let home = self.one(&[HomeWork::Aside, HomeWork::Counts]);
        let (states, below) = (self.one(&[&[][..], &["FR"], &["DE"]]), self.one(&[None, Some(Assurance::Near)]));
        let varies = |extra| self.extras.contains(&extra);
        let compelled_by = states.iter().filter(|_| varies(Extra::Control)).map(|state| place(state)).collect();
        let below = below.filter(|_| varies(Extra::Assurance));
        Claim { written: String::new(), rule, home, compelled_by, below }
    }
}

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn model(name: &str) -> ModelName {
    ModelName::parse(name).unwrap()
}

/// Every case of the small world, as far as the facts that are drawn may matter; `true` ends the search.
fn each_case(extras: [Extra; 2], mut look: impl FnMut(&Facts<'_>) -> bool) -> bool {
    let varies = |extra| extras.contains(&extra);
    let some = |extra, all: usize| if varies(extra) { all } else { 1 };
    let places: Vec<Jurisdiction> = PLACES.iter().map(|code| place(code)).collect();
    let apps = ["hither", "chat", "triage"].map(app);
    let models = ["other", "fraud", "fraud:2", "fraud:3"].map(model);
    let purposes: Vec<Option<Purpose>> =
        [None, Some("care"), Some("billing"), Some("other")].map(|p| p.map(|p| Purpose::parse(p).unwrap())).to_vec();
    let tags: Vec<Vec<Tag>> = [&[][..], &["phi"], &["pci"], &["child"], &["other"], &["pci", "phi"], &["child", "pci"]]
        .iter()
        .map(|tags| tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect())
        .collect();
    let controls: Vec<Option<Vec<Jurisdiction>>> = [None]
        .into_iter()
        .chain(STATES.iter().map(|states| Some(states.iter().map(|state| place(state)).collect())))
        .collect();
    let mut subject_sets: Vec<Vec<Jurisdiction>> = vec![vec![]];
    for (at, one) in places.iter().enumerate() {
        subject_sets.push(vec![*one]);
        subject_sets.extend(places[at + 1..].iter().map(|other| vec![*one, *other]));
    }
    let actions = if varies(Extra::Action) { &LawAction::ALL[..3] } else { &[LawAction::Infer][..] };
    let actions: Vec<LawAction> = actions.iter().copied().chain([LawAction::Replicate]).collect();
    let mut numbers = Vec::new();
    for control in 0..some(Extra::Control, controls.len()) {
        for level in 0..some(Extra::Assurance, 4) {
            for operator in 0..some(Extra::Operator, 2) {
                for one in 0..some(Extra::App, 3) {
                    for two in 0..some(Extra::Model, 4) {
                        for purpose in 0..some(Extra::Purpose, 4) {
                            for set in 0..some(Extra::Tags, tags.len()) {
                                numbers.push([control, level, operator, one, two, purpose, set]);
                            }
                        }
                    }
                }
            }
        }
    }
    for action in actions {
        for class in DataClass::ALL {
            for [control, level, operator, one, two, purpose, set] in numbers.iter().copied() {
                for target in &places {
                    for origin in &places {
                        for subjects in &subject_sets {
                            let relay = action == LawAction::Relay;
                            let carried = Carried::One { class, tags: &tags[set] };
                            let facts = Facts {
                                action,
                                app: (!relay).then_some(&apps[one]),
                                model: (!relay).then_some(&models[two]),
                                carried: if relay { Carried::Everything } else { carried },
                                purpose: purposes[purpose].as_ref().filter(|_| !relay),
                                origin: *origin,
                                subjects,
                                target: *target,
                                control: controls[control].as_deref(),
                                assurance: LEVELS[level],
                                operators: ["one", if operator == 0 { "one" } else { "two" }],
                                kind: PlaceKind::Peer,
                            };
                            if can_be(&facts, class, [one, purpose, set]) && look(&facts) {
                                return true;
                            }
                            let home = Facts { kind: PlaceKind::Home, ..facts };
                            let at_home = home.origin == home.target && operator == 0;
                            if at_home && !matches!(action, LawAction::Relay | LawAction::Replicate) && look(&home) {
                                return true;
                            }
                        }
                    }
                }
            }
        }
    }
    false
}

/// Weights and relays are asked about in one way alone.
fn can_be(facts: &Facts<'_>, class: DataClass, others: [usize; 3]) -> bool {
    match facts.action {
        LawAction::Relay => facts.subjects == [facts.origin] && class == DataClass::Special && others == [0; 3],
        LawAction::Replicate => facts.subjects == [facts.target] && class == DataClass::Public && others == [0; 3],
        _ => true,
    }
}

fn permits(policy: &Policy, facts: &Facts<'_>) -> bool {
    matches!(found(policy, facts), (None, Some(_)))
}

fn is_claimed(claim: &Claim, facts: &Facts<'_>) -> bool {
    let as_forbid = policy(vec![], vec![claim.rule.clone()]);
    let (forbid, _) = found(&as_forbid, facts);
    forbid.is_some()
        && (claim.home == HomeWork::Counts || facts.kind != PlaceKind::Home)
        && (claim.compelled_by.is_empty() || free_of(&claim.compelled_by, facts.control) != super::Held::Surely)
        && claim.below.is_none_or(|least| facts.assurance < least)
}

#[test]
fn a_claim_is_proved_exactly_if_no_case_of_the_world_speaks_against_it() {
    let mut held = 0;
    for seed in 0..DRAWS {
        let mut draw = Draw::new(seed);
        let (law, claim) = (draw.policy(), draw.claim());
        let proof = prove(&law, &claim, &countries()).unwrap();
        let against = each_case(draw.extras, |facts| is_claimed(&claim, facts) && permits(&law, facts));
        assert_eq!(proof.against.is_some(), against, "seed {seed}: {claim:?}\n{law:?}\n{:?}", proof.against);
        held += usize::from(!against);
    }
    assert!((8..52).contains(&held), "{held} of {DRAWS} hold, so that little is tried of the others");
}

#[test]
fn two_policies_are_told_apart_exactly_if_a_case_of_the_world_tells_them_apart() {
    let mut same = 0;
    for seed in 1000..1000 + DRAWS {
        let mut draw = Draw::new(seed);
        let old = draw.policy();
        let mut new = old.clone();
        match draw.chance.below(4) {
            0 => new = draw.policy(),
            1 => new.forbids.push(draw.rule("more", false)),
            2 => new.permits.push(draw.rule("more", true)),
            _ => new.permits.truncate(1),
        }
        let told = changes(&old, &new, &countries()).unwrap();
        let differ = each_case(draw.extras, |facts| permits(&old, facts) != permits(&new, facts));
        assert_eq!(!told.changes.is_empty(), differ, "seed {seed}: {old:?}\n{new:?}\n{:?}", told.changes.first());
        same += usize::from(!differ);
    }
    assert!((4..56).contains(&same), "{same} of {DRAWS} are the same");
}

#[test]
fn what_no_policy_could_be_asked_in_time_is_refused_with_its_number() {
    let mut law = policy(vec![rule("all")], vec![]);
    // Each tag in a forbid of its own, each with another target: every set of tags is told from every other.
    for number in 0..16 {
        let mut forbid = rule(&format!("forbid-{number}"));
        forbid.tags = vec![Tag::parse(&format!("tag-{number}")).unwrap()];
        forbid.target = region(&[&format!("DE-{number}")]);
        law.forbids.push(forbid);
    }
    let error = changes(&law, &law, &countries()).unwrap_err();
    assert_eq!((error.what, error.most), ("sets of tags", super::MIXTURES_MAX as u64));
}
