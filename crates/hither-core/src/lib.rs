//! The mind: events in, actions out. No clock, no socket, no thread, no chance that was not given as a seed.

#![forbid(unsafe_code)]

#[cfg(feature = "mutants")]
#[macro_use]
pub mod mutant;
/// Whether a bug is planted: without the feature `mutants`, none is.
#[cfg(not(feature = "mutants"))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}

mod affinity;
mod budget;
mod caching;
mod canary;
mod catalog;
mod circle;
pub mod distribution;
mod egress;
mod endpoint;
pub mod event;
mod expiry;
mod explain;
mod hedge;
mod hosted;
mod ladder;
pub mod limits;
mod luck;
mod machine;
mod mean;
pub mod membership;
mod memory;
mod near;
mod origin;
mod peers;
mod place;
pub mod placement;
pub mod policy;
mod pool;
mod power;
mod presence;
mod random;
mod request;
mod rollout;
mod router;
mod scheduler;
mod seek;
mod spending;
mod steal;
mod stock;
mod supply;
mod timers;
mod trace;
mod training;
mod urgent;
mod view;
mod warm;

#[cfg(test)]
mod tests;

pub use event::{Action, Config, Event, LocalModel, PullPolicy};
pub use machine::Core;
pub use supply::Partner;
