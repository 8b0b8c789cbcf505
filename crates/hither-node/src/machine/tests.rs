//! Made-up machines.

use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:  600 kB\n");

#[test]
fn a_machine_without_control_groups_has_all_its_memory() {
    let root = tree(&[MEMINFO]);
    let found = memory(root.path()).unwrap();
    assert_eq!(found, Memory { total: 1_024_000, available: 614_400, group: None });
    assert_eq!((found.most(), quota(root.path())), (1_024_000, None));
    assert_eq!(memory(&root.path().join("nowhere")), None);
}

#[test]
fn the_tightest_group_above_a_process_binds() {
    let root = tree(&[
        MEMINFO,
        ("proc/self/cgroup", "0::/system.slice/hither.service\n"),
        ("sys/fs/cgroup/memory.max", "max\n"),
        ("sys/fs/cgroup/system.slice/memory.max", "500000\n"),
        ("sys/fs/cgroup/system.slice/hither.service/memory.max", "900000\n"),
        ("sys/fs/cgroup/system.slice/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/system.slice/hither.service/cpu.max", "150000 100000\n"),
    ]);
    assert_eq!((memory(root.path()).unwrap().most(), quota(root.path())), (500_000, Some(1.5)));
}

#[test]
fn this_process_takes_memory() {
    assert!(resident(std::process::id()).unwrap() > 100_000);
    assert_eq!(resident(u32::MAX), None);
}
