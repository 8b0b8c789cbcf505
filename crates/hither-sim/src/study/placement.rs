//! Which node holds which model: how many requests wait for one, how far that is from somebody who knows all, and what it
//! costs in copies.

use super::table::{Page, Study};
use super::{Scale, beside};
use crate::placing::{Crowd, Mode, Outcome, SLICE, Setting, run};

const ABOUT: &str = "The production code of `hither_core::placement` on every node, and one stream of requests. Nodes stand \
at sites of eight in eight jurisdictions; a quarter of them is half as fast as usual, a quarter twice as fast, and each answers four \
requests at once. A model has 1 to 7 GB, and a request to it takes 1.5 s for each of them on a usual node; a node's memory \
holds ten models of the mean size, give or take a half. Popularity follows Zipf's law with the exponent 0.9. One model in five \
may be held in half of the jurisdictions only, and one request in ten may be served in its own jurisdiction only. At first there \
is one copy of each model in each jurisdiction that may have it. Nodes hear of each other 5 s late. A fetched model comes over a \
line of 100 Mbit/s from another site or of 1 Gbit/s from its own, takes 15 % longer for being one of many \
([distribution](distribution.md)), as much again for each one that comes to the node at the same time, and 1 s for each 0.5 GB \
to be opened. A request goes to the node with its model and a free slot from which the answer comes first, and waits for up \
to 10 s if there is none.";

const ORACLE: &str = "**The greedy** knows all requests of the next five minutes before they come, moves models in no time and \
for nothing, and fills all memory: model by model it gives a copy to the node that can take the most of the work that has no \
place yet, and what is left of memory to what is asked for most nearby. A request **at once** found a free slot at a copy; all \
others waited, for a slot or for a load, and all of them count as waiting for a load here: one more copy would have spared each \
the wait. The time of an answer is that from its arrival, on the way and at the engine.";

/// Seconds over which moves are counted.
const MOVES_OVER: u64 = 600;

/// Seconds over which recovery is judged: some thousand requests, of which one in a hundred is more than chance.
fn judged_over(scale: Scale) -> u64 {
    match scale {
        Scale::Full => 30,
        Scale::Quick => 600,
    }
}

fn settings(scale: Scale) -> (Setting, Setting) {
    let small = Setting {
        sites: vec![2, 2],
        nodes: 10,
        models: 20,
        held: 4,
        load: 45,
        cycle: true,
        seconds: 5_400,
        warm: 1_800,
        crowd: Some(Crowd { from: 3_600, until: 4_800, rank: 8, percent: 10 }),
        flip: None,
        seed: 1,
    };
    let hour = 3_600;
    let large = Setting {
        sites: vec![30, 22, 18, 15, 12, 11, 9, 8],
        nodes: 8,
        models: 200,
        held: 10,
        seconds: 25 * hour,
        warm: hour,
        crowd: Some(Crowd { from: 13 * hour, until: 13 * hour + hour / 2, rank: 60, percent: 15 }),
        ..small.clone()
    };
    let day = if scale == Scale::Full { large } else { small };
    let flip = Setting { cycle: false, crowd: None, seconds: 2 * hour, warm: hour, flip: Some(hour), ..day.clone() };
    (day, flip)
}

/// Moves of a node in [`MOVES_OVER`]: the mean and the most, of all spans of which `counts` says that they do.
fn moves(outcome: &Outcome, nodes: u64, counts: impl Fn(u64) -> bool) -> (f64, f64) {
    let per = (MOVES_OVER / SLICE) as usize;
    let spans = outcome.moves.chunks(per).zip(0..).filter(|(_, at)| counts(at * MOVES_OVER));
    let each: Vec<f64> = spans.map(|(span, _)| span.iter().sum::<u64>() as f64 / nodes as f64).collect();
    (each.iter().sum::<f64>() / each.len().max(1) as f64, each.into_iter().fold(0.0, f64::max))
}

