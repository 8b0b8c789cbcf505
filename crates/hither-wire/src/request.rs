//! A request on its way, and what comes back. The order of the variants is part of the form.

use hither_types::id::{Attempt, Digest, RequestId};
use hither_types::label::Label;
use hither_types::message::{Ask, Frame};
use hither_types::request::{Cost, Envelope};
use hither_types::trace::TraceParent;
use hither_types::unit::{ByteCount, Micros, Millijoules};
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{Bytes, ClassCode, KindCode, List, Number, PriorityCode, QualityCode, Text};
use crate::limits::{MAX_RESUME, MAX_SUBJECTS, MAX_TAGS};
use crate::refusal::{FailureForm, RefusalForm};

#[derive(Serialize, Deserialize)]
pub(crate) struct AskForm<'a> {
    request: [u8; 16],
    attempt: u8,
    digest: [u8; 32],
    #[serde(borrow)]
    envelope: EnvelopeForm<'a>,
    remaining: u64,
    resume: List<Number, MAX_RESUME>,
    #[serde(borrow)]
    payload: Bytes<'a>,
    trace: Option<TraceForm>,
}

/// Trace, span, and whether it is recorded.
#[derive(Serialize, Deserialize)]
struct TraceForm([u8; 16], u64, bool);

impl<'a> TryFrom<&'a Ask> for AskForm<'a> {
    type Error = EncodeError;

    fn try_from(ask: &'a Ask) -> Result<Self, EncodeError> {
        let Ask { request, attempt, digest, envelope, remaining, resume, payload, trace } = ask;
        Ok(Self {
            request: request.0.to_be_bytes(),
            attempt: attempt.0,
            digest: digest.0,
            envelope: envelope.try_into()?,
            remaining: remaining.0,
            resume: List::of("tokens to go on from", resume)?,
            payload: Bytes(payload),
            trace: trace.map(|trace| TraceForm(trace.trace.to_be_bytes(), trace.span, trace.sampled)),
        })
    }
}

impl TryFrom<AskForm<'_>> for Ask {
    type Error = DecodeError;

    fn try_from(form: AskForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            request: RequestId(u128::from_be_bytes(form.request)),
            attempt: Attempt(form.attempt),
            digest: Digest(form.digest),
            envelope: form.envelope.try_into()?,
            remaining: Micros(form.remaining),
            resume: form.resume.into_words()?,
            payload: form.payload.0.to_vec(),
            trace: form.trace.map(|TraceForm(trace, span, sampled)| TraceParent {
                trace: u128::from_be_bytes(trace),
                span,
                sampled,
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct EnvelopeForm<'a> {
    #[serde(borrow)]
    app: Text<'a>,
    model: Text<'a>,
    label: LabelForm<'a>,
    kind: KindCode,
    size: u64,
    priority: PriorityCode,
    prefer: Option<Text<'a>>,
    quality: QualityCode,
}

impl<'a> TryFrom<&'a Envelope> for EnvelopeForm<'a> {
    type Error = EncodeError;

    fn try_from(envelope: &'a Envelope) -> Result<Self, EncodeError> {
        let Envelope { app, model, label, kind, size, priority, prefer, quality } = envelope;
        Ok(Self {
            app: app.into(),
            model: model.into(),
            label: label.try_into()?,
            kind: kind.into(),
            size: size.0,
            priority: priority.into(),
            prefer: prefer.as_ref().map(Text::from),
            quality: quality.into(),
        })
    }
}

impl TryFrom<EnvelopeForm<'_>> for Envelope {
    type Error = DecodeError;

    fn try_from(form: EnvelopeForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            app: form.app.try_into()?,
            model: form.model.try_into()?,
            label: form.label.try_into()?,
            kind: form.kind.try_into()?,
            size: ByteCount(form.size),
            priority: form.priority.try_into()?,
            prefer: form.prefer.map(TryInto::try_into).transpose()?,
            quality: form.quality.try_into()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct LabelForm<'a> {
    class: ClassCode,
    #[serde(borrow)]
    tags: List<Text<'a>, MAX_TAGS>,
    subjects: List<Text<'a>, MAX_SUBJECTS>,
    purpose: Option<Text<'a>>,
}

impl<'a> TryFrom<&'a Label> for LabelForm<'a> {
    type Error = EncodeError;

    fn try_from(label: &'a Label) -> Result<Self, EncodeError> {
        let Label { class, tags, subjects, purpose } = label;
        Ok(Self {
            class: class.into(),
            tags: List::of("tags of one request", tags)?,
            subjects: List::of("subjects of one request", subjects)?,
            purpose: purpose.as_ref().map(Text::from),
        })
    }
}

impl TryFrom<LabelForm<'_>> for Label {
    type Error = DecodeError;

    fn try_from(form: LabelForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            class: form.class.try_into()?,
            tags: form.tags.into_words()?,
            subjects: form.subjects.into_words()?,
            purpose: form.purpose.map(TryInto::try_into).transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum FrameForm<'a> {
    Accepted,
    Beat {
        progress: u64,
    },
    #[serde(borrow)]
    Piece(Bytes<'a>),
    Done(CostForm),
    #[serde(borrow)]
    Declined(RefusalForm<'a>),
    #[serde(borrow)]
    Failed(FailureForm<'a>),
}

impl<'a> TryFrom<&'a Frame> for FrameForm<'a> {
    type Error = EncodeError;

    fn try_from(frame: &'a Frame) -> Result<Self, EncodeError> {
        Ok(match frame {
            Frame::Accepted => Self::Accepted,
            Frame::Beat { progress } => Self::Beat { progress: *progress },
            Frame::Piece(bytes) => Self::Piece(Bytes(bytes)),
            Frame::Done(cost) => Self::Done(cost.into()),
            Frame::Declined(refusal) => Self::Declined(refusal.try_into()?),
            Frame::Failed(failure) => Self::Failed(failure.try_into()?),
        })
    }
}

impl TryFrom<FrameForm<'_>> for Frame {
    type Error = DecodeError;

    fn try_from(form: FrameForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            FrameForm::Accepted => Self::Accepted,
            FrameForm::Beat { progress } => Self::Beat { progress },
            FrameForm::Piece(bytes) => Self::Piece(bytes.0.to_vec()),
            FrameForm::Done(cost) => Self::Done(cost.into()),
            FrameForm::Declined(refusal) => Self::Declined(refusal.try_into()?),
            FrameForm::Failed(failure) => Self::Failed(failure.try_into()?),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct CostForm {
    queued: u64,
    prefill: u64,
    decode: u64,
    prompt_tokens: u32,
    output_tokens: u32,
    answer: u64,
    energy: u64,
}

impl From<&Cost> for CostForm {
    fn from(cost: &Cost) -> Self {
        let Cost { queued, prefill, decode, prompt_tokens, output_tokens, answer, energy } = cost;
        Self {
            queued: queued.0,
            prefill: prefill.0,
            decode: decode.0,
            prompt_tokens: *prompt_tokens,
            output_tokens: *output_tokens,
            answer: answer.0,
            energy: energy.0,
        }
    }
}

impl From<CostForm> for Cost {
    fn from(form: CostForm) -> Self {
        Self {
            queued: Micros(form.queued),
            prefill: Micros(form.prefill),
            decode: Micros(form.decode),
            prompt_tokens: form.prompt_tokens,
            output_tokens: form.output_tokens,
            answer: ByteCount(form.answer),
            energy: Millijoules(form.energy),
        }
    }
}
