//! The encoded form: a version byte and a postcard body. Decoding borrows, takes at most a small multiple of the input
//! in memory, and refuses bytes left over. Version 1 has the first two kinds of work and the first three of pieces;
//! version 2 adds those after, and version 3 examples to train with, which go to no worker and no peer.

use std::marker::PhantomData;

use hither_types::model::Datatype;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Account, DecodeError, FinishReason, GenerateWork, InferWork, Piece, Tensor, TrainWork, Work};
use crate::limits::{MAX_EXAMPLES, MAX_RANK, MAX_TENSORS, MAX_TOKEN_IDS};

mod language;

use language::{CallsForm, ChancesForm, EmbedForm, FirstForm, GenerateForm};

/// The place of [`WorkForm::Generate`] among the kinds of work.
const GENERATE: u8 = 2;

/// A form, and the version that first had it.
trait Versioned {
    fn version(&self) -> u8;
}

impl Work {
    /// The form that goes to a worker or to a peer.
    pub fn encode(&self) -> Vec<u8> {
        encode(&WorkForm::from(self), self.data_len())
    }

    /// Reads the form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let form: WorkForm<'_> = decode(bytes, "work for an engine")?;
        form.try_into().map_err(|()| DecodeError::Malformed("work for an engine"))
    }

    /// The form of the same work without a scope, so that nothing of it stays in an engine when it has ended; `None` if it
    /// has none, or is no work.
    pub fn without_scope(bytes: &[u8]) -> Option<Vec<u8>> {
        // The kind stands behind the version. Tensors may be large, and have none: they are not read.
        if bytes.get(1) != Some(&GENERATE) {
            return None;
        }
        match Self::decode(bytes) {
            Ok(Self::Generate(work)) if work.cache.is_some() => {
                Some(Self::Generate(GenerateWork { cache: None, ..work }).encode())
            }
            Ok(_) | Err(_) => None,
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Infer(work) => tensors_len(&work.inputs),
            Self::Generate(_) | Self::Embed(_) => 0,
            Self::Train(work) => work.options.len() + work.examples.iter().map(|text| text.len() + 4).sum::<usize>(),
        }
    }
}

impl Piece {
    /// The form that goes from a worker or a peer to the node that the request entered.
    pub fn encode(&self) -> Vec<u8> {
        let data_len = match self {
            Self::Outputs(tensors) => tensors_len(tensors),
            Self::Tokens { .. } | Self::End { .. } => 0,
        };
        encode(&PieceForm::from(self), data_len)
    }

    /// Reads the form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let form: PieceForm<'_> = decode(bytes, "a piece of an answer")?;
        form.try_into().map_err(|()| DecodeError::Malformed("a piece of an answer"))
    }
}

fn tensors_len(tensors: &[Tensor]) -> usize {
    tensors.iter().map(|tensor| tensor.data.len() + tensor.name.len() + 32).sum()
}

fn encode(form: &(impl Serialize + Versioned), data_len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data_len + 256);
    out.push(form.version());
    append(form, out)
}

/// Writes a form behind what is there.
pub(crate) fn append(form: &impl Serialize, out: Vec<u8>) -> Vec<u8> {
    postcard::serialize_with_flavor(form, Append(out))
        .expect("writing to a vector cannot fail, and all lengths are known")
}

/// A vector that takes a tensor in one move. Postcard's own takes bytes one by one.
struct Append(Vec<u8>);

impl postcard::ser_flavors::Flavor for Append {
    type Output = Vec<u8>;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Self::Output> {
        Ok(self.0)
    }
}

fn decode<'a, T: Deserialize<'a> + Versioned>(bytes: &'a [u8], what: &'static str) -> Result<T, DecodeError> {
    let (version, body) = bytes.split_first().ok_or(DecodeError::Malformed(what))?;
    if !matches!(version, 1..=3) {
        return Err(DecodeError::Version(*version));
    }
    match postcard::take_from_bytes::<T>(body) {
        Ok((form, [])) if form.version() == *version => Ok(form),
        Ok(_) | Err(_) => Err(DecodeError::Malformed(what)),
    }
}

/// Bytes as one run, not as a sequence of numbers.
pub(crate) struct Blob<'a>(pub(crate) &'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Blob<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Self)
    }
}

