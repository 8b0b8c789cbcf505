//! Why bytes could not be made, or not be understood.

use std::convert::Infallible;

use hither_types::id::ParseIdError;

/// Why something cannot be said to a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A list is longer than peers accept.
    #[error("{count} {what} do not fit into one message, which takes {most}")]
    TooMany {
        /// What the list holds.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// A name is longer than peers accept, or holds control characters.
    #[error("{what} must have at most {most} bytes and no control characters")]
    BadName {
        /// What it names.
        what: &'static str,
        /// Bytes that it may have.
        most: usize,
    },
    /// The whole is larger than peers accept.
    #[error("{form} of {size} bytes is larger than {most} bytes, the most that is sent")]
    TooLarge {
        /// What it is.
        form: &'static str,
        /// Its size.
        size: usize,
        /// The size that it may have.
        most: usize,
    },
}

impl From<Infallible> for EncodeError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Why bytes from a peer, a certificate or a ticket are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are more bytes than this form may have; none of them was read.
    #[error("{form} of {size} bytes is larger than {most} bytes, the most that is accepted")]
    TooLarge {
        /// What it should be.
        form: &'static str,
        /// Its size.
        size: usize,
        /// The size that it may have.
        most: usize,
    },
    /// There are no bytes.
    #[error("{form} without a byte")]
    Empty {
        /// What it should be.
        form: &'static str,
    },
    /// The first byte is a version that this program does not know.
    #[error("{form} has version {found}, and this program knows version {known}: update the older node")]
    Version {
        /// What it should be.
        form: &'static str,
        /// The version found.
        found: u8,
        /// The version that this program speaks.
        known: u8,
    },
    /// The bytes are cut short, damaged, or hold a list that is too long.
    #[error("the bytes are not {form}: they are cut short, damaged, or hold more than is accepted")]
    Malformed {
        /// What it should be.
        form: &'static str,
    },
    /// Bytes are left over.
    #[error("{form} is followed by {left} bytes that do not belong to it")]
    Trailing {
        /// What it is.
        form: &'static str,
        /// How many are left.
        left: usize,
    },
    /// A name or an id is not one.
    #[error(transparent)]
    Name(#[from] ParseIdError),
    /// A number that stands for a word stands for none that this program knows.
    #[error("{code} stands for no {what} that this program knows")]
    Code {
        /// What it should stand for.
        what: &'static str,
        /// The number.
        code: u8,
    },
    /// A text is too long, or holds control characters.
    #[error("{what} is longer than {most} bytes, or holds control characters")]
    Text {
        /// What it is.
        what: &'static str,
        /// Bytes that it may have.
        most: usize,
    },
}

impl From<Infallible> for DecodeError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
