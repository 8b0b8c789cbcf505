//! Messages over gRPC: bytes as they are, and tensors that must be answered as they are over HTTP.

use std::collections::HashMap;
use std::io::Write;

use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use hither_engine::work::Tensor;
use hither_types::model::Datatype;
use hyper::Request;
use prost::Message;
use serde_json::Value;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;

use super::bench::{Bench, Came};
use super::tensors::{Case, Input, binary, framed, handed_in};
use crate::grpc::pb;
use crate::grpc::pb::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};

/// A method, and whether bytes are its message. Where the message is another crate's, nobody says.
type Method = (&'static str, Option<fn(&[u8]) -> bool>);

fn is<T: Message + Default>(bytes: &[u8]) -> bool {
    T::decode(bytes).is_ok()
}

const METHODS: [Method; 22] = [
    ("inference.GRPCInferenceService/ModelInfer", Some(is::<pb::ModelInferRequest>)),
    ("inference.GRPCInferenceService/ModelStreamInfer", Some(is::<pb::ModelInferRequest>)),
    ("inference.GRPCInferenceService/ServerLive", Some(is::<pb::ServerLiveRequest>)),
    ("inference.GRPCInferenceService/ServerReady", Some(is::<pb::ServerReadyRequest>)),
    ("inference.GRPCInferenceService/ServerMetadata", Some(is::<pb::ServerMetadataRequest>)),
    ("inference.GRPCInferenceService/ModelReady", Some(is::<pb::ModelReadyRequest>)),
    ("inference.GRPCInferenceService/ModelMetadata", Some(is::<pb::ModelMetadataRequest>)),
    ("inference.GRPCInferenceService/ModelConfig", Some(is::<pb::ModelConfigRequest>)),
    ("inference.GRPCInferenceService/ModelStatistics", Some(is::<pb::ModelStatisticsRequest>)),
    ("inference.GRPCInferenceService/RepositoryIndex", Some(is::<pb::RepositoryIndexRequest>)),
    ("inference.GRPCInferenceService/RepositoryModelLoad", Some(is::<pb::RepositoryModelLoadRequest>)),
    ("inference.GRPCInferenceService/RepositoryModelUnload", Some(is::<pb::RepositoryModelUnloadRequest>)),
    ("inference.GRPCInferenceService/SystemSharedMemoryStatus", Some(is::<pb::SystemSharedMemoryStatusRequest>)),
    ("inference.GRPCInferenceService/SystemSharedMemoryRegister", Some(is::<pb::SystemSharedMemoryRegisterRequest>)),
    ("inference.GRPCInferenceService/CudaSharedMemoryStatus", Some(is::<pb::CudaSharedMemoryStatusRequest>)),
    ("inference.GRPCInferenceService/CudaSharedMemoryRegister", Some(is::<pb::CudaSharedMemoryRegisterRequest>)),
    ("inference.GRPCInferenceService/TraceSetting", Some(is::<pb::TraceSettingRequest>)),
    ("inference.GRPCInferenceService/LogSettings", Some(is::<pb::LogSettingsRequest>)),
    ("inference.GRPCInferenceService/Nothing", None),
    ("grpc.health.v1.Health/Check", Some(is::<HealthCheckRequest>)),
    ("grpc.health.v1.Health/Watch", Some(is::<HealthCheckRequest>)),
    ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", None),
];

/// What the first byte says beside its first bit.
const UNFRAMED: u8 = 2;
const PACKED: u8 = 4;
const TWICE: u8 = 8;
const SOCKET: u8 = 16;

fn request(path: &str, body: Vec<u8>, packed: bool, socket: bool) -> Request<Body> {
    let mut request = Request::post(format!("/{path}"))
        .header("host", "127.0.0.1")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if packed {
        request = request.header("grpc-encoding", "gzip").header("grpc-accept-encoding", "gzip");
    }
    if socket {
        request = request.extension(crate::callers::Peer::with_uid(crate::tests::fake::OWNER));
    }
    request.body(Body::from(body)).expect("a request of visible ASCII")
}

/// A message in its frame: whether it is packed, its length, itself.
fn frame(message: &[u8], packed: bool) -> Vec<u8> {
    let mut bytes = vec![u8::from(packed)];
    if packed {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(message).and_then(|()| encoder.finish()).expect("memory takes all");
        bytes.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&packed);
    } else {
        bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
        bytes.extend_from_slice(message);
    }
    bytes
}

/// Sends bytes as a message of a method.
pub(super) fn raw(bench: &Bench, flags: u8, method: u8, message: &[u8]) {
    let (path, is_message) = METHODS[usize::from(method) % METHODS.len()];
    let (unframed, packed) = (flags & UNFRAMED != 0, flags & PACKED != 0);
    let body = match () {
        () if unframed => message.to_vec(),
        () if flags & TWICE != 0 => frame(message, packed).repeat(2),
        () => frame(message, packed),
    };
    let came = bench.send(request(path, body, packed, flags & SOCKET != 0));
    assert!(came.ended || path.ends_with("/Watch"), "{path} has no end");
    let code = well_formed(&came);
    // What is no message of the method is answered by the library, with the code that gRPC's own list has for it.
    let is_client = !unframed && is_message.is_some_and(|is_message| is_message(message));
    if is_client {
        assert!(!matches!(code, Some(Code::Internal | Code::Unknown | Code::DataLoss)), "{path}: {}", said(&came));
    }
}

fn said(came: &Came) -> String {
    format!("{} {:?} {:?}", came.status, came.headers, came.trailers)
}

