//! Public keys of the three curves that signers use.

use std::fmt::Write as _;

use data_encoding::{BASE64, HEXLOWER};
use p521::ecdsa::signature::Verifier as _;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use sha2::{Digest as _, Sha256};
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::limits;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is too large for keys or certificates.
    #[error("it has {0} bytes, and no file of keys or certificates has as many")]
    TooLarge(usize),
    /// There is no key in it.
    #[error("it has no line -----BEGIN PUBLIC KEY-----")]
    Absent,
    /// There are several keys in it.
    #[error("it has {0} public keys, and a signature is of one")]
    Several(usize),
    /// It is the key that signs.
    #[error(
        "it is a private key, which should stay where it signs; openssl pkey -in FILE -pubout writes its public key"
    )]
    Private,
    /// It is a certificate.
    #[error("it is a certificate and no key; a certificate is believed with --certificates")]
    Certificate,
    /// It is not well-formed.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It is not of one of the three curves.
    #[error("its key is no elliptic curve key of P-256, P-384 or P-521, the three that models are signed with")]
    Curve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// Bytes of a point that is not compressed.
    fn point_bytes(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::P384 => 97,
            Self::P521 => 133,
        }
    }
}

/// A public key that signs models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    curve: Curve,
    point: Vec<u8>,
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads a PEM file with one public key.
    ///
    /// # Errors
    /// If there is not exactly one, or it is of no curve that models are signed with.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let sections = sections(pem)?;
        let is = |wanted: SectionKind| sections.iter().any(|(kind, _)| *kind == wanted);
        if is(SectionKind::PrivateKey) || is(SectionKind::EcPrivateKey) || is(SectionKind::RsaPrivateKey) {
            return Err(KeyError::Private);
        }
        let keys: Vec<&Vec<u8>> =
            sections.iter().filter(|(kind, _)| *kind == SectionKind::PublicKey).map(|(_, der)| der).collect();
        match keys.as_slice() {
            [der] => Self::from_der(der),
            [] if is(SectionKind::Certificate) => Err(KeyError::Certificate),
            [] => Err(KeyError::Absent),
            several => Err(KeyError::Several(several.len())),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let damaged = |what: &str| KeyError::Damaged(what.to_owned());
        let (rest, key) = SubjectPublicKeyInfo::from_der(der).map_err(|_| damaged("it is no SubjectPublicKeyInfo"))?;
        if !rest.is_empty() {
            return Err(damaged("something follows the key"));
        }
        Self::from_info(&key)
    }

    /// The key of a certificate.
    pub(crate) fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        let curve = curve(info).ok_or(KeyError::Curve)?;
        let point = &info.subject_public_key;
        if point.unused_bits != 0 || point.data.len() != curve.point_bytes() || point.data.first() != Some(&4) {
            return Err(KeyError::Damaged("its point is not of the form that is not compressed".to_owned()));
        }
        Ok(Self { curve, point: point.data.to_vec(), der: info.raw.to_vec() })
    }

    /// The SHA-256 of the key, as `openssl pkey -pubin -outform DER | sha256sum` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(&self.der))
    }

    /// Whether a bundle's hint means this key. Signers hash the PEM text or what is in it.
    pub(crate) fn is_meant_by(&self, hint: &str) -> bool {
        [self.hint(), self.fingerprint()].iter().any(|ours| hint.eq_ignore_ascii_case(ours))
    }

    /// The hint that most signers give: the SHA-256 of the PEM text.
    pub(crate) fn hint(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.pem().as_bytes()))
    }

    fn pem(&self) -> String {
        let mut text = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        let base64 = BASE64.encode(&self.der);
        for line in base64.as_bytes().chunks(64) {
            let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
        }
        text.push_str("-----END PUBLIC KEY-----\n");
        text
    }

    /// Whether a signature (ASN.1) of a message is of this key. The curve says the hash.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.curve {
            Curve::P256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(message, signature).is_ok()
            }
            Curve::P384 => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &self.point).verify(message, signature).is_ok()
            }
            Curve::P521 => p521_verifies(&self.point, message, signature),
        }
    }
}

/// The curve of a key, if it is one of the three.
pub(crate) fn curve(info: &SubjectPublicKeyInfo<'_>) -> Option<Curve> {
    if info.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return None;
    }
    let name = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
    [(OID_EC_P256, Curve::P256), (OID_NIST_EC_P384, Curve::P384), (OID_NIST_EC_P521, Curve::P521)]
        .into_iter()
        .find_map(|(oid, curve)| (oid == name).then_some(curve))
}

/// With SHA-512.
pub(crate) fn p521_verifies(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
    let signature = p521::ecdsa::Signature::from_der(signature);
    matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(message, &signature).is_ok())
}

/// The sections of a PEM file.
pub(crate) fn sections(pem: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, KeyError> {
    if pem.len() > limits::PEM_BYTES {
        return Err(KeyError::TooLarge(pem.len()));
    }
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| KeyError::Damaged(error.to_string()))
}
