//! The figures of the documentation: runs of the production mind beside the bound and the rivals, as tables and charts.
//!
//! Each study names its seeds, and the trace hash of every run. Nothing here reads a clock: how long a study took is for
//! whoever runs it to say.

use crate::chance::mix;
use crate::report::Report;
use crate::scenario::Scenario;

mod distribution;
mod loss;
mod membership;
mod overload;
mod placement;
pub mod real;
mod routing;
mod sites;
mod table;

pub use table::Study;

/// The law of all studies: what is not personal goes anywhere in the mesh.
const LAW: &str = r#"[policies]
default = '''
version = 1

[default]
unlabelled = "special"

[[permit]]
id = "mesh"
action = ["infer"]
class = ["public", "internal"]
'''"#;

/// How much of a study is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// What the documentation shows.
    Full,
    /// The same with fewer and smaller runs, to see that it works.
    Quick,
}

/// The names of the studies.
pub const STUDIES: [&str; 9] = [
    "routing",
    "routing-large",
    "gossip",
    "loss",
    "overload",
    "membership",
    "membership-sites",
    "distribution",
    "placement",
];

/// Runs a study by name; `None` if there is none of that name.
pub fn study(name: &str, scale: Scale) -> Option<Study> {
    match name {
        "routing" => Some(routing::routing(scale)),
        "routing-large" => Some(routing::large(scale)),
        "gossip" => Some(routing::gossip(scale)),
        "loss" => Some(loss::loss(scale)),
        "overload" => Some(overload::overload(scale)),
        "distribution" => Some(distribution::distribution(scale)),
        "placement" => Some(placement::placement(scale)),
        "membership" => Some(membership::membership(scale)),
        "membership-sites" => Some(sites::sites(scale)),
        _ => None,
    }
}

/// The mesh of the studies: sites of ten on a map, three speeds, hot spots up to twenty times the mean.
#[derive(Debug, Clone)]
struct Setup {
    nodes: u32,
    gossip_ms: u64,
    duration_s: u64,
    slices: Vec<(u64, u64)>,
    rest: String,
}

impl Setup {
    fn new(nodes: u32, duration_s: u64, rest: String) -> Self {
        Self { nodes, gossip_ms: 10_000, duration_s, slices: Vec::new(), rest }
    }

    /// The scenario as a file would have it.
    fn scenario(&self) -> Scenario {
        let Self { nodes, gossip_ms, duration_s, slices, rest } = self;
        let slices = format!("{slices:?}").replace('(', "[").replace(')', "]");
        let text = format!(
            r#"name = "study"
about = "a run of a study"
duration_s = {duration_s}
ladder = [["large", "small"]]
slices_ms = {slices}

{LAW}

[[model]]
name = "large"
kind = "infer"
slots = 4
slot_w = 10
load_ms = 100
prefill_ms = 500

[[model]]
name = "small"
kind = "infer"
slots = 4
slot_w = 10
load_ms = 100
prefill_ms = 150
cost_permille = 300

[topology]
nodes = {nodes}
cap_w = 60
idle_w = 20
speeds = [[500, 25], [1000, 50], [2000, 25]]
jurisdictions = ["DE", "FR", "AT", "ES", "IT", "PL", "SE", "NL"]
demand_sigma = true
gossip_ms = {gossip_ms}

{rest}

[sometimes]
answered = 1
"#
        );
        Scenario::parse(&text).expect("the studies' own scenarios are well formed")
    }
}

/// One stream of requests, as a scenario has it.
fn load(rho: f64, extra: &str) -> String {
    format!("[[load]]\nmodel = \"large\"\nrho = {rho}\nservice_ms = 500\n{extra}\n")
}

/// Runs jobs beside one another, as many at a time as there are processors, and gives their results in order.
fn beside<T: Sync, R: Send>(jobs: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len().max(1));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return done };
            done.push((index, run(job)));
        }
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a run does not panic")).collect()
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

/// One hash for many runs.
fn hash_of<'a>(reports: impl Iterator<Item = &'a Report>) -> u64 {
    reports.fold(0, |hash, report| mix(hash ^ report.hash))
}

/// Milliseconds of a number of microseconds.
fn ms(micros: u64) -> String {
    format!("{}", (micros + 500) / 1000)
}
