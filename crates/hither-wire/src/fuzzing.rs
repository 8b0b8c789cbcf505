//! What the fuzz target calls: bytes in, and properties of what is made of them.

use std::fmt::Debug;

use crate::error::{DecodeError, EncodeError};
use crate::versions::{decode_versions, encode_versions};

#[cfg(test)]
mod tests;

/// Bytes as every form that a peer may send, and as a ticket: refused, or what is read can be said and is read again as the
/// same. Gives how many forms took them.
///
/// # Panics
/// If a property does not hold.
pub fn wire(bytes: &[u8]) -> usize {
    let forms = [
        again(bytes, crate::decode_message, crate::encode_message),
        again(bytes, crate::decode_ask, crate::encode_ask),
        again(bytes, crate::decode_frame, crate::encode_frame),
        again(bytes, crate::decode_hello, crate::encode_hello),
        again(bytes, crate::decode_hello_reply, crate::encode_hello_reply),
        again(bytes, crate::decode_authority_entry, crate::encode_authority_entry),
        again(bytes, crate::decode_start_proof, crate::encode_start_proof),
        again(bytes, crate::decode_rollout_word, crate::encode_rollout_word),
        again(bytes, crate::decode_member, crate::encode_member),
        again(bytes, crate::decode_manifest, crate::encode_manifest),
        again(bytes, crate::decode_invite, crate::encode_invite),
        again(bytes, crate::decode_near_report, crate::encode_near_report),
        again(bytes, crate::decode_chunk_talk, crate::encode_chunk_talk),
        again(bytes, decode_versions, |versions| Ok(encode_versions(versions))),
    ];
    if let Ok(invite) = crate::ticket::parse(&String::from_utf8_lossy(bytes)) {
        let text = crate::ticket::format(&invite).expect("what a ticket said can be said");
        assert_eq!(crate::ticket::parse(&text).as_ref(), Ok(&invite));
    }
    forms.iter().filter(|taken| **taken).count()
}

fn again<T: Debug + PartialEq>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, DecodeError>,
    encode: fn(&T) -> Result<Vec<u8>, EncodeError>,
) -> bool {
    let Ok(word) = decode(bytes) else { return false };
    let said = encode(&word).expect("what was read can be said");
    assert_eq!(decode(&said).as_ref(), Ok(&word), "what was said is read as it was meant");
    true
}
