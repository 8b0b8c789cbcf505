//! The outer form: a bundle as the Sigstore project defines it, around an envelope (DSSE).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::limits;

/// The two ways in which a bundle of this version says so.
const MEDIA_TYPES: [&str; 2] =
    ["application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3"];

/// What is in the envelope: a statement as in-toto defines it.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Why a file is no bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is larger than any.
    #[error("it has more than {most} bytes, and no signature of a model has as many", most = limits::BUNDLE_BYTES)]
    TooLarge,
    /// It is no JSON, or not of this form.
    #[error("it is no bundle of Sigstore's form: {0}")]
    Form(String),
    /// It is of another version.
    #[error("it says that it is {0:?}, and what can be read is {known}", known = MEDIA_TYPES[0])]
    MediaType(String),
    /// It names no signer, or several.
    #[error("it names {0} signers (publicKey, x509CertificateChain, certificate), and should name one")]
    Signers(usize),
    /// It is signed through Sigstore, and no log says so.
    #[error("it was signed by the method sigstore and has no entry of its log (tlogEntries)")]
    Log,
    /// It has no certificate, or more than a chain has.
    #[error("it has {0} certificates, and a chain has 1 to {most}", most = limits::CHAIN)]
    Chain(usize),
    /// It is not signed, or several times.
    #[error("it has {0} signatures, and should have one")]
    Signatures(usize),
    /// It is signed, and about something else.
    #[error("its envelope holds {0:?}, and should hold {PAYLOAD_TYPE}")]
    PayloadType(String),
    /// Something is not Base64.
    #[error("its {0} is not Base64")]
    Base64(&'static str),
}

/// How a model was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a key that whoever verifies knows.
    Key,
    /// By a key that a chain of certificates names.
    Certificate,
    /// By a key of a moment that Sigstore's authority and log vouch for.
    Sigstore,
}

impl Method {
    /// Its name in the specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Sigstore => "sigstore",
        }
    }
}

/// What a bundle says of its signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Material {
    /// A hint to a key. What older bundles have instead, the key itself, says nothing that whoever verifies would believe.
    Key { hint: Option<String> },
    /// Certificates, the signer's first.
    Certificates(Vec<Vec<u8>>),
    /// A certificate of Sigstore's own authority.
    Sigstore,
}

/// A bundle whose form is right. Nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub(crate) material: Material,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BundleDto {
    media_type: String,
    verification_material: MaterialDto,
    dsse_envelope: EnvelopeDto,
}

/// What entries of a log and times say is passed over: they belong to the method that is not checked here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MaterialDto {
    public_key: Option<KeyDto>,
    x509_certificate_chain: Option<ChainDto>,
    certificate: Option<CertificateDto>,
    #[serde(default)]
    tlog_entries: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyDto {
    hint: Option<String>,
    raw_bytes: Option<String>,
}

#[derive(Deserialize)]
struct ChainDto {
    certificates: Vec<CertificateDto>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateDto {
    raw_bytes: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnvelopeDto {
    payload: String,
    payload_type: String,
    signatures: Vec<SignatureDto>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureDto {
    sig: String,
    #[serde(rename = "keyid")]
    _key: Option<String>,
}

impl Bundle {
    /// Reads a bundle from a file.
    ///
    /// # Errors
    /// If it cannot be read, or its form is wrong.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let unreadable = |source| BundleError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(limits::BUNDLE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::parse(&bytes)
    }

    /// Takes a bundle apart.
    ///
    /// # Errors
    /// If its form is wrong. That it is right says nothing of who signed.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() as u64 > limits::BUNDLE_BYTES {
            return Err(BundleError::TooLarge);
        }
        // As deep as the form below; what is passed over is so without recursion, however deep.
        let bundle: BundleDto = serde_json::from_slice(bytes).map_err(|error| BundleError::Form(error.to_string()))?;
        if !MEDIA_TYPES.contains(&bundle.media_type.as_str()) {
            return Err(BundleError::MediaType(bundle.media_type));
        }
        let material = material(bundle.verification_material)?;
        let envelope = bundle.dsse_envelope;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(BundleError::PayloadType(envelope.payload_type));
        }
        let [signature] = envelope.signatures.as_slice() else {
            return Err(BundleError::Signatures(envelope.signatures.len()));
        };
        let signature = decode(&signature.sig, "signature")?;
        Ok(Self { material, payload: decode(&envelope.payload, "payload")?, signature })
    }

    /// How it says that it was signed.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.material {
            Material::Key { .. } => Method::Key,
            Material::Certificates(_) => Method::Certificate,
            Material::Sigstore => Method::Sigstore,
        }
    }

    /// The bytes that are signed: the type and the payload, each with its length (DSSE's pre-authentication encoding).
    pub(crate) fn message(&self) -> Vec<u8> {
        let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), self.payload.len());
        [head.as_bytes(), &self.payload].concat()
    }
}

fn material(dto: MaterialDto) -> Result<Material, BundleError> {
    match (dto.public_key, dto.x509_certificate_chain, dto.certificate) {
        (Some(key), None, None) => {
            if key.hint.is_none() && key.raw_bytes.is_none() {
                return Err(BundleError::Form("publicKey has neither a hint nor rawBytes".to_owned()));
            }
            Ok(Material::Key { hint: key.hint.filter(|hint| !hint.is_empty()) })
        }
        (None, Some(chain), None) => {
            let count = chain.certificates.len();
            if count == 0 || count > limits::CHAIN {
                return Err(BundleError::Chain(count));
            }
            let decoded = chain.certificates.iter().map(|one| decode(&one.raw_bytes, "certificate"));
            Ok(Material::Certificates(decoded.collect::<Result<_, _>>()?))
        }
        (None, None, Some(_)) if dto.tlog_entries.is_empty() => Err(BundleError::Log),
        (None, None, Some(_)) => Ok(Material::Sigstore),
        (key, chain, certificate) => {
            let count = [key.is_some(), chain.is_some(), certificate.is_some()].into_iter().filter(|is| *is).count();
            Err(BundleError::Signers(count))
        }
    }
}

/// DSSE lets a signer choose between the two alphabets.
fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, BundleError> {
    let alphabets = [BASE64, BASE64URL, BASE64_NOPAD, BASE64URL_NOPAD];
    let decoded = alphabets.iter().find_map(|alphabet| alphabet.decode(text.as_bytes()).ok());
    decoded.filter(|bytes| !bytes.is_empty()).ok_or(BundleError::Base64(what))
}
