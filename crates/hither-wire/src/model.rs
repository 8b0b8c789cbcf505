//! A model's entry in the catalog. The order of the variants is part of the form.

use hither_types::id::{Digest, NodeId};
use hither_types::model::{Golden, KnownAnswer, Manifest, ModelIo, Question, TensorSpec};
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{Bytes, DatatypeCode, FormatCode, List, Text};
use crate::limits::{MAX_DIMENSIONS, MAX_GOLDEN, MAX_MANIFEST, MAX_TENSORS};

/// What the text is called that says who signed the files, in errors.
const SIGNED_BY: &str = "the signer of a model";

/// The form of version 2, which knew neither an end nor who signed the files.
#[derive(Serialize, Deserialize)]
pub(crate) struct ManifestForm<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    digest: [u8; 32],
    sha256: [u8; 32],
    size: u64,
    format: FormatCode,
    licence: Text<'a>,
    io: IoForm<'a>,
    publisher: [u8; 32],
    memory: u64,
    golden: List<GoldenForm<'a>, MAX_GOLDEN>,
}

/// The form of version 1, which knew neither memory nor golden answers.
#[derive(Serialize, Deserialize)]
pub(crate) struct ManifestForm1<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    digest: [u8; 32],
    sha256: [u8; 32],
    size: u64,
    format: FormatCode,
    licence: Text<'a>,
    io: IoForm<'a>,
    publisher: [u8; 32],
}

/// The form of version 3: what version 2 said, and more.
#[derive(Serialize, Deserialize)]
pub(crate) struct ManifestForm3<'a> {
    #[serde(borrow)]
    entry: ManifestForm<'a>,
    revision: u64,
    expires: Option<u64>,
    signed_by: Text<'a>,
}

impl<'a> ManifestForm3<'a> {
    /// What only this form says; `None` if there is nothing of it, so that an older form holds all.
    pub(crate) fn needed(manifest: &'a Manifest) -> Result<Option<Self>, EncodeError> {
        let Manifest { revision, expires, signed_by, .. } = manifest;
        if *revision == 0 && expires.is_none() && signed_by.is_empty() {
            return Ok(None);
        }
        let signed_by = Text::name(SIGNED_BY, signed_by)?;
        let expires = expires.map(|end| end.0);
        Ok(Some(Self { entry: manifest.try_into()?, revision: *revision, expires, signed_by }))
    }
}

impl TryFrom<ManifestForm3<'_>> for Manifest {
    type Error = DecodeError;

    fn try_from(form: ManifestForm3<'_>) -> Result<Self, DecodeError> {
        let ManifestForm3 { entry, revision, expires, signed_by } = form;
        let signed_by = signed_by.into_name(SIGNED_BY)?;
        Ok(Self { revision, expires: expires.map(WallTime), signed_by, ..entry.try_into()? })
    }
}

impl<'a> From<ManifestForm1<'a>> for ManifestForm<'a> {
    fn from(old: ManifestForm1<'a>) -> Self {
        let ManifestForm1 { name, digest, sha256, size, format, licence, io, publisher } = old;
        Self { name, digest, sha256, size, format, licence, io, publisher, memory: 0, golden: List::default() }
    }
}

impl ManifestForm<'_> {
    /// Whether the older form holds all there is to say.
    pub(crate) fn fits_version_1(&self) -> bool {
        self.memory == 0 && self.golden.is_empty()
    }
}

impl<'a> From<ManifestForm<'a>> for ManifestForm1<'a> {
    fn from(form: ManifestForm<'a>) -> Self {
        let ManifestForm { name, digest, sha256, size, format, licence, io, publisher, .. } = form;
        Self { name, digest, sha256, size, format, licence, io, publisher }
    }
}

impl<'a> TryFrom<&'a Manifest> for ManifestForm<'a> {
    type Error = EncodeError;

    fn try_from(manifest: &'a Manifest) -> Result<Self, EncodeError> {
        // The rest is for `ManifestForm3`.
        let Manifest { name, digest, sha256, size, format, licence, io, memory, golden, publisher, .. } = manifest;
        Ok(Self {
            name: name.into(),
            digest: digest.0,
            sha256: *sha256,
            size: size.0,
            format: format.into(),
            licence: Text::name("the licence of a model", licence)?,
            io: io.try_into()?,
            publisher: publisher.0,
            memory: memory.0,
            golden: List::of("known answers of one model", golden)?,
        })
    }
}

