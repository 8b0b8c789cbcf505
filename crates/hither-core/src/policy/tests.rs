//! The law, by enumeration of small worlds: every question of a small domain against every rule of a small domain.

use hither_types::id::{AppName, Digest, ModelName, Operator, Purpose, RuleId, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::law::{Denial, FIELDS, LawAction, NearMiss, Policy, Question, Rule, Verdict};
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind, Region};

use super::judge;

mod own;
mod relay;

pub(super) fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

pub(super) fn region(codes: &[&str]) -> Option<Region> {
    let mut members: Vec<_> = codes.iter().map(|code| place(code)).collect();
    members.sort();
    Some(Region { written: codes.iter().map(|code| (*code).to_owned()).collect(), members })
}

pub(super) fn rule(id: &str) -> Rule {
    Rule {
        id: RuleId::parse(id).unwrap(),
        actions: vec![LawAction::Infer],
        classes: vec![],
        tags: vec![],
        apps: vec![],
        models: vec![],
        purposes: vec![],
        origin: None,
        origin_not: None,
        target: None,
        target_not: None,
        not_control: vec![],
        assurance: None,
        same_operator: None,
    }
}

pub(super) fn policy(permits: Vec<Rule>, forbids: Vec<Rule>) -> Policy {
    Policy { permits, forbids, ..Policy::closed(Digest([0; 32])) }
}

/// A question in a form that can be changed one fact at a time.
#[derive(Debug, Clone)]
struct Case {
    action: LawAction,
    app: AppName,
    model: ModelName,
    label: Label,
    origin: Jurisdiction,
    origin_operator: Operator,
    target: PlaceFacts,
    kind: PlaceKind,
}

impl Case {
    fn new(class: DataClass, origin: &str, subjects: &[&str], target: &str) -> Self {
        let operator = Operator::parse("acme").unwrap();
        let subjects = subjects.iter().map(|code| place(code)).collect();
        Self {
            action: LawAction::Infer,
            app: AppName::parse("chat").unwrap(),
            model: ModelName::parse("small").unwrap(),
            label: Label { class, tags: vec![], subjects, purpose: None },
            origin: place(origin),
            origin_operator: operator.clone(),
            target: PlaceFacts {
                node: None,
                site: None,
                jurisdiction: place(target),
                control: Some(vec![]),
                operator,
                assurance: Assurance::Vouched,
            },
            kind: PlaceKind::Peer,
        }
    }

    fn ask(&self, policy: &Policy) -> Verdict {
        judge(
            policy,
            &Question {
                action: self.action,
                app: &self.app,
                model: &self.model,
                label: &self.label,
                origin: self.origin,
                origin_operator: &self.origin_operator,
                target: &self.target,
                kind: self.kind,
            },
        )
    }

    fn allowed(&self, policy: &Policy) -> bool {
        matches!(self.ask(policy), Verdict::Permitted(_))
    }
}

const PLACES: [&str; 6] = ["DE", "DE-BY", "DE-BW", "FR", "ID", "ZZ"];
const REGIONS: [&[&str]; 6] = [&["DE"], &["DE-BY"], &["DE", "FR"], &["FR"], &["ID", "DE-BW"], &["ZZ"]];
const SUBJECTS: [&[&str]; 7] = [&[], &["DE"], &["DE-BY"], &["FR"], &["ID"], &["DE", "ID"], &["ZZ"]];

/// Every combination of class, origin, subjects and target.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for class in DataClass::ALL {
        for origin in PLACES {
            for subjects in SUBJECTS {
                for target in PLACES {
                    cases.push(Case::new(class, origin, subjects, target));
                }
            }
        }
    }
    cases
}

/// Every rule that states up to one constraint on the source and up to one on the target, for three lists of classes.
fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    let none: [Option<&[&str]>; 1] = [None];
    let regions: Vec<Option<&[&str]>> = none.into_iter().chain(REGIONS.into_iter().map(Some)).collect();
    let classes: [&[DataClass]; 3] = [&[], &[DataClass::Public], &[DataClass::Personal, DataClass::Secret]];
    for source in &regions {
        for target in &regions {
            for negated in 0..4_u8 {
                for classes in classes {
                    let mut rule = rule("generated");
                    rule.classes = classes.to_vec();
                    let (source, target) = (source.and_then(region), target.and_then(region));
                    *(if negated & 1 == 0 { &mut rule.origin } else { &mut rule.origin_not }) = source;
                    *(if negated & 2 == 0 { &mut rule.target } else { &mut rule.target_not }) = target;
                    rules.push(rule);
                }
            }
        }
    }
    rules
}

