//! Tensors of every type in binary framing, right or with one thing wrong.

use arbitrary::{Arbitrary, Unstructured};
use axum::body::Body;
use hither_engine::work::{InferWork, Tensor, Work};
use hither_types::model::Datatype;
use hyper::Request;
use serde_json::{Value, json};

use super::bench::{Bench, Came};
use super::check::unpacked;

/// A request for the model that gives back what it gets.
pub(super) struct Case {
    /// One of each type, in any order, unless something is wrong.
    pub(super) inputs: Vec<Input>,
    /// The outputs that are asked for, and whether in binary form; all if there are none.
    pub(super) outputs: Vec<(Datatype, Option<bool>)>,
    all_binary: Option<bool>,
    id: Option<String>,
    /// What is wrong with the tensors.
    pub(super) fault: Option<Fault>,
    /// What is wrong with their frame.
    broken: Option<Break>,
    accept: Option<&'static str>,
}

/// One tensor.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) datatype: Datatype,
    pub(super) shape: Vec<u64>,
    pub(super) data: Vec<u8>,
    /// Whether its elements are written out, where they can be.
    pub(super) written: bool,
}

/// What can be wrong with tensors, in whichever protocol.
#[derive(Debug, Arbitrary)]
pub(super) enum Fault {
    Shape(u8, u32),
    Dimension(u8, u8),
    Scalar(u8),
    Type(u8, u8),
    Twice(u8),
    Missing(u8),
    Name(u8, String),
    Shorter(u8, u8),
    Longer(u8, Vec<u8>),
    Byte(u8, u8),
}

/// What can be wrong with the frame.
#[derive(Debug, Arbitrary)]
enum Break {
    NoHeader,
    Header(String),
    HeaderOff(i16),
    Size(u8, i16),
    Cut(u16),
    Append(Vec<u8>),
    Insert(u16, Vec<u8>),
    Replace(u16, u8),
}

impl Case {
    /// Makes a request of whatever bytes there are.
    pub(super) fn new(bytes: &[u8]) -> arbitrary::Result<Self> {
        let mut bytes = Unstructured::new(bytes);
        let mut inputs = Vec::new();
        for datatype in Datatype::ALL {
            inputs.push(Input::new(datatype, &mut bytes)?);
        }
        let turn = bytes.int_in_range(0..=inputs.len() - 1)?;
        inputs.rotate_left(turn);
        let mut outputs = Vec::new();
        let wanted: u16 = bytes.arbitrary()?;
        for (at, datatype) in Datatype::ALL.into_iter().enumerate() {
            if wanted & 1 << at != 0 {
                outputs.push((datatype, bytes.arbitrary()?));
            }
        }
        let (fault, broken) = match bytes.int_in_range(0..=3)? {
            0 | 1 => (None, None),
            2 => (Some(bytes.arbitrary()?), None),
            _ => (None, Some(bytes.arbitrary()?)),
        };
        let accept = *bytes.choose(&[None, Some("gzip"), Some("deflate;q=0.5, br")])?;
        let mut case =
            Self { inputs, outputs, all_binary: bytes.arbitrary()?, id: bytes.arbitrary()?, fault, broken, accept };
        case.spoil();
        Ok(case)
    }

    /// Puts into the tensors what is wrong with them.
    fn spoil(&mut self) {
        let Some(fault) = &self.fault else { return };
        let inputs = &mut self.inputs;
        let count = inputs.len();
        let at = |index: u8| usize::from(index) % count;
        match fault {
            Fault::Shape(index, size) => inputs[at(*index)].shape[0] = (*size).into(),
            Fault::Dimension(index, size) => inputs[at(*index)].shape.push((*size).into()),
            Fault::Scalar(index) => inputs[at(*index)].shape.clear(),
            Fault::Type(index, other) => {
                inputs[at(*index)].datatype = Datatype::ALL[usize::from(*other) % Datatype::ALL.len()];
            }
            Fault::Twice(index) => inputs.push(inputs[at(*index)].clone()),
            Fault::Missing(index) => drop(inputs.remove(at(*index))),
            Fault::Name(index, name) => inputs[at(*index)].name.clone_from(name),
            Fault::Shorter(index, by) => {
                let data = &mut inputs[at(*index)].data;
                data.truncate(data.len().saturating_sub((*by).into()));
            }
            Fault::Longer(index, more) => inputs[at(*index)].data.extend_from_slice(more),
            Fault::Byte(index, value) => {
                if let Some(byte) = inputs[at(*index)].data.first_mut() {
                    *byte = *value;
                }
            }
        }
        // Wrong tensors go as they are: what is written out is always whole.
        inputs.iter_mut().for_each(|input| input.written = false);
    }

