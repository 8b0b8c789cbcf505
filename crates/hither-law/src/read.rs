//! From tables to rules.

use hither_types::fact::BUDGET_RULE;
use hither_types::id::{AppName, Digest, ModelName, ParseIdError, Purpose, RuleId, Tag};
use hither_types::label::DataClass;
use hither_types::law::{LawAction, Policy, PolicyTest, Retention, Rule};
use hither_types::place::{Assurance, Jurisdiction, Region};
use hither_types::time::Day;
use hither_types::unit::{Days, Hours};

use crate::error::{Code, LawError};
use crate::lists::{self, Lists};
use crate::places::{UNKNOWN_PLACE, UnknownJurisdiction, jurisdiction, region};
use crate::source::{Section, Value, Word};

/// A policy is written by people: more rules than this is a mistake, and each costs time in every decision.
pub(crate) const MAX_RULES: usize = 1000;

/// Cases of the author's own.
pub(crate) const MAX_TESTS: usize = 1000;

/// Things in one list: all countries there are, and some blocs.
pub(crate) const MAX_LISTED: usize = 300;

/// Ids that ledgers and explanations have for what is no rule of a policy: those that are built in, a budget, and a permit that
/// somebody would have to write.
const TAKEN_IDS: [&str; 4] = ["local", "own-country-relay", "egress-budget", "such-a-permit"];

const RULE_KEYS: [&str; 14] = [
    "id",
    "action",
    "class",
    "tags",
    "apps",
    "models",
    "purpose",
    "origin",
    "origin_not",
    "target",
    "target_not",
    "not_control",
    "assurance",
    "same_operator",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Permit,
    Forbid,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Permit => "a permit",
            Self::Forbid => "a forbid",
        }
    }
}

/// Reads the whole policy.
pub(crate) fn policy(whole: &Section<'_>, digest: Digest, day: Day) -> Result<Policy, LawError> {
    whole.only(&["version", "default", "blocs", "permit", "forbid", "retention", "ledger", "members", "test"])?;
    let version = whole.need("version", "1")?.number(1..=u32::MAX, "1")?;
    let unlabelled = match whole.table("default", "[default]")? {
        Some(default) => defaults(&default)?,
        None => DataClass::Special,
    };
    let blocs = match whole.table("blocs", "[blocs]")? {
        Some(section) => lists::blocs(&section)?,
        None => Vec::new(),
    };
    let known = Lists::new(&blocs, day);
    let permits = rules(whole, "permit", Kind::Permit, &known)?;
    let forbids = rules(whole, "forbid", Kind::Forbid, &known)?;
    let retention = match whole.table("retention", "[retention]")? {
        Some(section) => retention(&section, &known)?,
        None => Retention::default(),
    };
    let witness_within = match whole.table("ledger", "[ledger]")? {
        Some(section) => ledger(&section)?,
        None => None,
    };
    let certified_within = match whole.table("members", "[members]")? {
        Some(section) => members(&section)?,
        None => None,
    };
    let tests = whole.tables("test", "a test", MAX_TESTS)?;
    let tests = tests.iter().map(|section| test(section, &known)).collect::<Result<_, _>>()?;
    let mut seen: Vec<&Word<'_>> = Vec::new();
    for (_, id) in permits.iter().chain(&forbids) {
        if let Some(_first) = seen.iter().find(|first| first.text == id.text) {
            let message = format!("two rules have the id {:?}", id.text);
            return Err(id.error(Code::TakenId, message, "give each rule its own id: the ledger quotes it"));
        }
        seen.push(id);
    }
    let without_words = |rules: Vec<(Rule, Word<'_>)>| rules.into_iter().map(|(rule, _)| rule).collect();
    let (permits, forbids) = (without_words(permits), without_words(forbids));
    Ok(Policy {
        version,
        digest,
        unlabelled,
        permits,
        forbids,
        tests,
        retention,
        witness_within,
        certified_within,
        blocs,
        day,
    })
}

fn defaults(section: &Section<'_>) -> Result<DataClass, LawError> {
    section.only(&["cross_border", "unlabelled"])?;
    if let Some(value) = section.get("cross_border") {
        let word = value.word("\"deny\"")?;
        if word.text != "deny" {
            let message = "cross_border can only be \"deny\": what no rule permits stays where it is";
            return Err(word.error(Code::UnknownWord, message, "write a [[permit]] for what may cross a border"));
        }
    }
    match section.get("unlabelled") {
        Some(value) => class(&value.word("\"special\"")?),
        None => Ok(DataClass::Special),
    }
}

fn rules<'a>(
    whole: &Section<'a>,
    key: &'static str,
    kind: Kind,
    lists: &Lists<'_>,
) -> Result<Vec<(Rule, Word<'a>)>, LawError> {
    whole.tables(key, kind.name(), MAX_RULES)?.iter().map(|section| rule(section, kind, lists)).collect()
}

