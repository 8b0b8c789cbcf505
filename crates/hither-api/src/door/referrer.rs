//! From records to what was asked.

use std::fmt;
use std::sync::Arc;

use hither_types::id::{Digest, RequestId};

/// How records refer to a body: by a key that nothing here sees.
#[derive(Clone)]
pub struct Referrer(Arc<dyn Fn(RequestId) -> Digest + Send + Sync>);

impl Referrer {
    /// By what the records of each request refer to it.
    pub fn new(of: impl Fn(RequestId) -> Digest + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }

    /// By what the records of a request refer to it.
    pub fn of(&self, request: RequestId) -> Digest {
        (self.0)(request)
    }
}

impl fmt::Debug for Referrer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a referrer")
    }
}
