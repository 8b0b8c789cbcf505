//! What happened, as a hash of everything and, when asked for, the last lines in full.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::hash::Fold;

/// How many lines a violation shows.
const KEPT_LINES: usize = 30;

/// The record of a run. Two runs are the same run if and only if their hashes are equal. Lines do not count in: a run
/// without them has the same hash as one with them.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Fold,
    lines: VecDeque<String>,
    count: u64,
    /// From then on lines are kept.
    lines_from: u64,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { hash: Fold::default(), lines: VecDeque::new(), count: 0, lines_from: u64::MAX }
    }

    /// Keeps lines from a time on.
    pub(crate) fn keep_from(&mut self, at: u64) {
        self.lines_from = at;
    }

    /// Whether lines are kept now.
    pub(crate) fn keeps(&self, at: u64) -> bool {
        at >= self.lines_from
    }

    /// Counts something in.
    pub(crate) fn fold(&mut self, at: u64, node: usize, what: &impl Hash) {
        self.count += 1;
        self.hash.write_u64(at);
        self.hash.write_u64(node as u64);
        what.hash(&mut self.hash);
    }

    /// Keeps a line for people.
    pub(crate) fn line(&mut self, at: u64, name: &str, text: &str) {
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{} {name}: {text}", clock(at)));
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The last lines, oldest first, without what is the same in all of them.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.lines.iter().map(|line| brief(line)).collect()
    }
}

/// Virtual time for people: seconds with microseconds.
pub(crate) fn clock(at: u64) -> String {
    format!("{:>4}.{:06}", at / 1_000_000, at % 1_000_000)
}

/// A line without the insides of envelopes and subjects.
fn brief(line: &str) -> String {
    let mut text = line.to_owned();
    for word in ["Envelope {", "app: \"", "cost: Cost {"] {
        let Some(start) = text.find(word) else { continue };
        let mut depth = i32::from(word.starts_with("app"));
        let end = text[start..].char_indices().find_map(|(index, letter)| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            (letter == '}' && depth == 0).then_some(start + index)
        });
        if let Some(end) = end {
            text.replace_range(start..=end, if word.starts_with("app") { "..}" } else { ".." });
        }
    }
    text
}
