//! The sandbox around a model: it may read its own file, compute, and speak on the socket that it has. Parsers of
//! model files have a long record of memory errors; this is what such an error can reach.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use hither_types::unit::ByteCount;
use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Files open at once: the model, the socket, the standard streams, and what a library keeps. Far below a leak.
const MAX_FILES: u64 = 64;

/// Added to a system call's number by the x32 variant of x86-64, which a filter by number would otherwise let through.
#[cfg(target_arch = "x86_64")]
const X32_BIT: i64 = 0x4000_0000;

/// The numbers that only the x32 variant has, `execve` and `ptrace` among them.
#[cfg(target_arch = "x86_64")]
const X32_OWN: std::ops::RangeInclusive<i64> = 512..=547;

/// System calls by number, each with the arguments under which it is denied; none: under all.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Which layers the kernel gave. Its text goes to the node.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// What holds this worker, in words.
    pub(super) layers: Vec<String>,
    /// What does not, with the reason.
    pub(super) missing: Vec<String>,
}

impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = if self.layers.is_empty() { "none".to_owned() } else { self.layers.join(", ") };
        write!(f, "sandbox: {layers}")?;
        self.missing.iter().try_for_each(|missing| write!(f, "; without {missing}"))
    }
}

/// Ends this process when the node ends, whatever this process is doing then.
pub(super) fn tie_to_parent() -> io::Result<()> {
    let parent = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != parent {
        // The node died between its start of us and the line above: nobody would ever tell us.
        return Err(io::Error::other("the node is gone"));
    }
    Ok(())
}

/// Closes the sandbox around this process. What the kernel does not give is in the result and on standard error; only
/// the limits and the flags of the process, which every kernel has, are required.
///
/// `memory` bounds what the address space may grow by, in bytes: the program that is mapped by now does not count, so that
/// a figure in a configuration holds whatever the program's size. `None` for a worker that uses a GPU: its driver reserves
/// more addresses than any machine has memory. There is no bound on processes by `RLIMIT_NPROC`: the kernel counts those of the user,
/// not of the worker, so that no number is right; the filter of system calls forbids them instead.
///
/// `reach` are device nodes and directories of drivers that may be used, too; empty unless an accelerator is.
pub(super) fn close(model: &Path, memory: Option<u64>, reach: &[PathBuf]) -> io::Result<Sandbox> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    let limit = |value| Rlimit { current: Some(value), maximum: Some(value) };
    rustix::process::setrlimit(Resource::Core, limit(0))?;
    rustix::process::setrlimit(Resource::Nofile, limit(MAX_FILES))?;
    if let Some(bytes) = memory {
        rustix::process::setrlimit(Resource::As, limit(bytes.saturating_add(mapped()?)))?;
    }

    let mut sandbox = Sandbox { layers: Vec::new(), missing: Vec::new() };
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    match restrict_files(model, reach) {
        Ok(layer) if threads == 1 => sandbox.layers.push(layer),
        // Landlock holds for the thread that asks and those that it starts.
        Ok(_) => sandbox.missing.push(format!("landlock for {} threads that were there before it", threads - 1)),
        Err(reason) => sandbox.missing.push(format!("landlock ({reason})")),
    }
    match deny_calls() {
        Ok(()) => sandbox.layers.push("seccomp".to_owned()),
        Err(error) => sandbox.missing.push(format!("seccomp ({error})")),
    }
    match memory {
        Some(bytes) => sandbox.layers.push(format!("at most {} of memory", ByteCount(bytes))),
        None => sandbox.missing.push("a memory limit".to_owned()),
    }
    if !rustix::thread::no_new_privs()? || rustix::process::dumpable_behavior()? != DumpableBehavior::NotDumpable {
        return Err(io::Error::other("the kernel let the worker keep the way to new privileges, or its core dump"));
    }
    for missing in &sandbox.missing {
        eprintln!("hither worker: runs without {missing}");
    }
    Ok(sandbox)
}

/// Bytes of the address space of this process.
fn mapped() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let size =
        status.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(size.ok_or_else(|| io::Error::other("/proc/self/status does not say VmSize"))?.saturating_mul(1024))
}

fn restrict_files(model: &Path, reach: &[PathBuf]) -> Result<String, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let model = PathFd::new(model).map_err(|error| text(&error))?;
    let devices = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::WriteFile | AccessFs::IoctlDev;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V7))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(ABI::V7)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI::V7)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(model, AccessFs::ReadFile)))
        .and_then(|ruleset| ruleset.add_rules(landlock::path_beneath_rules(reach, devices)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| text(&error))?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Err("this kernel has none".to_owned());
    };
    let abi = effective_abi as i32;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(format!("landlock ABI {abi}")),
        RulesetStatus::PartiallyEnforced => Ok(format!("landlock ABI {abi}, in part")),
        RulesetStatus::NotEnforced => Err("this kernel does not enforce it".to_owned()),
    }
}

fn deny_calls() -> Result<(), Box<dyn std::error::Error>> {
    let always = denied_numbers().into_iter().map(|number| (number, Vec::new()));
    apply(always.chain(denied_by_arguments()?).collect(), libc::EPERM)?;
    // Its flags lie in memory, where a filter cannot look. Who hears that it is not there asks for `clone`.
    apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
}

/// All threads: a library that was loaded before may have started some.
fn apply(rules: Rules, answer: i32) -> Result<(), Box<dyn std::error::Error>> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let refuse = SeccompAction::Errno(answer.unsigned_abs());
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?;
    Ok(seccompiler::apply_filter_all_threads(&program)?)
}

/// Calls that are needed, but not like that: a copy of the process that is no thread of it, other limits (a worker of
/// root could raise its own), and signals to others. Aborting sends one to the process itself, so that stays.
fn denied_by_arguments() -> Result<Rules, Box<dyn std::error::Error>> {
    let thread = SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64);
    let no_thread = SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, thread, 0)?])?;
    let new_limit = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    let own = u64::from(std::process::id());
    let other = || -> Result<_, Box<dyn std::error::Error>> {
        Ok(SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, own)?])?)
    };
    Ok(Rules::from([
        (libc::SYS_clone, vec![no_thread]),
        (libc::SYS_prlimit64, vec![SeccompRule::new(vec![new_limit])?]),
        (libc::SYS_tgkill, vec![other()?]),
        (libc::SYS_rt_sigqueueinfo, vec![other()?]),
        (libc::SYS_rt_tgsigqueueinfo, vec![other()?]),
    ]))
}

#[cfg(target_arch = "x86_64")]
fn denied_numbers() -> Vec<i64> {
    let native = DENIED.iter().chain(DENIED_X86_64).copied();
    native.clone().chain(native.chain(X32_OWN).map(|number| number | X32_BIT)).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn denied_numbers() -> Vec<i64> {
    DENIED.to_vec()
}

/// What neither engine needs and an intruder would want: networks, programs, other processes, the kernel's insides.
const DENIED: &[i64] = &[
    // Networks. The socket to the node is there already; landlock does not know UDP.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Programs and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_setrlimit,
    // Memory that no limit counts.
    libc::SYS_memfd_create,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // The kernel's own insides.
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_personality,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
];

#[cfg(target_arch = "x86_64")]
const DENIED_X86_64: &[i64] = &[
    // Starts a copy of the process; threads come by clone and clone3, which stay.
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_kexec_file_load,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
];
