//! Everything that passes between nodes passes through the real codec, so that what it cannot carry is found here.

use hither_types::message::{Ask, Frame, PeerMessage};

/// The bytes of small talk.
pub(crate) fn message(message: &PeerMessage) -> Result<Vec<u8>, String> {
    hither_wire::encode_message(message).map_err(|error| error.to_string())
}

/// Small talk from bytes.
pub(crate) fn read_message(bytes: &[u8]) -> Result<PeerMessage, String> {
    hither_wire::decode_message(bytes).map_err(|error| error.to_string())
}

/// The bytes of a request's head.
pub(crate) fn ask(ask: &Ask) -> Result<Vec<u8>, String> {
    hither_wire::encode_ask(ask).map_err(|error| error.to_string())
}

/// A request's head from bytes.
pub(crate) fn read_ask(bytes: &[u8]) -> Result<Ask, String> {
    hither_wire::decode_ask(bytes).map_err(|error| error.to_string())
}

/// The bytes of a frame.
pub(crate) fn frame(frame: &Frame) -> Result<Vec<u8>, String> {
    hither_wire::encode_frame(frame).map_err(|error| error.to_string())
}

/// A frame from bytes.
pub(crate) fn read_frame(bytes: &[u8]) -> Result<Frame, String> {
    hither_wire::decode_frame(bytes).map_err(|error| error.to_string())
}

/// Work in miniature: how many tokens the answer shall have, what it takes at the usual speed (0: as the engine pleases),
/// and filler up to the size of the payload.
pub(crate) fn payload(work: Work, size: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((size as usize).max(12));
    bytes.extend_from_slice(&work.tokens.to_le_bytes());
    bytes.extend_from_slice(&work.micros.to_le_bytes());
    bytes.resize((size as usize).max(12), 0);
    bytes
}

/// What a payload asks for.
pub(crate) fn read_payload(payload: &[u8]) -> Option<Work> {
    let (tokens, rest) = payload.split_first_chunk()?;
    let micros = rest.first_chunk()?;
    Some(Work { tokens: u32::from_le_bytes(*tokens), micros: u64::from_le_bytes(*micros) })
}

/// What a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    /// Tokens of the answer.
    pub(crate) tokens: u32,
    /// Time at the usual speed, if the trace of arrivals says it.
    pub(crate) micros: u64,
}

/// A part of an answer in miniature: the index of the first token, and the tokens.
pub(crate) fn piece(first: u32, ids: &[u32]) -> Vec<u8> {
    std::iter::once(first).chain(ids.iter().copied()).flat_map(u32::to_le_bytes).collect()
}

/// A part of an answer from bytes.
pub(crate) fn read_piece(bytes: &[u8]) -> Option<(u32, Vec<u32>)> {
    let mut words = bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let first = words.next()?;
    Some((first, words.collect()))
}
