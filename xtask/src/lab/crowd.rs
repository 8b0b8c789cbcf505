//! `cargo xtask mesh`: dozens of real nodes of one site, each on a machine of its own out of a network namespace, and what
//! their mesh costs and does: idle traffic, memory, a request beside plain QUIC, revocations, restarts, floods, detection.
//!
//! What must stay true: each figure is measured from outside of the nodes, by the kernel's counters, by what clients are
//! answered and by what nodes show; a goal that is missed is said to be, with what is known of why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::tidy::root;

use super::node::{Node, is_there, wait};
use super::{INSIDE, Lab, outside, settle};

mod board;
mod churn;
mod detect;
mod flood;
mod hall;
mod idle;
mod kills;
mod request;
mod revoke;
mod spread;
#[cfg(test)]
mod tests;
mod usage;
mod wire;
mod yields;

use board::Part;
use hall::Hall;

/// How a part is measured.
type Measure = fn(&Crowded) -> Result<Part, String>;

/// Which parts there are, in the order of the page.
const PARTS: &[(&str, Measure)] = &[
    ("idle", idle::part),
    ("request", request::part),
    ("revoke", revoke::part),
    ("churn", churn::part),
    ("flood", flood::part),
    ("detect", detect::part),
    ("spread", spread::part),
    ("ways", spread::ways),
    ("kills", kills::part),
    ("yields", yields::part),
];

/// Dozens of processes start and meet in some seconds; a busy machine takes longer.
const TOGETHER: Duration = Duration::from_secs(180);

/// Those who are revoked one after another, and some who see it.
const NODES_MIN: usize = 6;

/// Addresses of the hall.
const NODES_MAX: usize = 200;

/// Tries of one join.
const JOINS: u32 = 10;

/// How often a node is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Nodes that are looked at by one thread: a look takes some milliseconds.
const WATCHED_BY_ONE: usize = 8;

/// What a part is given.
struct Crowded {
    lab: Lab,
    /// Plain QUIC, requests and floods: the bench `wire` of hither-swarm.
    wire: PathBuf,
    /// Which commit the program is of; that of this checkout, unless told otherwise.
    commit: String,
    /// How many nodes, instead of what a part has in mind.
    nodes: Vec<usize>,
}

impl Crowded {
    /// The sizes of mesh to measure.
    fn counts(&self, quick: usize) -> Vec<usize> {
        if self.nodes.is_empty() { self.pick(vec![20, 60], vec![quick]) } else { self.nodes.clone() }
    }

    /// The larger number, or the smaller one of a quick run.
    fn pick<T>(&self, whole: T, quick: T) -> T {
        if self.lab.quick { quick } else { whole }
    }
}

struct Told {
    given: Crowded,
    parts: Vec<String>,
    to: PathBuf,
}

fn read(words: &[String]) -> Result<Told, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let lab = Lab {
        hither: target.join("release/hither"),
        previous: None,
        scratch: PathBuf::from(super::FILES).join("mesh"),
        logs: target.join("mesh"),
        seed: 1,
        quick: false,
        broken: false,
    };
    let mut told = Told {
        given: Crowded { lab, wire: PathBuf::new(), commit: board::head(), nodes: Vec::new() },
        parts: Vec::new(),
        to: root().join("docs/figures"),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--hither" => told.given.lab.hither = PathBuf::from(next()?),
            "--nodes" => told.given.nodes.push(next()?.parse().map_err(|error| format!("--nodes: {error}"))?),
            "--commit" => told.given.commit = next()?.clone(),
            "--wire" => told.given.wire = PathBuf::from(next()?),
            "--part" => told.parts.push(next()?.clone()),
            "--seed" => told.given.lab.seed = next()?.parse().map_err(|error| format!("--seed: {error}"))?,
            "--quick" => told.given.lab.quick = true,
            "--to" => told.to = PathBuf::from(next()?),
            other => return Err(format!("there is no {other:?}")),
        }
    }
    let known: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = told.parts.iter().find(|part| !known.contains(&part.as_str())) {
        return Err(format!("there is no part {unknown:?}; there are {}", known.join(", ")));
    }
    let lab = &mut told.given.lab;
    if told.given.nodes.iter().any(|count| !(NODES_MIN..=NODES_MAX).contains(count)) {
        return Err(format!("--nodes takes {NODES_MIN} to {NODES_MAX}"));
    }
    lab.hither = std::path::absolute(&lab.hither).map_err(|error| format!("--hither: {error}"))?;
    if !lab.hither.is_file() {
        return Err(format!("{} is not there; make it with: make build", lab.hither.display()));
    }
    Ok(told)
}

