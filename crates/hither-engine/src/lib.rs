//! What every engine is: work in, pieces out, in steps. And how a worker process speaks with its node.
//!
//! A crash of an engine is an event, never the end of the node: engines run in worker processes.

pub mod engine;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gguf;
pub mod golden;
pub mod limits;
mod mix;
pub mod onnx;
pub mod protocol;
pub mod serve;
mod source;
pub mod stub;
pub mod text;
mod validate;
pub mod work;

pub use validate::{validate, well_formed};
