//! What a run showed, as a table.

use std::fmt;

use crate::counts::Counts;
use crate::figures::Figures;
use crate::scenario::counter_texts;
use crate::trace::clock;

/// Violations that a report prints in full.
const PRINTED: usize = 3;

/// Something that must not happen, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant: `I1` to `I10`, `P2`, or `driver`.
    pub invariant: &'static str,
    /// When, in microseconds of virtual time.
    pub at: u64,
    /// Where.
    pub node: String,
    /// What.
    pub what: String,
    /// The last lines of the trace before it.
    pub trace: Vec<String>,
}

/// What a run showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// Virtual time of the end, in microseconds.
    pub end: u64,
    /// Events given to minds.
    pub events: u64,
    /// Lines of the trace.
    pub lines: u64,
    /// The same for the same scenario, seed and program.
    pub hash: u64,
    /// What must not happen, and did; the first of them in full.
    pub violations: Vec<Violation>,
    /// All that happened against the rules, also those not kept.
    pub violation_count: u64,
    /// Bounds of the scenario that the run did not keep.
    pub unmet: Vec<String>,
    /// What was measured.
    pub figures: Figures,
    pub(crate) counts: Counts,
}

impl Report {
    /// Whether nothing was violated and every bound of the scenario was kept.
    pub fn passed(&self) -> bool {
        self.violation_count == 0 && self.unmet.is_empty()
    }

    /// A counter by the name that scenarios use; 0 if nothing was counted.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.of(name)
    }

    /// All counters that are not 0.
    pub fn counters(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        writeln!(f, "{}, seed {}, {} nodes: {verdict}", self.scenario, self.seed, self.nodes)?;
        writeln!(f, "{}", self.about)?;
        writeln!(f)?;
        writeln!(f, "  {:<24} {:>12}", "virtual time", format!("{} s", self.end / 1_000_000))?;
        writeln!(f, "  {:<24} {:>12}", "events", self.events)?;
        writeln!(f, "  {:<24} {:>12}", "violations", self.violation_count)?;
        for (name, text) in counter_texts().iter().filter(|(name, _)| self.count(name) > 0) {
            writeln!(f, "  {name:<24} {:>12}  {text}", self.count(name))?;
        }
        for (name, count) in self.counters().filter(|(name, _)| name.starts_with("fault_")) {
            writeln!(f, "  {name:<24} {count:>12}")?;
        }
        for unmet in &self.unmet {
            writeln!(f, "\nbound not kept: {unmet}")?;
        }
        for violation in self.violations.iter().take(PRINTED) {
            let Violation { invariant, at, node, what, trace } = violation;
            writeln!(f, "\n{invariant} violated at {} s by {node}: {what}", clock(*at).trim())?;
            writeln!(f, "  scenario {}, seed {}; the last {} lines:", self.scenario, self.seed, trace.len())?;
            trace.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        write!(f, "\ntrace {:016x}, {} lines", self.hash, self.lines)
    }
}
