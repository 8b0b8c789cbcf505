//! The messages of an ONNX file, field by field, as the published schema numbers them.

/// A message of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Opset,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Training,
    Function,
    Value,
    Type,
    /// The type of a tensor, sparse or not.
    TensorType,
    /// The type of a sequence, or of what may be absent.
    ElementType,
    MapType,
    OpaqueType,
    Shape,
    Dimension,
    Pair,
    /// A pair of texts, too, in which the data of a tensor are said to be in another file.
    Place,
    Annotation,
    Segment,
    Configuration,
    Placement,
    Sharding,
    Group,
    Split,
    SplitPart,
}

/// What stands in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A whole number.
    Number,
    /// Whole numbers, one by one or packed.
    Numbers,
    /// A number of so many bytes.
    Fixed(u64),
    /// Numbers of so many bytes each, one by one or packed.
    Fixeds(u64),
    /// A text or a name, or bytes.
    Text,
    /// Texts.
    Texts,
    /// A message.
    One(Kind),
    /// Messages.
    Many(Kind),
}

impl Content {
    /// Whether there may be several.
    pub(super) fn is_repeated(self) -> bool {
        matches!(self, Self::Numbers | Self::Fixeds(_) | Self::Texts | Self::Many(_))
    }
}

/// A field: its number, what people call it, and what stands in it.
pub(super) type Field = (u32, &'static str, Content);

impl Kind {
    /// What people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Model => "the model",
            Self::Opset => "an operator set",
            Self::Graph => "a graph",
            Self::Node => "a node",
            Self::Attribute => "an attribute",
            Self::Tensor => "a tensor",
            Self::Sparse => "a sparse tensor",
            Self::Training => "the part for training",
            Self::Function => "a function",
            Self::Value => "a value",
            Self::Type | Self::TensorType | Self::ElementType | Self::MapType | Self::OpaqueType => "a type",
            Self::Shape => "a shape",
            Self::Dimension => "a dimension",
            Self::Pair => "a pair of texts",
            Self::Place => "the place of a tensor's data",
            Self::Annotation => "a note on quantization",
            Self::Segment => "a segment",
            Self::Configuration => "a configuration of devices",
            Self::Placement | Self::Sharding | Self::Group | Self::Split | Self::SplitPart => "a plan for devices",
        }
    }

    /// Its field of a number.
    pub(super) fn field(self, number: u32) -> Option<Field> {
        self.fields().iter().find(|(known, ..)| *known == number).copied()
    }

    fn fields(self) -> &'static [Field] {
        use Content::{Fixed, Fixeds, Many, Number, Numbers, One, Text, Texts};
        match self {
            Self::Model => &[
                (1, "the version of the form", Number),
                (2, "the name of the producer", Text),
                (3, "the version of the producer", Text),
                (4, "the domain of the model", Text),
                (5, "the version of the model", Number),
                (6, "the text about the model", Text),
                (7, "the graph", One(Self::Graph)),
                (8, "an operator set", Many(Self::Opset)),
                (14, "a property of the model", Many(Self::Pair)),
                (20, "the part for training", Many(Self::Training)),
                (25, "a function", Many(Self::Function)),
                (26, "a configuration of devices", Many(Self::Configuration)),
            ],
            Self::Opset => &[(1, "the domain of an operator set", Text), (2, "the version of an operator set", Number)],
            Self::Graph => &[
                (1, "a node", Many(Self::Node)),
                (2, "the name of a graph", Text),
                (5, "an initializer", Many(Self::Tensor)),
                (10, "the text about a graph", Text),
                (11, "an input", Many(Self::Value)),
                (12, "an output", Many(Self::Value)),
                (13, "a value", Many(Self::Value)),
                (14, "a note on quantization", Many(Self::Annotation)),
                (15, "a sparse initializer", Many(Self::Sparse)),
                (16, "a property of a graph", Many(Self::Pair)),
            ],
            Self::Node => &[
                (1, "an input of a node", Texts),
                (2, "an output of a node", Texts),
                (3, "the name of a node", Text),
                (4, "the operator of a node", Text),
                (5, "an attribute", Many(Self::Attribute)),
                (6, "the text about a node", Text),
                (7, "the domain of a node", Text),
                (8, "the overload of a node", Text),
                (9, "a property of a node", Many(Self::Pair)),
                (10, "the placement of a node", Many(Self::Placement)),
            ],
            Self::Attribute => &[
                (1, "the name of an attribute", Text),
                (2, "a number", Fixed(4)),
                (3, "a whole number", Number),
                (4, "a text", Text),
                (5, "a tensor", One(Self::Tensor)),
                (6, "a graph in an attribute", One(Self::Graph)),
                (7, "numbers", Fixeds(4)),
                (8, "whole numbers", Numbers),
                (9, "texts", Texts),
                (10, "tensors", Many(Self::Tensor)),
                (11, "graphs in an attribute", Many(Self::Graph)),
                (13, "the text about an attribute", Text),
                (14, "a type", One(Self::Type)),
                (15, "types", Many(Self::Type)),
                (20, "the type of an attribute", Number),
                (21, "the name of another attribute", Text),
                (22, "a sparse tensor", One(Self::Sparse)),
                (23, "sparse tensors", Many(Self::Sparse)),
            ],
            Self::Tensor => &[
                (1, "the shape of a tensor", Numbers),
                (2, "the type of a tensor", Number),
                (3, "the segment of a tensor", One(Self::Segment)),
                (4, "the numbers of a tensor", Fixeds(4)),
                (5, "the numbers of a tensor", Numbers),
                (6, "the texts of a tensor", Texts),
                (7, "the numbers of a tensor", Numbers),
                (8, "the name of a tensor", Text),
                (9, "the bytes of a tensor", Text),
                (10, "the numbers of a tensor", Fixeds(8)),
                (11, "the numbers of a tensor", Numbers),
                (12, "the text about a tensor", Text),
                (13, "the place of a tensor's data", Many(Self::Place)),
                (14, "where the data of a tensor are", Number),
                (16, "a property of a tensor", Many(Self::Pair)),
            ],
            Self::Sparse => &[
                (1, "the values of a sparse tensor", One(Self::Tensor)),
                (2, "the indices of a sparse tensor", One(Self::Tensor)),
                (3, "the shape of a sparse tensor", Numbers),
            ],
            Self::Training => &[
                (1, "the graph that begins training", One(Self::Graph)),
                (2, "the graph of training", One(Self::Graph)),
                (3, "a binding of training", Many(Self::Pair)),
                (4, "a binding of training", Many(Self::Pair)),
            ],
            Self::Function => &[
                (1, "the name of a function", Text),
                (4, "an input of a function", Texts),
                (5, "an output of a function", Texts),
                (6, "the name of an attribute", Texts),
                (7, "a node of a function", Many(Self::Node)),
                (8, "the text about a function", Text),
                (9, "an operator set of a function", Many(Self::Opset)),
                (10, "the domain of a function", Text),
                (11, "an attribute of a function", Many(Self::Attribute)),
                (12, "a value of a function", Many(Self::Value)),
                (13, "the overload of a function", Text),
                (14, "a property of a function", Many(Self::Pair)),
            ],
            Self::Value => &[
                (1, "the name of a value", Text),
                (2, "the type of a value", One(Self::Type)),
                (3, "the text about a value", Text),
                (4, "a property of a value", Many(Self::Pair)),
            ],
            Self::Type => &[
                (1, "the type of a tensor", One(Self::TensorType)),
                (4, "the type of a sequence", One(Self::ElementType)),
                (5, "the type of a map", One(Self::MapType)),
                (6, "the meaning of a type", Text),
                (7, "an opaque type", One(Self::OpaqueType)),
                (8, "the type of a sparse tensor", One(Self::TensorType)),
                (9, "the type of what may be absent", One(Self::ElementType)),
            ],
            Self::TensorType => &[(1, "the type of elements", Number), (2, "a shape", One(Self::Shape))],
            Self::ElementType => &[(1, "the type of elements", One(Self::Type))],
            Self::MapType => &[(1, "the type of keys", Number), (2, "the type of values", One(Self::Type))],
            Self::OpaqueType => &[(1, "the domain of a type", Text), (2, "the name of a type", Text)],
            Self::Shape => &[(1, "a dimension", Many(Self::Dimension))],
            Self::Dimension => &[
                (1, "the length of a dimension", Number),
                (2, "the name of a dimension", Text),
                (3, "the meaning of a dimension", Text),
            ],
            Self::Pair | Self::Place => &[(1, "a key", Text), (2, "a text", Text)],
            Self::Annotation => &[(1, "the name of a tensor", Text), (2, "a name for quantization", Many(Self::Pair))],
            Self::Segment => &[(1, "the begin of a segment", Number), (2, "the end of a segment", Number)],
            Self::Configuration => &[
                (1, "the name of a configuration", Text),
                (2, "the count of devices", Number),
                (3, "the name of a device", Texts),
            ],
            Self::Placement => &[
                (1, "the name of a configuration", Text),
                (2, "a sharding", Many(Self::Sharding)),
                (3, "the stage of a pipeline", Number),
            ],
            Self::Sharding => &[
                (1, "the name of a tensor", Text),
                (2, "devices", Numbers),
                (3, "a group of devices", Many(Self::Group)),
                (4, "a dimension that is split", Many(Self::Split)),
            ],
            Self::Group => &[(1, "the number of a group", Number), (2, "devices", Numbers)],
            Self::Split => &[(1, "an axis", Number), (2, "a part of a split", Many(Self::SplitPart))],
            Self::SplitPart => {
                &[(1, "a length", Number), (2, "the name of a dimension", Text), (3, "the count of parts", Number)]
            }
        }
    }
}