    fn is_right(&self) -> bool {
        self.fault.is_none() && self.broken.is_none()
    }

    /// Whether an output is asked for in binary form.
    fn is_binary(&self, datatype: Datatype) -> bool {
        let named = self.outputs.iter().find(|(output, _)| *output == datatype);
        named.and_then(|(_, binary)| *binary).or(self.all_binary).unwrap_or(false)
    }

    /// The outputs that come back, in their order.
    fn wanted(&self) -> Vec<Datatype> {
        match self.outputs.as_slice() {
            [] => Datatype::ALL.to_vec(),
            outputs => outputs.iter().map(|(datatype, _)| *datatype).collect(),
        }
    }
}

impl Input {
    fn new(datatype: Datatype, bytes: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let count = bytes.int_in_range(0..=6u8)?;
        let mut data = Vec::new();
        for _ in 0..count {
            match datatype.size() {
                Some(size) => data.extend_from_slice(bytes.bytes(size)?),
                None => {
                    let text: &[u8] = bytes.arbitrary()?;
                    data.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    data.extend_from_slice(text);
                }
            }
        }
        if datatype == Datatype::Bool {
            data.iter_mut().for_each(|byte| *byte &= 1);
        }
        let (name, shape) = (format!("in_{}", datatype.as_str()), vec![count.into()]);
        Ok(Self { name, datatype, shape, data, written: bytes.arbitrary()? })
    }

    fn tensor(&self) -> Tensor {
        let Self { name, datatype, shape, data, .. } = self.clone();
        Tensor { name, datatype, shape, data }
    }
}

/// Elements as JSON has them, if it has all of them.
fn elements(datatype: Datatype, data: &[u8]) -> Option<Vec<Value>> {
    fn each<const N: usize>(data: &[u8], one: impl Fn([u8; N]) -> Value) -> Option<Vec<Value>> {
        // What JSON has no number for is null here.
        let all: Vec<Value> = data.as_chunks::<N>().0.iter().map(|bytes| one(*bytes)).collect();
        all.iter().all(|value| !value.is_null()).then_some(all)
    }
    match datatype {
        Datatype::Bool => each(data, |[byte]| json!(byte == 1)),
        Datatype::Uint8 => each(data, |bytes| json!(u8::from_le_bytes(bytes))),
        Datatype::Uint16 => each(data, |bytes| json!(u16::from_le_bytes(bytes))),
        Datatype::Uint32 => each(data, |bytes| json!(u32::from_le_bytes(bytes))),
        Datatype::Uint64 => each(data, |bytes| json!(u64::from_le_bytes(bytes))),
        Datatype::Int8 => each(data, |bytes| json!(i8::from_le_bytes(bytes))),
        Datatype::Int16 => each(data, |bytes| json!(i16::from_le_bytes(bytes))),
        Datatype::Int32 => each(data, |bytes| json!(i32::from_le_bytes(bytes))),
        Datatype::Int64 => each(data, |bytes| json!(i64::from_le_bytes(bytes))),
        Datatype::Fp32 => each(data, |bytes| json!(f64::from(f32::from_le_bytes(bytes)))),
        Datatype::Fp64 => each(data, |bytes| json!(f64::from_le_bytes(bytes))),
        Datatype::Fp16 | Datatype::Bf16 => None,
        Datatype::Bytes => {
            let (mut all, mut rest) = (Vec::new(), data);
            while let Some((length, after)) = rest.split_first_chunk() {
                let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                all.push(json!(std::str::from_utf8(text).ok()?));
                rest = after;
            }
            Some(all)
        }
    }
}

