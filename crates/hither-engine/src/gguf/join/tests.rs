//! Small models that are split and joined again, and parts that do not belong together.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::inspect;
use super::{JoinFault, Parts};

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(name).as_slice(), &kind.to_le_bytes(), value].concat()
}

/// A file: its keys as they are written, its tensors with their data.
#[derive(Clone, Debug)]
struct File {
    version: u32,
    keys: Vec<Vec<u8>>,
    tensors: Vec<(String, Vec<u64>, Vec<u8>)>,
    alignment: usize,
    /// Whether the last tensor is filled up, too.
    is_filled: bool,
}

impl File {
    /// All tensors are of single bytes, as the type 24 is.
    fn bytes(&self) -> Vec<u8> {
        let mut out = [b"GGUF".as_slice(), &self.version.to_le_bytes()].concat();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        out.extend(self.keys.concat());
        let mut offset = 0;
        for (name, shape, data) in &self.tensors {
            out.extend(text(name));
            out.extend((shape.len() as u32).to_le_bytes());
            out.extend(shape.iter().flat_map(|dimension| dimension.to_le_bytes()));
            out.extend(24u32.to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset = (offset + data.len()).next_multiple_of(self.alignment);
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        for (place, (.., data)) in self.tensors.iter().enumerate() {
            out.extend(data);
            if self.is_filled || place + 1 < self.tensors.len() {
                out.resize(out.len().next_multiple_of(self.alignment), 0);
            }
        }
        out
    }

    /// The parts, each with the tensors from one of the places to the next.
    fn split(&self, places: &[usize]) -> Vec<Self> {
        let count = (places.len() + 1) as u16;
        let begins = std::iter::once(0).chain(places.iter().copied());
        let ends = places.iter().copied().chain([self.tensors.len()]);
        let part = |(number, (begin, end)): (usize, (usize, usize))| {
            let split = [
                key("split.no", 2, &(number as u16).to_le_bytes()),
                key("split.count", 2, &count.to_le_bytes()),
                key("split.tensors.count", 5, &(self.tensors.len() as u32).to_le_bytes()),
            ];
            let own = if number == 0 { self.keys.as_slice() } else { &[] };
            // Only the first part knows of another alignment.
            let alignment = if number == 0 { self.alignment } else { 32 };
            let tensors = self.tensors[begin..end].to_vec();
            Self { keys: [own, &split].concat(), tensors, alignment, ..self.clone() }
        };
        begins.zip(ends).enumerate().map(part).collect()
    }
}

fn named(name: &str, bytes: usize) -> (String, Vec<u64>, Vec<u8>) {
    (name.to_owned(), vec![bytes as u64], (0..bytes).map(|at| at as u8 ^ name.as_bytes()[0]).collect())
}

/// Five tensors, and a list and a text among the keys.
fn small() -> File {
    let keys = vec![
        key("general.architecture", 8, &text("llama")),
        key("llama.block_count", 4, &2u32.to_le_bytes()),
        key("general.name", 8, &text("small")),
        key("x.list", 9, &[&6u32.to_le_bytes()[..], &2u64.to_le_bytes(), &[7; 8]].concat()),
    ];
    let tensors = vec![named("a", 33), named("b", 64), named("c", 1), named("d", 100), named("e", 31)];
    File { version: 3, keys, tensors, alignment: 32, is_filled: true }
}

fn joined(parts: &[Vec<u8>]) -> Result<Vec<u8>, JoinFault> {
    let parts = Parts::read(parts.iter().map(|part| (part.as_slice(), part.len() as u64)).collect())?;
    let (length, mut out) = (parts.length(), Vec::new());
    for rest in parts.write(&mut out)? {
        assert!(rest.is_empty(), "a part is read to its end");
    }
    assert_eq!(length, out.len() as u64);
    Ok(out)
}

fn bytes(parts: &[File]) -> Vec<Vec<u8>> {
    parts.iter().map(File::bytes).collect()
}

/// The fault and its cause.
fn fault(parts: &[Vec<u8>]) -> String {
    match joined(parts) {
        Err(JoinFault::Part { number, fault }) => format!("{number}: {fault}"),
        Err(fault) => fault.to_string(),
        Ok(_) => "joined".to_owned(),
    }
}

#[test]
fn a_split_that_is_joined_is_the_file_that_was_split() {
    let small = small();
    for places in [&[3][..], &[0], &[5], &[1, 2, 3, 4], &[0, 0, 5]] {
        assert_eq!(joined(&bytes(&small.split(places))).unwrap(), small.bytes(), "{places:?}");
    }
    // The last tensor of a part may end where the file does.
    let loose = File { is_filled: false, ..small.clone() };
    assert_eq!(joined(&bytes(&loose.split(&[2]))).unwrap(), small.bytes());
}

#[test]
fn the_space_of_another_alignment_is_made_anew() {
    for alignment in [8, 64, 4096] {
        let mut small = File { alignment, ..small() };
        small.keys.push(key("general.alignment", 4, &(alignment as u32).to_le_bytes()));
        let whole = joined(&bytes(&small.split(&[2, 4]))).unwrap();
        assert_eq!(whole, small.bytes());
        inspect(whole.as_slice(), whole.len() as u64).unwrap();
    }
}

#[test]
fn tensors_that_do_not_stand_in_the_order_of_the_header_keep_the_order_of_their_data() {
    let mut parts = bytes(&small().split(&[3]));
    // The second part has d at 0 and e at 128; now the header names them the other way round.
    let at = |part: &[u8], name: &str| {
        let name = text(name);
        part.windows(name.len()).position(|window| window == name).unwrap()
    };
    let (d, e) = (at(&parts[1], "d"), at(&parts[1], "e"));
    let (first, second) = (parts[1][d..e].to_vec(), parts[1][e..e + (e - d)].to_vec());
    parts[1][d..d + 2 * (e - d)].copy_from_slice(&[second, first].concat());
    let whole = joined(&parts).unwrap();
    let usual = small().bytes();
    assert_eq!(whole.len(), usual.len());
    assert_eq!(whole[whole.len() - 160..], usual[usual.len() - 160..], "the data");
    inspect(whole.as_slice(), whole.len() as u64).unwrap();
}

#[test]
fn a_key_that_every_part_repeats_is_there_once() {
    let mut parts = small().split(&[3]);
    parts[1].keys.push(small().keys[0].clone());
    assert_eq!(joined(&bytes(&parts)).unwrap(), small().bytes());
}

#[test]
fn parts_that_do_not_belong_together_are_refused_by_what_is_wrong() {
    let parts = small().split(&[2, 4]);
    let of = |change: &dyn Fn(&mut Vec<File>)| {
        let mut parts = parts.clone();
        change(&mut parts);
        fault(&bytes(&parts))
    };
    let word = |key: &str, value: u16| super::tests::key(key, 2, &value.to_le_bytes());
    let total = |value: u32| key("split.tensors.count", 5, &value.to_le_bytes());
    let other = small().split(&[1, 4]);
    for (found, begins) in [
        (of(&|parts| parts.truncate(1)), "a split model has 2 to 512 parts, and 1"),
        (of(&|parts| parts.truncate(2)), "1: it says that the model has 3 parts (split.count), and 2 are here"),
        (of(&|parts| parts[1] = parts[0].clone()), "2: it says that it is part 1"),
        (of(&|parts| parts.swap(1, 2)), "2: it says that it is part 3"),
        (of(&|parts| parts[2].keys[0] = word("split.no", 7)), "3: it says that it is part 8"),
        (of(&|parts| parts[1].keys[1] = word("split.count", 4)), "2: it says that the model has 4 parts"),
        (
            of(&|parts| parts[1].keys[2] = total(6)),
            "2: it says that the model has 6 tensors, and the first part says 5",
        ),
        (of(&|parts| parts[0].keys[6] = total(u32::MAX)), "1: the list of all tensors has 4294967295"),
        (of(&|parts| drop(parts[1].keys.remove(0))), "2: it is no part of a split model: it has no split.no"),
        (of(&|parts| parts[1].keys[0] = key("split.no", 6, &[0; 4])), "2: split.no is no whole number"),
        (of(&|parts| parts[1].keys.push(word("split.no", 1))), "2: the key \"split.no\" is there twice"),
        (of(&|parts| parts[1].keys.push(word("more", 1))), "2: it says of \"more\" something else"),
        (
            of(&|parts| parts[1].keys.push(key("general.name", 8, &text("x")))),
            "2: it says of \"general.name\" something",
        ),
        (of(&|parts| parts[1].version = 2), "2: it is of GGUF version 2, and the first part of 3"),
        (of(&|parts| parts[1].tensors[0].0 = "a".to_owned()), "2: tensor \"a\" is in another part, too"),
        (of(&|parts| drop(parts[1].tensors.pop())), "the parts have 4 tensors together, and say that they have 5"),
        (of(&|parts| parts[1] = other[1].clone()), "2: tensor \"b\" is in another part, too"),
    ] {
        assert!(found.starts_with(begins), "{begins}: {found}");
    }
    let with = |more: &[u8]| {
        let mut parts = bytes(&parts);
        parts[1].extend_from_slice(more);
        fault(&parts)
    };
    assert!(with(&[0; 40]).starts_with("2: it has 40 bytes behind its tensors"), "{}", with(&[0; 40]));
    let many = vec![parts[0].bytes(); 513];
    assert!(fault(&many).starts_with("a split model has 2 to 512 parts, and 513"));
}

#[test]
fn a_part_that_is_cut_anywhere_is_refused() {
    let parts = bytes(&small().split(&[2, 4]));
    for which in 0..parts.len() {
        // What fills up the last tensor may be missing: 0 bytes, 28 and 1.
        let fill = [0, 28, 1][which];
        for length in 0..parts[which].len() - fill {
            let mut parts = parts.clone();
            parts[which].truncate(length);
            let found = fault(&parts);
            assert!(found.starts_with(&format!("{}: ", which + 1)) && found.contains("cut short"), "{length}: {found}");
        }
    }
    // And one that becomes shorter while it is read.
    let lengths: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
    let short = &parts[1][..parts[1].len() - 64];
    let files = vec![(&parts[0][..], lengths[0]), (short, lengths[1]), (&parts[2][..], lengths[2])];
    let cut = Parts::read(files).unwrap().write(&mut Vec::new());
    assert!(matches!(cut, Err(JoinFault::Part { number: 2, .. })));
}

#[test]
fn a_disk_that_is_full_is_told() {
    let parts = bytes(&small().split(&[2]));
    for room in [0, 100, 500] {
        let mut out = vec![0; room];
        let files = parts.iter().map(|part| (part.as_slice(), part.len() as u64)).collect();
        let full = Parts::read(files).unwrap().write(&mut out.as_mut_slice());
        assert!(matches!(full, Err(JoinFault::Unwritable(_))), "{room}");
    }
}

proptest! {
    #[test]
    fn any_model_that_is_split_anywhere_comes_back(
        sizes in vec(1usize..200, 1..12),
        places in vec(any::<prop::sample::Index>(), 1..5),
        alignment in prop_oneof![Just(32usize), Just(1), Just(16), Just(256)],
        version in 2u32..4,
    ) {
        let tensors = sizes.iter().enumerate().map(|(at, bytes)| named(&format!("{at}"), *bytes)).collect();
        let mut file = File { version, tensors, alignment, ..small() };
        if alignment != 32 {
            file.keys.insert(1, key("general.alignment", 4, &(alignment as u32).to_le_bytes()));
        }
        let mut places: Vec<usize> = places.iter().map(|place| place.index(file.tensors.len() + 1)).collect();
        places.sort_unstable();
        prop_assert_eq!(joined(&bytes(&file.split(&places))).unwrap(), file.bytes());
    }

    #[test]
    fn flipped_bits_never_make_it_panic_and_what_passes_is_whole(
        flips in vec((0usize..2, any::<prop::sample::Index>(), 0u8..8), 1..9),
    ) {
        let mut parts = bytes(&small().split(&[3]));
        for (which, at, bit) in flips {
            let at = at.index(parts[which].len());
            parts[which][at] ^= 1 << bit;
        }
        if let Ok(whole) = joined(&parts) {
            let facts = inspect(whole.as_slice(), whole.len() as u64);
            let is_whole = !matches!(facts, Err(super::super::GgufFault::Short { .. }));
            prop_assert!(is_whole, "{:?}", facts);
        }
    }

    #[test]
    fn numbers_that_grow_are_never_believed(
        which in 0usize..2,
        at in any::<prop::sample::Index>(),
        number in prop_oneof![any::<u64>(), Just(u64::MAX)],
    ) {
        let mut parts = bytes(&small().split(&[3]));
        let at = at.index(parts[which].len() - 8);
        parts[which][at..at + 8].copy_from_slice(&number.to_le_bytes());
        let _ = joined(&parts);
    }
}
