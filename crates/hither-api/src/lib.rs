//! The front door: Open Inference Protocol and OpenAI over HTTP, the operator's interface, metrics and the dashboard.
//!
//! The only crate that knows HTTP and JSON. It turns requests into words at the door; the driver stands behind
//! [`door::Door`].

pub mod admin;
pub mod door;
pub mod errors;
pub mod explain;
