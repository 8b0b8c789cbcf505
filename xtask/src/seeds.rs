//! `cargo xtask seeds N`: the invariants on many seeds, spread over all scenarios. Bounds of scenarios are for their tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hither_sim::{Report, Scenario, run};

use crate::tidy::root;

/// Seeds of each scenario with a generated mesh: a run of one takes as long as ten others.
const SEEDS_OF_A_MESH: u64 = 3;

/// Plays so many seeds. Each violation of an invariant is a fault.
///
/// # Errors
/// What is wrong with the words.
pub(crate) fn seeds(words: &[String]) -> Result<Vec<String>, String> {
    let [count] = words else { return Err("seeds wants a number".to_owned()) };
    let count: usize = count.parse().map_err(|_| format!("{count:?} is not a number of seeds"))?;
    let began = Instant::now();
    let jobs = jobs(count)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut sums = (0, 0, Vec::new());
        while let Some((scenario, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match run(scenario, *seed, None) {
                Ok(report) => add(&mut sums, &report),
                Err(error) => sums.2.push(format!("{} seed {seed}: {error}", scenario.name)),
            }
        }
        sums
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a run does not panic")).collect()
    });
    let (requests, events) = all.iter().fold((0, 0), |sum, (requests, events, _)| (sum.0 + requests, sum.1 + events));
    let faults: Vec<String> = all.into_iter().flat_map(|(.., faults)| faults).collect();
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} seeds, {requests} requests, {events} events, {} seeds with violations, {seconds:.0} s",
        jobs.len(),
        faults.len()
    );
    Ok(faults)
}

fn add(sums: &mut (u64, u64, Vec<String>), report: &Report) {
    sums.0 += report.count("requests");
    sums.1 += report.events;
    if report.violation_count > 0 {
        sums.2.push(format!("{report}"));
    }
}

/// Scenarios with their seeds: small ones in turn, and a few of each mesh.
fn jobs(count: usize) -> Result<Vec<(Scenario, u64)>, String> {
    let (mut small, mut meshes) = (Vec::new(), Vec::new());
    let folder = std::fs::read_dir(root().join("scenarios")).map_err(|error| error.to_string())?;
    let mut paths: Vec<_> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let scenario = Scenario::load(path).map_err(|error| format!("{}: {error}", path.display()))?;
        if scenario.nodes.is_empty() { meshes.push(scenario) } else { small.push(scenario) }
    }
    let of_meshes: Vec<_> = meshes
        .into_iter()
        .flat_map(|mesh| (1..=SEEDS_OF_A_MESH).map(move |seed| (mesh.clone(), 1000 + seed)))
        .collect();
    let rest = count.saturating_sub(of_meshes.len());
    let of_small = small.iter().cycle().take(rest).zip(1000..).map(|(scenario, seed)| (scenario.clone(), seed));
    Ok(of_meshes.into_iter().chain(of_small).collect())
}
