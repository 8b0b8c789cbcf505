//! Reads an inference request: JSON, JSON with binary tensors behind it, or one tensor alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use hither_engine::work::{InferWork, Tensor};
use hither_types::model::TensorSpec;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::classify::{self, Classes};
use super::elements;
use super::options::{Options, Parameters, flag, unsupported, whole};
use crate::errors::{Code, Problem};
use crate::limits::TENSORS;

/// A request, understood.
pub(crate) struct Call {
    /// The caller's own id, given back.
    pub(crate) id: Option<String>,
    /// The work.
    pub(crate) work: InferWork,
    /// How outputs are wanted.
    pub(crate) binary: Binary,
    /// Outputs that are wanted as their best classes.
    pub(crate) classes: Classes,
    /// How it is to be served.
    pub(crate) options: Options,
}

/// Which outputs are wanted in binary form.
#[derive(Debug, Default)]
pub(crate) struct Binary {
    all: bool,
    named: BTreeMap<String, bool>,
}

impl Binary {
    /// Whether this output is wanted in binary form.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.named.get(name).copied().unwrap_or(self.all)
    }
}

/// A list of bounded length.
#[derive(Debug)]
struct Bounded<T, const MOST: usize>(Vec<T>);

impl<T, const MOST: usize> Default for Bounded<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
            type Value = Bounded<T, MOST>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MOST} items")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MOST {
                        return Err(A::Error::invalid_length(MOST + 1, &self));
                    }
                    items.push(item);
                }
                Ok(Bounded(items))
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

#[derive(Deserialize)]
struct RequestForm<'a> {
    #[serde(default, borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "or_none")]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Bounded<InputForm<'a>, TENSORS>,
    #[serde(default)]
    outputs: Option<Bounded<OutputForm, TENSORS>>,
}

#[derive(Deserialize)]
struct InputForm<'a> {
    name: String,
    datatype: String,
    shape: Bounded<u64, 32>,
    #[serde(default, deserialize_with = "or_none")]
    parameters: Parameters,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OutputForm {
    name: String,
    #[serde(default, deserialize_with = "or_none")]
    parameters: Parameters,
}

/// `null` is as good as nothing.
fn or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Parameters, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn malformed(text: impl Into<String>) -> Problem {
    Problem::new(Code::Malformed, text)
}

#[derive(Deserialize)]
struct AnswerForm<'a> {
    #[serde(borrow)]
    outputs: Bounded<InputForm<'a>, TENSORS>,
}

/// Reads the outputs in an answer of a server of this protocol, and those behind it if it said where they begin.
pub(crate) fn answered(json: &[u8], blobs: Option<&[u8]>) -> Result<Vec<Tensor>, Problem> {
    let form: AnswerForm<'_> = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
    let mut rest = blobs;
    let outputs = form.outputs.0.into_iter().map(|output| tensor(output, &mut rest)).collect::<Result<_, _>>()?;
    match rest.filter(|rest| !rest.is_empty()) {
        Some(rest) => Err(malformed(format!("{} bytes are left over behind the outputs", rest.len()))),
        None => Ok(outputs),
    }
}