/// The places that a code may stand for, in a world of six atoms: the least clever way to say the same.
fn worlds(code: Jurisdiction) -> Vec<&'static str> {
    match code.to_string().as_str() {
        "DE" => vec!["DE-BY", "DE-BW", "DE-*"],
        "DE-BY" => vec!["DE-BY"],
        "DE-BW" => vec!["DE-BW"],
        "FR" => vec!["FR"],
        "ID" => vec!["ID"],
        "ZZ" => vec!["DE-BY", "DE-BW", "DE-*", "FR", "ID", "elsewhere"],
        other => panic!("{other} is not in the small world"),
    }
}

fn is_in(region: &Region, code: Jurisdiction, how: fn(&[bool]) -> bool) -> bool {
    // A rule that names the unknown place means exactly that.
    let unknown = place("ZZ");
    if region.members.contains(&unknown) && code == unknown {
        return true;
    }
    let atoms: Vec<&str> = region.members.iter().filter(|m| **m != unknown).flat_map(|m| worlds(*m)).collect();
    how(&worlds(code).iter().map(|atom| atoms.contains(atom)).collect::<Vec<_>>())
}

fn surely(region: &Region, code: Jurisdiction) -> bool {
    is_in(region, code, |atoms| atoms.iter().all(|inside| *inside))
}

fn perhaps(region: &Region, code: Jurisdiction) -> bool {
    is_in(region, code, |atoms| atoms.contains(&true))
}

fn sources(case: &Case) -> Vec<Jurisdiction> {
    std::iter::once(case.origin).chain(case.label.subjects.iter().copied()).collect()
}

/// A permit by the book: everything stated is certain.
fn permit_by_the_book(rule: &Rule, case: &Case) -> bool {
    (rule.classes.is_empty() || rule.classes.contains(&case.label.class))
        && rule.origin.as_ref().is_none_or(|r| sources(case).iter().all(|s| surely(r, *s)))
        && rule.origin_not.as_ref().is_none_or(|r| sources(case).iter().all(|s| !perhaps(r, *s)))
        && rule.target.as_ref().is_none_or(|r| surely(r, case.target.jurisdiction))
        && rule.target_not.as_ref().is_none_or(|r| !perhaps(r, case.target.jurisdiction))
}

/// A forbid by the book: everything stated is possible.
fn forbid_by_the_book(rule: &Rule, case: &Case) -> bool {
    (rule.classes.is_empty() || rule.classes.contains(&case.label.class))
        && rule.origin.as_ref().is_none_or(|r| sources(case).iter().any(|s| perhaps(r, *s)))
        && rule.origin_not.as_ref().is_none_or(|r| sources(case).iter().any(|s| !surely(r, *s)))
        && rule.target.as_ref().is_none_or(|r| perhaps(r, case.target.jurisdiction))
        && rule.target_not.as_ref().is_none_or(|r| !surely(r, case.target.jurisdiction))
}

#[test]
fn a_permit_allows_what_is_certain_and_nothing_else() {
    let cases = cases();
    let (mut yes, mut no) = (0_u64, 0_u64);
    for rule in rules() {
        let policy = policy(vec![rule.clone()], vec![]);
        for case in &cases {
            let allowed = case.allowed(&policy);
            assert_eq!(allowed, permit_by_the_book(&rule, case), "{rule:?}\n{case:?}");
            *(if allowed { &mut yes } else { &mut no }) += 1;
        }
    }
    assert!(yes > 10_000 && no > 10_000, "both answers must be common: {yes} yes, {no} no");
}

#[test]
fn a_forbid_beats_a_permit_of_everything_where_it_may_apply() {
    let cases = cases();
    let (mut yes, mut no) = (0_u64, 0_u64);
    for forbid in rules() {
        let policy = policy(vec![rule("everything")], vec![forbid.clone()]);
        for case in &cases {
            let verdict = case.ask(&policy);
            if forbid_by_the_book(&forbid, case) {
                let expected = Denial::Forbidden { rule: forbid.id.clone(), nearest: None };
                assert_eq!(verdict, Verdict::Denied(expected), "{case:?}");
                no += 1;
            } else {
                assert_eq!(verdict, Verdict::Permitted(RuleId::parse("everything").unwrap()), "{forbid:?}\n{case:?}");
                yes += 1;
            }
        }
    }
    assert!(yes > 10_000 && no > 10_000, "both answers must be common: {yes} yes, {no} no");
}

