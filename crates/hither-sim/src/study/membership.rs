//! Who is there: how soon a death is known to all, what is wrongly taken for one, and what it costs to know.

use super::table::{Page, Study};
use super::{Scale, beside};
use crate::chance::Chance;
use crate::crowd::{Crowd, Tally, Weather};

pub(super) const ABOUT: &str = "The production code of `hither_core::membership` alone, in crowds of up to ten thousand, over links in \
miniature: in order, repeated until they arrive, closed after 4 s without a word, dialled again with growing pauses. Within a \
site a packet takes 0.15–1 ms, between sites 5–47 ms. **Slow** nodes get and send 30 % of their packets up to 3 s late. Bytes \
are those of the real codec, with 62 B for headers of IP, UDP and QUIC in each packet and an acknowledgement in a packet of its \
own for each message: more than what goes over a wire, where acknowledgements travel along. Deaths are without a goodbye, at \
moments spread over the second between two pulses.";

const SECOND: u64 = 1_000_000;

/// Nodes, what the network does, and how many die.
type Deaths = (usize, Weather, usize);

/// Runs over which the hours without a death are spread.
const SOAKS: u64 = 4;

/// How soon a death is known.
struct Detection {
    nodes: usize,
    weather: Weather,
    first: Vec<u64>,
    all: Vec<u64>,
    unseen: usize,
    idle: u64,
    links: f64,
    tally: Tally,
}

fn detection((nodes, weather, deaths): &Deaths) -> Detection {
    let mut crowd = Crowd::new(&[*nodes], *nodes, *weather, 5);
    crowd.run_until(20 * SECOND);
    crowd.weigh = true;
    let before = crowd.tally.bytes;
    crowd.run_until(50 * SECOND);
    crowd.weigh = false;
    let idle = (crowd.tally.bytes - before) / 30 / *nodes as u64;
    let links = crowd.links_per_node();
    let (mut first, mut all, mut unseen) = (Vec::new(), Vec::new(), 0);
    for death in 0..*deaths {
        if death % 20 == 0 {
            eprintln!("membership: {nodes} nodes, {}, death {death} of {deaths}", self::weather(*weather));
        }
        let dead = (death * 7 + 3) % *nodes;
        crowd.run_until(crowd.now + SECOND + (death as u64 * 137_000) % SECOND);
        crowd.kill(dead);
        let noticed = crowd.run_while(30 * SECOND, |crowd| crowd.living().any(|at| !crowd.sees(at, dead)));
        let known = crowd.run_while(30 * SECOND, |crowd| crowd.living().all(|at| !crowd.sees(at, dead)));
        match noticed.zip(known) {
            Some((noticed, known)) => {
                first.push(noticed);
                all.push(noticed + known);
            }
            None => unseen += 1,
        }
        crowd.start(dead, *nodes);
        crowd.run_until(crowd.now + 8 * SECOND);
    }
    first.sort_unstable();
    all.sort_unstable();
    Detection { nodes: *nodes, weather: *weather, first, all, unseen, idle, links, tally: crowd.tally }
}

fn quantile(sorted: &[u64], percent: usize) -> String {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).map_or("–".to_owned(), |micros| format!("{:.2} s", *micros as f64 / 1e6))
}

fn weather(weather: Weather) -> String {
    format!("{} %, {} % slow", f64::from(weather.loss) / 10.0, f64::from(weather.slow) / 10.0)
}

/// Hours in which nobody dies, and each hour the way from one node to another is cut for a minute.
fn soak((hours, seed): &(u64, u64)) -> Tally {
    let nodes = 200;
    let mut crowd = Crowd::new(&[nodes], nodes, Weather { loss: 50, slow: 50, far: 0 }, *seed);
    crowd.run_until(20 * SECOND);
    crowd.tally = Tally::default();
    let mut chance = Chance::new(*seed, 0x50ac);
    for hour in 0..*hours {
        eprintln!("membership: hours without a death, seed {seed}, hour {hour} of {hours}");
        let (from, to) = (chance.below(nodes as u64) as usize, chance.below(nodes as u64) as usize);
        crowd.cut.insert((from, to));
        crowd.run_until((hour * 3600 + 80) * SECOND);
        crowd.cut.clear();
        crowd.run_until(((hour + 1) * 3600 + 20) * SECOND);
    }
    crowd.tally
}

/// Who is there.
pub(super) fn membership(scale: Scale) -> Study {
    let calm = |loss| Weather { loss, slow: 0, far: 0 };
    let (detections, hours): (&[Deaths], u64) = match scale {
        Scale::Full => (
            &[
                (20, calm(0), 100),
                (60, calm(10), 100),
                (200, calm(10), 100),
                (200, calm(50), 100),
                (200, Weather { loss: 50, slow: 50, far: 0 }, 100),
                (1000, calm(10), 20),
            ],
            24,
        ),
        Scale::Quick => (&[(20, calm(10), 5), (60, calm(50), 3)], 0),
    };
    let mut page = Page::new("membership", "Who is there", ABOUT);
    let mut wrong = 0;
    page.heading("A death in a site");
    let found = beside(detections, detection);
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|found| {
            wrong += found.tally.evictions + found.unseen as u64;
            vec![
                found.nodes.to_string(),
                weather(found.weather),
                found.all.len().to_string(),
                quantile(&found.first, 50),
                quantile(&found.all, 50),
                quantile(&found.all, 99),
                found.tally.evictions.to_string(),
                format!("{:.1}", found.links),
                format!("{} B/s", found.idle),
            ]
        })
        .collect();
    let head = [
        "nodes",
        "loss",
        "deaths",
        "first knows, p50",
        "all know, p50",
        "all know, p99",
        "wrong",
        "links",
        "idle, sent",
    ];
    page.table(&head, &rows);
    page.text(
        "The goal is 4 s for all, at 200 nodes and 1 % loss. **Wrong** are the times that some node took a living one for \
         gone. Links are those of one node; idle is what one node sends while nothing happens.",
    );
    if hours > 0 {
        page.heading(&format!("{hours} hours of 200 nodes, 5 % loss, 5 % slow"));
        let runs: Vec<(u64, u64)> = (1..=SOAKS).map(|seed| (hours / SOAKS, seed)).collect();
        let tallies = beside(&runs, soak);
        let (evictions, unreached) =
            tallies.iter().fold((0, 0), |(gone, aside), tally| (gone + tally.evictions, aside + tally.unreached));
        wrong += evictions;
        page.text(&format!(
            "{SOAKS} runs side by side. Nobody dies; each hour the way from one node to another is cut for a minute. Nodes taken for gone: {}. Times that a \
             node left a neighbour aside which it did not hear itself, and which the others heard: {}.",
            evictions, unreached
        ));
    }
    page.text("Seeds: 5 for deaths, 1 to 4 for the hours.");
    let mut study = page.ended();
    study.violations = wrong;
    study.first = (wrong > 0).then(|| "somebody who lived was taken for gone, or a death was not seen".to_owned());
    study
}
