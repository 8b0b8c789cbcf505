//! What lies in the files of jobs, before it is encrypted: this boundary's own structs, as postcard writes them, with a
//! body behind them as it is. A start reads everything that is there, and need not look at the bodies.

use bytes::Bytes;
use hither_api::batches::BatchId;
use hither_api::jobs::{Ask, Given, Status, Tried};
use hither_types::id::AppName;
use hither_types::label::DataClass;
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

/// What stays known of a job from its first day to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) app: String,
    pub(super) url: String,
    pub(super) model: Option<String>,
    pub(super) class: u8,
    pub(super) created: u64,
    pub(super) deadline: u64,
    /// The hash that the submission is found by.
    pub(super) key: [u8; 32],
    /// Whether the app chose that key.
    pub(super) is_named: bool,
    /// The hash of the submission.
    pub(super) fingerprint: [u8; 32],
    /// The hash of what decides who could serve it.
    pub(super) target: [u8; 32],
    pub(super) metadata: Option<String>,
}

/// What is to be asked.
#[derive(Serialize, Deserialize)]
pub(super) struct JobForm {
    pub(super) origin: Origin,
    pub(super) headers: Vec<(String, String)>,
}

/// How far it is. The epoch stands outside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct RunForm {
    pub(super) strikes: u32,
    pub(super) last: Option<TriedForm>,
}

/// How it ended. The epoch stands outside.
#[derive(Serialize, Deserialize)]
pub(super) struct EndForm {
    pub(super) origin: Origin,
    pub(super) status: u8,
    pub(super) ended: u64,
    pub(super) last: Option<TriedForm>,
    pub(super) given: Option<GivenForm>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TriedForm {
    at: u64,
    status: u16,
    code: String,
    message: String,
    request: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct GivenForm {
    status: u16,
    headers: Vec<(String, String)>,
}

/// Writes one, and a body behind it.
pub(super) fn write(form: &impl Serialize, body: &[u8]) -> Vec<u8> {
    let form = postcard::to_allocvec(form).expect("text, numbers and lists of known length can be written");
    let length = u32::try_from(form.len()).expect("names, headers and metadata are bounded at the door");
    [&length.to_le_bytes()[..], &form, body].concat()
}

/// Reads one, and the body behind it.
pub(super) fn read<T: serde::de::DeserializeOwned>(plain: Vec<u8>) -> Result<(T, Bytes), &'static str> {
    const OTHER: &str = "it opens, and what is in it is not what this version of the program writes";
    let plain = Bytes::from(plain);
    let (length, _) = plain.split_first_chunk::<4>().ok_or(OTHER)?;
    let end =
        usize::try_from(u32::from_le_bytes(*length)).ok().and_then(|length| length.checked_add(4)).ok_or(OTHER)?;
    match postcard::take_from_bytes(plain.get(4..end).ok_or(OTHER)?) {
        Ok((form, [])) => Ok((form, plain.slice(end..))),
        Ok(_) | Err(_) => Err(OTHER),
    }
}

/// The end of the key of a line; every other key is a hash.
const LINE: &[u8; 12] = b"a batch line";

impl Origin {
    /// The key of a line of a batch. Those of one batch stand together, in the order of their lines.
    pub(super) fn line_key(batch: BatchId, number: u32) -> [u8; 32] {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&batch.0.to_be_bytes());
        key[16..20].copy_from_slice(&number.to_be_bytes());
        key[20..].copy_from_slice(LINE);
        key
    }

    /// The line of a batch that it is, if it is one.
    pub(super) fn line(&self) -> Option<(BatchId, u32)> {
        let (batch, rest) = self.key.split_first_chunk::<16>()?;
        let (number, end) = rest.split_first_chunk::<4>()?;
        (end == LINE).then(|| (BatchId(u128::from_be_bytes(*batch)), u32::from_be_bytes(*number)))
    }

    /// Who and what, if it is still what it must be.
    pub(super) fn words(&self) -> Result<(AppName, DataClass), &'static str> {
        let app = AppName::parse(&self.app).map_err(|_| "its app has no name")?;
        let class = DataClass::ALL.get(usize::from(self.class)).ok_or("its data have no class")?;
        Ok((app, *class))
    }
}

/// The number of a class.
pub(super) fn class_number(class: DataClass) -> u8 {
    DataClass::ALL.iter().position(|known| *known == class).unwrap_or_default() as u8
}

/// The number of a status.
pub(super) fn status_number(status: Status) -> u8 {
    Status::ALL.iter().position(|known| *known == status).unwrap_or_default() as u8
}

/// The status of an end.
pub(super) fn end_of(number: u8) -> Result<Status, &'static str> {
    let known = Status::ALL.get(usize::from(number)).copied().filter(|status| status.is_end());
    known.ok_or("it ended in no way that is known")
}

impl JobForm {
    /// What is to be asked.
    pub(super) fn into_ask(self, body: Bytes) -> Ask {
        Ask { url: self.origin.url, headers: self.headers, body }
    }
}

impl From<&Tried> for TriedForm {
    fn from(tried: &Tried) -> Self {
        Self {
            at: tried.at.0,
            status: tried.status,
            code: tried.code.clone(),
            message: tried.message.clone(),
            request: tried.request.clone(),
        }
    }
}

impl From<TriedForm> for Tried {
    fn from(form: TriedForm) -> Self {
        Self {
            at: WallTime(form.at),
            status: form.status,
            code: form.code,
            message: form.message,
            request: form.request,
        }
    }
}

impl GivenForm {
    /// What came back, without its body.
    pub(super) fn of(given: &Given) -> Self {
        Self { status: given.status, headers: given.headers.clone() }
    }

    /// What came back.
    pub(super) fn into_given(self, body: Bytes) -> Given {
        Given { status: self.status, headers: self.headers, body }
    }
}
