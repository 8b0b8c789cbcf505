//! What peers and strangers may send, and tickets: refused, or read and said again as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hither_wire::fuzzing::wire(bytes);
});
