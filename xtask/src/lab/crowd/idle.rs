//! A mesh in which nobody asks for anything: bytes on the wire, memory, processor time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::board::{Figure, Goal, Part, per_day, plain};
use super::usage::{micros, proportional, tree};
use super::{Crowd, Crowded, quantile, sizes};

/// Bytes a second of one node, what it sends and what it hears together.
const TRAFFIC_MAX: f64 = 1000.0;

/// Memory of all 60 nodes together.
const MEMORY_MAX_MB: f64 = 2500.0;

/// What others say while nobody wants anything, by what people measured of them and published.
const OTHERS: &str = "For comparison, what users of others told of one idle node: EdgeVPN 1.8 GB in 7 hours \
(mudler/edgevpn issue 47), which is about 6 GB a day; Tailscale about 30 MB a day (tailscale/tailscale issue 11903).";

/// The counters of all nodes at one moment.
struct Counted {
    at: Instant,
    ports: BTreeMap<String, super::hall::Port>,
    micros: Vec<u64>,
    told: BTreeMap<String, f64>,
}

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let (settle, measure) = given.pick((120, 180), (5, 10));
    let (found, failed) = sizes(&given.counts(8), |count| {
        let crowd = Crowd::of(&given.lab, count)?;
        let all: Vec<usize> = (0..count).collect();
        crowd.hold("talker", "token_us=1000 length=100 slots=2", &all)?;
        std::thread::sleep(Duration::from_secs(settle));
        let before = counted(&crowd)?;
        std::thread::sleep(Duration::from_secs(measure));
        let after = counted(&crowd)?;
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        let mut figures = traffic(count, &before, &after, seconds);
        figures.extend(taken(&crowd, &before, &after, seconds)?);
        Ok((figures, kinds(count, &before.told, &after.told, count as f64 * seconds)))
    });
    let (figures, below): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    Ok(Part {
        title: "An idle mesh",
        about: format!(
            "Nodes with one open model each, {settle} s after they had all seen one another and each model: {measure} s in which \
             nobody asked for anything. Bytes are those of IP packets at each node's port, headers of IP and UDP included. {OTHERS}"
        ),
        figures: figures.into_iter().flatten().collect(),
        below: below.join("\n"),
        failed,
    })
}

fn counted(crowd: &Crowd) -> Result<Counted, String> {
    // The nodes' own counters first and last: to read them is no traffic of theirs.
    let told = told(crowd);
    let micros = processes(crowd).iter().map(|tree| tree.iter().copied().map(micros).sum()).collect();
    Ok(Counted { at: Instant::now(), ports: crowd.hall.ports()?, micros, told })
}

/// The processes of each node: itself and its workers.
fn processes(crowd: &Crowd) -> Vec<Vec<u32>> {
    let ids = crowd.nodes.iter().filter_map(|node| u32::try_from(node.process()?.as_raw_nonzero().get()).ok());
    ids.map(tree).collect()
}

/// Sums over all nodes of what they count of their connections; empty for a program that does not.
fn told(crowd: &Crowd) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for node in &crowd.nodes {
        let Ok(answer) = node.api().and_then(|api| api.get("/metrics")) else { continue };
        let text = answer.body.as_str().unwrap_or_default();
        for line in text.lines().filter(|line| line.starts_with("hither_wire_") || line.starts_with("hither_talk_")) {
            if let Some((name, value)) = line.rsplit_once(' ') {
                *sums.entry(name.to_owned()).or_default() += value.parse::<f64>().unwrap_or(0.0);
            }
        }
    }
    sums
}

fn traffic(count: usize, before: &Counted, after: &Counted, seconds: f64) -> Vec<Figure> {
    let rates = |of: fn(&super::hall::Port) -> u64| -> Vec<f64> {
        let ports = before.ports.iter().filter_map(|(name, old)| Some((old, after.ports.get(name)?)));
        ports.map(|(old, new)| (of(new) - of(old)) as f64 / seconds).collect()
    };
    let (sent, both) = (rates(|port| port.sent), rates(|port| port.sent + port.received));
    let packets = rates(|port| port.packets);
    let (middle, most) = (quantile(&both, 0.5), quantile(&both, 1.0));
    let why = "a node and each of its neighbours, six and at a gateway more, call one another once a second, and answer: three \
               packets, of which two thirds are heads of IP, UDP and QUIC, and acknowledgements. With four neighbours it is \
               half, but of 16 times that half of a hundred nodes died at once, two were not settled within 60 s, in the \
               simulator (5.4 to 8.2 s with six)";
    vec![
        Figure::told(format!("{count} nodes: bytes a second of one node, sent and received, p50"), middle, "B/s")
            .goal(Goal::AtMost(TRAFFIC_MAX))
            .more(per_day(middle))
            .why(why),
        Figure::told(format!("{count} nodes: the busiest of them"), most, "B/s")
            .goal(Goal::AtMost(TRAFFIC_MAX))
            .more(per_day(most))
            .why(why),
        Figure::told("of these sent, p50", quantile(&sent, 0.5), "B/s")
            .more(format!("most {} B/s", plain(quantile(&sent, 1.0)))),
        Figure::told("packets a second of one node, both ways, p50", quantile(&packets, 0.5), "/s"),
    ]
}

fn taken(crowd: &Crowd, before: &Counted, after: &Counted, seconds: f64) -> Result<Vec<Figure>, String> {
    let trees = processes(crowd);
    let memory = |process: u32| proportional(process).map(|bytes| bytes as f64 / 1e6);
    let nodes: Option<Vec<f64>> = trees.iter().map(|tree| memory(tree[0])).collect();
    let all: Option<Vec<f64>> = trees.iter().map(|tree| tree.iter().copied().map(memory).sum()).collect();
    let (nodes, all) = nodes.zip(all).ok_or("the kernel does not say what a node takes")?;
    let spent: Vec<f64> = before
        .micros
        .iter()
        .zip(&after.micros)
        .map(|(old, new)| new.saturating_sub(*old) as f64 / seconds / 1e4)
        .collect();
    let total: f64 = all.iter().sum();
    Ok(vec![
        Figure::told(format!("{} nodes: memory of all nodes and their workers (PSS)", all.len()), total, "MB")
            .goal(Goal::AtMost(MEMORY_MAX_MB * all.len() as f64 / 60.0))
            .more(format!(
                "a node {} MB (most {}), its worker {} MB",
                plain(quantile(&nodes, 0.5)),
                plain(quantile(&nodes, 1.0)),
                plain((total - nodes.iter().sum::<f64>()) / all.len() as f64)
            )),
        Figure::told("processor time of one node and its worker, p50", quantile(&spent, 0.5), "% of a core")
            .more(format!("most {}; all together {} %", plain(quantile(&spent, 1.0)), plain(spent.iter().sum()))),
    ])
}

/// Where the bytes go, as the nodes themselves count them.
fn kinds(count: usize, before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, node_seconds: f64) -> String {
    let mut text = format!(
        "{count} nodes: what a node itself counts, a second of one node (UDP payload; small talk without what QUIC \
         adds):\n\n| counter | a second |\n| --- | --- |\n"
    );
    let mut rows = 0;
    for (name, value) in after {
        let rate = (value - before.get(name).copied().unwrap_or(0.0)) / node_seconds;
        if rate > 0.0 {
            rows += 1;
            text += &format!("| `{}` | {} |\n", name.replace('"', ""), plain(rate));
        }
    }
    if rows == 0 { "This program does not count what goes over its connections.".to_owned() } else { text }
}
