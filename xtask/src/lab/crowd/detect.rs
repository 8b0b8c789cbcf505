//! How soon a site shows that one of its nodes crashed or froze.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::board::{Figure, Goal, Part};
use super::{Crowd, Crowded, Dice, TOGETHER, quantile, sizes};

/// Within a site, as the plan of membership has it: all members, p99.
const BOUND_S: f64 = 4.0;

/// Looked for longer, so that a miss says by how much.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a node stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Crash,
    Freeze,
}

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let (figures, failed) = sizes(&given.counts(6), |count| size(given, count));
    Ok(Part {
        title: "Who is gone",
        about: "kill -9, and kill -STOP, of a node drawn from the seed; from the signal until another node shows it as gone, \
                for each other node of each trial (a picture is renewed ten times a second and looked at every 20 ms). Between \
                trials all see all again. Requests do not wait for it: a place that fell silent is left after three missed \
                beats, 0.75 s ([lab](lab.md), rows 1, 2 and 7)."
            .to_owned(),
        figures: figures.into_iter().flatten().collect(),
        below: String::new(),
        failed,
    })
}

fn size(given: &Crowded, count: usize) -> Result<Vec<Figure>, String> {
    let mut crowd = Crowd::of(&given.lab, count)?;
    let (mut dice, mut figures) = (Dice(given.lab.seed), Vec::new());
    for way in [Way::Crash, Way::Freeze] {
        let trials = given.pick(8, 2);
        let mut seen = Vec::new();
        for _ in 0..trials {
            seen.extend(trial(&mut crowd, dice.below(count), way)?);
        }
        figures.push(figure(count, way, trials, &seen));
    }
    Ok(figures)
}

fn figure(count: usize, way: Way, trials: usize, seen: &[f64]) -> Figure {
    let said = if way == Way::Crash { "crashed" } else { "froze" };
    let (first, middle) = (quantile(seen, 0.0), quantile(seen, 0.5));
    Figure::told(format!("{count} nodes, one {said}: shown as gone by the others, p99"), quantile(seen, 0.99), "s")
        .goal(Goal::AtMost(BOUND_S))
        .more(format!(
            "first {first:.2}, p50 {middle:.2}, p90 {:.2}, last {:.2} s; {trials} trials, {} looks",
            quantile(seen, 0.9),
            quantile(seen, 1.0),
            seen.len()
        ))
}

fn trial(crowd: &mut Crowd, victim: usize, way: Way) -> Result<Vec<f64>, String> {
    let process = crowd.nodes[victim].process().ok_or("a node has a process")?;
    let send = |signal| kill_process(process, signal).map_err(|error| format!("a signal: {error}"));
    send(if way == Way::Crash { Signal::KILL } else { Signal::STOP })?;
    let since = Instant::now();
    let others: Vec<usize> = (0..crowd.nodes.len()).filter(|at| *at != victim).collect();
    let key = crowd.keys[victim].clone();
    let look = |at: usize| crowd.shown(at).is_some_and(|shown| shown.get(&key) == Some(&false));
    let when = crowd.notice(&others, since, PATIENCE, &look);
    match way {
        Way::Crash => {
            crowd.nodes[victim].kill();
            crowd.nodes[victim].up()?;
        }
        Way::Freeze => send(Signal::CONT)?,
    }
    crowd.agree(&vec![true; crowd.nodes.len()], TOGETHER)?;
    Ok(when.iter().map(|when| when.map_or(f64::INFINITY, |when| when.as_secs_f64())).collect())
}
