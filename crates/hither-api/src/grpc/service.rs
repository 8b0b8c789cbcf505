//! Every method of the service. Each is a few lines over what HTTP is served from.

use std::collections::HashMap;
use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use hither_types::model::{Manifest, ModelIo, TensorSpec};
use hither_types::refusal::Refusal;
use hyper::HeaderMap;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::infer::{Reply, infer};
use super::meter::{Lent, is_packed};
use super::pb;
use super::pb::grpc_inference_service_server::GrpcInferenceService;
use super::pb::infer_parameter::ParameterChoice;
use super::pb::model_repository_parameter::ParameterChoice as RepositoryChoice;
use super::status::status;
use crate::callers::Caller;
use crate::errors::Problem;
use crate::limits::{COMPRESS_FROM, STREAM_AHEAD};
use crate::oip::options::{Parameters, Scalar};
use crate::oip::settings::{LOG, TRACE, fixed, no_sharing};
use crate::oip::statistics::{self, Span};
use crate::oip::{EXTENSIONS, NAME, VERSION, config, platform, readiness, repository, versioned, versions};
use crate::routes::App;
use crate::serve::stopped;

/// The service of one listener.
pub(super) struct Inference {
    app: App,
}

type Answer<T> = Result<Response<T>, Status>;

impl Inference {
    pub(super) fn new(app: App) -> Self {
        Self { app }
    }

    /// A model that the caller of a request may use: the gate does not see what a message names.
    fn find<T>(&self, request: &Request<T>, name: &str, version: &str) -> Result<Manifest, Status> {
        let version = Some(version).filter(|version| !version.is_empty());
        let found = versioned(&self.app, name, version);
        let allowed = |model: Manifest| Caller::of(request.extensions()).may_use(&model.name).map(|()| model);
        found.and_then(allowed).map_err(|problem| status(&problem))
    }
}

fn refused<T>(problem: Problem) -> Answer<T> {
    Err(status(&problem))
}

fn tensors(specs: &[TensorSpec]) -> Vec<pb::model_metadata_response::TensorMetadata> {
    let one = |spec: &TensorSpec| pb::model_metadata_response::TensorMetadata {
        name: spec.name.clone(),
        datatype: spec.datatype.as_str().to_owned(),
        shape: config::dims(spec),
    };
    specs.iter().map(one).collect()
}

fn span(span: Span) -> Option<pb::StatisticDuration> {
    Some(pb::StatisticDuration { count: span.count, ns: span.ns })
}

