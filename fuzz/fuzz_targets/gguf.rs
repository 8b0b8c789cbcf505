//! The walk over a GGUF header: any bytes are refused or pass, in bounded memory.
#![no_main]

use hither_engine::gguf::inspect;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(facts) = inspect(bytes, bytes.len() as u64) {
        assert!(facts.header_bytes <= bytes.len() as u64 + 65_536);
    }
});