/// The request as HTTP carries it.
fn request(case: &Case) -> Request<Body> {
    let mut blobs = Vec::new();
    let inputs = case.inputs.iter().enumerate().map(|(at, input)| {
        let mut form = json!({"name": input.name, "datatype": input.datatype.as_str(), "shape": input.shape});
        match elements(input.datatype, &input.data).filter(|_| input.written) {
            Some(elements) => form["data"] = elements.into(),
            None => {
                let mut size = input.data.len() as i64;
                if let Some(Break::Size(index, by)) = &case.broken
                    && usize::from(*index) % case.inputs.len() == at
                {
                    size += i64::from(*by);
                }
                form["parameters"] = json!({ "binary_data_size": size });
                blobs.extend_from_slice(&input.data);
            }
        }
        form
    });
    let mut form = json!({ "inputs": inputs.collect::<Vec<Value>>() });
    if !case.outputs.is_empty() {
        let one = |(datatype, binary): &(Datatype, Option<bool>)| {
            let mut output = json!({"name": format!("out_{}", datatype.as_str())});
            if let Some(binary) = binary {
                output["parameters"] = json!({ "binary_data": binary });
            }
            output
        };
        form["outputs"] = case.outputs.iter().map(one).collect::<Vec<Value>>().into();
    }
    if let Some(all) = case.all_binary {
        form["parameters"] = json!({ "binary_data_output": all });
    }
    if let Some(id) = &case.id {
        form["id"] = json!(id);
    }
    let head = form.to_string().into_bytes();
    let mut length = Some(head.len().to_string());
    let mut body = [head.as_slice(), &blobs].concat();
    match &case.broken {
        Some(Break::NoHeader) => length = None,
        Some(Break::Header(text)) => length = Some(text.clone()),
        Some(Break::HeaderOff(by)) => length = Some((head.len() as i64 + i64::from(*by)).to_string()),
        Some(Break::Cut(by)) => body.truncate(body.len().saturating_sub((*by).into())),
        Some(Break::Append(more)) => body.extend_from_slice(more),
        Some(Break::Insert(at, more)) => {
            let at = usize::from(*at) % head.len();
            body.splice(at..at, more.iter().copied());
        }
        Some(Break::Replace(at, byte)) => body[usize::from(*at) % head.len()] = *byte,
        Some(Break::Size(..)) | None => {}
    }
    send(case.accept, length.as_deref(), body)
}

fn send(accept: Option<&str>, length: Option<&str>, body: Vec<u8>) -> Request<Body> {
    let mut request = Request::post("/v2/models/echo/infer").header("host", "127.0.0.1");
    if let Some(accept) = accept {
        request = request.header("accept-encoding", accept);
    }
    // What cannot be a header never comes in as one.
    if let Some(length) = length.and_then(|length| hyper::header::HeaderValue::from_str(length).ok()) {
        request = request.header("inference-header-content-length", length);
    }
    request.body(Body::from(body)).expect("a request of visible ASCII")
}

/// Everything in binary form, in and out: what gRPC must do the same of.
pub(super) fn binary(case: &Case) -> Request<Body> {
    let mut blobs = Vec::new();
    let inputs = case.inputs.iter().map(|input| {
        blobs.extend_from_slice(&input.data);
        json!({"name": input.name, "datatype": input.datatype.as_str(), "shape": input.shape,
            "parameters": {"binary_data_size": input.data.len()}})
    });
    let inputs: Vec<Value> = inputs.collect();
    let outputs: Vec<Value> =
        case.outputs.iter().map(|(datatype, _)| json!({"name": format!("out_{}", datatype.as_str())})).collect();
    let form = json!({"inputs": inputs, "outputs": outputs, "parameters": {"binary_data_output": true}}).to_string();
    send(None, Some(&form.len().to_string()), [form.as_bytes(), &blobs].concat())
}

/// The tensors that came to the door, if any did.
pub(super) fn handed_in(bench: &Bench) -> Option<Vec<Tensor>> {
    let submissions = bench.door.submissions.lock().expect("nobody panics with it");
    assert!(submissions.len() <= 1, "one request was handed in {} times", submissions.len());
    let Work::Infer(InferWork { inputs, .. }) = Work::decode(&submissions.first()?.payload).expect("it was encoded")
    else {
        panic!("tensors became something else")
    };
    Some(inputs)
}

