//! What is known of an app, and what of it an operator may change.

use std::num::NonZeroU32;

use hither_types::id::{AppName, ModelName, Purpose};
use hither_types::label::DataClass;

use super::KeyId;

/// What an app may do. What is not set is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The highest class of data that it may send.
    pub class: Option<DataClass>,
    /// The models that it may ask for; empty: all.
    pub models: Vec<ModelName>,
    /// What its requests may be for; empty: anything, or nothing said.
    pub purposes: Vec<Purpose>,
    /// Requests a second, and as many at once after a pause.
    pub requests_per_s: Option<NonZeroU32>,
    /// Requests under way at once.
    pub concurrent: Option<NonZeroU32>,
    /// Tokens a minute, of prompts and answers together. What an answer takes is known at its end: the one that goes over
    /// is finished, and what it took is paid for before the next.
    pub tokens_per_min: Option<NonZeroU32>,
}

/// What is kept of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMark {
    /// Finds it.
    pub id: KeyId,
    /// Proves it.
    pub hash: [u8; 32],
}

/// What is known of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppEntry {
    /// What the law, the ledger and people call it.
    pub name: AppName,
    /// Its key.
    pub key: KeyMark,
    /// The user whose programs are this app when they come over the Unix socket.
    pub uid: Option<u32>,
    /// The name in the certificates that its programs show.
    pub certificate: Option<String>,
    /// What it may do.
    pub limits: Limits,
}

/// What changes of an app; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The user whose programs it is.
    pub uid: Option<u32>,
    /// The name in its certificates.
    pub certificate: Option<String>,
    /// The highest class of data.
    pub class: Option<DataClass>,
    /// The models; none of them lifts the limit.
    pub models: Option<Vec<ModelName>>,
    /// The purposes; none of them lifts the limit.
    pub purposes: Option<Vec<Purpose>>,
    /// Requests a second; 0 lifts the limit.
    pub requests_per_s: Option<u32>,
    /// Requests at once; 0 lifts the limit.
    pub concurrent: Option<u32>,
    /// Tokens a minute; 0 lifts the limit.
    pub tokens_per_min: Option<u32>,
}

impl Change {
    /// Makes the change.
    pub fn apply(self, entry: &mut AppEntry) {
        let limits = &mut entry.limits;
        entry.uid = self.uid.or(entry.uid);
        entry.certificate = self.certificate.or(entry.certificate.take());
        limits.class = self.class.or(limits.class);
        if let Some(models) = self.models {
            limits.models = models;
        }
        if let Some(purposes) = self.purposes {
            limits.purposes = purposes;
        }
        let numbers = [
            (self.requests_per_s, &mut limits.requests_per_s),
            (self.concurrent, &mut limits.concurrent),
            (self.tokens_per_min, &mut limits.tokens_per_min),
        ];
        for (wanted, limit) in numbers {
            if let Some(wanted) = wanted {
                *limit = NonZeroU32::new(wanted);
            }
        }
    }
}
