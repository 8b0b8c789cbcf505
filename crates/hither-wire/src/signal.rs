//! Words on the way to a place for a request. The order of the variants is part of the form.

use hither_types::id::{Attempt, Digest, RequestId};
use hither_types::message::{Load, Signal};
use hither_types::unit::Micros;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::refusal::RefusalForm;
use crate::request::EnvelopeForm;

#[derive(Serialize, Deserialize)]
pub(crate) enum SignalForm<'a> {
    Probe {
        number: u32,
        digest: [u8; 32],
        queued: u16,
    },
    State {
        number: u32,
        digest: [u8; 32],
        load: LoadForm,
    },
    Offer {
        request: [u8; 16],
        attempt: u8,
        digest: [u8; 32],
        #[serde(borrow)]
        envelope: EnvelopeForm<'a>,
        remaining: u64,
        promised: u64,
    },
    Accept {
        request: [u8; 16],
        attempt: u8,
        load: LoadForm,
    },
    Reject {
        request: [u8; 16],
        attempt: u8,
        #[serde(borrow)]
        refusal: RefusalForm<'a>,
        load: LoadForm,
    },
    Steal {
        number: u32,
        answers: u32,
        digest: [u8; 32],
        load: LoadForm,
    },
    Nothing {
        number: u32,
        digest: [u8; 32],
    },
}

#[derive(Serialize, Deserialize)]
pub(crate) struct LoadForm {
    slots: u16,
    busy: u16,
    queued: u16,
    wait: u64,
    urgent: u64,
    service: u64,
}

impl From<&Load> for LoadForm {
    fn from(load: &Load) -> Self {
        let Load { slots, busy, queued, wait, urgent, service } = load;
        Self { slots: *slots, busy: *busy, queued: *queued, wait: wait.0, urgent: urgent.0, service: service.0 }
    }
}

impl From<LoadForm> for Load {
    fn from(form: LoadForm) -> Self {
        let LoadForm { slots, busy, queued, wait, urgent, service } = form;
        Self { slots, busy, queued, wait: Micros(wait), urgent: Micros(urgent), service: Micros(service) }
    }
}

impl<'a> TryFrom<&'a Signal> for SignalForm<'a> {
    type Error = EncodeError;

    fn try_from(signal: &'a Signal) -> Result<Self, EncodeError> {
        Ok(match signal {
            Signal::Probe { number, digest, queued } => {
                Self::Probe { number: *number, digest: digest.0, queued: *queued }
            }
            Signal::State { number, digest, load } => {
                Self::State { number: *number, digest: digest.0, load: load.into() }
            }
            Signal::Offer { request, attempt, digest, envelope, remaining, promised } => Self::Offer {
                request: request.0.to_be_bytes(),
                attempt: attempt.0,
                digest: digest.0,
                envelope: envelope.try_into()?,
                remaining: remaining.0,
                promised: promised.0,
            },
            Signal::Accept { request, attempt, load } => {
                Self::Accept { request: request.0.to_be_bytes(), attempt: attempt.0, load: load.into() }
            }
            Signal::Reject { request, attempt, refusal, load } => Self::Reject {
                request: request.0.to_be_bytes(),
                attempt: attempt.0,
                refusal: refusal.try_into()?,
                load: load.into(),
            },
            Signal::Steal { number, answers, digest, load } => {
                Self::Steal { number: *number, answers: *answers, digest: digest.0, load: load.into() }
            }
            Signal::Nothing { number, digest } => Self::Nothing { number: *number, digest: digest.0 },
        })
    }
}

impl TryFrom<SignalForm<'_>> for Signal {
    type Error = DecodeError;

    fn try_from(form: SignalForm<'_>) -> Result<Self, DecodeError> {
        let id = |bytes| RequestId(u128::from_be_bytes(bytes));
        Ok(match form {
            SignalForm::Probe { number, digest, queued } => Self::Probe { number, digest: Digest(digest), queued },
            SignalForm::State { number, digest, load } => {
                Self::State { number, digest: Digest(digest), load: load.into() }
            }
            SignalForm::Offer { request, attempt, digest, envelope, remaining, promised } => Self::Offer {
                request: id(request),
                attempt: Attempt(attempt),
                digest: Digest(digest),
                envelope: envelope.try_into()?,
                remaining: Micros(remaining),
                promised: Micros(promised),
            },
            SignalForm::Accept { request, attempt, load } => {
                Self::Accept { request: id(request), attempt: Attempt(attempt), load: load.into() }
            }
            SignalForm::Reject { request, attempt, refusal, load } => Self::Reject {
                request: id(request),
                attempt: Attempt(attempt),
                refusal: refusal.try_into()?,
                load: load.into(),
            },
            SignalForm::Steal { number, answers, digest, load } => {
                Self::Steal { number, answers, digest: Digest(digest), load: load.into() }
            }
            SignalForm::Nothing { number, digest } => Self::Nothing { number, digest: Digest(digest) },
        })
    }
}
