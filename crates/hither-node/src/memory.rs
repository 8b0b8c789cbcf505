//! How much memory this machine has for this node, and how much a process takes.

use std::path::Path;

use hither_types::unit::ByteCount;

/// What the kernel says of all memory, or what the control group of this process allows, if that is less.
pub(crate) fn of_machine() -> Option<ByteCount> {
    under(Path::new("/"))
}

/// The same, with the files of another root.
fn under(root: &Path) -> Option<ByteCount> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let meminfo = read("proc/meminfo")?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024);
    let group = read("proc/self/cgroup").and_then(|text| {
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Some(format!("sys/fs/cgroup/{path}"))
    });
    // A limit holds for all groups below it.
    let mut limit = total;
    let mut group = group.as_deref().map(Path::new);
    while let Some(path) = group.filter(|path| path.starts_with("sys/fs/cgroup")) {
        let most = std::fs::read_to_string(root.join(path).join("memory.max")).ok();
        limit = most.and_then(|text| text.trim().parse::<u64>().ok()).map_or(limit, |most| limit.min(most));
        group = path.parent();
    }
    Some(ByteCount(limit))
}

/// What a process takes of it now: its resident set.
pub(crate) fn of_process(id: u32) -> Option<ByteCount> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(ByteCount(resident.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Option<ByteCount> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        under(root.path())
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       16000 kB\nMemFree:         1000 kB\n");
    const GROUP: (&str, &str) = ("proc/self/cgroup", "0::/edge/hither\n");

    #[test]
    fn the_least_of_all_limits_counts() {
        assert_eq!(machine(&[MEMINFO]), Some(ByteCount(16_384_000)));
        let free = ("sys/fs/cgroup/edge/hither/memory.max", "max\n");
        assert_eq!(machine(&[MEMINFO, GROUP, free]), Some(ByteCount(16_384_000)));
        let above = ("sys/fs/cgroup/edge/memory.max", "5000\n");
        assert_eq!(machine(&[MEMINFO, GROUP, free, above]), Some(ByteCount(5000)));
        let own = ("sys/fs/cgroup/edge/hither/memory.max", "3000\n");
        assert_eq!(machine(&[MEMINFO, GROUP, own, above]), Some(ByteCount(3000)));
        assert_eq!(machine(&[]), None);
        assert_eq!(machine(&[("proc/meminfo", "rubbish")]), None);
    }

    #[test]
    fn this_process_takes_memory() {
        assert!(of_process(std::process::id()).unwrap() > ByteCount(100_000));
        assert_eq!(of_process(u32::MAX), None);
    }
}
