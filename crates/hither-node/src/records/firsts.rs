//! Between which countries payload has moved before: some laws count a deadline from the first time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hither_types::place::Jurisdiction;

#[cfg(test)]
mod tests;

/// Pairs of countries, and the file that remembers them: one pair a line. It may be lost; then a first time is told twice,
/// and never not at all.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    known: BTreeSet<(Jurisdiction, Jurisdiction)>,
    file: Option<PathBuf>,
}

impl Firsts {
    /// Those of the ledger in a folder. The file lies beside it.
    pub(super) fn beside(ledger: &Path) -> Self {
        let file = ledger.with_file_name("first-transfers");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let pair = |line: &str| {
            let (left, to) = line.split_once(' ')?;
            Some((Jurisdiction::parse(left).ok()?, Jurisdiction::parse(to).ok()?))
        };
        Self { known: text.lines().filter_map(pair).collect(), file: Some(file) }
    }

    /// Whether payload that leaves one country for another does so for the first time.
    pub(super) fn is_first(&self, left: Jurisdiction, to: Jurisdiction) -> bool {
        left != to && !self.known.contains(&(left, to))
    }

    /// It is on the record, and not the first time again.
    pub(super) fn note(&mut self, left: Jurisdiction, to: Jurisdiction) {
        self.known.insert((left, to));
        tracing::warn!(%left, %to, "the first transfer of data from {left} to {to} by this node: some laws count from it");
        if let Some(file) = &self.file {
            let text: String = self.known.iter().map(|(left, to)| format!("{left} {to}\n")).collect();
            if let Err(error) = crate::home::write_private(file, text.as_bytes()) {
                tracing::warn!(%error, path = %file.display(), "the first transfer may be told again: it is not remembered");
            }
        }
    }
}
