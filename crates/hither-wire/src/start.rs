//! Starts of programs, and proofs of them. The order of the variants is part of the form: new ones go to the end.

use hither_types::message::{Start, StartProof, StartWord};
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::member::SignedForm;

#[derive(Serialize, Deserialize)]
pub(crate) enum StartWordForm<'a> {
    Mine {
        start: StartForm,
        now: u64,
    },
    Asked {
        challenge: [u8; 32],
    },
    #[serde(borrow)]
    Proved(SignedForm<'a>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StartForm {
    at: u64,
    challenge: [u8; 32],
    incarnation: u64,
}

impl From<&Start> for StartForm {
    fn from(start: &Start) -> Self {
        let Start { at, challenge, incarnation } = *start;
        Self { at: at.0, challenge, incarnation }
    }
}

impl From<StartForm> for Start {
    fn from(form: StartForm) -> Self {
        Self { at: WallTime(form.at), challenge: form.challenge, incarnation: form.incarnation }
    }
}

impl<'a> TryFrom<&'a StartWord> for StartWordForm<'a> {
    type Error = EncodeError;

    fn try_from(word: &'a StartWord) -> Result<Self, EncodeError> {
        Ok(match word {
            StartWord::Mine { start, now } => Self::Mine { start: start.into(), now: now.0 },
            StartWord::Asked { challenge } => Self::Asked { challenge: *challenge },
            StartWord::Proved(signed) => Self::Proved(signed.into()),
        })
    }
}

impl TryFrom<StartWordForm<'_>> for StartWord {
    type Error = DecodeError;

    fn try_from(form: StartWordForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            StartWordForm::Mine { start, now } => Self::Mine { start: start.into(), now: WallTime(now) },
            StartWordForm::Asked { challenge } => Self::Asked { challenge },
            StartWordForm::Proved(signed) => Self::Proved(signed.into()),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ProofForm {
    answers: [u8; 32],
    start: StartForm,
}

impl TryFrom<&StartProof> for ProofForm {
    type Error = EncodeError;

    fn try_from(proof: &StartProof) -> Result<Self, EncodeError> {
        let StartProof { answers, start } = proof;
        Ok(Self { answers: *answers, start: start.into() })
    }
}

impl TryFrom<ProofForm> for StartProof {
    type Error = DecodeError;

    fn try_from(form: ProofForm) -> Result<Self, DecodeError> {
        Ok(Self { answers: form.answers, start: form.start.into() })
    }
}
