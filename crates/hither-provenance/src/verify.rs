//! From a bundle to a list of files that somebody signed whom one believes.

use std::time::SystemTime;

use crate::bundle::{Bundle, Material, Method};
use crate::certificates::{Authorities, CertificateError, holder};
use crate::key::PublicKey;
use crate::statement::{Statement, StatementError};

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whoever has the private half of this key.
    Key(PublicKey),
    /// Whoever has a certificate of these.
    Authorities(Authorities),
}

/// Why nobody who is believed signed this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// It is signed in another way than is asked about.
    #[error("it was signed by the method {}, and a {} was given to check it with", signed.name(), match asked {
        Method::Certificate => "file of certificates",
        Method::Key | Method::Sigstore => "key",
    })]
    Method {
        /// How it is signed.
        signed: Method,
        /// How it is asked about.
        asked: Method,
    },
    /// Only Sigstore's own log and authority can tell.
    #[error(
        "it was signed by the method sigstore; that signature is present and not checked offline, because it takes \
         the log and the authority of Sigstore"
    )]
    Sigstore,
    /// It names another key.
    #[error("it was signed with another key: its hint is {hint}, and that of the key given would be {given}")]
    Hint {
        /// What it names.
        hint: String,
        /// What was given.
        given: String,
    },
    /// The certificates lead nowhere.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The signature is not of this key, or not of this text.
    #[error("the signature does not fit: it was made with another key, or the bundle was altered")]
    Altered,
    /// It is signed, and says nothing about a model.
    #[error("what was signed cannot be used: {0}")]
    Statement(#[from] StatementError),
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Whoever has the private half of a key.
    Key {
        /// The SHA-256 of the key.
        fingerprint: String,
    },
    /// Whoever has a certificate.
    Certificate {
        /// Whose it is.
        subject: String,
        /// Who says so.
        issuer: String,
        /// The SHA-256 of the certificate.
        fingerprint: String,
    },
}

/// A list of files, and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    signer: Signer,
    pub(crate) statement: Statement,
}

impl Bundle {
    /// Finds out who signed, and what. `now` is the moment at which certificates have to be valid.
    ///
    /// # Errors
    /// If it is nobody who is believed, or what is signed is no list of a model's files.
    pub fn verify(&self, trust: &Trust, now: SystemTime) -> Result<Signed, SignatureError> {
        let (signer, key) = match (&self.material, trust) {
            (Material::Sigstore, _) => return Err(SignatureError::Sigstore),
            (Material::Key { hint }, Trust::Key(key)) => {
                if let Some(hint) = hint.as_ref().filter(|hint| !key.is_meant_by(hint)) {
                    return Err(SignatureError::Hint { hint: hint.clone(), given: key.hint() });
                }
                (Signer::Key { fingerprint: key.fingerprint() }, key.clone())
            }
            (Material::Certificates(chain), Trust::Authorities(authorities)) => {
                let holder = holder(chain, authorities, now)?;
                let (subject, issuer) = (holder.subject, holder.issuer);
                (Signer::Certificate { subject, issuer, fingerprint: holder.fingerprint }, holder.key)
            }
            (Material::Key { .. } | Material::Certificates(_), _) => {
                let asked = match trust {
                    Trust::Key(_) => Method::Key,
                    Trust::Authorities(_) => Method::Certificate,
                };
                return Err(SignatureError::Method { signed: self.method(), asked });
            }
        };
        if !key.verifies(&self.message(), &self.signature) {
            return Err(SignatureError::Altered);
        }
        Ok(Signed { signer, statement: Statement::parse(&self.payload)? })
    }
}

impl Signed {
    /// Who signed.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// What the signer calls the model. It says nothing about what it is.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.statement.model
    }

    /// The digest of the whole list: SHA-256 over the digests of all files.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.statement.digest
    }

    /// How many files are listed.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.statement.files.len()
    }
}
