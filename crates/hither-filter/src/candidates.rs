//! What may be something, and of what overlaps the surest.

use std::collections::BTreeMap;

use hither_types::filter::DataKind;

use crate::limits::TEXT_MAX;
use crate::skeleton::Skeleton;
use crate::{numbers, secrets, words};

/// Which kinds are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// None.
    pub const NONE: Self = Self(0);

    /// All of them.
    pub fn all() -> Self {
        DataKind::ALL.iter().copied().collect()
    }

    /// Whether one is among them.
    pub fn has(self, kind: DataKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<DataKind> for Kinds {
    fn from_iter<I: IntoIterator<Item = DataKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind as u32))
    }
}

/// Something that was found: bytes of the text from `start` to before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub kind: DataKind,
    /// Its first byte.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
}

/// How sure a kind is: of two that overlap the surer one stays, then the longer one. Check digits and fixed forms go before
/// what is only a length.
fn rank(kind: DataKind) -> u8 {
    match kind {
        DataKind::Secret => 0,
        DataKind::UrlLogin => 1,
        DataKind::Email => 2,
        DataKind::Iban => 3,
        DataKind::CnId => 4,
        DataKind::FrNir => 5,
        DataKind::Card => 6,
        DataKind::UkNino => 7,
        DataKind::BrCpf => 8,
        DataKind::DeTaxId => 9,
        DataKind::InAadhaar => 10,
        DataKind::IdNik => 11,
        DataKind::VnCccd => 12,
        DataKind::UsSsn => 13,
        DataKind::BirthDate => 14,
        DataKind::Ip => 15,
        DataKind::Phone => 16,
    }
}

/// What is looked for, and what was seen so far, in places of the skeleton.
pub(crate) struct Search<'a> {
    pub(crate) text: &'a Skeleton<'a>,
    pub(crate) kinds: Kinds,
    found: Vec<Span>,
}

impl Search<'_> {
    pub(crate) fn add(&mut self, kind: DataKind, start: usize, end: usize) {
        if self.kinds.has(kind) && start < end {
            self.found.push(Span { kind, start, end });
        }
    }
}

/// What is in a text, in its order, without overlaps.
pub fn find(text: &str, kinds: Kinds) -> Vec<Span> {
    if kinds.is_empty() || text.len() > TEXT_MAX {
        return Vec::new();
    }
    let skeleton = Skeleton::new(text);
    let mut search = Search { text: &skeleton, kinds, found: Vec::new() };
    secrets::look(&mut search);
    words::look(&mut search);
    numbers::look(&mut search);
    let mut found = search.found;
    found.sort_by_key(|span| (rank(span.kind), span.start, usize::MAX - span.end));
    let mut kept: BTreeMap<usize, Span> = BTreeMap::new();
    for span in found {
        let clash = kept.range(..span.end).next_back().is_some_and(|(_, before)| before.end > span.start);
        if !clash {
            kept.insert(span.start, span);
        }
    }
    let in_text = |span: Span| {
        let (start, end) = skeleton.range(span.start, span.end);
        Span { start, end, ..span }
    };
    kept.into_values().map(in_text).collect()
}
