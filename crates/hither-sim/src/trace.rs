//! What happened, as a hash of everything and the last lines in full.

use std::collections::VecDeque;

/// How many lines a violation shows.
const KEPT_LINES: usize = 30;

/// The record of a run. Two runs are the same run if and only if their hashes are equal.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    count: u64,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: VecDeque::with_capacity(KEPT_LINES), count: 0 }
    }

    /// Counts a line in without keeping its text: for what comes often and says little.
    pub(crate) fn absorb(&mut self, at: u64, node: usize, words: &[u64]) {
        self.count += 1;
        self.word(at);
        self.word(node as u64);
        words.iter().for_each(|word| self.word(*word));
    }

    /// Counts a line in and keeps it.
    pub(crate) fn line(&mut self, at: u64, node: usize, name: &str, text: &str) {
        self.absorb(at, node, &[]);
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{} {name}: {text}", clock(at)));
    }

    /// Counts a line in that is too frequent to be kept for people.
    pub(crate) fn quiet(&mut self, at: u64, node: usize, text: &str) {
        self.absorb(at, node, &[]);
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        crate::chance::mix(self.hash)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The last lines, oldest first, without what is the same in all of them.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.lines.iter().map(|line| brief(line)).collect()
    }

    fn word(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
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
