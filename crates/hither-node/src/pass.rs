//! Passes: what lets a joiner on a relay for its hello.
//!
//! The ticket carries a signature of its issuer over the mesh, the invite and its end. A relay that is a member checks it
//! by the authority log alone: nobody has to tell it of invites. A pass says nothing of who holds it, as the ticket does not;
//! it opens the way to a hello, and the issuer takes an invite once.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::SigningKey;
use hither_types::id::{MeshId, NodeId};
use hither_types::member::Signed;
use hither_types::message::Invite;
use hither_types::time::WallTime;

use crate::authority::Authority;
use crate::trust::{self, Seal};

#[cfg(test)]
mod tests;

/// What is signed: mesh, invite, end.
const SIZE: usize = 32 + 16 + 8;

fn said(mesh: MeshId, invite: &[u8; 16], expires: WallTime) -> Vec<u8> {
    [mesh.0.as_slice(), invite, &expires.0.to_le_bytes()].concat()
}

/// The issuer's signature for the joiner of an invite.
pub(crate) fn issue(key: &SigningKey, invite: &Invite) -> [u8; 64] {
    let bytes = said(invite.mesh, &trust::invite_name(&invite.secret), invite.expires);
    trust::sign(key, Seal::Pass, bytes).signature
}

/// The pass of an invite, as it is shown to a relay.
pub(crate) fn text(invite: &Invite) -> Option<String> {
    let signature = invite.pass?;
    let bytes = said(invite.mesh, &trust::invite_name(&invite.secret), invite.expires);
    Some(BASE64URL_NOPAD.encode(&[invite.issuer.0.as_slice(), &signature, &bytes].concat()))
}

/// Whether a pass was made by somebody who may let others into this mesh, and has not ended.
pub(crate) fn holds(authority: &Authority, text: &str, now: WallTime) -> bool {
    let Ok(bytes) = BASE64URL_NOPAD.decode(text.as_bytes()) else { return false };
    let Ok(bytes) = <[u8; 32 + 64 + SIZE]>::try_from(bytes) else { return false };
    let (signer, rest) = bytes.split_at(32);
    let (signature, said) = rest.split_at(64);
    let (Ok(signer), Ok(signature)) = (signer.try_into(), signature.try_into()) else { return false };
    let signed = Signed { bytes: said.to_vec(), signer: NodeId(signer), signature };
    let expires = said.last_chunk().map_or(0, |end| u64::from_le_bytes(*end));
    said.starts_with(&authority.mesh.0)
        && now.0 <= expires
        && authority.is_issuer(signed.signer)
        && !authority.is_revoked(signed.signer)
        && trust::check(&signed, Seal::Pass).is_ok()
}