/// Reads a list and gives up at the first element over the bound, before memory is spent on it.
pub(crate) fn bounded<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {MAX} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut out = Vec::new();
            while let Some(element) = list.next_element()? {
                if out.len() == MAX {
                    return Err(A::Error::custom("too many elements"));
                }
                out.push(element);
            }
            Ok(out)
        }
    }

    deserializer.deserialize_seq(Bounded::<T, MAX>(PhantomData))
}

#[derive(Serialize, Deserialize)]
enum WorkForm<'a> {
    #[serde(borrow)]
    Infer(InferForm<'a>),
    First(FirstForm<'a>),
    Generate(GenerateForm<'a>),
    Embed(EmbedForm<'a>),
    Train(TrainForm<'a>),
}

#[derive(Serialize, Deserialize)]
struct TrainForm<'a> {
    training: u128,
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_EXAMPLES>")]
    examples: Vec<&'a str>,
    options: &'a str,
}

impl Versioned for WorkForm<'_> {
    fn version(&self) -> u8 {
        match self {
            Self::Infer(_) | Self::First(_) => 1,
            Self::Generate(_) | Self::Embed(_) => 2,
            Self::Train(_) => 3,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct InferForm<'a> {
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_TENSORS>")]
    inputs: Vec<TensorForm<'a>>,
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_TENSORS>")]
    outputs: Vec<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct TensorForm<'a> {
    name: &'a str,
    /// The place in [`Datatype::ALL`], which is the protocol's order and only ever grows at its end.
    datatype: u8,
    #[serde(deserialize_with = "bounded::<_, _, MAX_RANK>")]
    shape: Vec<u64>,
    #[serde(borrow)]
    data: Blob<'a>,
}

#[derive(Serialize, Deserialize)]
enum PieceForm<'a> {
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_TENSORS>")]
    Outputs(Vec<TensorForm<'a>>),
    Tokens {
        first: u32,
        #[serde(deserialize_with = "bounded::<_, _, MAX_TOKEN_IDS>")]
        ids: Vec<u32>,
        text: &'a str,
    },
    End {
        reason: ReasonForm,
        text: &'a str,
    },
    TokensMore {
        first: u32,
        #[serde(deserialize_with = "bounded::<_, _, MAX_TOKEN_IDS>")]
        ids: Vec<u32>,
        text: &'a str,
        #[serde(borrow)]
        chances: ChancesForm<'a>,
        calls: CallsForm<'a>,
    },
    EndMore {
        reason: ReasonForm,
        text: &'a str,
        #[serde(borrow)]
        calls: CallsForm<'a>,
        cached_tokens: u32,
        dropped_tokens: u32,
    },
}

impl Versioned for PieceForm<'_> {
    fn version(&self) -> u8 {
        match self {
            Self::Outputs(_) | Self::Tokens { .. } | Self::End { .. } => 1,
            Self::TokensMore { .. } | Self::EndMore { .. } => 2,
        }
    }
}

#[derive(Serialize, Deserialize)]
enum ReasonForm {
    Stop,
    Length,
    ToolCalls,
}

impl<'a> From<&'a Work> for WorkForm<'a> {
    fn from(work: &'a Work) -> Self {
        match work {
            Work::Infer(InferWork { inputs, outputs }) => Self::Infer(InferForm {
                inputs: inputs.iter().map(TensorForm::from).collect(),
                outputs: outputs.iter().map(String::as_str).collect(),
            }),
            Work::Generate(work) => match FirstForm::of(work) {
                Some(form) => Self::First(form),
                None => Self::Generate(work.into()),
            },
            Work::Embed(work) => Self::Embed(work.into()),
            Work::Train(TrainWork { training, examples, options }) => Self::Train(TrainForm {
                training: *training,
                examples: examples.iter().map(String::as_str).collect(),
                options,
            }),
        }
    }
}

impl TryFrom<WorkForm<'_>> for Work {
    type Error = ();

    fn try_from(form: WorkForm<'_>) -> Result<Self, ()> {
        Ok(match form {
            WorkForm::Infer(InferForm { inputs, outputs }) => Self::Infer(InferWork {
                inputs: inputs.into_iter().map(Tensor::try_from).collect::<Result<_, _>>()?,
                outputs: outputs.into_iter().map(str::to_owned).collect(),
            }),
            WorkForm::First(form) => Self::Generate(form.into()),
            WorkForm::Generate(form) => Self::Generate(form.into()),
            WorkForm::Embed(form) => Self::Embed(form.into()),
            WorkForm::Train(TrainForm { training, examples, options }) => Self::Train(TrainWork {
                training,
                examples: examples.into_iter().map(str::to_owned).collect(),
                options: options.to_owned(),
            }),
        })
    }
}

impl<'a> From<&'a Tensor> for TensorForm<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self {
            name: &tensor.name,
            datatype: datatype_to_form(tensor.datatype),
            shape: tensor.shape.clone(),
            data: Blob(&tensor.data),
        }
    }
}

