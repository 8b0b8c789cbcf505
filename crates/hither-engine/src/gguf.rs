//! A walk over the header of a GGUF file, before any engine sees it: its parsers have been the door for hostile files
//! more than once. Nothing of the file is believed: not a count, not a length, not an offset.
//!
//! What must stay true: memory is bounded by the limits below and not by the file; no byte is read twice; a file that
//! passes has every tensor inside itself, none over another, and tables of the types that engines take for granted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use crate::limits::{
    GGUF_ARRAY, GGUF_HEADER_BYTES, GGUF_KEY_BYTES, GGUF_KEYS, GGUF_LAYERS, GGUF_NAME_BYTES, GGUF_STRING_BYTES,
    GGUF_TENSORS,
};
use crate::source::{Source, SourceFault};

mod join;
#[cfg(test)]
mod tests;

pub use join::{JoinFault, Parts};

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufFacts {
    /// `general.architecture`.
    pub architecture: String,
    /// How many tensors there are.
    pub tensors: u64,
    /// Bytes before the data of the tensors.
    pub header_bytes: u64,
    /// Tokens of the vocabulary; none for a file without one.
    pub vocabulary: Option<u64>,
}

/// Why a file is not shown to an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufFault {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
    /// It is another kind of file.
    #[error("the file is not GGUF")]
    Magic,
    /// Version 1 is long gone; a large number is a file of the other byte order.
    #[error("GGUF version {0} is not taken, only 2 and 3 are")]
    Version(u32),
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
    #[error("{what} has {found}, and {most} is the most that is taken")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// What the file says.
        found: u64,
        /// What is taken.
        most: u64,
    },
    /// Something is of a kind, or has a value, that it cannot have.
    #[error("{0}")]
    Wrong(String),
}

impl From<SourceFault> for GgufFault {
    fn from(fault: SourceFault) -> Self {
        match fault {
            SourceFault::Unreadable(error) => Self::Unreadable(error),
            SourceFault::Short { what, end, length } => Self::Short { what, end, length },
            SourceFault::TooMuch { what, found, most } => Self::TooMuch { what, found, most },
        }
    }
}

/// Types of values, as the format numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uint8 = 0,
    Int8 = 1,
    Uint16 = 2,
    Int16 = 3,
    Uint32 = 4,
    Int32 = 5,
    Float32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    Uint64 = 10,
    Int64 = 11,
    Float64 = 12,
}

impl Kind {
    fn of(number: u32) -> Result<Self, GgufFault> {
        use Kind::{Array, Bool, Float32, Float64, Int8, Int16, Int32, Int64, String, Uint8, Uint16, Uint32, Uint64};
        let all = [Uint8, Int8, Uint16, Int16, Uint32, Int32, Float32, Bool, String, Array, Uint64, Int64, Float64];
        let found = usize::try_from(number).ok().and_then(|number| all.get(number)).copied();
        found.ok_or_else(|| GgufFault::Wrong(format!("a value has the type {number}, which there is not")))
    }

