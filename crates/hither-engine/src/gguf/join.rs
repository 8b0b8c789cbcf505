//! One file of the parts of a split GGUF model, as llama.cpp's `gguf-split` and `gguf-py` write them: each part has a header
//! and tensors of its own, the first one also the keys of the model; `split.no`, `split.count` and `split.tensors.count`
//! say how they belong together.
//!
//! What must stay true: each part is read once, from front to back, so that what a reader hashed on the way is what was
//! joined; memory is bounded by the limits of headers and not by the files; the same parts always make the same bytes,
//! which are those of the file that was split if its tensors stood in order, each one filled up to the alignment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use super::{GgufFault, Head, Tensor, Value, alignment, bounded, check_extents, read_head, read_key, read_tensors};
use crate::limits::{GGUF_HEADER_BYTES, GGUF_PARTS, GGUF_TENSORS};
use crate::source::{Source, SourceFault};

#[cfg(test)]
mod tests;

/// What the keys begin with that say how parts belong together.
const SPLIT: &str = "split.";

/// Why parts cannot be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinFault {
    /// Something is wrong with one of them, or it does not belong to the others.
    #[error("part {number} cannot be used")]
    Part {
        /// Which one, from 1.
        number: usize,
        /// Why not.
        #[source]
        fault: GgufFault,
    },
    /// Each is right by itself, and together they are no model.
    #[error("{0}")]
    Together(String),
    /// The joined file cannot be written.
    #[error("the joined file cannot be written")]
    Unwritable(#[source] io::Error),
}

/// The parts of a model whose headers were read, and fit one another.
pub struct Parts<R> {
    /// All of the joined file that stands before the tensors.
    header: Vec<u8>,
    alignment: u64,
    length: u64,
    parts: Vec<Part<R>>,
}

struct Part<R> {
    source: Source<R>,
    /// Where its data begin.
    start: u64,
    /// Offset and length of each tensor in the data, in the order of the data.
    extents: Vec<(u64, u64)>,
}

/// The keys of a part.
struct Keys {
    values: BTreeMap<String, Value>,
    /// Each as it stands in the file, in its order.
    written: Vec<(String, Vec<u8>)>,
}

/// What becomes of the tensors of all parts.
#[derive(Default)]
struct Plan {
    names: BTreeSet<String>,
    /// What stands in the header of each, in the order of the parts and their headers.
    infos: Vec<u8>,
    count: u64,
    /// Bytes of data so far.
    data: u64,
}

impl<R: Read> Parts<R> {
    /// Reads the headers of all parts, in their order, each with the length of its file in bytes.
    ///
    /// # Errors
    /// If one of them is no part of such a model, or they do not belong together.
    pub fn read(files: Vec<(R, u64)>) -> Result<Self, JoinFault> {
        let count = files.len();
        if !(2..=GGUF_PARTS).contains(&count) {
            return Err(JoinFault::Together(format!(
                "a split model has 2 to {GGUF_PARTS} parts, and {count} were given"
            )));
        }
        let mut plan = Plan::default();
        let mut first: Option<First> = None;
        let mut parts = Vec::with_capacity(count);
        for (place, (file, length)) in files.into_iter().enumerate() {
            let wrong = |fault| JoinFault::Part { number: place + 1, fault };
            let mut source = Source::new(file, length, GGUF_HEADER_BYTES, "the header");
            let head = read_head(&mut source).map_err(wrong)?;
            let keys = Keys::read(&mut source, head.keys).map_err(wrong)?;
            keys.check_place(place, count).map_err(wrong)?;
            let own = alignment(keys.values.get("general.alignment")).map_err(wrong)?;
            let tensors = read_tensors(&mut source, head.tensors, own).map_err(wrong)?;
            match &first {
                Some(first) => first.check(&head, &keys).map_err(wrong)?,
                None => first = Some(First::of(&head, keys, own).map_err(wrong)?),
            }
            let filled_to = first.as_ref().map_or(own, |first| first.alignment);
            let start = source.at().next_multiple_of(own);
            check_extents(&tensors, start, length).map_err(wrong)?;
            check_end(&tensors, (start, own), length).map_err(wrong)?;
            let extents = plan.add(&tensors, filled_to).map_err(wrong)?;
            parts.push(Part { source, start, extents });
        }
        let first = first.expect("there are two parts or more");
        if plan.count != first.tensors {
            let (found, said) = (plan.count, first.tensors);
            let text = format!("the parts have {found} tensors together, and say that they have {said}");
            return Err(JoinFault::Together(text));
        }
        let header = first.header(&plan);
        let too_long = || JoinFault::Together("the parts are beyond all files together".to_owned());
        let length = plan.data.checked_add(header.len() as u64).ok_or_else(too_long)?;
        Ok(Self { header, alignment: first.alignment, length, parts })
    }

