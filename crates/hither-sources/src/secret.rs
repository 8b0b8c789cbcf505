//! What nobody but the place that it is for may see.

use std::fmt;

use data_encoding::BASE64;
use hyper::header::HeaderValue;
use url::{Origin, Url};

/// A token or a password. Its `Debug` says nothing of it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps a token or a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Who a node is at one registry.
#[derive(Debug, Clone)]
pub struct RegistryLogin {
    /// The registry as sources name it, such as `registry.example:5000`.
    pub host: String,
    /// The user, or what the registry wants in its place for tokens.
    pub user: String,
    /// The password or token.
    pub password: Secret,
}

/// A header that proves who asks, and the one origin that may see it.
#[derive(Clone)]
pub(crate) struct Credential {
    origin: Origin,
    value: HeaderValue,
}

impl Credential {
    /// A token for the origin of an address. `None` if no header can carry it.
    pub(crate) fn bearer(address: &Url, token: &Secret) -> Option<Self> {
        Self::new(address, &format!("Bearer {}", token.0))
    }

    /// A user and a password for the origin of an address (RFC 7617). `None` if no header can carry them.
    pub(crate) fn basic(address: &Url, login: &RegistryLogin) -> Option<Self> {
        let pair = format!("{}:{}", login.user, login.password.0);
        Self::new(address, &format!("Basic {}", BASE64.encode(pair.as_bytes())))
    }

    fn new(address: &Url, text: &str) -> Option<Self> {
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(Self { origin: address.origin(), value })
    }

    /// The header for an address, if it is of the origin that may see it: the same scheme, host and port.
    pub(crate) fn header_for(&self, address: &Url) -> Option<&HeaderValue> {
        (address.origin() == self.origin).then_some(&self.value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential(for {})", self.origin.ascii_serialization())
    }
}
