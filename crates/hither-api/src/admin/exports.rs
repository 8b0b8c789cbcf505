//! A copy of a ledger that somebody gets, as it is put on the record.

use serde::{Deserialize, Serialize};

/// The body of `POST /hither/v1/ledger/export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LedgerExport"))]
#[serde(deny_unknown_fields)]
pub struct ExportDto {
    /// Where whoever gets it is: an ISO 3166 code.
    pub jurisdiction: String,
    /// Who they are; absent if nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// How many records the checkpoint covers.
    pub records: u64,
    /// Their Merkle root, 64 hexadecimal digits.
    pub root: String,
    /// The rules of the policy that permit it.
    #[serde(default)]
    pub rules: Vec<String>,
    /// BLAKE3 of the text of the policy that was asked, 64 hexadecimal digits: if another is in force, nothing is recorded.
    pub policy: String,
}
