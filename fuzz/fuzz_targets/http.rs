//! Requests through the whole router: any method, path, headers and body are answered in the form of their protocol.
#![no_main]

use libfuzzer_sys::Corpus;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> Corpus {
    match hither_api::fuzzing::http(bytes) {
        true => Corpus::Keep,
        false => Corpus::Reject,
    }
});
