//! ONNX models, by ONNX Runtime. The library is loaded at run time: none is linked in or downloaded.
//!
//! Lives in a worker process: what goes wrong inside the library ends that process and nothing else.

mod batch;
mod engine;
mod open;
mod providers;
mod tensor;

pub use batch::Batching;
pub use engine::OnnxEngine;
pub use open::{OpenError, Runtime, Settings};
pub use providers::{DeviceFacts, Provider, find as find_providers};
