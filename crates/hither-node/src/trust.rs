//! Signatures, certificates and invites. Nothing here is believed before its signature was checked.

use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hither_api::door::InviteStage;
use hither_types::id::NodeId;
use hither_types::member::{Member, Signed};
use hither_types::message::{Comparison, Invite};
use hither_types::model::Manifest;
use hither_types::time::WallTime;
use hither_types::unit::Micros;

use crate::limits::{CLOCK_GRACE, INVITES_MAX};

#[cfg(test)]
mod tests;

/// What a signature is for, so that one kind of signed bytes is never taken for another.
#[derive(Clone, Copy)]
pub(crate) enum Seal {
    Certificate,
    Manifest,
    Authority,
    Start,
    Pass,
    Rollout,
    Near,
}

impl Seal {
    fn context(self) -> &'static [u8] {
        match self {
            Self::Certificate => b"hither certificate 1\0",
            Self::Manifest => b"hither manifest 1\0",
            Self::Authority => b"hither authority 1\0",
            Self::Start => b"hither start 1\0",
            Self::Pass => b"hither pass 1\0",
            Self::Rollout => b"hither rollout 1\0",
            Self::Near => b"hither near 1\0",
        }
    }
}

/// A certificate for a member.
pub(crate) fn certify(key: &SigningKey, member: &Member) -> Signed {
    let bytes = hither_wire::encode_member(member).expect("the parts of a member are bounded when they are parsed");
    sign(key, Seal::Certificate, bytes)
}

/// Why signed bytes are not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("the signature does not fit")]
    Signature,
    #[error("the certificate was signed by a key that is no issuer of this mesh")]
    Issuer,
    #[error("the issuer may not let in whom the certificate is for")]
    Scope,
    #[error("the node is no member any more: it was revoked")]
    Revoked,
    #[error("the node is no member any more: it left")]
    Left,
    #[error("the certificate is for another mesh")]
    Mesh,
    #[error("the certificate has expired")]
    Expired,
    #[error("the signed bytes are malformed: {0}")]
    Malformed(String),
}

pub(crate) fn node_id(key: &SigningKey) -> NodeId {
    NodeId(key.verifying_key().to_bytes())
}

pub(crate) fn sign(key: &SigningKey, seal: Seal, bytes: Vec<u8>) -> Signed {
    let signature = key.sign(&[seal.context(), &bytes].concat()).to_bytes();
    Signed { bytes, signer: node_id(key), signature }
}

/// Checks a signature, and what it is for.
pub(crate) fn check(signed: &Signed, seal: Seal) -> Result<(), TrustError> {
    let key = VerifyingKey::from_bytes(&signed.signer.0).map_err(|_| TrustError::Signature)?;
    let signature = Signature::from_bytes(&signed.signature);
    key.verify_strict(&[seal.context(), &signed.bytes].concat(), &signature).map_err(|_| TrustError::Signature)
}

/// The manifest inside signed bytes; that its publisher is a member is for the caller to check.
pub(crate) fn check_manifest(signed: &Signed) -> Result<Manifest, TrustError> {
    check(signed, Seal::Manifest)?;
    let manifest =
        hither_wire::decode_manifest(&signed.bytes).map_err(|error| TrustError::Malformed(error.to_string()))?;
    if manifest.publisher != signed.signer {
        return Err(TrustError::Signature);
    }
    Ok(manifest)
}

/// The name of an invite: the first half of the hash of its secret.
pub(crate) fn invite_name(secret: &[u8; 16]) -> [u8; 16] {
    let mut name = [0; 16];
    name.copy_from_slice(&blake3::hash(secret).as_bytes()[..16]);
    name
}

/// What a joiner shows instead of the secret.
pub(crate) fn invite_proof(secret: &[u8; 16], joiner: NodeId) -> [u8; 32] {
    let key = blake3::derive_key("hither invite proof 1", secret);
    *blake3::keyed_hash(&key, &joiner.0).as_bytes()
}

