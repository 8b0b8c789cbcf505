//! Invites and joins, as JSON.

use hither_types::member::Member;
use serde::{Deserialize, Serialize};

use super::MemberDto;
use crate::door::{InviteStage, InviteState};

/// The body of `POST /hither/v1/invites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Invite"))]
#[serde(deny_unknown_fields)]
pub struct InviteDto {
    /// The site of the new member.
    pub site: String,
    /// Where it stands.
    pub jurisdiction: String,
    /// How long the invite holds, in seconds.
    pub lifetime_s: u64,
    /// What the new member may do: some of `serve`, `request`, `relay` and `publish`; all of them if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Who runs it; whoever runs this node if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Whether the new member waits until a person has typed its words at this node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
}

/// The answer to `POST /hither/v1/invites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Invited"))]
pub struct InvitedDto {
    /// The text to hand over.
    pub ticket: String,
    /// The name of the invite at this node, 32 hexadecimal digits; nobody gets in by it.
    pub invite: String,
}

/// The body of `POST /hither/v1/join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Ticket"))]
#[serde(deny_unknown_fields)]
pub struct TicketDto {
    /// The text as it was handed over.
    pub ticket: String,
}

/// How far an invite is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "InviteStage"))]
#[serde(rename_all = "snake_case")]
pub enum InviteStageDto {
    /// Nobody has come with it.
    Open,
    /// A node is here, and gets its certificate in a moment.
    Met,
    /// A node is here, and its words have to be typed.
    Waiting,
    /// A node was let in.
    Joined,
    /// It was used before this node was started anew, or by a program that knows no words.
    Used,
    /// Its time is over.
    Expired,
}

/// What has become of an invite: `GET /hither/v1/invites/{invite}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "InviteState"))]
pub struct InviteStateDto {
    /// How far it is.
    pub stage: InviteStageDto,
    /// The key of the node that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The words to compare with those on its screen, unless they have to be typed from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

/// The body of `POST /hither/v1/invites/confirm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "TypedWords"))]
#[serde(deny_unknown_fields)]
pub struct WordsDto {
    /// The words that the node that joins shows.
    pub words: String,
}

/// How far a join of this node is: `POST` and `GET /hither/v1/join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Join"))]
pub struct JoinDto {
    /// The words to compare with those at the node that made the invite, once they are known and if it knows any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// What this node is now; absent while a person there has not typed the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberDto>,
}

impl From<InviteStage> for InviteStageDto {
    fn from(stage: InviteStage) -> Self {
        match stage {
            InviteStage::Open => Self::Open,
            InviteStage::Met => Self::Met,
            InviteStage::Waiting => Self::Waiting,
            InviteStage::Joined => Self::Joined,
            InviteStage::Used => Self::Used,
            InviteStage::Expired => Self::Expired,
        }
    }
}

impl From<InviteState> for InviteStateDto {
    fn from(state: InviteState) -> Self {
        let InviteState { stage, node, words } = state;
        Self { stage: stage.into(), node: node.map(|node| node.to_string()), words }
    }
}

impl JoinDto {
    /// How far a join is.
    pub(crate) fn of(words: Option<String>, member: Option<&Member>) -> Self {
        Self { words, member: member.map(MemberDto::from) }
    }
}