/// Sends a request over HTTP and looks at what comes.
pub(super) fn over_http(bench: &Bench, case: &Case) {
    let came = bench.send(request(case));
    let body = unpacked(&came);
    let shown = || format!("{} {}", came.status, String::from_utf8_lossy(&body));
    let there = handed_in(bench);
    if case.is_right() {
        let sent: Vec<Tensor> = case.inputs.iter().map(Input::tensor).collect();
        assert_eq!(there.as_ref(), Some(&sent), "{}", shown());
        let data =
            |datatype| sent.iter().find(|tensor| tensor.datatype == datatype).map_or(&[][..], |found| &found.data);
        let writable =
            |datatype: &Datatype| case.is_binary(*datatype) || elements(*datatype, data(*datatype)).is_some();
        if !case.wanted().iter().all(writable) {
            let said: Value = serde_json::from_slice(&body).expect("an error is JSON");
            assert_eq!((came.status, &said["code"]), (400, &json!("E0608")), "{}", shown());
            return;
        }
        assert_eq!(came.status, 200, "{}", shown());
    }
    match came.status {
        200 => {
            let names: Vec<String> =
                case.wanted().iter().map(|datatype| format!("out_{}", datatype.as_str())).collect();
            let back = framed(&came, &body);
            let there = there.expect("what is answered was handed in");
            // What was broken may ask for other outputs.
            if case.is_right() {
                assert_eq!(
                    back.iter().map(|tensor| &tensor.name).collect::<Vec<_>>(),
                    names.iter().collect::<Vec<_>>()
                );
            }
            for tensor in back {
                let twin = there.iter().find(|sent| sent.name.replacen("in_", "out_", 1) == tensor.name);
                let sent = twin.expect("an output is an input that was sent");
                assert_eq!(tensor, Tensor { name: tensor.name.clone(), ..sent.clone() });
            }
        }
        400 => {
            let said: Value = serde_json::from_slice(&body).expect("an error is JSON");
            assert!(said["error"].is_string() && said["code"].is_string(), "{}", shown());
            assert!(there.is_none() || said["code"] == "E0608", "handed in, and then refused: {}", shown());
        }
        _ => panic!("{}", shown()),
    }
}

/// Reads an answer of tensors, whose parts must be exactly as long as its head says.
pub(super) fn framed(came: &Came, body: &[u8]) -> Vec<Tensor> {
    let length = came.header("inference-header-content-length");
    let length = if length.is_empty() { body.len() } else { length.parse().expect("the header is a length") };
    let (head, mut rest) = body.split_at_checked(length).expect("the head is within the body");
    let head: Value = serde_json::from_slice(head).expect("the head is JSON");
    let outputs = head["outputs"].as_array().expect("there are outputs");
    let read = |output: &Value| {
        let datatype = output["datatype"].as_str().and_then(Datatype::parse).expect("a type of the protocol");
        let shape: Vec<u64> = serde_json::from_value(output["shape"].clone()).expect("a shape is a list of sizes");
        let data = match output["parameters"]["binary_data_size"].as_u64() {
            Some(size) => {
                assert!(output.get("data").is_none(), "a tensor is in two places");
                let (blob, after) = rest.split_at_checked(size as usize).expect("a tensor is within the body");
                rest = after;
                blob.to_vec()
            }
            None => bytes_of(datatype, output["data"].as_array().expect("a tensor has elements")),
        };
        let name = output["name"].as_str().expect("a tensor has a name").to_owned();
        Tensor { name, datatype, shape, data }
    };
    let tensors = outputs.iter().map(read).collect();
    assert!(rest.is_empty(), "{} bytes are left over behind the tensors", rest.len());
    tensors
}

/// Elements as they were before they were written.
fn bytes_of(datatype: Datatype, elements: &[Value]) -> Vec<u8> {
    let one = |element: &Value| {
        let whole = || element.as_i64().map(i128::from).or(element.as_u64().map(i128::from)).expect("a whole number");
        match datatype {
            Datatype::Bool => vec![u8::from(element.as_bool().expect("true or false"))],
            Datatype::Fp32 => (element.as_f64().expect("a number") as f32).to_le_bytes().to_vec(),
            Datatype::Fp64 => element.as_f64().expect("a number").to_le_bytes().to_vec(),
            Datatype::Bytes => {
                let text = element.as_str().expect("a text").as_bytes();
                [&(text.len() as u32).to_le_bytes(), text].concat()
            }
            other => whole().to_le_bytes()[..other.size().expect("numbers have a size")].to_vec(),
        }
    };
    elements.iter().flat_map(one).collect()
}
