//! One file on its way to many: how far from the bound the last has it, what goes over the long way, and what deaths cost.

use super::table::{Page, Study};
use super::{Scale, beside};
use crate::torrent::{Setting, Torrent};

const ABOUT: &str = "The production code of `hither_core::distribution` alone, over lines in miniature. Each node sends \
100 Mbit/s to other sites and 1 Gbit/s within its own, one chunk after the other; between sites a word or the first bit of a \
chunk takes 5–50 ms, within one 0.2 ms. What a node receives is not bounded. One node has the file when it begins. **The bound** \
is that of a broadcast with equal uploads and without any delay: (M + ⌊log₂ N⌋) times what a chunk takes on a line, for M chunks \
and N receivers (Mundinger, Weber, Weiss 2008). Each node has picked ten others at random and is known to those that picked it. \
The times are those of the last of those who live.";

const MIB: u64 = 1 << 20;
const FAR: u64 = 12_500_000;
/// No run takes so long.
const END: u64 = 3_600_000_000;

/// What happens to a file on its way.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Nothing,
    /// So many of a hundred receivers die when half of the bound's time is over.
    Deaths(usize),
    /// The one that had it dies as soon as each chunk has left it once.
    SeedLost,
    /// So many of a hundred receivers promise and give nothing, and are left alone after 5 s.
    Stalls(usize),
}

/// Receivers, chunks, MiB of each, trouble, and the seed.
type Run = (usize, u32, u64, Trouble, u64);

struct Found {
    run: Run,
    bound: f64,
    /// When the last had it, and the median; `None` if somebody never had.
    times: Option<(f64, f64)>,
    /// Bytes sent over bytes needed by those who live.
    sent: f64,
    words: f64,
}

fn setting(sites: Vec<usize>, chunks: u32, chunk: u64, picks: (usize, usize), seed: u64) -> Setting {
    Setting {
        sites,
        chunks,
        chunk,
        far: FAR,
        near: 10 * FAR,
        way: (5_000, 50_000),
        at_once: 1,
        picks: picks.0,
        picks_near: picks.1,
        seed,
    }
}

fn run(job: &Run) -> Found {
    let (nodes, chunks, mib, trouble, seed) = *job;
    let mut torrent = Torrent::new(setting(vec![1; nodes + 1], chunks, mib * MIB, (10, 0), seed));
    let line = (mib * MIB) as f64 / FAR as f64;
    let bound = f64::from(chunks + nodes.ilog2()) * line;
    match trouble {
        Trouble::Nothing => {}
        Trouble::Deaths(percent) => {
            torrent.run((bound * 0.5e6) as u64);
            (1..=nodes * percent / 100).for_each(|dead| torrent.kill(dead));
        }
        Trouble::SeedLost => {
            let mut until = (f64::from(chunks) * line * 1e6) as u64;
            torrent.run(until);
            while torrent.outside() < chunks && until < END {
                until += 100_000;
                torrent.run(until);
            }
            torrent.kill(0);
        }
        Trouble::Stalls(percent) => (1..=nodes * percent / 100).for_each(|at| torrent.stall(at)),
    }
    let all = torrent.run(END);
    let mut done: Vec<u64> = torrent.done().into_iter().flatten().collect();
    done.sort_unstable();
    let seconds = |micros: u64| micros as f64 / 1e6;
    let times = done.last().filter(|_| all).map(|last| (seconds(*last), seconds(done[done.len() / 2])));
    let needed = (done.len().saturating_sub(1) as u64 * u64::from(chunks) * mib * MIB).max(1);
    let words = torrent.words as f64 / (done.len().max(1) as f64 * f64::from(chunks));
    Found { run: *job, bound, times, sent: torrent.bytes[0] as f64 / needed as f64, words }
}

impl Found {
    fn ratio(&self) -> Option<f64> {
        self.times.map(|(last, _)| last / self.bound)
    }

    fn cells(&self, goal: f64) -> Vec<String> {
        let (nodes, chunks, mib, trouble, _) = self.run;
        let trouble = match trouble {
            Trouble::Nothing => "–".to_owned(),
            Trouble::Deaths(percent) => format!("{percent} % die half-way"),
            Trouble::SeedLost => "the first holder dies".to_owned(),
            Trouble::Stalls(percent) => format!("{percent} % give nothing"),
        };
        let mut cells =
            vec![nodes.to_string(), format!("{chunks} × {mib} MiB"), trouble, format!("{:.2} s", self.bound)];
        match (self.times, self.ratio()) {
            (Some((last, median)), Some(ratio)) => {
                let verdict = if ratio <= goal { "met" } else { "**missed**" };
                cells.extend([format!("{median:.2} s"), format!("{last:.2} s"), format!("{ratio:.3}")]);
                cells.push(format!("{verdict} (≤ {goal})"));
            }
            _ => cells.extend(["–".to_owned(), "never".to_owned(), "–".to_owned(), "**missed**".to_owned()]),
        }
        cells.extend([format!("{:.3}", self.sent), format!("{:.0}", self.words)]);
        cells
    }
}

