//! The driver that lives in a seed: many minds, one clock, a network that delays, drops and splits, and an observer
//! that sees every action of every node.
//!
//! A failure is a scenario and a seed: the same two give the same run, to the last line of its trace. Nothing here
//! reads a real clock. The minds are those of the product; around them stands a driver in miniature.

use std::path::Path;

#[cfg_attr(not(test), expect(dead_code, reason = "reports do not call it yet"))]
mod bound;
mod chance;
#[cfg_attr(not(test), expect(dead_code, reason = "reports do not call it yet"))]
mod charts;
mod codec;
mod counts;
#[cfg(test)]
mod draws;
#[cfg_attr(not(test), expect(dead_code, reason = "reports do not call it yet"))]
mod html;
#[cfg_attr(not(test), expect(dead_code, reason = "reports do not call it yet"))]
mod latency;
#[expect(dead_code, reason = "a stand-in")]
mod mesh;
mod network;
mod node;
mod observer;
#[cfg_attr(not(test), expect(dead_code, reason = "reports do not call it yet"))]
mod plot;
mod queue;
pub mod report;
#[expect(dead_code, reason = "reports do not call it yet")]
mod rivals;
pub mod scenario;
mod streams;
mod trace;
mod world;

#[cfg(test)]
mod tests;

pub use report::{Report, Violation};
pub use scenario::{Scenario, SimError};

/// Runs a scenario from a seed. With `nodes`, the nodes of the scenario are repeated up to so many; what cannot be is
/// an error of [`Scenario::with_nodes`].
pub fn run(scenario: &Scenario, seed: u64, nodes: Option<u32>) -> Result<Report, SimError> {
    let scenario = scenario.with_nodes(nodes)?;
    let mut world = world::World::new(&scenario, seed);
    world.run();
    let counts = world.observer.counts.clone();
    let low = scenario.sometimes.iter().filter(|(name, bound)| counts.of(name) < *bound);
    let low = low.map(|(name, bound)| format!("{name} is {}, and must reach {bound}", counts.of(name)));
    let high = scenario.at_most.iter().filter(|(name, bound)| counts.of(name) > *bound);
    let high = high.map(|(name, bound)| format!("{name} is {}, and must not pass {bound}", counts.of(name)));
    let unmet = low.chain(high).collect();
    Ok(Report {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        seed,
        nodes: scenario.nodes.len(),
        end: world.end(),
        events: world.events,
        lines: world.trace.count(),
        hash: world.trace.hash(),
        violation_count: world.observer.breach_count(),
        violations: world.violations,
        unmet,
        counts,
    })
}

/// Runs the scenario of a file.
pub fn run_file(path: &Path, seed: u64, nodes: Option<u32>) -> Result<Report, SimError> {
    run(&Scenario::load(path)?, seed, nodes)
}
