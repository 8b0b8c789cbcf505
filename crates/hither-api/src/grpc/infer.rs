//! Tensors between messages and work. Inputs may be raw or typed; outputs are raw.

use std::collections::HashMap;

use bytes::Bytes;
use hither_engine::work::{InferWork, Tensor};
use hither_types::model::{Datatype, Manifest};
use hither_types::unit::Micros;
use hyper::HeaderMap;
use tokio::time::Instant;

use super::pb;
use super::pb::infer_parameter::ParameterChoice;
use crate::callers::Caller;
use crate::errors::{Code, Problem};
use crate::labels;
use crate::limits::TENSORS;
use crate::oip::classify::{self, Classes};
use crate::oip::infer::{Answered, counted, serve};
use crate::oip::options::{Options, Parameters, Scalar, unsupported};
use crate::oip::parse::{Binary, Call};
use crate::oip::{elements, named, versioned};
use crate::respond;
use crate::routes::App;

/// An answer, and the headers that say where it came from.
pub(super) struct Reply {
    pub(super) message: pb::ModelInferResponse,
    pub(super) headers: HeaderMap,
}

/// Serves one request.
pub(super) async fn infer(
    app: &App,
    headers: &HeaderMap,
    caller: &Caller,
    message: pb::ModelInferRequest,
) -> Result<Reply, Problem> {
    let begun = Instant::now();
    let version = Some(message.model_version.as_str()).filter(|version| !version.is_empty());
    let model = versioned(app, &message.model_name, version)?;
    // Checked with the label, before the message is read: the gate does not see what a message names.
    caller.may_use(&model.name)?;
    let name = message.model_name.clone();
    counted(app, &model, begun, answer(app, (headers, caller), (&name, &model), message, begun)).await
}

async fn answer(
    app: &App,
    (headers, caller): (&HeaderMap, &Caller),
    (name, model): (&str, &Manifest),
    message: pb::ModelInferRequest,
    begun: Instant,
) -> Result<Reply, Problem> {
    let mut asked = labels::read(headers, caller, &*app.door)?;
    let mut call = read(message)?;
    call.options.apply(headers, &mut asked, timeout(headers)?)?;
    let Answered { tensors, serving, summary } = serve(app, model, asked, &mut call, begun).await?;
    let mut headers = HeaderMap::new();
    respond::set_route(&mut headers, &serving);
    app.metrics.answered(&serving);
    respond::set_summary(&mut headers, &summary);
    let named = named(&serving.model().name, name);
    Ok(Reply { message: write(named, call.id.unwrap_or_default(), tensors), headers })
}

/// How long the client waits, as it told the protocol: at most eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Micros>, Problem> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let wrong =
        || malformed(format!("grpc-timeout is {value:?}, which is not a number of at most eight digits and a unit"));
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(Some(Micros(match unit {
        "H" => number * 3_600_000_000,
        "M" => number * 60_000_000,
        "S" => number * 1_000_000,
        "m" => number * 1_000,
        "u" => number,
        // Less than there is a word for is the least.
        "n" => number / 1_000,
        _ => return Err(wrong()),
    })))
}

fn malformed(text: impl Into<String>) -> Problem {
    Problem::new(Code::Malformed, text)
}

/// Reads a request.
fn read(message: pb::ModelInferRequest) -> Result<Call, Problem> {
    let pb::ModelInferRequest { id, parameters, inputs, outputs, raw_input_contents, .. } = message;
    if inputs.len().max(outputs.len()) > TENSORS {
        return Err(malformed(format!("a request has at most {TENSORS} inputs and {TENSORS} outputs")));
    }
    let raw = !raw_input_contents.is_empty();
    if raw && raw_input_contents.len() != inputs.len() {
        let (found, wanted) = (raw_input_contents.len(), inputs.len());
        return Err(malformed(format!("raw_input_contents has {found} items, and there are {wanted} inputs")));
    }
    let mut raws = raw_input_contents.into_iter();
    let inputs = inputs.into_iter().map(|input| tensor(input, raws.next())).collect::<Result<_, _>>()?;
    let (mut names, mut classes) = (Vec::new(), Classes::default());
    for output in outputs {
        let parameters = scalars(output.parameters)?;
        unsupported(&parameters, &["shared_memory_region"], &output.name)?;
        if names.contains(&output.name) {
            return Err(malformed(format!("output {:?} is asked for twice", output.name)));
        }
        if let Some(count) = classify::wanted(&parameters)? {
            classes.insert(output.name.clone(), count);
        }
        names.push(output.name);
    }
    let options = Options::read(&scalars(parameters)?)?;
    let work = InferWork { inputs, outputs: names };
    Ok(Call { id: Some(id), work, binary: Binary::default(), classes, options })
}

fn scalars(parameters: HashMap<String, pb::InferParameter>) -> Result<Parameters, Problem> {
    let one = |(name, value): (String, pb::InferParameter)| match value.parameter_choice {
        None => Err(malformed(format!("parameter {name:?} has no value"))),
        Some(ParameterChoice::BoolParam(flag)) => Ok((name, Scalar::Flag(flag))),
        Some(ParameterChoice::Int64Param(number)) => {
            Ok((name, u64::try_from(number).map_or(Scalar::Other, Scalar::Whole)))
        }
        Some(ParameterChoice::Uint64Param(number)) => Ok((name, Scalar::Whole(number))),
        Some(ParameterChoice::StringParam(text)) => Ok((name, Scalar::Text(text))),
        Some(ParameterChoice::DoubleParam(_)) => Ok((name, Scalar::Other)),
    };
    parameters.into_iter().map(one).collect()
}

