//! Who signed a model: bundles of OpenSSF Model Signing 1.0, checked without a network.
//!
//! A bundle is JSON that holds an envelope, a statement in it that lists files by their hashes, and what names the signer:
//! a key, or a chain of certificates. It is read in that order, and each step is refused by itself: the form ([`Bundle`]),
//! the signer and what is signed ([`Bundle::verify`]), the files ([`Signed::check`]).
//!
//! What must stay true: whom to believe comes from whoever asks, never out of a bundle; nothing of a statement is used
//! before its signature fits; a file counts only under the name that was signed, and never through a link that was not; any
//! bytes are refused or pass in bounded memory. There is no clock here and no network: a signature of the method `sigstore`
//! needs both a log and its authority, so it is named and not believed.

mod bundle;
mod certificates;
mod content;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod key;
mod limits;
mod path;
mod statement;
#[cfg(test)]
mod tests;
mod verify;

pub use bundle::{Bundle, BundleError, Method};
pub use certificates::{Authorities, CertificateError};
pub use content::{Checked, CheckedFile, ContentError, Rules, Unsigned};
pub use hash::HashKind;
pub use key::{KeyError, PublicKey};
pub use statement::StatementError;
pub use verify::{SignatureError, Signed, Signer, Trust};
