//! The machine: cores, what they can do, memory, swap, and devices that compute.

use std::path::Path;

use hither_node::machine::{memory, quota};
use hither_types::unit::ByteCount;

use super::{Area, Check};

#[cfg(test)]
mod tests;

/// Below this, a small language model beside anything else ends in swapping.
const MEMORY_LOW: u64 = 512 << 20;

/// What the compiled language engine takes for granted; without one of them it ends at its first step.
const NEEDED_X86: &[&str] = &["avx2", "fma", "f16c", "bmi2"];

pub(super) fn checks(root: &Path) -> Vec<Check> {
    let parallel = std::thread::available_parallelism().map_or(1, usize::from);
    let mut checks = vec![
        cores(parallel, quota(root)),
        vectors(std::env::consts::ARCH, &features()),
        memory_check(root),
        swap(root),
    ];
    checks.extend(devices(root));
    checks
}

fn cores(parallel: usize, quota: Option<f64>) -> Check {
    let limit = match quota {
        Some(cores) => format!(", of which the control group gives {cores:.1} at once"),
        None => String::new(),
    };
    let found = format!("{parallel} usable{limit}");
    match quota {
        Some(cores) if cores < 1.0 => {
            let fix = "give the service a core: systemctl set-property hither CPUQuota=100%";
            Check::warn(Area::Machine, "cores", found, fix)
        }
        _ => Check::ok(Area::Machine, "cores", found),
    }
}

/// What the processor can do, of what the engines ask for.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    macro_rules! found {
        ($($name:tt),*) => { [$(($name, std::arch::is_x86_feature_detected!($name))),*] };
    }
    let all = found!("sse4.2", "avx", "avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512vnni", "avxvnni");
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// What the processor can do, of what the engines ask for.
#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    macro_rules! found {
        ($($name:tt),*) => { [$(($name, std::arch::is_aarch64_feature_detected!($name))),*] };
    }
    found!("neon", "dotprod", "i8mm", "fp16", "sve")
        .into_iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| name)
        .collect()
}

/// What the processor can do, of what the engines ask for.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

fn vectors(arch: &str, features: &[&str]) -> Check {
    let found = format!("{arch}: {}", if features.is_empty() { "none known".to_owned() } else { features.join(", ") });
    let absent: Vec<&str> = NEEDED_X86.iter().filter(|name| !features.contains(name)).copied().collect();
    if arch == "x86_64" && !absent.is_empty() {
        let found = format!("{found}; without {}, which language models need here", absent.join(", "));
        let fix =
            "run language models on another node, or build with GGML_AVX2=OFF GGML_FMA=OFF GGML_F16C=OFF GGML_BMI2=OFF";
        return Check::fail(Area::Machine, "vector units", found, fix);
    }
    Check::ok(Area::Machine, "vector units", found)
}

fn memory_check(root: &Path) -> Check {
    let Some(memory) = memory(root) else {
        return Check::warn(Area::Machine, "memory", "the kernel does not tell how much there is", "mount /proc");
    };
    let group = memory.group.map_or(String::new(), |most| format!("; the control group gives {}", ByteCount(most)));
    let found = format!("{} available of {}{group}", ByteCount(memory.available), ByteCount(memory.total));
    if memory.available.min(memory.most()) < MEMORY_LOW {
        let fix = "end other programs: ps aux --sort=-rss | head; a small language model wants half a gigabyte";
        return Check::warn(Area::Machine, "memory", found, fix);
    }
    Check::ok(Area::Machine, "memory", found)
}

/// What was in memory may lie on a disk later, prompts among it.
fn swap(root: &Path) -> Check {
    let text = std::fs::read_to_string(root.join("proc/swaps")).unwrap_or_default();
    let devices: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let open: Vec<&str> = devices.iter().filter(|device| !is_safe_swap(root, device)).copied().collect();
    match (devices.is_empty(), open.is_empty()) {
        (true, _) => Check::ok(Area::Machine, "swap", "off"),
        (false, true) => {
            Check::ok(Area::Machine, "swap", format!("on, encrypted or in memory: {}", devices.join(", ")))
        }
        (false, false) => {
            let found = format!("on, and not encrypted: {}; a prompt may lie there after its answer", open.join(", "));
            Check::warn(Area::Machine, "swap", found, "swapoff -a, or encrypt it: crypttab(5), option `swap`")
        }
    }
}

