//! Servers that speak the Open Inference Protocol: work as one of its requests, its answers, and what a model takes.
//!
//! What must stay true: an answer is taken for tensors only if each is as long as its shape says.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hither_engine::well_formed;
use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_types::model::{Datatype, ModelIo, TensorSpec};
use http_body_util::{BodyExt, Limited};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::ask::{Asking, Expects};
use super::{Endpoint, EndpointError, Protocol, refusal, unreachable};
use crate::body::check_depth;
use crate::limits::{ENDPOINT_EVENT, TENSORS};
use crate::oip::parse::answered;
use crate::oip::render::elements;
use crate::respond::write;

#[cfg(test)]
mod tests;

/// The extension with which tensors need not be written as JSON.
const BINARY: &str = "binary_tensor_data";

/// What a server says of itself.
#[derive(Deserialize)]
struct ServerForm {
    #[serde(default)]
    extensions: Vec<String>,
}

/// What it says of a model. Some say nothing of inputs and outputs.
#[derive(Deserialize)]
struct ModelForm {
    #[serde(default)]
    inputs: Option<Vec<SpecForm>>,
    #[serde(default)]
    outputs: Option<Vec<SpecForm>>,
}

#[derive(Deserialize)]
struct SpecForm {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

/// The path of a model: its name, and a version if the configuration has one, as in `fraud/versions/2`.
pub(super) fn path(model: &str) -> String {
    let (name, version) = match model.split_once("/versions/") {
        Some((name, version)) => (name, Some(version)),
        None => (model, None),
    };
    let mut path = format!("/v2/models/{}", escaped(name));
    if let Some(version) = version {
        path.push_str("/versions/");
        path.push_str(&escaped(version));
    }
    path
}

/// A part of a path, with what has a meaning there written otherwise (RFC 3986, section 2.1).
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut path, byte| {
        match plain(byte) {
            true => path.push(char::from(byte)),
            false => path.push_str(&format!("%{byte:02X}")),
        }
        path
    })
}

/// Writes work as a request. `binary`: the server takes tensors behind the JSON, and gives them so.
pub(super) fn render(model: &str, work: &Work, binary: bool) -> Result<Asking, EndpointError> {
    let Work::Infer(InferWork { inputs, outputs }) = work else {
        return Err(EndpointError::Cannot("it takes tensors alone: it speaks the inference protocol".to_owned()));
    };
    let (mut json, mut behind, mut any) = (b"{".to_vec(), Vec::new(), false);
    if binary && outputs.is_empty() {
        json.extend_from_slice(b"\"parameters\":{\"binary_data_output\":true},");
    }
    json.extend_from_slice(b"\"inputs\":[");
    for (at, tensor) in inputs.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        any |= input(tensor, binary, &mut json, &mut behind);
    }
    json.push(b']');
    if !outputs.is_empty() {
        let one = |name: &String| format!("{{\"name\":{},\"parameters\":{{\"binary_data\":{binary}}}}}", write(&name));
        let list: Vec<String> = outputs.iter().map(one).collect();
        json.extend_from_slice(format!(",\"outputs\":[{}]", list.join(",")).as_bytes());
    }
    json.push(b'}');
    let json_length = any.then_some(json.len());
    json.extend_from_slice(&behind);
    Ok(Asking { path: format!("{}/infer", path(model)).into(), body: json, json_length, expects: Expects::Tensors })
}

/// One input; what JSON has no form for goes behind it, whatever the server says that it takes. Says whether it did.
fn input(tensor: &Tensor, binary: bool, json: &mut Vec<u8>, behind: &mut Vec<u8>) -> bool {
    let head = format!(
        "{{\"name\":{},\"datatype\":\"{}\",\"shape\":{},",
        write(&tensor.name),
        tensor.datatype.as_str(),
        write(&tensor.shape)
    );
    json.extend_from_slice(head.as_bytes());
    let before = json.len();
    json.extend_from_slice(b"\"data\":[");
    if !binary && elements(tensor, json).is_ok() {
        json.extend_from_slice(b"]}");
        return false;
    }
    json.truncate(before);
    json.extend_from_slice(format!("\"parameters\":{{\"binary_data_size\":{}}}}}", tensor.data.len()).as_bytes());
    behind.extend_from_slice(&tensor.data);
    true
}

/// Reads an answer: JSON, and binary tensors behind it if the server said where they begin.
pub(super) fn read(body: &[u8], json_length: Option<usize>) -> Result<Piece, EndpointError> {
    // Not the error's own text: it may hold a part of the answer.
    let failed =
        |why: &str| EndpointError::Failed(format!("its answer is not in the inference protocol's form: {why}"));
    let (json, behind) = match json_length {
        None => (body, None),
        Some(length) => {
            let parts = body.split_at_checked(length).ok_or_else(|| failed("it is shorter than it says"))?;
            (parts.0, Some(parts.1))
        }
    };
    check_depth(json).map_err(|_| failed("its JSON nests too deep"))?;
    let tensors = answered(json, behind).map_err(|_| failed("an output cannot be read"))?;
    for tensor in &tensors {
        well_formed(tensor).map_err(|_| failed("an output is not as long as its shape says"))?;
    }
    Ok(Piece::Outputs(tensors))
}

impl Endpoint {
    /// What a model of such a server takes and gives, as it says itself; nothing, if it says nothing of that. `model` is its
    /// name there. Servers of another protocol do not say it.
    pub async fn describe(&self, model: &str, within: Duration) -> Result<Option<ModelIo>, EndpointError> {
        if self.protocol != Protocol::Inference {
            return Ok(None);
        }
        let silent = || EndpointError::Unreachable(format!("no answer within {} ms", within.as_millis()));
        let asked = async {
            // What else it can do, it says at the root; one that does not is taken at the protocol's word.
            if let Ok(text) = self.get("/v2").await {
                let binary = serde_json::from_slice::<ServerForm>(&text)
                    .is_ok_and(|form| form.extensions.iter().any(|extension| extension == BINARY));
                self.binary.store(binary, Ordering::Relaxed);
            }
            self.get(&path(model)).await
        };
        let text = tokio::time::timeout(within, asked).await.map_err(|_| silent())??;
        let form: ModelForm = serde_json::from_slice(&text)
            .map_err(|_| EndpointError::Failed("what it says of its model is not the protocol's form".to_owned()))?;
        let specs = |forms: Option<Vec<SpecForm>>| {
            forms.unwrap_or_default().into_iter().take(TENSORS).map(spec).collect::<Option<Vec<_>>>()
        };
        Ok(specs(form.inputs).zip(specs(form.outputs)).map(|(inputs, outputs)| ModelIo::Tensors { inputs, outputs }))
    }

    async fn get(&self, path: &str) -> Result<Bytes, EndpointError> {
        let cannot = |_| EndpointError::Cannot(format!("{path:?} is no path"));
        let target = format!("{}{path}", self.base).parse().map_err(cannot)?;
        let request = self.request(Method::GET, target, None, Bytes::new());
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        let body = Limited::new(response.into_body(), ENDPOINT_EVENT).collect().await;
        Ok(body.map_err(|error| EndpointError::Failed(error.to_string()))?.to_bytes())
    }
}

/// An input or output; `None` if it is of a type that this program does not have.
fn spec(form: SpecForm) -> Option<TensorSpec> {
    let datatype = Datatype::parse(&form.datatype)?;
    let shape = form.shape.into_iter().map(|dimension| u64::try_from(dimension).ok()).collect();
    Some(TensorSpec { name: form.name, datatype, shape })
}
