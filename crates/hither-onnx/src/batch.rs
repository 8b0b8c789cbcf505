//! Several jobs in one call of the library: their tensors one after the other along the first dimension, the answers
//! cut apart again.
//!
//! What must stay true: a job's answer is what it would be alone. Whether a model is such that rows do not touch one
//! another is not in the file, so it is tried when the model is opened.

use std::time::Duration;

use hither_engine::work::{InferWork, Tensor};
use hither_types::model::{Datatype, TensorSpec};

use crate::open::zeros;

#[cfg(test)]
mod tests;

/// How many rows go together at most, and how long the first of them waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Rows in one call; a job may bring several. Below 2 there is no batching.
    pub rows: u16,
    /// How long a job waits for others.
    pub delay: Duration,
}

impl Batching {
    /// Every job on its own.
    pub const OFF: Self = Self { rows: 1, delay: Duration::ZERO };

    /// Whether jobs go together.
    pub fn is_on(self) -> bool {
        self.rows > 1
    }
}

/// Whether the first dimension of every input and output is free, so that it may be rows.
pub(crate) fn has_rows(specs: &[TensorSpec]) -> bool {
    !specs.is_empty() && specs.iter().all(|spec| spec.shape.first() == Some(&None))
}

/// The rows of a job, if all its inputs have as many and at least one.
pub(crate) fn rows(work: &InferWork) -> Option<u64> {
    let first = *work.inputs.first()?.shape.first()?;
    let same = work.inputs.iter().all(|input| input.shape.first() == Some(&first));
    (same && first > 0).then_some(first)
}

/// Whether two jobs can go together: the same inputs, alike but for the rows.
pub(crate) fn alike(one: &InferWork, other: &InferWork) -> bool {
    one.inputs.len() == other.inputs.len()
        && one.inputs.iter().all(|input| {
            other.inputs.iter().any(|twin| {
                let (rest, twins) = (input.shape.get(1..), twin.shape.get(1..));
                twin.name == input.name && twin.datatype == input.datatype && twins == rest
            })
        })
}

/// The inputs of all jobs, one after the other. They are alike.
pub(crate) fn join(jobs: &[&InferWork]) -> Vec<Tensor> {
    let Some((first, _)) = jobs.split_first() else { return Vec::new() };
    let joined = |input: &Tensor| {
        let twin = |job: &&InferWork| job.inputs.iter().find(|twin| twin.name == input.name).cloned();
        let parts: Vec<Tensor> = jobs.iter().filter_map(twin).collect();
        let mut shape = input.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = parts.iter().filter_map(|part| part.shape.first()).sum();
        }
        let data = parts.iter().flat_map(|part| part.data.iter().copied()).collect();
        Tensor { name: input.name.clone(), datatype: input.datatype, shape, data }
    };
    first.inputs.iter().map(joined).collect()
}

/// Cuts outputs into those of each job, by its rows. `None` if an output has not a row for each row that went in.
pub(crate) fn split(outputs: &[Tensor], rows: &[u64]) -> Option<Vec<Vec<Tensor>>> {
    let total: u64 = rows.iter().sum();
    let mut jobs: Vec<Vec<Tensor>> = rows.iter().map(|_| Vec::new()).collect();
    for output in outputs {
        if output.shape.first() != Some(&total) {
            return None;
        }
        let mut rest = output.data.as_slice();
        for (job, rows) in jobs.iter_mut().zip(rows) {
            let mut shape = output.shape.clone();
            shape[0] = *rows;
            let length = match output.datatype.size() {
                Some(_) => output.data.len() / usize::try_from(total).ok()? * usize::try_from(*rows).ok()?,
                None => strings(rest, shape.iter().product())?,
            };
            let (data, left) = rest.split_at_checked(length)?;
            rest = left;
            job.push(Tensor { name: output.name.clone(), datatype: output.datatype, shape, data: data.to_vec() });
        }
    }
    Some(jobs)
}

/// Bytes of so many strings, each after its length.
fn strings(data: &[u8], count: u64) -> Option<usize> {
    let mut at = 0usize;
    for _ in 0..count {
        let head = data.get(at..)?.first_chunk::<4>()?;
        at = at.checked_add(4)?.checked_add(u32::from_le_bytes(*head) as usize)?;
    }
    Some(at)
}