    /// Bytes of the joined file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the joined file, and gives the parts back: each was read to its end.
    ///
    /// # Errors
    /// If a part cannot be read, or has become shorter; if the joined file cannot be written.
    pub fn write(self, out: &mut impl Write) -> Result<Vec<R>, JoinFault> {
        let zeros = vec![0; self.alignment as usize];
        out.write_all(&self.header).map_err(JoinFault::Unwritable)?;
        let mut files = Vec::with_capacity(self.parts.len());
        for (place, Part { mut source, start, extents }) in self.parts.into_iter().enumerate() {
            let wrong = |fault: SourceFault| JoinFault::Part { number: place + 1, fault: fault.into() };
            source.lift();
            for (offset, length) in extents {
                let begin = start + offset;
                source.skip("the space before a tensor", begin - source.at()).map_err(wrong)?;
                loop {
                    let piece = source.piece("a tensor", begin + length).map_err(wrong)?;
                    if piece.is_empty() {
                        break;
                    }
                    out.write_all(piece).map_err(JoinFault::Unwritable)?;
                }
                let rest = length.next_multiple_of(self.alignment) - length;
                out.write_all(&zeros[..rest as usize]).map_err(JoinFault::Unwritable)?;
            }
            files.push(source.end("the end of the file").map_err(wrong)?);
        }
        Ok(files)
    }
}

impl Keys {
    fn read<R: Read>(source: &mut Source<R>, count: u64) -> Result<Self, GgufFault> {
        let (mut values, mut written) = (BTreeMap::new(), Vec::new());
        for _ in 0..count {
            source.keep();
            let (key, value) = read_key(source)?;
            written.push((key.clone(), source.kept()));
            if values.insert(key.clone(), value).is_some() {
                return Err(GgufFault::Wrong(format!("the key {key:?} is there twice")));
            }
        }
        Ok(Self { values, written })
    }

    fn number(&self, key: &str) -> Result<u64, GgufFault> {
        match self.values.get(key) {
            Some(Value::Number(_, number)) => Ok(*number),
            Some(_) => Err(GgufFault::Wrong(format!("{key} is no whole number"))),
            None => Err(GgufFault::Wrong(format!("it is no part of a split model: it has no {key}"))),
        }
    }

    /// Whether it is the part that it should be: the one at a place, from 0, of so many.
    fn check_place(&self, place: usize, count: usize) -> Result<(), GgufFault> {
        let (own, of) = (self.number("split.no")?, self.number("split.count")?);
        if of != count as u64 {
            let text = format!("it says that the model has {of} parts (split.count), and {count} are here");
            return Err(GgufFault::Wrong(text));
        }
        if own != place as u64 {
            let own = own.saturating_add(1);
            return Err(GgufFault::Wrong(format!("it says that it is part {own} (split.no)")));
        }
        Ok(())
    }
}

/// What the first part says for all.
struct First {
    version: u32,
    alignment: u64,
    /// Tensors of all parts.
    tensors: u64,
    keys: BTreeMap<String, Vec<u8>>,
    /// The keys of the joined file, in their order.
    order: Vec<String>,
}

