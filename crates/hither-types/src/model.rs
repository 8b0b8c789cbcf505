//! Models: what is known about one before it is loaded.

use std::cmp::Reverse;

use crate::id::{Digest, ModelName, NodeId};
use crate::time::WallTime;
use crate::unit::ByteCount;

/// The file format, which decides the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelFormat {
    /// ONNX, for ONNX Runtime.
    Onnx,
    /// GGUF, for llama.cpp.
    Gguf,
    /// The stub engine's own, for tests of the mesh alone.
    Stub,
    /// No file: only servers outside the mesh have the model.
    Outside,
}

impl ModelFormat {
    /// The word that people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Gguf => "gguf",
            Self::Stub => "stub",
            Self::Outside => "outside",
        }
    }
}

/// What computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// The processor that everything else runs on, too.
    #[default]
    Cpu,
    /// A graphics processor.
    Gpu,
    /// A processor made for neural networks.
    Npu,
}

impl Device {
    /// The word that people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::Npu => "npu",
        }
    }
}

/// Which device an operator wants for a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// An NPU if there is one that can, else a GPU, else the CPU: the one that takes the least power.
    #[default]
    Auto,
    /// This one; the CPU, and a warning, if it cannot.
    Only(Device),
}

impl DeviceChoice {
    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Only(device) => device.as_str(),
        }
    }

    /// Reads the word of a configuration.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Auto, Self::Only(Device::Cpu), Self::Only(Device::Gpu), Self::Only(Device::Npu)];
        all.into_iter().find(|choice| choice.as_str() == text)
    }
}

/// An element type of the Open Inference Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datatype {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    Uint8,
    /// Unsigned, 16 bits.
    Uint16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Unsigned, 64 bits.
    Uint64,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// IEEE 754 half.
    Fp16,
    /// bfloat16.
    Bf16,
    /// IEEE 754 single.
    Fp32,
    /// IEEE 754 double.
    Fp64,
    /// Byte strings, each preceded by its length as 32 bits little-endian.
    Bytes,
}

impl Datatype {
    /// All types, in the protocol's order.
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The word of the protocol, in capitals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Reads the protocol's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.as_str() == text)
    }

    /// Bytes per element; `None` for [`Datatype::Bytes`], whose elements vary.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }
}

/// An input or output of a tensor model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorSpec {
    /// Its name in the model.
    pub name: String,
    /// Its element type.
    pub datatype: Datatype,
    /// Its dimensions; `None` is a dimension that a request chooses.
    pub shape: Vec<Option<u64>>,
}

/// What a model does, as its engine found on opening it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModelIo {
    /// Tensors in, tensors out.
    Tensors {
        /// Inputs, in the model's order.
        inputs: Vec<TensorSpec>,
        /// Outputs, in the model's order.
        outputs: Vec<TensorSpec>,
    },
    /// Text in, text out.
    Language {
        /// Prompt and answer together may have this many tokens.
        context_tokens: u32,
    },
}

/// A model's entry in the catalog. Published by a member, signed, told to every other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Manifest {
    /// What people call it.
    pub name: ModelName,
    /// BLAKE3 of the file: its address in the swarm.
    pub digest: Digest,
    /// SHA-256 of the file, for the world outside.
    pub sha256: [u8; 32],
    /// The size of the file.
    pub size: ByteCount,
    /// The file format.
    pub format: ModelFormat,
    /// The SPDX licence expression that the publisher stated; empty if none.
    pub licence: String,
    /// What goes in and what comes out.
    pub io: ModelIo,
    /// What the publisher's engine took in memory once the model was open; zero if it did not say.
    pub memory: ByteCount,
    /// Questions whose answers are known: a node offers the model only while its engine gives them.
    pub golden: Vec<Golden>,
    /// The member that published it.
    pub publisher: NodeId,
    /// Grows each time the entry is signed anew; the first has 0.
    pub revision: u64,
    /// When the model must not be used any more; none: it may be used for ever.
    pub expires: Option<WallTime>,
    /// Who signed the files before they were published, as whoever added them checked: the method, and the key's SHA-256 or
    /// the certificate's subject. At most 256 bytes, without control characters; empty if nothing was checked.
    pub signed_by: String,
}

impl Manifest {
    /// Whether this entry takes the place of one that is known: of the same file and name, and of a greater revision. Of two
    /// that were signed at once that of the greater key counts, and of one key's that which ends first, so that all come to
    /// the same in whatever order they hear.
    pub fn replaces(&self, known: &Self) -> bool {
        let end = |entry: &Self| Reverse(entry.expires.unwrap_or(WallTime(u64::MAX)));
        let order = |entry: &Self| (entry.revision, entry.publisher, end(entry));
        // Of first entries the one that is heard first stays.
        self.revision > 0 && self.is_of_same(known) && order(self) > order(known)
    }

    /// Whether this entry counts and not one that is known: of those that may publish, as `may` says, the one that
    /// [replaces](Self::replaces) the other, and before that any by whom they may. So a key that was stolen cannot hold an
    /// entry for good with the greatest revision there is.
    pub fn supersedes(&self, known: &Self, may: impl Fn(NodeId) -> bool) -> bool {
        match (may(self.publisher), may(known.publisher)) {
            (true, false) => self.is_of_same(known),
            (false, true) => false,
            _ => self.replaces(known),
        }
    }

    fn is_of_same(&self, known: &Self) -> bool {
        let fixed = |entry: &Self| (entry.digest, entry.sha256, entry.size, entry.format);
        fixed(self) == fixed(known) && self.name == known.name && self.io == known.io
    }

    /// Whether the model must not be used any more.
    pub fn has_expired(&self, now: WallTime) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// The publisher in entries of models that only servers outside the mesh have: the last of all keys, and nobody's.
pub const OUTSIDE: NodeId = NodeId([0xff; 32]);

/// A question to a model, and what its answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Golden {
    /// What is asked.
    pub question: Question,
    /// What has to come.
    pub answer: KnownAnswer,
}

/// What a model is asked to see whether its engine is right.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// This work, in the form that engines take.
    Given(Vec<u8>),
    /// Inputs drawn by chance from a seed, the same everywhere: every dimension that a request chooses is 1, and the
    /// first `rows`.
    Drawn {
        /// The seed.
        seed: u64,
        /// The first dimension of every input that leaves it open.
        rows: u32,
    },
}

/// An answer that is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KnownAnswer {
    /// These outputs, in the form that engines give. One with fewer elements than the model gives is its beginning.
    /// Floating-point numbers may differ by `relative` × their size + `absolute`, both in millionths; all else not.
    Tensors {
        /// The outputs.
        outputs: Vec<u8>,
        /// Millionths of the number.
        relative: u32,
        /// Millionths of one.
        absolute: u32,
    },
    /// A text that begins so.
    Begins(String),
}
