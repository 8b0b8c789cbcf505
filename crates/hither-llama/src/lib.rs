//! GGUF language models, by llama.cpp. Several conversations advance together, one library call per step.
//!
//! Lives in a worker process: the library ends its process on a broken assertion, and here nothing else.

mod engine;
mod limits;
mod open;
mod sampler;
mod sequence;
mod template;

pub use engine::LlamaEngine;
pub use open::{OpenError, open};
