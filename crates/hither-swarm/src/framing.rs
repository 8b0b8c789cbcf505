//! Frames on a stream: a length in four bytes, least significant first, then so many bytes.

use bytes::{Buf, Bytes, BytesMut};
use iroh::endpoint::{ReadError, RecvStream, SendStream, WriteError};

/// Bytes taken from a stream at once.
const CHUNK: usize = 64 << 10;
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

    /// The next frame; `None` at a clean end. Memory grows with what arrives, not with what a header promises.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FramingError> {
        loop {
            if let Some(frame) = split(&mut self.buffer, self.limit)? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunk(CHUNK).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
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

/// A frame ready to be written in one go, or `None` if it is larger than the limit.
pub(crate) fn frame(body: &[u8], limit: usize) -> Option<Bytes> {
    if body.len() > limit {
        return None;
    }
    let size = u32::try_from(body.len()).ok()?;
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(body);
    Some(bytes.into())
}

/// Writes a frame made by [`frame`].
pub(crate) async fn write(stream: &mut SendStream, frame: Bytes) -> Result<(), WriteError> {
    stream.write_chunk(frame).await
}

#[cfg(test)]
mod tests;
