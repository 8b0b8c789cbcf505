//! Small files that are right, and the same ones after something has happened to them.

use std::io::{Cursor, Read};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{GgufFault, inspect};

/// Writes a file.
#[derive(Clone, Default)]
struct File {
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: usize,
    alignment: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn list(kind: u32, count: u64, elements: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat()
}

impl File {
    fn key(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.push([text(key).as_slice(), &kind.to_le_bytes(), value].concat());
        self
    }

    fn tensor(mut self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        let shape: Vec<u8> =
            [&(shape.len() as u32).to_le_bytes()[..], &shape.iter().flat_map(|d| d.to_le_bytes()).collect::<Vec<_>>()]
                .concat();
        self.tensors.push([text(name).as_slice(), &shape, &kind.to_le_bytes(), &offset.to_le_bytes()].concat());
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        out.extend(self.keys.concat());
        out.extend(self.tensors.concat());
        out.resize(out.len().next_multiple_of(self.alignment.max(1)), 0);
        out.resize(out.len() + self.data, 7);
        out
    }
}

/// Two layers and three tokens; 64 bytes of one tensor, 36 of the other from 64 on.
fn small() -> File {
    let tokens = [text("a"), text("b"), text("</s>")].concat();
    File { data: 100, alignment: 32, ..File::default() }
        .key("general.architecture", 8, &text("llama"))
        .key("llama.block_count", 4, &2u32.to_le_bytes())
        .key("llama.attention.head_count", 9, &list(4, 2, &[1, 0, 0, 0, 1, 0, 0, 0]))
        .key("tokenizer.ggml.tokens", 9, &list(8, 3, &tokens))
        .key("tokenizer.ggml.scores", 9, &list(6, 3, &[0; 12]))
        .key("tokenizer.ggml.token_type", 9, &list(5, 3, &[1; 12]))
        .key("tokenizer.ggml.eos_token_id", 4, &2u32.to_le_bytes())
        .key("tokenizer.ggml.padding_token_id", 4, &u32::MAX.to_le_bytes())
        .key("llama.rope.freq_base", 6, &[0; 4])
        .key("general.quantized", 7, &[1])
        .tensor("token_embd.weight", &[4, 4], 0, 0)
        .tensor("blk.0.x", &[32, 2], 2, 64)
}

fn fault(file: &File) -> String {
    let bytes = file.bytes();
    inspect(bytes.as_slice(), bytes.len() as u64).map_or_else(|fault| fault.to_string(), |facts| format!("{facts:?}"))
}

#[test]
fn a_file_that_is_right_tells_its_facts() {
    let bytes = small().bytes();
    let facts = inspect(bytes.as_slice(), bytes.len() as u64).unwrap();
    assert_eq!((facts.architecture.as_str(), facts.tensors, facts.vocabulary), ("llama", 2, Some(3)));
    assert_eq!(facts.header_bytes, bytes.len() as u64 - 100);
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let bytes = small().bytes();
    for length in 0..bytes.len() {
        let cut = inspect(&bytes[..length], length as u64);
        assert!(matches!(cut, Err(GgufFault::Short { .. })), "{length}: {cut:?}");
        // And one that is shorter than its length says.
        let short = inspect(&bytes[..length.min(bytes.len() - 140)], bytes.len() as u64);
        assert!(short.is_err(), "{length}");
    }
}

#[test]
fn hostile_files_are_refused_by_what_is_wrong_with_them() {
    let huge = u64::MAX / 2;
    for (file, begins) in [
        (small().key("x", 13, &[]), "a value has the type 13"),
        (small().key("x", 8, &huge.to_le_bytes()), "a text has 9223372036854775807"),
        (small().key("x", 8, &(1u64 << 20).to_le_bytes()), "the file is cut short: a text ends at byte"),
        (small().key("x", 9, &list(4, huge, &[])), "a list has 9223372036854775807"),
        (small().key("x", 9, &list(9, 1, &[])), "\"x\" is a list of lists"),
        (small().key("x", 7, &[2]), "\"x\" is neither true nor false"),
        (small().key("x\0y", 0, &[1]), "a key is empty, or has a zero byte"),
        (small().key("", 0, &[1]), "a key is empty"),
        (small().key(&"k".repeat(257), 0, &[1]), "a key has 257"),
        (small().key("llama.block_count", 4, &[1; 4]), "the key \"llama.block_count\" is there twice"),
        (small().key("general.alignment", 4, &3u32.to_le_bytes()), "general.alignment is no power of two"),
        (small().key("general.alignment", 10, &32u64.to_le_bytes()), "general.alignment is no power of two"),
        (small().key("general.alignment", 4, &(1u32 << 31).to_le_bytes()), "general.alignment is no power of two"),
        (small().key("llama.x", 9, &list(4, 513, &[0; 2052])), "a list by layers has 513"),
        (small().key("llama.y.block_count", 4, &513u32.to_le_bytes()), "llama.y.block_count is no whole number"),
        (small().key("llama.y.block_count", 6, &[0; 4]), "llama.y.block_count is no whole number"),
        (
            small().key("tokenizer.ggml.merges", 9, &list(4, 1, &[0; 4])),
            "tokenizer.ggml.merges is a table of the wrong",
        ),
        (small().key("tokenizer.ggml.bos_token_id", 4, &3u32.to_le_bytes()), "tokenizer.ggml.bos_token_id is 3, and"),
        (small().tensor("blk.0.x", &[4], 0, 128), "tensor \"blk.0.x\" is there twice"),
        (small().tensor(&"n".repeat(64), &[4], 0, 0), "the name of a tensor has 64"),
        (small().tensor("y", &[], 0, 0), "tensor \"y\" has 0 dimensions"),
        (small().tensor("y", &[1, 1, 1, 1, 1], 0, 0), "tensor \"y\" has 5 dimensions"),
        (small().tensor("y", &[0], 0, 128), "tensor \"y\" has no elements"),
        (small().tensor("y", &[1 << 32, 1 << 32], 0, 128), "tensor \"y\" has no elements, or more"),
        (small().tensor("y", &[huge, 3], 0, 128), "tensor \"y\" has no elements, or more"),
        (small().tensor("y", &[huge], 27, 128), "tensor \"y\" is beyond all memory"),
        (small().tensor("y", &[33], 2, 128), "tensor \"y\" has rows that are no whole number of blocks"),
        (small().tensor("y", &[4], 4, 128), "tensor \"y\" is of type 4, which is not known"),
        (small().tensor("y", &[4], 0, 130), "tensor \"y\" is not aligned"),
        (small().tensor("y", &[4], 0, 32), "two tensors share byte"),
        (small().tensor("y", &[4], 0, 128), "the file is cut short: a tensor ends at byte"),
        (small().tensor("y", &[4], 0, u64::MAX - 31), "the file is cut short: a tensor ends"),
        (small().tensor("y", &[32], 0, u64::MAX - 31), "a tensor ends beyond all files"),
        (File::default(), "general.architecture is no text"),
    ] {
        let found = fault(&file);
        assert!(found.starts_with(begins), "{begins}: {found}");
    }
    let mut other = small();
    other.keys[4] = File::default().key("tokenizer.ggml.scores", 9, &list(6, 2, &[0; 8])).keys.remove(0);
    assert!(fault(&other).starts_with("tokenizer.ggml.scores has another length"));
    other.keys[4] = File::default().key("tokenizer.ggml.scores", 9, &list(5, 3, &[0; 12])).keys.remove(0);
    assert!(fault(&other).starts_with("tokenizer.ggml.scores is a table of the wrong type"));
}

#[test]
fn counts_of_billions_cost_nothing() {
    for (at, begins) in [(8, "the list of tensors has"), (16, "the list of keys has")] {
        let mut bytes = small().bytes();
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        let refused = inspect(bytes.as_slice(), u64::MAX).unwrap_err().to_string();
        assert!(refused.starts_with(begins), "{refused}");
    }
    // A file that says that it is endless, and is, is read up to the bound and no further.
    let head = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &0u64.to_le_bytes(), &65_536u64.to_le_bytes()].concat();
    let value = [text("k").as_slice(), &8u32.to_le_bytes(), &(16u64 << 20).to_le_bytes()].concat();
    let endless = Cursor::new([head, value].concat()).chain(std::io::repeat(b'k'));
    assert!(inspect(endless, u64::MAX).is_err());
}

