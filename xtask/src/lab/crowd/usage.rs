//! What a process and its children take, as the kernel says.

use std::path::Path;

/// The process and all that descend from it.
pub(super) fn tree(first: u32) -> Vec<u32> {
    let (mut all, mut at) = (vec![first], 0);
    while let Some(process) = all.get(at).copied() {
        at += 1;
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    all
}

/// Bytes of memory, where a page that several processes share counts in parts.
pub(super) fn proportional(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    field(&text, "Pss:").map(|kilobytes| kilobytes * 1024)
}

/// A number behind its name.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// Processor time so far in microseconds, by the scheduler's clock: that of all threads that live.
pub(super) fn micros(process: u32) -> u64 {
    let tasks = std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("task")).into_iter().flatten();
    let spent = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(|task| spent(task.path())).sum::<u64>() / 1000
}
