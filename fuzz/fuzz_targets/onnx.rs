//! The walk over an ONNX file: any bytes are refused or pass, in bounded memory.
#![no_main]

use hither_engine::onnx::inspect;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(facts) = inspect(bytes, bytes.len() as u64) {
        // A message has a tag and a length.
        assert!((facts.nodes + facts.tensors) * 2 <= bytes.len() as u64);
    }
});
