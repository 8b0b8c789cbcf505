//! ONNX models, by ONNX Runtime. The library is loaded at run time: none is linked in or downloaded.
//!
//! Lives in a worker process: what goes wrong inside the library ends that process and nothing else.

mod engine;
mod open;
mod tensor;

pub use engine::OnnxEngine;
pub use open::{OpenError, Runtime, open};
