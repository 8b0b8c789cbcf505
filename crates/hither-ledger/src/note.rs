//! Checkpoints: C2SP signed notes (`tlog-checkpoint`), signed with Ed25519.
//!
//! ```text
//! hither/<node>
//! <records>
//! <root, base64>
//!
//! — hither/<node> <key id and signature, base64>
//! ```

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hither_types::id::NodeId;
use sha2::{Digest, Sha256};

use crate::tree::Hash;

pub(crate) mod cosign;

/// The byte that says "Ed25519" in key ids and verifier keys of signed notes.
const ED25519: u8 = 1;

/// What a node says about its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose ledger: `hither/<node>`.
    pub origin: String,
    /// How many records.
    pub size: u64,
    /// Their Merkle root.
    pub root: Hash,
}

/// What is wrong with a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Not a checkpoint by its form.
    #[error("not a signed checkpoint")]
    Form,
    /// It has no signature by the key.
    #[error("no signature by the node's key")]
    Unsigned,
    /// The signature is not of this text by this key.
    #[error("the signature does not fit the text")]
    Signature,
    /// The key is not a key, or not that of the name.
    #[error("not a verifier key")]
    Key,
}

fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    key_id_of(name, key, ED25519)
}

/// The id of a key for one kind of signature.
fn key_id_of(name: &str, key: &VerifyingKey, kind: u8) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', kind]).chain_update(key.as_bytes()).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The key in the form that C2SP verifiers take: `name+id+base64`.
pub fn verifier_key(origin: &str, node: NodeId) -> Result<String, NoteError> {
    let key = VerifyingKey::from_bytes(&node.0).map_err(|_| NoteError::Key)?;
    let mut typed = vec![ED25519];
    typed.extend_from_slice(&node.0);
    Ok(format!("{origin}+{:08x}+{}", u32::from_be_bytes(key_id(origin, &key)), BASE64.encode(&typed)))
}

/// Reads a verifier key: the origin and the node.
pub(crate) fn parse_verifier_key(text: &str) -> Result<(String, NodeId), NoteError> {
    // Base64 may hold a plus sign, an origin may not.
    let mut parts = text.splitn(3, '+');
    let (Some(origin), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key);
    };
    let typed = BASE64.decode(key.as_bytes()).map_err(|_| NoteError::Key)?;
    let [ED25519, key @ ..] = typed.as_slice() else { return Err(NoteError::Key) };
    let node = NodeId(key.try_into().map_err(|_| NoteError::Key)?);
    if verifier_key(origin, node)? != text {
        return Err(NoteError::Key);
    }
    Ok((origin.to_owned(), node))
}

/// Whether text can be the origin line and the name of a key: no space, no plus, no control character.
pub(crate) fn is_origin(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
}

impl Checkpoint {
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// The checkpoint as a signed note.
    pub(crate) fn sign(&self, key: &SigningKey) -> String {
        let text = self.text();
        let mut signature = key_id(&self.origin, &key.verifying_key()).to_vec();
        signature.extend_from_slice(&key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n\u{2014} {} {}\n", self.origin, BASE64.encode(&signature))
    }

    /// Reads a signed note and checks the node's signature. Signatures of others are left to those who know their keys.
    pub fn open(note: &str, node: NodeId) -> Result<Self, NoteError> {
        let key = VerifyingKey::from_bytes(&node.0).map_err(|_| NoteError::Key)?;
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Form);
        };
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_| NoteError::Form)?,
            root: BASE64.decode(root.as_bytes()).ok().and_then(|r| r.try_into().ok()).ok_or(NoteError::Form)?,
        };
        // Only what this program writes is a checkpoint of this program: no extension lines, no spare zeros.
        if !is_origin(origin) || checkpoint.text() != format!("{text}\n") {
            return Err(NoteError::Form);
        }
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Form)?;
        let id = key_id(origin, &key);
        let mut signed = false;
        for line in signatures.split('\n') {
            let (name, blob) = line.strip_prefix("\u{2014} ").and_then(|l| l.split_once(' ')).ok_or(NoteError::Form)?;
            let blob = BASE64.decode(blob.as_bytes()).map_err(|_| NoteError::Form)?;
            let (found, signature) = blob.split_at_checked(4).ok_or(NoteError::Form)?;
            if name == origin && found == id {
                let signature = Signature::from_slice(signature).map_err(|_| NoteError::Signature)?;
                key.verify_strict(checkpoint.text().as_bytes(), &signature).map_err(|_| NoteError::Signature)?;
                signed = true;
            }
        }
        if signed { Ok(checkpoint) } else { Err(NoteError::Unsigned) }
    }
}

#[cfg(test)]
mod tests;
