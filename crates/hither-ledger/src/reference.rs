//! Keyed references from records to what was asked: whoever still has the text and the key can show that a record is about it.

use hither_types::id::{Digest, RequestId};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

#[cfg(test)]
mod tests;

/// What stands before a reference in a record: the function that made it.
pub(crate) const REFERENCE_PREFIX: &str = "hmac-sha256:";

/// What a reference is made of, of the body of a request: its SHA-256.
pub fn body_digest(body: &[u8]) -> Digest {
    Digest(Sha256::digest(body).into())
}

/// The reference from the records of a request to its body: HMAC-SHA-256 (RFC 2104), under a key of its app, of the request's id,
/// a space, and [`body_digest`] in hexadecimal digits. The id is in it so that records of equal bodies do not look alike.
///
/// Whoever has the key can try bodies that may be guessed; without it, and after it was destroyed, the reference says nothing.
pub fn reference(key: &[u8; 32], request: RequestId, body: &Digest) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{request} {body}").as_bytes());
    Digest(mac.finalize().into_bytes().into())
}
