//! Signatures of others under a checkpoint: C2SP `tlog-cosignature`, `cosignature/v1`, Ed25519. Who signs says that what it saw of
//! this ledger before is still the beginning of it.

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hither_types::id::NodeId;

use super::{Checkpoint, NoteError, is_origin, key_id_of};

/// The byte that says "cosignature by Ed25519" in key ids and verifier keys.
const COSIGNATURE: u8 = 4;

/// A signature of somebody else under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// The name of the key: `hither/<node>`.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub time: u64,
}

fn message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl Checkpoint {
    /// The line of a witness under this checkpoint.
    pub fn cosign(&self, name: &str, key: &SigningKey, time: u64) -> String {
        let signature = key.sign(message(&self.text(), time).as_bytes());
        let mut blob = key_id_of(name, &key.verifying_key(), COSIGNATURE).to_vec();
        blob.extend_from_slice(&time.to_be_bytes());
        blob.extend_from_slice(&signature.to_bytes());
        format!("\u{2014} {name} {}\n", BASE64.encode(&blob))
    }

    /// Checks the line of a witness under this checkpoint.
    ///
    /// # Errors
    /// If it is no such line, or not by this key under its name.
    pub fn check_cosignature(&self, line: &str, witness: NodeId) -> Result<Cosignature, NoteError> {
        let key = VerifyingKey::from_bytes(&witness.0).map_err(|_| NoteError::Key)?;
        let line = line.strip_suffix('\n').ok_or(NoteError::Form)?;
        let (name, blob) = line.strip_prefix("\u{2014} ").and_then(|l| l.split_once(' ')).ok_or(NoteError::Form)?;
        if !is_origin(name) {
            return Err(NoteError::Form);
        }
        let blob = BASE64.decode(blob.as_bytes()).map_err(|_| NoteError::Form)?;
        let (id, rest) = blob.split_first_chunk::<4>().ok_or(NoteError::Form)?;
        let (time, signature) = rest.split_first_chunk::<8>().ok_or(NoteError::Form)?;
        if *id != key_id_of(name, &key, COSIGNATURE) {
            return Err(NoteError::Unsigned);
        }
        let time = u64::from_be_bytes(*time);
        let signature = Signature::from_slice(signature).map_err(|_| NoteError::Signature)?;
        key.verify_strict(message(&self.text(), time).as_bytes(), &signature).map_err(|_| NoteError::Signature)?;
        Ok(Cosignature { name: name.to_owned(), time })
    }
}

/// The key of a witness in the form that C2SP verifiers take: `name+id+base64`.
///
/// # Errors
/// If it is no key.
pub(crate) fn witness_key(name: &str, witness: NodeId) -> Result<String, NoteError> {
    let key = VerifyingKey::from_bytes(&witness.0).map_err(|_| NoteError::Key)?;
    let id = u32::from_be_bytes(key_id_of(name, &key, COSIGNATURE));
    Ok(format!("{name}+{id:08x}+{}", BASE64.encode(&[&[COSIGNATURE], witness.0.as_slice()].concat())))
}

/// Reads the key of a witness: its name and its node.
///
/// # Errors
/// If it is not what [`witness_key`] writes.
pub(crate) fn parse_witness_key(text: &str) -> Result<(String, NodeId), NoteError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key);
    };
    let typed = BASE64.decode(key.as_bytes()).map_err(|_| NoteError::Key)?;
    let [COSIGNATURE, key @ ..] = typed.as_slice() else { return Err(NoteError::Key) };
    let node = NodeId(key.try_into().map_err(|_| NoteError::Key)?);
    if witness_key(name, node)? != text {
        return Err(NoteError::Key);
    }
    Ok((name.to_owned(), node))
}

#[cfg(test)]
mod tests;
