//! The driver that lives in the world: it feeds events to the mind and carries out its actions. It decides nothing.

mod actions;
mod affinity;
mod apps;
mod authority;
mod clock;
mod commands;
pub mod config;
mod crashes;
mod doorman;
mod driver;
mod endpoints;
mod forward;
mod home;
mod jobs;
pub mod law;
pub mod library;
mod limits;
pub mod machine;
mod mesh;
mod models;
mod pass;
mod ping;
mod proof;
mod records;
mod renewal;
mod run;
mod session;
mod traces;
mod trust;
mod twins;
mod workers;

pub use home::{InitDone, InitError, InitOptions, init};
pub use jobs::JobBounds;
pub use library::find as find_library;
pub use run::{RunError, Started, run};
