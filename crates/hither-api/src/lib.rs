//! The front door: Open Inference Protocol over HTTP and gRPC, OpenAI and Ollama over HTTP, the operator's interface, metrics
//! and the dashboard.
//!
//! The only crate that knows HTTP, JSON and protobuf. It turns requests into words at the door; the driver stands behind
//! [`door::Door`].

#![expect(
    clippy::result_large_err,
    reason = "a problem is the whole answer to a request: moved a few times, never in a loop"
)]

pub mod admin;
pub mod batches;
pub mod door;
pub mod endpoint;
pub mod errors;
pub mod explain;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod jobs;

#[cfg(any(test, feature = "fuzzing"))]
extern crate self as hither_api;

mod body;
pub mod callers;
mod chorus;
mod dashboard;
mod fields;
mod golden;
mod grpc;
mod idempotency;
mod labels;
mod limits;
mod metrics;
mod oip;
mod ollama;
mod openai;
mod openapi;
mod operator;
mod respond;
mod routes;
mod serve;
mod serving;
mod tail;
#[cfg(any(test, feature = "fuzzing"))]
mod tests;
pub mod tls;
pub mod tokens;
pub mod trainings;
mod vectors;
pub mod what_if;

pub use oip::infer_work;
pub use serve::{serve_tcp, serve_unix};
