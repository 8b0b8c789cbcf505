//! A walk over an ONNX file, before ONNX Runtime sees it. Nothing of the file is believed: not a length, not a count,
//! not a name of another file.
//!
//! What must stay true: memory is bounded by the limits and not by the file; no byte is read twice; what passes is one
//! tree of the messages that the format has, whole, with a graph, and not one of its tensors says that its data are in
//! another file (`fill` walks the same way over one that is to get them inside). Everything that two parsers may read in
//! two ways is refused: a field that is not known, of another type than it has, or there twice.

use std::io::{self, Read};
use std::ops::Range;

use crate::limits::{
    ONNX_DEPTH, ONNX_FILE_BYTES, ONNX_IR, ONNX_MESSAGES, ONNX_NAME_BYTES, ONNX_OPSET, ONNX_OPSETS, ONNX_PLACE,
    ONNX_TEXTS,
};
use crate::source::{Source, SourceFault};

mod fill;
mod form;
#[cfg(test)]
mod tests;

use fill::Edits;
pub use fill::{FillFault, Outside};
use form::{Content, Kind};

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxFacts {
    /// The version of the file's form.
    pub ir_version: u64,
    /// The operator sets that it needs: domain (empty for that of ONNX itself) and version.
    pub opsets: Vec<(String, u64)>,
    /// Nodes, those of inner graphs and functions included.
    pub nodes: u64,
    /// Tensors that are stored in it.
    pub tensors: u64,
}

/// Why a file is not shown to ONNX Runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxFault {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
    /// It is another kind of file.
    #[error("the file is not ONNX: it looks like {0}")]
    LooksLike(&'static str),
    /// It is no file of this kind, and none that is known.
    #[error("the file is not ONNX: {0}")]
    NotOnnx(String),
    /// It ends before what it says that it has.
    #[error("the file is cut short: {what} ends at byte {end}, and the file at {length}")]
    Short {
        /// What does not fit.
        what: &'static str,
        /// Where it would end.
        end: u64,
        /// Where the file ends.
        length: u64,
    },
    /// A number is larger than anything that makes sense.
    #[error("{what}: there are {found}, and {most} is the most that is taken")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// What was found.
        found: u64,
        /// What is taken.
        most: u64,
    },
    /// A tensor's data are said to be elsewhere.
    #[error(
        "tensor {0:?} has its data in another file, and a model here is one file: save it with all tensors inside \
         (in Python: onnx.save(onnx.load(\"model.onnx\"), \"whole.onnx\"))"
    )]
    External(String),
    /// A tensor's data are said to be where nobody looks, or to be what they cannot be.
    #[error("the data of tensor {tensor:?} cannot be taken from another file: {why}")]
    Outside {
        /// Its name.
        tensor: String,
        /// Why not.
        why: String,
    },
    /// With the data that are in other files it is more than a file of this kind can be.
    #[error("the model with its data has {0} bytes, and one ONNX file has at most {ONNX_FILE_BYTES}")]
    TooLarge(u64),
    /// Something is of a kind, or has a value, that it cannot have.
    #[error("{0}")]
    Wrong(String),
}

impl From<SourceFault> for OnnxFault {
    fn from(fault: SourceFault) -> Self {
        match fault {
            SourceFault::Unreadable(error) => Self::Unreadable(error),
            SourceFault::Short { what, end, length } => Self::Short { what, end, length },
            SourceFault::TooMuch { what, found, most } => Self::TooMuch { what, found, most },
        }
    }
}

/// How a value is written: the lowest three bits of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint,
    Fixed64,
    Lengthed,
    Fixed32,
}

/// What is kept of a message until its end.
#[derive(Default)]
struct Note {
    /// Bit by bit, the fields that were there.
    seen: u64,
    name: String,
    domain: String,
    /// The version of the form, or of an operator set.
    version: u64,
    opsets: Vec<(String, u64)>,
    /// The elements of a tensor so far; `None` if beyond counting.
    elements: Option<u64>,
    data_type: u64,
    /// Bytes of the tensor, if it is stored as such.
    raw: Option<u64>,
    is_external: bool,
    /// What a tensor says of where its data are: 1 is another file.
    location: u64,
    /// What it says of that file; of a place itself, the text behind its key.
    place: Vec<(String, String)>,
    text: String,
    /// Where in the file that stands.
    place_at: Vec<Range<u64>>,
    /// Where the first field behind the bytes of a tensor begins.
    behind: Option<u64>,
    /// By how many bytes the message grows when all data are inside.
    growth: i64,
}

