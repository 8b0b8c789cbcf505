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
    /// The value in the tokens that its programs send, in the claim that the configuration names.
    pub subject: Option<String>,
    /// Requests with data up to this class are on the record with a keyed reference to what was asked; `None`: none are.
    pub references: Option<DataClass>,
    /// What it may do.
    pub limits: Limits,
}

impl AppEntry {
    /// An app that its key alone makes known.
    pub fn new(name: AppName, key: KeyMark, limits: Limits) -> Self {
        Self { name, key, uid: None, certificate: None, subject: None, references: None, limits }
    }
}

/// What makes callers known beside a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The user at the other end of the Unix socket.
    Uid,
    /// A name in a certificate.
    Certificate,
    /// A value in a token.
    Subject,
}

impl Link {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Uid, Self::Certificate, Self::Subject];

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uid => "uid",
            Self::Certificate => "certificate",
            Self::Subject => "subject",
        }
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|link| link.as_str() == text)
    }
}

/// What changes of an app; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// What makes it known no more; what follows here makes it known anew.
    pub unlink: Vec<Link>,
    /// The user whose programs it is.
    pub uid: Option<u32>,
    /// The name in its certificates.
    pub certificate: Option<String>,
    /// The value in its tokens.
    pub subject: Option<String>,
    /// Up to which class requests get a reference; inside, `None`: none do.
    pub references: Option<Option<DataClass>>,
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
        for link in self.unlink {
            match link {
                Link::Uid => entry.uid = None,
                Link::Certificate => entry.certificate = None,
                Link::Subject => entry.subject = None,
            }
        }
        entry.uid = self.uid.or(entry.uid);
        entry.certificate = self.certificate.or(entry.certificate.take());
        entry.subject = self.subject.or(entry.subject.take());
        entry.references = self.references.unwrap_or(entry.references);
        let limits = &mut entry.limits;
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