fn tensor(input: pb::model_infer_request::InferInputTensor, raw: Option<Bytes>) -> Result<Tensor, Problem> {
    let pb::model_infer_request::InferInputTensor { name, datatype, shape, parameters, contents } = input;
    let wrong = |text: String| Problem::new(Code::WrongTensor, format!("input {name:?}: {text}")).param("inputs");
    unsupported(&scalars(parameters)?, &["shared_memory_region"], &name)?;
    let datatype = elements::datatype(&datatype).map_err(wrong)?;
    let dimensions: Option<Vec<u64>> = shape.iter().map(|size| u64::try_from(*size).ok()).collect();
    let shape = dimensions.ok_or_else(|| wrong(format!("the shape {shape:?} has a negative dimension")))?;
    let count = elements::count(&shape).ok_or_else(|| wrong(format!("the shape {shape:?} is beyond all memory")))?;
    let data = match (contents, raw) {
        (Some(_), Some(_)) => return Err(wrong("it has contents, and raw_input_contents, too".to_owned())),
        (None, Some(raw)) => raw.to_vec(),
        (None, None) if count > 0 => {
            return Err(wrong("it has neither contents nor raw_input_contents".to_owned()));
        }
        (None, None) => Vec::new(),
        (Some(contents), None) => typed(datatype, contents, count).map_err(wrong)?,
    };
    Ok(Tensor { name, datatype, shape, data })
}

/// Typed elements as bytes.
fn typed(datatype: Datatype, contents: pb::InferTensorContents, count: usize) -> Result<Vec<u8>, String> {
    let list = match datatype {
        Datatype::Bool => "bool_contents",
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => "int_contents",
        Datatype::Int64 => "int64_contents",
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => "uint_contents",
        Datatype::Uint64 => "uint64_contents",
        Datatype::Fp32 => "fp32_contents",
        Datatype::Fp64 => "fp64_contents",
        Datatype::Bytes => "bytes_contents",
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!("{} has no typed contents; send it in raw_input_contents", datatype.as_str()));
        }
    };
    let found = [
        ("bool_contents", contents.bool_contents.len()),
        ("int_contents", contents.int_contents.len()),
        ("int64_contents", contents.int64_contents.len()),
        ("uint_contents", contents.uint_contents.len()),
        ("uint64_contents", contents.uint64_contents.len()),
        ("fp32_contents", contents.fp32_contents.len()),
        ("fp64_contents", contents.fp64_contents.len()),
        ("bytes_contents", contents.bytes_contents.len()),
    ];
    for (name, length) in found {
        if name != list && length > 0 {
            return Err(format!("it has {name}, and elements of {} are in {list}", datatype.as_str()));
        }
        if name == list && length != count {
            return Err(format!("{list} has {length} elements, and its shape says {count}"));
        }
    }
    match datatype {
        Datatype::Bool => Ok(contents.bool_contents.into_iter().map(u8::from).collect()),
        Datatype::Int8 => narrow(datatype, &contents.int_contents, i8::to_le_bytes),
        Datatype::Int16 => narrow(datatype, &contents.int_contents, i16::to_le_bytes),
        Datatype::Int32 => narrow(datatype, &contents.int_contents, i32::to_le_bytes),
        Datatype::Int64 => narrow(datatype, &contents.int64_contents, i64::to_le_bytes),
        Datatype::Uint8 => narrow(datatype, &contents.uint_contents, u8::to_le_bytes),
        Datatype::Uint16 => narrow(datatype, &contents.uint_contents, u16::to_le_bytes),
        Datatype::Uint32 => narrow(datatype, &contents.uint_contents, u32::to_le_bytes),
        Datatype::Uint64 => narrow(datatype, &contents.uint64_contents, u64::to_le_bytes),
        Datatype::Fp32 => Ok(contents.fp32_contents.into_iter().flat_map(f32::to_le_bytes).collect()),
        Datatype::Fp64 => Ok(contents.fp64_contents.into_iter().flat_map(f64::to_le_bytes).collect()),
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Bytes => {
            let mut data = Vec::new();
            for text in contents.bytes_contents {
                let length = u32::try_from(text.len()).map_err(|_| "an element is too long".to_owned())?;
                data.extend_from_slice(&length.to_le_bytes());
                data.extend_from_slice(&text);
            }
            Ok(data)
        }
    }
}

/// Numbers in as many bytes as their type has. What does not fit is refused, never cut.
fn narrow<W, N, const SIZE: usize>(
    datatype: Datatype,
    numbers: &[W],
    bytes: impl Fn(N) -> [u8; SIZE],
) -> Result<Vec<u8>, String>
where
    W: Copy + std::fmt::Display,
    N: TryFrom<W>,
{
    let mut data = Vec::with_capacity(numbers.len() * SIZE);
    for number in numbers {
        let narrow = N::try_from(*number).map_err(|_| format!("{number} is not a value of {}", datatype.as_str()))?;
        data.extend_from_slice(&bytes(narrow));
    }
    Ok(data)
}

fn write((model_name, model_version): (&str, &str), id: String, tensors: Vec<Tensor>) -> pb::ModelInferResponse {
    let mut outputs = Vec::with_capacity(tensors.len());
    let mut raw_output_contents = Vec::with_capacity(tensors.len());
    for Tensor { name, datatype, shape, data } in tensors {
        outputs.push(pb::model_infer_response::InferOutputTensor {
            name,
            datatype: datatype.as_str().to_owned(),
            shape: shape.into_iter().map(|size| i64::try_from(size).unwrap_or(i64::MAX)).collect(),
            parameters: HashMap::new(),
            contents: None,
        });
        raw_output_contents.push(data.into());
    }
    pb::ModelInferResponse {
        model_name: model_name.to_owned(),
        model_version: model_version.to_owned(),
        id,
        parameters: HashMap::new(),
        outputs,
        raw_output_contents,
    }
}
