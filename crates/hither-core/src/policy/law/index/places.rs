//! Places that rules tell apart, found by the two letters of their country.

use std::collections::BTreeSet;

use hither_types::place::Jurisdiction;

use crate::policy::cells::rest_of;

/// Pairs of letters.
const COUNTRIES: usize = 26 * 26;

/// For each place, its row. Parts of a country that no rule names are alike, and so are countries that no rule names,
/// with all their parts.
#[derive(Debug)]
pub(super) struct Places {
    countries: Box<[u32; COUNTRIES]>,
    /// Parts that rules name, sorted.
    parts: Vec<(Jurisdiction, u32)>,
    /// For countries with such parts, all other parts; sorted.
    rests: Vec<(Jurisdiction, u32)>,
}

impl Places {
    /// Numbers the places that rules name, and returns one place for each row.
    pub(super) fn new(named: impl Iterator<Item = Jurisdiction>) -> (Self, Vec<Jurisdiction>) {
        let named: BTreeSet<Jurisdiction> = named.collect();
        let countries: BTreeSet<Jurisdiction> = named.iter().map(|place| place.country()).collect();
        let mut kinds = Vec::new();
        let mut row = |place: Jurisdiction| {
            kinds.push(place);
            (kinds.len() - 1) as u32
        };
        // Any that is not named stands for all such; if all are, nothing is looked up there.
        let letters = || b'A'..=b'Z';
        let codes = letters().flat_map(|first| letters().map(move |second| [first, second]));
        let parse = |code: [u8; 2]| std::str::from_utf8(&code).ok().and_then(|code| Jurisdiction::parse(code).ok());
        let elsewhere = codes.filter_map(parse).find(|code| !countries.contains(code) && !code.is_unknown());
        let mut places = Self {
            countries: Box::new([row(elsewhere.unwrap_or(Jurisdiction::UNKNOWN)); COUNTRIES]),
            parts: Vec::new(),
            rests: Vec::new(),
        };
        places.countries[Jurisdiction::UNKNOWN.country_number()] = row(Jurisdiction::UNKNOWN);
        for country in countries.iter().filter(|country| !country.is_unknown()) {
            places.countries[country.country_number()] = row(*country);
        }
        for part in named.iter().filter(|place| !place.is_country()) {
            places.parts.push((*part, row(*part)));
            let rest =
                rest_of(part.country()).filter(|_| places.rests.last().is_none_or(|(of, _)| *of != part.country()));
            places.rests.extend(rest.map(|rest| (part.country(), row(rest))));
        }
        (places, kinds)
    }

    /// The row of a place.
    #[inline]
    pub(super) fn row(&self, place: Jurisdiction) -> usize {
        let country = self.countries[place.country_number()];
        if place.is_country() || self.parts.is_empty() { country as usize } else { self.row_of_part(place, country) }
    }

    fn row_of_part(&self, place: Jurisdiction, country: u32) -> usize {
        let find = |list: &[(Jurisdiction, u32)], place: Jurisdiction| {
            list.binary_search_by_key(&place, |(known, _)| *known).ok().map(|at| list[at].1)
        };
        let part = find(&self.parts, place).or_else(|| find(&self.rests, place.country()));
        part.unwrap_or(country) as usize
    }
}
