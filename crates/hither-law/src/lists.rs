//! The groups of countries that a policy lists itself, with the days on which members come and go.

use std::collections::BTreeSet;

use hither_types::law::{Bloc, BlocMember, Policy};
use hither_types::place::Jurisdiction;
use hither_types::time::Day;

use crate::blocs::bloc;
use crate::error::{Code, LawError};
use crate::places::{UNKNOWN_PLACE, is_said_of_a_country, jurisdiction};
use crate::read::{MAX_LISTED, unknown};
use crate::source::{Section, Value, Word};

/// Groups of its own that a policy may have.
const MAX_BLOCS: usize = 50;

/// Days on which its lists change: its tests are run for each.
const MAX_TURNS: usize = 100;

/// What names of groups stand for on one day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lists<'a> {
    own: &'a [Bloc],
    day: Day,
}

impl<'a> Lists<'a> {
    pub(crate) fn new(own: &'a [Bloc], day: Day) -> Self {
        Self { own, day }
    }

    /// Those that a policy is read by.
    pub(crate) fn of(policy: &'a Policy) -> Self {
        Self::new(&policy.blocs, policy.day)
    }

    /// Who is in a group; nobody, if all members of it are of other days.
    pub(crate) fn members(&self, name: &str) -> Option<BTreeSet<Jurisdiction>> {
        match self.own.iter().find(|own| own.name == name) {
            Some(own) => Some(own.on(self.day)),
            None => listed(name),
        }
    }

    /// The names of the policy's own.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.own.iter().map(|own| own.name.as_str())
    }
}

/// The members of a group that the program lists.
fn listed(name: &str) -> Option<BTreeSet<Jurisdiction>> {
    Some(bloc(name)?.members().filter_map(|code| Jurisdiction::parse(code).ok()).collect())
}

/// Reads `[blocs]`.
pub(crate) fn blocs(section: &Section<'_>) -> Result<Vec<Bloc>, LawError> {
    let entries = section.entries();
    if let Some((extra, _)) = entries.get(MAX_BLOCS) {
        let message = format!("there are {} groups, and a policy may list {MAX_BLOCS}", entries.len());
        return Err(extra.error(Code::TooMuch, message, "leave out those that no rule names"));
    }
    let mut turns = BTreeSet::new();
    let mut read = Vec::new();
    for (name, value) in &entries {
        let bloc = Bloc { name: named(name)?, members: members(value)? };
        turns.extend(bloc.members.iter().flat_map(|member| [member.from, member.until]).flatten());
        if turns.len() > MAX_TURNS {
            let message = format!("members come and go on more than {MAX_TURNS} days, and each is tested");
            return Err(name.error(Code::TooMuch, message, "leave out what is long past"));
        }
        read.push(bloc);
    }
    Ok(read)
}

/// In small letters, so that no list of a policy is ever taken for a code, or for a list of the program's.
fn named(word: &Word<'_>) -> Result<String, LawError> {
    const HELP: &str = "write three small letters or more, digits and hyphens, such as our-countries";
    let text = word.text;
    let is_name = (3..=40).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let shown: String = text.chars().take(80).collect();
    if bloc(&text.to_uppercase()).is_some() {
        let message = format!("{shown:?} is a list of the program's, and a name has one meaning");
        return Err(word.error(Code::TakenId, message, "give yours another name, such as our-countries"));
    }
    if !is_name {
        return Err(word.error(Code::BadValue, format!("{shown:?} is no name for a group of countries"), HELP));
    }
    if is_said_of_a_country(text) {
        return Err(word.error(Code::TakenId, format!("{shown:?} would be read as a country"), HELP));
    }
    Ok(text.to_owned())
}

fn members(value: &Value<'_>) -> Result<Vec<BlocMember>, LawError> {
    const EXAMPLE: &str = "[\"DE\", { code = \"US\", from = 2026-01-26, until = 2027-01-01 }]";
    let mut read = Vec::new();
    for item in value.items(MAX_LISTED, EXAMPLE)? {
        let (word, [from, until]) = match item.as_section("a member of a group") {
            None => (item.word(EXAMPLE)?, [None, None]),
            Some(section) => {
                section.only(&["code", "from", "until"])?;
                let day = |key| section.get(key).map(|value| value.day()).transpose();
                let dates = [day("from")?, day("until")?];
                if let ([Some(from), Some(until)], Some(wrong)) = (dates, section.get("until"))
                    && until <= from
                {
                    let message = format!("until {until} is not after from {from}: it would never be a member");
                    return Err(wrong.error(Code::BadValue, message, "until is the first day on which it is none"));
                }
                (section.need("code", "\"DE\"")?.word("\"DE\"")?, dates)
            }
        };
        if word.text == UNKNOWN_PLACE {
            let message = "\"ZZ\" stands for a place that nobody knows, and that is in no group";
            return Err(word.error(Code::OutOfPlace, message, "name the countries that you mean"));
        }
        let places = match listed(word.text) {
            Some(members) => members,
            None => BTreeSet::from([jurisdiction(word.text).map_err(|error| unknown(&word, &error))?]),
        };
        read.extend(places.into_iter().map(|place| BlocMember { place, from, until }));
    }
    Ok(read)
}
