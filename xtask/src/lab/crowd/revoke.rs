//! How soon a revoked member has no connection left.

use std::time::{Duration, Instant};

use super::board::{Figure, Goal, Part};
use super::{Crowd, Crowded, quantile, sizes};

/// By when every connected node has closed its connections.
const BOUND: Duration = Duration::from_secs(10);

/// Looked for longer, so that a miss says by how much.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let (figures, failed) = sizes(&given.counts(6), |count| size(given, count));
    Ok(Part {
        title: "Revocation",
        about: "`hither member revoke KEY` at the founder; from the moment at which the command is typed. Connections are those \
                that the revoked node counts itself (`hither_connections`, small talk and requests); that there are none left \
                means that every member closed its own. One victim after another, all linked with all."
            .to_owned(),
        figures: figures.into_iter().flatten().collect(),
        below: String::new(),
        failed,
    })
}

fn size(given: &Crowded, count: usize) -> Result<[Figure; 2], String> {
    let victims = given.pick(5, 2);
    let crowd = Crowd::of(&given.lab, count)?;
    let (mut forgotten, mut closed) = (Vec::new(), Vec::new());
    for victim in (count - victims..count).rev() {
        let (last, own) = revoke(&crowd, victim)?;
        forgotten.push(last);
        closed.push(own);
    }
    let goal = Goal::AtMost(BOUND.as_secs_f64());
    let figure = |what: String, found: &[f64]| {
        Figure::told(what, quantile(found, 1.0), "s").goal(goal).more(format!("p50 {:.2} s", quantile(found, 0.5)))
    };
    Ok([
        figure(
            format!(
                "{count} nodes: from the command until the revoked node has no connection left, longest of {victims}"
            ),
            &closed,
        ),
        figure(format!("{count} nodes: until the last member shows it no more"), &forgotten),
    ])
}

/// Seconds until the last member forgot it, and until it has no connection left.
fn revoke(crowd: &Crowd, victim: usize) -> Result<(f64, f64), String> {
    let key = &crowd.keys[victim];
    if open(crowd, victim).is_none_or(|open| open == 0) {
        return Err(format!(
            "{} has no connections before it is revoked, or does not count them",
            crowd.nodes[victim].name
        ));
    }
    // Those that were revoked before are no members, and the last look is at the victim itself.
    let mut whom: Vec<usize> = (0..victim).collect();
    whom.push(victim);
    let since = Instant::now();
    let look = |at: usize| match at == victim {
        true => open(crowd, victim) == Some(0),
        false => crowd.shown(at).is_some_and(|shown| !shown.contains_key(key)),
    };
    let when = std::thread::scope(|scope| {
        let watching = scope.spawn(|| crowd.notice(&whom, since, PATIENCE, &look));
        let told = crowd.nodes[0].run(&["member", "revoke", key]);
        let when = watching.join().map_err(|_| "the watch panicked".to_owned())?;
        told.map(|_| when)
    })?;
    let seconds = |when: &Option<Duration>| when.map_or(f64::INFINITY, |when| when.as_secs_f64());
    let (own, others) = when.split_last().ok_or("nobody was watched")?;
    Ok((others.iter().map(seconds).fold(0.0, f64::max), seconds(own)))
}

/// Connections for small talk and requests that a node counts as open.
fn open(crowd: &Crowd, at: usize) -> Option<u64> {
    let answer = crowd.nodes[at].api().ok()?.get("/metrics").ok()?;
    let text = answer.body.as_str()?;
    let count = |kind: &str| {
        let name = format!("hither_connections{{kind=\"{kind}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok())
    };
    Some(count("talk")? + count("requests")?)
}