impl TryFrom<ManifestForm<'_>> for Manifest {
    type Error = DecodeError;

    fn try_from(form: ManifestForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: form.name.try_into()?,
            digest: Digest(form.digest),
            sha256: form.sha256,
            size: ByteCount(form.size),
            format: form.format.try_into()?,
            licence: form.licence.into_name("the licence of a model")?,
            io: form.io.try_into()?,
            memory: ByteCount(form.memory),
            golden: form.golden.into_words()?,
            publisher: NodeId(form.publisher),
            revision: 0,
            expires: None,
            signed_by: String::new(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum IoForm<'a> {
    Tensors {
        #[serde(borrow)]
        inputs: List<TensorForm<'a>, MAX_TENSORS>,
        outputs: List<TensorForm<'a>, MAX_TENSORS>,
    },
    Language {
        context_tokens: u32,
    },
}

impl<'a> TryFrom<&'a ModelIo> for IoForm<'a> {
    type Error = EncodeError;

    fn try_from(io: &'a ModelIo) -> Result<Self, EncodeError> {
        Ok(match io {
            ModelIo::Tensors { inputs, outputs } => Self::Tensors {
                inputs: List::of("inputs of one model", inputs)?,
                outputs: List::of("outputs of one model", outputs)?,
            },
            ModelIo::Language { context_tokens } => Self::Language { context_tokens: *context_tokens },
        })
    }
}

impl TryFrom<IoForm<'_>> for ModelIo {
    type Error = DecodeError;

    fn try_from(form: IoForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            IoForm::Tensors { inputs, outputs } => {
                Self::Tensors { inputs: inputs.into_words()?, outputs: outputs.into_words()? }
            }
            IoForm::Language { context_tokens } => Self::Language { context_tokens },
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TensorForm<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    datatype: DatatypeCode,
    shape: List<Dimension, MAX_DIMENSIONS>,
}

impl<'a> TryFrom<&'a TensorSpec> for TensorForm<'a> {
    type Error = EncodeError;

    fn try_from(tensor: &'a TensorSpec) -> Result<Self, EncodeError> {
        let TensorSpec { name, datatype, shape } = tensor;
        Ok(Self {
            name: Text::name("the name of a tensor", name)?,
            datatype: datatype.into(),
            shape: List::of("dimensions of one tensor", shape)?,
        })
    }
}

impl TryFrom<TensorForm<'_>> for TensorSpec {
    type Error = DecodeError;

    fn try_from(form: TensorForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: form.name.into_name("the name of a tensor")?,
            datatype: form.datatype.try_into()?,
            shape: form.shape.into_words()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Dimension(Option<u64>);

impl From<&Option<u64>> for Dimension {
    fn from(dimension: &Option<u64>) -> Self {
        Self(*dimension)
    }
}

impl From<Dimension> for Option<u64> {
    fn from(form: Dimension) -> Self {
        form.0
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct GoldenForm<'a> {
    #[serde(borrow)]
    question: QuestionForm<'a>,
    answer: AnswerForm<'a>,
}

#[derive(Serialize, Deserialize)]
enum QuestionForm<'a> {
    Given(#[serde(borrow)] Bytes<'a>),
    Drawn { seed: u64, rows: u32 },
}

#[derive(Serialize, Deserialize)]
enum AnswerForm<'a> {
    Tensors {
        #[serde(borrow)]
        outputs: Bytes<'a>,
        relative: u32,
        absolute: u32,
    },
    /// UTF-8; an answer has lines, which a sentence has not.
    Begins(Bytes<'a>),
}

impl<'a> TryFrom<&'a Golden> for GoldenForm<'a> {
    type Error = EncodeError;

    fn try_from(golden: &'a Golden) -> Result<Self, EncodeError> {
        let question = match &golden.question {
            Question::Given(work) => QuestionForm::Given(Bytes(work)),
            Question::Drawn { seed, rows } => QuestionForm::Drawn { seed: *seed, rows: *rows },
        };
        let answer = match &golden.answer {
            KnownAnswer::Tensors { outputs, relative, absolute } => {
                AnswerForm::Tensors { outputs: Bytes(outputs), relative: *relative, absolute: *absolute }
            }
            KnownAnswer::Begins(text) => AnswerForm::Begins(Bytes(text.as_bytes())),
        };
        Ok(Self { question, answer })
    }
}

impl TryFrom<GoldenForm<'_>> for Golden {
    type Error = DecodeError;

    fn try_from(form: GoldenForm<'_>) -> Result<Self, DecodeError> {
        let question = match form.question {
            QuestionForm::Given(work) => Question::Given(work.0.to_vec()),
            QuestionForm::Drawn { seed, rows } => Question::Drawn { seed, rows },
        };
        let answer = match form.answer {
            AnswerForm::Tensors { outputs, relative, absolute } => {
                KnownAnswer::Tensors { outputs: outputs.0.to_vec(), relative, absolute }
            }
            AnswerForm::Begins(text) => {
                let text = std::str::from_utf8(text.0);
                let text = text.map_err(|_| DecodeError::Text { what: "a golden answer", most: MAX_MANIFEST })?;
                KnownAnswer::Begins(text.to_owned())
            }
        };
        Ok(Self { question, answer })
    }
}
