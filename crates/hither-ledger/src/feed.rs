//! The bytes of a ledger in their order, in pieces of whole lines: so that several can be looked at together.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use crate::damage::{Damage, VerifyError};
use crate::segments::{Form, Segment, list};

/// How much is read at once: some two thousand records, enough to be worth handing to another thread.
const PIECE_BYTES: usize = 1024 * 1024;

/// How often a folder is looked at whose files change names meanwhile. A segment is closed once a day, or every few MB.
const LOOKS_MAX: usize = 16;

/// A piece of one file.
pub(crate) struct Piece {
    /// The file's place among the segments.
    pub(crate) segment: usize,
    /// What the file holds.
    pub(crate) form: Form,
    /// The number of the record that its first line should be.
    pub(crate) seq: u64,
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Whole lines, and at the end of a file what stands behind the last line feed.
    pub(crate) bytes: Vec<u8>,
}

struct Reading {
    segment: usize,
    form: Form,
    file: File,
    offset: u64,
    /// The beginning of a line that the next piece begins with.
    rest: Vec<u8>,
}

/// Where the bytes come from.
pub(crate) struct Feed {
    dir: PathBuf,
    /// All of them.
    pub(crate) segments: Vec<Segment>,
    waiting: IntoIter<(usize, Segment)>,
    open: Option<File>,
    /// How long the open segment was when it was opened.
    pub(crate) open_len: u64,
    reading: Option<Reading>,
    seq: u64,
}

impl Feed {
    /// Looks at the files of a folder. While its node closes a segment a name changes its meaning: the open one counts if
    /// the names were the same before and after it was opened.
    pub(crate) fn open(dir: &Path) -> Result<Self, VerifyError> {
        let failed = |source| VerifyError::Io { path: dir.to_owned(), source };
        let mut segments = list(dir).map_err(failed)?;
        for _ in 0..LOOKS_MAX {
            let last = segments.last().copied().filter(|segment| segment.form == Form::Open);
            let opened = last.map(|segment| File::open(dir.join(segment.name()))).transpose();
            let again = list(dir).map_err(failed)?;
            if again == segments {
                let open = opened.map_err(failed)?;
                let open_len = open.as_ref().map_or(Ok(0), |file| Ok(file.metadata()?.len())).map_err(failed)?;
                let waiting = segments.iter().copied().enumerate().collect::<Vec<_>>().into_iter();
                return Ok(Self { dir: dir.to_owned(), segments, waiting, open, open_len, reading: None, seq: 0 });
            }
            segments = again;
        }
        Err(VerifyError::Changed(dir.to_owned()))
    }

    /// How many bytes there are, as far as that can be told.
    pub(crate) fn bytes(&self) -> u64 {
        let closed = self.segments.iter().filter(|segment| segment.form != Form::Open);
        let len = |segment: &Segment| std::fs::metadata(self.dir.join(segment.name())).map_or(0, |data| data.len());
        closed.map(len).sum::<u64>() + self.open_len
    }

    /// The next piece; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, VerifyError> {
        loop {
            let mut reading = match self.reading.take() {
                Some(reading) => reading,
                None => match self.waiting.next() {
                    Some((at, segment)) => self.begin(at, segment)?,
                    None => return Ok(None),
                },
            };
            let (segment, form, offset) = (reading.segment, reading.form, reading.offset);
            let (bytes, is_last) = reading
                .piece()
                .map_err(|source| VerifyError::Io { path: self.dir.join(self.segments[segment].name()), source })?;
            if !is_last {
                self.reading = Some(reading);
            }
            if !bytes.is_empty() {
                let seq = self.seq;
                self.seq += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                return Ok(Some(Piece { segment, form, seq, offset, bytes }));
            }
        }
    }

    fn begin(&mut self, at: usize, segment: Segment) -> Result<Reading, VerifyError> {
        if let Some(found) = segment.first.filter(|first| *first != self.seq) {
            let damage = Damage::Hole { expected: self.seq, found };
            return Err(VerifyError::Damaged { dir: self.dir.clone(), damage });
        }
        let file = match self.open.take_if(|_| segment.form == Form::Open) {
            Some(file) => file,
            None => {
                let path = self.dir.join(segment.name());
                File::open(&path).map_err(|source| match source.kind() {
                    io::ErrorKind::NotFound => VerifyError::Changed(self.dir.clone()),
                    _ => VerifyError::Io { path, source },
                })?
            }
        };
        Ok(Reading { segment: at, form: segment.form, file, offset: 0, rest: Vec::new() })
    }
}

impl Reading {
    /// The next piece, and whether it is the last of this file. A line longer than a piece is a piece, and the last.
    fn piece(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let mut bytes = std::mem::take(&mut self.rest);
        let room = PIECE_BYTES.saturating_sub(bytes.len()) as u64;
        self.file.by_ref().take(room).read_to_end(&mut bytes)?;
        let is_end = bytes.len() < PIECE_BYTES;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if is_end || whole == 0 {
            return Ok((bytes, true));
        }
        self.rest = bytes.split_off(whole);
        self.offset += whole as u64;
        Ok((bytes, false))
    }
}
