//! Who may say who belongs, as JSON.

use hither_types::authority::AuthorityView;
use serde::{Deserialize, Serialize};

/// What the authority log says: `GET /hither/v1/authority`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Authority"))]
pub struct AuthorityDto {
    /// The mesh, 64 hexadecimal digits.
    pub mesh: String,
    /// The key of the node that made it.
    pub founder: String,
    /// Who may let others in beside the founder.
    pub issuers: Vec<IssuerDto>,
    /// The keys of nodes that are no members any more.
    pub revoked: Vec<String>,
    /// How many entries the log has.
    pub entries: usize,
}

/// A member that may let others in: part of [`AuthorityDto`], and the body of `POST /hither/v1/issuers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Issuer"))]
#[serde(deny_unknown_fields)]
pub struct IssuerDto {
    /// Its key, 64 hexadecimal digits.
    pub node: String,
    /// Where those whom it lets in must stand: ISO 3166 codes; wherever if empty.
    #[serde(default)]
    pub within: Vec<String>,
}

impl From<&AuthorityView> for AuthorityDto {
    fn from(view: &AuthorityView) -> Self {
        let issuers = view.issuers.iter().map(|issuer| IssuerDto {
            node: issuer.node.to_string(),
            within: issuer.within.iter().map(ToString::to_string).collect(),
        });
        Self {
            mesh: view.mesh.to_string(),
            founder: view.founder.to_string(),
            issuers: issuers.collect(),
            revoked: view.revoked.iter().map(ToString::to_string).collect(),
            entries: view.entries,
        }
    }
}
