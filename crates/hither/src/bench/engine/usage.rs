//! What a process and all that it started use: processor time and memory.

use std::collections::BTreeMap;
use std::path::Path;

use crate::bench::processor::Process;
use crate::demo::failed;
use crate::output::Trouble;

#[cfg(test)]
mod tests;

/// Ticks of `/proc/PID/stat` in a second: the same on every architecture that this program is built for.
const TICKS_PER_SECOND: u64 = 100;

/// A process and its descendants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree {
    root: u32,
}

impl Tree {
    /// The tree of a process that runs.
    pub(super) fn of(root: u32) -> Result<Self, Trouble> {
        let tree = Self { root };
        match tree.members()?.is_empty() {
            true => Err(failed(format!("there is no process {root}"))),
            false => Ok(tree),
        }
    }

    /// This program alone: its children are what it measures.
    pub(super) fn own_micros() -> Result<u64, Trouble> {
        let process = Process::read(Path::new("/proc/self"));
        process.map(|process| micros(process.ticks)).ok_or_else(|| failed("/proc/self/stat cannot be read"))
    }

    /// Processor time so far, in microseconds, to the kernel's ten milliseconds.
    pub(super) fn micros(self) -> Result<u64, Trouble> {
        Ok(self.members()?.values().map(|ticks| micros(*ticks)).sum())
    }

    /// Memory in bytes: a page that several share counts in parts, so that it counts once.
    pub(super) fn memory(self) -> Result<u64, Trouble> {
        let mut sum = 0;
        for id in self.members()?.keys() {
            // One that ends while it is looked at has no memory any more.
            sum += memory(Path::new(&format!("/proc/{id}"))).unwrap_or(0);
        }
        Ok(sum)
    }

    fn members(self) -> Result<BTreeMap<u32, u64>, Trouble> {
        let entries = std::fs::read_dir("/proc").map_err(|error| failed(format!("cannot read /proc: {error}")))?;
        let all = entries.flatten().filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse::<u32>().ok()?;
            let process = Process::read(&entry.path())?;
            Some((id, process.parent, process.ticks))
        });
        Ok(below(self.root, &all.collect::<Vec<_>>()))
    }
}

/// The ticks of a process and of all below it, from all processes with their parents.
fn below(root: u32, all: &[(u32, u32, u64)]) -> BTreeMap<u32, u64> {
    let mut found: BTreeMap<u32, u64> =
        all.iter().filter(|(id, ..)| *id == root).map(|(id, _, ticks)| (*id, *ticks)).collect();
    loop {
        let before = found.len();
        for (id, parent, ticks) in all {
            if found.contains_key(parent) {
                found.insert(*id, *ticks);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// What the kernel says of one process: the proportional size where that may be read, else the resident size.
fn memory(dir: &Path) -> Option<u64> {
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(dir.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    field("smaps_rollup", "Pss:").or_else(|| field("status", "VmRSS:"))
}

fn micros(ticks: u64) -> u64 {
    ticks * (1_000_000 / TICKS_PER_SECOND)
}
