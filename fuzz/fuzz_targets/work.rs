//! What comes from clients and peers as work, pieces, commands and reports: decoded or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hither_engine::fuzzing::work(bytes));
