//! One file on its way from one node to all others, each behind a line of the same speed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::board::{Figure, Goal, Part};
use super::usage::micros;
use super::{Crowd, Crowded, TOGETHER, quantile};

/// What travels: 193 chunks of half a mebibyte.
const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const CHUNK: u64 = 512 << 10;

/// The last node's time over the bound.
const RATIO_MAX: f64 = 1.2;

/// Nodes, and megabits a second of each line. More of both at a time than this and the processors of a small machine are
/// what is measured.
const LINES: &[(usize, u64)] = &[(8, 50), (24, 25)];

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let cache = std::env::var_os("HITHER_CACHE").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let model = cache.unwrap_or_else(|| home.join(".cache/hither")).join("models").join(MODEL);
    let lines = given.pick(LINES.to_vec(), vec![(6, 100)]);
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for (count, megabits) in lines {
        match size(given, &model, count, megabits) {
            Ok(measured) => figures.extend(measured),
            Err(error) => failed.push(format!("{count} nodes: {error}")),
        }
    }
    Ok(Part {
        title: "A model on its way to all",
        about: format!(
            "{MODEL}, which one node of the site holds; all others are told to fetch it at the same moment. What each sends is \
             held to its line by a token bucket of the kernel (tbf, 64 kB). The bound is that of a broadcast in chunks, \
             (M + ⌊log₂ N⌋) times what a chunk takes on a line (Mundinger, Weber, Weiss, 2008), with every byte of heads, proofs \
             and acknowledgements on the line and none in the bound."
        ),
        figures,
        below: String::new(),
        failed,
    })
}

fn size(given: &Crowded, model: &std::path::Path, count: usize, megabits: u64) -> Result<Vec<Figure>, String> {
    // Nobody opens the model: memory for it is none of this.
    let crowd = Crowd::configured(&given.lab, count, "memory_mb = 1\n")?;
    let (seed, others) = crowd.nodes.split_first().ok_or("a crowd of nobody")?;
    seed.add(model, "model")?;
    for node in others {
        let knows = || node.view().ok()?["models"].as_array()?.iter().any(|it| it["name"] == "model").then_some(());
        super::wait(&format!("{} knows the model", node.name), TOGETHER, knows)?;
    }
    for node in &crowd.nodes {
        crowd.hall.bound(&node.name, megabits * 1_000_000)?;
    }
    let spent = || -> u64 {
        let ids = crowd.nodes.iter().filter_map(|node| u32::try_from(node.process()?.as_raw_nonzero().get()).ok());
        ids.map(micros).sum()
    };
    let (ports, busy, since) = (crowd.hall.ports()?, spent(), Instant::now());
    std::thread::scope(|scope| {
        let pulls: Vec<_> = others.iter().map(|node| scope.spawn(|| node.run(&["models", "pull", "model"]))).collect();
        pulls.into_iter().try_for_each(|pull| pull.join().expect("typing a command does not panic").map(drop))
    })?;
    let length = std::fs::metadata(model).map_err(|error| format!("{}: {error}", model.display()))?.len();
    let bytes_per_s = megabits as f64 * 1e6 / 8.0;
    let receivers = others.len() as f64;
    let bound = (length.div_ceil(CHUNK) as f64 + receivers.log2().floor()) * CHUNK as f64 / bytes_per_s;
    let whom: Vec<usize> = (1..count).collect();
    let patience = Duration::from_secs_f64(bound * 4.0 + 30.0);
    let when = crowd.notice(&whom, since, patience, &|at| !crowd.nodes[at].complete_files().is_empty());
    let took: Option<Vec<f64>> = when.iter().map(|when| when.map(|when| when.as_secs_f64())).collect();
    let took = took.ok_or_else(|| format!("{} have no file after {patience:?}", when.iter().flatten().count()))?;
    let (last, busy) = (quantile(&took, 1.0), spent() - busy);
    let after = crowd.hall.ports()?;
    let sent = |name: &str| after.get(name).map_or(0, |port| port.sent) - ports.get(name).map_or(0, |port| port.sent);
    let all: u64 = crowd.nodes.iter().map(|node| sent(&node.name)).sum();
    Ok(vec![
        Figure::told(
            format!("{count} nodes, lines of {megabits} Mbit/s: the last has it, over the bound"),
            last / bound,
            "×",
        )
        .goal(Goal::AtMost(RATIO_MAX))
        .more(format!(
            "first {:.1} s, p50 {:.1} s, last {last:.1} s; bound {bound:.1} s; one server alone would take {:.0} s",
            quantile(&took, 0.0),
            quantile(&took, 0.5),
            receivers * length as f64 / bytes_per_s
        ))
        .why("heads and proofs take 5 % of a line, and the processors may be what is short"),
        Figure::told("copies that its holder sent", sent(&seed.name) as f64 / length as f64, "×").more(format!(
            "all together {:.2} copies for each receiver; processors {:.0} % of a core",
            all as f64 / receivers / length as f64,
            busy as f64 / last / 1e4
        )),
    ])
}
