//! Groups of digits: what they are is told by how many there are, how they are set, what they begin with and what checks.

use hither_types::filter::DataKind;

use crate::candidates::Search;
use crate::checks::{luhn, value};
use crate::limits::{DIGITS_MAX, GROUPS_MAX};
use crate::skeleton::{Skeleton, is_word};
use crate::{dates, national, phones};

/// Digits that follow one another in groups.
pub(crate) struct Number<'a> {
    pub(crate) text: &'a Skeleton<'a>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) digits: &'a [u8],
    /// How many digits each group has.
    pub(crate) groups: &'a [usize],
    /// What stands before each group but the first.
    pub(crate) gaps: &'a [&'a [u8]],
}

impl Number<'_> {
    /// Whether it is set like this, with a single one of these bytes between its groups; a number without gaps is not.
    pub(crate) fn is_set(&self, groups: &[usize], gaps: &[u8]) -> bool {
        self.groups == groups && self.has_gaps(gaps)
    }

    /// Whether between its groups, if there are some, stands the same one of these bytes.
    pub(crate) fn has_gaps(&self, gaps: &[u8]) -> bool {
        self.gaps.iter().all(|gap| gap.len() == 1 && gaps.contains(&gap[0]) && *gap == self.gaps[0])
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.groups.len() == 1
    }

    /// Whether more digits hang on it.
    pub(crate) fn is_torn(&self) -> bool {
        let joint = |byte: u8, beyond: u8| b"-./:,".contains(&byte) && (beyond.is_ascii_digit() || is_word(beyond));
        let before = self.text.before(self.start);
        let beyond = self.start.checked_sub(2).map_or(b' ', |at| self.text.at(at));
        joint(before, beyond) || joint(self.text.at(self.end), self.text.at(self.end + 1))
    }

    /// Whether a word that begins with one of these stands before it.
    pub(crate) fn is_called(&self, words: &[&str]) -> bool {
        let before = self.text.words_before(self.start);
        let begins = |at: usize| {
            let left = &before[..at];
            left.ends_with("\\n") || !left.ends_with(|c: char| c.is_alphabetic() && (c as u32) < 0x0590)
        };
        words.iter().any(|word| before.match_indices(word).any(|(at, _)| begins(at)))
    }
}

pub(crate) fn look(search: &mut Search<'_>) {
    let text = search.text;
    let mut at = 0;
    while at < text.bytes.len() {
        if !text.bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        if !is_word(text.before(at)) {
            from(search, at);
        }
        while text.at(at).is_ascii_digit() {
            at += 1;
        }
    }
}

/// Looks at the number that begins here with one group of digits, with two, and so on.
fn from(search: &mut Search<'_>, start: usize) {
    let text = search.text;
    let mut digits = [0; DIGITS_MAX];
    let mut groups = [0; GROUPS_MAX];
    let mut gaps: [&[u8]; GROUPS_MAX] = [b""; GROUPS_MAX];
    let (mut used, mut end) = (0, start);
    for count in 1..=GROUPS_MAX {
        let length = text.bytes[end..].iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if used + length > DIGITS_MAX {
            return;
        }
        digits[used..used + length].copy_from_slice(&text.bytes[end..end + length]);
        (used, end, groups[count - 1]) = (used + length, end + length, length);
        let number =
            Number { text, start, end, digits: &digits[..used], groups: &groups[..count], gaps: &gaps[..count - 1] };
        if !is_word(text.at(end)) || b"xX".contains(&text.at(end)) {
            judge(search, &number);
        }
        let gap = text.bytes[end..].iter().take(3).take_while(|byte| b" -./()".contains(byte)).count();
        if gap == 0 || count == GROUPS_MAX || !text.at(end + gap).is_ascii_digit() {
            return;
        }
        gaps[count - 1] = &text.bytes[end..end + gap];
        end += gap;
    }
}

fn judge(search: &mut Search<'_>, number: &Number<'_>) {
    let (start, end) = (number.start, number.end);
    if let Some(end) = resident_end(number) {
        search.add(DataKind::CnId, start, end);
    }
    if let Some((start, end)) = phones::phone(number) {
        search.add(DataKind::Phone, start, end);
    }
    if is_word(number.text.at(end)) {
        return;
    }
    if is_card(number) {
        search.add(DataKind::Card, start, end);
    }
    if is_address(number) {
        search.add(DataKind::Ip, start, end);
    }
    if let Some(kind) = national::kind(number) {
        search.add(kind, start, end);
    }
    if let Some((start, end)) = dates::birth(number) {
        search.add(DataKind::BirthDate, start, end);
    }
}

/// A Chinese number may end in an X.
fn resident_end(number: &Number<'_>) -> Option<usize> {
    if !number.is_whole() {
        return None;
    }
    let (body, last, end) = match *number.digits {
        [ref body @ .., last] if number.digits.len() == 18 => (body, last, number.end),
        _ if number.digits.len() == 17 => (number.digits, number.text.at(number.end), number.end + 1),
        _ => return None,
    };
    (national::is_resident(body, last) && !is_word(number.text.at(end))).then_some(end)
}

fn is_card(number: &Number<'_>) -> bool {
    let digits = number.digits;
    let (first2, first3, first4) = match digits.len() {
        12..=19 => (value(&digits[..2]), value(&digits[..3]), value(&digits[..4])),
        _ => return false,
    };
    let lengths = match (first2, first3, first4) {
        (40..=49, ..) => 13..=19,
        (51..=55, ..) | (_, _, 2221..=2720) => 16..=16,
        (34 | 37, ..) | (_, _, 1800 | 2131) => 15..=15,
        (65, ..) | (_, 644..=649, _) | (_, _, 6011) => 16..=19,
        (_, _, 3528..=3589) => 16..=19,
        (36 | 38 | 39, ..) | (_, 300..=305 | 309, _) => 14..=19,
        (62 | 81, ..) => 16..=19,
        (60, ..) => 16..=16,
        (_, _, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763) => 12..=19,
        _ => return false,
    };
    let set = number.is_whole() || number.groups.iter().all(|group| *group >= 3) && number.has_gaps(b" -");
    set && lengths.contains(&digits.len()) && luhn(digits)
}

/// An address of the internet protocol's version 4, unless it is that of the machine itself or of nobody.
fn is_address(number: &Number<'_>) -> bool {
    if number.groups.len() != 4 || !number.has_gaps(b".") || number.is_torn_by_dots() {
        return false;
    }
    let (mut rest, mut first) = (number.digits, None);
    let fits = number.groups.iter().all(|group| {
        let (part, behind) = rest.split_at(*group);
        rest = behind;
        first = first.or(Some(value(part)));
        part.len() <= 3 && value(part) <= 255 && (part.len() == 1 || part[0] != b'0')
    });
    let first = first.unwrap_or(0);
    fits && first != 127 && first != 0
}

impl Number<'_> {
    fn is_torn_by_dots(&self) -> bool {
        let dot_before = self.text.before(self.start) == b'.';
        dot_before || (self.text.at(self.end) == b'.' && self.text.at(self.end + 1).is_ascii_digit())
    }
}