#[test]
fn concerning_more_people_never_opens_a_way() {
    for rule in rules() {
        for policy in [policy(vec![rule.clone()], vec![]), policy(vec![self::rule("everything")], vec![rule.clone()])] {
            for mut case in cases() {
                if !case.allowed(&policy) {
                    case.label.subjects.push(place("FR"));
                    assert!(!case.allowed(&policy), "{rule:?}\n{case:?}");
                }
            }
        }
    }
}

/// Raising the class opens no way as long as permits list classes from the bottom up and forbids from the top down. A
/// permit for `special` alone, such as one between two clinics, may permit what no rule permits for `public`: there the
/// author of the policy says so, and the law does not second-guess it.
#[test]
fn raising_the_class_never_opens_a_way_under_lists_without_gaps() {
    for permit_up_to in 0..=DataClass::ALL.len() {
        for forbid_from in 0..=DataClass::ALL.len() {
            let mut permit = rule("from-the-bottom");
            permit.classes = DataClass::ALL[..permit_up_to].to_vec();
            let mut forbid = rule("from-the-top");
            forbid.classes = DataClass::ALL[forbid_from..].to_vec();
            let permits = if permit.classes.is_empty() { vec![] } else { vec![permit] };
            let forbids = if forbid.classes.is_empty() { vec![] } else { vec![forbid] };
            let policy = policy(permits, forbids);
            let allowed = DataClass::ALL.map(|class| Case::new(class, "DE", &[], "FR").allowed(&policy));
            assert!(allowed.is_sorted_by(|lower, higher| lower >= higher), "{allowed:?}");
            assert_eq!(allowed.iter().filter(|yes| **yes).count(), permit_up_to.min(forbid_from));
        }
    }
}

#[test]
fn home_is_lawful_for_every_class_unless_forbidden_but_disks_are_not() {
    let may_rest = |action, class| action == LawAction::Enqueue && class <= DataClass::Personal;
    let nothing = policy(vec![], vec![]);
    let mut forbid = rule("not-here");
    forbid.models = vec![ModelName::parse("small").unwrap()];
    let forbidden = policy(vec![], vec![forbid]);
    for class in DataClass::ALL {
        for action in LawAction::ALL {
            let mut case = Case::new(class, "DE", &["ID"], "DE");
            case.action = action;
            assert!(!case.allowed(&nothing), "a peer in the same country is not home: {case:?}");
            case.kind = PlaceKind::Home;
            let at_home =
                matches!(action, LawAction::Infer | LawAction::Cache | LawAction::Observe) || may_rest(action, class);
            assert_eq!(case.allowed(&nothing), at_home, "{case:?}");
            assert_eq!(case.allowed(&forbidden), at_home && action != LawAction::Infer, "{case:?}");
            if action == LawAction::Infer {
                assert_eq!(case.ask(&nothing), Verdict::Permitted(RuleId::parse("local").unwrap()));
            }
        }
    }
}

/// Each constraint other than places, alone: what a permit and a forbid make of a fact.
fn check_constraint(change: fn(&mut Rule), facts: fn(&mut Case), permit: bool, forbid: bool) {
    let mut stated = rule("stated");
    change(&mut stated);
    let mut case = Case::new(DataClass::Personal, "DE", &[], "FR");
    facts(&mut case);
    assert_eq!(case.allowed(&policy(vec![stated.clone()], vec![])), permit, "as a permit: {stated:?}\n{case:?}");
    let beaten = !case.allowed(&policy(vec![rule("everything")], vec![stated.clone()]));
    assert_eq!(beaten, forbid, "as a forbid: {stated:?}\n{case:?}");
}