fn rule<'a>(section: &Section<'a>, kind: Kind, lists: &Lists<'_>) -> Result<(Rule, Word<'a>), LawError> {
    section.only(&RULE_KEYS)?;
    let id = section.need("id", "\"a-short-name\"")?.word("\"a-short-name\"")?;
    if TAKEN_IDS.contains(&id.text) {
        let message = format!("the id {:?} has a meaning of its own in ledgers", id.text);
        let help = "choose another id; a forbid of any id may name what must not run at home";
        return Err(id.error(Code::TakenId, message, help));
    }
    if id.text == BUDGET_RULE {
        let message = "the id \"egress-budget\" is what a ledger calls a budget that refused a request";
        return Err(id.error(Code::TakenId, message, "choose another id"));
    }
    out_of_place(section, kind)?;
    let read = Rule {
        id: named(&id, RuleId::parse)?,
        actions: match section.get("action") {
            Some(value) => each(&value, action)?,
            None if kind == Kind::Permit => vec![LawAction::Infer],
            None => LawAction::ALL.to_vec(),
        },
        classes: list(section, "class", class)?,
        tags: list(section, "tags", |word| named(word, Tag::parse))?,
        apps: list(section, "apps", |word| named(word, AppName::parse))?,
        models: list(section, "models", model)?,
        purposes: list(section, "purpose", |word| named(word, Purpose::parse))?,
        origin: places(section, "origin", kind, lists)?,
        origin_not: places(section, "origin_not", kind, lists)?,
        target: places(section, "target", kind, lists)?,
        target_not: places(section, "target_not", kind, lists)?,
        not_control: places(section, "not_control", kind, lists)?.map(states).unwrap_or_default(),
        assurance: section.get("assurance").map(|value| assurance(&value)).transpose()?,
        same_operator: section.get("same_operator").map(|value| value.flag()).transpose()?,
    };
    Ok((read, id))
}

/// Whom nobody may be compelled by. A group that is empty on this day still asks for a place of which it is known who can
/// compel it: so the unknown place stands for nobody.
fn states(region: Region) -> Vec<Jurisdiction> {
    match region.members.is_empty() {
        true => Jurisdiction::parse(UNKNOWN_PLACE).into_iter().collect(),
        false => region.members,
    }
}

/// Three constraints seem to say something in one kind of rule and say something else.
fn out_of_place(section: &Section<'_>, kind: Kind) -> Result<(), LawError> {
    let (keys, message, help): (&[&str], &str, &str) = match kind {
        Kind::Permit => (
            &["tags"],
            "tags in a permit would let a caller open a way by adding a tag, and labels can only be tightened",
            "name the tags in a [[forbid]]",
        ),
        Kind::Forbid => (
            &["assurance", "not_control"],
            "in a forbid this would forbid the places that are well supported, or free of those states, and no other",
            "state it in the permits: what no permit allows is denied",
        ),
    };
    match keys.iter().find_map(|key| section.get(key)) {
        Some(value) => Err(value.error(Code::OutOfPlace, message, help)),
        None => Ok(()),
    }
}

fn each<T>(value: &Value<'_>, read: impl Fn(&Word<'_>) -> Result<T, LawError>) -> Result<Vec<T>, LawError> {
    value.words(MAX_LISTED)?.iter().map(read).collect()
}

fn list<'a, T>(
    section: &Section<'a>,
    key: &'a str,
    read: impl Fn(&Word<'_>) -> Result<T, LawError>,
) -> Result<Vec<T>, LawError> {
    section.get(key).map_or(Ok(Vec::new()), |value| each(&value, read))
}

fn named<T>(word: &Word<'_>, parse: fn(&str) -> Result<T, ParseIdError>) -> Result<T, LawError> {
    parse(word.text).map_err(|error| {
        word.error(
            Code::BadValue,
            format!("{:?} is not a name that can stand here", error.found),
            format!("write {}", error.expected),
        )
    })
}

fn model(word: &Word<'_>) -> Result<ModelName, LawError> {
    if word.text.contains('@') {
        let message = "a rule names a model without its digest";
        let name = word.text.split('@').next().unwrap_or_default();
        return Err(word.error(
            Code::BadValue,
            message,
            format!("write {name:?}; the catalog ties a name to one digest"),
        ));
    }
    named(word, ModelName::parse)
}

fn class(word: &Word<'_>) -> Result<DataClass, LawError> {
    word.one_of("a class of data", &DataClass::ALL.map(|class| (class.as_str(), class)))
}

