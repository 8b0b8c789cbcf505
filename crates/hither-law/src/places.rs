//! From what people write to jurisdictions: codes that exist, blocs, and what was meant if neither.

use hither_types::place::{Jurisdiction, Region};

use crate::blocs::{BLOCS, bloc};
use crate::countries::COUNTRIES;
use crate::lists::Lists;
use crate::suggest::similar;

/// The code for a place that nobody knows. It lies in no bloc.
pub const UNKNOWN_PLACE: &str = "ZZ";

/// Codes that people use and that ISO 3166-1 does not.
const OTHER_CODES: [(&str, &str); 10] = [
    ("UK", "GB"),
    ("EL", "GR"),
    ("USA", "US"),
    ("UAE", "AE"),
    ("GER", "DE"),
    ("DEU", "DE"),
    ("FRA", "FR"),
    ("IDN", "ID"),
    ("CHN", "CN"),
    ("GBR", "GB"),
];

/// Territories that ISO 3166-2 lists under a country, and that have a code of their own. Here a place has one code, so
/// that no rule misses it: `US-PR` is written `PR`.
const OWN_CODES: [(&str, &[&str]); 4] = [
    ("CN", &["HK", "MO", "TW"]),
    ("FR", &["BL", "GF", "GP", "MF", "MQ", "NC", "PF", "PM", "RE", "TF", "WF", "YT"]),
    ("NL", &["AW", "BQ", "CW", "SX"]),
    ("US", &["AS", "GU", "MP", "PR", "UM", "VI"]),
];

/// The same, where the subdivision is a number.
const NUMBERED: [(&str, &str); 11] = [
    ("FI-01", "AX"),
    ("FR-971", "GP"),
    ("FR-972", "MQ"),
    ("FR-973", "GF"),
    ("FR-974", "RE"),
    ("FR-976", "YT"),
    ("NL-BQ1", "BQ"),
    ("NL-BQ2", "BQ"),
    ("NL-BQ3", "BQ"),
    ("NO-21", "SJ"),
    ("NO-22", "SJ"),
];

/// Why a text is not a jurisdiction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct UnknownJurisdiction {
    /// The text, cut to 80 characters.
    pub found: String,
    /// What was probably meant.
    pub meant: Option<String>,
}

impl UnknownJurisdiction {
    fn new(found: &str, meant: Option<String>) -> Self {
        Self { found: found.chars().take(80).collect(), meant }
    }

    fn sentence(&self) -> String {
        format!("{:?} is not a jurisdiction: {}", self.found, self.help())
    }

    /// What to write instead.
    pub fn help(&self) -> String {
        match &self.meant {
            Some(code) => format!("did you mean {code:?} ({})?", meaning(code)),
            None => "write an ISO 3166 code such as \"DE\" (Germany) or \"DE-BY\" (Bavaria)".to_owned(),
        }
    }
}

/// The English name of a country, also for its subdivisions.
pub fn country_name(jurisdiction: Jurisdiction) -> Option<&'static str> {
    let code = jurisdiction.country().to_string();
    if code == UNKNOWN_PLACE {
        return Some("an unknown place");
    }
    COUNTRIES.binary_search_by_key(&code.as_str(), |(code, _)| code).ok().map(|at| COUNTRIES[at].1)
}

/// All countries and territories of ISO 3166-1, in the order of their codes.
pub fn countries() -> Vec<Jurisdiction> {
    COUNTRIES.iter().filter_map(|(code, _)| Jurisdiction::parse(code).ok()).collect()
}

/// Reads the code of one country or of one of its subdivisions. Of a subdivision the form and the country are checked.
pub fn jurisdiction(text: &str) -> Result<Jurisdiction, UnknownJurisdiction> {
    let unknown = || UnknownJurisdiction::new(text, meant(text));
    let found = Jurisdiction::parse(text).map_err(|_| unknown())?;
    let subdivided = found != found.country();
    let unknown_place = found.country().to_string() == UNKNOWN_PLACE;
    if country_name(found).is_none() || own_code(text).is_some() || (subdivided && unknown_place) {
        return Err(unknown());
    }
    Ok(found)
}

/// Reads a list of codes and blocs. Which of them is wrong is told by its place in the list.
pub(crate) fn region<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    lists: &Lists<'_>,
) -> Result<Region, (usize, UnknownJurisdiction)> {
    let mut region = Region::default();
    for (at, text) in texts.into_iter().enumerate() {
        region.written.push(text.to_owned());
        match lists.members(text) {
            Some(members) => region.members.extend(members),
            None => region.members.push(jurisdiction(text).map_err(|unknown| {
                let own = || similar(text, lists.names()).map(str::to_owned);
                let meant = unknown.meant.clone().or_else(|| similar_bloc(text)).or_else(own);
                (at, UnknownJurisdiction { meant, ..unknown })
            })?),
        }
    }
    region.members.sort();
    region.members.dedup();
    Ok(region)
}

fn similar_bloc(text: &str) -> Option<String> {
    similar(&text.to_uppercase(), BLOCS.iter().map(|bloc| bloc.name)).map(str::to_owned)
}

fn own_code(text: &str) -> Option<&'static str> {
    if let Some((_, own)) = NUMBERED.iter().find(|(code, _)| *code == text) {
        return Some(own);
    }
    let (country, part) = text.split_once('-')?;
    let (_, parts) = OWN_CODES.iter().find(|(code, _)| *code == country)?;
    parts.iter().find(|own| **own == part).copied()
}

/// Whether a text is the name of a country, or a code that people use for one.
pub(crate) fn is_said_of_a_country(text: &str) -> bool {
    let upper = text.to_uppercase();
    let by_name = COUNTRIES.iter().any(|(_, name)| name.to_uppercase() == upper);
    by_name || OTHER_CODES.iter().any(|(code, _)| *code == upper)
}

/// The code that was probably meant: in capitals, by another code that people use, or by the country's name.
fn meant(text: &str) -> Option<String> {
    let upper = text.trim().to_uppercase();
    if let Some(own) = own_code(&upper) {
        return Some(own.to_owned());
    }
    let (country, part) = upper.split_once('-').map_or((upper.as_str(), None), |(country, part)| (country, Some(part)));
    let country = OTHER_CODES.iter().find(|(other, _)| *other == country).map_or(country, |(_, code)| code);
    let code = part.map_or_else(|| country.to_owned(), |part| format!("{country}-{part}"));
    if code != text && (bloc(&code).is_some() || Jurisdiction::parse(&code).is_ok_and(|c| country_name(c).is_some())) {
        return Some(code);
    }
    named(&upper).map(str::to_owned)
}

/// The code of the country whose name this is, or almost is.
fn named(upper: &str) -> Option<&'static str> {
    let names: Vec<String> = COUNTRIES.iter().map(|(_, name)| name.to_uppercase()).collect();
    let almost = || similar(upper, names.iter().map(String::as_str)).filter(|_| upper.len() > 4);
    let name = names.iter().map(String::as_str).find(|name| *name == upper).or_else(almost)?;
    names.iter().position(|known| known == name).map(|at| COUNTRIES[at].0)
}

fn meaning(code: &str) -> &'static str {
    match bloc(code) {
        Some(bloc) => bloc.meaning,
        None if code.starts_with(|first: char| first.is_ascii_lowercase()) => "a group that this policy lists",
        None => Jurisdiction::parse(code).ok().and_then(country_name).unwrap_or("a place"),
    }
}
