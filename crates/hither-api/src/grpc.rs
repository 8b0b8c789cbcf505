//! The Open Inference Protocol over gRPC, on the port of everything else.
//!
//! What must stay true: a request is checked, labelled, counted and served as one that came over HTTP is; outputs are
//! always raw, whichever form the inputs had; what a message may take of memory is lent before it is there.

use axum::Router;
use axum::middleware::from_fn_with_state;
use tonic::codec::CompressionEncoding;

use crate::limits::BODY_BYTES;
use crate::routes::App;

mod health;
mod infer;
mod meter;
mod service;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use status::{is_grpc, response};

/// The messages and the service, made from `proto/`.
pub(crate) mod pb {
    #![allow(clippy::all, missing_docs, unreachable_pub, reason = "the generator writes it, and people read proto/")]
    tonic::include_proto!("inference");
}

/// What clients ask for when they have no copy of the protocol.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/inference.bin"));

use pb::grpc_inference_service_server::{GrpcInferenceServiceServer, SERVICE_NAME};

/// The services; each answers for every method below its name.
pub(crate) fn routes(app: &App) -> Router<App> {
    let packed = [CompressionEncoding::Gzip, CompressionEncoding::Deflate];
    let mut inference =
        GrpcInferenceServiceServer::new(service::Inference::new(app.clone())).max_decoding_message_size(BODY_BYTES);
    for coding in packed {
        inference = inference.accept_compressed(coding).send_compressed(coding);
    }
    let reflection =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    let now = reflection().build_v1().expect("the descriptors are those of the build");
    let before = reflection().build_v1alpha().expect("the descriptors are those of the build");
    let metered = Router::new()
        .route_service(&under(SERVICE_NAME), inference)
        .layer(from_fn_with_state(app.clone(), meter::measure));
    metered
        .route_service(&under("grpc.health.v1.Health"), health::service(app.stop.clone()))
        .route_service(&under("grpc.reflection.v1.ServerReflection"), now)
        .route_service(&under("grpc.reflection.v1alpha.ServerReflection"), before)
}

fn under(service: &str) -> String {
    format!("/{service}/{{*method}}")
}
