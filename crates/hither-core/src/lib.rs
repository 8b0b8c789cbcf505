//! The mind: events in, actions out. No clock, no socket, no thread, no chance that was not given as a seed.

#![forbid(unsafe_code)]

mod catalog;
mod egress;
pub mod event;
mod hosted;
pub mod limits;
mod machine;
mod origin;
mod peers;
mod place;
pub mod policy;
mod power;
mod presence;
mod random;
mod request;
mod router;
mod scheduler;
mod supply;
mod timers;
mod trace;
mod view;

#[cfg(test)]
mod tests;

pub use event::{Action, Config, Event, LocalModel, PullPolicy};
pub use machine::Core;
