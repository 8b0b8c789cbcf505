//! What goes between sites, and what several givers are worth.

use std::time::Duration;

use super::super::board::{Figure, Goal, plain};
use super::super::{Crowd, Crowded};
use super::rivals::{Place, RIVALS};
use super::{apart, fetched, filled, known};

/// What goes between sites, over one copy for each site that has none.
const FAR_MAX: f64 = 1.05;

/// One giver's time over that of four.
const FOUR_MIN: f64 = 2.5;

/// Nodes of all sites together.
const NODES: usize = 12;

/// Megabits a second of each line.
const MEGABITS: u64 = 50;

/// Length of the file.
const MEBIBYTES: u64 = 64;

/// Far longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(180);

/// Counts what goes between two, three and four sites while a model gets to all nodes.
pub(super) fn between(given: &Crowded) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for sites in given.pick(vec![2, 3, 4], vec![2]) {
        figures.extend(count(given, sites).map_err(|error| format!("{sites} sites: {error}"))?);
    }
    Ok(figures)
}

fn count(given: &Crowded, sites: usize) -> Result<Vec<Figure>, String> {
    let (lab, scratch) = apart(given, &format!("sites-{sites}"))?;
    let file = scratch.join("model");
    filled(&file, MEBIBYTES, lab.seed)?;
    let names: Vec<String> = (0..sites).map(|site| format!("site{site}")).collect();
    let of = |at: usize| at % sites;
    let where_: Vec<&str> = (0..NODES).map(|at| names[of(at)].as_str()).collect();
    let mut crowd = Crowd::at(&lab, &where_, "memory_mb = 1\n")?;
    crowd.nodes[0].add(&file, "model")?;
    known(&crowd.nodes, "model")?;
    for node in &crowd.nodes {
        crowd.hall.bound(&node.name, MEGABITS * 1_000_000)?;
    }
    let addresses: Vec<(String, String)> =
        crowd.nodes.iter().map(|node| (format!("n-{}", node.name), node.mesh.replace(":7000", ""))).collect();
    let group = |site: usize| (0..NODES).filter(move |at| of(*at) == site).map(|at| addresses[at].1.as_str()).collect();
    let groups: Vec<Vec<&str>> = (0..sites).map(group).collect();
    crowd.hall.part(&groups)?;
    let whom: Vec<usize> = (1..NODES).collect();
    let ours = fetched(&crowd, &whom, "model", 1, PATIENCE)?;
    let least = ((sites - 1) as u64 * (MEBIBYTES << 20)) as f64;
    let far = crowd.hall.far()? as f64 / least;
    crowd.leave();
    let mut more = format!(
        "{NODES} nodes, lines of {MEGABITS} Mbit/s, {MEBIBYTES} MiB: the last has it after {:.1} s",
        ours.last()
    );
    // For comparison: whoever takes from anybody.
    if let Some(rival) = RIVALS.first().filter(|rival| rival.is_here()) {
        let places: Vec<Place> = addresses.iter().map(|(space, address)| Place { space, address }).collect();
        crowd.hall.part(&groups)?;
        let ran = rival.race((&crowd.hall, &places), (&file, &scratch), PATIENCE)?;
        more += &format!("; {} {} × and {:.1} s", rival.name, plain(crowd.hall.far()? as f64 / least), ran.last());
    }
    let _ = std::fs::remove_dir_all(&scratch);
    let what = format!("{sites} sites: bytes of IP between them, over one copy for each other site");
    let why = "what goes between sites is counted with all heads, acknowledgements and small talk";
    Ok(vec![Figure::told(what, far, "×").goal(Goal::AtMost(FAR_MAX)).more(more).why(why)])
}

/// Fetches one file that one node has, and another of the same length that four have, behind equal lines.
pub(super) fn several(given: &Crowded) -> Result<Vec<Figure>, String> {
    let (lab, scratch) = apart(given, "several")?;
    let crowd = Crowd::configured(&lab, 6, "memory_mb = 1\n")?;
    for (name, holders, seed) in [("one", 0..1, 1), ("four", 0..4, 2)] {
        let file = scratch.join(name);
        filled(&file, MEBIBYTES, seed)?;
        for at in holders {
            crowd.nodes[at].add(&file, name)?;
        }
        known(&crowd.nodes, name)?;
    }
    // Who holds it has to be known, too.
    let fetcher = &crowd.nodes[5];
    let holds = |other: &&serde_json::Value| {
        other["models"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it["name"] == "four" && it["stage"] != "absent"))
    };
    let all = || (fetcher.view().ok()?["nodes"].as_array()?.iter().filter(holds).count() >= 4).then_some(());
    super::super::wait("who holds the model is known", PATIENCE, all)?;
    for node in &crowd.nodes {
        crowd.hall.bound(&node.name, MEGABITS * 1_000_000)?;
    }
    let one = fetched(&crowd, &[5], "one", 1, PATIENCE)?;
    let four = fetched(&crowd, &[5], "four", 2, PATIENCE)?;
    let gave: Vec<String> = (0..4)
        .map(|at| four.sent.get(&format!("m{at:02}")).copied().unwrap_or(0) as f64 / (MEBIBYTES << 20) as f64)
        .map(plain)
        .collect();
    let what = "one node from one giver, over the same from four with equal lines";
    Ok(vec![
        Figure::told(what, one.last() / four.last(), "×")
            .goal(Goal::AtLeast(FOUR_MIN))
            .more(format!(
                "{:.2} s and {:.2} s for {MEBIBYTES} MiB at {MEGABITS} Mbit/s; of a copy the four gave {}",
                one.last(),
                four.last(),
                gave.join(", ")
            ))
            .why(super::short(&four)),
    ])
}