impl Call {
    /// Reads JSON, and the binary tensors behind it if the request said where they begin.
    pub(crate) fn parse(json: &[u8], blobs: Option<&[u8]>) -> Result<Self, Problem> {
        let form: RequestForm<'_> =
            serde_json::from_slice(json).map_err(|error| malformed(format!("the inference request: {error}")))?;
        let mut rest = blobs;
        let inputs = form.inputs.0.into_iter().map(|input| tensor(input, &mut rest)).collect::<Result<_, _>>()?;
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            return Err(malformed(format!("{} bytes are left over behind the binary tensors", rest.len())));
        }
        let mut binary =
            Binary { all: flag(&form.parameters, "binary_data_output")?.unwrap_or(false), ..Binary::default() };
        let (mut outputs, mut classes) = (Vec::new(), Classes::default());
        for output in form.outputs.unwrap_or_default().0 {
            unsupported(&output.parameters, &["shared_memory_region"], &output.name)?;
            let wanted = flag(&output.parameters, "binary_data")?.unwrap_or(binary.all);
            if let Some(count) = classify::wanted(&output.parameters)? {
                classes.insert(output.name.clone(), count);
            }
            if binary.named.insert(output.name.clone(), wanted).is_some() {
                return Err(malformed(format!("output {:?} is asked for twice", output.name)));
            }
            outputs.push(output.name);
        }
        let options = Options::read(&form.parameters)?;
        let id = form.id.map(Cow::into_owned);
        Ok(Self { id, work: InferWork { inputs, outputs }, binary, classes, options })
    }

    /// Reads a body that is one tensor and nothing else; the model says what it is.
    pub(super) fn raw(body: &[u8], inputs: &[TensorSpec]) -> Result<Self, Problem> {
        let [spec] = inputs else {
            return Err(malformed(format!(
                "a raw tensor needs a model with one input, and this one has {}",
                inputs.len()
            )));
        };
        let (shape, data) = match spec.datatype.size() {
            Some(size) => (raw_shape(spec, body.len(), size)?, body.to_vec()),
            None => {
                let mut data = Vec::with_capacity(body.len() + 4);
                let length = u32::try_from(body.len()).map_err(|_| malformed("the raw tensor is too long"))?;
                data.extend_from_slice(&length.to_le_bytes());
                data.extend_from_slice(body);
                (vec![1; spec.shape.len().max(1)], data)
            }
        };
        let tensor = Tensor { name: spec.name.clone(), datatype: spec.datatype, shape, data };
        let work = InferWork { inputs: vec![tensor], outputs: Vec::new() };
        let binary = Binary { all: true, ..Binary::default() };
        Ok(Self { id: None, work, binary, classes: Classes::default(), options: Options::default() })
    }
}

/// The shape of a raw tensor: the one dimension that is open takes what the length leaves; a batch is 1.
fn raw_shape(spec: &TensorSpec, length: usize, size: usize) -> Result<Vec<u64>, Problem> {
    let unclear = |why: &str| malformed(format!("input {:?} cannot be read from a raw tensor: {why}", spec.name));
    let mut open: Vec<usize> = (0..spec.shape.len()).filter(|at| spec.shape[*at].is_none()).collect();
    let mut shape: Vec<u64> = spec.shape.iter().map(|dimension| dimension.unwrap_or(1)).collect();
    if open.len() > 1 && open[0] == 0 {
        open.remove(0);
    }
    let fixed = shape.iter().try_fold(size as u64, |product, dimension| product.checked_mul(*dimension));
    let fixed = fixed.filter(|fixed| *fixed > 0).ok_or_else(|| unclear("its shape has no size"))?;
    if !(length as u64).is_multiple_of(fixed) {
        return Err(unclear(&format!("{length} bytes are not a multiple of {fixed}")));
    }
    match open.as_slice() {
        [] => {}
        [at] => shape[*at] = length as u64 / fixed,
        _ => return Err(unclear("more than one dimension is open")),
    }
    Ok(shape)
}

fn tensor(input: InputForm<'_>, blobs: &mut Option<&[u8]>) -> Result<Tensor, Problem> {
    let InputForm { name, datatype, shape: Bounded(shape), parameters, data } = input;
    let wrong = |text: String| Problem::new(Code::WrongTensor, format!("input {name:?}: {text}")).param("inputs");
    unsupported(&parameters, &["shared_memory_region"], &name)?;
    let datatype = elements::datatype(&datatype).map_err(wrong)?;
    let count = elements::count(&shape).ok_or_else(|| wrong(format!("the shape {shape:?} is beyond all memory")))?;
    let size = whole(&parameters, "binary_data_size")
        .map_err(|_| wrong("binary_data_size is not a length in bytes".to_owned()))?;
    let data = match (data, size) {
        (Some(_), Some(_)) => return Err(wrong("it has both data and binary_data_size".to_owned())),
        (None, None) => return Err(wrong("it has neither data nor binary_data_size".to_owned())),
        (Some(data), None) => elements::read(datatype, count, data.get()).map_err(wrong)?,
        (None, Some(size)) => {
            let Some(rest) = blobs else {
                return Err(wrong("binary_data_size needs the header Inference-Header-Content-Length".to_owned()));
            };
            let found = rest.len();
            let Some((blob, left)) = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size)) else {
                return Err(wrong(format!("binary_data_size is {size}, and {found} bytes are left in the body")));
            };
            *rest = left;
            blob.to_vec()
        }
    };
    Ok(Tensor { name, datatype, shape, data })
}
