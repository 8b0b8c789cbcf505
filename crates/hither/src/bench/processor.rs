//! How much of the processors was used, and by whom: a mesh on one machine says nothing if they were short.

use std::path::Path;

use serde_json::{Value, json};

use crate::demo::failed;
use crate::output::Trouble;

#[cfg(test)]
mod tests;

/// Time on processors so far, in the kernel's ticks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// Of all processors together, idle or not.
    all: u64,
    /// … of which they were idle.
    idle: u64,
    nodes: u64,
    workers: u64,
    client: u64,
    processors: u64,
}

impl Times {
    /// Reads what the kernel has counted for the machine, for some nodes, for their children, and for this program.
    pub(super) fn read(nodes: &[u32]) -> Result<Self, Trouble> {
        let stat = std::fs::read_to_string("/proc/stat")
            .map_err(|error| failed(format!("cannot read /proc/stat: {error}")))?;
        let mut times = Self::of_machine(&stat).ok_or_else(|| failed("/proc/stat is not what it was"))?;
        let entries = std::fs::read_dir("/proc").map_err(|error| failed(format!("cannot read /proc: {error}")))?;
        for entry in entries.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // Others may end while they are looked at.
            let Some(process) = Process::read(&entry.path()) else { continue };
            if id == std::process::id() {
                times.client += process.ticks;
            } else if nodes.contains(&id) {
                times.nodes += process.ticks;
            } else if nodes.contains(&process.parent) {
                times.workers += process.ticks;
            }
        }
        Ok(times)
    }

    fn of_machine(stat: &str) -> Option<Self> {
        let first = stat.lines().next()?.strip_prefix("cpu ")?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in the first two already.
        let ticks: Vec<u64> = first.split_whitespace().take(8).map_while(|tick| tick.parse().ok()).collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let processors = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count() as u64;
        Some(Self { all: ticks.iter().sum(), idle, processors, ..Self::default() })
    }

    /// What was used since an earlier reading.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            all: self.all.saturating_sub(before.all),
            idle: self.idle.saturating_sub(before.idle),
            nodes: self.nodes.saturating_sub(before.nodes),
            workers: self.workers.saturating_sub(before.workers),
            client: self.client.saturating_sub(before.client),
            processors: self.processors,
        }
    }

    /// In processors: 1.0 is one of them all the time.
    pub(super) fn json(&self) -> Value {
        let in_processors = |ticks: u64| ticks as f64 * self.processors as f64 / self.all.max(1) as f64;
        json!({
            "count": self.processors, "busy": in_processors(self.all - self.idle), "nodes": in_processors(self.nodes),
            "workers": in_processors(self.workers), "client": in_processors(self.client),
        })
    }
}

/// One process, as the kernel tells of it.
pub(super) struct Process {
    /// Who started it.
    pub(super) parent: u32,
    /// Its time on processors so far.
    pub(super) ticks: u64,
}

impl Process {
    /// Reads a directory of `/proc`.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(dir.join("stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name of a program stands in parentheses and may have some itself.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        Some(Self { parent: u32::try_from(number(1)?).ok()?, ticks: number(11)? + number(12)? })
    }
}
