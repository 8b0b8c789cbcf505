//! The policy in force as JSON, and another in its place.

use serde::{Deserialize, Serialize};

use crate::door::PolicyInForce;

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
