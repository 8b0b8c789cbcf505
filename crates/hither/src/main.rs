//! The program: every subcommand, and the only place that prints or exits.

use std::process::ExitCode;

mod bench;
mod cli;
mod client;
mod demo;
mod doctor;
mod output;
mod worker;

/// A request takes and gives back some hundred pieces of memory, many on another thread than took them: with the C
/// library's allocator that is a fifth of a node's processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
