//! Bundles that the tests sign themselves, and what is common to all tests of them.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, HEXLOWER};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{Bundle, PublicKey, Rules, SignatureError, Signed, Trust};

mod chains;
mod files;
mod forms;
mod garbage;

/// The moment of the tests: in 2030.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_900_000_000)
}

/// A signer with a key of P-256.
struct Author(KeyPair);

impl Author {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn trust(&self) -> Trust {
        Trust::Key(self.key())
    }

    fn key(&self) -> PublicKey {
        PublicKey::from_pem(self.0.public_key_pem().as_bytes()).unwrap()
    }

    /// Signs a statement, whatever it says.
    fn sign(&self, statement: &Value) -> Value {
        sealed(statement, &json!({"publicKey": {"hint": self.key().fingerprint()}}), |message| {
            self.0.sign(message).unwrap()
        })
    }

    /// Signs a statement, and takes its bundle for one of this signer.
    fn signed(&self, statement: &Value) -> Result<Signed, SignatureError> {
        verified(&self.sign(statement), &self.trust())
    }
}

fn sealed(statement: &Value, material: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Value {
    let payload = statement.to_string();
    // Written out once more, so that the tests do not sign what the code under test makes up.
    let message = format!("DSSEv1 28 application/vnd.in-toto+json {} {payload}", payload.len());
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": {
            "payload": BASE64.encode(payload.as_bytes()),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": BASE64.encode(&sign(message.as_bytes())), "keyid": ""}],
        },
    })
}

fn verified(bundle: &Value, trust: &Trust) -> Result<Signed, SignatureError> {
    Bundle::parse(bundle.to_string().as_bytes()).unwrap().verify(trust, now())
}

/// A statement about files, given by name and content, hashed with SHA-256 as a whole.
fn statement(files: &[(&str, &str)]) -> Value {
    let resources: Vec<Value> =
        files.iter().map(|(name, content)| resource(name, "sha256", &Sha256::digest(content))).collect();
    over(&resources, &json!({"method": "files", "hash_type": "sha256", "allow_symlinks": false}))
}

fn resource(name: &str, algorithm: &str, digest: &[u8]) -> Value {
    json!({"name": name, "algorithm": algorithm, "digest": HEXLOWER.encode(digest)})
}

/// A statement over a list, with the root digest that belongs to it.
fn over(resources: &[Value], serialization: &Value) -> Value {
    let all: String = resources.iter().map(|one| one["digest"].as_str().unwrap_or_default()).collect();
    let root = Sha256::digest(HEXLOWER.decode(all.as_bytes()).unwrap_or_default());
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": HEXLOWER.encode(&root)}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": serialization, "resources": resources},
    })
}

/// Puts files into a folder.
fn put(folder: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// What becomes of a check, in words: `ok` and the names, or the error.
fn outcome(signed: &Signed, path: &Path, rules: &Rules) -> String {
    match signed.check(path, rules) {
        Ok(checked) => {
            let names: Vec<&str> = checked.files.iter().map(|file| file.name.as_str()).collect();
            format!("ok {} of {}", names.join(" "), names.len() + checked.others)
        }
        Err(error) => error.to_string(),
    }
}
