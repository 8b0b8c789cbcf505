//! The health service that every gRPC tool asks: serving, until the node stops.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::SERVICE_NAME;
use crate::serve::stopped;

/// The service.
pub(super) fn service(stop: watch::Receiver<bool>) -> HealthServer<impl Health> {
    HealthServer::new(Node { stop })
}

struct Node {
    stop: watch::Receiver<bool>,
}

impl Node {
    fn now(&self) -> HealthCheckResponse {
        let status = if *self.stop.borrow() { ServingStatus::NotServing } else { ServingStatus::Serving };
        HealthCheckResponse { status: status.into() }
    }
}

/// The node as a whole, or its one service.
fn is_known(service: &str) -> bool {
    service.is_empty() || service == SERVICE_NAME
}

#[tonic::async_trait]
impl Health for Node {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if is_known(service) {
            Ok(Response::new(self.now()))
        } else {
            let said: String = service.chars().take(80).collect();
            Err(Status::not_found(format!("there is no service {said:?} here; there is {SERVICE_NAME}")))
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// The state now, then "not serving" when the node stops; the stream ends with it.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        if !is_known(&request.get_ref().service) {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            return Ok(Response::new(Box::pin(stream::iter([Ok(unknown)]))));
        }
        let first = self.now();
        let stop = self.stop.clone();
        let told = first.status == i32::from(ServingStatus::NotServing);
        let changes = stream::unfold((stop, Some(first), told), |(mut stop, first, told)| async move {
            if let Some(first) = first {
                return Some((Ok(first), (stop, None, told)));
            }
            if told {
                return None;
            }
            stopped(&mut stop).await;
            let over = HealthCheckResponse { status: ServingStatus::NotServing.into() };
            Some((Ok(over), (stop, None, true)))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
