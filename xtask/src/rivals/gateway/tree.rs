//! What a process and all that it started use: processor time and memory.

use std::collections::BTreeSet;
use std::path::Path;

/// Processor time so far of a process and its descendants, in microseconds: of the threads that live, as the kernel's
/// scheduler counts them.
pub(super) fn micros(root: u32) -> Result<f64, String> {
    let mut nanos = 0u64;
    for process in members(root)? {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { continue };
        // A thread that ends while it is looked at has no time any more.
        nanos += threads.flatten().filter_map(|thread| spent(&thread.path().join("schedstat"))).sum::<u64>();
    }
    Ok(nanos as f64 / 1e3)
}

fn spent(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// Resident memory of a process and its descendants, in bytes.
pub(super) fn resident(root: u32) -> Result<f64, String> {
    let kib = |process: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    Ok(members(root)?.iter().filter_map(kib).sum::<f64>() * 1024.0)
}

/// A process and all below it.
pub(super) fn members(root: u32) -> Result<BTreeSet<u32>, String> {
    let entries = std::fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?;
    let all: Vec<(u32, u32)> = entries
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name of a program stands in parentheses and may have some itself.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((id, parent))
        })
        .collect();
    let mut found: BTreeSet<u32> = all.iter().map(|(id, _)| *id).filter(|id| *id == root).collect();
    if found.is_empty() {
        return Err(format!("process {root} ended"));
    }
    loop {
        let before = found.len();
        for (id, parent) in &all {
            if found.contains(parent) {
                found.insert(*id);
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}
