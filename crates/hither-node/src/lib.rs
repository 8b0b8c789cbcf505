//! The driver that lives in the world: it feeds events to the mind and carries out its actions. It decides nothing.

pub mod config;
mod home;
pub mod law;
mod run;

pub use home::{InitDone, InitError, InitOptions, init};
pub use run::{RunError, Started, run};
