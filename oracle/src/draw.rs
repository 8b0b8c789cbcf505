//! Chance from a seed: policies as people write them, and what may be asked of them, over a world so small that they collide.

use std::fmt::Write as _;

use hither_types::id::{AppName, ModelName, Operator, Purpose, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::law::LawAction;
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind};

/// Places that somebody or something may be at, and that rules name.
const PLACES: [&str; 9] = ["DE", "DE-BY", "DE-BW", "FR", "US", "US-CA", "CN", "ID", "ID-JK"];
const BLOCS: [&str; 4] = ["EU", "EEA", "EU-ADEQUATE", "ASEAN"];
const TAGS: [&str; 3] = ["phi", "child", "pci"];
const APPS: [&str; 3] = ["triage", "chat", "triage-2"];
const MODELS: [&str; 3] = ["fraud", "fraud-2", "scan"];
const ASKED_MODELS: [&str; 7] = ["fraud", "fraud:2", "fraud:2:a", "fraud-2", "fraud-2:1", "scan", "frau"];
const PURPOSES: [&str; 2] = ["care", "billing"];
const OPERATORS: [&str; 3] = ["acme", "acme-2", "globex"];

/// A stream of numbers (SplitMix64), the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below another.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True so many times in a hundred.
    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One or a few of several, perhaps one of them twice.
    fn some<T: Copy>(&mut self, of: &[T]) -> Vec<T> {
        let count = 1 + self.below(3);
        (0..count).map(|_| self.one(of)).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Permit,
    Forbid,
}

/// A policy as text.
pub(crate) fn policy(chance: &mut Chance) -> String {
    let mut text = format!("version = {}\n", 1 + chance.below(9));
    let (permits, forbids) = (1 + chance.below(4), chance.below(4));
    for number in 0..permits {
        rule(chance, &mut text, Kind::Permit, number);
    }
    for number in 0..forbids {
        rule(chance, &mut text, Kind::Forbid, number);
    }
    text
}

fn rule(chance: &mut Chance, text: &mut String, kind: Kind, number: usize) {
    let (word, percent) = if kind == Kind::Permit { ("permit", 18) } else { ("forbid", 33) };
    let _ = writeln!(text, "\n[[{word}]]\nid = \"{word}-{number}\"");
    let actions = LawAction::ALL.map(LawAction::as_str);
    let line = |text: &mut String, key: &str, words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let _ = writeln!(text, "{key} = [{}]", words.join(", "));
    };
    // Most rules are about many actions, and many about relays, so that few questions are about none of them.
    match chance.below(8) {
        0..=2 => line(text, "action", &actions),
        3 => line(text, "action", &["relay"]),
        4..=5 => line(text, "action", &[chance.some(&actions), chance.some(&actions), vec!["infer"]].concat()),
        6 => line(text, "action", &chance.some(&actions)),
        _ => {}
    }
    if chance.percent(percent) {
        let classes = DataClass::ALL.map(DataClass::as_str);
        let every = chance.percent(30);
        line(
            text,
            "class",
            &if every { classes.to_vec() } else { [chance.some(&classes), chance.some(&classes)].concat() },
        );
    }
    let mut names = |key: &str, of: &[&str], percent: usize| {
        if chance.percent(percent) {
            line(text, key, &chance.some(of));
        }
    };
    names("tags", &TAGS, if kind == Kind::Forbid { percent } else { 0 });
    names("apps", &APPS, percent / 2);
    names("models", &MODELS, percent);
    names("purpose", &PURPOSES, percent / 2);
    for (key, percent) in
        [("origin", 2 * percent), ("origin_not", percent), ("target", 2 * percent), ("target_not", percent)]
    {
        if chance.percent(percent) {
            let mut places: Vec<&str> = chance.some(&PLACES);
            if chance.percent(40) {
                places.push(chance.one(&BLOCS));
            }
            if kind == Kind::Forbid && !key.ends_with("_not") && chance.percent(8) {
                places.push("ZZ");
            }
            line(text, key, &places);
        }
    }
    if kind == Kind::Permit && chance.percent(percent) {
        line(text, "not_control", &chance.some(&PLACES));
    }
    if kind == Kind::Permit && chance.percent(percent) {
        let _ = writeln!(text, "assurance = {}", chance.below(4));
    }
    if chance.percent(percent) {
        let _ = writeln!(text, "same_operator = {}", chance.percent(50));
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// Whether something may be done with data at a place.
    Act(Box<Act>),
    /// Whether the ciphertext of a node may pass over another.
    Relay(Box<[PlaceFacts; 2]>),
}

/// A question, with all that it borrows.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    pub(crate) action: LawAction,
    pub(crate) app: AppName,
    pub(crate) model: ModelName,
    pub(crate) label: Label,
    pub(crate) origin: Jurisdiction,
    pub(crate) operator: Operator,
    pub(crate) target: PlaceFacts,
    pub(crate) kind: PlaceKind,
}

/// Something to ask.
pub(crate) fn request(chance: &mut Chance) -> Request {
    if chance.percent(20) {
        return Request::Relay(Box::new([facts(chance), facts(chance)]));
    }
    let actions = LawAction::ALL.map(|action| if action == LawAction::Relay { LawAction::Infer } else { action });
    let action = chance.one(&actions);
    let mut tags: Vec<Tag> = if chance.percent(50) { Vec::new() } else { known(chance.some(&TAGS), Tag::parse) };
    tags.sort();
    tags.dedup();
    let origin = place(chance);
    let mut subjects =
        if chance.percent(50) { vec![origin] } else { (0..1 + chance.below(3)).map(|_| place(chance)).collect() };
    subjects.sort();
    subjects.dedup();
    let purpose = chance.percent(60).then(|| known(vec![chance.one(&PURPOSES)], Purpose::parse).remove(0));
    Request::Act(Box::new(Act {
        action,
        app: known(vec![chance.one(&APPS)], AppName::parse).remove(0),
        model: known(vec![chance.one(&ASKED_MODELS)], ModelName::parse).remove(0),
        label: Label { class: chance.one(&DataClass::ALL), tags, subjects, purpose },
        origin,
        operator: operator(chance),
        target: facts(chance),
        kind: chance.one(&[PlaceKind::Home, PlaceKind::Peer, PlaceKind::Peer, PlaceKind::Peer, PlaceKind::Cloud]),
    }))
}

fn known<T, E: std::fmt::Debug>(words: Vec<&str>, parse: fn(&str) -> Result<T, E>) -> Vec<T> {
    words.into_iter().map(|word| parse(word).expect("the words of this file are names")).collect()
}

fn place(chance: &mut Chance) -> Jurisdiction {
    // A part that no rule names, and a place that nobody knows.
    let code = match chance.below(14) {
        0 => "DE-NW",
        1 => "ZZ",
        _ => chance.one(&PLACES),
    };
    Jurisdiction::parse(code).expect("the codes of this file are codes")
}

fn operator(chance: &mut Chance) -> Operator {
    known(vec![chance.one(&OPERATORS)], Operator::parse).remove(0)
}

fn facts(chance: &mut Chance) -> PlaceFacts {
    let control = match chance.below(4) {
        0 => None,
        1 => Some(Vec::new()),
        _ => Some((0..1 + chance.below(2)).map(|_| place(chance)).collect()),
    };
    let assurance = chance.one(&[Assurance::Claimed, Assurance::Vouched, Assurance::Near, Assurance::Hardware]);
    PlaceFacts { node: None, site: None, jurisdiction: place(chance), control, operator: operator(chance), assurance }
}
