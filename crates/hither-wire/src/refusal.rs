//! Why a place said no, or failed. The order of the variants is part of the form: new ones go to the end.

use hither_types::id::NodeId;
use hither_types::law::{Denial, FIELDS, FailedField, LawAction, NearMiss};
use hither_types::member::Roles;
use hither_types::refusal::{Crash, DeniedPlace, Failure, InputFault, Refusal};
use hither_types::time::WallTime;
use hither_types::unit::{Micros, Milliwatts};
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{ClassCode, List, Text};
use crate::limits::{MAX_DENIED, MAX_FAILED_FIELDS};
use crate::member::roles;

/// What a field of a rule is called that only a newer node knows: the rest of its refusal is still worth reading.
pub(crate) const NEWER_FIELD: &str = "a field of a newer version";

#[derive(Serialize, Deserialize)]
pub(crate) enum RefusalForm<'a> {
    #[serde(borrow)]
    UnknownModel(Text<'a>),
    Unlawful {
        #[serde(borrow)]
        model: Text<'a>,
        class: ClassCode,
        denied: List<DeniedForm<'a>, MAX_DENIED>,
    },
    UnlawfulThere(DenialForm<'a>),
    Overloaded {
        retry_after: u64,
    },
    NoPower {
        cap: u64,
    },
    NoCapacity {
        tried: u8,
    },
    DeadlinePassed,
    LedgerUnavailable,
    ModelBroken(Text<'a>),
    NotAMember,
    Stopping,
    KeyInUse,
    /// Since version 3 of the protocol.
    ModelExpired {
        #[serde(borrow)]
        model: Text<'a>,
        ended: u64,
    },
}

impl<'a> TryFrom<&'a Refusal> for RefusalForm<'a> {
    type Error = EncodeError;

    fn try_from(refusal: &'a Refusal) -> Result<Self, EncodeError> {
        Ok(match refusal {
            Refusal::UnknownModel(model) => Self::UnknownModel(model.into()),
            Refusal::Unlawful { model, class, denied } => Self::Unlawful {
                model: model.into(),
                class: class.into(),
                denied: List::of("places in one refusal", denied)?,
            },
            Refusal::UnlawfulThere(denial) => Self::UnlawfulThere(denial.try_into()?),
            Refusal::Overloaded { retry_after } => Self::Overloaded { retry_after: retry_after.0 },
            Refusal::NoPower { cap } => Self::NoPower { cap: cap.0 },
            Refusal::NoCapacity { tried } => Self::NoCapacity { tried: *tried },
            Refusal::DeadlinePassed => Self::DeadlinePassed,
            Refusal::LedgerUnavailable => Self::LedgerUnavailable,
            Refusal::ModelBroken(model) => Self::ModelBroken(model.into()),
            Refusal::NotAMember => Self::NotAMember,
            Refusal::Stopping => Self::Stopping,
            Refusal::KeyInUse => Self::KeyInUse,
            Refusal::ModelExpired { model, ended } => Self::ModelExpired { model: model.into(), ended: ended.0 },
            // A budget is its node's own matter, and said to its own clients alone.
            Refusal::BudgetSpent { .. } => Self::NoCapacity { tried: 0 },
            // A node asks servers outside the mesh for its own clients alone: to a peer it has no room.
            Refusal::Withheld { .. } | Refusal::Barred { .. } | Refusal::NotTrained { .. } => {
                Self::NoCapacity { tried: 0 }
            }
        })
    }
}

impl TryFrom<RefusalForm<'_>> for Refusal {
    type Error = DecodeError;

    fn try_from(form: RefusalForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            RefusalForm::UnknownModel(model) => Self::UnknownModel(model.try_into()?),
            RefusalForm::Unlawful { model, class, denied } => {
                Self::Unlawful { model: model.try_into()?, class: class.try_into()?, denied: denied.into_words()? }
            }
            RefusalForm::UnlawfulThere(denial) => Self::UnlawfulThere(denial.try_into()?),
            RefusalForm::Overloaded { retry_after } => Self::Overloaded { retry_after: Micros(retry_after) },
            RefusalForm::NoPower { cap } => Self::NoPower { cap: Milliwatts(cap) },
            RefusalForm::NoCapacity { tried } => Self::NoCapacity { tried },
            RefusalForm::DeadlinePassed => Self::DeadlinePassed,
            RefusalForm::LedgerUnavailable => Self::LedgerUnavailable,
            RefusalForm::ModelBroken(model) => Self::ModelBroken(model.try_into()?),
            RefusalForm::NotAMember => Self::NotAMember,
            RefusalForm::Stopping => Self::Stopping,
            RefusalForm::KeyInUse => Self::KeyInUse,
            RefusalForm::ModelExpired { model, ended } => {
                Self::ModelExpired { model: model.try_into()?, ended: WallTime(ended) }
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct DeniedForm<'a> {
    node: [u8; 32],
    #[serde(borrow)]
    jurisdiction: Text<'a>,
    denial: DenialForm<'a>,
}

impl<'a> TryFrom<&'a DeniedPlace> for DeniedForm<'a> {
    type Error = EncodeError;

    fn try_from(place: &'a DeniedPlace) -> Result<Self, EncodeError> {
        // To peers goes what is to be worked on, and nothing that is to rest there.
        let DeniedPlace { node, jurisdiction, action: _, denial } = place;
        Ok(Self { node: node.0, jurisdiction: jurisdiction.into(), denial: denial.try_into()? })
    }
}

impl TryFrom<DeniedForm<'_>> for DeniedPlace {
    type Error = DecodeError;

    fn try_from(form: DeniedForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            node: NodeId(form.node),
            jurisdiction: form.jurisdiction.try_into()?,
            action: LawAction::Infer,
            denial: form.denial.try_into()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum DenialForm<'a> {
    Forbidden {
        #[serde(borrow)]
        rule: Text<'a>,
        nearest: Option<NearMissForm<'a>>,
    },
    NotPermitted {
        #[serde(borrow)]
        nearest: Option<NearMissForm<'a>>,
    },
    Role(u8),
}

impl<'a> TryFrom<&'a Denial> for DenialForm<'a> {
    type Error = EncodeError;

    fn try_from(denial: &'a Denial) -> Result<Self, EncodeError> {
        Ok(match denial {
            Denial::Forbidden { rule, nearest } => {
                Self::Forbidden { rule: rule.into(), nearest: nearest.as_ref().map(TryInto::try_into).transpose()? }
            }
            Denial::NotPermitted { nearest } => {
                Self::NotPermitted { nearest: nearest.as_ref().map(TryInto::try_into).transpose()? }
            }
            Denial::Role(role) => Self::Role(Roles::of([*role]).bits()),
        })
    }
}