/// Whether a swap device is an encrypted mapping or compressed memory.
fn is_safe_swap(root: &Path, device: &str) -> bool {
    let resolved = std::fs::canonicalize(root.join(device.trim_start_matches('/')));
    let name = resolved.as_deref().unwrap_or(Path::new(device)).file_name().unwrap_or_default().to_string_lossy();
    let uuid = std::fs::read_to_string(root.join("sys/block").join(&*name).join("dm/uuid")).unwrap_or_default();
    name.starts_with("zram") || uuid.starts_with("CRYPT-")
}

/// A device on the PCI bus that computes.
struct Device {
    vendor: String,
    /// The kernel's driver; empty if none has it.
    driver: String,
}

impl Device {
    fn text(&self) -> String {
        let driver =
            if self.driver.is_empty() { "without a driver".to_owned() } else { format!("driver {}", self.driver) };
        format!("{}, {driver}", self.vendor)
    }
}

fn devices(root: &Path) -> Vec<Check> {
    vec![
        device_check("GPUs", &on_bus(root, "0x03"), &entries(root, "dev/dri", "renderD"), nvidia(root).as_deref()),
        device_check("NPUs", &on_bus(root, "0x12"), &entries(root, "dev/accel", "accel"), None),
    ]
}

/// Whether the devices can be used: one needs a driver and a file in /dev.
fn device_check(name: &'static str, found: &[Device], files: &[String], driver: Option<&str>) -> Check {
    let mut parts: Vec<String> = found.iter().map(Device::text).collect();
    parts.extend(files.iter().cloned());
    parts.extend(driver.map(|version| format!("NVIDIA's driver {version}")));
    if parts.is_empty() {
        return Check::ok(Area::Machine, name, "none");
    }
    let text = parts.join("; ");
    // A display adapter of a virtual machine computes nothing, and needs nothing.
    let bare = found.iter().any(|device| device.driver.is_empty() && !device.vendor.starts_with("vendor"));
    if bare && files.is_empty() && driver.is_none() {
        return Check::warn(Area::Machine, name, text, "install its driver; lspci -k shows which module fits");
    }
    Check::ok(Area::Machine, name, text)
}

fn on_bus(root: &Path, class: &str) -> Vec<Device> {
    let read = |path: &Path, name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default().trim().to_owned();
    let bus = std::fs::read_dir(root.join("sys/bus/pci/devices")).into_iter().flatten().flatten();
    let mut paths: Vec<_> =
        bus.map(|entry| entry.path()).filter(|path| read(path, "class").starts_with(class)).collect();
    paths.sort();
    let device = |path: &std::path::PathBuf| {
        let link = std::fs::read_link(path.join("driver")).unwrap_or_default();
        let driver = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Device { vendor: vendor(&read(path, "vendor")), driver }
    };
    paths.iter().map(device).collect()
}

fn vendor(id: &str) -> String {
    match id {
        "0x10de" => "NVIDIA".to_owned(),
        "0x1002" | "0x1022" => "AMD".to_owned(),
        "0x8086" => "Intel".to_owned(),
        "0x17cb" => "Qualcomm".to_owned(),
        other => format!("vendor {other}"),
    }
}

fn entries(root: &Path, folder: &str, prefix: &str) -> Vec<String> {
    let listed = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let names = listed.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with(prefix)).map(|name| format!("/{folder}/{name}")).collect();
    names.sort();
    names
}

/// The version of NVIDIA's own driver.
fn nvidia(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("proc/driver/nvidia/version")).ok()?;
    let mut words = text.lines().next()?.split_whitespace();
    words.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}
