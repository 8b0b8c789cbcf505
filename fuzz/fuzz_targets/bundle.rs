//! Bundles of OpenSSF Model Signing, what is signed in them, keys and certificates: any bytes are refused or pass.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hither_provenance::fuzzing::bundle(bytes));
