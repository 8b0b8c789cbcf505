//! Keyed references from records to what was asked: whoever still has the text and the key can show that a record is about it,
//! and nobody else can find anything out.

use hither_types::id::Digest;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

#[cfg(test)]
mod tests;

/// What stands before a reference in a record: the function that made it.
pub(crate) const REFERENCE_PREFIX: &str = "hmac-sha256:";

/// The reference to the body of a request: HMAC-SHA-256 (RFC 2104) of its bytes under a key of its app.
///
/// Whoever has the key can try bodies that may be guessed; without it, and after it was destroyed, the reference says nothing.
pub fn reference(key: &[u8; 32], body: &[u8]) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(body);
    Digest(mac.finalize().into_bytes().into())
}
