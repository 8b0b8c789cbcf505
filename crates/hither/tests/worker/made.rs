//! Small ONNX models, written by hand: what no package has, or not so small.

use hither_types::model::Datatype;

/// A message of the format, as bytes.
pub(crate) type Bytes = Vec<u8>;

pub(crate) fn varint(mut value: u64) -> Bytes {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(crate) fn number(field: u64, value: u64) -> Bytes {
    [varint(field << 3), varint(value)].concat()
}

pub(crate) fn bytes(field: u64, inside: &[u8]) -> Bytes {
    [&varint(field << 3 | 2)[..], &varint(inside.len() as u64), inside].concat()
}

pub(crate) fn text(field: u64, text: &str) -> Bytes {
    bytes(field, text.as_bytes())
}

pub(crate) fn message(field: u64, parts: &[Bytes]) -> Bytes {
    bytes(field, &parts.concat())
}

/// The number of a type in the format.
pub(crate) fn element(datatype: Datatype) -> u64 {
    match datatype {
        Datatype::Fp32 => 1,
        Datatype::Uint8 => 2,
        Datatype::Int8 => 3,
        Datatype::Uint16 => 4,
        Datatype::Int16 => 5,
        Datatype::Int32 => 6,
        Datatype::Int64 => 7,
        Datatype::Bytes => 8,
        Datatype::Bool => 9,
        Datatype::Fp16 => 10,
        Datatype::Fp64 => 11,
        Datatype::Uint32 => 12,
        Datatype::Uint64 => 13,
        Datatype::Bf16 => 16,
    }
}

/// An input or output of a graph: its name, type and shape; a dimension that is a name is free.
pub(crate) fn value(field: u64, name: &str, datatype: Datatype, shape: &[&str]) -> Bytes {
    let dimension = |dim: &&str| match dim.parse() {
        Ok(length) => message(1, &[number(1, length)]),
        Err(_) => message(1, &[text(2, dim)]),
    };
    let dims: Vec<Bytes> = shape.iter().map(dimension).collect();
    let tensor = message(1, &[number(1, element(datatype)), message(2, &dims)]);
    message(field, &[text(1, name), message(2, &[tensor])])
}

pub(crate) fn input(name: &str, datatype: Datatype, shape: &[&str]) -> Bytes {
    value(11, name, datatype, shape)
}

pub(crate) fn output(name: &str, datatype: Datatype, shape: &[&str]) -> Bytes {
    value(12, name, datatype, shape)
}

/// A node of a graph, with whole numbers as attributes.
pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, u64)]) -> Bytes {
    let mut parts: Vec<Bytes> = inputs.iter().map(|name| text(1, name)).collect();
    parts.extend(outputs.iter().map(|name| text(2, name)));
    parts.push(text(4, operator));
    let attribute = |(name, value): &(&str, u64)| message(5, &[text(1, name), number(20, 2), number(3, *value)]);
    parts.extend(attributes.iter().map(attribute));
    message(1, &parts)
}

/// A model of the parts of its graph.
pub(crate) fn model(parts: &[Bytes]) -> Bytes {
    let graph = [parts, &[text(2, "made")]].concat();
    [number(1, 8), message(7, &graph), message(8, &[text(1, ""), number(2, 17)])].concat()
}

/// A file that lasts as long as the directory.
pub(crate) fn file(model: &[u8]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    std::fs::write(&path, model).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}
