//! API keys: `hk_<id>_<secret>`. The id finds the app, the secret proves it; the node keeps a hash of both.

use std::fmt;

use data_encoding::HEXLOWER;

/// How every key begins: so that one is recognised in a log or a commit, by people and by scanners.
pub(super) const PREFIX: &str = "hk_";

/// Bytes of a secret: 160 bits, which nobody guesses.
pub const SECRET_BYTES: usize = 20;

/// The part of a key that finds its app. No secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub u32);

impl KeyId {
    /// Reads eight hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(u32::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A whole key. It is shown once, when it is made, and travels with each request of its app.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: KeyId,
    text: String,
}

impl Key {
    /// Makes a key out of random bytes.
    pub fn new(id: KeyId, secret: [u8; SECRET_BYTES]) -> Self {
        Self { id, text: format!("{PREFIX}{id}_{}", HEXLOWER.encode(&secret)) }
    }

    /// Reads a key as a client sends it.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let secret = HEXLOWER.decode(secret.as_bytes()).ok()?;
        let id = KeyId::parse(id).filter(|_| secret.len() == SECRET_BYTES)?;
        Some(Self { id, text: text.to_owned() })
    }

    /// Whether a text is meant to be a key of ours, right or wrong.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The part that is no secret.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key as it is handed over. For its app alone.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The hash that is kept of it. The comparison of two takes as long wherever they differ.
    pub(crate) fn hash(&self, under: &[u8; 32]) -> blake3::Hash {
        blake3::keyed_hash(under, self.text.as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, secret of {SECRET_BYTES} bytes)", self.id)
    }
}