/// Measures the parts and writes the page, or renews the sections of those that were asked for. A quick run measures
/// less of everything and prints only.
///
/// # Errors
/// What is wrong with the words, or with the machine.
pub(crate) fn mesh(words: &[String]) -> Result<Vec<String>, String> {
    let told = read(words)?;
    if std::env::var_os(INSIDE).is_none() {
        let mut words = words.to_vec();
        let needs_wire = |part: &str| told.parts.is_empty() || told.parts.iter().any(|it| it == part);
        if told.given.wire.as_os_str().is_empty() && (needs_wire("request") || needs_wire("flood")) {
            // In there is no network, and cargo may want one.
            words.extend(["--wire".to_owned(), wire::built()?.display().to_string()]);
        }
        return outside("mesh", &words);
    }
    settle(&told.given.lab, &[("ip", "iproute2"), ("tc", "iproute2"), ("nsenter", "util-linux")])?;
    let file = told.to.join("mesh.md");
    let (mut faults, mut sections) = (Vec::new(), Vec::new());
    for (name, measure) in
        PARTS.iter().filter(|(name, _)| told.parts.is_empty() || told.parts.iter().any(|it| it == name))
    {
        let began = Instant::now();
        let lab = Lab {
            scratch: told.given.lab.scratch.join(name),
            logs: told.given.lab.logs.join(name),
            ..told.given.lab.clone_of()
        };
        let given = Crowded {
            lab,
            wire: told.given.wire.clone(),
            commit: told.given.commit.clone(),
            nodes: told.given.nodes.clone(),
        };
        let measured = measure(&given);
        match &measured {
            Ok(part) => faults.extend(part.failed.iter().map(|failed| format!("{name}: {failed}"))),
            Err(error) => faults.push(format!("{name}: {error}")),
        }
        let section = board::section(name, &measured, began.elapsed(), &given);
        println!("{section}");
        sections.push((*name, section));
        if !told.given.lab.quick {
            // After each part: a run that is cut off has not been for nothing.
            let old = std::fs::read_to_string(&file).unwrap_or_default();
            std::fs::write(&file, board::renewed(&old, &sections))
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    Ok(faults)
}

/// Nodes of one mesh, all at one site, and the network under them. Nodes go first.
struct Crowd {
    nodes: Vec<Node>,
    /// Their keys, in the same order.
    keys: Vec<String>,
    hall: Hall,
    logs: PathBuf,
}

impl Crowd {
    /// So many nodes that all see one another.
    fn of(lab: &Lab, count: usize) -> Result<Self, String> {
        Self::configured(lab, count, "")
    }

    /// The same, with more under `[models]` in their configuration.
    fn configured(lab: &Lab, count: usize, models: &str) -> Result<Self, String> {
        Self::at(lab, &vec!["hall"; count], models)
    }

    /// The same, each at a site.
    fn at(lab: &Lab, sites: &[&str], models: &str) -> Result<Self, String> {
        let count = sites.len();
        // Crowds of several sizes follow one another: each founds a mesh of its own.
        let scratch = lab.scratch.join(count.to_string());
        std::fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        let mut crowd = Self { nodes: Vec::new(), keys: Vec::new(), hall: Hall::new()?, logs: lab.logs.clone() };
        for number in 0..count {
            let name = format!("m{number:02}");
            let place = crowd.hall.machine(&name)?;
            let node = Node::new(&lab.hither, &scratch, &name, place)?;
            node.configure(models)?;
            crowd.nodes.push(node);
        }
        let founder = crowd.nodes.first().ok_or("a crowd of nobody")?;
        let site = sites.first().copied().unwrap_or_default();
        founder.run(&["init", "--site", site, "--jurisdiction", "DE", "--operator", "acme"])?;
        crowd.nodes.iter_mut().try_for_each(Node::start)?;
        for node in &mut crowd.nodes {
            node.ready()?;
        }
        for (node, site) in crowd.nodes.iter().zip(sites).skip(1) {
            join(&crowd.nodes[0], node, site)?;
        }
        for node in &crowd.nodes {
            let key = node.view()?["me"]["node"].as_str().map(str::to_owned);
            crowd.keys.push(key.ok_or_else(|| format!("{} has no key", node.name))?);
        }
        let all = vec![true; count];
        crowd.agree(&all, TOGETHER)?;
        Ok(crowd)
    }

    /// Waits until every node that lives shows exactly these as there and all others of the crowd as gone; says when the
    /// last did.
    fn agree(&self, alive: &[bool], bound: Duration) -> Result<Duration, String> {
        let since = Instant::now();
        let truth: BTreeMap<&str, bool> = self.keys.iter().map(String::as_str).zip(alive.iter().copied()).collect();
        let living: Vec<usize> = (0..self.nodes.len()).filter(|at| alive[*at]).collect();
        let agrees = |at: usize| self.shown(at).is_some_and(|shown| matches(&shown, &truth));
        let when = self.notice(&living, since, bound, &agrees);
        let late: Vec<String> = living
            .iter()
            .zip(&when)
            .filter(|(_, when)| when.is_none())
            .map(|(at, _)| self.wrong(*at, &truth))
            .collect();
        match late.is_empty() {
            true => Ok(when.into_iter().flatten().max().unwrap_or_default()),
            false => Err(format!("not within {:.0} s: {}", bound.as_secs_f64(), late.join("; "))),
        }
    }

    /// Whom a node shows as a member, and whether as there.
    fn shown(&self, at: usize) -> Option<BTreeMap<String, bool>> {
        let view = self.nodes[at].view().ok()?;
        let nodes = view["nodes"].as_array()?;
        nodes.iter().map(|node| Some((node["member"]["node"].as_str()?.to_owned(), is_there(node)))).collect()
    }

    /// What a node shows otherwise than it is, for a person.
    fn wrong(&self, at: usize, truth: &BTreeMap<&str, bool>) -> String {
        let name = &self.nodes[at].name;
        let Some(shown) = self.shown(at) else { return format!("{name} shows nothing") };
        let number = |key: &str| self.keys.iter().position(|known| known == key).map_or(999, |at| at);
        let otherwise = truth.iter().filter_map(|(key, there)| match shown.get(*key) {
            Some(shown) if shown == there => None,
            Some(true) => Some(format!("m{:02} as there", number(key))),
            Some(false) => Some(format!("m{:02} as gone", number(key))),
            None => Some(format!("m{:02} not at all", number(key))),
        });
        format!("{name} shows {}", otherwise.take(5).collect::<Vec<_>>().join(", "))
    }

    /// Looks at several nodes at once and says since a moment when each was first so.
    fn notice(
        &self,
        whom: &[usize],
        since: Instant,
        bound: Duration,
        look: &(dyn Fn(usize) -> bool + Sync),
    ) -> Vec<Option<Duration>> {
        let watch = |some: &[usize]| {
            let mut when = vec![None; some.len()];
            while when.contains(&None) && since.elapsed() < bound {
                for (at, when) in some.iter().zip(&mut when) {
                    if when.is_none() && look(*at) {
                        *when = Some(since.elapsed());
                    }
                }
                std::thread::sleep(LOOK);
            }
            when
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = whom.chunks(WATCHED_BY_ONE).map(|some| scope.spawn(move || watch(some))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("looking at a node does not panic")).collect()
        })
    }

    /// The stub model of this name, which these nodes hold and all others know of.
    fn hold(&self, name: &str, values: &str, holders: &[usize]) -> Result<(), String> {
        for at in holders {
            self.nodes[*at].add_stub(name, values)?;
        }
        for node in &self.nodes {
            let knows = || {
                let view = node.view().ok()?;
                let holds = |other: &&serde_json::Value| {
                    let models = other["models"].as_array();
                    models.is_some_and(|all| all.iter().any(|it| it["name"] == name && it["stage"] == "ready"))
                };
                (view["nodes"].as_array()?.iter().filter(holds).count() >= holders.len()).then_some(())
            };
            wait(&format!("{} knows who holds {name}", node.name), TOGETHER, knows)?;
        }
        Ok(())
    }
}

/// Measures meshes of several sizes. What one of them does not let be measured is said beside what the others did.
fn sizes<T>(counts: &[usize], mut measure: impl FnMut(usize) -> Result<T, String>) -> (Vec<T>, Vec<String>) {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for count in counts {
        match measure(*count) {
            Ok(measured) => found.push(measured),
            Err(error) => failed.push(format!("{count} nodes: {error}")),
        }
    }
    (found, failed)
}

/// Lets a node join. On a machine that is busy with others, a handshake may take longer than a node waits.
fn join(founder: &Node, node: &Node, site: &str) -> Result<(), String> {
    let mut last = Err(format!("{} did not join", node.name));
    for _ in 0..JOINS {
        let invite = founder.run(&["invite", "--site", site, "--jurisdiction", "DE"])?;
        last = node.run(&["join", invite["ticket"].as_str().ok_or("an invite has a ticket")?]).map(drop);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Whether what is shown is the truth: the same members, each as it is.
fn matches(shown: &BTreeMap<String, bool>, truth: &BTreeMap<&str, bool>) -> bool {
    shown.len() == truth.len() && truth.iter().all(|(key, there)| shown.get(*key) == Some(there))
}

impl Crowd {
    /// Ends all nodes and takes their directories away; their machines stay.
    fn leave(&mut self) {
        self.keep_logs();
        for node in std::mem::take(&mut self.nodes) {
            let data = node.data.clone();
            drop(node);
            // What stays takes memory until the run ends.
            let _ = std::fs::remove_dir_all(data);
        }
    }

    fn keep_logs(&self) {
        // Logs are for whoever looks into a failure; a run without them is a run all the same.
        let _ = std::fs::create_dir_all(&self.logs);
        for node in &self.nodes {
            let _ = std::fs::write(self.logs.join(format!("{}.log", node.name)), node.log());
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.keep_logs();
    }
}

/// SplitMix64: what a part draws, it draws from the seed.
struct Dice(u64);

impl Dice {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }
}

/// The least number that so large a share of these is not above.
fn quantile(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}
