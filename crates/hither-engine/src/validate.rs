//! Whether tensors fit a model, before the library sees them.

use std::collections::BTreeSet;

use hither_types::model::{Datatype, TensorSpec};
use hither_types::refusal::InputFault;

use crate::limits::MAX_QUOTED;
use crate::work::{InferWork, Tensor};

#[cfg(test)]
mod tests;

/// Checks the tensors and the outputs wanted against what the model takes and gives.
///
/// The text of the fault names the input, what was expected and what came.
pub fn validate(work: &InferWork, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<(), InputFault> {
    let mut seen = BTreeSet::new();
    for tensor in &work.inputs {
        let name = quoted(&tensor.name);
        let Some(spec) = inputs.iter().find(|spec| spec.name == tensor.name) else {
            return fault(format!("the model has no input {name}; it takes {}", names(inputs)));
        };
        if !seen.insert(tensor.name.as_str()) {
            return fault(format!("input {name} came twice"));
        }
        fits(tensor, spec, &name)?;
    }
    if let Some(missing) = inputs.iter().find(|spec| !seen.contains(spec.name.as_str())) {
        return fault(format!(
            "input {} is missing: expected {} {}",
            quoted(&missing.name),
            missing.datatype.as_str(),
            dims(&missing.shape)
        ));
    }
    if let Some(unknown) = work.outputs.iter().find(|name| outputs.iter().all(|spec| spec.name != **name)) {
        return fault(format!("the model has no output {}; it gives {}", quoted(unknown), names(outputs)));
    }
    Ok(())
}

fn fits(tensor: &Tensor, spec: &TensorSpec, name: &str) -> Result<(), InputFault> {
    if tensor.datatype != spec.datatype {
        let (expected, found) = (spec.datatype.as_str(), tensor.datatype.as_str());
        return fault(format!("input {name} expects {expected}, and {found} came"));
    }
    let expected = || format!("input {name} expects the shape {}, and {:?} came", dims(&spec.shape), tensor.shape);
    if tensor.shape.len() != spec.shape.len() {
        return fault(expected());
    }
    if tensor.shape.iter().zip(&spec.shape).any(|(found, wanted)| wanted.is_some_and(|wanted| wanted != *found)) {
        return fault(expected());
    }
    well_formed(tensor)
}

/// Whether the data of a tensor are what its own type and shape say.
pub fn well_formed(tensor: &Tensor) -> Result<(), InputFault> {
    let name = quoted(&tensor.name);
    let too_large = || InputFault::Tensor(format!("input {name} has a shape {:?} beyond all memory", tensor.shape));
    let count = element_count(&tensor.shape).ok_or_else(too_large)?;
    match tensor.datatype.size() {
        Some(size) => {
            let wanted = count.checked_mul(size).ok_or_else(too_large)?;
            if tensor.data.len() != wanted {
                return fault(format!(
                    "input {name} of shape {:?} expects {wanted} bytes, and {} came",
                    tensor.shape,
                    tensor.data.len()
                ));
            }
        }
        None => {
            let Some(found) = count_strings(&tensor.data) else {
                return fault(format!("input {name} has an element whose length goes beyond the data"));
            };
            if found != count {
                return fault(format!(
                    "input {name} of shape {:?} expects {count} elements, and {found} came",
                    tensor.shape
                ));
            }
        }
    }
    if tensor.datatype == Datatype::Bool && tensor.data.iter().any(|byte| *byte > 1) {
        return fault(format!("input {name} is BOOL and has an element that is neither 0 nor 1"));
    }
    Ok(())
}

/// The product of the dimensions, if it can be addressed.
pub(crate) fn element_count(shape: &[u64]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, dim| product.checked_mul(usize::try_from(*dim).ok()?))
}

fn count_strings(data: &[u8]) -> Option<usize> {
    let mut rest = data;
    let mut count = 0;
    while !rest.is_empty() {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        rest = tail.get(u32::from_le_bytes(*head) as usize..)?;
        count += 1;
    }
    Some(count)
}

fn fault(text: String) -> Result<(), InputFault> {
    Err(InputFault::Tensor(text))
}

fn quoted(name: &str) -> String {
    format!("{:?}", name.chars().take(MAX_QUOTED).collect::<String>())
}

fn names(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| quoted(&spec.name)).collect::<Vec<_>>().join(", ")
}

fn dims(shape: &[Option<u64>]) -> String {
    let dims: Vec<String> =
        shape.iter().map(|dim| dim.map_or_else(|| "any".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}
