//! Certificates: from a signer's to an authority that is believed.
//!
//! Why not `rustls-webpki`, which is in the tree: it is made for servers and takes no signer whose certificate may also issue
//! others, which those of the published examples may. So the way is walked here. What must stay true: everybody who issues
//! is an authority by its own certificate; all are valid at the moment that is asked about (a bundle of these methods carries
//! no time that anybody vouches for, so that moment is now); what a certificate declares critical and is not understood
//! here refuses it, and so do constraints on names.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls_pki_types::pem::SectionKind;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::key::{Curve, KeyError, PublicKey, curve, p521_verifies, sections};
use crate::limits;

/// Why a chain of certificates is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is not well-formed.
    #[error("certificate {number} of the bundle is damaged: {text}")]
    Damaged {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        text: String,
    },
    /// It is not valid any more.
    #[error("the certificate of {subject} expired on {end}")]
    Expired {
        /// Whose.
        subject: String,
        /// When.
        end: String,
    },
    /// It is not valid yet.
    #[error("the certificate of {subject} is valid from {start} on")]
    Early {
        /// Whose.
        subject: String,
        /// From when.
        start: String,
    },
    /// Its key is for something else.
    #[error("the certificate of {subject} is not for signing files: {text}")]
    Usage {
        /// Whose.
        subject: String,
        /// What it is for, or not.
        text: &'static str,
    },
    /// It has a key that no model is signed with.
    #[error("the certificate of {subject} cannot be used: {source}")]
    Key {
        /// Whose.
        subject: String,
        /// Why.
        source: KeyError,
    },
    /// It wants something that is not understood.
    #[error("the certificate of {subject} has the extension {name}, which is not understood here")]
    Extension {
        /// Whose.
        subject: String,
        /// Which, as numbers.
        name: String,
    },
    /// Who issued has no right to.
    #[error("{subject} issued a certificate and is no authority: {text}")]
    Issuer {
        /// Who.
        subject: String,
        /// What says so.
        text: &'static str,
    },
    /// It does not have the signature of who should have issued it.
    #[error("the certificate of {subject} was not issued by the {issuer} that is known here")]
    Signature {
        /// Whose.
        subject: String,
        /// By whom it should be.
        issuer: String,
    },
    /// There is no way to whom one believes.
    #[error("the certificate of {subject} was issued by {issuer}, which is not among those that are believed")]
    Unknown {
        /// Whose.
        subject: String,
        /// By whom it says that it is.
        issuer: String,
    },
    /// There are too many ways.
    #[error("the certificates of the bundle lead in too many ways to be followed")]
    Tangled,
    /// The clock is wrong.
    #[error("the clock of this machine shows no time that certificates know")]
    Clock,
}

/// Certificates that are believed: of authorities, or of a signer itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities(Vec<Vec<u8>>);

impl Authorities {
    /// Reads a PEM file with certificates.
    ///
    /// # Errors
    /// If there is none in it, or one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let sections = sections(pem)?;
        let believed: Vec<Vec<u8>> = sections
            .into_iter()
            .filter(|(kind, _)| *kind == SectionKind::Certificate)
            .map(|(_, der)| der)
            .take(limits::AUTHORITIES + 1)
            .collect();
        if believed.is_empty() {
            return Err(KeyError::Damaged("it has no line -----BEGIN CERTIFICATE-----".to_owned()));
        }
        if believed.len() > limits::AUTHORITIES {
            return Err(KeyError::Damaged(format!("it has more than {} certificates", limits::AUTHORITIES)));
        }
        for (place, der) in believed.iter().enumerate() {
            parse(der).map_err(|text| KeyError::Damaged(format!("its certificate {}: {text}", place + 1)))?;
        }
        Ok(Self(believed))
    }
}

/// Who a chain says that a signer is.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) key: PublicKey,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) fingerprint: String,
}

