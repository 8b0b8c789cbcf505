//! A node that is killed again and again while it fetches: it goes on where it was, and never takes for the file what is not.

use std::path::Path;
use std::time::Duration;

use super::board::{Figure, Goal, Part};
use super::spread::{filled, known};
use super::{Crowd, Crowded, Dice, TOGETHER};
use crate::lab::node::{Node, wait};

/// Length of the file: 256 chunks of 64 KiB.
const MEBIBYTES: u64 = 16;

/// Megabits a second of the giver's line, on which the file takes 1.4 s.
const MEGABITS: u64 = 100;

/// A kill comes at any instant until this, from the command on: before the first byte, and after the last.
const LATEST_MS: usize = 1_600;

/// What the giver may send for each file that got whole: what was on its way at a kill comes again.
const COPIES_MAX: f64 = 1.3;

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let kills = given.pick(200, 20);
    let lab = &given.lab;
    std::fs::create_dir_all(&lab.scratch).map_err(|error| format!("{}: {error}", lab.scratch.display()))?;
    let file = lab.scratch.join("model");
    filled(&file, MEBIBYTES, lab.seed)?;
    let source = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut crowd = Crowd::configured(lab, 2, "memory_mb = 1\n")?;
    crowd.nodes[0].add(&file, "model")?;
    known(&crowd.nodes, "model")?;
    crowd.hall.bound("m00", MEGABITS * 1_000_000)?;
    let (mut dice, mut tally, before) = (Dice(lab.seed), Tally::default(), crowd.hall.ports()?);
    for round in 0..kills {
        let node = &mut crowd.nodes[1];
        // A kill may come before the fetch of the round before was forgotten.
        node.run(&["models", "pull", "model"]).map_err(|error| format!("round {round}: {error}"))?;
        std::thread::sleep(Duration::from_millis(dice.below(LATEST_MS) as u64));
        node.kill();
        tally.count(node, &source)?;
        node.up()?;
        known(std::slice::from_ref(node), "model")?;
    }
    // What is here of it by now gets whole, too.
    let node = &mut crowd.nodes[1];
    node.run(&["models", "pull", "model"])?;
    wait("the last fetch ends", TOGETHER, || (!node.complete_files().is_empty()).then_some(()))?;
    node.kill();
    tally.count(node, &source)?;
    let sent =
        crowd.hall.ports()?.get("m00").map_or(0, |port| port.sent) - before.get("m00").map_or(0, |port| port.sent);
    let Tally { whole, wrong, middle, begun } = tally;
    let copies = sent as f64 / source.len() as f64 / f64::from(whole);
    Ok(Part {
        title: "Killed while it fetches",
        about: format!(
            "A node fetches a file of {MEBIBYTES} MiB over a line of {MEGABITS} Mbit/s, which takes 1.4 s, is killed (kill -9) \
             at an instant drawn from seed {} within {:.1} s of the command, is started again and told to fetch again, {kills} \
             times. After each kill, what lies there as a whole file is compared with the giver's, byte for byte, and taken \
             away. The machine's power is not cut: what the kernel had taken from the process is there.",
            lab.seed,
            LATEST_MS as f64 / 1e3
        ),
        figures: vec![
            Figure::told("whole files that were not the file", f64::from(wrong), "").goal(Goal::AtMost(0.0)),
            Figure::told("copies that the giver sent for each that got whole", copies, "×")
                .goal(Goal::AtMost(COPIES_MAX))
                .more(format!("{whole} got whole"))
                .why("what was on its way at a kill comes again"),
            Figure::told("kills in the middle of a fetch", f64::from(middle), "")
                .more(format!("of {kills}; {begun} of them with some of the file on the disk")),
        ],
        below: String::new(),
        failed: Vec::new(),
    })
}

/// What lay there after the kills.
#[derive(Debug, Default)]
struct Tally {
    whole: u32,
    wrong: u32,
    /// Kills after which the file was not whole.
    middle: u32,
    /// Of these, those with some of it.
    begun: u32,
}

impl Tally {
    /// Looks at what a killed node left, and takes whole files away.
    fn count(&mut self, node: &Node, source: &[u8]) -> Result<(), String> {
        let files = node.complete_files();
        if files.is_empty() {
            self.middle += 1;
            self.begun += u32::from(has_some(&node.data.join("models/partial")));
            return Ok(());
        }
        for (path, _) in files {
            let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if bytes == source {
                self.whole += 1;
            } else {
                self.wrong += 1;
            }
        }
        let complete = node.data.join("models/complete");
        std::fs::remove_dir_all(&complete)
            .and_then(|()| std::fs::create_dir(&complete))
            .map_err(|error| format!("{}: {error}", complete.display()))
    }
}

fn has_some(partial: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let files = std::fs::read_dir(partial).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).any(|file| file.blocks() > 0)
}
