//! The encoded form, version 1: a version byte and a postcard body. Decoding borrows, takes at most a small
//! multiple of the input in memory, and refuses bytes left over.

use std::marker::PhantomData;

use hither_types::model::Datatype;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ChatMessage, DecodeError, FinishReason, GenerateWork, InferWork, Piece, Prompt, Tensor, Work};
use crate::limits::{MAX_MESSAGES, MAX_RANK, MAX_STOPS, MAX_TENSORS, MAX_TOKEN_IDS};

const VERSION: u8 = 1;

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

    fn data_len(&self) -> usize {
        match self {
            Self::Infer(work) => tensors_len(&work.inputs),
            Self::Generate(_) => 0,
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

fn encode(form: &impl Serialize, data_len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data_len + 256);
    out.push(VERSION);
    postcard::to_extend(form, out).expect("writing to a vector cannot fail, and all lengths are known")
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, DecodeError> {
    let (version, body) = bytes.split_first().ok_or(DecodeError::Malformed(what))?;
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    match postcard::take_from_bytes(body) {
        Ok((form, [])) => Ok(form),
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
    Generate(GenerateForm<'a>),
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
struct GenerateForm<'a> {
    #[serde(borrow)]
    prompt: PromptForm<'a>,
    max_tokens: Option<u32>,
    temperature: f32,
    top_p: f32,
    top_k: u32,
    seed: u64,
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_STOPS>")]
    stop: Vec<&'a str>,
    ignore_eos: bool,
}

#[derive(Serialize, Deserialize)]
enum PromptForm<'a> {
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_MESSAGES>")]
    Chat(Vec<(&'a str, &'a str)>),
    Text(&'a str),
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
}

#[derive(Serialize, Deserialize)]
enum ReasonForm {
    Stop,
    Length,
}

impl<'a> From<&'a Work> for WorkForm<'a> {
    fn from(work: &'a Work) -> Self {
        match work {
            Work::Infer(InferWork { inputs, outputs }) => Self::Infer(InferForm {
                inputs: inputs.iter().map(TensorForm::from).collect(),
                outputs: outputs.iter().map(String::as_str).collect(),
            }),
            Work::Generate(work) => Self::Generate(GenerateForm {
                prompt: match &work.prompt {
                    Prompt::Chat(messages) => {
                        PromptForm::Chat(messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect())
                    }
                    Prompt::Text(text) => PromptForm::Text(text),
                },
                max_tokens: work.max_tokens,
                temperature: work.temperature,
                top_p: work.top_p,
                top_k: work.top_k,
                seed: work.seed,
                stop: work.stop.iter().map(String::as_str).collect(),
                ignore_eos: work.ignore_eos,
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
            WorkForm::Generate(form) => Self::Generate(GenerateWork {
                prompt: match form.prompt {
                    PromptForm::Chat(messages) => Prompt::Chat(
                        messages
                            .into_iter()
                            .map(|(role, content)| ChatMessage { role: role.to_owned(), content: content.to_owned() })
                            .collect(),
                    ),
                    PromptForm::Text(text) => Prompt::Text(text.to_owned()),
                },
                max_tokens: form.max_tokens,
                temperature: form.temperature,
                top_p: form.top_p,
                top_k: form.top_k,
                seed: form.seed,
                stop: form.stop.into_iter().map(str::to_owned).collect(),
                ignore_eos: form.ignore_eos,
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
            Piece::Tokens { first, ids, text } => Self::Tokens { first: *first, ids: ids.clone(), text },
            Piece::End { reason, text } => Self::End {
                reason: match reason {
                    FinishReason::Stop => ReasonForm::Stop,
                    FinishReason::Length => ReasonForm::Length,
                },
                text,
            },
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
            PieceForm::Tokens { first, ids, text } => Self::Tokens { first, ids, text: text.to_owned() },
            PieceForm::End { reason, text } => Self::End {
                reason: match reason {
                    ReasonForm::Stop => FinishReason::Stop,
                    ReasonForm::Length => FinishReason::Length,
                },
                text: text.to_owned(),
            },
        })
    }
}

pub(crate) fn datatype_to_form(datatype: Datatype) -> u8 {
    let place = Datatype::ALL.into_iter().position(|other| other == datatype);
    place.expect("every datatype is in the list of all") as u8
}

pub(crate) fn datatype_from_form(form: u8) -> Option<Datatype> {
    Datatype::ALL.get(usize::from(form)).copied()
}