const HEAD: [&str; 10] = [
    "receivers",
    "file",
    "trouble",
    "bound",
    "median",
    "last",
    "last / bound",
    "goal",
    "sent / needed",
    "words per chunk",
];

/// Sites, nodes of each, chunks, and the seed.
type Sites = (usize, usize, u32, u64);

fn sites(job: &Sites) -> (Vec<String>, bool) {
    let (sites, size, chunks, seed) = *job;
    let mut torrent = Torrent::new(setting(vec![size; sites], chunks, MIB, (8, 8), seed));
    let all = torrent.run(END);
    let file = (u64::from(chunks) * MIB) as f64;
    let far = torrent.bytes[0] as f64 / ((sites - 1) as f64 * file);
    let last = torrent.done().into_iter().flatten().max().unwrap_or(0) as f64 / 1e6;
    let verdict = if all && far <= 1.05 { "met (≤ 1.05)" } else { "**missed** (≤ 1.05)" };
    let near = torrent.bytes[1] as f64 / ((sites * (size - 1)) as f64 * file);
    let cells = vec![
        format!("{sites} × {size}"),
        format!("{chunks} × 1 MiB"),
        format!("{last:.2} s"),
        format!("{:.2} s", file / FAR as f64),
        format!("{far:.3}"),
        verdict.to_owned(),
        format!("{near:.3}"),
    ];
    (cells, all)
}

/// One file on its way to many.
pub(super) fn distribution(scale: Scale) -> Study {
    use Trouble::{Deaths, Nothing, SeedLost, Stalls};
    let (calm, troubled, places): (&[Run], &[Run], &[Sites]) = match scale {
        Scale::Full => (
            &[
                (100, 256, 1, Nothing, 1),
                (100, 1024, 1, Nothing, 1),
                (1000, 256, 1, Nothing, 1),
                (1000, 256, 4, Nothing, 1),
                (1000, 1024, 1, Nothing, 1),
            ],
            &[
                (100, 256, 1, Deaths(10), 1),
                (100, 256, 1, Deaths(50), 1),
                (1000, 256, 1, Deaths(50), 1),
                (100, 256, 1, SeedLost, 1),
                (100, 256, 1, Stalls(5), 1),
            ],
            &[(4, 6, 256, 1), (10, 10, 256, 1), (24, 4, 256, 1), (50, 20, 256, 1)],
        ),
        Scale::Quick => (&[(20, 64, 1, Nothing, 1)], &[(20, 64, 1, Deaths(50), 1)], &[(3, 4, 64, 1)]),
    };
    let mut page = Page::new("distribution", "A file on its way to many", ABOUT);
    let mut unfinished = 0;
    page.heading("Everybody stays");
    let found = beside(calm, run);
    unfinished += found.iter().filter(|found| found.times.is_none()).count();
    page.table(&HEAD, &found.iter().map(|found| found.cells(1.05)).collect::<Vec<_>>());
    page.text(
        "What is lost is the beginning, when few have anything: a chunk is told of, offered and fetched before the next node can \
         pass it on, so that the delays of a doubling count ten times for a thousand receivers, and the more the shorter a chunk \
         takes. Words are offers, refusals, and what is here or on its way, of all nodes over all chunks that were needed.",
    );
    page.heading("Some die, or give nothing");
    let found = beside(troubled, run);
    unfinished += found.iter().filter(|found| found.times.is_none()).count();
    page.table(&HEAD, &found.iter().map(|found| found.cells(1.10)).collect::<Vec<_>>());
    page.text(
        "A death is noticed after a second. Sent over needed counts what went to those who died as sent and not as needed. \
         Whoever gives nothing promises as much as others do.",
    );
    page.heading("Sites");
    let found = beside(places, sites);
    unfinished += found.iter().filter(|(_, all)| !all).count();
    let rows: Vec<Vec<String>> = found.into_iter().map(|(cells, _)| cells).collect();
    let head =
        ["sites × nodes", "file", "last", "one line alone", "far bytes / (S − 1) · F", "goal", "near bytes / needed"];
    page.table(&head, &rows);
    page.text(
        "Each node has an uplink of its own, so a site with more nodes sends more. One line alone is what the file takes from one \
         node to one other. Each node picks eight partners at other sites and eight at its own.",
    );
    page.text("Seed 1 in all runs.");
    let mut study = page.ended();
    study.violations = unfinished as u64;
    study.first = (unfinished > 0).then(|| "somebody never had the whole file".to_owned());
    study
}
