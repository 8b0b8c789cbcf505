//! What the fuzz targets call: bytes in, and properties of what is made of them.

use std::io::Cursor;

use crate::protocol::{decode_command, decode_report};
use crate::work::{Piece, Work};

#[cfg(test)]
mod tests;

/// Bytes of a joined file, above which a few bytes of input would only cost time.
const JOINED: u64 = 4 << 20;

/// The walk over a GGUF header: any bytes are refused or pass, in bounded memory. Where a second file begins in them, they are
/// two parts of one model, and what is joined of them has every tensor.
///
/// # Panics
/// If a property does not hold.
pub fn gguf(bytes: &[u8]) {
    if let Ok(facts) = crate::gguf::inspect(bytes, bytes.len() as u64) {
        assert!(facts.header_bytes <= bytes.len() as u64 + 65_536);
    }
    let second = bytes.windows(4).skip(1).position(|window| window == b"GGUF");
    if let Some((first, second)) = second.and_then(|at| bytes.split_at_checked(at + 1)) {
        gguf_parts(first, second);
    }
}

fn gguf_parts(first: &[u8], second: &[u8]) {
    let files = vec![(first, first.len() as u64), (second, second.len() as u64)];
    let Ok(parts) = crate::gguf::Parts::read(files) else { return };
    let (length, mut whole) = (parts.length(), Vec::new());
    // Every tensor is in a part, and is filled up to 65536 bytes at most.
    if length <= JOINED {
        parts.write(&mut whole).expect("the parts are in memory");
        assert_eq!(whole.len() as u64, length);
        let checked = crate::gguf::inspect(whole.as_slice(), length);
        assert!(!matches!(checked, Err(crate::gguf::GgufFault::Short { .. })), "{checked:?}");
    }
}

/// The walk over an ONNX file: any bytes are refused or pass, in bounded memory. One with data in other files becomes a file
/// that passes when they are brought in.
///
/// # Panics
/// If a property does not hold.
pub fn onnx(bytes: &[u8]) {
    if let Ok(facts) = crate::onnx::inspect(bytes, bytes.len() as u64) {
        // A message has a tag and a length.
        assert!((facts.nodes + facts.tensors) * 2 <= bytes.len() as u64);
    }
    if let Ok(Some(outside)) = crate::onnx::Outside::read(bytes, bytes.len() as u64) {
        assert!(crate::onnx::inspect(bytes, bytes.len() as u64).is_err());
        let mut data: Vec<(&[u8], u64)> = outside.names().iter().map(|_| (bytes, bytes.len() as u64)).collect();
        let mut whole = Cursor::new(Vec::new());
        if outside.length() <= JOINED && outside.write(bytes, &mut data, &mut whole).is_ok() {
            let whole = whole.into_inner();
            assert_eq!(whole.len() as u64, outside.length());
            assert!(crate::onnx::inspect(whole.as_slice(), whole.len() as u64).is_ok());
        }
    }
}

/// What comes from clients and peers as work, pieces, commands and reports: decoded or refused, and what is decoded can
/// be encoded and decoded again.
///
/// # Panics
/// If a property does not hold.
pub fn work(bytes: &[u8]) {
    if let Ok(work) = Work::decode(bytes) {
        assert!(Work::decode(&work.encode()).is_ok());
    }
    if let Ok(piece) = Piece::decode(bytes) {
        assert!(Piece::decode(&piece.encode()).is_ok());
    }
    // Whether they are any is the bytes' affair; that they are read in bounded time and memory is ours.
    let _ = (decode_command(bytes), decode_report(bytes));
}
