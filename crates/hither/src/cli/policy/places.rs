//! Sets of places in few words: blocs by their names, parts folded into their country.

use std::collections::BTreeSet;

use hither_law::blocs::BLOCS;
use hither_node::law::is_rest;
use hither_types::place::Jurisdiction;

/// What is said instead of naming nearly all places.
const ALMOST_ALL: usize = 12;

/// A bloc is named although so many of its members are not meant.
const FEW_MISSING: usize = 3;

/// The places of a set, in few words; never none.
pub(super) fn few(set: &BTreeSet<Jurisdiction>, world: &BTreeSet<Jurisdiction>) -> Vec<String> {
    let without: BTreeSet<Jurisdiction> = world.difference(set).copied().collect();
    if without.is_empty() {
        return vec!["anywhere".to_owned()];
    }
    if without.len() < set.len() {
        let names = folded(&without, world);
        if names.len() <= ALMOST_ALL {
            return vec![format!("anywhere but {}", names.join(", "))];
        }
    }
    folded(set, world)
}

/// Blocs and countries that lie in the set whole, then what is left of others.
fn folded(set: &BTreeSet<Jurisdiction>, world: &BTreeSet<Jurisdiction>) -> Vec<String> {
    let whole =
        |country: Jurisdiction| world.iter().filter(|place| place.country() == country).all(|p| set.contains(p));
    let mut left = set.clone();
    let mut names = Vec::new();
    // The widest first, so that the EEA is not told as the EU and three more.
    let mut blocs: Vec<(&str, BTreeSet<Jurisdiction>)> = BLOCS
        .iter()
        .map(|bloc| (bloc.name, bloc.members().filter_map(|code| Jurisdiction::parse(code).ok()).collect()))
        .collect();
    blocs.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    for (name, members) in blocs {
        let adds = members.iter().any(|member| left.contains(member));
        let missing: Vec<Jurisdiction> = members.iter().copied().filter(|member| !whole(*member)).collect();
        if adds && missing.len() <= FEW_MISSING && missing.len() * 4 < members.len() {
            let but: Vec<String> = missing.iter().map(ToString::to_string).collect();
            names.push(if but.is_empty() { name.to_owned() } else { format!("{name} but {}", but.join(" and ")) });
            left.retain(|place| !members.contains(&place.country()) || missing.contains(&place.country()));
        }
    }
    let countries: BTreeSet<Jurisdiction> = left.iter().map(|place| place.country()).collect();
    for country in countries {
        let parts: Vec<Jurisdiction> = world.iter().copied().filter(|place| place.country() == country).collect();
        let (there, missing): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| left.contains(part));
        // The country itself stands for a place of which no part is known.
        match (missing.as_slice(), left.contains(&country), there.iter().any(|part| is_rest(*part))) {
            ([], _, _) => names.push(one(country)),
            (parts, true, true) => {
                let but: Vec<String> = parts.iter().map(ToString::to_string).collect();
                names.push(format!("{country} but {}", but.join(" and ")));
            }
            _ => names.extend(there.into_iter().map(|part| match part == country {
                true => format!("{country} without a part"),
                false => one(part),
            })),
        }
    }
    names
}

/// One place.
pub(super) fn one(place: Jurisdiction) -> String {
    match (is_rest(place), place.to_string().as_str()) {
        (true, _) => format!("another part of {}", place.country()),
        (_, hither_law::UNKNOWN_PLACE) => "an unknown place".to_owned(),
        (_, code) => code.to_owned(),
    }
}

/// Words in lines of a width, at commas.
pub(super) fn wrapped(words: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (at, item) in words.iter().enumerate() {
        let comma = if at + 1 < words.len() { "," } else { "" };
        for (number, word) in item.split(' ').enumerate() {
            let last = number + 1 == item.split(' ').count();
            let word = if last { format!("{word}{comma}") } else { word.to_owned() };
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                    line.push(' ');
                    line.push_str(&word);
                }
                _ => lines.push(word),
            }
        }
    }
    lines
}