#[test]
fn an_unknown_fact_satisfies_no_permit_and_escapes_no_forbid() {
    let us: fn(&mut Rule) = |rule| rule.not_control = vec![place("US")];
    check_constraint(us, |case| case.target.control = None, false, true);
    check_constraint(us, |case| case.target.control = Some(vec![]), true, true);
    check_constraint(us, |case| case.target.control = Some(vec![place("FR")]), true, true);
    check_constraint(us, |case| case.target.control = Some(vec![place("FR"), place("US")]), false, false);
    check_constraint(us, |case| case.target.control = Some(vec![place("US-CA")]), false, false);
    check_constraint(us, |case| case.target.control = Some(vec![place("ZZ")]), false, true);
    check_constraint(
        |rule| rule.not_control = vec![place("US-CA")],
        |case| case.target.control = Some(vec![place("US")]),
        false,
        true,
    );

    let triage: fn(&mut Rule) = |rule| rule.purposes = vec![Purpose::parse("triage").unwrap()];
    check_constraint(triage, |case| case.label.purpose = None, false, true);
    check_constraint(triage, |case| case.label.purpose = Some(Purpose::parse("triage").unwrap()), true, true);
    check_constraint(triage, |case| case.label.purpose = Some(Purpose::parse("ads").unwrap()), false, false);
}

#[test]
fn a_known_fact_is_inside_or_outside() {
    let phi: fn(&mut Rule) = |rule| rule.tags = vec![Tag::parse("phi").unwrap(), Tag::parse("pci").unwrap()];
    check_constraint(phi, |case| case.label.tags = vec![], false, false);
    check_constraint(phi, |case| case.label.tags = vec![Tag::parse("child").unwrap()], false, false);
    check_constraint(
        phi,
        |case| case.label.tags = vec![Tag::parse("child").unwrap(), Tag::parse("phi").unwrap()],
        true,
        true,
    );

    check_constraint(|rule| rule.apps = vec![AppName::parse("chat").unwrap()], |_| {}, true, true);
    check_constraint(|rule| rule.apps = vec![AppName::parse("other").unwrap()], |_| {}, false, false);
    check_constraint(|rule| rule.models = vec![ModelName::parse("small").unwrap()], |_| {}, true, true);
    check_constraint(|rule| rule.models = vec![ModelName::parse("large").unwrap()], |_| {}, false, false);
    check_constraint(|rule| rule.actions = vec![LawAction::Relay], |_| {}, false, false);
    check_constraint(|rule| rule.actions = LawAction::ALL.to_vec(), |_| {}, true, true);

    let near: fn(&mut Rule) = |rule| rule.assurance = Some(Assurance::Near);
    check_constraint(near, |case| case.target.assurance = Assurance::Claimed, false, false);
    check_constraint(near, |case| case.target.assurance = Assurance::Near, true, true);
    check_constraint(near, |case| case.target.assurance = Assurance::Hardware, true, true);

    let globex: fn(&mut Case) = |case| case.target.operator = Operator::parse("globex").unwrap();
    check_constraint(|rule| rule.same_operator = Some(true), |_| {}, true, true);
    check_constraint(|rule| rule.same_operator = Some(true), globex, false, false);
    check_constraint(|rule| rule.same_operator = Some(false), |_| {}, false, false);
    check_constraint(|rule| rule.same_operator = Some(false), globex, true, true);
}

fn near_miss(policy: &Policy, case: &Case) -> Option<NearMiss> {
    match case.ask(policy) {
        Verdict::Denied(Denial::NotPermitted { nearest } | Denial::Forbidden { nearest, .. }) => nearest,
        Verdict::Denied(Denial::Role(role)) => panic!("the law says nothing of the role {role}"),
        Verdict::Permitted(rule) => panic!("{rule} permits it"),
    }
}

fn texts(near: &NearMiss) -> Vec<String> {
    std::iter::once(near.rule.to_string()).chain(near.failed.iter().map(ToString::to_string)).collect()
}

