//! One file on its way from one node to all others, each behind a line of the same speed; the same for others who can bring
//! it, on the same machines and lines, one after the other. And what goes between sites, what several givers are worth, and
//! one giver without a line beside plain iroh-blobs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::board::{Figure, Goal, Part, plain};
use super::hall::{Hall, Port};
use super::usage::micros;
use super::{Crowd, Crowded, Dice, TOGETHER, quantile};
use crate::lab::node::Node;

mod loopback;
mod rivals;
mod sites;
#[cfg(test)]
mod tests;
mod tracker;

use rivals::{Came, Place, RIVALS, Rival};

/// The last node's time over the bound.
const RATIO_MAX: f64 = 1.2;

/// The quickest rival's time over ours.
const RIVAL_MIN: f64 = 1.0;

/// Chunks of the files that travel here, whose lengths are powers of two.
const CHUNKS: u64 = 256;

/// A stub model is read no further than this.
const STUB: usize = 64 << 10;

/// The lines are said to be what is short if the processors had at least this much to spare.
const SPARE: f64 = 0.1;

/// One file to so many.
#[derive(Debug, Clone, Copy)]
struct Race {
    nodes: usize,
    /// Megabits a second of each line.
    megabits: u64,
    /// Length of the file.
    mebibytes: u64,
    /// Whether the rivals run, too.
    beside: bool,
}

const RACES: &[Race] = &[
    Race { nodes: 8, megabits: 50, mebibytes: 64, beside: false },
    Race { nodes: 24, megabits: 25, mebibytes: 64, beside: true },
    Race { nodes: 24, megabits: 100, mebibytes: 256, beside: true },
];

const QUICK: &[Race] = &[Race { nodes: 6, megabits: 100, mebibytes: 64, beside: true }];

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    let mut below = TABLE.to_owned();
    for race in given.pick(RACES, QUICK) {
        match run(given, *race) {
            Ok((found, table, wrong)) => {
                figures.extend(found);
                failed.extend(wrong);
                below += &table;
            }
            Err(error) => failed.push(format!("{} nodes, {} Mbit/s: {error}", race.nodes, race.megabits)),
        }
    }
    below += "\nHow the others are set:\n\n";
    for rival in RIVALS {
        below += &format!("- {} ({}): {}.\n", rival.name, rival.install, rival.settings);
    }
    Ok(Part { title: "A model on its way to all", about: ABOUT.to_owned(), figures, below, failed })
}

/// What goes between sites, what several givers are worth, and one giver without a line.
pub(super) fn ways(given: &Crowded) -> Result<Part, String> {
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for found in [sites::between(given), sites::several(given), loopback::beside_blobs(given)] {
        match found {
            Ok(found) => figures.extend(found),
            Err(error) => failed.push(error),
        }
    }
    let about = "As above. Between sites: the nodes are dealt out to the sites in turn, and a counter of the router (nftables) counts \
                 what goes from one site's addresses to another's, from the commands on until the last has the file. From several: one \
                 node fetches a file that one other holds, and then one of the same length that four hold. Without lines: two nodes, \
                 and the same file over plain iroh-blobs 0.104 (FsStore) between two processes on the same two machines, in turn.";
    Ok(Part {
        title: "Between sites, from several, and without lines",
        about: about.to_owned(),
        figures,
        below: String::new(),
        failed,
    })
}

const ABOUT: &str = "A stub model, filled up with noise, which one node of the site holds; all others are told to fetch it at \
the same moment. What each sends is held to its line by a token bucket of the kernel (tbf, 64 kB). The bound is that of a \
broadcast in 256 chunks, (M + ⌊log₂ N⌋) times what a chunk takes on a line (Mundinger, Weber, Weiss, 2008), with every byte of heads, \
proofs and acknowledgements on the line and none in the bound. After our nodes have ended, the others bring the same file over the \
same machines and lines, from the start of their processes on; torrents have 256 pieces, and their tracker, which has no line, \
tells all of all. How busy the processors were is the kernel's count for the whole machine. A server that alone gives to \
all is let run for 20 s, and the rest is reckoned from what had come by then.";

const TABLE: &str = "| race | who | last, s | over the bound | over ours | copies its holder sent | own processor time, s | processors busy |\n\
| --- | --- | --- | --- | --- | --- | --- | --- |\n";

/// What a race came to, and what it took.
pub(super) struct Ran {
    came: Came,
    /// Bytes that each machine sent.
    sent: BTreeMap<String, u64>,
    /// Processor time of the processes, in microseconds.
    spent: u64,
    /// The share of all processors of the machine that was busy.
    busy: f64,
}

impl Ran {
    pub(super) fn last(&self) -> f64 {
        match &self.came {
            Came::All(took) => quantile(took, 1.0),
            Came::Rate(last) | Came::Beyond(last, _) => *last,
        }
    }

    /// The last one's seconds, for a person.
    fn said(&self) -> String {
        match self.came {
            Came::All(_) => format!("{:.1}", self.last()),
            Came::Rate(last) => format!("{last:.1} (reckoned)"),
            Came::Beyond(last, here) => format!("more than {last:.1} ({here} had it)"),
        }
    }
}

