//! Who may say who belongs, as JSON.

use hither_types::authority::{AuthorityView, Change, Issuer, Publication, Quorum};
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
    /// Whom the founder needs for appointments and dismissals.
    pub quorum: QuorumDto,
    /// What is proposed and not in force.
    pub proposals: Vec<ProposalDto>,
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
    /// Who must run them; whoever if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    /// What they may do at most: some of `serve`, `request`, `relay` and `publish`; all of them if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// Whom the founder needs: part of [`AuthorityDto`], and the body of `POST /hither/v1/quorum`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Quorum"))]
#[serde(deny_unknown_fields)]
pub struct QuorumDto {
    /// How many of the approvers; 0 means that the founder needs nobody.
    pub needed: u8,
    /// Their keys.
    #[serde(default)]
    pub approvers: Vec<String>,
}

/// A proposal that is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Proposal"))]
pub struct ProposalDto {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// What is wanted, in words.
    pub change: String,
    /// The keys of approvers who want it, too.
    pub approved: Vec<String>,
}

impl From<&Issuer> for IssuerDto {
    fn from(issuer: &Issuer) -> Self {
        let Issuer { node, scope } = issuer;
        Self {
            node: node.to_string(),
            within: scope.within.iter().map(ToString::to_string).collect(),
            operators: scope.operators.iter().map(ToString::to_string).collect(),
            roles: scope.roles.iter().map(|role| role.to_string()).collect(),
        }
    }
}

impl From<&Quorum> for QuorumDto {
    fn from(quorum: &Quorum) -> Self {
        Self { needed: quorum.needed, approvers: quorum.approvers.iter().map(ToString::to_string).collect() }
    }
}

fn or(list: Vec<String>, all: &str) -> String {
    if list.is_empty() { all.to_owned() } else { list.join(", ") }
}

/// A change in words.
fn described(change: &Change) -> String {
    match change {
        Change::Appoint(issuer) => {
            let IssuerDto { within, operators, roles, .. } = issuer.into();
            format!(
                "appoint {}: within {}, operators {}, roles {}",
                issuer.node.short(),
                or(within, "all jurisdictions"),
                or(operators, "all"),
                or(roles, "none")
            )
        }
        Change::Dismiss { node, .. } => format!("dismiss {}", node.short()),
        Change::Quorum(quorum) => {
            let approvers: Vec<String> = quorum.approvers.iter().map(|node| node.short().to_string()).collect();
            format!("quorum {} of {}", quorum.needed, approvers.join(", "))
        }
        Change::Publish(Publication { policy, range }) => {
            let within = or(range.within.iter().map(ToString::to_string).collect(), "all jurisdictions");
            let operators = or(range.operators.iter().map(ToString::to_string).collect(), "all");
            let what = match policy {
                Some(policy) => format!("policy version {}, b3:{}", policy.version, policy.digest.short()),
                None => "no published policy".to_owned(),
            };
            format!("{what}: within {within}, operators {operators}")
        }
    }
}

impl From<&AuthorityView> for AuthorityDto {
    fn from(view: &AuthorityView) -> Self {
        let hex = |id: &[u8; 32]| id.iter().map(|byte| format!("{byte:02x}")).collect();
        let proposals = view.proposals.iter().map(|proposal| ProposalDto {
            id: hex(&proposal.id),
            change: described(&proposal.change),
            approved: proposal.approved.iter().map(ToString::to_string).collect(),
        });
        Self {
            mesh: view.mesh.to_string(),
            founder: view.founder.to_string(),
            issuers: view.issuers.iter().map(IssuerDto::from).collect(),
            revoked: view.revoked.iter().map(ToString::to_string).collect(),
            quorum: (&view.quorum).into(),
            proposals: proposals.collect(),
            entries: view.entries,
        }
    }
}
