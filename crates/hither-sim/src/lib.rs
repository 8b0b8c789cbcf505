//! The driver that lives in a seed: many minds, one clock, a network that delays, drops and splits, and an observer
//! that sees every action of every node.
//!
//! A failure is a scenario and a seed: the same two give the same run, to the last line of its trace. Nothing here
//! reads a real clock. The minds are those of the product; around them stands a driver in miniature.

mod bound;
mod chance;
mod codec;
pub mod compare;
mod counts;
mod crowd;
#[cfg(test)]
mod draws;
pub mod figures;
mod hash;
mod html;
mod latency;
pub mod lawstorm;
mod measure;
mod mesh;
mod network;
mod node;
mod observer;
pub mod page;
mod placing;
mod plot;
mod quantile;
mod queue;
pub mod report;
mod rivals;
pub mod scenario;
mod streams;
pub mod study;
mod torrent;
mod trace;
mod world;

#[cfg(test)]
mod tests;

pub use figures::{Figures, Second, Slice};
pub use report::{Report, Violation};
pub use scenario::{Scenario, SimError};

/// Lines of the trace are kept from so long before the first violation, in microseconds.
const BEFORE: u64 = 5_000_000;

/// Runs a scenario from a seed. With `nodes`, the nodes of the scenario are repeated up to so many; what cannot be is
/// an error of [`Scenario::with_nodes`].
pub fn run(scenario: &Scenario, seed: u64, nodes: Option<u32>) -> Result<Report, SimError> {
    let scenario = scenario.with_nodes(nodes)?.laid_out(seed);
    let mut world = world::World::new(&scenario, seed);
    world.run();
    let counts = world.observer.counts.clone();
    let low = scenario.sometimes.iter().filter(|(name, bound)| counts.of(name) < *bound);
    let low = low.map(|(name, bound)| format!("{name} is {}, and must reach {bound}", counts.of(name)));
    let high = scenario.at_most.iter().filter(|(name, bound)| counts.of(name) > *bound);
    let high = high.map(|(name, bound)| format!("{name} is {}, and must not pass {bound}", counts.of(name)));
    let unmet = low.chain(high).collect();
    let mut report = Report {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        seed,
        nodes: scenario.nodes.len(),
        end: world.end(),
        events: world.events,
        lines: world.trace.count(),
        hash: world.trace.hash(),
        violation_count: world.observer.breach_count(),
        violations: std::mem::take(&mut world.violations),
        unmet,
        figures: world.figures(),
        counts,
    };
    drop(world);
    explain(&scenario, &mut report);
    Ok(report)
}

/// Adds the lines of the trace to violations, by running the same again: whoever has none need not pay for text.
fn explain(scenario: &Scenario, report: &mut Report) {
    let Some(first) = report.violations.first() else { return };
    let mut again = world::World::new(scenario, report.seed);
    again.trace.keep_from(first.at.saturating_sub(BEFORE));
    again.run_until(report.violations.len() as u64);
    for (violation, explained) in report.violations.iter_mut().zip(again.violations) {
        violation.trace = explained.trace;
    }
}
