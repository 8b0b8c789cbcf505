//! What this machine has, read from files that the kernel keeps. `root` is `/`, or a made-up tree in a test.

use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// The memory of the machine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What is built in.
    pub total: u64,
    /// What programs can take without swapping.
    pub available: u64,
    /// What the control group of this process may take, if it is less.
    pub group: Option<u64>,
}

impl Memory {
    /// The most that a process here can ever have.
    pub fn most(&self) -> u64 {
        self.group.map_or(self.total, |group| group.min(self.total))
    }
}

/// The memory. `None` where the kernel does not tell.
pub fn memory(root: &Path) -> Option<Memory> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let value = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let total = value("MemTotal:")?;
    let available = value("MemAvailable:").unwrap_or(total);
    let limits = group_values(root, "memory.max");
    let group = limits.iter().filter_map(|text| text.trim().parse().ok()).min().filter(|limit| *limit < total);
    Some(Memory { total, available, group })
}

/// How many cores the control group of this process may use at once. `None`: as many as there are.
pub fn quota(root: &Path) -> Option<f64> {
    let quotas = group_values(root, "cpu.max");
    let cores = quotas.iter().filter_map(|text| {
        let (quota, period) = text.trim().split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok().filter(|period| *period > 0.0)?)
    });
    cores.min_by(f64::total_cmp)
}

/// One setting of the control group of this process and of all above it: each of them binds.
fn group_values(root: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let Some(own) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = Path::new(own).ancestors().map(Path::to_owned).collect();
    folders.dedup();
    let base = root.join("sys/fs/cgroup");
    folders.iter().filter_map(|folder| std::fs::read_to_string(base.join(folder).join(name)).ok()).collect()
}

/// What a process takes of the memory now: its resident set, in bytes.
pub(crate) fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(resident.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}
