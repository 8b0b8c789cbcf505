//! A request as text.

use axum::body::Body;
use hyper::Request;

use crate::callers::Peer;

/// Reads a request, if the bytes are one that a connection would let through.
pub(super) fn request(bytes: &[u8]) -> Option<Request<Body>> {
    let (head, body) = match bytes.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let mut request = Request::builder().method(&first[..space]).uri(&first[space + 1..]);
    let mut host = &b"127.0.0.1:7701"[..];
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii());
        match name.as_slice() {
            b"host" => host = value,
            // Not a header: who is at the other end of the Unix socket.
            b"peer-uid" => {
                let uid = std::str::from_utf8(value).ok()?.parse().ok()?;
                request = request.extension(Peer::with_uid(uid));
            }
            name => request = request.header(name, value),
        }
    }
    request.header("host", host).body(Body::from(body.to_vec())).ok()
}
