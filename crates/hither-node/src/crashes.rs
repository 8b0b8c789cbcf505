//! The crashes of workers, for as long as an operator should hear of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use hither_types::id::Digest;
use hither_types::refusal::Crash;

use crate::limits::{CRASH_TOLD, CRASHES_MAX};

/// The last crashes of each model. One model has a bounded number, and there are no more models than in the catalog.
#[derive(Debug, Default)]
pub(crate) struct Crashes {
    models: BTreeMap<Digest, Model>,
}

#[derive(Debug, Default)]
struct Model {
    name: String,
    crashes: VecDeque<(Instant, Crash)>,
}

impl Crashes {
    /// Notes a crash.
    pub(crate) fn add(&mut self, digest: Digest, name: String, crash: Crash, now: Instant) {
        self.models.retain(|_, model| model.recent(now) > 0);
        let model = self.models.entry(digest).or_default();
        model.name = name;
        if model.crashes.len() >= CRASHES_MAX {
            model.crashes.pop_front();
        }
        model.crashes.push_back((now, crash));
    }

    /// What an operator should know: each model that crashed lately, how often, and how it ended the last time.
    pub(crate) fn warnings(&self, now: Instant) -> impl Iterator<Item = String> {
        let recent = self.models.iter().filter(move |(_, model)| model.recent(now) > 0);
        recent.filter_map(move |(digest, model)| {
            let (_, crash) = model.crashes.back()?;
            let times = match model.recent(now) {
                1 => "once".to_owned(),
                CRASHES_MAX => format!("{CRASHES_MAX} times or more"),
                several => format!("{several} times"),
            };
            Some(format!(
                "model {} (b3:{}) crashed {times} within ten minutes; its worker {crash}. Its requests went on elsewhere or \
                 were tried again here",
                model.name,
                digest.short()
            ))
        })
    }
}

impl Model {
    fn recent(&self, now: Instant) -> usize {
        self.crashes.iter().filter(|(at, _)| now.saturating_duration_since(*at) < CRASH_TOLD).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_told_with_its_model_and_signal_until_it_is_old() {
        let (mut crashes, start) = (Crashes::default(), Instant::now());
        let told = |crashes: &Crashes, at| crashes.warnings(at).collect::<Vec<_>>();
        assert!(told(&crashes, start).is_empty());
        crashes.add(Digest([1; 32]), "fraud".into(), Crash::Signal(11), start);
        let [first] = told(&crashes, start).try_into().unwrap();
        assert!(first.starts_with("model fraud (b3:0101010101) crashed once within"), "{first}");
        assert!(first.contains("its worker was killed by SIGSEGV"), "{first}");
        for _ in 0..2 * CRASHES_MAX {
            crashes.add(Digest([1; 32]), "fraud".into(), Crash::Hung, start + CRASH_TOLD / 2);
        }
        let [many] = told(&crashes, start + CRASH_TOLD).try_into().unwrap();
        assert!(many.contains("times or more") && many.contains("said nothing for too long"), "{many}");
        assert!(told(&crashes, start + CRASH_TOLD * 2).is_empty());
    }
}
