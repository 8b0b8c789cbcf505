//! Messages over gRPC: any bytes are answered with a status, and tensors as they are over HTTP.
#![no_main]

use libfuzzer_sys::Corpus;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> Corpus {
    match hither_api::fuzzing::grpc(bytes) {
        true => Corpus::Keep,
        false => Corpus::Reject,
    }
});
