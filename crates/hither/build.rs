//! How the program is linked.
//!
//! A program that may be loaded anywhere begins by reading a table of all addresses to correct: 2 MB that stay in the memory
//! of a node for good. Packed (`DT_RELR`, of the ELF gABI) it takes 2 % of that. The C library's loader reads it from version
//! 2.36 on; a program that is built where the library is older has the long table.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if reads_packed() {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether the loader of this machine, for which the program is built, reads the packed table.
fn reads_packed() -> bool {
    let target = ["CARGO_CFG_TARGET_OS", "CARGO_CFG_TARGET_ENV"].map(|name| std::env::var(name).unwrap_or_default());
    let native = std::env::var("HOST").ok() == std::env::var("TARGET").ok();
    let Ok(asked) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let version = String::from_utf8_lossy(&asked.stdout).trim().strip_prefix("glibc ").map(str::to_owned);
    let parts = version.as_deref().and_then(|version| version.split_once('.'));
    let numbers = parts.and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    native && target == ["linux", "gnu"] && numbers.is_some_and(|version| version >= (2, 36))
}
