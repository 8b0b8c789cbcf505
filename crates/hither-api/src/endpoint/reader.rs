//! Asks an address for one text: what an issuer of tokens publishes.

use std::fmt;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Request, StatusCode, Uri};

use super::train::Outgoing;
use super::{AddressError, EndpointError, HttpClient, client, unreachable};
use crate::limits::{ISSUER_BYTES, ISSUER_TIME};

/// Asks addresses. It follows nobody to another one.
#[derive(Clone)]
pub struct Reader(HttpClient);

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// `authorities`: PEM of those that are believed beside those of this machine.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(authorities: Option<&[u8]>) -> Result<Self, AddressError> {
        Ok(Self(client(authorities, &[])?))
    }

    /// The text at an address, bounded in time and length.
    ///
    /// # Errors
    /// There is no way to it, it answers otherwise than with 200, or it is too long.
    pub async fn get(&self, url: &str) -> Result<Bytes, EndpointError> {
        let target: Uri = url.parse().map_err(|_| EndpointError::Cannot(format!("{url:?} is no address")))?;
        let read = async {
            let mut request = Request::new(Outgoing::whole(Bytes::new()));
            *request.uri_mut() = target;
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
            let response = self.0.request(request).await.map_err(|error| unreachable(&error))?;
            if response.status() != StatusCode::OK {
                return Err(EndpointError::Failed(format!("HTTP {}", response.status().as_u16())));
            }
            let body = Limited::new(response.into_body(), ISSUER_BYTES).collect().await;
            Ok(body.map_err(|error| EndpointError::Failed(error.to_string()))?.to_bytes())
        };
        let silent = || EndpointError::Unreachable(format!("no answer within {} s", ISSUER_TIME.as_secs()));
        tokio::time::timeout(ISSUER_TIME, read).await.map_err(|_| silent())?
    }
}