/// Finds the way from the first certificate of a chain to one that is believed.
pub(crate) fn holder(chain: &[Vec<u8>], believed: &Authorities, now: SystemTime) -> Result<Holder, CertificateError> {
    let damaged = |(place, text): (usize, String)| CertificateError::Damaged { number: place + 1, text };
    let mut given: Vec<X509Certificate<'_>> = Vec::with_capacity(chain.len());
    for (place, der) in chain.iter().enumerate() {
        given.push(parse(der).map_err(|text| damaged((place, text)))?);
    }
    let known: Vec<X509Certificate<'_>> = believed.0.iter().filter_map(|der| parse(der).ok()).collect();
    let now = now.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok());
    let now = now.ok_or(CertificateError::Clock)?;
    let [signer, between @ ..] = given.as_slice() else {
        return Err(damaged((0, "it is not there".to_owned())));
    };
    valid(signer, now)?;
    understood(signer)?;
    may_sign(signer)?;
    let subject = signer.subject().to_string();
    let key = PublicKey::from_info(signer.public_key())
        .map_err(|source| CertificateError::Key { subject: subject.clone(), source })?;
    if !believed.0.iter().any(|der| *der == chain[0]) {
        let mut walk = Walk { known: &known, between, now, tries: limits::TRIES };
        walk.climb(signer, 0)?;
    }
    let fingerprint = HEXLOWER.encode(&Sha256::digest(&chain[0]));
    Ok(Holder { key, subject, issuer: signer.issuer().to_string(), fingerprint })
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| "it is no X.509 certificate".to_owned())?;
    if !rest.is_empty() {
        return Err("something follows it".to_owned());
    }
    if certificate.signature_algorithm != certificate.tbs_certificate.signature || !is_plain(der, &certificate) {
        return Err("it names two algorithms for one signature".to_owned());
    }
    Ok(certificate)
}

/// Whether the algorithm behind what is signed is a sequence that begins with an object identifier. The parser takes other
/// tags for it, and it is not signed; so one signed certificate would have many forms, each with its own fingerprint.
fn is_plain(der: &[u8], certificate: &X509Certificate<'_>) -> bool {
    let long = der.get(1).map_or(0, |length| if length & 0x80 == 0 { 0 } else { usize::from(length & 0x7f) });
    let behind = der.get(2 + long + certificate.tbs_certificate.as_ref().len()..);
    matches!(behind, Some([0x30, 0..0x80, 0x06, ..]))
}

struct Walk<'a> {
    known: &'a [X509Certificate<'a>],
    between: &'a [X509Certificate<'a>],
    now: i64,
    tries: u32,
}

impl Walk<'_> {
    /// Goes up from a certificate, with so many between the signer's and it. The first fault that was met is told if no way
    /// leads up, for it is the one to mend.
    fn climb(&mut self, child: &X509Certificate<'_>, steps: usize) -> Result<(), CertificateError> {
        let (subject, issuer) = (child.subject().to_string(), child.issuer().to_string());
        let mut first = None;
        for (parent, is_known) in
            self.known.iter().map(|parent| (parent, true)).chain(self.between.iter().map(|parent| (parent, false)))
        {
            if parent.subject().as_raw() != child.issuer().as_raw() || parent.as_raw() == child.as_raw() {
                continue;
            }
            self.tries = self.tries.checked_sub(1).ok_or(CertificateError::Tangled)?;
            let step = if !issued(child, parent.public_key()) {
                Err(CertificateError::Signature { subject: subject.clone(), issuer: issuer.clone() })
            } else {
                self.step(parent, steps, is_known)
            };
            match step {
                Ok(()) => return Ok(()),
                Err(CertificateError::Tangled) => return Err(CertificateError::Tangled),
                Err(error) => first.get_or_insert(error),
            };
        }
        Err(first.unwrap_or(CertificateError::Unknown { subject, issuer }))
    }

    fn step(&mut self, parent: &X509Certificate<'_>, steps: usize, is_known: bool) -> Result<(), CertificateError> {
        valid(parent, self.now)?;
        understood(parent)?;
        may_issue(parent, steps)?;
        if is_known {
            return Ok(());
        }
        if steps >= limits::STEPS {
            return Err(CertificateError::Tangled);
        }
        self.climb(parent, steps + 1)
    }
}

fn valid(certificate: &X509Certificate<'_>, now: i64) -> Result<(), CertificateError> {
    let validity = certificate.validity();
    let subject = || certificate.subject().to_string();
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::Early { subject: subject(), start: validity.not_before.to_string() });
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired { subject: subject(), end: validity.not_after.to_string() });
    }
    Ok(())
}