impl First {
    fn of(head: &Head, keys: Keys, alignment: u64) -> Result<Self, GgufFault> {
        let tensors = bounded("the list of all tensors", keys.number("split.tensors.count")?, GGUF_TENSORS)?;
        let order = keys.written.iter().map(|(key, _)| key).filter(|key| !key.starts_with(SPLIT)).cloned().collect();
        Ok(Self { version: head.version, alignment, tensors, keys: keys.written.into_iter().collect(), order })
    }

    /// Whether a further part says nothing else.
    fn check(&self, head: &Head, keys: &Keys) -> Result<(), GgufFault> {
        if head.version != self.version {
            let (own, first) = (head.version, self.version);
            return Err(GgufFault::Wrong(format!("it is of GGUF version {own}, and the first part of {first}")));
        }
        let tensors = keys.number("split.tensors.count")?;
        if tensors != self.tensors {
            let first = self.tensors;
            let text = format!("it says that the model has {tensors} tensors, and the first part says {first}");
            return Err(GgufFault::Wrong(text));
        }
        // The keys of the model are those of the first part. Some programs repeat them; none may say something else.
        for (key, written) in &keys.written {
            if !key.starts_with(SPLIT) && self.keys.get(key) != Some(written) {
                return Err(GgufFault::Wrong(format!("it says of {key:?} something else than the first part")));
            }
        }
        Ok(())
    }

    /// All that stands before the data in the joined file.
    fn header(&self, plan: &Plan) -> Vec<u8> {
        let mut header = b"GGUF".to_vec();
        header.extend(self.version.to_le_bytes());
        header.extend(plan.count.to_le_bytes());
        header.extend((self.order.len() as u64).to_le_bytes());
        for key in &self.order {
            header.extend(&self.keys[key]);
        }
        header.extend(&plan.infos);
        header.resize(header.len().next_multiple_of(self.alignment as usize), 0);
        header
    }
}

impl Plan {
    /// Finds a place for the tensors of a part, behind those of the parts before. Gives where they are now, in the order of
    /// the data.
    fn add(&mut self, tensors: &[Tensor], alignment: u64) -> Result<Vec<(u64, u64)>, GgufFault> {
        self.count = bounded("the list of all tensors", self.count + tensors.len() as u64, GGUF_TENSORS)?;
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by_key(|&tensor| tensors[tensor].offset);
        let mut offsets = vec![0; tensors.len()];
        for &tensor in &order {
            offsets[tensor] = self.data;
            let end = self.data.checked_add(tensors[tensor].length);
            let end = end.and_then(|end| end.checked_next_multiple_of(alignment));
            self.data = end.ok_or_else(|| GgufFault::Wrong("a tensor ends beyond all files".to_owned()))?;
        }
        for (tensor, offset) in tensors.iter().zip(&offsets) {
            let name = &tensor.name;
            if !self.names.insert(name.clone()) {
                return Err(GgufFault::Wrong(format!("tensor {name:?} is in another part, too")));
            }
            self.infos.extend((name.len() as u64).to_le_bytes());
            self.infos.extend(name.as_bytes());
            self.infos.extend((tensor.shape.len() as u32).to_le_bytes());
            self.infos.extend(tensor.shape.iter().flat_map(|dimension| dimension.to_le_bytes()));
            self.infos.extend(tensor.kind.to_le_bytes());
            self.infos.extend(offset.to_le_bytes());
        }
        Ok(order.into_iter().map(|tensor| (tensors[tensor].offset, tensors[tensor].length)).collect())
    }
}

/// Whether a part ends with its last tensor, filled up or not: what comes behind it would be lost without a word.
fn check_end(tensors: &[Tensor], (start, alignment): (u64, u64), length: u64) -> Result<(), GgufFault> {
    let end = start + tensors.iter().map(|tensor| tensor.offset + tensor.length).max().unwrap_or(0);
    match end.checked_next_multiple_of(alignment) {
        Some(filled) if length > filled => {
            Err(GgufFault::Wrong(format!("it has {} bytes behind its tensors, which belong to none", length - filled)))
        }
        Some(_) | None => Ok(()),
    }
}