impl TryFrom<DenialForm<'_>> for Denial {
    type Error = DecodeError;

    fn try_from(form: DenialForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            DenialForm::Forbidden { rule, nearest } => {
                Self::Forbidden { rule: rule.try_into()?, nearest: nearest.map(TryInto::try_into).transpose()? }
            }
            DenialForm::NotPermitted { nearest } => {
                Self::NotPermitted { nearest: nearest.map(TryInto::try_into).transpose()? }
            }
            DenialForm::Role(bits) => {
                let one = roles(bits)?.iter().next().filter(|role| Roles::of([*role]).bits() == bits);
                Self::Role(one.ok_or(DecodeError::Code { what: "role", code: bits })?)
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct NearMissForm<'a> {
    #[serde(borrow)]
    rule: Text<'a>,
    failed: List<FieldForm<'a>, MAX_FAILED_FIELDS>,
}

impl<'a> TryFrom<&'a NearMiss> for NearMissForm<'a> {
    type Error = EncodeError;

    fn try_from(near: &'a NearMiss) -> Result<Self, EncodeError> {
        Ok(Self { rule: (&near.rule).into(), failed: List::of("failed fields of one rule", &near.failed)? })
    }
}

impl TryFrom<NearMissForm<'_>> for NearMiss {
    type Error = DecodeError;

    fn try_from(form: NearMissForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self { rule: form.rule.try_into()?, failed: form.failed.into_words()? })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct FieldForm<'a> {
    #[serde(borrow)]
    field: Text<'a>,
    wanted: Text<'a>,
    found: Text<'a>,
}

impl<'a> From<&'a FailedField> for FieldForm<'a> {
    fn from(failed: &'a FailedField) -> Self {
        let FailedField { field, wanted, found } = failed;
        Self { field: Text::sentence(field), wanted: Text::sentence(wanted), found: Text::sentence(found) }
    }
}