/// Refuses what is critical and not looked at here, and constraints on names, which nothing here keeps to.
fn understood(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let looked_at = [
        oid::OID_X509_EXT_BASIC_CONSTRAINTS,
        oid::OID_X509_EXT_KEY_USAGE,
        oid::OID_X509_EXT_EXTENDED_KEY_USAGE,
        oid::OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    let strange = certificate.extensions().iter().find(|extension| {
        let is_looked_at = looked_at.contains(&extension.oid);
        (extension.critical && !is_looked_at) || extension.oid == oid::OID_X509_EXT_NAME_CONSTRAINTS
    });
    match strange {
        Some(extension) => Err(CertificateError::Extension {
            subject: certificate.subject().to_string(),
            name: extension.oid.to_id_string(),
        }),
        None => Ok(()),
    }
}

/// A signer's certificate says that its key signs files: by its usage, by its extended usage, or by both; and by neither that
/// it does not.
fn may_sign(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let wrong = |text| CertificateError::Usage { subject: certificate.subject().to_string(), text };
    let usage = certificate.key_usage().map_err(|_| wrong("its key usage cannot be read"))?;
    let extended = certificate.extended_key_usage().map_err(|_| wrong("its extended key usage cannot be read"))?;
    if usage.as_ref().is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(wrong("its key usage lacks digitalSignature"));
    }
    if extended.as_ref().is_some_and(|extended| !extended.value.code_signing && !extended.value.any) {
        return Err(wrong("its extended key usage lacks codeSigning"));
    }
    if usage.is_none() && extended.is_none() {
        return Err(wrong("it has neither a key usage nor an extended one"));
    }
    Ok(())
}

/// Who issues is an authority, by its own certificate, with so many others below it.
fn may_issue(certificate: &X509Certificate<'_>, below: usize) -> Result<(), CertificateError> {
    let wrong = |text| CertificateError::Issuer { subject: certificate.subject().to_string(), text };
    let basic = certificate.basic_constraints().map_err(|_| wrong("its basic constraints cannot be read"))?;
    let basic = basic.filter(|basic| basic.value.ca).ok_or_else(|| wrong("its basic constraints lack CA"))?;
    if basic.value.path_len_constraint.is_some_and(|most| below > most as usize) {
        return Err(wrong("its basic constraints permit fewer certificates below it"));
    }
    let usage = certificate.key_usage().map_err(|_| wrong("its key usage cannot be read"))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(wrong("its key usage lacks keyCertSign"));
    }
    let extended = certificate.extended_key_usage().map_err(|_| wrong("its extended key usage cannot be read"))?;
    if extended.is_some_and(|extended| !extended.value.code_signing && !extended.value.any) {
        return Err(wrong("its extended key usage lacks codeSigning"));
    }
    Ok(())
}

/// Whether a certificate has the signature of a key.
fn issued(child: &X509Certificate<'_>, parent: &SubjectPublicKeyInfo<'_>) -> bool {
    let (message, signature) = (child.tbs_certificate.as_ref(), &child.signature_value);
    if signature.unused_bits != 0 || parent.subject_public_key.unused_bits != 0 {
        return false;
    }
    let name = &child.signature_algorithm.algorithm;
    let (key, signature) = (&parent.subject_public_key.data, &signature.data);
    if curve(parent) == Some(Curve::P521) {
        return *name == oid::OID_SIG_ECDSA_WITH_SHA512 && p521_verifies(key, message, signature);
    }
    algorithm(name, parent)
        .is_some_and(|algorithm| UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
}

/// What checks the signature of that name by that key. SHA-1 and keys of RSA below 2048 bits are not among it.
fn algorithm(name: &oid::Oid<'_>, key: &SubjectPublicKeyInfo<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let is = |wanted: &oid::Oid<'_>| name == wanted;
    let kind = &key.algorithm.algorithm;
    if *kind == oid::OID_PKCS1_RSAENCRYPTION {
        return match () {
            () if is(&oid::OID_PKCS1_SHA256WITHRSA) => Some(&RSA_PKCS1_2048_8192_SHA256),
            () if is(&oid::OID_PKCS1_SHA384WITHRSA) => Some(&RSA_PKCS1_2048_8192_SHA384),
            () if is(&oid::OID_PKCS1_SHA512WITHRSA) => Some(&RSA_PKCS1_2048_8192_SHA512),
            () => None,
        };
    }
    if *kind == oid::OID_SIG_ED25519 {
        return if is(&oid::OID_SIG_ED25519) { Some(&ED25519) } else { None };
    }
    let (is_256, is_384) = (is(&oid::OID_SIG_ECDSA_WITH_SHA256), is(&oid::OID_SIG_ECDSA_WITH_SHA384));
    match curve(key)? {
        Curve::P256 if is_256 => Some(&ECDSA_P256_SHA256_ASN1),
        Curve::P256 if is_384 => Some(&ECDSA_P256_SHA384_ASN1),
        Curve::P384 if is_256 => Some(&ECDSA_P384_SHA256_ASN1),
        Curve::P384 if is_384 => Some(&ECDSA_P384_SHA384_ASN1),
        Curve::P256 | Curve::P384 | Curve::P521 => None,
    }
}
