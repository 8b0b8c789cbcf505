//! Small talk between members. The order of the variants is part of the form: new ones go to the end.

use std::sync::Arc;

use hither_types::id::{Digest, NodeId};
use hither_types::member::Signed;
use hither_types::message::{
    ModelPresence, ModelStage, PeerMessage, Placing, PolicyWord, Presence, Pulse, Room, Rumour,
};
use hither_types::model::Device;
use hither_types::unit::{ByteCount, Eighths, MicroHertz, Micros, Milliwatts};
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::List;
use crate::limits::{
    MAX_AUTHORITY, MAX_CATALOG, MAX_DEMANDS, MAX_MEMBERS, MAX_NEAR, MAX_POLICY, MAX_PRESENT_MODELS, MAX_ROLLOUTS,
    MAX_RUMOURS,
};
use crate::member::{RecordForm, SignedForm};
use crate::signal::SignalForm;
use crate::start::StartWordForm;
use crate::versions::{WITH_EXPIRY, WITH_PLACING};
use crate::witness::WitnessForm;

#[derive(Serialize, Deserialize)]
pub(crate) enum MessageForm<'a> {
    Presence(PresenceForm),
    #[serde(borrow)]
    Catalog(List<SignedForm<'a>, MAX_CATALOG>),
    #[serde(borrow)]
    Members(List<RecordForm<'a>, MAX_MEMBERS>),
    #[serde(borrow)]
    Signal(SignalForm<'a>),
    #[serde(borrow)]
    Authority(List<SignedForm<'a>, MAX_AUTHORITY>),
    Pulse(PulseForm),
    Rumours(List<RumourForm, MAX_RUMOURS>),
    #[serde(borrow)]
    Start(StartWordForm<'a>),
    #[serde(borrow)]
    Rollouts(List<SignedForm<'a>, MAX_ROLLOUTS>),
    /// Since version 2 of the protocol.
    Placing(PresenceForm, PlacingForm),
    /// Since version 4 of the protocol.
    #[serde(borrow)]
    Witness(WitnessForm<'a>),
    /// Since version 5 of the protocol.
    #[serde(borrow)]
    Policy(PolicyForm<'a>),
    /// Since version 6 of the protocol.
    #[serde(borrow)]
    Near(List<SignedForm<'a>, MAX_NEAR>),
}

impl<'a> TryFrom<&'a PeerMessage> for MessageForm<'a> {
    type Error = EncodeError;

    fn try_from(message: &'a PeerMessage) -> Result<Self, EncodeError> {
        Ok(match message {
            PeerMessage::Presence(presence) => match &presence.placing {
                None => Self::Presence(presence.try_into()?),
                Some(placing) => Self::Placing(presence.try_into()?, placing.try_into()?),
            },
            PeerMessage::Catalog(entries) => Self::Catalog(List::of("entries of the catalog", entries)?),
            PeerMessage::Members(members) => Self::Members(List::of("members", members)?),
            PeerMessage::Signal(signal) => Self::Signal(signal.try_into()?),
            PeerMessage::Authority(entries) => Self::Authority(List::of("entries of the authority log", entries)?),
            PeerMessage::Pulse(pulse) => Self::Pulse(pulse.into()),
            PeerMessage::Rumours(rumours) => Self::Rumours(List::of("rumours", rumours)?),
            PeerMessage::Start(word) => Self::Start(word.try_into()?),
            PeerMessage::Rollouts(words) => Self::Rollouts(List::of("words about versions", words)?),
            PeerMessage::Witness(word) => Self::Witness(word.try_into()?),
            PeerMessage::Policy(word) => Self::Policy(word.try_into()?),
            PeerMessage::Near(reports) => Self::Near(List::of("reports of round trips", reports)?),
        })
    }
}

impl TryFrom<MessageForm<'_>> for PeerMessage {
    type Error = DecodeError;

    fn try_from(form: MessageForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            MessageForm::Presence(presence) => Self::Presence(presence.try_into()?),
            MessageForm::Catalog(entries) => Self::Catalog(entries.into_words()?),
            MessageForm::Members(members) => Self::Members(members.into_words()?),
            MessageForm::Signal(signal) => Self::Signal(signal.try_into()?),
            MessageForm::Authority(entries) => Self::Authority(entries.into_words()?),
            MessageForm::Pulse(pulse) => Self::Pulse(pulse.into()),
            MessageForm::Rumours(rumours) => Self::Rumours(rumours.into_words()?),
            MessageForm::Start(word) => Self::Start(word.try_into()?),
            MessageForm::Rollouts(words) => Self::Rollouts(words.into_words()?),
            MessageForm::Witness(word) => Self::Witness(word.try_into()?),
            MessageForm::Policy(word) => Self::Policy(word.try_into()?),
            MessageForm::Near(reports) => Self::Near(reports.into_words()?),
            MessageForm::Placing(presence, placing) => Self::Presence(with(presence, placing)?),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PresenceForm {
    incarnation: u64,
    sequence: u64,
    models: List<ModelForm, MAX_PRESENT_MODELS>,
    power: u64,
    cap: u64,
    policy: [u8; 32],
}

impl TryFrom<&Presence> for PresenceForm {
    type Error = EncodeError;

    fn try_from(presence: &Presence) -> Result<Self, EncodeError> {
        let Presence { incarnation, sequence, models, power, cap, policy, placing: _ } = presence;
        Ok(Self {
            incarnation: *incarnation,
            sequence: *sequence,
            models: List::of("models of one node", models)?,
            power: power.0,
            cap: cap.0,
            policy: policy.0,
        })
    }
}

impl TryFrom<PresenceForm> for Presence {
    type Error = DecodeError;

    fn try_from(form: PresenceForm) -> Result<Self, DecodeError> {
        Ok(Self {
            incarnation: form.incarnation,
            sequence: form.sequence,
            models: form.models.into_words()?,
            power: Milliwatts(form.power),
            cap: Milliwatts(form.cap),
            policy: Digest(form.policy),
            placing: None,
        })
    }
}

fn with(presence: PresenceForm, placing: PlacingForm) -> Result<Presence, DecodeError> {
    Ok(Presence { placing: Some(placing.try_into()?), ..presence.try_into()? })
}

/// A message as programs understand it that speak only this version of the protocol; `None` if it is so already.
pub(crate) fn in_version(message: &PeerMessage, version: u16) -> Option<PeerMessage> {
    if version >= WITH_EXPIRY {
        return None;
    }
    if let PeerMessage::Catalog(entries) = message {
        // They would not believe the others, and say so in their logs each time.
        let read = |entry: &&Signed| crate::entry_version(entry) <= version;
        let older: Vec<Signed> = entries.iter().filter(read).cloned().collect();
        return (older.len() < entries.len()).then_some(PeerMessage::Catalog(older));
    }
    if version >= WITH_PLACING {
        return None;
    }
    let without = |presence: &Presence| Presence { placing: None, ..presence.clone() };
    match message {
        PeerMessage::Presence(presence) if presence.placing.is_some() => Some(PeerMessage::Presence(without(presence))),
        PeerMessage::Rumours(rumours) => {
            let older = |rumour: &Rumour| match rumour {
                Rumour::Said { node, presence } if presence.placing.is_some() => {
                    Rumour::Said { node: *node, presence: Arc::new(without(presence)) }
                }
                Rumour::Said { .. } | Rumour::Gone { .. } | Rumour::Doubt { .. } => rumour.clone(),
            };
            Some(PeerMessage::Rumours(rumours.iter().map(older).collect()))
        }
        PeerMessage::Presence(_)
        | PeerMessage::Catalog(_)
        | PeerMessage::Members(_)
        | PeerMessage::Signal(_)
        | PeerMessage::Authority(_)
        | PeerMessage::Pulse(_)
        | PeerMessage::Start(_)
        | PeerMessage::Rollouts(_)
        | PeerMessage::Witness(_)
        | PeerMessage::Policy(_)
        | PeerMessage::Near(_) => None,
    }
}

/// The order of the variants is part of the form.
#[derive(Serialize, Deserialize)]
pub(crate) enum PolicyForm<'a> {
    Wanted([u8; 32]),
    Text(&'a str),
}

impl<'a> TryFrom<&'a PolicyWord> for PolicyForm<'a> {
    type Error = EncodeError;

    fn try_from(word: &'a PolicyWord) -> Result<Self, EncodeError> {
        match word {
            PolicyWord::Wanted(digest) => Ok(Self::Wanted(digest.0)),
            PolicyWord::Text(text) if text.len() > MAX_POLICY => {
                Err(EncodeError::TooLarge { form: "the text of a policy", size: text.len(), most: MAX_POLICY })
            }
            PolicyWord::Text(text) => Ok(Self::Text(text)),
        }
    }
}

impl TryFrom<PolicyForm<'_>> for PolicyWord {
    type Error = DecodeError;

    fn try_from(form: PolicyForm<'_>) -> Result<Self, DecodeError> {
        match form {
            PolicyForm::Wanted(digest) => Ok(Self::Wanted(Digest(digest))),
            PolicyForm::Text(text) if text.len() > MAX_POLICY => {
                Err(DecodeError::TooLarge { form: "the text of a policy", size: text.len(), most: MAX_POLICY })
            }
            PolicyForm::Text(text) => Ok(Self::Text(text.to_owned())),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PlacingForm {
    memory: u64,
    free: u8,
    power: u8,
    speed: u8,
    demand: List<DemandForm, MAX_DEMANDS>,
}

impl TryFrom<&Placing> for PlacingForm {
    type Error = EncodeError;

    fn try_from(placing: &Placing) -> Result<Self, EncodeError> {
        let Placing { room: Room { memory, free, power, speed }, demand } = placing;
        Ok(Self {
            memory: memory.0,
            free: free.count(),
            power: power.count(),
            speed: *speed,
            demand: List::of("models that are asked for", demand)?,
        })
    }
}

impl TryFrom<PlacingForm> for Placing {
    type Error = DecodeError;

    fn try_from(form: PlacingForm) -> Result<Self, DecodeError> {
        let share = |code: u8| match code <= Eighths::ALL.count() {
            true => Ok(Eighths::new(code)),
            false => Err(DecodeError::Code { what: "share in eighths", code }),
        };
        let (free, power) = (share(form.free)?, share(form.power)?);
        let room = Room { memory: ByteCount(form.memory), free, power, speed: form.speed };
        Ok(Self { room, demand: form.demand.into_words()? })
    }
}

/// How often a model is asked for.
#[derive(Serialize, Deserialize)]
pub(crate) struct DemandForm {
    digest: [u8; 32],
    rate: u64,
}

impl From<&(Digest, MicroHertz)> for DemandForm {
    fn from((digest, rate): &(Digest, MicroHertz)) -> Self {
        Self { digest: digest.0, rate: rate.0 }
    }
}

impl From<DemandForm> for (Digest, MicroHertz) {
    fn from(form: DemandForm) -> Self {
        (Digest(form.digest), MicroHertz(form.rate))
    }
}

/// How far a model is, and what it runs on once it is ready: one byte with a number that is never given again.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StageCode(u8);

impl StageCode {
    fn of(stage: ModelStage, device: Device) -> Self {
        Self(match (stage, device) {
            (ModelStage::Fetching, _) => 0,
            (ModelStage::Stored, _) => 1,
            (ModelStage::Ready, Device::Cpu) => 2,
            (ModelStage::Ready, Device::Gpu) => 3,
            (ModelStage::Ready, Device::Npu) => 4,
            (ModelStage::Quarantined, _) => 5,
        })
    }

    fn read(self) -> Result<(ModelStage, Device), DecodeError> {
        Ok(match self.0 {
            0 => (ModelStage::Fetching, Device::Cpu),
            1 => (ModelStage::Stored, Device::Cpu),
            2 => (ModelStage::Ready, Device::Cpu),
            3 => (ModelStage::Ready, Device::Gpu),
            4 => (ModelStage::Ready, Device::Npu),
            5 => (ModelStage::Quarantined, Device::Cpu),
            code => return Err(DecodeError::Code { what: "stage of a model", code }),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ModelForm {
    digest: [u8; 32],
    stage: StageCode,
    slots: u16,
    busy: u16,
    queued: u16,
    service: u64,
}

impl From<&ModelPresence> for ModelForm {
    fn from(model: &ModelPresence) -> Self {
        let ModelPresence { digest, stage, device, slots, busy, queued, service } = *model;
        Self { digest: digest.0, stage: StageCode::of(stage, device), slots, busy, queued, service: service.0 }
    }
}

impl TryFrom<ModelForm> for ModelPresence {
    type Error = DecodeError;

    fn try_from(form: ModelForm) -> Result<Self, DecodeError> {
        let (stage, device) = form.stage.read()?;
        Ok(Self {
            digest: Digest(form.digest),
            stage,
            device,
            slots: form.slots,
            busy: form.busy,
            queued: form.queued,
            service: Micros(form.service),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PulseForm {
    number: u32,
    echo: u32,
    watches: bool,
    heads: [u8; 8],
    words: [u8; 8],
}

impl From<&Pulse> for PulseForm {
    fn from(pulse: &Pulse) -> Self {
        let Pulse { number, echo, watches, heads, words } = *pulse;
        Self { number, echo, watches, heads: heads.to_le_bytes(), words: words.to_le_bytes() }
    }
}

impl From<PulseForm> for Pulse {
    fn from(form: PulseForm) -> Self {
        let PulseForm { number, echo, watches, heads, words } = form;
        Self { number, echo, watches, heads: u64::from_le_bytes(heads), words: u64::from_le_bytes(words) }
    }
}

/// The order of the variants is part of the form.
#[derive(Serialize, Deserialize)]
pub(crate) enum RumourForm {
    Said {
        node: [u8; 32],
        presence: PresenceForm,
    },
    Gone {
        node: [u8; 32],
        incarnation: u64,
        sequence: u64,
    },
    Doubt {
        node: [u8; 32],
        incarnation: u64,
        sequence: u64,
        by: [u8; 32],
    },
    /// Since version 2 of the protocol.
    SaidPlacing {
        node: [u8; 32],
        presence: PresenceForm,
        placing: PlacingForm,
    },
}

impl TryFrom<&Rumour> for RumourForm {
    type Error = EncodeError;

    fn try_from(rumour: &Rumour) -> Result<Self, EncodeError> {
        Ok(match rumour {
            Rumour::Said { node, presence } => {
                let (node, said) = (node.0, presence.as_ref().try_into()?);
                match &presence.placing {
                    None => Self::Said { node, presence: said },
                    Some(placing) => Self::SaidPlacing { node, presence: said, placing: placing.try_into()? },
                }
            }
            Rumour::Gone { node, incarnation, sequence } => {
                Self::Gone { node: node.0, incarnation: *incarnation, sequence: *sequence }
            }
            Rumour::Doubt { node, incarnation, sequence, by } => {
                Self::Doubt { node: node.0, incarnation: *incarnation, sequence: *sequence, by: by.0 }
            }
        })
    }
}

impl TryFrom<RumourForm> for Rumour {
    type Error = DecodeError;

    fn try_from(form: RumourForm) -> Result<Self, DecodeError> {
        Ok(match form {
            RumourForm::Said { node, presence } => {
                Self::Said { node: NodeId(node), presence: Arc::new(presence.try_into()?) }
            }
            RumourForm::SaidPlacing { node, presence, placing } => {
                Self::Said { node: NodeId(node), presence: Arc::new(with(presence, placing)?) }
            }
            RumourForm::Gone { node, incarnation, sequence } => {
                Self::Gone { node: NodeId(node), incarnation, sequence }
            }
            RumourForm::Doubt { node, incarnation, sequence, by } => {
                Self::Doubt { node: NodeId(node), incarnation, sequence, by: NodeId(by) }
            }
        })
    }
}
