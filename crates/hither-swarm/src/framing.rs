//! Frames on a stream: a length in four bytes, least significant first, then so many bytes.

use bytes::{Buf, Bytes, BytesMut};
use iroh::endpoint::{ReadError, RecvStream, SendStream, WriteError};

/// Pieces taken from a stream at once; each is what one packet brought.
const PIECES: usize = 32;
/// Room that a header is believed before its body arrives.
const AHEAD: usize = 256 << 10;
const HEADER: usize = 4;

/// Why no further frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("a frame of {size} bytes where at most {limit} are allowed")]
    TooLarge { size: usize, limit: usize },
    #[error("the stream ended inside a frame")]
    Truncated,
    #[error("the stream broke")]
    Read(#[from] ReadError),
}

/// Reads frames. Dropping a call of [`FrameReader::next`] loses nothing.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: RecvStream,
    buffer: BytesMut,
    limit: usize,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, limit: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), limit }
    }

    /// The next frame; `None` at a clean end. Memory grows with what arrives; what a header promises is believed up to
    /// [`AHEAD`].
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FramingError> {
        loop {
            if let Some(frame) = split(&mut self.buffer, self.limit)? {
                return Ok(Some(frame));
            }
            let mut pieces = [const { Bytes::new() }; PIECES];
            match self.stream.read_many_chunks(&mut pieces).await? {
                Some(read) => {
                    self.buffer.reserve(room(&self.buffer, &pieces[..read]));
                    pieces[..read].iter().for_each(|piece| self.buffer.extend_from_slice(piece));
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(FramingError::Truncated),
            }
        }
    }

    /// Tells the sender to stop.
    pub(crate) fn stop(&mut self, code: u32) {
        // It fails only if the stream has ended already, which is what is wanted.
        let _ = self.stream.stop(code.into());
    }
}

/// How much room what has just come needs, and what is left of its frame, as far as that is believed.
fn room(buffer: &BytesMut, pieces: &[Bytes]) -> usize {
    let come = pieces.iter().map(Bytes::len).sum();
    let header = buffer.first_chunk::<HEADER>().or_else(|| pieces.first()?.first_chunk::<HEADER>());
    let whole = header.map_or(0, |header| HEADER + u32::from_le_bytes(*header) as usize);
    whole.saturating_sub(buffer.len()).min(AHEAD).max(come)
}

fn split(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FramingError> {
    let Some(header) = buffer.first_chunk::<HEADER>() else { return Ok(None) };
    let size = u32::from_le_bytes(*header) as usize;
    if size > limit {
        return Err(FramingError::TooLarge { size, limit });
    }
    if buffer.len() < HEADER + size {
        return Ok(None);
    }
    buffer.advance(HEADER);
    Ok(Some(buffer.split_to(size).freeze()))
}

/// A frame that is ready to be written: its header and its body, which is not copied once more.
#[derive(Debug, Clone)]
pub(crate) struct Framed([Bytes; 2]);

impl Framed {
    /// Bytes on the stream.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

/// A frame, or `None` if it is larger than the limit.
pub(crate) fn frame(body: impl Into<Bytes>, limit: usize) -> Option<Framed> {
    let body = body.into();
    let size = u32::try_from(body.len()).ok().filter(|_| body.len() <= limit)?;
    Some(Framed([Bytes::copy_from_slice(&size.to_le_bytes()), body]))
}

/// Writes a frame. Whoever drops this may leave half a frame.
pub(crate) async fn write(stream: &mut SendStream, mut frame: Framed) -> Result<(), WriteError> {
    stream.write_all_chunks(&mut frame.0).await
}

#[cfg(test)]
mod tests;
