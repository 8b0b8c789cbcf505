//! Who belongs. Whether a member is present at the moment is another matter.

use std::net::SocketAddr;

use crate::id::{MeshId, NodeId, Operator, SiteName};
use crate::place::{Assurance, Jurisdiction, PlaceFacts};
use crate::time::WallTime;

/// A member of the mesh, as its certificate states.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its key.
    pub node: NodeId,
    /// Its mesh.
    pub mesh: MeshId,
    /// Its site.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Which states can compel its operator.
    pub control: Option<Vec<Jurisdiction>>,
    /// Who runs it.
    pub operator: Operator,
    /// How well the jurisdiction is supported.
    pub assurance: Assurance,
    /// When the certificate ends.
    pub expires: WallTime,
}

impl Member {
    /// The facts that the law asks for.
    pub fn place(&self) -> PlaceFacts {
        PlaceFacts {
            node: Some(self.node),
            site: Some(self.site.clone()),
            jurisdiction: self.jurisdiction,
            control: self.control.clone(),
            operator: self.operator.clone(),
            assurance: self.assurance,
        }
    }
}

/// Bytes with the key that signed them. What is inside is decoded by `hither-wire` after the signature was checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signed {
    /// The signed bytes.
    pub bytes: Vec<u8>,
    /// The Ed25519 key that signed them.
    pub signer: NodeId,
    /// The signature.
    pub signature: [u8; 64],
}

/// A member's certificate and where it was last reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberRecord {
    /// The certificate; inside is a [`Member`].
    pub certificate: Signed,
    /// Addresses, best first.
    pub addresses: Vec<SocketAddr>,
}
