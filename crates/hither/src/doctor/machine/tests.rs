//! Made-up machines.

use std::path::PathBuf;

use super::super::State;
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

fn driver(root: &tempfile::TempDir, device: &str, name: &str) {
    let link = root.path().join("sys/bus/pci/devices").join(device).join("driver");
    std::os::unix::fs::symlink(PathBuf::from("/sys/bus/pci/drivers").join(name), link).unwrap();
}

#[test]
fn a_share_of_a_core_is_a_warning_and_a_whole_one_is_not() {
    assert_eq!(cores(8, None).found, "8 usable");
    assert_eq!((cores(8, Some(2.0)).state, cores(8, Some(0.5)).state), (State::Ok, State::Warn));
}

#[test]
fn a_processor_without_what_the_language_engine_was_built_for_fails() {
    let all = ["avx2", "fma", "f16c", "bmi2"];
    assert_eq!(vectors("x86_64", &all).state, State::Ok);
    let old = vectors("x86_64", &["sse4.2", "avx"]);
    assert_eq!(old.state, State::Fail);
    assert!(old.found.contains("without avx2, fma, f16c, bmi2"), "{}", old.found);
    assert_eq!(vectors("aarch64", &["neon"]).state, State::Ok);
}

#[test]
fn little_memory_is_a_warning() {
    let check = |available: u64| {
        let text = format!("MemTotal: 4000000 kB\nMemAvailable: {available} kB\n");
        memory_check(tree(&[("proc/meminfo", &text)]).path())
    };
    assert_eq!((check(2_000_000).state, check(100_000).state), (State::Ok, State::Warn));
    assert_eq!(memory_check(tree(&[]).path()).state, State::Warn);
}

#[test]
fn swap_is_a_warning_unless_it_is_off_encrypted_or_in_memory() {
    let head = "Filename\tType\tSize\tUsed\tPriority\n";
    let swaps = |device: &str| format!("{head}{device} partition 1000 0 -2\n");
    assert_eq!(swap(tree(&[("proc/swaps", head)]).path()).found, "off");
    assert_eq!(swap(tree(&[("proc/swaps", &swaps("/dev/sda2"))]).path()).state, State::Warn);
    assert_eq!(swap(tree(&[("proc/swaps", &swaps("/dev/zram0"))]).path()).state, State::Ok);
    let encrypted = [("proc/swaps", swaps("/dev/dm-1")), ("sys/block/dm-1/dm/uuid", "CRYPT-PLAIN-swap\n".to_owned())];
    let encrypted = encrypted.each_ref().map(|(path, text)| (*path, text.as_str()));
    assert_eq!(swap(tree(&encrypted).path()).state, State::Ok);
}

#[test]
fn devices_are_named_with_vendor_and_driver() {
    let root = tree(&[
        ("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n"),
        ("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
        ("sys/bus/pci/devices/0000:02:00.0/class", "0x020000\n"),
        ("sys/bus/pci/devices/0000:02:00.0/vendor", "0x8086\n"),
        ("sys/bus/pci/devices/0000:03:00.0/class", "0x120000\n"),
        ("sys/bus/pci/devices/0000:03:00.0/vendor", "0x8086\n"),
        ("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n"),
        ("dev/accel/accel0", ""),
    ]);
    driver(&root, "0000:01:00.0", "nvidia");
    driver(&root, "0000:03:00.0", "intel_vpu");
    let [gpus, npus] = devices(root.path()).try_into().unwrap();
    assert_eq!(gpus, Check::ok(Area::Machine, "GPUs", "NVIDIA, driver nvidia; NVIDIA's driver 550.54.15"));
    assert_eq!(npus, Check::ok(Area::Machine, "NPUs", "Intel, driver intel_vpu; /dev/accel/accel0"));
}

#[test]
fn a_device_that_no_driver_has_is_a_warning() {
    let root = tree(&[
        ("sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n"),
        ("sys/bus/pci/devices/0000:01:00.0/vendor", "0x1002\n"),
    ]);
    let [gpus, npus] = devices(root.path()).try_into().unwrap();
    assert_eq!((gpus.state, gpus.found.as_str()), (State::Warn, "AMD, without a driver"));
    assert_eq!(npus.found, "none");
}
