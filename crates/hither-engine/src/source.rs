//! Bytes of a file, front to back, none beyond its end.

use std::io::{self, Read};

/// Reads in pieces of this size; also what skipping costs in memory.
const BUFFER: usize = 64 << 10;

/// Why bytes cannot be had.
#[derive(Debug)]
pub(crate) enum SourceFault {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// It ends before.
    Short { what: &'static str, end: u64, length: u64 },
    /// More than is taken.
    TooMuch { what: &'static str, found: u64, most: u64 },
}

/// A file as it is read, with how far that is.
pub(crate) struct Source<R> {
    file: R,
    at: u64,
    length: u64,
    /// How much of it is read at most, and what that is.
    most: u64,
    part: &'static str,
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    taken: usize,
    /// What was taken since somebody asked to keep it.
    kept: Option<Vec<u8>>,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(file: R, length: u64, most: u64, part: &'static str) -> Self {
        Self { file, at: 0, length, most, part, buffer: Vec::new(), taken: 0, kept: None }
    }

    /// Bytes taken so far.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Whether so many more can be taken.
    fn reserve(&self, what: &'static str, count: u64) -> Result<u64, SourceFault> {
        let short = |end| SourceFault::Short { what, end, length: self.length };
        let end = self.at.checked_add(count).ok_or_else(|| short(u64::MAX))?;
        if end > self.length {
            return Err(short(end));
        }
        if end > self.most {
            return Err(SourceFault::TooMuch { what: self.part, found: end, most: self.most });
        }
        Ok(end)
    }

    /// Reads a piece if none is here. What is here is empty only at the end of the file.
    fn fill(&mut self) -> Result<(), SourceFault> {
        if self.taken == self.buffer.len() {
            self.buffer.resize(BUFFER, 0);
            self.taken = 0;
            let count = loop {
                match self.file.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read.map_err(SourceFault::Unreadable)?,
                }
            };
            self.buffer.truncate(count);
        }
        Ok(())
    }

    /// The next bytes, without taking them: as many as one read gave.
    pub(crate) fn peek(&mut self) -> Result<&[u8], SourceFault> {
        self.fill()?;
        Ok(&self.buffer[self.taken..])
    }

    /// Some of the bytes that are here, at most so many; reads if none are.
    fn chunk(&mut self, what: &'static str, most: usize) -> Result<&[u8], SourceFault> {
        self.fill()?;
        if self.taken == self.buffer.len() {
            return Err(SourceFault::Short { what, end: self.at + most as u64, length: self.at });
        }
        let count = most.min(self.buffer.len() - self.taken);
        let start = self.taken;
        self.taken += count;
        self.at += count as u64;
        let chunk = &self.buffer[start..start + count];
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(chunk);
        }
        Ok(chunk)
    }

    /// Takes so many bytes. The caller has bounded the count.
    pub(crate) fn bytes(&mut self, what: &'static str, count: u64) -> Result<Vec<u8>, SourceFault> {
        let end = self.reserve(what, count)?;
        let mut out = Vec::new();
        while self.at < end {
            let left = (end - self.at).min(BUFFER as u64) as usize;
            out.extend_from_slice(self.chunk(what, left)?);
        }
        Ok(out)
    }

    /// Takes so many bytes and forgets them.
    pub(crate) fn skip(&mut self, what: &'static str, count: u64) -> Result<(), SourceFault> {
        let end = self.reserve(what, count)?;
        while self.at < end {
            let left = (end - self.at).min(BUFFER as u64) as usize;
            self.chunk(what, left)?;
        }
        Ok(())
    }

    /// Takes a piece of the bytes before `end`. It is empty only there.
    pub(crate) fn piece(&mut self, what: &'static str, end: u64) -> Result<&[u8], SourceFault> {
        let left = end.saturating_sub(self.at);
        if left == 0 {
            return Ok(&[]);
        }
        self.reserve(what, left)?;
        self.chunk(what, left.min(BUFFER as u64) as usize)
    }

    /// Lifts the bound on how much is read. What comes is passed on, not kept.
    pub(crate) fn lift(&mut self) {
        self.most = self.length;
    }

    /// Keeps what is taken from here on.
    pub(crate) fn keep(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What was taken since [`Self::keep`]; no more is kept.
    pub(crate) fn kept(&mut self) -> Vec<u8> {
        self.kept.take().unwrap_or_default()
    }

    /// Takes what is left, and gives the file back: it was read to its end.
    pub(crate) fn end(mut self, what: &'static str) -> Result<R, SourceFault> {
        self.lift();
        self.skip(what, self.length.saturating_sub(self.at))?;
        Ok(self.file)
    }

    /// Takes `count` bytes, at most `N`; the rest is zero.
    pub(crate) fn array_of<const N: usize>(
        &mut self,
        what: &'static str,
        count: usize,
    ) -> Result<[u8; N], SourceFault> {
        let mut out = [0; N];
        let count = count.min(N);
        self.reserve(what, count as u64)?;
        let mut filled = 0;
        while filled < count {
            let chunk = self.chunk(what, count - filled)?;
            out[filled..filled + chunk.len()].copy_from_slice(chunk);
            filled += chunk.len();
        }
        Ok(out)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], SourceFault> {
        self.array_of(what, N)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, SourceFault> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, SourceFault> {
        self.array(what).map(u64::from_le_bytes)
    }
}