/// Walks over a file of `length` bytes.
pub fn inspect(file: impl Read, length: u64) -> Result<OnnxFacts, OnnxFault> {
    let (note, walk) = walk(file, length, None)?;
    Ok(OnnxFacts { ir_version: note.version, opsets: note.opsets, nodes: walk.nodes, tensors: walk.tensors })
}

/// Walks over a file. With edits, tensors whose data are elsewhere pass, and what would bring the data in is noted.
fn walk<R: Read>(file: R, length: u64, edits: Option<Edits>) -> Result<(Note, Walk<R>), OnnxFault> {
    if length == 0 {
        return Err(OnnxFault::LooksLike("an empty file"));
    }
    let mut source = Source::new(file, length, ONNX_FILE_BYTES, "the bytes of the file");
    if let Some(what) = form::looks_like(source.peek()?) {
        return Err(OnnxFault::LooksLike(what));
    }
    if length > ONNX_FILE_BYTES {
        let what = "the bytes of the file";
        return Err(OnnxFault::TooMuch { what, found: length, most: ONNX_FILE_BYTES });
    }
    let mut walk = Walk { source, length, messages: 0, texts: 0, nodes: 0, tensors: 0, edits };
    let note = walk.message(Kind::Model, length, 0)?;
    Ok((note, walk))
}

struct Walk<R> {
    source: Source<R>,
    length: u64,
    messages: u64,
    texts: u64,
    nodes: u64,
    tensors: u64,
    /// What brings the data in that are elsewhere; none where they may not be.
    edits: Option<Edits>,
}

fn bounded(what: &'static str, found: u64, most: u64) -> Result<u64, OnnxFault> {
    if found > most { Err(OnnxFault::TooMuch { what, found, most }) } else { Ok(found) }
}

impl<R: Read> Walk<R> {
    /// Walks over a message that ends at `end`.
    fn message(&mut self, kind: Kind, end: u64, depth: u32) -> Result<Note, OnnxFault> {
        bounded("messages inside messages", depth.into(), ONNX_DEPTH.into())?;
        self.messages = bounded("messages", self.messages + 1, ONNX_MESSAGES)?;
        let mut note = Note { elements: Some(1), ..Note::default() };
        while self.source.at() < end {
            let begin = self.source.at();
            let (number, wire) = self.tag(kind, end)?;
            let Some((_, what, content)) = kind.field(number) else {
                let text = format!("{} has a field {number}, which there is not in the format", kind.name());
                return Err(if kind == Kind::Model { OnnxFault::NotOnnx(text) } else { OnnxFault::Wrong(text) });
            };
            let bit = 1 << number;
            if note.seen & bit != 0 && !content.is_repeated() {
                return Err(OnnxFault::Wrong(format!("{what} is there twice in {}", kind.name())));
            }
            note.seen |= bit;
            match (content, wire) {
                (Content::Number | Content::Numbers, Wire::Varint) => {
                    let value = self.varint(what, end)?;
                    note.number(kind, number, value)?;
                }
                (Content::Fixed(4) | Content::Fixeds(4), Wire::Fixed32) => self.skip(what, 4, end)?,
                (Content::Fixed(8) | Content::Fixeds(8), Wire::Fixed64) => self.skip(what, 8, end)?,
                (_, Wire::Lengthed) => {
                    let at = self.source.at();
                    let inner = self.length(what, end)?;
                    let at = at..self.source.at();
                    let growth = self.lengthed(&mut note, (kind, number, what, content), inner, depth)?;
                    note.growth += self.edits.as_mut().map_or(0, |edits| edits.relength(at, inner, growth));
                }
                _ => return Err(OnnxFault::Wrong(format!("{what} is written as another type than it has"))),
            }
            if kind == Kind::Tensor {
                note.stands(number, begin..self.source.at());
            }
        }
        if let (Kind::Tensor, true, Some(edits)) = (kind, note.is_external, &mut self.edits) {
            edits.bring_in(&mut note)?;
        }
        note.check(kind)?;
        self.nodes += u64::from(kind == Kind::Node);
        self.tensors += u64::from(kind == Kind::Tensor);
        Ok(note)
    }

