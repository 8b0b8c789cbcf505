//! Compresses an answer where the client says that it can read it, and where it is worth it.
//!
//! Only tensors: clients of the protocol do not look for a coding on anything else.

use std::io::Write;

use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY};

use crate::limits::COMPRESS_FROM;

#[cfg(test)]
mod tests;

/// From here on, compressing takes so long that it must not keep others from their turn.
const ASIDE_FROM: usize = 256 << 10;

/// A coding that the protocol knows; `deflate` is zlib's form, as HTTP says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// The one that the client likes best, of those that it named.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        for value in headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()) {
            for item in value.split(',') {
                let mut parts = item.split(';').map(str::trim);
                let coding = match parts.next().map(str::to_ascii_lowercase).as_deref() {
                    Some("gzip" | "x-gzip") => Self::Gzip,
                    Some("deflate") => Self::Deflate,
                    _ => continue,
                };
                let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |text| text.parse().ok());
                let Some(weight) = weight.filter(|weight| (0.0..=1.0).contains(weight) && *weight > 0.0) else {
                    continue;
                };
                if best.is_none_or(|(_, other)| weight > other) {
                    best = Some((coding, weight));
                }
            }
        }
        best.map(|(coding, _)| coding)
    }

    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        let out = Vec::with_capacity(bytes.len() / 2);
        let packed = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish())
            }
        };
        packed.expect("writing to memory cannot fail")
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// A response with these bytes, compressed if that was asked for and they are many.
pub(super) async fn respond(coding: Option<Coding>, content_type: &'static str, bytes: Vec<u8>) -> Response {
    let bytes = Bytes::from(bytes);
    let packed = match coding.filter(|_| bytes.len() >= COMPRESS_FROM) {
        None => None,
        Some(coding) if bytes.len() < ASIDE_FROM => Some((coding, coding.pack(&bytes))),
        Some(coding) => {
            let plain = bytes.clone();
            // It fails only where the program ends; then it goes as it is.
            let packed = tokio::task::spawn_blocking(move || coding.pack(&plain)).await;
            packed.ok().map(|packed| (coding, packed))
        }
    };
    let (coding, bytes) = match packed {
        None => (None, bytes),
        Some((coding, packed)) => (Some(coding), Bytes::from(packed)),
    };
    let mut response = crate::respond::text(content_type, bytes);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    response
}