/// Looks at what every answer must be, and gives its code; none if it has not come to its end.
pub(super) fn well_formed(came: &Came) -> Option<Code> {
    assert_eq!(came.status, 200, "{}", said(came));
    assert!(came.header("content-type").starts_with("application/grpc"), "{}", said(came));
    messages(came);
    let code = came.headers.get("grpc-status").or_else(|| came.trailers.get("grpc-status"));
    if !came.ended {
        return None;
    }
    let code = code.and_then(|code| code.to_str().ok()?.parse().ok()).map(Code::from_i32);
    assert!(code.is_some(), "an answer without a status: {}", said(came));
    if code == Some(Code::Unavailable) {
        // Behind this door there is always room.
        assert!(!said(came).contains("E0501"), "{}", said(came));
    }
    code
}

/// The messages of an answer, opened.
fn messages(came: &Came) -> Vec<Vec<u8>> {
    let (mut all, mut rest) = (Vec::new(), came.bytes.as_slice());
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<5>().expect("a message has a head");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (message, after) = after.split_at_checked(length).expect("a message is whole");
        all.push(match head[0] {
            0 => message.to_vec(),
            _ => {
                let mut plain = Vec::new();
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(message), &mut plain).expect("gzip");
                plain
            }
        });
        rest = after;
    }
    all
}

fn typed(input: &Input) -> Option<pb::InferTensorContents> {
    let mut contents = pb::InferTensorContents::default();
    let data = input.data.as_slice();
    macro_rules! each {
        ($type:ty) => {
            data.as_chunks().0.iter().map(|bytes| <$type>::from_le_bytes(*bytes).into()).collect()
        };
    }
    match input.datatype {
        Datatype::Bool => contents.bool_contents = data.iter().map(|byte| *byte == 1).collect(),
        Datatype::Uint8 => contents.uint_contents = each!(u8),
        Datatype::Uint16 => contents.uint_contents = each!(u16),
        Datatype::Uint32 => contents.uint_contents = each!(u32),
        Datatype::Uint64 => contents.uint64_contents = each!(u64),
        Datatype::Int8 => contents.int_contents = each!(i8),
        Datatype::Int16 => contents.int_contents = each!(i16),
        Datatype::Int32 => contents.int_contents = each!(i32),
        Datatype::Int64 => contents.int64_contents = each!(i64),
        Datatype::Fp32 => contents.fp32_contents = each!(f32),
        Datatype::Fp64 => contents.fp64_contents = each!(f64),
        // There is no list for them: whoever has none of them sends none.
        Datatype::Fp16 | Datatype::Bf16 => return None,
        Datatype::Bytes => {
            let mut rest = data;
            while let Some((length, after)) = rest.split_first_chunk() {
                let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                contents.bytes_contents.push(text.to_vec().into());
                rest = after;
            }
        }
    }
    Some(contents)
}

fn message(case: &Case) -> pb::ModelInferRequest {
    let is_half = |input: &Input| matches!(input.datatype, Datatype::Fp16 | Datatype::Bf16) && !input.data.is_empty();
    let is_typed =
        case.fault.is_none() && case.inputs.iter().any(|input| input.written) && !case.inputs.iter().any(is_half);
    let input = |input: &Input| InferInputTensor {
        name: input.name.clone(),
        datatype: input.datatype.as_str().to_owned(),
        shape: input.shape.iter().map(|size| *size as i64).collect(),
        parameters: HashMap::new(),
        contents: if is_typed { typed(input) } else { None },
    };
    let output = |(datatype, _): &(Datatype, Option<bool>)| InferRequestedOutputTensor {
        name: format!("out_{}", datatype.as_str()),
        parameters: HashMap::new(),
    };
    pb::ModelInferRequest {
        model_name: "echo".to_owned(),
        inputs: case.inputs.iter().map(input).collect(),
        outputs: case.outputs.iter().map(output).collect(),
        raw_input_contents: match is_typed {
            true => Vec::new(),
            false => case.inputs.iter().map(|input| input.data.clone().into()).collect(),
        },
        ..pb::ModelInferRequest::default()
    }
}

/// Sends the same tensors over HTTP and over gRPC: the same comes to the door, and the same comes back.
pub(super) fn as_over_http(bench: &Bench, case: &Case) {
    let http = bench.send(binary(case));
    let through_http = handed_in(bench);
    let message = message(case).encode_to_vec();
    let packed = case.inputs.first().is_some_and(|input| input.written);
    let grpc = bench.send(request(METHODS[0].0, frame(&message, packed), packed, false));
    let code = well_formed(&grpc);
    assert_eq!(through_http, handed_in(bench), "{}", said(&grpc));
    if http.status == 200 {
        assert_eq!(code, Some(Code::Ok), "{}", said(&grpc));
        let answer = messages(&grpc).pop().expect("an answer is a message");
        let answer = pb::ModelInferResponse::decode(answer.as_slice()).expect("it is a response");
        assert_eq!(answer.outputs.len(), answer.raw_output_contents.len(), "outputs are raw");
        let back = answer.outputs.into_iter().zip(answer.raw_output_contents).map(|(output, data)| Tensor {
            name: output.name,
            datatype: Datatype::parse(&output.datatype).expect("a type of the protocol"),
            shape: output.shape.into_iter().map(|size| size as u64).collect(),
            data: data.to_vec(),
        });
        assert_eq!(back.collect::<Vec<Tensor>>(), framed(&http, &http.bytes));
    } else {
        let wrong: Value = serde_json::from_slice(&http.bytes).expect("an error is JSON");
        assert_eq!(http.status, 400, "{wrong}");
        assert_eq!(code, Some(Code::InvalidArgument), "{wrong}: {}", said(&grpc));
        assert_eq!(wrong["code"], grpc.header("x-hither-code"), "{wrong}: {}", said(&grpc));
    }
}
