//! How a model is set up, as clients read it before they drive it.
//!
//! Shapes are whole: no dimension is set apart for a batch, because a request may have as many rows as fit into it.

use axum::extract::State;
use axum::response::Response;
use hither_types::message::ModelStage;
use hither_types::model::{Datatype, Device, Manifest, ModelFormat, ModelIo, TensorSpec};
use serde_json::{Value, json};

use super::{TargetPath, find, platform, wrong};
use crate::grpc::pb;
use crate::respond;
use crate::routes::App;

/// What is known of how the model is set up, and how it stands at this node.
pub(crate) fn config(app: &App, model: &Manifest) -> pb::ModelConfig {
    let (inputs, outputs) = match &model.io {
        ModelIo::Tensors { inputs, outputs } => (inputs.as_slice(), outputs.as_slice()),
        ModelIo::Language { .. } => Default::default(),
    };
    let text = |text: String| pb::ModelParameter { string_value: text };
    let latest = pb::model_version_policy::PolicyChoice::Latest(pb::model_version_policy::Latest { num_versions: 1 });
    pb::ModelConfig {
        name: model.name.to_string(),
        platform: platform(model.format).to_owned(),
        backend: backend(model.format).to_owned(),
        version_policy: Some(pb::ModelVersionPolicy { policy_choice: Some(latest) }),
        max_batch_size: 0,
        input: inputs.iter().map(input).collect(),
        output: outputs.iter().map(output).collect(),
        instance_group: instances(app, model),
        default_model_filename: String::new(),
        parameters: [
            ("digest".to_owned(), text(model.digest.to_string())),
            ("licence".to_owned(), text(model.licence.clone())),
        ]
        .into(),
        model_transaction_policy: Some(pb::ModelTransactionPolicy { decoupled: false }),
    }
}

fn backend(format: ModelFormat) -> &'static str {
    match format {
        ModelFormat::Onnx => "onnxruntime",
        ModelFormat::Gguf => "llamacpp",
        ModelFormat::Stub => "hither_stub",
        ModelFormat::Outside => "hither_endpoint",
    }
}

fn input(spec: &TensorSpec) -> pb::ModelInput {
    pb::ModelInput {
        name: spec.name.clone(),
        data_type: data_type(spec.datatype).into(),
        dims: dims(spec),
        ..pb::ModelInput::default()
    }
}

fn output(spec: &TensorSpec) -> pb::ModelOutput {
    pb::ModelOutput {
        name: spec.name.clone(),
        data_type: data_type(spec.datatype).into(),
        dims: dims(spec),
        ..pb::ModelOutput::default()
    }
}

/// -1 for a dimension that a request chooses.
pub(crate) fn dims(spec: &TensorSpec) -> Vec<i64> {
    spec.shape.iter().map(|size| size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX))).collect()
}

/// The engines of this node that have it open.
fn instances(app: &App, model: &Manifest) -> Vec<pb::ModelInstanceGroup> {
    let view = app.door.view();
    let view = view.borrow();
    let me = view.nodes.iter().find(|node| node.member.node == view.me.node);
    let held = me.and_then(|node| node.models.iter().find(|held| held.digest == model.digest));
    let open = held.filter(|held| held.stage == ModelStage::Ready);
    let group = open.map(|held| pb::ModelInstanceGroup {
        name: model.name.to_string(),
        count: held.slots.into(),
        gpus: Vec::new(),
        kind: match held.device {
            Some(Device::Cpu) => pb::model_instance_group::Kind::Cpu,
            Some(Device::Gpu) => pb::model_instance_group::Kind::Gpu,
            // The protocol has no word for it.
            Some(Device::Npu) => pb::model_instance_group::Kind::Model,
            None => pb::model_instance_group::Kind::Auto,
        }
        .into(),
    });
    group.into_iter().collect()
}

fn data_type(datatype: Datatype) -> pb::DataType {
    match datatype {
        Datatype::Bool => pb::DataType::TypeBool,
        Datatype::Uint8 => pb::DataType::TypeUint8,
        Datatype::Uint16 => pb::DataType::TypeUint16,
        Datatype::Uint32 => pb::DataType::TypeUint32,
        Datatype::Uint64 => pb::DataType::TypeUint64,
        Datatype::Int8 => pb::DataType::TypeInt8,
        Datatype::Int16 => pb::DataType::TypeInt16,
        Datatype::Int32 => pb::DataType::TypeInt32,
        Datatype::Int64 => pb::DataType::TypeInt64,
        Datatype::Fp16 => pb::DataType::TypeFp16,
        Datatype::Bf16 => pb::DataType::TypeBf16,
        Datatype::Fp32 => pb::DataType::TypeFp32,
        Datatype::Fp64 => pb::DataType::TypeFp64,
        Datatype::Bytes => pb::DataType::TypeString,
    }
}

/// The same as JSON, with the names of the fields.
fn as_json(config: &pb::ModelConfig) -> Value {
    let inputs = config.input.iter().map(|input| {
        json!({
            "name": input.name,
            "data_type": input.data_type().as_str_name(),
            "format": input.format().as_str_name(),
            "dims": input.dims,
            "is_shape_tensor": input.is_shape_tensor,
            "allow_ragged_batch": input.allow_ragged_batch,
            "optional": input.optional,
        })
    });
    let outputs = config.output.iter().map(|output| {
        json!({
            "name": output.name,
            "data_type": output.data_type().as_str_name(),
            "dims": output.dims,
            "label_filename": output.label_filename,
            "is_shape_tensor": output.is_shape_tensor,
        })
    });
    let instances = config.instance_group.iter().map(|group| {
        json!({ "name": group.name, "kind": group.kind().as_str_name(), "count": group.count, "gpus": group.gpus })
    });
    let mut parameters = serde_json::Map::new();
    for (name, value) in &config.parameters {
        parameters.insert(name.clone(), json!({ "string_value": value.string_value }));
    }
    json!({
        "name": config.name,
        "platform": config.platform,
        "backend": config.backend,
        "version_policy": { "latest": { "num_versions": 1 } },
        "max_batch_size": config.max_batch_size,
        "input": inputs.collect::<Vec<_>>(),
        "output": outputs.collect::<Vec<_>>(),
        "instance_group": instances.collect::<Vec<_>>(),
        "default_model_filename": config.default_model_filename,
        "parameters": parameters,
        "model_transaction_policy": { "decoupled": false },
    })
}

/// `GET /v2/models/{model}/config`.
pub(super) async fn of_model(State(app): State<App>, target: TargetPath) -> Response {
    match find(&app, target) {
        Ok(found) => respond::json(&as_json(&config(&app, &found))),
        Err(problem) => wrong(problem),
    }
}
