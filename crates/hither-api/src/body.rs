//! Reads the body of a request: whole, bounded in size, time and depth, decompressed where need be.

use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::errors::{Code, Problem};
use crate::limits::{BODIES_BYTES, BODY_BYTES, BODY_READ, JSON_DEPTH};

mod rest;
#[cfg(test)]
mod tests;

pub(crate) use rest::lend;

/// The unit in which memory for bodies is lent: semaphores count in 32 bits on some machines.
const GRAIN: usize = 4096;

/// The memory that bodies may take together.
#[derive(Clone)]
pub(crate) struct Bodies(Arc<Semaphore>);

/// A body in memory. The memory is given back when it is dropped.
pub(crate) struct Whole {
    /// The bytes, decompressed.
    pub(crate) bytes: Bytes,
    _lent: OwnedSemaphorePermit,
}

impl Bodies {
    /// Nothing lent yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BODIES_BYTES / GRAIN)))
    }

    /// Lends memory for so many bytes, if there is any left.
    pub(crate) fn lend(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let grains = u32::try_from(bytes.div_ceil(GRAIN)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(grains).map_err(|_| {
            Problem::new(Code::Overloaded, "the bodies of other requests fill the memory set aside for them")
        })
    }

    /// Reads a body.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Whole, Problem> {
        let coding = Coding::of(headers)?;
        let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > BODY_BYTES) {
            return Err(too_large());
        }
        let most = announced.unwrap_or(BODY_BYTES);
        let mut lent = self.lend(most).map_err(|full| full.help("send a Content-Length, and try again"))?;
        let read = timeout(BODY_READ, Limited::new(body, BODY_BYTES).collect()).await;
        let bytes = match read {
            Err(_) => {
                return Err(Problem::new(Code::TooSlow, format!("the body took more than {BODY_READ:?} to arrive")));
            }
            Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => return Err(too_large()),
            Ok(Err(error)) => return Err(Problem::new(Code::Malformed, format!("the body broke off: {error}"))),
            Ok(Ok(collected)) => collected.to_bytes(),
        };
        let packed = bytes.len();
        let bytes = coding.open(bytes)?;
        if bytes.len() > packed {
            // It is opened in one go, so that few are open and not yet counted.
            lent.merge(self.lend(bytes.len())?);
        }
        Ok(Whole { bytes, _lent: lent })
    }
}

fn too_large() -> Problem {
    Problem::new(Code::TooLarge, format!("the body is larger than {BODY_BYTES} bytes"))
        .help("send it in parts, or tensors in binary form")
}

#[derive(Clone, Copy)]
enum Coding {
    Plain,
    Gzip,
    Deflate,
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Self::Plain) };
        match value.to_str().map(str::trim).map(str::to_ascii_lowercase).as_deref() {
            Ok("" | "identity") => Ok(Self::Plain),
            Ok("gzip" | "x-gzip") => Ok(Self::Gzip),
            Ok("deflate") => Ok(Self::Deflate),
            _ => Err(Problem::new(Code::WrongEncoding, format!("the body has the encoding {value:?}"))
                .help("send it plain, or as gzip or deflate")),
        }
    }

    fn open(self, bytes: Bytes) -> Result<Bytes, Problem> {
        let mut plain = Vec::new();
        let most = BODY_BYTES as u64 + 1;
        let read = match self {
            Self::Plain => return Ok(bytes),
            Self::Gzip => flate2::read::MultiGzDecoder::new(&bytes[..]).take(most).read_to_end(&mut plain),
            Self::Deflate => flate2::read::ZlibDecoder::new(&bytes[..]).take(most).read_to_end(&mut plain),
        };
        read.map_err(|error| Problem::new(Code::Malformed, format!("the body cannot be decompressed: {error}")))?;
        if plain.len() > BODY_BYTES { Err(too_large()) } else { Ok(plain.into()) }
    }
}

/// Refuses JSON that nests too deeply, before any parser sees it.
pub(crate) fn check_depth(json: &[u8]) -> Result<(), Problem> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH {
                    let text = format!("the JSON nests deeper than {JSON_DEPTH} levels");
                    return Err(Problem::new(Code::Malformed, text));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                at += 1;
                while let Some(inner) = json.get(at).filter(|inner| **inner != b'"') {
                    at += if *inner == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}