    /// Bytes of one, for those that have a fixed length.
    fn size(self) -> Option<u64> {
        match self {
            Self::Uint8 | Self::Int8 | Self::Bool => Some(1),
            Self::Uint16 | Self::Int16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Float32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Float64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    fn is_whole(self) -> bool {
        !matches!(self, Self::Float32 | Self::Float64 | Self::Bool | Self::String | Self::Array)
    }
}

/// A value, as far as it is of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(Kind, u64),
    Text(String),
    /// The kind of its elements, and how many.
    List(Kind, u64),
    Other(Kind),
}

/// Elements of a block, and bytes of it, for each type of tensor as the format numbers them.
const BLOCKS: [(u32, u64, u64); 35] = [
    (0, 1, 4),
    (1, 1, 2),
    (2, 32, 18),
    (3, 32, 20),
    (6, 32, 22),
    (7, 32, 24),
    (8, 32, 34),
    (9, 32, 36),
    (10, 256, 84),
    (11, 256, 110),
    (12, 256, 144),
    (13, 256, 176),
    (14, 256, 210),
    (15, 256, 292),
    (16, 256, 66),
    (17, 256, 74),
    (18, 256, 98),
    (19, 256, 50),
    (20, 32, 18),
    (21, 256, 110),
    (22, 256, 82),
    (23, 256, 136),
    (24, 1, 1),
    (25, 1, 2),
    (26, 1, 4),
    (27, 1, 8),
    (28, 1, 8),
    (29, 256, 56),
    (30, 1, 2),
    (34, 256, 54),
    (35, 256, 66),
    (39, 32, 17),
    (40, 64, 36),
    (41, 128, 18),
    (42, 64, 18),
];

/// What stands before the keys.
struct Head {
    version: u32,
    tensors: u64,
    keys: u64,
}

/// A tensor, as the header describes it.
struct Tensor {
    name: String,
    /// The lengths of its dimensions.
    shape: Vec<u64>,
    /// The number of its type.
    kind: u32,
    /// Where it is in the data, in bytes.
    offset: u64,
    /// Bytes that it has.
    length: u64,
}

/// Walks over the header of a file of `length` bytes.
pub fn inspect(file: impl Read, length: u64) -> Result<GgufFacts, GgufFault> {
    let mut source = Source::new(file, length, GGUF_HEADER_BYTES, "the header");
    let Head { tensors, keys, .. } = read_head(&mut source)?;
    let values = read_values(&mut source, keys)?;
    let alignment = alignment(values.get("general.alignment"))?;
    let found = read_tensors(&mut source, tensors, alignment)?;
    let start = source.at().next_multiple_of(alignment);
    check_extents(&found, start, length)?;
    let Some(Value::Text(architecture)) = values.get("general.architecture") else {
        return Err(GgufFault::Wrong("general.architecture is no text".to_owned()));
    };
    check_layers(&values, architecture)?;
    let vocabulary = check_vocabulary(&values)?;
    Ok(GgufFacts { architecture: architecture.clone(), tensors, header_bytes: start, vocabulary })
}

fn bounded(what: &'static str, found: u64, most: u64) -> Result<u64, GgufFault> {
    if found > most { Err(GgufFault::TooMuch { what, found, most }) } else { Ok(found) }
}

fn read_head<R: Read>(source: &mut Source<R>) -> Result<Head, GgufFault> {
    if &source.array::<4>("the magic number")? != b"GGUF" {
        return Err(GgufFault::Magic);
    }
    let version = source.u32("the version")?;
    if !matches!(version, 2 | 3) {
        return Err(GgufFault::Version(version));
    }
    let tensors = bounded("the list of tensors", source.u64("the count of tensors")?, GGUF_TENSORS)?;
    let keys = bounded("the list of keys", source.u64("the count of keys")?, GGUF_KEYS)?;
    Ok(Head { version, tensors, keys })
}

/// What the data of all tensors are aligned to, in bytes.
fn alignment(value: Option<&Value>) -> Result<u64, GgufFault> {
    match value {
        None => Ok(32),
        Some(Value::Number(Kind::Uint32, bytes)) if bytes.is_power_of_two() && *bytes <= 1 << 16 => Ok(*bytes),
        Some(_) => Err(GgufFault::Wrong("general.alignment is no power of two up to 65536".to_owned())),
    }
}

fn read_key<R: Read>(source: &mut Source<R>) -> Result<(String, Value), GgufFault> {
    let key = name(source, "a key", GGUF_KEY_BYTES)?;
    let kind = Kind::of(source.u32("the type of a value")?)?;
    let value = read_value(source, kind, &key)?;
    Ok((key, value))
}

fn read_values<R: Read>(source: &mut Source<R>, count: u64) -> Result<BTreeMap<String, Value>, GgufFault> {
    let mut values = BTreeMap::new();
    for _ in 0..count {
        let (key, value) = read_key(source)?;
        if let Some(_twice) = values.insert(key.clone(), value) {
            return Err(GgufFault::Wrong(format!("the key {key:?} is there twice")));
        }
    }
    Ok(values)
}

fn read_value<R: Read>(source: &mut Source<R>, kind: Kind, key: &str) -> Result<Value, GgufFault> {
    match kind {
        Kind::String => {
            let length = bounded("a text", source.u64("the length of a text")?, GGUF_STRING_BYTES)?;
            // The others are not of interest, and may be long.
            if key == "general.architecture" {
                let length = bounded("general.architecture", length, GGUF_KEY_BYTES)?;
                return text(source, "general.architecture", length).map(Value::Text);
            }
            source.skip("a text", length)?;
            Ok(Value::Other(kind))
        }
        Kind::Array => {
            let element = Kind::of(source.u32("the type of a list")?)?;
            let count = bounded("a list", source.u64("the length of a list")?, GGUF_ARRAY)?;
            match element {
                Kind::Array => return Err(GgufFault::Wrong(format!("{key:?} is a list of lists"))),
                Kind::String => {
                    for _ in 0..count {
                        let length = bounded("a text", source.u64("the length of a text")?, GGUF_STRING_BYTES)?;
                        source.skip("a text of a list", length)?;
                    }
                }
                fixed => source.skip("a list", count * fixed.size().unwrap_or(0))?,
            }
            Ok(Value::List(element, count))
        }
        fixed => {
            let size = fixed.size().unwrap_or(0);
            let bytes = source.array_of::<8>("a value", size as usize)?;
            let number = u64::from_le_bytes(bytes);
            if fixed == Kind::Bool && number > 1 {
                return Err(GgufFault::Wrong(format!("{key:?} is neither true nor false")));
            }
            Ok(if fixed.is_whole() { Value::Number(fixed, number) } else { Value::Other(fixed) })
        }
    }
}

/// The tensors, in the order of the header.
fn read_tensors<R: Read>(source: &mut Source<R>, count: u64, alignment: u64) -> Result<Vec<Tensor>, GgufFault> {
    let mut names = BTreeSet::new();
    let mut tensors = Vec::new();
    for _ in 0..count {
        let tensor = read_tensor(source, alignment)?;
        if !names.insert(tensor.name.clone()) {
            return Err(GgufFault::Wrong(format!("tensor {:?} is there twice", tensor.name)));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn read_tensor<R: Read>(source: &mut Source<R>, alignment: u64) -> Result<Tensor, GgufFault> {
    let name = name(source, "the name of a tensor", GGUF_NAME_BYTES)?;
    let wrong = |what: &str| GgufFault::Wrong(format!("tensor {name:?} {what}"));
    let rank = source.u32("the rank of a tensor")?;
    if !(1..=4).contains(&rank) {
        return Err(wrong(&format!("has {rank} dimensions")));
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        shape.push(source.u64("a dimension")?);
    }
    let kind = source.u32("the type of a tensor")?;
    let offset = source.u64("the offset of a tensor")?;
    let block = BLOCKS.iter().find(|(known, ..)| *known == kind);
    let (_, elements, bytes) = block.ok_or_else(|| wrong(&format!("is of type {kind}, which is not known")))?;
    // Engines count elements in signed numbers.
    let product = shape.iter().try_fold(1u64, |product, dimension| product.checked_mul(*dimension));
    let count = product.filter(|count| *count > 0 && i64::try_from(*count).is_ok());
    let count = count.ok_or_else(|| wrong("has no elements, or more than can be counted"))?;
    if shape[0] % elements != 0 {
        return Err(wrong("has rows that are no whole number of blocks"));
    }
    let length = (count / elements).checked_mul(*bytes).ok_or_else(|| wrong("is beyond all memory"))?;
    if offset % alignment != 0 {
        return Err(wrong("is not aligned"));
    }
    Ok(Tensor { name, shape, kind, offset, length })
}

/// Whether each tensor is in the file and beside the others.
fn check_extents(tensors: &[Tensor], start: u64, length: u64) -> Result<(), GgufFault> {
    if tensors.is_empty() {
        return Ok(());
    }
    let mut extents: Vec<(u64, u64)> = tensors.iter().map(|tensor| (tensor.offset, tensor.length)).collect();
    extents.sort_unstable();
    let mut end = 0;
    for (offset, size) in extents {
        if offset < end {
            return Err(GgufFault::Wrong(format!("two tensors share byte {offset} of the data")));
        }
        end = offset.checked_add(size).ok_or_else(|| GgufFault::Wrong("a tensor ends beyond all files".to_owned()))?;
    }
    match start.checked_add(end) {
        Some(end) if end <= length => Ok(()),
        end => Err(GgufFault::Short { what: "a tensor", end: end.unwrap_or(u64::MAX), length }),
    }
}

/// Engines have tables of a fixed size for layers.
fn check_layers(values: &BTreeMap<String, Value>, architecture: &str) -> Result<(), GgufFault> {
    let wrong = |key: &str| GgufFault::Wrong(format!("{key} is no whole number from 1 to {GGUF_LAYERS}"));
    for (key, value) in values.range(format!("{architecture}.")..).take_while(|(key, _)| key.starts_with(architecture))
    {
        match value {
            Value::Number(_, layers) if key.ends_with(".block_count") && !(1..=GGUF_LAYERS).contains(layers) => {
                return Err(wrong(key));
            }
            Value::Text(_) | Value::List(..) | Value::Other(_) if key.ends_with(".block_count") => {
                return Err(wrong(key));
            }
            Value::List(_, count) if *count > GGUF_LAYERS && !key.contains("classifier") => {
                return Err(GgufFault::TooMuch { what: "a list by layers", found: *count, most: GGUF_LAYERS });
            }
            Value::Number(..) | Value::Text(_) | Value::List(..) | Value::Other(_) => {}
        }
    }
    Ok(())
}

/// The tables of the vocabulary belong together, and have the types that engines read them as.
fn check_vocabulary(values: &BTreeMap<String, Value>) -> Result<Option<u64>, GgufFault> {
    let table = |key: &str, kinds: &[Kind]| match values.get(key) {
        None => Ok(None),
        Some(Value::List(kind, count)) if kinds.contains(kind) => Ok(Some(*count)),
        Some(_) => Err(GgufFault::Wrong(format!("{key} is a table of the wrong type"))),
    };
    let tokens = table("tokenizer.ggml.tokens", &[Kind::String])?;
    table("tokenizer.ggml.merges", &[Kind::String])?;
    let beside = [
        ("tokenizer.ggml.scores", table("tokenizer.ggml.scores", &[Kind::Float32])?),
        ("tokenizer.ggml.token_type", table("tokenizer.ggml.token_type", &[Kind::Int32, Kind::Uint32])?),
    ];
    for (key, count) in beside {
        if count.is_some() && count != tokens {
            return Err(GgufFault::Wrong(format!("{key} has another length than tokenizer.ggml.tokens")));
        }
    }
    for (key, value) in values.range("tokenizer.ggml.".to_owned()..) {
        if !key.starts_with("tokenizer.ggml.") {
            break;
        }
        if let (Value::Number(kind, id), Some(count), true) = (value, tokens, key.ends_with("_token_id")) {
            // -1 and its unsigned twin are how some files say that there is none.
            let is_none = *kind == Kind::Uint32 && *id == u64::from(u32::MAX) || *kind == Kind::Int32;
            if *id >= count && !is_none {
                return Err(GgufFault::Wrong(format!("{key} is {id}, and the vocabulary has {count} tokens")));
            }
        }
    }
    Ok(tokens)
}

fn name<R: Read>(source: &mut Source<R>, what: &'static str, most: u64) -> Result<String, GgufFault> {
    let length = bounded(what, source.u64(what)?, most)?;
    let name = text(source, what, length)?;
    if name.is_empty() || name.contains('\0') {
        return Err(GgufFault::Wrong(format!("{what} is empty, or has a zero byte in it")));
    }
    Ok(name)
}

fn text<R: Read>(source: &mut Source<R>, what: &'static str, length: u64) -> Result<String, GgufFault> {
    String::from_utf8(source.bytes(what, length)?).map_err(|_| GgufFault::Wrong(format!("{what} is no UTF-8")))
}