/// How long after a second the last span of so many ended in which fewer than 99 % were served at once.
fn recovery(outcome: &Outcome, from: u64, span: u64) -> u64 {
    let per = (span / SLICE) as usize;
    let first = (from / SLICE) as usize;
    let is_low = |window: &[(u64, u64)]| {
        let (all, well) = window.iter().fold((0, 0), |sum, slice| (sum.0 + slice.0, sum.1 + slice.1));
        well * 100 < all * 99
    };
    let low = outcome.slices[first..].windows(per).rposition(is_low);
    low.map_or(0, |last| (last + per) as u64 * SLICE)
}

fn share(part: u64, all: u64) -> f64 {
    part as f64 * 100.0 / all.max(1) as f64
}

fn seconds(micros: u64, count: u64) -> f64 {
    micros as f64 / 1e6 / count.max(1) as f64
}

fn verdict(met: bool) -> String {
    (if met { "met" } else { "**missed**" }).to_owned()
}

/// One line for each hour.
fn hours(page: &mut Page, day: &Setting, planned: &Outcome, greedy: &Outcome, nodes: u64) {
    let per = (3600 / SLICE) as usize;
    let of = |outcome: &Outcome, hour: usize| {
        let slices = outcome.slices.chunks(per).nth(hour).unwrap_or_default();
        slices.iter().fold((0, 0), |sum, slice| (sum.0 + slice.0, sum.1 + slice.1))
    };
    let rows = (day.warm.div_ceil(3600)..day.seconds.div_ceil(3600)).map(|hour| {
        let at = hour as usize;
        let ((all, well), (_, greedily)) = (of(planned, at), of(greedy, at));
        let moved: u64 = planned.moves.chunks(per).nth(at).unwrap_or_default().iter().sum();
        let crowd = day.crowd.is_some_and(|crowd| (hour * 3600..(hour + 1) * 3600).contains(&crowd.from));
        vec![
            format!("{hour}{}", if crowd { ", with the crowd" } else { "" }),
            format!("{:.0}", all as f64 / 3600.0),
            format!("{:.3} %", share(well, all)),
            format!("{:.3} %", share(greedily, all)),
            format!("{:.3}", moved as f64 / 6.0 / nodes as f64),
        ]
    });
    let head = ["hour", "requests a second", "at once", "… under the greedy", "moves per node and 10 min"];
    page.table(&head, &rows.collect::<Vec<_>>());
}

