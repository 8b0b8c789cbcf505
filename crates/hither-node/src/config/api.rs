//! The `[api]` section of the configuration: where clients come in, whether they need a key, and what they may do
//! without one.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use hither_api::callers::{Access, Keys, Limits};
use hither_api::tokens::Tokens;
use hither_types::id::{ModelName, ParseIdError, Purpose};
use hither_types::label::DataClass;
use serde::{Deserialize, Serialize};

use super::oidc::OidcSection;
use super::tls::TlsSection;

#[cfg(test)]
mod tests;

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApiSection {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) socket: Option<PathBuf>,
    keys: KeysWord,
    hosts: Vec<String>,
    anonymous: LimitsSection,
    pub(crate) tls: Option<TlsSection>,
    pub(crate) oidc: Option<OidcSection>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeysWord {
    #[default]
    Optional,
    Required,
}

/// What callers may do, as files say it. What is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    purposes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_s: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrent: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_min: Option<NonZeroU32>,
}

/// Why what is said of the API cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The address can be reached from elsewhere, and nobody would have to say who they are.
    #[error("the API would listen on {0}, where others than this machine reach it, and callers need no key")]
    PublicAddress(SocketAddr),
    /// A file cannot be read.
    #[error("{} cannot be read: {text}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// Certificates of clients are wanted, and nobody signs them.
    #[error("[api.tls] has clients = \"required\" without client_ca_file, so nobody could sign a certificate for them")]
    NoAuthority,
    /// HTTPS cannot be offered with these files.
    #[error("[api.tls]: {0}")]
    Tls(String),
    /// Tokens cannot be believed as it says.
    #[error("[api.oidc]: {0}")]
    Oidc(String),
    /// A name of the node is none.
    #[error("hosts has {0:?}, which is not the name of a host; give it without http:// and without a port")]
    Host(String),
    /// A limit is not what it should be.
    #[error("{field} is wrong")]
    Limit {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: ParseIdError,
    },
}

impl LimitsSection {
    /// Reads the words.
    pub(crate) fn read(self) -> Result<Limits, ApiError> {
        let class = self.class.map(|class| field("class", DataClass::parse(&class))).transpose()?;
        Ok(Limits {
            class,
            models: self.models.iter().map(|name| field("models", ModelName::parse(name))).collect::<Result<_, _>>()?,
            purposes: self
                .purposes
                .iter()
                .map(|name| field("purposes", Purpose::parse(name)))
                .collect::<Result<_, _>>()?,
            requests_per_s: self.requests_per_s,
            concurrent: self.concurrent,
            tokens_per_min: self.tokens_per_min,
        })
    }
}

impl From<&Limits> for LimitsSection {
    fn from(limits: &Limits) -> Self {
        Self {
            class: limits.class.map(|class| class.to_string()),
            models: limits.models.iter().map(ToString::to_string).collect(),
            purposes: limits.purposes.iter().map(ToString::to_string).collect(),
            requests_per_s: limits.requests_per_s,
            concurrent: limits.concurrent,
            tokens_per_min: limits.tokens_per_min,
        }
    }
}

fn field<T>(field: &'static str, parsed: Result<T, ParseIdError>) -> Result<T, ApiError> {
    parsed.map_err(|source| ApiError::Limit { field, source })
}

/// An error with its cause, in one line.
pub(crate) fn told(error: &ApiError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Checks the section for a listener at an address.
pub(crate) fn access(section: ApiSection, listen: SocketAddr, tokens: Option<Arc<Tokens>>) -> Result<Access, ApiError> {
    let keys = match section.keys {
        KeysWord::Optional => Keys::Optional,
        KeysWord::Required => Keys::Required,
    };
    // Who has to show a certificate has said who they are.
    let is_shown = section.tls.is_some_and(|tls| tls.clients == KeysWord::Required);
    if keys == Keys::Optional && !is_shown && !listen.ip().is_loopback() {
        return Err(ApiError::PublicAddress(listen));
    }
    let hosts = section.hosts.into_iter().map(host).collect::<Result<_, _>>()?;
    Ok(Access { keys, bound: listen.ip(), hosts, anonymous: section.anonymous.read()?, tokens })
}

fn host(text: String) -> Result<String, ApiError> {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    if is_name(&name) || name.parse::<IpAddr>().is_ok() { Ok(name) } else { Err(ApiError::Host(text)) }
}