impl TryFrom<FieldForm<'_>> for FailedField {
    type Error = DecodeError;

    fn try_from(form: FieldForm<'_>) -> Result<Self, DecodeError> {
        let field = FIELDS.into_iter().find(|field| *field == form.field.as_str()).unwrap_or(NEWER_FIELD);
        Ok(Self {
            field,
            wanted: form.wanted.into_sentence("what a rule wants")?,
            found: form.found.into_sentence("what a rule met")?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum FailureForm<'a> {
    #[serde(borrow)]
    BadInput(FaultForm<'a>),
    Declined(RefusalForm<'a>),
    EngineLost,
    Engine(Text<'a>),
    Unreachable,
    Silent,
    Stuck,
    EngineCrashed(CrashForm),
}

#[derive(Serialize, Deserialize)]
pub(crate) enum CrashForm {
    Signal(u8),
    Exit(u8),
    Hung,
}

impl From<Crash> for CrashForm {
    fn from(crash: Crash) -> Self {
        match crash {
            Crash::Signal(signal) => Self::Signal(signal),
            Crash::Exit(status) => Self::Exit(status),
            Crash::Hung => Self::Hung,
        }
    }
}

impl From<CrashForm> for Crash {
    fn from(form: CrashForm) -> Self {
        match form {
            CrashForm::Signal(signal) => Self::Signal(signal),
            CrashForm::Exit(status) => Self::Exit(status),
            CrashForm::Hung => Self::Hung,
        }
    }
}

impl<'a> TryFrom<&'a Failure> for FailureForm<'a> {
    type Error = EncodeError;

    fn try_from(failure: &'a Failure) -> Result<Self, EncodeError> {
        Ok(match failure {
            Failure::BadInput(fault) => Self::BadInput(fault.into()),
            Failure::Declined(refusal) => Self::Declined(refusal.try_into()?),
            Failure::EngineLost => Self::EngineLost,
            // Only requests that entered here are sent to endpoints: no peer is told of one that broke off there.
            Failure::Engine(text) | Failure::Severed(text) => Self::Engine(Text::sentence(text)),
            Failure::Unreachable => Self::Unreachable,
            Failure::Silent => Self::Silent,
            Failure::Stuck => Self::Stuck,
            Failure::EngineCrashed(crash) => Self::EngineCrashed((*crash).into()),
        })
    }
}

impl TryFrom<FailureForm<'_>> for Failure {
    type Error = DecodeError;

    fn try_from(form: FailureForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            FailureForm::BadInput(fault) => Self::BadInput(fault.try_into()?),
            FailureForm::Declined(refusal) => Self::Declined(refusal.try_into()?),
            FailureForm::EngineLost => Self::EngineLost,
            FailureForm::Engine(text) => Self::Engine(text.into_sentence("the words of an engine")?),
            FailureForm::Unreachable => Self::Unreachable,
            FailureForm::Silent => Self::Silent,
            FailureForm::Stuck => Self::Stuck,
            FailureForm::EngineCrashed(crash) => Self::EngineCrashed(crash.into()),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum FaultForm<'a> {
    #[serde(borrow)]
    Tensor(Text<'a>),
    ContextOverflow {
        prompt_tokens: u32,
        context_tokens: u32,
    },
    Other(Text<'a>),
}

impl<'a> From<&'a InputFault> for FaultForm<'a> {
    fn from(fault: &'a InputFault) -> Self {
        match fault {
            InputFault::Tensor(text) => Self::Tensor(Text::sentence(text)),
            InputFault::ContextOverflow { prompt_tokens, context_tokens } => {
                Self::ContextOverflow { prompt_tokens: *prompt_tokens, context_tokens: *context_tokens }
            }
            InputFault::Other(text) => Self::Other(Text::sentence(text)),
        }
    }
}

impl TryFrom<FaultForm<'_>> for InputFault {
    type Error = DecodeError;

    fn try_from(form: FaultForm<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "what is wrong with an input";
        Ok(match form {
            FaultForm::Tensor(text) => Self::Tensor(text.into_sentence(WHAT)?),
            FaultForm::ContextOverflow { prompt_tokens, context_tokens } => {
                Self::ContextOverflow { prompt_tokens, context_tokens }
            }
            FaultForm::Other(text) => Self::Other(text.into_sentence(WHAT)?),
        })
    }
}
