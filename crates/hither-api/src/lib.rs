//! The front door: Open Inference Protocol and OpenAI over HTTP, the operator's interface, metrics and the dashboard.
//!
//! The only crate that knows HTTP and JSON. It turns requests into words at the door; the driver stands behind
//! [`door::Door`].

#![expect(
    clippy::result_large_err,
    reason = "a problem is the whole answer to a request: moved a few times, never in a loop"
)]

pub mod admin;
pub mod door;
pub mod errors;
pub mod explain;
pub mod jobs;

#[cfg(test)]
extern crate self as hither_api;

mod body;
mod dashboard;
mod golden;
mod labels;
mod limits;
mod metrics;
mod oip;
mod openai;
mod operator;
mod respond;
mod routes;
mod serve;
mod serving;
#[cfg(test)]
mod tests;

pub use oip::infer_work;
pub use serve::{serve_tcp, serve_unix};