/// Why an invite does not let somebody in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InviteError {
    #[error("this invite was never made here, or its time is long over")]
    Unknown,
    #[error("this invite was used already; an invite lets in one node, once")]
    Used,
    #[error("this invite has expired")]
    Expired,
    #[error("the proof does not fit the invite")]
    Proof,
    #[error("the words of this invite have to be compared, and the program that joins shows none: update it")]
    Words,
    #[error("whoever shows this number did not come with the invite before, or the node that made it was started anew")]
    NotMet,
    #[error("the number that was shown is not the one that was promised")]
    Promise,
    #[error("there are {INVITES_MAX} open invites already; wait until some expire")]
    TooMany,
    #[error("the invite cannot be read or written")]
    Io(#[from] std::io::Error),
}

/// How a joiner comes with an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It wants its certificate at once.
    Plain,
    /// It meets the issuer first, for words.
    Met,
}

/// The invites that this node made: a file each, so that "used once" survives a restart.
pub(crate) struct Invites {
    dir: PathBuf,
}

impl Invites {
    pub(crate) fn open(dir: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    fn path(&self, name: &[u8; 16], suffix: &str) -> PathBuf {
        self.dir.join(format!("{}.{suffix}", data_encoding::HEXLOWER.encode(name)))
    }

    /// Keeps a new invite. Expired ones are forgotten a day later, so that "used" and "expired" can be told apart.
    pub(crate) fn keep(&self, invite: &Invite, now: WallTime) -> Result<(), InviteError> {
        let mut open = 0;
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            match read_invite(&path) {
                Some(other) if other.expires.0 + 86_400_000 >= now.0 => {
                    let is_open = other.expires >= now && path.extension().is_some_and(|suffix| suffix == "open");
                    open += usize::from(is_open);
                }
                Some(_) | None => std::fs::remove_file(&path)?,
            }
        }
        if open >= INVITES_MAX {
            return Err(InviteError::TooMany);
        }
        let path = self.path(&invite_name(&invite.secret), "open");
        let bytes = hither_wire::encode_invite(invite).map_err(std::io::Error::other)?;
        Ok(crate::home::write_private(&path, &bytes)?)
    }

    /// Takes an invite for a joiner. After this it is used, whatever happens to the joiner.
    pub(crate) fn take(
        &self,
        name: &[u8; 16],
        proof: &[u8; 32],
        joiner: NodeId,
        manner: Manner,
        now: WallTime,
    ) -> Result<Invite, InviteError> {
        let open = self.path(name, "open");
        let used = self.path(name, "used");
        let Some(invite) = read_invite(&open) else {
            return Err(if used.exists() { InviteError::Used } else { InviteError::Unknown });
        };
        // blake3::Hash compares in constant time.
        if blake3::Hash::from(*proof) != blake3::Hash::from(invite_proof(&invite.secret, joiner)) {
            return Err(InviteError::Proof);
        }
        if invite.expires < now {
            return Err(InviteError::Expired);
        }
        if manner == Manner::Plain && invite.comparison == Some(Comparison::Typed) {
            return Err(InviteError::Words);
        }
        // A rename happens once: of two joiners with one ticket, one gets an error here.
        std::fs::rename(&open, &used).map_err(|_| InviteError::Used)?;
        Ok(invite)
    }

    /// What has become of an invite that nobody met this node with since it started.
    pub(crate) fn stage(&self, name: &[u8; 16], now: WallTime) -> Option<InviteStage> {
        match read_invite(&self.path(name, "open")) {
            Some(invite) if invite.expires < now => Some(InviteStage::Expired),
            Some(_) => Some(InviteStage::Open),
            None => self.path(name, "used").exists().then_some(InviteStage::Used),
        }
    }
}

fn read_invite(path: &Path) -> Option<Invite> {
    hither_wire::decode_invite(&std::fs::read(path).ok()?).ok()
}

/// The wall clock. People and records read it; certificates and invites end by it.
pub(crate) fn wall_now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    WallTime(since.as_millis() as u64)
}

/// When a certificate that ends then is refused: clocks differ.
pub(crate) fn clock_grace(end: WallTime) -> WallTime {
    WallTime(end.0.saturating_add(CLOCK_GRACE.as_millis() as u64))
}

/// The wall time after a span.
pub(crate) fn wall_after(now: WallTime, span: Micros) -> WallTime {
    WallTime(now.0.saturating_add(span.0 / 1000))
}
