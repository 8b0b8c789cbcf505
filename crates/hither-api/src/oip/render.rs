//! Writes an inference response: JSON, and binary tensors behind it where they were asked for.

use std::io::Write;

use hither_engine::work::Tensor;
use hither_types::model::Datatype;

use super::parse::Binary;
use crate::errors::{Code, Problem};
use crate::respond::write;

/// A response body.
pub(super) struct Rendered {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// Where the JSON ends, if binary tensors follow it.
    pub(super) json_length: Option<usize>,
}

/// Writes the outputs.
pub(super) fn response(
    model: &str,
    version: &str,
    id: Option<&str>,
    tensors: &[Tensor],
    binary: &Binary,
) -> Result<Rendered, Problem> {
    let mut out = String::from("{");
    if let Some(id) = id {
        out.push_str(&format!("\"id\":{},", write(&id)));
    }
    out.push_str(&format!("\"model_name\":{},\"model_version\":{},\"outputs\":[", write(&model), write(&version)));
    let mut out = out.into_bytes();
    for (at, tensor) in tensors.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let head = format!(
            "{{\"name\":{},\"datatype\":\"{}\",\"shape\":{},",
            write(&tensor.name),
            tensor.datatype.as_str(),
            write(&tensor.shape)
        );
        out.extend_from_slice(head.as_bytes());
        if binary.wants(&tensor.name) {
            let parameters = format!("\"parameters\":{{\"binary_data_size\":{}}}}}", tensor.data.len());
            out.extend_from_slice(parameters.as_bytes());
        } else {
            out.extend_from_slice(b"\"data\":[");
            elements(tensor, &mut out).map_err(|why| {
                let text = format!("output {:?} cannot be written as JSON: {why}", tensor.name);
                Problem::new(Code::NotJson, text).help("ask for it with \"parameters\": {\"binary_data\": true}")
            })?;
            out.extend_from_slice(b"]}");
        }
    }
    out.extend_from_slice(b"]}");
    let length = out.len();
    let mut any = false;
    for tensor in tensors.iter().filter(|tensor| binary.wants(&tensor.name)) {
        any = true;
        out.extend_from_slice(&tensor.data);
    }
    Ok(Rendered { bytes: out, json_length: any.then_some(length) })
}

/// Writes the elements of a tensor as JSON writes a list of them; why not, if JSON has no form for one.
pub(crate) fn elements(tensor: &Tensor, out: &mut Vec<u8>) -> Result<(), String> {
    macro_rules! whole {
        ($type:ty) => {
            numbers(tensor, out, |bytes, out| {
                let number = <$type>::from_le_bytes(bytes);
                write!(out, "{number}").map_err(|error| error.to_string())
            })
        };
    }
    macro_rules! real {
        ($type:ty) => {
            numbers(tensor, out, |bytes, out| {
                let number = <$type>::from_le_bytes(bytes);
                if !number.is_finite() {
                    return Err(format!("it holds {number}"));
                }
                serde_json::to_writer(out, &number).map_err(|error| error.to_string())
            })
        };
    }
    match tensor.datatype {
        Datatype::Bool => numbers(tensor, out, |[byte], out| {
            out.extend_from_slice(if byte == 0 { b"false" } else { b"true" });
            Ok(())
        }),
        Datatype::Uint8 => whole!(u8),
        Datatype::Uint16 => whole!(u16),
        Datatype::Uint32 => whole!(u32),
        Datatype::Uint64 => whole!(u64),
        Datatype::Int8 => whole!(i8),
        Datatype::Int16 => whole!(i16),
        Datatype::Int32 => whole!(i32),
        Datatype::Int64 => whole!(i64),
        Datatype::Fp32 => real!(f32),
        Datatype::Fp64 => real!(f64),
        Datatype::Fp16 | Datatype::Bf16 => Err(format!("{} has no form in JSON", tensor.datatype.as_str())),
        Datatype::Bytes => texts(&tensor.data, out),
    }
}

fn numbers<const SIZE: usize>(
    tensor: &Tensor,
    out: &mut Vec<u8>,
    mut one: impl FnMut([u8; SIZE], &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    let (elements, rest) = tensor.data.as_chunks::<SIZE>();
    if !rest.is_empty() {
        return Err("the engine gave a broken tensor".to_owned());
    }
    for (at, bytes) in elements.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        one(*bytes, out)?;
    }
    Ok(())
}

fn texts(data: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let broken = || "the engine gave a broken tensor".to_owned();
    let mut rest = data;
    while !rest.is_empty() {
        if rest.len() != data.len() {
            out.push(b',');
        }
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (element, after) = after.split_at_checked(length).ok_or_else(broken)?;
        let text = std::str::from_utf8(element).map_err(|_| "an element is not UTF-8".to_owned())?;
        out.extend_from_slice(write(&text).as_bytes());
        rest = after;
    }
    Ok(())
}
