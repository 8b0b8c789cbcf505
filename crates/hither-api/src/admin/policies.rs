//! The policy in force as JSON, another in its place, and those that were published.

use hither_types::authority::Publication;
use serde::{Deserialize, Serialize};

use crate::door::policy::{PolicyInForce, Publications};

/// The policy in force: `GET /hither/v1/policy`, and the answer to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Policy"))]
pub struct PolicyDto {
    /// BLAKE3 of its text, 64 hexadecimal digits.
    pub digest: String,
    /// Its author's version.
    pub version: u32,
    /// Its text.
    pub text: String,
    /// Where the node reads it; there may be no such file.
    pub file: String,
}

impl From<PolicyInForce> for PolicyDto {
    fn from(PolicyInForce { digest, version, text, file }: PolicyInForce) -> Self {
        Self { digest: digest.to_string(), version, text, file: file.display().to_string() }
    }
}

/// The body of `POST /hither/v1/policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NewPolicy"))]
#[serde(deny_unknown_fields)]
pub struct NewPolicyDto {
    /// The text of the new policy.
    pub text: String,
    /// The digest of the policy that it was compared with, 64 hexadecimal digits: if another is in force meanwhile,
    /// nothing changes.
    pub over: String,
}

/// Which policies the founder published, and what they are to this node: `GET /hither/v1/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Policies"))]
pub struct PoliciesDto {
    /// BLAKE3 of the text of the policy in force here.
    pub in_force: String,
    /// Why this node does not live by what is published for it; absent if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<String>,
    /// The policies that hold for some nodes, the latest last: of those whose range a node is in, the last is for it.
    pub published: Vec<PublicationDto>,
}

/// A published policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Publication"))]
pub struct PublicationDto {
    /// BLAKE3 of its text, 64 hexadecimal digits.
    pub digest: String,
    /// Its author's version.
    pub version: u32,
    /// Where nodes must stand for whom it is: ISO 3166 codes; wherever if empty.
    #[serde(default)]
    pub within: Vec<String>,
    /// Who must run them; whoever if empty.
    #[serde(default)]
    pub operators: Vec<String>,
    /// Whether it is the one for this node.
    pub here: bool,
    /// Whether its text has come here.
    pub held: bool,
}

impl From<Publications> for PoliciesDto {
    fn from(Publications { apart, here, list, held, in_force }: Publications) -> Self {
        let publication = |publication: &Publication| {
            let Publication { policy, range } = publication;
            let policy = policy.as_ref()?;
            Some(PublicationDto {
                digest: policy.digest.to_string(),
                version: policy.version,
                within: range.within.iter().map(ToString::to_string).collect(),
                operators: range.operators.iter().map(ToString::to_string).collect(),
                here: here == Some(policy.digest),
                held: held.contains(&policy.digest),
            })
        };
        Self { in_force: in_force.to_string(), apart, published: list.iter().filter_map(publication).collect() }
    }
}

/// The body of `POST /hither/v1/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NewPublication"))]
#[serde(deny_unknown_fields)]
pub struct NewPublicationDto {
    /// The text of the policy; absent: what was published for these nodes before holds no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where nodes must stand for whom it is: ISO 3166 codes; wherever if empty.
    #[serde(default)]
    pub within: Vec<String>,
    /// Who must run them; whoever if empty.
    #[serde(default)]
    pub operators: Vec<String>,
}

/// The text of a policy: `GET /hither/v1/policies/{digest}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PolicyText"))]
pub struct PolicyTextDto {
    /// The text; its BLAKE3 is the digest.
    pub text: String,
}