/// Two jobs of one row each that fit the model and differ in every input.
pub(crate) fn samples(inputs: &[TensorSpec]) -> Result<[InferWork; 2], String> {
    let sample = |salt: u64| {
        let tensors = inputs.iter().map(|spec| zeros(spec).map(|tensor| fill(tensor, salt)));
        Ok::<_, String>(InferWork { inputs: tensors.collect::<Result<_, _>>()?, outputs: Vec::new() })
    };
    Ok([sample(1)?, sample(2)?])
}

/// Small numbers that differ from element to element, from 0 to 1; 0 and 1 where they are whole, since those may be
/// places in a table.
fn fill(mut tensor: Tensor, salt: u64) -> Tensor {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 32
    };
    match tensor.datatype {
        Datatype::Fp32 => each(&mut tensor.data, || (draw() as f32 / u32::MAX as f32).to_le_bytes()),
        Datatype::Fp64 => each(&mut tensor.data, || (draw() as f64 / f64::from(u32::MAX)).to_le_bytes()),
        // 1 and 0.5.
        Datatype::Fp16 => each(&mut tensor.data, || [0x3c00_u16, 0x3800][draw() as usize % 2].to_le_bytes()),
        Datatype::Bf16 => each(&mut tensor.data, || [0x3f80_u16, 0x3f00][draw() as usize % 2].to_le_bytes()),
        Datatype::Bytes => {
            let count = tensor.data.len() / 4;
            let text = |drawn: u64| [&1u32.to_le_bytes()[..], &[b'a' + (drawn % 2) as u8]].concat();
            tensor.data = (0..count).flat_map(|_| text(draw())).collect();
        }
        whole => {
            let size = whole.size().unwrap_or(1);
            tensor.data.chunks_exact_mut(size).for_each(|element| element[0] = (draw() % 2) as u8);
        }
    }
    tensor
}

fn each<const N: usize>(data: &mut [u8], mut number: impl FnMut() -> [u8; N]) {
    data.as_chunks_mut::<N>().0.iter_mut().for_each(|element| *element = number());
}

/// By how much two numbers may differ that ought to be the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closeness {
    relative: f64,
    absolute: f64,
}

impl Closeness {
    /// Other kernels for other sizes add up in another order.
    pub(crate) const ON_ONE_DEVICE: Self = Self { relative: 1e-3, absolute: 1e-4 };

    /// Accelerators compute in half precision.
    pub(crate) const BETWEEN_DEVICES: Self = Self { relative: 2e-2, absolute: 2e-3 };

    fn holds(self, one: f64, other: f64) -> bool {
        let far = (one - other).abs() > self.absolute + self.relative * other.abs();
        one == other || (one.is_nan() && other.is_nan()) || !(far || one.is_nan() || other.is_nan())
    }
}

/// Whether two answers are the same but for rounding.
pub(crate) fn agree(one: &[Tensor], other: &[Tensor], close: Closeness) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| agrees(one, other, close))
}

fn agrees(one: &Tensor, other: &Tensor, close: Closeness) -> bool {
    if (&one.name, one.datatype, &one.shape) != (&other.name, other.datatype, &other.shape) {
        return false;
    }
    match one.datatype {
        Datatype::Fp32 | Datatype::Fp64 | Datatype::Fp16 | Datatype::Bf16 => {
            numbers(one).zip(numbers(other)).all(|(one, other)| close.holds(one, other))
        }
        _ => one.data == other.data,
    }
}

fn numbers(tensor: &Tensor) -> impl Iterator<Item = f64> {
    let number = |bytes: &[u8]| match *bytes {
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).into(),
        [a, b] if tensor.datatype == Datatype::Bf16 => f32::from_le_bytes([0, 0, a, b]).into(),
        [a, b] => half(u16::from_le_bytes([a, b])),
        _ => f64::NAN,
    };
    tensor.data.chunks_exact(tensor.datatype.size().unwrap_or(1)).map(number)
}

/// A number of IEEE 754's half precision.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff) / 1024.0);
    let size = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 0 { size } else { -size }
}
