//! One file of an ONNX model whose tensors have their data in files beside it.
//!
//! What must stay true: what a model names is a plain name of a file beside it, and bytes of that file which its shape asks
//! for, no more and no fewer; all else of the model stays byte for byte, but for the lengths of what grows; every file is
//! read from front to back, so that what a reader hashed on the way is what was taken; memory is bounded by the count of
//! such tensors and not by their size; the same files always make the same bytes.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use super::{Note, OnnxFault, walk};
use crate::limits::{ONNX_FILE_BYTES, ONNX_FILE_NAME, ONNX_FILES, ONNX_OUTSIDE};
use crate::source::{Source, SourceFault};

#[cfg(test)]
mod tests;

/// The tag of a tensor's bytes: field 9, with a length.
const RAW: u8 = 9 << 3 | 2;

/// Fields of a tensor that are data: a segment, numbers, texts, bytes.
const DATA: u64 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 11;

/// Why the data cannot be brought in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FillFault {
    /// The model is not what it was when it was looked at.
    #[error("the model cannot be read again")]
    Model(#[source] OnnxFault),
    /// A file of data cannot be read.
    #[error("{name:?} cannot be read")]
    Data {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        fault: OnnxFault,
    },
    /// A file of data is not what the model says.
    #[error("{name:?} has {length} bytes, and the model says that its data are {} to {}", at.start, at.end)]
    Length {
        /// Its name.
        name: String,
        /// Where the data of a tensor should be.
        at: Range<u64>,
        /// Bytes of the file.
        length: u64,
    },
    /// A file has more bytes than any model could take in, so it is not read.
    #[error("{name:?} has {length} bytes, and one ONNX file has at most {ONNX_FILE_BYTES}")]
    TooLong {
        /// Its name.
        name: String,
        /// Bytes of the file.
        length: u64,
    },
    /// Another count of files than the model names.
    #[error("the model names {named} files, and {given} were given")]
    Files {
        /// How many it names.
        named: usize,
        /// How many were given.
        given: usize,
    },
    /// The joined file cannot be written.
    #[error("the joined file cannot be written")]
    Unwritable(#[source] io::Error),
}

/// A model that has data in files beside it.
#[derive(Debug)]
pub struct Outside {
    /// Bytes of the model as it is.
    model: u64,
    /// Bytes of the file with all data inside.
    length: u64,
    edits: Edits,
}

/// What brings the data in.
#[derive(Debug, Default)]
pub(super) struct Edits {
    names: Vec<String>,
    pieces: Vec<Piece>,
    list: Vec<Edit>,
}

/// The data of a tensor.
#[derive(Debug, Clone)]
struct Piece {
    /// Which of the names.
    file: usize,
    /// Where they are in that file.
    at: Range<u64>,
    /// Whether they have to end where the file does, for nobody says how long they are.
    is_rest: bool,
    /// Where they come in the joined file.
    to: u64,
}

/// One place in the model where something goes, or comes.
#[derive(Debug)]
struct Edit {
    at: u64,
    /// Bytes that go.
    cut: u64,
    put: Put,
}

#[derive(Debug)]
enum Put {
    Nothing,
    /// The length of a message that grew.
    Length(u64),
    /// The data of a tensor, by their number.
    Piece(usize),
}

impl Outside {
    /// Walks over a file of `length` bytes as [`super::inspect`] does, and finds what it has in other files. `None`: nothing.
    ///
    /// # Errors
    /// If the file is not right, names what is not followed, or has more data outside than an ONNX file can hold.
    pub fn read(file: impl Read, length: u64) -> Result<Option<Self>, OnnxFault> {
        let (note, walk) = walk(file, length, Some(Edits::default()))?;
        let mut edits = walk.edits.unwrap_or_default();
        if edits.pieces.is_empty() {
            return Ok(None);
        }
        let length = walk.length.saturating_add_signed(note.growth);
        if length > ONNX_FILE_BYTES {
            return Err(OnnxFault::TooLarge(length));
        }
        edits.place();
        Ok(Some(Self { model: walk.length, length, edits }))
    }

    /// The files beside it that it needs, in the order in which it names them.
    pub fn names(&self) -> &[String] {
        &self.edits.names
    }

    /// Bytes of the file with all data inside.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the file with all data inside, from its beginning. The model is read a second time, and the files that it names,
    /// in that order and each with its length in bytes, once; all of them to their ends.
    ///
    /// # Errors
    /// If one of them cannot be read or is too short; if the joined file cannot be written.
    pub fn write<D: Read>(
        &self,
        model: impl Read,
        data: &mut [(D, u64)],
        out: &mut (impl Write + Seek),
    ) -> Result<(), FillFault> {
        let lengths: Vec<u64> = data.iter().map(|(_, length)| *length).collect();
        self.check(&lengths)?;
        self.write_model(model, out)?;
        for (file, (reader, length)) in data.iter_mut().enumerate() {
            self.write_data(file, reader, *length, out)?;
        }
        out.flush().map_err(FillFault::Unwritable)
    }

    /// Whether every tensor's data are in the files.
    fn check(&self, lengths: &[u64]) -> Result<(), FillFault> {
        let names = self.names();
        if names.len() != lengths.len() {
            return Err(FillFault::Files { named: names.len(), given: lengths.len() });
        }
        if let Some((name, &length)) = names.iter().zip(lengths).find(|(_, length)| **length > ONNX_FILE_BYTES) {
            return Err(FillFault::TooLong { name: name.clone(), length });
        }
        for Piece { file, at, is_rest, .. } in &self.edits.pieces {
            let length = lengths[*file];
            if at.end > length || *is_rest && at.end != length {
                return Err(FillFault::Length { name: names[*file].clone(), at: at.clone(), length });
            }
        }
        Ok(())
    }

    /// All but the data; their places stay free.
    fn write_model(&self, model: impl Read, out: &mut (impl Write + Seek)) -> Result<(), FillFault> {
        let wrong = |fault: SourceFault| FillFault::Model(fault.into());
        let mut source = Source::new(model, self.model, self.model, "the bytes of the model");
        for Edit { at, cut, put } in &self.edits.list {
            copy(&mut source, *at, out)?;
            source.skip("the model", *cut).map_err(wrong)?;
            let bytes = match put {
                Put::Nothing => Vec::new(),
                Put::Length(length) => varint(*length),
                Put::Piece(piece) => {
                    let at = &self.edits.pieces[*piece].at;
                    [&[RAW][..], &varint(at.end - at.start)].concat()
                }
            };
            out.write_all(&bytes).map_err(FillFault::Unwritable)?;
            if let Put::Piece(piece) = put {
                let Piece { at, to, .. } = &self.edits.pieces[*piece];
                out.seek(SeekFrom::Start(to + (at.end - at.start))).map_err(FillFault::Unwritable)?;
            }
        }
        copy(&mut source, self.model, out)
    }

    /// The data that are in one of the files, each piece to its place.
    fn write_data(
        &self,
        file: usize,
        reader: impl Read,
        length: u64,
        out: &mut (impl Write + Seek),
    ) -> Result<(), FillFault> {
        let wrong = |fault: SourceFault| FillFault::Data { name: self.names()[file].clone(), fault: fault.into() };
        let mut source = Source::new(reader, length, length, "the bytes of the file");
        let mut pieces: Vec<&Piece> = self.edits.pieces.iter().filter(|piece| piece.file == file).collect();
        pieces.sort_by_key(|piece| piece.at.start);
        let mut pieces = pieces.as_slice();
        loop {
            let begin = source.at();
            let read = source.piece("the data of a tensor", length).map_err(wrong)?;
            if read.is_empty() {
                return Ok(());
            }
            let end = begin + read.len() as u64;
            while pieces.first().is_some_and(|piece| piece.at.end <= begin) {
                pieces = &pieces[1..];
            }
            // Two tensors may share bytes.
            for Piece { at, to, .. } in pieces.iter().take_while(|piece| piece.at.start < end) {
                let (from, until) = (at.start.max(begin), at.end.min(end));
                if from < until {
                    out.seek(SeekFrom::Start(to + (from - at.start))).map_err(FillFault::Unwritable)?;
                    let bytes = &read[(from - begin) as usize..(until - begin) as usize];
                    out.write_all(bytes).map_err(FillFault::Unwritable)?;
                }
            }
        }
    }
}

/// Copies what of the model is before a byte.
fn copy<R: Read>(source: &mut Source<R>, until: u64, out: &mut impl Write) -> Result<(), FillFault> {
    loop {
        let piece = source.piece("the model", until).map_err(|fault| FillFault::Model(fault.into()))?;
        if piece.is_empty() {
            return Ok(());
        }
        out.write_all(piece).map_err(FillFault::Unwritable)?;
    }
}

impl Edits {
    /// Notes that a message of `length` bytes grows, which is said at `at`. Gives by how much what it stands in grows.
    pub(super) fn relength(&mut self, at: Range<u64>, length: u64, growth: i64) -> i64 {
        if growth == 0 {
            return 0;
        }
        let (cut, length) = (at.end - at.start, length.saturating_add_signed(growth));
        self.list.push(Edit { at: at.start, cut, put: Put::Length(length) });
        growth + varint(length).len() as i64 - cut as i64
    }

    /// Notes what brings the data of a tensor in, whose message ends here, and lets it count as one that has them inside.
    pub(super) fn bring_in(&mut self, note: &mut Note) -> Result<(), OnnxFault> {
        let why = |why: String| OnnxFault::Outside { tensor: note.name.clone(), why };
        if note.location != 1 {
            return Err(why("it does not say clearly whether they are in one".to_owned()));
        }
        if note.seen & DATA != 0 {
            return Err(why("it has some inside, too".to_owned()));
        }
        let length =
            note.bytes().ok_or_else(|| why("its type and shape do not say how many bytes they are".to_owned()))?;
        let place = Place::of(&note.place).map_err(why)?;
        if let Some(said) = place.length.filter(|said| *said != length) {
            return Err(why(format!("they are said to be {said} bytes, and its shape needs {length}")));
        }
        let end = place.offset.checked_add(length).filter(|end| *end <= ONNX_FILE_BYTES);
        let end = end.ok_or(OnnxFault::TooLarge(place.offset.saturating_add(length)))?;
        super::bounded("tensors with data in other files", self.pieces.len() as u64 + 1, ONNX_OUTSIDE)?;
        let at = note.behind.expect("what says that the data are elsewhere stands behind where they would be");
        let file = self.file(place.name)?;
        self.list.push(Edit { at, cut: 0, put: Put::Piece(self.pieces.len()) });
        self.pieces.push(Piece { file, at: place.offset..end, is_rest: place.length.is_none(), to: 0 });
        let mut growth = (1 + varint(length).len() as u64 + length) as i64;
        for at in note.place_at.drain(..) {
            let cut = at.end - at.start;
            self.list.push(Edit { at: at.start, cut, put: Put::Nothing });
            growth -= cut as i64;
        }
        note.growth += growth;
        (note.is_external, note.raw) = (false, Some(length));
        Ok(())
    }

    /// The number of a file.
    fn file(&mut self, name: &str) -> Result<usize, OnnxFault> {
        // Most often it is the one of the tensor before.
        if let Some(known) = self.names.iter().rposition(|known| known == name) {
            return Ok(known);
        }
        super::bounded("files with data of tensors", self.names.len() as u64 + 1, ONNX_FILES as u64)?;
        self.names.push(name.to_owned());
        Ok(self.names.len() - 1)
    }

    /// Brings the edits into the order of the model, and finds where each piece of data comes.
    fn place(&mut self) {
        // What comes at a place stands before what goes there.
        self.list.sort_by_key(|edit| (edit.at, edit.cut));
        let (mut read, mut written) = (0, 0);
        for Edit { at, cut, put } in &self.list {
            written += at - read;
            read = at + cut;
            match put {
                Put::Nothing => {}
                Put::Length(length) => written += varint(*length).len() as u64,
                Put::Piece(piece) => {
                    let piece = &mut self.pieces[*piece];
                    let length = piece.at.end - piece.at.start;
                    piece.to = written + 1 + varint(length).len() as u64;
                    written = piece.to + length;
                }
            }
        }
    }
}

/// What a tensor says of where its data are.
struct Place<'a> {
    name: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl<'a> Place<'a> {
    fn of(words: &'a [(String, String)]) -> Result<Self, String> {
        let mut place = Self { name: "", offset: 0, length: None };
        for (at, (key, text)) in words.iter().enumerate() {
            if words[..at].iter().any(|(other, _)| other == key) {
                return Err(format!("{key:?} is said twice"));
            }
            let number = || match text.bytes().all(|byte| byte.is_ascii_digit()) {
                true => text.parse().map_err(|_| format!("{key} is {text:?}")),
                false => Err(format!("{key} is {text:?}")),
            };
            match key.as_str() {
                "location" => place.name = text,
                "offset" => place.offset = number()?,
                "length" => place.length = Some(number()?),
                // Of the whole file, by SHA-1; no program that is known looks at it.
                "checksum" => {}
                _ => return Err(format!("it says {key:?} of them, which is not known")),
            }
        }
        if is_plain(place.name) {
            return Ok(place);
        }
        let shown: String = place.name.chars().take(80).collect();
        Err(format!("it names {shown:?}, and only the plain name of a file beside the model is followed"))
    }
}

/// Whether a name is that of a file in the same directory, and nothing else.
fn is_plain(name: &str) -> bool {
    let is_strange = |c: char| c.is_control() || matches!(c, '/' | '\\');
    !name.is_empty() && name.len() <= ONNX_FILE_NAME && !name.starts_with('.') && !name.contains(is_strange)
}

/// A whole number as the form writes it: seven bits in each byte, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
