//! The inference protocol over gRPC as clients see it: every code, every form of a tensor.

use std::collections::HashMap;

use axum::Router;
use futures_util::{StreamExt, stream};
use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::Priority;
use hither_types::unit::Micros;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::pb;
use super::pb::grpc_inference_service_client::GrpcInferenceServiceClient;
use super::pb::infer_parameter::ParameterChoice;
use super::pb::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::door::{Answer, Submission};
use crate::routes::Listener;
use crate::tests::fake::{FakeDoor, done, routed, unlawful};
use crate::tests::lab::Lab;

type Client = GrpcInferenceServiceClient<Router>;

const ORIGIN: &str = "http://127.0.0.1:7701";

fn client(lab: &Lab) -> Client {
    GrpcInferenceServiceClient::with_origin(lab.router(), ORIGIN.parse().unwrap())
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX)
}

/// Gives back what it gets, each input under the name of its output.
fn echo(submission: &Submission) -> Result<Vec<Answer>, Refusal> {
    let Ok(Work::Infer(InferWork { inputs, outputs })) = Work::decode(&submission.payload) else {
        panic!("not tensors")
    };
    let all = inputs.into_iter().map(|tensor| Tensor { name: tensor.name.replacen("in_", "out_", 1), ..tensor });
    let wanted = all.filter(|tensor| outputs.is_empty() || outputs.contains(&tensor.name)).collect();
    Ok(vec![routed(), Answer::Piece(Piece::Outputs(wanted)), done()])
}

fn input(datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: format!("in_{datatype}"),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..InferInputTensor::default()
    }
}

/// One input for `fraud`, four single floats, raw.
fn fraud() -> pb::ModelInferRequest {
    let features = InferInputTensor { name: "features".to_owned(), ..input("FP32", &[1, 4]) };
    pb::ModelInferRequest {
        model_name: "fraud".to_owned(),
        id: "my own".to_owned(),
        inputs: vec![features],
        raw_input_contents: vec![vec![0; 16].into()],
        ..pb::ModelInferRequest::default()
    }
}

/// The one input of `fraud` is given back as its score.
fn scores(submission: &Submission) -> Result<Vec<Answer>, Refusal> {
    let mut answers = echo(submission)?;
    if let Answer::Piece(Piece::Outputs(tensors)) = &mut answers[1] {
        tensors[0].name = "score".to_owned();
    }
    Ok(answers)
}

fn parameter(choice: ParameterChoice) -> pb::InferParameter {
    pb::InferParameter { parameter_choice: Some(choice) }
}

