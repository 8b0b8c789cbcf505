//! The law as the program sees it: read, tested, proved, compared, ready to be put in force.

pub use hither_core::policy::cells::{Cell, Part, Ruling, TooMany, is_rest, places};
pub use hither_core::policy::changes::{Change, Changes, changes};
pub use hither_core::policy::outside::{Outsider, Shown, judge_outside};
pub use hither_core::policy::proof::{Against, Proof, prove};
pub use hither_core::policy::reach::{Reach, reach_from, reach_of};
pub use hither_core::policy::{FailedTest, failing_tests};
pub use hither_law::{LawError, parse};

use std::collections::BTreeSet;
use std::fmt;

use hither_types::law::Policy;
use hither_types::time::Day;

#[cfg(test)]
mod tests;

/// Today, by the clock of this machine.
pub fn today() -> Day {
    crate::trust::wall_now().day()
}

/// A test that does not hold, and the day of the lists by which it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The test, and what the law says instead.
    pub test: FailedTest,
    /// A day other than the one on which the policy was read.
    pub on: Option<Day>,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.on {
            Some(day) => write!(f, "as of {day}, {}", self.test),
            None => self.test.fmt(f),
        }
    }
}

/// Runs the tests of a policy by its lists of the day on which it was read, of each later day on which they change, and of
/// the days that tests name. Each test that fails is told once, with the first such day.
///
/// A policy that passes is not refused later because a member of a list comes or goes: that was tested before.
pub fn failing_on_all_days(text: &str, policy: &Policy) -> Vec<Failing> {
    let mut failing: Vec<Failing> = failing_tests(policy).into_iter().map(|test| Failing { test, on: None }).collect();
    let later = policy.turns().into_iter().filter(|turn| *turn > policy.day);
    let mut days: BTreeSet<Day> = policy.tests.iter().filter_map(|test| test.on).chain(later).collect();
    days.remove(&policy.day);
    for day in days {
        // The same text is read as it was: only who is in its lists differs.
        let Ok(then) = parse(text, day) else { continue };
        for test in failing_tests(&then) {
            if failing.iter().all(|known| known.test.index != test.index) {
                failing.push(Failing { test, on: Some(day) });
            }
        }
    }
    failing.sort_by_key(|one| one.test.index);
    failing
}