/// Bits of an element, by the number of its type. `None` for a type that there is not; 0 for texts.
pub(super) fn bits(data_type: u64) -> Option<u64> {
    Some(match data_type {
        8 => 0,
        25 | 26 => 2,
        21..=23 => 4,
        27 | 28 => 6,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        _ => return None,
    })
}

/// What a file is that begins so, if it is a kind that people mistake for a model in ONNX.
pub(super) fn looks_like(head: &[u8]) -> Option<&'static str> {
    const BEGINNINGS: &[(&[u8], &str)] = &[
        (b"GGUF", "a GGUF language model"),
        (b"PK\x03\x04", "a zip archive, as PyTorch, Keras and NumPy write; unpack or export it first"),
        (b"PK\x05\x06", "an empty zip archive"),
        (b"\x80\x02", "a Python pickle; it is a program, and nothing opens it here"),
        (b"\x80\x03", "a Python pickle; it is a program, and nothing opens it here"),
        (b"\x80\x04", "a Python pickle; it is a program, and nothing opens it here"),
        (b"\x80\x05", "a Python pickle; it is a program, and nothing opens it here"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x1f\x8b", "a gzip archive; unpack it first"),
        (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it first"),
        (b"BZh", "a bzip2 archive; unpack it first"),
        (b"\x7fELF", "a program or a shared library"),
        (b"MZ", "a program for Windows"),
        (b"%PDF", "a PDF"),
        (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself: git lfs pull"),
    ];
    let starts = |begin: &[u8]| head.len() >= begin.len() && head[..begin.len()].eq_ignore_ascii_case(begin);
    if let Some((_, what)) = BEGINNINGS.iter().find(|(begin, _)| head.starts_with(begin)) {
        return Some(what);
    }
    match head.get(4..8) {
        Some(b"TFL3") => return Some("a TensorFlow Lite model"),
        Some(b"ORTM") => return Some("a model in ONNX Runtime's own format; give the .onnx that it was made from"),
        _ => {}
    }
    if head.get(8) == Some(&b'{') && head.get(5..8) == Some(&[0, 0, 0]) {
        return Some("safetensors, weights without a graph");
    }
    let first = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let text = &head[first..];
    let starts_text = |begin: &[u8]| text.len() >= begin.len() && text[..begin.len()].eq_ignore_ascii_case(begin);
    if starts_text(b"<!doctype html") || starts_text(b"<html") {
        return Some("a web page: the download gave an error or a login instead of the file");
    }
    if starts(b"<?xml") || starts_text(b"<?xml") {
        return Some("XML");
    }
    let sample = &head[..head.len().min(64)];
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if sample.len() > 4 && sample.iter().all(is_text) {
        return Some(if text.first() == Some(&b'{') { "JSON" } else { "text" });
    }
    if !sample.is_empty() && head.iter().all(|byte| *byte == 0) {
        return Some("zeros: a copy or a download that did not finish");
    }
    None
}
