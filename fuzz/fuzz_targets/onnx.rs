//! The walk over an ONNX file: any bytes are refused or pass, in bounded memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hither_engine::fuzzing::onnx(bytes));
