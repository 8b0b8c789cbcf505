//! Outputs as their best classes: texts `value:index` instead of all elements, best first.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use half::{bf16, f16};
use hither_engine::work::Tensor;
use hither_types::model::{Datatype, TensorSpec};

use super::options::{Parameters, whole};
use crate::errors::{Code, Problem};

#[cfg(test)]
mod tests;

/// How many classes of which output.
pub(crate) type Classes = BTreeMap<String, usize>;

/// How many classes the parameters of an output ask for, if they do. None is as good as not asking.
pub(crate) fn wanted(parameters: &Parameters) -> Result<Option<usize>, Problem> {
    let count = whole(parameters, "classification")?;
    Ok(count.filter(|count| *count > 0).map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
}

/// Puts the classes in the place of the elements. Where the first dimension is a batch, each row has its own.
pub(crate) fn apply(tensors: &mut [Tensor], classes: &Classes, outputs: &[TensorSpec]) -> Result<(), Problem> {
    for tensor in tensors {
        let Some(most) = classes.get(&tensor.name) else { continue };
        let spec = outputs.iter().find(|spec| spec.name == tensor.name);
        let batched = spec.is_some_and(|spec| spec.shape.len() > 1 && spec.shape[0].is_none());
        *tensor = best(tensor, *most, batched).map_err(|why| {
            let text = format!("output {:?} has no classes: {why}", tensor.name);
            Problem::new(Code::Unsupported, text).help("ask for it without \"classification\"")
        })?;
    }
    Ok(())
}

/// An element, to be compared and written.
#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(i128),
    Real(f64),
}

impl Number {
    fn order(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(&other),
            (one, other) => one.real().total_cmp(&other.real()),
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            // Six places, as the protocol's own servers write them.
            Self::Real(number) => format!("{number:.6}"),
        }
    }
}

fn best(tensor: &Tensor, most: usize, batched: bool) -> Result<Tensor, &'static str> {
    let numbers = numbers(tensor)?;
    let rows = if batched { usize::try_from(tensor.shape[0]).unwrap_or(usize::MAX) } else { 1 };
    let width = numbers.len().checked_div(rows).unwrap_or(0);
    let count = most.min(width);
    let mut data = Vec::new();
    for row in numbers.chunks(width.max(1)) {
        let mut order: Vec<(usize, Number)> = row.iter().copied().enumerate().collect();
        order.sort_by(|(_, one), (_, other)| other.order(*one));
        for (index, number) in order.into_iter().take(count) {
            let text = format!("{}:{index}", number.text());
            // A number and an index have a few dozen letters.
            data.extend_from_slice(&(text.len() as u32).to_le_bytes());
            data.extend_from_slice(text.as_bytes());
        }
    }
    let shape = if batched { vec![rows as u64, count as u64] } else { vec![count as u64] };
    Ok(Tensor { name: tensor.name.clone(), datatype: Datatype::Bytes, shape, data })
}

fn numbers(tensor: &Tensor) -> Result<Vec<Number>, &'static str> {
    fn each<const SIZE: usize>(data: &[u8], one: impl Fn([u8; SIZE]) -> Number) -> Vec<Number> {
        data.as_chunks::<SIZE>().0.iter().copied().map(one).collect()
    }
    macro_rules! whole {
        ($type:ty) => {
            each(&tensor.data, |bytes| Number::Whole(<$type>::from_le_bytes(bytes).into()))
        };
    }
    Ok(match tensor.datatype {
        Datatype::Uint8 => whole!(u8),
        Datatype::Uint16 => whole!(u16),
        Datatype::Uint32 => whole!(u32),
        Datatype::Uint64 => whole!(u64),
        Datatype::Int8 => whole!(i8),
        Datatype::Int16 => whole!(i16),
        Datatype::Int32 => whole!(i32),
        Datatype::Int64 => whole!(i64),
        Datatype::Fp16 => each(&tensor.data, |bytes| Number::Real(f16::from_le_bytes(bytes).into())),
        Datatype::Bf16 => each(&tensor.data, |bytes| Number::Real(bf16::from_le_bytes(bytes).into())),
        Datatype::Fp32 => each(&tensor.data, |bytes| Number::Real(f32::from_le_bytes(bytes).into())),
        Datatype::Fp64 => each(&tensor.data, |bytes| Number::Real(f64::from_le_bytes(bytes))),
        Datatype::Bool => return Err("its elements are BOOL"),
        Datatype::Bytes => return Err("its elements are BYTES"),
    })
}
