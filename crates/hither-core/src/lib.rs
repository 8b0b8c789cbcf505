//! The mind: events in, actions out. No clock, no socket, no thread, no chance that was not given as a seed.

pub mod event;
pub mod policy;

pub use event::{Action, Config, Event, LocalModel, PullPolicy};
