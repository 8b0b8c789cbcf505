//! What the fuzz targets call: bytes in, through the whole router, and properties of what comes out.
//!
//! What must stay true: the same bytes do the same each time, so that a failure can be shown; nothing here is in a
//! program, for the feature is off. The door behind the router answers at once and keeps its word, so that whatever
//! the client is told is the client's fault or ours.

mod bench;
mod check;
mod grpc;
mod jobs;
mod script;
mod tensors;
#[cfg(test)]
mod tests;
mod text;

use bench::Bench;

thread_local! {
    static BENCH: Bench = Bench::new();
}

/// A request as text: `METHOD path`, a line for each header, an empty line, the body. `peer-uid: 1000` among the headers
/// sends it through the Unix socket. Every answer has the form of its protocol, and none is a fault of the node.
///
/// Gives back whether the bytes were a request at all.
///
/// # Panics
/// If a property does not hold.
pub fn http(bytes: &[u8]) -> bool {
    let Some(request) = text::request(bytes) else { return false };
    BENCH.with(|bench| check::answer(bench, request));
    true
}

/// A request of tensors in binary framing, made from the bytes. What is right is answered with the same tensors bit for
/// bit; what is wrong is a 400.
///
/// Gives back whether the bytes were enough for a request.
///
/// # Panics
/// If a property does not hold.
pub fn framing(bytes: &[u8]) -> bool {
    let Ok(case) = tensors::Case::new(bytes) else { return false };
    BENCH.with(|bench| tensors::over_http(bench, &case));
    true
}

/// A message over gRPC. An even first byte: tensors are made from the rest, and are answered as they are over HTTP. An
/// odd one: the next byte chooses the method, and the rest is the message as it is.
///
/// Gives back whether the bytes were enough for a message.
///
/// # Panics
/// If a property does not hold.
pub fn grpc(bytes: &[u8]) -> bool {
    match bytes {
        [first, rest @ ..] if first.is_multiple_of(2) => {
            let Ok(case) = tensors::Case::new(rest) else { return false };
            BENCH.with(|bench| grpc::as_over_http(bench, &case));
            true
        }
        [first, method, message @ ..] => {
            BENCH.with(|bench| grpc::raw(bench, *first, *method, message));
            true
        }
        _ => false,
    }
}