#[test]
fn other_files_are_named_as_such() {
    let mut bytes = small().bytes();
    bytes[4] = 1;
    assert!(matches!(inspect(bytes.as_slice(), bytes.len() as u64), Err(GgufFault::Version(1))));
    bytes[..8].copy_from_slice(b"GGUF\0\0\0\x03");
    assert!(matches!(inspect(bytes.as_slice(), bytes.len() as u64), Err(GgufFault::Version(0x0300_0000))));
    assert!(matches!(inspect(b"hello world".as_slice(), 11), Err(GgufFault::Magic)));
}

proptest! {
    #[test]
    fn a_file_with_flipped_bits_never_makes_it_panic(flips in vec((0usize..1000, 0u8..8), 1..9)) {
        let mut bytes = small().bytes();
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        // Either way, and if it passes every tensor is in the file.
        if let Ok(facts) = inspect(bytes.as_slice(), bytes.len() as u64) {
            prop_assert!(facts.header_bytes <= bytes.len() as u64);
        }
    }

    #[test]
    fn numbers_that_grow_are_never_believed(at in 0usize..600, number in prop_oneof![any::<u64>(), Just(u64::MAX)]) {
        let mut bytes = small().bytes();
        let at = at % (bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        let _ = inspect(bytes.as_slice(), bytes.len() as u64);
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(rest in vec(any::<u8>(), 0..300), keys in 0u64..4, tensors in 0u64..4) {
        let head = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &tensors.to_le_bytes(), &keys.to_le_bytes()].concat();
        let bytes = [head, rest].concat();
        let _ = inspect(bytes.as_slice(), bytes.len() as u64);
    }
}
