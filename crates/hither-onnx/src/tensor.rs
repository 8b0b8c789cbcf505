//! Tensors of the protocol to tensors of the library and back.

use hither_engine::work::Tensor;
use hither_types::model::Datatype;
use ort::memory::Allocator;
use ort::value::{DynTensor, DynTensorRef, DynValue, Shape, TensorElementType, Value};

#[cfg(test)]
mod tests;

/// The protocol's word for an element type; `None` for those that it has no word for.
pub(crate) fn datatype_of(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

fn element_of(datatype: Datatype) -> TensorElementType {
    match datatype {
        Datatype::Bool => TensorElementType::Bool,
        Datatype::Uint8 => TensorElementType::Uint8,
        Datatype::Uint16 => TensorElementType::Uint16,
        Datatype::Uint32 => TensorElementType::Uint32,
        Datatype::Uint64 => TensorElementType::Uint64,
        Datatype::Int8 => TensorElementType::Int8,
        Datatype::Int16 => TensorElementType::Int16,
        Datatype::Int32 => TensorElementType::Int32,
        Datatype::Int64 => TensorElementType::Int64,
        Datatype::Fp16 => TensorElementType::Float16,
        Datatype::Bf16 => TensorElementType::Bfloat16,
        Datatype::Fp32 => TensorElementType::Float32,
        Datatype::Fp64 => TensorElementType::Float64,
        Datatype::Bytes => TensorElementType::String,
    }
}

/// Why a tensor that fits the model still cannot be given to the library.
#[derive(Debug)]
pub(crate) enum IntoError {
    /// Its content; the text says what.
    Content(String),
    /// The library refused.
    Library(String),
}

impl From<ort::Error> for IntoError {
    fn from(error: ort::Error) -> Self {
        Self::Library(error.to_string())
    }
}

/// Copies a tensor, which [`hither_engine::validate`] has let through, into the library.
pub(crate) fn into_value(tensor: &Tensor) -> Result<DynValue, IntoError> {
    let dim = |dim: &u64| i64::try_from(*dim).map_err(|_| IntoError::Content("a dimension is too large".to_owned()));
    let shape = tensor.shape.iter().map(dim).collect::<Result<Vec<i64>, _>>()?;
    if tensor.datatype == Datatype::Bytes {
        let strings = strings(tensor)?;
        return Ok(Value::from_string_array((shape, strings.as_slice()))?.into_dyn());
    }
    let mut value = DynTensor::new(&Allocator::default(), element_of(tensor.datatype), Shape::from(shape))?;
    copy_in(&mut value, &tensor.data);
    Ok(value.into_dyn())
}

/// Copies a result out of the library.
pub(crate) fn from_value(name: &str, value: &DynValue) -> Result<Tensor, String> {
    let tensor: DynTensorRef<'_> = value.view().downcast().map_err(|error| error.to_string())?;
    let datatype = datatype_of(*tensor.data_type()).ok_or_else(|| format!("output {name:?} has an unknown type"))?;
    let dims: &[i64] = tensor.shape();
    let shape: Vec<u64> = dims.iter().map(|dim| dim.unsigned_abs()).collect();
    let data = match datatype.size() {
        Some(size) => copy_out(&tensor, tensor.shape().num_elements() * size),
        None => {
            let (_, strings) = value.try_extract_strings().map_err(|error| error.to_string())?;
            let prefixed = |text: String| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
            strings.into_iter().flat_map(prefixed).collect()
        }
    };
    Ok(Tensor { name: name.to_owned(), datatype, shape, data })
}

fn strings(tensor: &Tensor) -> Result<Vec<String>, IntoError> {
    let wrong = |what| IntoError::Content(format!("input {:?} has a string {what}", tensor.name));
    let mut strings = Vec::new();
    let mut rest = tensor.data.as_slice();
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*head) as usize;
        let bytes = tail.get(..length).ok_or_else(|| wrong("that is cut short"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("that is not UTF-8, which ONNX Runtime requires"))?;
        if text.contains('\0') {
            return Err(wrong("with a zero byte, which ONNX Runtime cannot take"));
        }
        strings.push(text.to_owned());
        rest = &tail[length..];
    }
    Ok(strings)
}

#[expect(unsafe_code, reason = "the library has no safe way to fill a tensor whose element type is known at run time")]
fn copy_in(value: &mut DynTensor, data: &[u8]) {
    let size = value.data_type().byte_size(value.shape().num_elements());
    assert_eq!(size, Some(data.len()), "the length was checked against the shape");
    if !data.is_empty() {
        let target = value.data_ptr_mut().cast::<u8>();
        // SAFETY: the default allocator gives memory of this process, as long as type and shape say, which is the
        // length of `data`; it is not the memory of `data`.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), target, data.len()) };
    }
}

#[expect(unsafe_code, reason = "the library has no safe way to read a tensor whose element type is known at run time")]
fn copy_out(value: &DynTensorRef<'_>, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    let source = value.data_ptr().cast::<u8>();
    // SAFETY: outputs are in memory of this process, as long as type and shape say, and live as long as `value`.
    unsafe { std::slice::from_raw_parts(source, size) }.to_vec()
}
