//! Names that no two things share. Parsed at the edge, trusted behind it.

use std::fmt;

/// Why a piece of text is not the id or name that it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseIdError {
    /// What was expected, for instance "64 hexadecimal digits".
    pub expected: &'static str,
    /// The text, cut to 80 characters.
    pub found: String,
}

impl ParseIdError {
    /// Makes the error, cutting the text so that a message stays short.
    pub fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(80).collect() }
    }
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {:?}", self.expected, self.found)
    }
}

impl std::error::Error for ParseIdError {}

/// Sixteen bytes at a time, for ids are written into every record and every answer.
fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for part in bytes.chunks(16) {
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(part) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text[..part.len() * 2]).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

/// A digit alone: a sign before it, as numbers may have one, is no part of an id.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn unhex<const N: usize>(text: &str, expected: &'static str) -> Result<[u8; N], ParseIdError> {
    let bytes = text.as_bytes();
    if bytes.len() != N * 2 || !text.is_ascii() {
        return Err(ParseIdError::new(expected, text));
    }
    let mut out = [0; N];
    for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            return Err(ParseIdError::new(expected, text));
        };
        *slot = high << 4 | low;
    }
    Ok(out)
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; 32]);

        // The order of the bytes. Keys and hashes differ in their first eight nearly always, and one comparison of numbers
        // is much less than a call of memcmp: maps of them are most of what a node does.
        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.prefix().cmp(&other.prefix()).then_with(|| self.0.cmp(&other.0))
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The first eight bytes as a number: its order is the order of the whole, where it differs.
            #[inline]
            pub fn prefix(&self) -> u64 {
                let [a, b, c, d, e, f, g, h, ..] = self.0;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }

            /// Reads 64 hexadecimal digits.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                unhex(text, "64 hexadecimal digits").map(Self)
            }

            /// The first ten hexadecimal digits: enough for people, not for machines.
            pub fn short(&self) -> String {
                self.to_string()[..10].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
    };
}

bytes_id!(
    /// A node: its Ed25519 public key.
    NodeId
);
bytes_id!(
    /// A mesh: the BLAKE3 hash of its genesis.
    MeshId
);
bytes_id!(
    /// The BLAKE3 hash of a file, a policy or a list.
    Digest
);

/// A request, given by the node that it entered: a UUIDv7 (RFC 9562).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

impl RequestId {
    /// Reads a UUID, with or without hyphens.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::new("a request id (UUID)", text);
        let (mut id, mut digits) = (0_u128, 0);
        for byte in text.bytes().filter(|byte| *byte != b'-') {
            id = id << 4 | u128::from(digit(byte).ok_or_else(wrong)?);
            digits += 1;
        }
        if digits == 32 { Ok(Self(id)) } else { Err(wrong()) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.to_be_bytes();
        hex(&bytes[..4], f)?;
        for part in [4..6, 6..8, 8..10, 10..16] {
            f.write_str("-")?;
            hex(&bytes[part], f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $expected:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Reads the name, refusing what could be mistaken for something else.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() || text.len() > $max || !text.chars().all(allowed) {
                    return Err(ParseIdError::new($expected, text));
                }
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name!(
    /// What people call a model: `fraud`, `smollm2-135m`, `org/name`.
    ModelName, 120, "a model name of at most 120 letters, digits and ._-/:",
    |c| c.is_ascii_alphanumeric() || "._-/:".contains(c)
);
impl ModelName {
    /// Whether this is a version of a model: the model itself, or its name, a colon and what the version is called.
    pub fn is_version_of(&self, model: &Self) -> bool {
        let version = self.as_str().strip_prefix(model.as_str());
        version.is_some_and(|version| version.is_empty() || version.starts_with(':'))
    }

    /// The version of this model that is called so; `None` if that makes no name.
    pub fn version(&self, version: &str) -> Option<Self> {
        Self::parse(&format!("{self}:{version}")).ok()
    }
}

name!(
    /// A site: machines under one roof and one power budget.
    SiteName, 63, "a site name of at most 63 letters, digits and .-_",
    |c| c.is_ascii_alphanumeric() || ".-_".contains(c)
);
name!(
    /// An application, or its tenant.
    AppName, 63, "an app name of at most 63 letters, digits and .-_",
    |c| c.is_ascii_alphanumeric() || ".-_".contains(c)
);
name!(
    /// The legal entity that runs a node.
    Operator, 63, "an operator name of at most 63 letters, digits and .-_",
    |c| c.is_ascii_alphanumeric() || ".-_".contains(c)
);
name!(
    /// A rule of the law, as `explain` and the ledger quote it.
    RuleId, 63, "a rule id of at most 63 letters, digits and .-_",
    |c| c.is_ascii_alphanumeric() || ".-_".contains(c)
);
name!(
    /// What a request is for: `triage`, `fraud-check`.
    Purpose, 63, "a purpose of at most 63 letters, digits and .-_",
    |c| c.is_ascii_alphanumeric() || ".-_".contains(c)
);
name!(
    /// A mark on data: `phi`, `pci`, `biometric`.
    Tag, 31, "a tag of at most 31 letters, digits and .-_",
    |c| c.is_ascii_alphanumeric() || ".-_".contains(c)
);

/// The number of a try at one request, from 1. Frames of an older attempt are discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u8);

/// One try at one request: the key of everything that runs, here or at a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    /// The node that the request entered.
    pub origin: NodeId,
    /// The request.
    pub request: RequestId,
    /// Which try.
    pub attempt: Attempt,
}

/// A pending write to the ledger that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
