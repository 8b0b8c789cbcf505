//! Words about versions of a model that take over from others. The order of the variants is part of the form.

use hither_types::id::{Digest, NodeId, SiteName};
use hither_types::rollout::{Rollout, RolloutFault, RolloutWord, Verdict};
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{List, Text};
use crate::limits::MAX_ROLLOUT_SITES;

#[derive(Serialize, Deserialize)]
pub(crate) enum RolloutWordForm<'a> {
    #[serde(borrow)]
    Begun(RolloutForm<'a>),
    #[serde(borrow)]
    Judged(VerdictForm<'a>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RolloutForm<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    revision: u64,
    from: [u8; 32],
    to: [u8; 32],
    share: u16,
    sites: List<Text<'a>, MAX_ROLLOUT_SITES>,
    tolerance: u16,
    publisher: [u8; 32],
    at: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct VerdictForm<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    revision: u64,
    publisher: [u8; 32],
    by: [u8; 32],
    fault: FaultForm,
}

#[derive(Serialize, Deserialize)]
enum FaultForm {
    Failures { tried: u32, failed: u32 },
    WrongAnswer,
}

impl<'a> TryFrom<&'a RolloutWord> for RolloutWordForm<'a> {
    type Error = EncodeError;

    fn try_from(word: &'a RolloutWord) -> Result<Self, EncodeError> {
        Ok(match word {
            RolloutWord::Begun(rollout) => {
                let Rollout { name, revision, from, to, share, sites, tolerance, publisher, at } = rollout;
                Self::Begun(RolloutForm {
                    name: name.into(),
                    revision: *revision,
                    from: from.0,
                    to: to.0,
                    share: *share,
                    sites: List::of("sites of one rollout", sites)?,
                    tolerance: *tolerance,
                    publisher: publisher.0,
                    at: at.0,
                })
            }
            RolloutWord::Judged(Verdict { name, revision, publisher, by, fault }) => Self::Judged(VerdictForm {
                name: name.into(),
                revision: *revision,
                publisher: publisher.0,
                by: by.0,
                fault: match *fault {
                    RolloutFault::Failures { tried, failed } => FaultForm::Failures { tried, failed },
                    RolloutFault::WrongAnswer => FaultForm::WrongAnswer,
                },
            }),
        })
    }
}

impl TryFrom<RolloutWordForm<'_>> for RolloutWord {
    type Error = DecodeError;

    fn try_from(form: RolloutWordForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            RolloutWordForm::Begun(form) => Self::Begun(Rollout {
                name: form.name.try_into()?,
                revision: form.revision,
                from: Digest(form.from),
                to: Digest(form.to),
                share: form.share,
                sites: form.sites.into_words::<SiteName>()?,
                tolerance: form.tolerance,
                publisher: NodeId(form.publisher),
                at: WallTime(form.at),
            }),
            RolloutWordForm::Judged(form) => Self::Judged(Verdict {
                name: form.name.try_into()?,
                revision: form.revision,
                publisher: NodeId(form.publisher),
                by: NodeId(form.by),
                fault: match form.fault {
                    FaultForm::Failures { tried, failed } => RolloutFault::Failures { tried, failed },
                    FaultForm::WrongAnswer => RolloutFault::WrongAnswer,
                },
            }),
        })
    }
}