/// Mending exactly the fields that the near miss names makes its rule permit, and no other permit needs fewer.
#[test]
fn the_near_miss_is_the_least_that_would_have_to_change() {
    let pool: Vec<Rule> = rules().into_iter().step_by(23).collect();
    for (number, first) in pool.iter().enumerate() {
        for second in &pool[number..] {
            let (mut one, mut two) = (first.clone(), second.clone());
            one.id = RuleId::parse("one").unwrap();
            two.id = RuleId::parse("two").unwrap();
            let both = policy(vec![one.clone(), two.clone()], vec![]);
            for case in cases().iter().step_by(41).filter(|case| !case.allowed(&both)) {
                let near = near_miss(&both, case).expect("both permits speak of the action");
                let alone = |rule: &Rule| {
                    near_miss(&policy(vec![rule.clone()], vec![]), case).expect("it speaks of the action").failed
                };
                let (of_one, of_two) = (alone(&one), alone(&two));
                let (id, failed) = if of_two.len() < of_one.len() { (&two.id, of_two) } else { (&one.id, of_one) };
                assert_eq!((&near.rule, &near.failed), (id, &failed));

                let mut mended = if near.rule == one.id { one.clone() } else { two.clone() };
                for field in &near.failed {
                    match field.field {
                        "class" => mended.classes.clear(),
                        "origin" => mended.origin = None,
                        "origin_not" => mended.origin_not = None,
                        "target" => mended.target = None,
                        "target_not" => mended.target_not = None,
                        other => panic!("{other} is not stated"),
                    }
                }
                assert!(case.allowed(&policy(vec![mended], vec![])));
            }
        }
    }
}

#[test]
fn a_near_miss_names_each_failed_field_in_the_words_of_the_policy() {
    let mut eea = rule("eea-personal");
    eea.classes = vec![DataClass::Personal];
    eea.origin = region(&["DE", "FR"]);
    eea.target = region(&["DE", "FR"]);
    eea.not_control = vec![place("US"), place("CN")];
    eea.assurance = Some(Assurance::Near);
    eea.same_operator = Some(true);
    eea.purposes = vec![Purpose::parse("triage").unwrap()];
    let mut case = Case::new(DataClass::Special, "DE", &["ID", "FR"], "ID");
    case.target.control = Some(vec![place("US")]);
    case.target.operator = Operator::parse("globex").unwrap();
    let near = near_miss(&policy(vec![eea], vec![]), &case).unwrap();
    assert_eq!(
        texts(&near),
        [
            "eea-personal",
            "class: special is not in [\"personal\"]",
            "purpose: unknown is not in [\"triage\"]",
            "origin: ID (subject) is not in [\"DE\", \"FR\"]",
            "target: ID is not in [\"DE\", \"FR\"]",
            "not_control: an operator under [\"US\"] is not in the operators that none of [\"US\", \"CN\"] can compel",
            "assurance: 1 (vouched) is not in the levels from 2 (near) up",
            "same_operator: acme to globex is not in transfers within one operator",
        ]
    );
}

#[test]
fn negated_places_read_well() {
    let mut outside = rule("outside");
    outside.origin_not = region(&["ID"]);
    outside.target_not = region(&["FR"]);
    let near = near_miss(&policy(vec![outside], vec![]), &Case::new(DataClass::Public, "ID", &["DE"], "FR")).unwrap();
    assert_eq!(
        texts(&near),
        [
            "outside",
            "origin_not: ID (origin) is not in the places outside [\"ID\"]",
            "target_not: FR is not in the places outside [\"FR\"]",
        ]
    );
}

#[test]
fn a_permit_for_another_action_is_no_near_miss() {
    let mut copies = rule("copies");
    copies.actions = vec![LawAction::Replicate];
    let case = Case::new(DataClass::Public, "DE", &[], "FR");
    assert_eq!(near_miss(&policy(vec![copies.clone()], vec![]), &case), None);
    let mut far = rule("far");
    far.classes = vec![DataClass::Secret];
    far.target = region(&["ID"]);
    assert_eq!(near_miss(&policy(vec![copies, far], vec![]), &case).unwrap().rule.as_str(), "far");
}

#[test]
fn a_forbid_comes_with_the_near_miss_unless_a_permit_would_have_allowed_it() {
    let case = Case::new(DataClass::Personal, "ID", &[], "DE");
    let mut forbid = rule("id-bank");
    forbid.origin = region(&["ID"]);
    forbid.target_not = region(&["ID"]);
    let mut far = rule("far");
    far.classes = vec![DataClass::Public];
    let with_far = policy(vec![far.clone()], vec![forbid.clone()]);
    assert_eq!(near_miss(&with_far, &case).unwrap().rule.as_str(), "far");
    let with_permit = policy(vec![far, rule("everything")], vec![forbid]);
    assert_eq!(near_miss(&with_permit, &case), None);
}

#[test]
fn the_fields_have_the_names_of_the_policy_language() {
    assert_eq!(super::Field::ALL.map(super::Field::name), FIELDS);
}