fn action(word: &Word<'_>) -> Result<LawAction, LawError> {
    word.one_of("an action", &LawAction::ALL.map(|action| (action.as_str(), action)))
}

fn assurance(value: &Value<'_>) -> Result<Assurance, LawError> {
    Ok(match value.number(0..=3, "1")? {
        0 => Assurance::Claimed,
        1 => Assurance::Vouched,
        2 => Assurance::Near,
        _ => Assurance::Hardware,
    })
}

pub(crate) fn unknown(word: &Word<'_>, error: &UnknownJurisdiction) -> LawError {
    word.error(Code::UnknownJurisdiction, format!("{:?} is not a jurisdiction", error.found), error.help())
}

fn places<'a>(section: &Section<'a>, key: &'a str, kind: Kind, lists: &Lists<'_>) -> Result<Option<Region>, LawError> {
    let Some(value) = section.get(key) else { return Ok(None) };
    let words = value.words(MAX_LISTED)?;
    let names_unknown = kind == Kind::Forbid && matches!(key, "origin" | "target");
    if let Some(word) = words.iter().find(|word| word.text == UNKNOWN_PLACE && !names_unknown) {
        let message = "\"ZZ\" stands for a place that nobody knows, and only origin and target of a forbid may name it";
        return Err(word.error(Code::OutOfPlace, message, "name the countries that you mean"));
    }
    match region(words.iter().map(|word| word.text), lists) {
        Ok(region) => Ok(Some(region)),
        Err((at, error)) => Err(unknown(&words[at], &error)),
    }
}

fn place(word: &Word<'_>, lists: &Lists<'_>) -> Result<Jurisdiction, LawError> {
    if lists.members(word.text).is_some() {
        let message = format!("{:?} is a group of countries, and a case is about one place", word.text);
        return Err(word.error(Code::BadValue, message, "write the code of one country, such as \"DE\""));
    }
    jurisdiction(word.text).map_err(|error| unknown(word, &error))
}

/// Days to keep records, by origin.
fn retention(section: &Section<'_>, lists: &Lists<'_>) -> Result<Retention, LawError> {
    let mut read = Retention::default();
    for (key, value) in section.entries() {
        let days = Days(value.number(1..=36_500, "184")?);
        match key.text {
            "default" => read.default = days,
            code => read.periods.push((region([code], lists).map_err(|(_, error)| unknown(&key, &error))?, days)),
        }
    }
    Ok(read)
}

/// What must hold of the ledger before anything leaves.
fn ledger(section: &Section<'_>) -> Result<Option<Days>, LawError> {
    section.only(&["witness_within_days"])?;
    section.get("witness_within_days").map(|value| Ok(Days(value.number(1..=366, "1")?))).transpose()
}

/// What must hold of a member's certificate before it supports an assurance. None holds longer than 30 days.
fn members(section: &Section<'_>) -> Result<Option<Hours>, LawError> {
    section.only(&["certified_within_hours"])?;
    section.get("certified_within_hours").map(|value| Ok(Hours(value.number(1..=720, "24")?))).transpose()
}

fn test(section: &Section<'_>, lists: &Lists<'_>) -> Result<PolicyTest, LawError> {
    section.only(&["given", "expect", "on"])?;
    const EXAMPLE: &str = "{ class = \"personal\", origin = \"DE\", target = \"FR\" }";
    let given = section.need("given", EXAMPLE)?.into_section("what a test gives", &format!("given = {EXAMPLE}"))?;
    given.only(&["action", "app", "model", "class", "purpose", "origin", "subjects", "target"])?;
    let text = |key| given.get(key).map(|value| value.word("\"…\"")).transpose();
    let needed = |key, example: &str| given.need(key, example)?.word(example);
    let expect = section.need("expect", "\"deny\"")?.word("\"deny\"")?;
    Ok(PolicyTest {
        action: text("action")?.map_or(Ok(LawAction::Infer), |word| action(&word))?,
        app: text("app")?.map(|word| named(&word, AppName::parse)).transpose()?,
        model: text("model")?.map(|word| model(&word)).transpose()?,
        class: class(&needed("class", "\"personal\"")?)?,
        purpose: text("purpose")?.map(|word| named(&word, Purpose::parse)).transpose()?,
        origin: place(&needed("origin", "\"DE\"")?, lists)?,
        subjects: list(&given, "subjects", |word| place(word, lists))?,
        target: place(&needed("target", "\"FR\"")?, lists)?,
        permitted: expect.one_of("an answer", &[("permit", true), ("deny", false)])?,
        on: section.get("on").map(|value| value.day()).transpose()?,
    })
}
