//! Moves of members that are warned of, kept over a start of the node: else whoever has a key would be rid of the warning, and of
//! what it rests on, by waiting for that.
//!
//! They cannot be made anew from what others report: those who found a key far say so for an hour after it fell silent, and the
//! warning holds for a day. The ledger knows them, and would have to be read from its beginning.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use hither_types::id::NodeId;
use hither_types::near::{Move, Warned};
use hither_types::time::WallTime;
use hither_types::unit::Micros;

use crate::home::write_private;
use crate::limits::MOVES_KEPT_MS;

#[cfg(test)]
mod tests;

/// The file of moves.
#[derive(Debug)]
pub(crate) struct Moves {
    path: PathBuf,
    kept: BTreeMap<NodeId, Move>,
}

impl Moves {
    /// Reads the file. What cannot be read counts as no move; the text that comes back says so.
    pub(crate) fn open(path: PathBuf) -> (Self, Option<String>) {
        let read = match std::fs::read_to_string(&path) {
            Ok(text) => read(&text).ok_or("it is not what this program writes".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.to_string()),
        };
        let trouble = read.as_ref().err().map(|why| {
            let path = path.display();
            format!(
                "{path} cannot be read: {why}. Which keys were used elsewhere in the day before is not known here: hither audit \
                 report --table members"
            )
        });
        (Self { path, kept: read.unwrap_or_default() }, trouble)
    }

    /// What was known before this start.
    pub(crate) fn kept(&self) -> BTreeMap<NodeId, Move> {
        self.kept.clone()
    }

    /// Writes what is new.
    pub(crate) fn keep(&mut self, moves: &BTreeMap<NodeId, Move>) {
        let is_like = |one: &BTreeMap<NodeId, Move>| {
            one.len() == moves.len()
                && one.iter().zip(moves).all(|((a, one), (b, other))| a == b && is_alike(one, other))
        };
        if is_like(&self.kept) {
            return;
        }
        self.kept.clone_from(moves);
        if let Err(error) = write_private(&self.path, write(moves).as_bytes()) {
            tracing::warn!(%error, path = %self.path.display(), "which keys moved is not remembered over a restart");
        }
    }
}

/// Whether the file may go on saying the one in place of the other: anchors say each few seconds that it is still so.
fn is_alike(one: &Move, other: &Move) -> bool {
    let last = |of: &Move| of.warned.map_or(0, |warned| warned.last.0);
    let without = |of: &Move| (of.noted, of.at, of.warned.map(|warned| (warned.rtt, warned.before)));
    without(one) == without(other) && last(one).abs_diff(last(other)) < MOVES_KEPT_MS
}

/// One a line.
fn write(moves: &BTreeMap<NodeId, Move>) -> String {
    let mut text = String::new();
    for (node, Move { noted, at, warned }) in moves {
        // Writing to a string does not fail.
        let _ = write!(text, "{node} {} {}", noted.0, at.0);
        if let Some(Warned { last, rtt, before }) = warned {
            let _ = write!(text, " {} {} {}", last.0, rtt.0, before.0);
        }
        text.push('\n');
    }
    text
}

fn read(text: &str) -> Option<BTreeMap<NodeId, Move>> {
    let number = |word: &str| word.parse::<u64>().ok();
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (node, noted, at, warned) = match words[..] {
            [node, noted, at] => (node, noted, at, None),
            [node, noted, at, last, rtt, before] => {
                let (last, rtt, before) = (WallTime(number(last)?), Micros(number(rtt)?), Micros(number(before)?));
                (node, noted, at, Some(Warned { last, rtt, before }))
            }
            _ => return None,
        };
        let (noted, at) = (WallTime(number(noted)?), WallTime(number(at)?));
        Some((NodeId::parse(node).ok()?, Move { noted, at, warned }))
    };
    text.lines().map(line).collect()
}