/// Which node holds which model.
pub(super) fn placement(scale: Scale) -> Study {
    let (day, flip) = settings(scale);
    let jobs = [
        ("the day", &day, Mode::Planned),
        ("the day, under the greedy", &day, Mode::Oracle),
        ("the flip", &flip, Mode::Planned),
        ("the flip, if nobody moves anything", &flip, Mode::Still),
    ];
    let outcomes = beside(&jobs, |(name, setting, mode)| {
        let all = setting.seconds.div_ceil(3600);
        run(setting, *mode, |hour| eprintln!("placement: {name}, hour {} of {all}", hour + 1))
    });
    let [planned, greedy, flipped, still] = outcomes.as_slice() else { unreachable!("as many outcomes as jobs") };
    let nodes = (day.sites.iter().sum::<usize>() * day.nodes) as u64;
    let mut page = Page::new("placement", "Which node holds which model", ABOUT);
    page.text(ORACLE);
    page.heading(&format!(
        "{nodes} nodes, {} models, {} h after {} min that do not count",
        day.models,
        (day.seconds - day.warm) / 3600,
        day.warm / 60
    ));
    let crowd = day.crowd.map_or(0..0, |crowd| crowd.from.saturating_sub(MOVES_OVER - 1)..crowd.until);
    let steady = moves(planned, nodes, |from| from >= day.warm && !crowd.contains(&from));
    let (well, best) = (share(planned.at_once, planned.requests), share(greedy.at_once, greedy.requests));
    let of = |outcome: &Outcome| seconds(outcome.took, outcome.requests - outcome.refused);
    let (took, least) = (of(planned), of(greedy));
    let slower = (took / least - 1.0) * 100.0;
    let (span, turned) = (judged_over(scale), flip.flip.unwrap_or_default());
    let (recovered, load) = (recovery(flipped, turned, span), seconds(flipped.loads.0, flipped.loads.1));
    let last = planned.last + flipped.last;
    let rows = [
        ("served without waiting for a load", "≥ 99 %", format!("{well:.3} %"), well >= 99.0),
        (
            "served at once, beside the greedy",
            "≤ 5 % fewer",
            format!("{:.3} % fewer", (1.0 - well / best) * 100.0),
            well >= best * 0.95,
        ),
        (
            "mean time of an answer, beside the greedy",
            "≤ 5 % longer",
            format!("{slower:.1} % longer: {took:.3} s and {least:.3} s"),
            slower <= 5.0,
        ),
        (
            "moves per node and 10 min, steady",
            "≤ 1",
            format!("{:.4}, at most {:.3}", steady.0, steady.1),
            steady.1 <= 1.0,
        ),
        (
            "recovery from a flip of popularity",
            "≤ 2 × load",
            format!("{recovered} s, {:.2} × {load:.0} s", recovered as f64 / load.max(1.0)),
            recovered as f64 <= 2.0 * load,
        ),
        ("last copy in a jurisdiction evicted", "0 times", format!("{last} times"), last == 0),
    ];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(what, goal, found, met)| vec![what.to_owned(), goal.to_owned(), found, verdict(met)])
        .collect();
    page.table(&["", "goal", "measured", ""], &rows);
    page.text(&format!(
        "{} requests. {} waited although a copy was open somewhere, {} because the law allowed none; {} of them waited 10 s in \
         vain. {} evictions; {} times a node that should have fetched a model found no room. At the end there are {} copies, \
         and {} under the greedy, which fills all memory; about {} fit. Steady is all but the spans of ten minutes that the \
         crowd touches. The mean way there and back is {:.1} ms, and {:.1} ms under the greedy.",
        planned.requests,
        planned.for_slot,
        planned.for_load,
        planned.refused,
        planned.evictions,
        planned.no_room,
        planned.copies,
        greedy.copies,
        planned.places,
        seconds(planned.way, planned.requests) * 1000.0,
        seconds(greedy.way, greedy.requests) * 1000.0,
    ));
    if slower > 5.0 {
        page.text(
            "The time of an answer misses its goal because a model has no more copies than its load asks for, so the nearest fast \
             node is busy, or has none, more often than under the greedy, which has a copy wherever there is memory.",
        );
    }
    if let Some(crowd) = day.crowd {
        page.text(&format!(
            "The crowd asks for one model, number {} by popularity, {} % as often as all others together are asked for on an \
             average, for {} min; what waits, waits in the minutes until its copies have come.",
            crowd.rank + 1,
            crowd.percent,
            (crowd.until - crowd.from) / 60
        ));
    }
    hours(&mut page, &day, planned, greedy, nodes);
    page.heading("Popularity turned round");
    let flip_moves = moves(flipped, nodes, |from| (turned..turned + MOVES_OVER).contains(&from));
    page.text(&format!(
        "An even load of {} %; after an hour the most wanted model becomes the least wanted, and so on. Recovery is the end of the \
         last {span} s of the next hour in which fewer than 99 % were served at once; a load is what one fetched model took, \
         opening included, on an average. In that hour {:.2} % were served at once, and {:.2} % if nobody moves anything. In the \
         first ten minutes after it there were {:.2} moves per node.",
        flip.load,
        share(flipped.at_once, flipped.requests),
        share(still.at_once, still.requests),
        flip_moves.0
    ));
    page.text(&format!("Seed {}.", day.seed));
    let mut study = page.ended();
    study.requests = outcomes.iter().map(|outcome| outcome.requests).sum();
    study.violations = last;
    study.first = (last > 0).then(|| "the last copy in a jurisdiction was evicted".to_owned());
    study
}