    /// A value of so many bytes. Gives by how many it grows.
    fn lengthed(
        &mut self,
        note: &mut Note,
        (kind, number, what, content): (Kind, u32, &'static str, Content),
        length: u64,
        depth: u32,
    ) -> Result<i64, OnnxFault> {
        let end = self.source.at() + length;
        match content {
            Content::One(inner) | Content::Many(inner) => {
                let child = self.message(inner, end, depth + 1)?;
                let growth = child.growth;
                note.child(kind, number, child)?;
                return Ok(growth);
            }
            // Packed. Shapes matter; the others are data.
            Content::Numbers if kind == Kind::Tensor && number == 1 => {
                while self.source.at() < end {
                    let value = self.varint(what, end)?;
                    note.number(kind, number, value)?;
                }
            }
            Content::Numbers => self.skip(what, length, end)?,
            Content::Fixeds(size) if length.is_multiple_of(size) => self.skip(what, length, end)?,
            Content::Text | Content::Texts => {
                self.texts = bounded("texts", self.texts + 1, ONNX_TEXTS)?;
                let is_name = matches!(
                    (kind, number),
                    (Kind::Tensor, 8) | (Kind::Opset, 1) | (Kind::Node, 3 | 4 | 7) | (Kind::Place, _)
                );
                match is_name {
                    true => {
                        bounded("bytes of a name", length, ONNX_NAME_BYTES)?;
                        let name = String::from_utf8(self.source.bytes(what, length)?);
                        note.text(kind, number, name.map_err(|_| OnnxFault::Wrong(format!("{what} is no UTF-8")))?)?;
                    }
                    false => self.skip(what, length, end)?,
                }
                if (kind, number) == (Kind::Tensor, 9) {
                    note.raw = Some(length);
                }
            }
            Content::Number | Content::Fixed(_) | Content::Fixeds(_) => {
                return Err(OnnxFault::Wrong(format!("{what} is written as another type than it has")));
            }
        }
        Ok(0)
    }

    fn tag(&mut self, kind: Kind, end: u64) -> Result<(u32, Wire), OnnxFault> {
        let start = self.source.at();
        let strange = || {
            let text = format!("{} has at byte {start} what begins no field", kind.name());
            if kind == Kind::Model { OnnxFault::NotOnnx(text) } else { OnnxFault::Wrong(text) }
        };
        let tag = match self.varint(kind.name(), end) {
            Err(OnnxFault::Wrong(_)) => return Err(strange()),
            tag => tag?,
        };
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Lengthed,
            5 => Wire::Fixed32,
            _ => return Err(strange()),
        };
        // All fields of the format have numbers below 32; parsers differ in what they make of longer tags.
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..64).contains(number));
        let is_short = self.source.at() - start <= 2;
        number.filter(|_| is_short).map(|number| (number, wire)).ok_or_else(strange)
    }

    /// A whole number of the form: seven bits in each byte, the lowest first.
    fn varint(&mut self, what: &'static str, end: u64) -> Result<u64, OnnxFault> {
        let mut value = 0u64;
        for place in 0..10 {
            if self.source.at() >= end {
                return Err(self.beyond(what, end + 1, end));
            }
            let [byte] = self.source.array(what)?;
            if place == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(OnnxFault::Wrong(format!("{what} has a number of more than 64 bits")))
    }

    /// The length of what comes, which must fit what it stands in.
    fn length(&mut self, what: &'static str, end: u64) -> Result<u64, OnnxFault> {
        let length = self.varint(what, end)?;
        match self.source.at().checked_add(length) {
            Some(own) if own <= end => Ok(length),
            own => Err(self.beyond(what, own.unwrap_or(u64::MAX), end)),
        }
    }

    fn skip(&mut self, what: &'static str, length: u64, end: u64) -> Result<(), OnnxFault> {
        if self.source.at() + length > end {
            return Err(self.beyond(what, self.source.at() + length, end));
        }
        Ok(self.source.skip(what, length)?)
    }

    fn beyond(&self, what: &'static str, own: u64, end: u64) -> OnnxFault {
        if end == self.length {
            OnnxFault::Short { what, end: own, length: end }
        } else {
            OnnxFault::Wrong(format!("{what} ends at byte {own}, beyond what it stands in, which ends at {end}"))
        }
    }
}

