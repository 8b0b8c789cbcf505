//! What the fuzz targets call: bytes in, and properties of what is made of them.

use crate::protocol::{decode_command, decode_report};
use crate::work::{Piece, Work};

#[cfg(test)]
mod tests;

/// The walk over a GGUF header: any bytes are refused or pass, in bounded memory.
///
/// # Panics
/// If a property does not hold.
pub fn gguf(bytes: &[u8]) {
    if let Ok(facts) = crate::gguf::inspect(bytes, bytes.len() as u64) {
        assert!(facts.header_bytes <= bytes.len() as u64 + 65_536);
    }
}

/// The walk over an ONNX file: any bytes are refused or pass, in bounded memory.
///
/// # Panics
/// If a property does not hold.
pub fn onnx(bytes: &[u8]) {
    if let Ok(facts) = crate::onnx::inspect(bytes, bytes.len() as u64) {
        // A message has a tag and a length.
        assert!((facts.nodes + facts.tensors) * 2 <= bytes.len() as u64);
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
