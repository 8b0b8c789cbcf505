//! GGUF language models, by llama.cpp. Several conversations advance together, one library call per step.
//!
//! Lives in a worker process: the library ends its process on a broken assertion, and here nothing else.

mod cache;
mod constraint;
mod embed;
mod engine;
mod limits;
mod open;
mod penalties;
mod prompt;
mod sampler;
mod sequence;
mod template;
mod tools;

pub use engine::LlamaEngine;
pub use open::{OpenError, devices, open};
