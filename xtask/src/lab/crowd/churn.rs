//! Nodes that are killed and started again and again: nobody shows a ghost, and who comes back is of use at once.

use std::time::{Duration, Instant};

use super::board::{Figure, Goal, Part};
use super::{Crowd, Crowded, Dice, LOOK, quantile};
use crate::lab::node::PATIENCE;

/// From the start of a process until it gets an answer out of the mesh.
const USABLE_S: f64 = 2.0;

/// By when every node that lives shows the truth.
const TRUTH: Duration = Duration::from_secs(15);

/// Looked for longer, so that a miss says by how much.
const LATE: Duration = Duration::from_secs(60);

/// Nodes that lie dead at once, at most.
const DEAD_MAX: usize = 3;

/// How often the truth is looked for.
const CHECK_EVERY: usize = 10;

/// The longest pause between a death and a start, in milliseconds.
const PAUSE_MAX_MS: usize = 500;

/// Who holds which model: a node asks for the one that it does not hold, so that it has to be answered by another.
/// The lengths differ, for what has the same bytes is the same model.
const HOLDERS: [(&str, &str, [usize; 2]); 2] =
    [("odd", "token_us=1000 length=101 slots=8", [0, 1]), ("even", "token_us=1000 length=102 slots=8", [2, 3])];

/// What is measured on the way.
#[derive(Default)]
struct Found {
    usable: Vec<f64>,
    seen: Vec<f64>,
    truths: Vec<f64>,
    ghosts: Vec<String>,
}

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let (count, rounds) = given.pick((20, 200), (6, 10));
    let mut crowd = Crowd::of(&given.lab, count)?;
    for (name, values, holders) in HOLDERS {
        crowd.hold(name, values, &holders)?;
    }
    let (mut dice, mut alive, mut found) = (Dice(given.lab.seed), vec![true; count], Found::default());
    for round in 1..=rounds {
        turn(&mut crowd, &mut alive, &mut dice, &mut found)?;
        if round % CHECK_EVERY == 0 {
            truth(&crowd, &alive, round, &mut found);
        }
    }
    for (node, alive) in crowd.nodes.iter_mut().zip(&mut alive).filter(|(_, alive)| !**alive) {
        node.up()?;
        *alive = true;
    }
    truth(&crowd, &alive, rounds, &mut found);
    Ok(Part {
        title: "Killed and started again",
        about: format!(
            "{count} nodes, {rounds} rounds drawn from seed {}: a node that lives is killed (kill -9), up to \
             {PAUSE_MAX_MS} ms pass, and one of those that lie dead is started; up to {DEAD_MAX} lie dead at a time. After each \
             tenth round, and at the end with all started, every node that lives has to show exactly those as there that are, \
             and all others as gone. A node that was started asks, every 20 ms from the start of its process on, for a model \
             that only others hold.",
            given.lab.seed
        ),
        figures: figures(&found),
        below: found.ghosts.join("\n\n"),
        failed: Vec::new(),
    })
}

fn figures(found: &Found) -> Vec<Figure> {
    let checks = found.truths.len();
    let late = found.truths.iter().filter(|took| **took > TRUTH.as_secs_f64()).count();
    vec![
        Figure::told(
            format!("looks of {checks} at which some node showed a ghost, or missed somebody, for 15 s"),
            late as f64,
            "",
        )
        .goal(Goal::AtMost(0.0)),
        Figure::told("from the last event until all show the truth, longest", quantile(&found.truths, 1.0), "s")
            .goal(Goal::AtMost(TRUTH.as_secs_f64()))
            .more(format!("p50 {:.2} s", quantile(&found.truths, 0.5))),
        Figure::told(
            "from the start of a process until it is answered by another node, p99",
            quantile(&found.usable, 0.99),
            "s",
        )
        .goal(Goal::AtMost(USABLE_S))
        .more(format!(
            "p50 {:.2}, p90 {:.2}, longest {:.2} s; {} starts",
            quantile(&found.usable, 0.5),
            quantile(&found.usable, 0.9),
            quantile(&found.usable, 1.0),
            found.usable.len()
        ))
        .why("not traced yet: some starts wait for a dial to a place that is dead, or for one that was itself just started, and which of the two is not known"),
        Figure::told("until all others show it as there, p99", quantile(&found.seen, 0.99), "s").more(format!(
            "p50 {:.2}, longest {:.2} s",
            quantile(&found.seen, 0.5),
            quantile(&found.seen, 1.0)
        )),
    ]
}

/// One node dies, and one is started.
fn turn(crowd: &mut Crowd, alive: &mut [bool], dice: &mut Dice, found: &mut Found) -> Result<(), String> {
    let may_die: Vec<usize> = (0..alive.len()).filter(|at| alive[*at] && !is_last_holder(*at, alive)).collect();
    let victim = may_die[dice.below(may_die.len())];
    crowd.nodes[victim].kill();
    alive[victim] = false;
    std::thread::sleep(Duration::from_millis(dice.below(PAUSE_MAX_MS) as u64));
    let dead: Vec<usize> = (0..alive.len()).filter(|at| !alive[*at]).collect();
    // Now and then none is started, until enough lie dead.
    if dead.len() < DEAD_MAX && dice.below(2) == 0 {
        return Ok(());
    }
    let back = dead[dice.below(dead.len())];
    let since = Instant::now();
    crowd.nodes[back].start()?;
    found.usable.push(answered(crowd, back, since)?);
    alive[back] = true;
    let others: Vec<usize> = (0..alive.len()).filter(|at| alive[*at] && *at != back).collect();
    let key = crowd.keys[back].clone();
    let shows = |at: usize| crowd.shown(at).is_some_and(|shown| shown.get(&key) == Some(&true));
    let when = crowd.notice(&others, since, LATE, &shows);
    found.seen.extend(when.iter().map(|when| when.map_or(f64::INFINITY, |when| when.as_secs_f64())).reduce(f64::max));
    Ok(())
}

/// Whether a model would have no holder without this node.
fn is_last_holder(at: usize, alive: &[bool]) -> bool {
    HOLDERS
        .iter()
        .any(|(.., holders)| holders.contains(&at) && holders.iter().all(|other| *other == at || !alive[*other]))
}

/// Seconds until a node that was just started has an answer from another.
fn answered(crowd: &Crowd, at: usize, since: Instant) -> Result<f64, String> {
    let model = HOLDERS.iter().find(|(.., holders)| !holders.contains(&at)).map_or("odd", |(model, ..)| *model);
    let mut last = String::new();
    while since.elapsed() < PATIENCE {
        match crowd.nodes[at].chat(model, "back again", 3) {
            Ok(answer) if answer.status == 200 => return Ok(since.elapsed().as_secs_f64()),
            Ok(answer) => last = format!("{} {}", answer.status, answer.body),
            Err(error) => last = error,
        }
        std::thread::sleep(LOOK);
    }
    Err(format!("{} is not answered: {last}; its log:\n{}", crowd.nodes[at].name, crowd.nodes[at].log_tail()))
}

fn truth(crowd: &Crowd, alive: &[bool], round: usize, found: &mut Found) {
    match crowd.agree(alive, LATE) {
        Ok(took) => found.truths.push(took.as_secs_f64()),
        Err(error) => {
            found.truths.push(f64::INFINITY);
            found.ghosts.push(format!("After round {round}: {error}."));
        }
    }
}