#[tokio::test]
async fn the_server_and_its_models_say_what_they_are() {
    let lab = Lab::new(scores);
    let mut client = client(&lab);
    assert!(client.server_live(pb::ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(pb::ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let server = client.server_metadata(pb::ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((server.name.as_str(), server.extensions.len()), ("hither", 6));
    for (name, version, ready) in
        [("fraud", "", true), ("fraud", "1", true), ("fraud", "2", false), ("none", "", false), ("echo", "", false)]
    {
        let asked = pb::ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        assert_eq!(client.model_ready(asked).await.unwrap().into_inner().ready, ready, "{name} {version}");
    }
    let asked = pb::ModelMetadataRequest { name: "fraud".to_owned(), version: String::new() };
    let model = client.model_metadata(asked).await.unwrap().into_inner();
    assert_eq!((model.versions, model.platform.as_str()), (vec!["1".to_owned()], "onnxruntime_onnx"));
    assert_eq!((model.inputs[0].shape.as_slice(), model.inputs[0].datatype.as_str()), (&[-1, 4][..], "FP32"));
    assert_eq!(model.properties["digest"], "10".repeat(32));
    let config = client
        .model_config(pb::ModelConfigRequest { name: "fraud".to_owned(), version: "1".to_owned() })
        .await
        .unwrap()
        .into_inner()
        .config
        .unwrap();
    assert_eq!((config.input[0].data_type(), config.max_batch_size), (pb::DataType::TypeFp32, 0));
    for unknown in [
        client.model_metadata(pb::ModelMetadataRequest { name: "none".to_owned(), version: String::new() }).await.err(),
        client.model_config(pb::ModelConfigRequest { name: "fraud".to_owned(), version: "2".to_owned() }).await.err(),
        client
            .model_statistics(pb::ModelStatisticsRequest { name: "none".to_owned(), version: String::new() })
            .await
            .err(),
    ] {
        assert_eq!(unknown.unwrap().code(), Code::NotFound);
    }
    lab.stop.send(true).unwrap();
    assert!(!client.server_ready(pb::ServerReadyRequest {}).await.unwrap().into_inner().ready);
}

#[tokio::test]
async fn an_answer_is_raw_and_says_where_it_came_from() {
    let lab = Lab::new(scores);
    let mut request = Request::new(fraud());
    request.metadata_mut().insert("x-hither-class", "personal".parse().unwrap());
    request.metadata_mut().insert("grpc-timeout", "1500m".parse().unwrap());
    request.metadata_mut().insert("x-request-id", "mine-17".parse().unwrap());
    request.get_mut().parameters.insert("priority".to_owned(), parameter(ParameterChoice::Uint64Param(1)));
    let response = client(&lab).model_infer(request).await.unwrap();
    for (name, value) in [
        ("x-hither-served-by", "munich"),
        ("x-hither-rule", "eea-personal"),
        ("x-hither-attempts", "1"),
        ("x-hither-egress-bytes", "1832"),
        ("x-hither-joules", "2.500"),
        ("server-timing", "queue;dur=1.250, prefill;dur=20.000, decode;dur=300.001"),
        ("x-request-id", "mine-17"),
    ] {
        assert_eq!(response.metadata().get(name).unwrap(), value, "{name}");
    }
    let answer = response.into_inner();
    assert_eq!(
        (answer.model_name.as_str(), answer.model_version.as_str(), answer.id.as_str()),
        ("fraud", "1", "my own")
    );
    assert_eq!((answer.outputs[0].name.as_str(), answer.outputs[0].contents.is_none()), ("score", true));
    assert_eq!(answer.raw_output_contents, [vec![0; 16]]);
    let submissions = lab.door.submissions.lock().unwrap();
    assert_eq!((submissions[0].patience, submissions[0].envelope.priority), (Micros(1_500_000), Priority::Critical));
    assert_eq!(submissions[0].envelope.label.class.to_string(), "personal");
}

#[tokio::test]
async fn typed_and_raw_elements_of_each_type_are_the_same() {
    let texts = || vec![bytes::Bytes::from_static(b""), bytes::Bytes::from_static(&[0, 0xff])];
    let contents = |set: fn(&mut pb::InferTensorContents)| {
        let mut contents = pb::InferTensorContents::default();
        set(&mut contents);
        contents
    };
    let cases: Vec<(&str, pb::InferTensorContents, Vec<u8>)> = vec![
        ("BOOL", contents(|c| c.bool_contents = vec![true, false]), vec![1, 0]),
        ("UINT8", contents(|c| c.uint_contents = vec![0, 255]), vec![0, 255]),
        ("UINT16", contents(|c| c.uint_contents = vec![1, 65535]), vec![1, 0, 255, 255]),
        ("UINT32", contents(|c| c.uint_contents = vec![1, u32::MAX]), vec![1, 0, 0, 0, 255, 255, 255, 255]),
        (
            "UINT64",
            contents(|c| c.uint64_contents = vec![2, u64::MAX]),
            [2u64, u64::MAX].iter().flat_map(|n| n.to_le_bytes()).collect(),
        ),
        ("INT8", contents(|c| c.int_contents = vec![-128, 127]), vec![0x80, 0x7f]),
        ("INT16", contents(|c| c.int_contents = vec![-32768, 1]), vec![0, 0x80, 1, 0]),
        (
            "INT32",
            contents(|c| c.int_contents = vec![i32::MIN, 1]),
            [i32::MIN, 1].iter().flat_map(|n| n.to_le_bytes()).collect(),
        ),
        (
            "INT64",
            contents(|c| c.int64_contents = vec![i64::MIN, 1]),
            [i64::MIN, 1].iter().flat_map(|n| n.to_le_bytes()).collect(),
        ),
        (
            "FP32",
            contents(|c| c.fp32_contents = vec![f32::NAN, -0.0]),
            [f32::NAN, -0.0].iter().flat_map(|n| n.to_le_bytes()).collect(),
        ),
        (
            "FP64",
            contents(|c| c.fp64_contents = vec![f64::INFINITY, 0.1]),
            [f64::INFINITY, 0.1].iter().flat_map(|n| n.to_le_bytes()).collect(),
        ),
        (
            "BYTES",
            pb::InferTensorContents { bytes_contents: texts(), ..Default::default() },
            vec![0, 0, 0, 0, 2, 0, 0, 0, 0, 0xff],
        ),
    ];
    let lab = Lab::new(echo);
    for (datatype, contents, bytes) in cases {
        // The model takes all types at once; the others are empty.
        let all = [
            "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32",
            "FP64", "BYTES",
        ];
        let of = |other: &str| if other == datatype { input(other, &[2]) } else { input(other, &[0]) };
        let name = format!("out_{datatype}");
        let outputs = vec![InferRequestedOutputTensor { name, ..InferRequestedOutputTensor::default() }];
        let base = pb::ModelInferRequest { model_name: "echo".to_owned(), outputs, ..pb::ModelInferRequest::default() };
        let typed =
            all.map(|other| InferInputTensor { contents: (other == datatype).then(|| contents.clone()), ..of(other) });
        let raw = all.map(|other| if other == datatype { bytes.clone().into() } else { bytes::Bytes::new() });
        for request in [
            pb::ModelInferRequest { inputs: typed.to_vec(), ..base.clone() },
            pb::ModelInferRequest { inputs: all.map(of).to_vec(), raw_input_contents: raw.to_vec(), ..base.clone() },
        ] {
            let answer = client(&lab).model_infer(request).await.unwrap().into_inner();
            assert_eq!((answer.outputs.len(), answer.outputs[0].datatype.as_str()), (1, datatype));
            assert_eq!(answer.raw_output_contents.as_slice(), std::slice::from_ref(&bytes), "{datatype}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_an_invalid_argument_that_says_what() {
    let floats =
        |numbers: &[f32]| Some(pb::InferTensorContents { fp32_contents: numbers.to_vec(), ..Default::default() });
    let with = |change: &dyn Fn(&mut pb::ModelInferRequest)| {
        let mut request = fraud();
        change(&mut request);
        request
    };
    let asking = |name: &str, choice: Option<ParameterChoice>| {
        with(&|request| {
            request.parameters.insert(name.to_owned(), pb::InferParameter { parameter_choice: choice.clone() });
        })
    };
    let cases: Vec<(pb::ModelInferRequest, &str)> = vec![
        (with(&|r| r.inputs.clear()), "raw_input_contents has 1 items, and there are 0 inputs"),
        (with(&|r| (r.inputs, r.raw_input_contents) = (Vec::new(), Vec::new())), "input \"features\" is missing"),
        (with(&|r| r.raw_input_contents.push(bytes::Bytes::new())), "has 2 items, and there are 1 inputs"),
        (with(&|r| r.raw_input_contents = vec![vec![0; 15].into()]), "expects 16 bytes, and 15 came"),
        (with(&|r| r.raw_input_contents = vec![vec![0; 17].into()]), "expects 16 bytes, and 17 came"),
        (with(&|r| r.raw_input_contents.clear()), "neither contents nor raw_input_contents"),
        (with(&|r| r.inputs[0].contents = floats(&[1.0; 4])), "contents, and raw_input_contents, too"),
        (
            with(&|r| (r.raw_input_contents, r.inputs[0].contents) = (Vec::new(), floats(&[1.0; 3]))),
            "has 3 elements, and its shape says 4",
        ),
        (
            with(&|r| {
                r.raw_input_contents.clear();
                r.inputs[0].contents = Some(pb::InferTensorContents { int_contents: vec![1; 4], ..Default::default() });
            }),
            "has int_contents, and elements of FP32 are in fp32_contents",
        ),
        (
            with(&|r| {
                r.raw_input_contents.clear();
                r.inputs[0].datatype = "INT8".to_owned();
                r.inputs[0].contents =
                    Some(pb::InferTensorContents { int_contents: vec![1, 2, 3, 128], ..Default::default() });
            }),
            "128 is not a value of INT8",
        ),
        (
            with(&|r| {
                r.raw_input_contents.clear();
                r.inputs[0].datatype = "FP16".to_owned();
                r.inputs[0].contents = floats(&[1.0; 4]);
            }),
            "FP16 has no typed contents",
        ),
        (with(&|r| r.inputs[0].datatype = "FLOAT".to_owned()), "datatype \"FLOAT\" is none of BOOL"),
        (with(&|r| r.inputs[0].datatype = "INT32".to_owned()), "expects FP32, and INT32 came"),
        (with(&|r| r.inputs[0].shape = vec![-1, 4]), "has a negative dimension"),
        (with(&|r| r.inputs[0].shape = vec![4294967296, 4294967297]), "beyond all memory"),
        (with(&|r| r.inputs[0].name = "other".to_owned()), "no input \"other\""),
        (
            with(&|r| r.outputs = vec![InferRequestedOutputTensor { name: "none".to_owned(), ..Default::default() }]),
            "no output \"none\"",
        ),
        (
            with(&|r| {
                r.outputs = vec![InferRequestedOutputTensor { name: "score".to_owned(), ..Default::default() }; 2]
            }),
            "asked for twice",
        ),
        (with(&|r| r.model_name = "smollm2-135m".to_owned()), "takes text, not tensors"),
        (asking("anything", None), "has no value"),
        (asking("priority", Some(ParameterChoice::StringParam("1".to_owned()))), "priority is not a whole number"),
        (asking("timeout", Some(ParameterChoice::Int64Param(-1))), "timeout is not a whole number"),
        (asking("sequence_id", Some(ParameterChoice::Int64Param(3))), "keeps a state"),
    ];
    let lab = Lab::new(scores);
    for (request, said) in cases {
        let shown = format!("{request:?}");
        let status = client(&lab).model_infer(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{shown}: {status}");
        assert!(status.message().contains(said), "{shown}: {status}");
        assert!(status.metadata().contains_key("x-hither-code"));
    }
    let mut many = fraud();
    many.inputs = vec![many.inputs[0].clone(); 257];
    assert_eq!(client(&lab).model_infer(many).await.unwrap_err().code(), Code::InvalidArgument);
    for (name, version) in [("none", ""), ("fraud", "2"), ("", "")] {
        let request =
            pb::ModelInferRequest { model_name: name.to_owned(), model_version: version.to_owned(), ..fraud() };
        assert_eq!(client(&lab).model_infer(request).await.unwrap_err().code(), Code::NotFound, "{name} {version}");
    }
    for (timeout, good) in [
        ("1S", true),
        ("12345678u", true),
        ("0n", true),
        ("123456789u", false),
        ("S", false),
        ("", false),
        ("1x", false),
        ("+1S", false),
    ] {
        let mut request = Request::new(fraud());
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let came = client(&lab).model_infer(request).await;
        assert_eq!(came.is_ok(), good, "{timeout:?}: {came:?}");
    }
}

#[tokio::test]
async fn a_refusal_gets_its_code_and_keeps_its_reason() {
    for (answer, code, said) in [
        (Answer::Refused(unlawful()), Code::PermissionDenied, "E0301"),
        (Answer::Refused(Refusal::Overloaded { retry_after: Micros(1_200_000) }), Code::Unavailable, "E0501"),
        (Answer::Refused(Refusal::NoCapacity { tried: 2 }), Code::Unavailable, "E0503"),
        (Answer::Refused(Refusal::DeadlinePassed), Code::DeadlineExceeded, "E0504"),
        (Answer::Failed(Failure::EngineLost), Code::Internal, "E0508"),
    ] {
        let shown = format!("{answer:?}");
        let answer = std::sync::Mutex::new(Some(answer));
        let lab = Lab::new(move |_| Ok(answer.lock().unwrap().take().into_iter().collect()));
        let status = client(&lab).model_infer(fraud()).await.unwrap_err();
        assert_eq!(
            (status.code(), status.metadata().get("x-hither-code").unwrap().to_str().unwrap()),
            (code, said),
            "{shown}"
        );
        let request = status.metadata().get("x-hither-request").unwrap().to_str().unwrap();
        assert!(status.message().contains(&format!("hither explain {request}")), "{status}");
        if said == "E0301" {
            assert_eq!(status.metadata().get("x-hither-rule").unwrap(), "id-bank");
        }
        if said == "E0501" {
            assert_eq!(status.metadata().get("retry-after").unwrap(), "2");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot() {
    let mut door = FakeDoor::new(|_| Ok(vec![routed()]));
    door.endless = true;
    let lab = Lab::behind(door, Listener::Tcp);
    let mut left = lab.door.left.subscribe();
    let mut client = client(&lab);
    let call = tokio::spawn(async move { client.model_infer(fraud()).await });
    while lab.door.submissions.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    left.wait_for(|left| *left == 1).await.unwrap();
}

#[tokio::test]
async fn a_stream_keeps_its_order_and_outlives_what_is_wrong() {
    let lab = Lab::new(scores);
    let requests = (0..20u8).map(|at| {
        let model_name = if at % 5 == 3 { "none" } else { "fraud" }.to_owned();
        let raw_input_contents = vec![vec![at; 16].into()];
        pb::ModelInferRequest { id: at.to_string(), model_name, raw_input_contents, ..fraud() }
    });
    let answers = client(&lab).model_stream_infer(stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 20);
    for (at, answer) in answers.into_iter().enumerate() {
        let response = answer.infer_response.unwrap();
        assert_eq!(response.id, at.to_string());
        if at % 5 == 3 {
            assert!(answer.error_message.contains("E0401"), "{}", answer.error_message);
        } else {
            assert_eq!(
                (answer.error_message.as_str(), response.raw_output_contents),
                ("", vec![bytes::Bytes::from(vec![at as u8; 16])])
            );
            let from = &response.parameters["x-hither-served-by"];
            assert_eq!(from, &parameter(ParameterChoice::StringParam("munich".to_owned())));
        }
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_node() {
    let lab = Lab::new(scores);
    let requests = stream::iter([fraud()]).chain(stream::pending());
    let mut answers = client(&lab).model_stream_infer(requests).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().error_message, "");
    lab.stop.send(true).unwrap();
    let status = answers.message().await.unwrap_err();
    assert_eq!(
        (status.code(), status.metadata().get("x-hither-code").unwrap().to_str().unwrap()),
        (Code::Unavailable, "E0506")
    );
}

#[tokio::test]
async fn compression_is_read_and_given_to_those_who_use_it_and_bombs_are_refused() {
    let lab = Lab::new(scores);
    let large = || {
        let mut request = fraud();
        request.inputs[0].shape = vec![1000, 4];
        request.raw_input_contents = vec![vec![7; 16_000].into()];
        request
    };
    for coding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate] {
        let both = || client(&lab).accept_compressed(coding);
        let packed = both().send_compressed(coding).model_infer(large()).await.unwrap();
        assert_eq!(packed.metadata().get("grpc-encoding").unwrap().to_str().unwrap(), coding.to_string());
        assert_eq!(packed.get_ref().raw_output_contents, [vec![7; 16_000]]);
    }
    // A thousand to one: more than a message may have once it is open.
    let mut bomb = fraud();
    bomb.raw_input_contents = vec![vec![0; 80 << 20].into()];
    let status = client(&lab).send_compressed(CompressionEncoding::Gzip).model_infer(bomb.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let status = client(&lab).model_infer(bomb).await.unwrap_err();
    assert!(matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange), "{status}");
}

#[tokio::test]
async fn a_message_of_nearly_the_limit_goes_through() {
    let lab = Lab::new(scores);
    let mut request = fraud();
    let rows = 4_000_000;
    request.inputs[0].shape = vec![rows, 4];
    request.raw_input_contents = vec![vec![1; rows as usize * 16].into()];
    let answer = client(&lab).model_infer(request).await.unwrap().into_inner();
    assert_eq!(answer.raw_output_contents[0].len(), 64_000_000);
}

#[tokio::test]
async fn what_the_gate_and_the_map_refuse_is_a_status_too() {
    let lab = Lab::new(scores);
    for (head, status, code) in [
        ("POST /inference.GRPCInferenceService/ModelInfer\nhost: example.org", "7", "E0113"),
        ("POST /inference.GRPCInferenceService/ModelInfer\norigin: http://example.org", "7", "E0113"),
        ("POST /inference.GRPCInferenceService/NoSuchMethod", "12", "-"),
        ("POST /another.Service/Method", "12", "E0403"),
    ] {
        for content in ["application/grpc", "application/grpc+proto"] {
            let came = lab.send(&format!("{head}\ncontent-type: {content}"), "").await;
            assert_eq!(
                (came.status, came.header("grpc-status"), came.header("x-hither-code")),
                (200, status, code),
                "{head}"
            );
            assert_eq!(came.header("content-type"), "application/grpc");
        }
    }
    let web = lab.send("POST /another.Service/Method\ncontent-type: application/grpc-web", "").await;
    assert_eq!(web.status, 404, "another protocol");
}

#[tokio::test]
async fn the_repository_statistics_and_settings_are_those_of_http() {
    let lab = Lab::new(scores);
    let mut client = client(&lab);
    client.model_infer(fraud()).await.unwrap();
    let stats = client.model_statistics(pb::ModelStatisticsRequest::default()).await.unwrap().into_inner().model_stats;
    assert_eq!(stats.len(), 4);
    let success = stats[0].inference_stats.as_ref().unwrap().success.unwrap();
    assert_eq!((stats[0].name.as_str(), stats[0].inference_count, success.count), ("fraud", 1, 1));
    assert!(success.ns > 0 && stats[0].batch_stats[0].batch_size == 1);
    for (ready, count) in [(false, 4), (true, 1)] {
        let asked = pb::RepositoryIndexRequest { ready, ..Default::default() };
        assert_eq!(client.repository_index(asked).await.unwrap().into_inner().models.len(), count);
    }
    let load = |name: &str| pb::RepositoryModelLoadRequest { model_name: name.to_owned(), ..Default::default() };
    client.repository_model_load(load("fraud")).await.unwrap();
    assert_eq!(client.repository_model_load(load("none")).await.unwrap_err().code(), Code::NotFound);
    let bytes = pb::model_repository_parameter::ParameterChoice::BytesParam(bytes::Bytes::new());
    let mut foreign = load("fraud");
    foreign
        .parameters
        .insert("file:1/model.onnx".to_owned(), pb::ModelRepositoryParameter { parameter_choice: Some(bytes) });
    assert_eq!(client.repository_model_load(foreign).await.unwrap_err().code(), Code::InvalidArgument);
    let unload = pb::RepositoryModelUnloadRequest { model_name: "none".to_owned(), ..Default::default() };
    assert_eq!(client.repository_model_unload(unload).await.unwrap_err().code(), Code::NotFound);
    let trace = client.trace_setting(pb::TraceSettingRequest::default()).await.unwrap().into_inner().settings;
    assert_eq!(trace["trace_level"].value, ["OFF"]);
    assert!(client.log_settings(pb::LogSettingsRequest::default()).await.unwrap().into_inner().settings.len() > 3);
    let change = HashMap::from([("log_info".to_owned(), pb::log_settings_request::SettingValue::default())]);
    assert_eq!(
        client.log_settings(pb::LogSettingsRequest { settings: change }).await.unwrap_err().code(),
        Code::Unimplemented
    );
    let regions = client.system_shared_memory_status(pb::SystemSharedMemoryStatusRequest::default()).await.unwrap();
    assert!(regions.into_inner().regions.is_empty());
    let register = client.cuda_shared_memory_register(pb::CudaSharedMemoryRegisterRequest::default()).await;
    assert_eq!(register.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn health_is_that_of_the_node() {
    let lab = Lab::new(scores);
    let mut health = HealthClient::with_origin(lab.router(), ORIGIN.parse().unwrap());
    let asked = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "inference.GRPCInferenceService"] {
        assert_eq!(health.check(asked(service)).await.unwrap().into_inner().status, 1, "{service}");
    }
    assert_eq!(health.check(asked("other")).await.unwrap_err().code(), Code::NotFound);
    let mut watched = health.watch(asked("")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 1);
    lab.stop.send(true).unwrap();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 2);
    assert_eq!(watched.message().await.unwrap(), None);
    assert_eq!(health.check(asked("")).await.unwrap().into_inner().status, 2);
}
