//! The program: every subcommand, and the only place that prints or exits.

use std::process::ExitCode;

mod bench;
mod cli;
mod client;
mod demo;
mod doctor;
mod output;
mod worker;

fn main() -> ExitCode {
    cli::main()
}