/// The counters of a race before it began.
struct Meter {
    since: Instant,
    ports: BTreeMap<String, Port>,
    processors: [u64; 2],
}

impl Meter {
    fn start(hall: &Hall) -> Result<Self, String> {
        Ok(Self { since: Instant::now(), ports: hall.ports()?, processors: processors() })
    }

    fn read(&self, hall: &Hall, came: Came, spent: u64) -> Result<Ran, String> {
        let ([busy, all], before) = (processors(), self.processors);
        let of = |name: &str| self.ports.get(name).map_or(0, |port| port.sent);
        let sent = hall.ports()?.iter().map(|(name, port)| (name.clone(), port.sent - of(name))).collect();
        let busy = (busy - before[0]) as f64 / (all - before[1]).max(1) as f64;
        Ok(Ran { came, sent, spent, busy })
    }
}

/// What all processors together have done so far, and how long they have been there, in ticks.
fn processors() -> [u64; 2] {
    busy_of(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn busy_of(stat: &str) -> [u64; 2] {
    let line = stat.lines().next().unwrap_or_default();
    // user, nice, system, idle, waiting for a disk, interrupts, soft interrupts, taken by the host
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|ticks| ticks.parse().ok()).collect();
    let all = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    [all - idle, all]
}

/// A stub model of so many mebibytes. What follows its text is noise.
pub(super) fn filled(path: &Path, mebibytes: u64, seed: u64) -> Result<(), String> {
    let mut bytes = b"hither-stub 1\nkind=infer\n".to_vec();
    bytes.resize(STUB, b'\n');
    let mut dice = Dice(seed);
    while (bytes.len() as u64) < mebibytes << 20 {
        bytes.extend_from_slice(&(dice.below(usize::MAX) as u64).to_le_bytes());
    }
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Lets some nodes fetch a model that they know of, and says when each had it.
pub(super) fn fetched(
    crowd: &Crowd,
    whom: &[usize],
    model: &str,
    files: usize,
    patience: Duration,
) -> Result<Ran, String> {
    let spent = || -> u64 {
        let ids = crowd.nodes.iter().filter_map(|node| u32::try_from(node.process()?.as_raw_nonzero().get()).ok());
        ids.map(micros).sum()
    };
    let (meter, before) = (Meter::start(&crowd.hall)?, spent());
    std::thread::scope(|scope| {
        let pull = |at: &usize| crowd.nodes[*at].run(&["models", "pull", model]);
        let pulls: Vec<_> = whom.iter().map(|at| scope.spawn(move || pull(at))).collect();
        pulls.into_iter().try_for_each(|pull| pull.join().expect("typing a command does not panic").map(drop))
    })?;
    let has = |at: usize| crowd.nodes[at].complete_files().len() >= files;
    let when = crowd.notice(whom, meter.since, patience, &has);
    let took: Option<Vec<f64>> = when.iter().map(|when| when.map(|when| when.as_secs_f64())).collect();
    let took = took.ok_or_else(|| {
        format!("{} have no file after {patience:?}", when.iter().filter(|when| when.is_none()).count())
    })?;
    meter.read(&crowd.hall, Came::All(took), spent() - before)
}

/// Waits until everybody knows of a model.
pub(super) fn known(nodes: &[Node], model: &str) -> Result<(), String> {
    nodes.iter().try_for_each(|node| {
        let knows = || node.view().ok()?["models"].as_array()?.iter().any(|it| it["name"] == model).then_some(());
        super::wait(&format!("{} knows the model", node.name), TOGETHER, knows).map(drop)
    })
}

type Found = (Vec<Figure>, String, Vec<String>);

fn run(given: &Crowded, race: Race) -> Result<Found, String> {
    let lab = &given.lab;
    let scratch = lab.scratch.join(format!("{}-{}", race.nodes, race.megabits));
    std::fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let file = scratch.join("model");
    filled(&file, race.mebibytes, lab.seed)?;
    // Nobody opens the model for good: memory for it is none of this.
    let lab = super::Lab { scratch: scratch.clone(), ..lab.clone_of() };
    let mut crowd = Crowd::configured(&lab, race.nodes, "memory_mb = 1\n")?;
    crowd.nodes[0].add(&file, "model")?;
    known(&crowd.nodes, "model")?;
    for node in &crowd.nodes {
        crowd.hall.bound(&node.name, race.megabits * 1_000_000)?;
    }
    let whom: Vec<usize> = (1..race.nodes).collect();
    let patience = Duration::from_secs_f64(race.bound() * 4.0 + 30.0);
    let ours = fetched(&crowd, &whom, "model", 1, patience)?;
    let addresses: Vec<(String, String)> =
        crowd.nodes.iter().map(|node| (format!("n-{}", node.name), node.mesh.replace(":7000", ""))).collect();
    crowd.leave();
    let places: Vec<Place> = addresses.iter().map(|(space, address)| Place { space, address }).collect();
    print!("{}", race.row("hither", &ours, &ours));
    let (mut figures, mut table, mut failed) = (race.ours(&ours), race.row("hither", &ours, &ours), Vec::new());
    let mut quickest: Option<(&str, f64)> = None;
    for rival in RIVALS.iter().filter(|_| race.beside) {
        let ran = match rival.is_here() {
            true => rival.race((&crowd.hall, &places), (&file, &scratch), race.patience()),
            false => Err(format!("{}: not run: it is not installed ({})", rival.name, rival.install)),
        };
        match ran {
            Ok(ran) => {
                print!("{}", race.row(rival.name, &ran, &ours));
                let before = quickest.map_or(f64::INFINITY, |(_, last)| last);
                let whole = matches!(ran.came, Came::All(_));
                quickest = if whole && ran.last() < before { Some((rival.name, ran.last())) } else { quickest };
                table += &race.row(rival.name, &ran, &ours);
                figures.push(race.rival(rival, &ran, &ours));
            }
            Err(error) => failed.push(format!("{}: {error}", race.name())),
        }
    }
    if let Some((name, last)) = quickest {
        figures.push(
            Figure::told(
                format!("{}: the quickest of the others ({name}) over ours", race.name()),
                last / ours.last(),
                "×",
            )
            .goal(Goal::AtLeast(RIVAL_MIN))
            .why(short(&ours)),
        );
    }
    let _ = std::fs::remove_dir_all(&scratch);
    Ok((figures, table, failed))
}

/// What was short, as far as the counters say.
fn short(ran: &Ran) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let own = ran.spent as f64 / 1e6 / ran.last() / cores;
    let busy = format!(
        "the processors were busy for {:.0} % of the time (our own processes {:.0} %, the rest is the kernel's work for the \
         network and whatever else ran)",
        ran.busy * 100.0,
        own * 100.0
    );
    if ran.busy > 1.0 - SPARE {
        format!("{busy}: they are what is short")
    } else {
        format!("{busy}: the lines are what is short, and heads, proofs and acknowledgements take their part of them")
    }
}

impl Race {
    /// What nobody can do better, in seconds.
    fn bound(self) -> f64 {
        let length = (self.mebibytes << 20) as f64;
        let receivers = (self.nodes - 1) as f64;
        (1.0 + receivers.log2().floor() / CHUNKS as f64) * length * 8.0 / (self.megabits as f64 * 1e6)
    }

    /// How long the others are let run.
    fn patience(self) -> Duration {
        Duration::from_secs_f64(self.bound() * 2.5 + 10.0)
    }

    fn name(self) -> String {
        format!("{} nodes, lines of {} Mbit/s, {} MiB", self.nodes, self.megabits, self.mebibytes)
    }

    fn length(self) -> f64 {
        (self.mebibytes << 20) as f64
    }

    fn ours(self, ran: &Ran) -> Vec<Figure> {
        let took = match &ran.came {
            Came::All(took) => took.clone(),
            Came::Rate(last) | Came::Beyond(last, _) => vec![*last],
        };
        let all: u64 = ran.sent.values().sum();
        let holder = ran.sent.get("m00").copied().unwrap_or(0) as f64 / self.length();
        vec![
            Figure::told(format!("{}: the last has it, over the bound", self.name()), ran.last() / self.bound(), "×")
                .goal(Goal::AtMost(RATIO_MAX))
                .more(format!(
                    "first {:.1} s, p50 {:.1} s, last {:.1} s; bound {:.1} s",
                    quantile(&took, 0.0),
                    quantile(&took, 0.5),
                    ran.last(),
                    self.bound()
                ))
                .why(short(ran)),
            Figure::told("copies that its holder sent", holder, "×").more(format!(
                "all together {:.2} copies for each receiver",
                all as f64 / (self.nodes - 1) as f64 / self.length()
            )),
        ]
    }

    fn rival(self, rival: &Rival, ran: &Ran, ours: &Ran) -> Figure {
        Figure::told(format!("{}: {} over the bound", self.name(), rival.name), ran.last() / self.bound(), "×")
            .more(format!("last {} s; {} × ours", ran.said(), plain(ran.last() / ours.last())))
    }

    fn row(self, who: &str, ran: &Ran, ours: &Ran) -> String {
        format!(
            "| {} | {who} | {} | {} × | {} × | {} | {:.1} | {:.0} % |\n",
            self.name(),
            ran.said(),
            plain(ran.last() / self.bound()),
            plain(ran.last() / ours.last()),
            plain(ran.sent.get("m00").copied().unwrap_or(0) as f64 / self.length()),
            ran.spent as f64 / 1e6,
            ran.busy * 100.0
        )
    }
}

/// A directory of a part of its own, and a lab that lives in it.
fn apart(given: &Crowded, name: &str) -> Result<(super::Lab, PathBuf), String> {
    let scratch = given.lab.scratch.join(name);
    std::fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    Ok((super::Lab { scratch: scratch.clone(), ..given.lab.clone_of() }, scratch))
}