impl Note {
    fn number(&mut self, kind: Kind, number: u32, value: u64) -> Result<(), OnnxFault> {
        match (kind, number) {
            (Kind::Model, 1) | (Kind::Opset, 2) => self.version = value,
            (Kind::Tensor, 1) => {
                if i64::try_from(value).is_err() {
                    return Err(OnnxFault::Wrong("a tensor has a negative dimension".to_owned()));
                }
                self.elements = self.elements.and_then(|elements| elements.checked_mul(value));
            }
            (Kind::Tensor, 2) => self.data_type = value,
            (Kind::Tensor, 14) => {
                self.is_external |= value != 0;
                self.location = value;
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, kind: Kind, number: u32, text: String) -> Result<(), OnnxFault> {
        match (kind, number) {
            (Kind::Opset, 1) => self.domain = text,
            (Kind::Node, 4) if text == "EPContext" => {
                let text = "a node is EPContext: a program made for one device, or the name of a file with one; give \
                            the model that it was made from";
                return Err(OnnxFault::Wrong(text.to_owned()));
            }
            (Kind::Tensor, 8) | (Kind::Place, 1) => self.name = text,
            (Kind::Place, 2) => self.text = text,
            _ => {}
        }
        Ok(())
    }

    fn child(&mut self, kind: Kind, number: u32, child: Self) -> Result<(), OnnxFault> {
        match (kind, number) {
            (Kind::Model, 8) | (Kind::Function, 9) => {
                let Self { domain, version, .. } = child;
                if self.opsets.iter().any(|(known, _)| *known == domain) {
                    return Err(OnnxFault::Wrong(format!("the operator set {domain:?} is imported twice")));
                }
                bounded("operator sets", self.opsets.len() as u64 + 1, ONNX_OPSETS as u64)?;
                self.opsets.push((domain, version));
            }
            (Kind::Tensor, 13) => {
                self.is_external = true;
                bounded("words on the place of a tensor's data", self.place.len() as u64 + 1, ONNX_PLACE)?;
                self.place.push((child.name, child.text));
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes where a field of a tensor stands.
    fn stands(&mut self, number: u32, at: Range<u64>) {
        if number > 9 {
            self.behind.get_or_insert(at.start);
        }
        if matches!(number, 13 | 14) {
            self.place_at.push(at);
        }
    }

    /// Bytes of a tensor's data by its shape and type. `None`: they cannot be counted, or are none, as texts are.
    fn bytes(&self) -> Option<u64> {
        let elements = self.elements.filter(|count| i64::try_from(*count).is_ok())?;
        let bits = form::bits(self.data_type).filter(|bits| *bits > 0)?;
        Some(elements.checked_mul(bits)?.div_ceil(8))
    }

    /// Whether the parts fit one another.
    fn check(&self, kind: Kind) -> Result<(), OnnxFault> {
        let wrong = |text: String| Err(OnnxFault::Wrong(text));
        match kind {
            Kind::Model => {
                if self.seen & (1 << 7) == 0 {
                    return Err(OnnxFault::NotOnnx("there is no graph in it".to_owned()));
                }
                if !(1..=ONNX_IR).contains(&self.version) {
                    return wrong(format!("the version of the form is {}, and there is none such", self.version));
                }
                // Before form 3 there was one set of operators.
                if self.opsets.is_empty() && self.version >= 3 {
                    return wrong("the model does not say which operator set it needs; is its end cut off?".to_owned());
                }
            }
            Kind::Opset if !(1..=ONNX_OPSET).contains(&self.version) => {
                return wrong(format!("the operator set {:?} has version {}", self.domain, self.version));
            }
            Kind::Tensor => {
                let name = &self.name;
                if self.is_external {
                    return Err(OnnxFault::External(name.clone()));
                }
                let Some(elements) = self.elements.filter(|count| i64::try_from(*count).is_ok()) else {
                    return wrong(format!("tensor {name:?} has more elements than can be counted"));
                };
                let Some(bits) = form::bits(self.data_type) else {
                    return wrong(format!("tensor {name:?} is of type {}, which there is not", self.data_type));
                };
                if let Some(found) = self.raw {
                    let wanted = elements.checked_mul(bits).map(|bits| bits.div_ceil(8));
                    if bits == 0 || wanted != Some(found) {
                        let wanted = wanted.unwrap_or(u64::MAX);
                        return wrong(format!("tensor {name:?} has {found} bytes, and its shape needs {wanted}"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
