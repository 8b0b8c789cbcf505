//! A small mesh on one machine, for comparison with real processes that get the same requests: its arrivals as lines, and
//! what the simulator says of them.

use std::fmt::Write;

use super::LAW;
use crate::figures::Figures;
use crate::mesh::arrivals;
use crate::scenario::Scenario;

/// Nodes of the mesh.
pub const NODES: usize = 24;
/// Requests at once at each node.
pub const SLOTS: u16 = 4;
/// Requests of the first so many seconds are left out.
pub const WARM_UP_S: u64 = 10;
const DURATION_S: u64 = 70;

/// What the simulated mesh is like; the numbers are those of processes on one machine: what a packet takes through two
/// network stacks and two schedulers, and what a durable record takes.
pub const SETUP: &str = "24 nodes of four slots in one country, work lognormal with mean 500 ms, deadline 10 s, load 0.7 of \
all slots, demand of each node lognormal with sigma 1; presence twice a second, as nodes do it. The requests of the first \
ten seconds are left out. The simulator has round trips of 0.3 ms and 12 ms for a durable record.";

/// The scenario.
fn scenario() -> Scenario {
    let text = format!(
        r#"name = "real"
about = "what real processes are compared with"
duration_s = {DURATION_S}
sync_ms = 12

{LAW}

[[model]]
name = "sleep"
kind = "infer"
slots = {SLOTS}
slot_w = 10
load_ms = 100
prefill_ms = 500

[topology]
nodes = {NODES}
per_site = {NODES}
slots = {SLOTS}
site_rtt_us = 300
speeds = [[1000, 100]]
jurisdictions = ["DE"]
demand_sigma = true
gossip_ms = 500

[[load]]
model = "sleep"
rho = 0.7
service_ms = 500
deadline_ms = 10000
from_ms = 1000
measure_from_ms = {warm_up}

[sometimes]
answered = 1
"#,
        warm_up = WARM_UP_S * 1000
    );
    Scenario::parse(&text).expect("the comparison's own scenario is well formed")
}

/// The requests, as `hither bench mesh --trace` reads them: one JSON object a line.
pub fn trace(seed: u64) -> String {
    let scenario = scenario().laid_out(seed);
    let mut text = String::new();
    for arrival in arrivals(&scenario, seed) {
        let crate::mesh::Arrival { at, node, work, deadline, .. } = arrival;
        let _ = writeln!(text, r#"{{"at_us": {at}, "node": {node}, "work_us": {work}, "deadline_us": {deadline}}}"#);
    }
    text
}

/// What the simulator says of them.
pub fn simulated(seed: u64) -> Figures {
    crate::run(&scenario(), seed, None).expect("the comparison's own scenario runs").figures
}
