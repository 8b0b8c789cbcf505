//! Between which countries payload has moved before: some laws count a deadline from the first time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hither_types::place::Jurisdiction;

#[cfg(test)]
mod tests;

/// The file.
pub(crate) const FIRSTS: &str = "first-transfers";

/// Pairs of countries, and the file that remembers those whose record is on the disk: one pair a line. It may be lost; then a
/// first time is told twice.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    known: BTreeSet<(Jurisdiction, Jurisdiction)>,
    /// On their way to the disk.
    begun: BTreeSet<(Jurisdiction, Jurisdiction)>,
    file: Option<PathBuf>,
}

impl Firsts {
    /// Those of the ledger in a folder. The file lies beside it.
    pub(super) fn beside(ledger: &Path) -> Self {
        let file = ledger.with_file_name(FIRSTS);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let pair = |line: &str| {
            let (left, to) = line.split_once(' ')?;
            Some((Jurisdiction::parse(left).ok()?, Jurisdiction::parse(to).ok()?))
        };
        Self { known: text.lines().filter_map(pair).collect(), begun: BTreeSet::new(), file: Some(file) }
    }

    /// Whether payload that leaves one country for another does so for the first time: then it has to be recorded.
    pub(super) fn begin(&mut self, left: Jurisdiction, to: Jurisdiction) -> bool {
        left != to && !self.known.contains(&(left, to)) && self.begun.insert((left, to))
    }

    /// It did not get onto the record: the next time is the first.
    pub(super) fn forget(&mut self, left: Jurisdiction, to: Jurisdiction) {
        self.begun.remove(&(left, to));
    }

    /// It is on the disk, and not the first time again. Nobody waits for the file.
    pub(super) fn keep(firsts: &Mutex<Self>, left: Jurisdiction, to: Jurisdiction) {
        let (file, text) = {
            let mut firsts = firsts.lock().unwrap_or_else(PoisonError::into_inner);
            firsts.begun.remove(&(left, to));
            firsts.known.insert((left, to));
            let text: String = firsts.known.iter().map(|(left, to)| format!("{left} {to}\n")).collect();
            (firsts.file.clone(), text)
        };
        tracing::warn!(%left, %to, "the first transfer of data from {left} to {to} by this node: some laws count from it");
        if let Some(file) = file
            && let Err(error) = crate::home::write_private(&file, text.as_bytes())
        {
            tracing::warn!(%error, path = %file.display(), "the first transfer may be told again: it is not remembered");
        }
    }
}