fn statistics(app: &App, model: &Manifest) -> pb::ModelStatistics {
    let counted = app.metrics.statistics().read(&model.name);
    let memory = statistics::memory(app, model);
    pb::ModelStatistics {
        name: model.name.to_string(),
        version: VERSION.to_owned(),
        last_inference: counted.last_inference_ms,
        inference_count: counted.inferences,
        execution_count: counted.success.count,
        inference_stats: Some(pb::InferStatistics {
            success: span(counted.success),
            fail: span(counted.fail),
            queue: span(counted.queue),
            compute_input: span(counted.input),
            compute_infer: span(counted.infer),
            compute_output: span(counted.output),
            cache_hit: span(Span::default()),
            cache_miss: span(Span::default()),
        }),
        batch_stats: counted
            .batches
            .into_iter()
            .map(|(batch_size, batch)| pb::InferBatchStatistics {
                batch_size,
                compute_input: span(batch.input),
                compute_infer: span(batch.infer),
                compute_output: span(batch.output),
            })
            .collect(),
        memory_usage: memory
            .map(|byte_size| pb::MemoryUsage { r#type: "CPU".to_owned(), id: 0, byte_size })
            .into_iter()
            .collect(),
        response_stats: HashMap::new(),
    }
}

fn parameters(parameters: HashMap<String, pb::ModelRepositoryParameter>) -> Parameters {
    let scalar = |value: pb::ModelRepositoryParameter| match value.parameter_choice {
        Some(RepositoryChoice::BoolParam(flag)) => Scalar::Flag(flag),
        Some(RepositoryChoice::Int64Param(number)) => u64::try_from(number).map_or(Scalar::Other, Scalar::Whole),
        Some(RepositoryChoice::StringParam(text)) => Scalar::Text(text),
        Some(RepositoryChoice::BytesParam(_)) | None => Scalar::Other,
    };
    parameters.into_iter().map(|(name, value)| (name, scalar(value))).collect()
}

/// What goes back compressed: what is large, to those who sent theirs so. All clients say that they could read it.
fn packed<T>(mut response: Response<T>, wanted: bool) -> Response<T> {
    if !wanted {
        response.disable_compression();
    }
    response
}

/// Where an answer came from, as parameters of it: in a stream, the headers are gone before it is known.
fn as_parameters(headers: &HeaderMap) -> HashMap<String, pb::InferParameter> {
    let text =
        |text: &str| pb::InferParameter { parameter_choice: Some(ParameterChoice::StringParam(text.to_owned())) };
    let one = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        value.to_str().ok().map(|value| (name.to_string(), text(value)))
    };
    let mut all: HashMap<_, _> = headers.iter().filter_map(one).collect();
    let last = pb::InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    all.insert("triton_final_response".to_owned(), last);
    all
}

/// One answer of a stream; what is wrong with one request does not end it.
async fn one_of_many(
    app: App,
    headers: HeaderMap,
    caller: Caller,
    message: pb::ModelInferRequest,
) -> pb::ModelStreamInferResponse {
    let (id, model_name) = (message.id.clone(), message.model_name.clone());
    match infer(&app, &headers, &caller, message).await {
        Ok(Reply { mut message, headers }) => {
            message.parameters = as_parameters(&headers);
            pb::ModelStreamInferResponse { error_message: String::new(), infer_response: Some(message) }
        }
        Err(problem) => one_wrong(id, model_name, &problem),
    }
}

fn one_wrong(id: String, model_name: String, problem: &Problem) -> pb::ModelStreamInferResponse {
    let infer_response = Some(pb::ModelInferResponse { id, model_name, ..pb::ModelInferResponse::default() });
    pb::ModelStreamInferResponse { error_message: problem.sentence(), infer_response }
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, _: Request<pb::ServerLiveRequest>) -> Answer<pb::ServerLiveResponse> {
        Ok(Response::new(pb::ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<pb::ServerReadyRequest>) -> Answer<pb::ServerReadyResponse> {
        Ok(Response::new(pb::ServerReadyResponse { ready: !*self.app.stop.borrow() }))
    }

    async fn model_ready(&self, request: Request<pb::ModelReadyRequest>) -> Answer<pb::ModelReadyResponse> {
        let asked = request.get_ref();
        let found = self.find(&request, &asked.name, &asked.version);
        let ready = found.is_ok_and(|model| readiness(&self.app, &model).is_ok());
        Ok(Response::new(pb::ModelReadyResponse { ready }))
    }

    async fn server_metadata(&self, _: Request<pb::ServerMetadataRequest>) -> Answer<pb::ServerMetadataResponse> {
        Ok(Response::new(pb::ServerMetadataResponse {
            name: NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: EXTENSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn model_metadata(&self, request: Request<pb::ModelMetadataRequest>) -> Answer<pb::ModelMetadataResponse> {
        let asked = request.get_ref();
        let model = self.find(&request, &asked.name, &asked.version)?;
        let (inputs, outputs) = match &model.io {
            ModelIo::Tensors { inputs, outputs } => (tensors(inputs), tensors(outputs)),
            ModelIo::Language { .. } => Default::default(),
        };
        Ok(Response::new(pb::ModelMetadataResponse {
            name: model.name.to_string(),
            versions: versions(&self.app, &model.name),
            platform: platform(model.format).to_owned(),
            inputs,
            outputs,
            properties: HashMap::from([
                ("digest".to_owned(), model.digest.to_string()),
                ("format".to_owned(), model.format.as_str().to_owned()),
                ("licence".to_owned(), model.licence.clone()),
                ("size".to_owned(), model.size.0.to_string()),
            ]),
        }))
    }

    async fn model_infer(&self, request: Request<pb::ModelInferRequest>) -> Answer<pb::ModelInferResponse> {
        let (metadata, extensions, message) = request.into_parts();
        let headers = metadata.into_headers();
        let lent = extensions.get::<Lent>().cloned().unwrap_or_default();
        let held = match lent.hold(&self.app.bodies, is_packed(&headers), &message) {
            Ok(held) => held,
            Err(problem) => return refused(problem),
        };
        let answered = infer(&self.app, &headers, Caller::of(&extensions), message).await;
        drop(held);
        match answered {
            Ok(Reply { message, headers: route }) => {
                let size: usize = message.raw_output_contents.iter().map(bytes::Bytes::len).sum();
                let mut response = Response::new(message);
                *response.metadata_mut() = MetadataMap::from_headers(route);
                Ok(packed(response, is_packed(&headers) && size >= COMPRESS_FROM))
            }
            Err(problem) => refused(problem),
        }
    }

    type ModelStreamInferStream = Pin<Box<dyn Stream<Item = Result<pb::ModelStreamInferResponse, Status>> + Send>>;

    /// Several requests are served at once, and answers come in the order of the requests. It ends when the client says
    /// that nothing more comes, or with an error when the node stops.
    async fn model_stream_infer(
        &self,
        request: Request<Streaming<pb::ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        let (metadata, extensions, messages) = request.into_parts();
        let headers = metadata.into_headers();
        let pack = is_packed(&headers);
        let lent = extensions.get::<Lent>().cloned().unwrap_or_default();
        let start = Some((messages, self.app.stop.clone()));
        let arrived = stream::unfold(start, |state| async move {
            let (mut messages, mut stop) = state?;
            tokio::select! {
                biased;
                () = stopped(&mut stop) => Some((Err(status(&Problem::from(&Refusal::Stopping))), None)),
                message = messages.message() => match message {
                    Ok(Some(message)) => Some((Ok(message), Some((messages, stop)))),
                    Ok(None) => None,
                    Err(broken) => Some((Err(broken), None)),
                },
            }
        });
        let (app, caller) = (self.app.clone(), Caller::of(&extensions).clone());
        let answers = arrived
            .map(move |message| {
                let (app, headers, caller) = (app.clone(), headers.clone(), caller.clone());
                let held = message.as_ref().ok().map(|message| lent.hold(&app.bodies, pack, message));
                async move {
                    let message = message?;
                    match held.transpose() {
                        Ok(held) => {
                            let answer = one_of_many(app, headers, caller, message).await;
                            drop(held);
                            Ok(answer)
                        }
                        Err(problem) => Ok(one_wrong(message.id, message.model_name, &problem)),
                    }
                }
            })
            .buffered(STREAM_AHEAD);
        Ok(packed(Response::new(Box::pin(answers)), pack))
    }

    async fn model_config(&self, request: Request<pb::ModelConfigRequest>) -> Answer<pb::ModelConfigResponse> {
        let asked = request.get_ref();
        let model = self.find(&request, &asked.name, &asked.version)?;
        Ok(Response::new(pb::ModelConfigResponse { config: Some(config::config(&self.app, &model)) }))
    }

    async fn model_statistics(
        &self,
        request: Request<pb::ModelStatisticsRequest>,
    ) -> Answer<pb::ModelStatisticsResponse> {
        let asked = request.get_ref();
        let models = match asked.name.as_str() {
            "" => {
                let caller = Caller::of(request.extensions());
                let view = self.app.door.view();
                let view = view.borrow();
                view.models.iter().filter(|model| caller.sees(&model.name)).cloned().collect()
            }
            name => vec![self.find(&request, name, &asked.version)?],
        };
        let model_stats = models.iter().map(|model| statistics(&self.app, model)).collect();
        Ok(Response::new(pb::ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<pb::RepositoryIndexRequest>,
    ) -> Answer<pb::RepositoryIndexResponse> {
        let ready = request.get_ref().ready;
        let entries = repository::index(&self.app, Caller::of(request.extensions()))
            .into_iter()
            .filter(|entry| !ready || entry.state == "READY");
        let models = entries
            .map(|entry| pb::repository_index_response::ModelIndex {
                name: entry.name,
                version: entry.version.to_owned(),
                state: entry.state.to_owned(),
                reason: entry.reason,
            })
            .collect();
        Ok(Response::new(pb::RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<pb::RepositoryModelLoadRequest>,
    ) -> Answer<pb::RepositoryModelLoadResponse> {
        let (metadata, _, asked) = request.into_parts();
        let headers = metadata.into_headers();
        match repository::load(&self.app, &headers, &asked.model_name, &parameters(asked.parameters)).await {
            Ok(()) => Ok(Response::new(pb::RepositoryModelLoadResponse {})),
            Err(problem) => refused(problem),
        }
    }

    async fn repository_model_unload(
        &self,
        request: Request<pb::RepositoryModelUnloadRequest>,
    ) -> Answer<pb::RepositoryModelUnloadResponse> {
        let (metadata, _, asked) = request.into_parts();
        let headers = metadata.into_headers();
        match repository::unload(&self.app, &headers, &asked.model_name, &parameters(asked.parameters)).await {
            Ok(()) => Ok(Response::new(pb::RepositoryModelUnloadResponse {})),
            Err(problem) => refused(problem),
        }
    }

    async fn system_shared_memory_status(
        &self,
        _: Request<pb::SystemSharedMemoryStatusRequest>,
    ) -> Answer<pb::SystemSharedMemoryStatusResponse> {
        Ok(Response::new(pb::SystemSharedMemoryStatusResponse { regions: HashMap::new() }))
    }

    async fn system_shared_memory_register(
        &self,
        _: Request<pb::SystemSharedMemoryRegisterRequest>,
    ) -> Answer<pb::SystemSharedMemoryRegisterResponse> {
        refused(no_sharing())
    }

    async fn system_shared_memory_unregister(
        &self,
        _: Request<pb::SystemSharedMemoryUnregisterRequest>,
    ) -> Answer<pb::SystemSharedMemoryUnregisterResponse> {
        refused(no_sharing())
    }

    async fn cuda_shared_memory_status(
        &self,
        _: Request<pb::CudaSharedMemoryStatusRequest>,
    ) -> Answer<pb::CudaSharedMemoryStatusResponse> {
        Ok(Response::new(pb::CudaSharedMemoryStatusResponse { regions: HashMap::new() }))
    }

    async fn cuda_shared_memory_register(
        &self,
        _: Request<pb::CudaSharedMemoryRegisterRequest>,
    ) -> Answer<pb::CudaSharedMemoryRegisterResponse> {
        refused(no_sharing())
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _: Request<pb::CudaSharedMemoryUnregisterRequest>,
    ) -> Answer<pb::CudaSharedMemoryUnregisterResponse> {
        refused(no_sharing())
    }

    async fn trace_setting(&self, request: Request<pb::TraceSettingRequest>) -> Answer<pb::TraceSettingResponse> {
        let asked = request.get_ref();
        if !asked.settings.is_empty() {
            return refused(fixed("tracing"));
        }
        if !asked.model_name.is_empty() {
            self.find(&request, &asked.model_name, "")?;
        }
        let value = |text: &str| pb::trace_setting_response::SettingValue { value: vec![text.to_owned()] };
        let named = TRACE.into_iter().chain([("trace_level", "OFF")]);
        let settings = named.map(|(name, text)| (name.to_owned(), value(text))).collect();
        Ok(Response::new(pb::TraceSettingResponse { settings }))
    }

    async fn log_settings(&self, request: Request<pb::LogSettingsRequest>) -> Answer<pb::LogSettingsResponse> {
        use pb::log_settings_response::SettingValue;
        use pb::log_settings_response::setting_value::ParameterChoice;
        if !request.get_ref().settings.is_empty() {
            return refused(fixed("the log"));
        }
        let value = |choice| SettingValue { parameter_choice: Some(choice) };
        let mut settings: HashMap<String, SettingValue> =
            LOG.into_iter().map(|(name, flag)| (name.to_owned(), value(ParameterChoice::BoolParam(flag)))).collect();
        settings.insert("log_file".to_owned(), value(ParameterChoice::StringParam(String::new())));
        settings.insert("log_verbose_level".to_owned(), value(ParameterChoice::Uint32Param(0)));
        settings.insert("log_format".to_owned(), value(ParameterChoice::StringParam("default".to_owned())));
        Ok(Response::new(pb::LogSettingsResponse { settings }))
    }
}
