//! Tensors in binary framing: what is sent comes back bit for bit, and a body that disagrees with its head is a 400.
#![no_main]

use libfuzzer_sys::Corpus;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> Corpus {
    match hither_api::fuzzing::framing(bytes) {
        true => Corpus::Keep,
        false => Corpus::Reject,
    }
});
