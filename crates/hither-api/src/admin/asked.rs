//! What an operator asks of a node, and what comes of it.

use serde::{Deserialize, Serialize};

/// The body of `POST /hither/v1/models`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NewModel"))]
#[serde(deny_unknown_fields)]
pub struct AddModelDto {
    /// The file, an absolute path on the node's machine.
    pub path: String,
    /// What people call it.
    pub name: String,
    /// The SPDX licence expression; empty if unknown.
    #[serde(default)]
    pub licence: String,
    /// Questions whose answers are known; if there are none, those that the engine gives on this node count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub golden: Vec<GoldenDto>,
    /// For how many seconds from now on it may be used, at most 100 years; for ever if absent, or as long as the catalog says
    /// already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for_s: Option<u64>,
    /// Who signed its files, if whoever asks checked that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedFileDto>,
}

/// A signature of a publisher that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SignedFile"))]
#[serde(deny_unknown_fields)]
pub struct SignedFileDto {
    /// Who signed: the method, and the key's SHA-256 or the certificate's subject, in at most 256 bytes.
    pub by: String,
    /// BLAKE3 of the file that was checked, 64 hexadecimal digits: no other is taken.
    pub digest: String,
}

/// The body of `POST /hither/v1/models/{model}/publish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NewEntry"))]
#[serde(deny_unknown_fields)]
pub struct PublishDto {
    /// For how many seconds from now on it may be used, at most 100 years; without it and `no_end`, as long as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for_s: Option<u64>,
    /// It may be used for ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_end: bool,
}

/// The body of `POST /hither/v1/models/{model}/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RemoveModel"))]
#[serde(deny_unknown_fields)]
pub struct RemoveModelDto {
    /// Also if nobody else who is present has it: then nobody may have it any more.
    #[serde(default)]
    pub last: bool,
}

/// The body of `POST /hither/v1/models/{model}/rollout`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NewRollout"))]
#[serde(deny_unknown_fields)]
pub struct NewRolloutDto {
    /// The new version, a model whose name is that in the path, a colon, and more.
    pub to: String,
    /// The share of the requests that it answers, 0.001 to 1; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The sites whose requests it answers; all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// The share of the requests that may fail beyond those that fail with the old version, before a node goes back; 0.02
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

/// A question to a model, and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "KnownAnswer"))]
#[serde(untagged, deny_unknown_fields)]
pub enum GoldenDto {
    /// Of a tensor model.
    Tensors {
        /// Tensors as a request of the Open Inference Protocol has them.
        inputs: serde_json::Value,
        /// Tensors as its answer has them. One with fewer elements is the beginning of what comes.
        outputs: serde_json::Value,
        /// How far a number may be off, as a share of it; 0.001 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        relative: Option<f64>,
        /// And beside that; 0.0001 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        absolute: Option<f64>,
    },
    /// Of a language model, which is asked for its likeliest words.
    Words {
        /// Text as it is, without a template.
        prompt: String,
        /// How the answer begins.
        begins: String,
    },
}

/// The body of `POST /hither/v1/power`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PowerCap"))]
#[serde(deny_unknown_fields)]
pub struct PowerDto {
    /// The new cap in watts.
    pub cap_w: f64,
}

/// The body of `POST /hither/v1/isolate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Isolation"))]
#[serde(deny_unknown_fields)]
pub struct IsolateDto {
    /// Whether the node is to be cut off from all peers.
    pub isolated: bool,
}

/// The answer to a command that gives nothing back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Done"))]
pub struct DoneDto {
    /// What happened, in one sentence.
    pub message: String,
    /// The id of the proposal that it only became: it is in force once enough approvers want it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
}
