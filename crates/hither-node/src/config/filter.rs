//! The `[endpoint.NAME.filter]` sections of the configuration: what is looked for before something leaves for a server.

use std::fmt;

use hither_api::endpoint::{Filter, OnFinding, OnUnreadable};
use hither_filter::Kinds;
use hither_types::filter::DataKind;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// What the file says. A section without a word looks for everything, and masks it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterSection {
    #[serde(default)]
    kinds: Option<Vec<KindWord>>,
    #[serde(default)]
    action: ActionWord,
    #[serde(default)]
    unreadable: UnreadableWord,
}

#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ActionWord {
    #[default]
    Mask,
    Block,
}

#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UnreadableWord {
    #[default]
    Block,
    Pass,
}

/// A kind, or all numbers that states give to people.
#[derive(Debug, Clone, Copy)]
enum KindWord {
    One(DataKind),
    NationalIds,
}

const NATIONAL_IDS: &str = "national-id";

impl<'de> Deserialize<'de> for KindWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(OfKinds)
    }
}

struct OfKinds;

impl Visitor<'_> for OfKinds {
    type Value = KindWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a kind such as \"email\"")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<KindWord, E> {
        if word == NATIONAL_IDS {
            return Ok(KindWord::NationalIds);
        }
        let wrong = || {
            let words = DataKind::ALL.iter().map(|kind| kind.as_str()).chain([NATIONAL_IDS]);
            let nearest = words.clone().map(|known| (distance(word, known), known)).min();
            let hint = match nearest {
                Some((steps, known)) if steps <= 3 => format!(", did you mean \"{known}\"?"),
                _ => String::new(),
            };
            let all = words.collect::<Vec<_>>().join(", ");
            E::custom(format!("\"{word}\" is no kind that the filter knows{hint}; there are {all}"))
        };
        DataKind::parse(word).map(KindWord::One).ok_or_else(wrong)
    }
}

/// How many letters have to be put in, left out or changed to make one word the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, of_a) in a.chars().take(32).enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, of_b) in b.iter().enumerate() {
            let changed = before + usize::from(of_a != *of_b);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// What it means.
pub(crate) fn filter(section: FilterSection) -> Filter {
    let kinds = match section.kinds {
        None => Kinds::all(),
        Some(words) => DataKind::ALL
            .iter()
            .copied()
            .filter(|kind| {
                words.iter().any(|word| match word {
                    KindWord::One(one) => one == kind,
                    KindWord::NationalIds => kind.is_national_id(),
                })
            })
            .collect(),
    };
    Filter {
        kinds,
        on_finding: match section.action {
            ActionWord::Mask => OnFinding::Mask,
            ActionWord::Block => OnFinding::Block,
        },
        on_unreadable: match section.unreadable {
            // Whoever looks for nothing reads nothing.
            _ if kinds.is_empty() => OnUnreadable::Pass,
            UnreadableWord::Block => OnUnreadable::Block,
            UnreadableWord::Pass => OnUnreadable::Pass,
        },
    }
}