impl TryFrom<TensorForm<'_>> for Tensor {
    type Error = ();

    fn try_from(form: TensorForm<'_>) -> Result<Self, ()> {
        Ok(Self {
            name: form.name.to_owned(),
            datatype: datatype_from_form(form.datatype).ok_or(())?,
            shape: form.shape,
            data: form.data.0.to_owned(),
        })
    }
}

impl<'a> From<&'a Piece> for PieceForm<'a> {
    fn from(piece: &'a Piece) -> Self {
        match piece {
            Piece::Outputs(tensors) => Self::Outputs(tensors.iter().map(TensorForm::from).collect()),
            Piece::Tokens { first, ids, text, chances, calls } if chances.is_empty() && calls.is_empty() => {
                Self::Tokens { first: *first, ids: ids.clone(), text }
            }
            Piece::Tokens { first, ids, text, chances, calls } => Self::TokensMore {
                first: *first,
                ids: ids.clone(),
                text,
                chances: chances.as_slice().into(),
                calls: calls.as_slice().into(),
            },
            Piece::End { reason, text, calls, account } => {
                let plain = *account == Account::default() && calls.is_empty() && *reason != FinishReason::ToolCalls;
                let Account { cached_tokens, dropped_tokens } = *account;
                let (reason, calls) = (ReasonForm::from(*reason), calls.as_slice().into());
                match plain {
                    true => Self::End { reason, text },
                    false => Self::EndMore { reason, text, calls, cached_tokens, dropped_tokens },
                }
            }
        }
    }
}

impl TryFrom<PieceForm<'_>> for Piece {
    type Error = ();

    fn try_from(form: PieceForm<'_>) -> Result<Self, ()> {
        Ok(match form {
            PieceForm::Outputs(tensors) => {
                Self::Outputs(tensors.into_iter().map(Tensor::try_from).collect::<Result<_, _>>()?)
            }
            PieceForm::Tokens { first, ids, text } => Self::tokens(first, ids, text.to_owned()),
            PieceForm::End { reason: ReasonForm::ToolCalls, .. } => return Err(()),
            PieceForm::End { reason, text } => Self::end(reason.into(), text.to_owned()),
            PieceForm::TokensMore { first, ids, text, chances, calls } => {
                Self::Tokens { first, ids, text: text.to_owned(), chances: chances.into(), calls: calls.into() }
            }
            PieceForm::EndMore { reason, text, calls, cached_tokens, dropped_tokens } => Self::End {
                reason: reason.into(),
                text: text.to_owned(),
                calls: calls.into(),
                account: Account { cached_tokens, dropped_tokens },
            },
        })
    }
}

impl From<FinishReason> for ReasonForm {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
            FinishReason::ToolCalls => Self::ToolCalls,
        }
    }
}

impl From<ReasonForm> for FinishReason {
    fn from(form: ReasonForm) -> Self {
        match form {
            ReasonForm::Stop => Self::Stop,
            ReasonForm::Length => Self::Length,
            ReasonForm::ToolCalls => Self::ToolCalls,
        }
    }
}

pub(crate) fn datatype_to_form(datatype: Datatype) -> u8 {
    let place = Datatype::ALL.into_iter().position(|other| other == datatype);
    place.expect("every datatype is in the list of all") as u8
}

pub(crate) fn datatype_from_form(form: u8) -> Option<Datatype> {
    Datatype::ALL.get(usize::from(form)).copied()
}
