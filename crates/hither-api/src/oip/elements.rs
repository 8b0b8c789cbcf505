//! The elements of a tensor, between JSON and bytes. Never a tree of values in between.

use std::fmt;

use hither_types::model::Datatype;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// The product of the dimensions, if it can be addressed.
pub(crate) fn count(shape: &[u64]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, dimension| product.checked_mul(usize::try_from(*dimension).ok()?))
}

/// The datatype of this name.
pub(crate) fn datatype(name: &str) -> Result<Datatype, String> {
    Datatype::parse(name).ok_or_else(|| {
        let known: Vec<&str> = Datatype::ALL.into_iter().map(Datatype::as_str).collect();
        let said: String = name.chars().take(40).collect();
        format!("datatype {said:?} is none of {}", known.join(", "))
    })
}

/// Reads nested or flat JSON lists of as many elements as the shape says.
pub(super) fn read(datatype: Datatype, count: usize, json: &str) -> Result<Vec<u8>, String> {
    if matches!(datatype, Datatype::Fp16 | Datatype::Bf16) {
        return Err(format!("{} has no form in JSON; send it as binary_data", datatype.as_str()));
    }
    // An element takes at least one digit and a comma: no claim in the shape makes this allocate more than the body.
    let likely = count.min(json.len() / 2 + 1);
    let out = Vec::with_capacity(likely.saturating_mul(datatype.size().unwrap_or(4)));
    let mut walk = Walk { datatype, most: count, found: 0, out, lengths: Vec::new(), leaves_at: None };
    let mut parser = serde_json::Deserializer::from_str(json);
    Level { walk: &mut walk, depth: 0 }
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|error| format!("data: {error}"))?;
    if walk.found != count {
        return Err(format!("data has {} elements, and its shape says {count}", walk.found));
    }
    Ok(walk.out)
}

struct Walk {
    datatype: Datatype,
    most: usize,
    found: usize,
    out: Vec<u8>,
    /// The length of the lists at each depth: nested data must be a box, without ragged edges.
    lengths: Vec<Option<usize>>,
    leaves_at: Option<usize>,
}

enum Leaf<'a> {
    Flag(bool),
    Whole(i128),
    Real(f64),
    Text(&'a str),
}

impl fmt::Display for Leaf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Text(_) => f.write_str("a string"),
        }
    }
}

impl Walk {
    fn leaf<E: Error>(&mut self, depth: usize, leaf: Leaf<'_>) -> Result<(), E> {
        if depth == 0 {
            return Err(E::custom("a list is expected"));
        }
        if *self.leaves_at.get_or_insert(depth) != depth {
            return Err(E::custom("some elements are nested deeper than others"));
        }
        if self.found == self.most {
            return Err(E::custom(format_args!("more than the {} elements that its shape says", self.most)));
        }
        self.found += 1;
        let unfit = || E::custom(format_args!("{leaf} is not a value of {}", self.datatype.as_str()));
        match (self.datatype, &leaf) {
            (Datatype::Bool, Leaf::Flag(flag)) => self.out.push(u8::from(*flag)),
            (Datatype::Bytes, Leaf::Text(text)) => {
                let length = u32::try_from(text.len()).map_err(|_| unfit())?;
                self.out.extend_from_slice(&length.to_le_bytes());
                self.out.extend_from_slice(text.as_bytes());
            }
            (Datatype::Fp32, Leaf::Real(_) | Leaf::Whole(_)) => {
                let number = real(&leaf) as f32;
                if !number.is_finite() {
                    return Err(unfit());
                }
                self.out.extend_from_slice(&number.to_le_bytes());
            }
            (Datatype::Fp64, Leaf::Real(_) | Leaf::Whole(_)) => self.out.extend_from_slice(&real(&leaf).to_le_bytes()),
            (datatype, Leaf::Whole(number)) => {
                let number = *number;
                let (size, least, most) = range(datatype).ok_or_else(unfit)?;
                if number < least || number > most {
                    return Err(unfit());
                }
                self.out.extend_from_slice(&number.to_le_bytes()[..size]);
            }
            _ => return Err(unfit()),
        }
        Ok(())
    }
}

fn real(leaf: &Leaf<'_>) -> f64 {
    match leaf {
        Leaf::Real(number) => *number,
        Leaf::Whole(number) => *number as f64,
        Leaf::Flag(_) | Leaf::Text(_) => f64::NAN,
    }
}

/// Size, least and greatest value of a type of whole numbers.
fn range(datatype: Datatype) -> Option<(usize, i128, i128)> {
    Some(match datatype {
        Datatype::Uint8 => (1, 0, u8::MAX.into()),
        Datatype::Uint16 => (2, 0, u16::MAX.into()),
        Datatype::Uint32 => (4, 0, u32::MAX.into()),
        Datatype::Uint64 => (8, 0, u64::MAX.into()),
        Datatype::Int8 => (1, i8::MIN.into(), i8::MAX.into()),
        Datatype::Int16 => (2, i16::MIN.into(), i16::MAX.into()),
        Datatype::Int32 => (4, i32::MIN.into(), i32::MAX.into()),
        Datatype::Int64 => (8, i64::MIN.into(), i64::MAX.into()),
        Datatype::Bool | Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 | Datatype::Bytes => {
            return None;
        }
    })
}

struct Level<'w> {
    walk: &'w mut Walk,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lists of {}", self.walk.datatype.as_str())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Level { walk, depth } = self;
        let mut length = 0;
        while seq.next_element_seed(Level { walk, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        if walk.lengths.len() <= depth {
            walk.lengths.resize(depth + 1, None);
        }
        match walk.lengths[depth].replace(length) {
            Some(other) if other != length => {
                Err(A::Error::custom(format_args!("a list has {length} items where another has {other}")))
            }
            _ => Ok(()),
        }
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.walk.leaf(self.depth, Leaf::Flag(flag))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.walk.leaf(self.depth, Leaf::Whole(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.walk.leaf(self.depth, Leaf::Whole(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.walk.leaf(self.depth, Leaf::Real(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.walk.leaf(self.depth, Leaf::Text(text))
    }
}
