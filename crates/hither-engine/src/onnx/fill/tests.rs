//! Small models with their data beside them, which become the ones with their data inside.

use std::io::Cursor;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::tests::{bytes, graph, message, model, number, tensor, text, with};
use super::super::{OnnxFault, inspect};
use super::{FillFault, Outside};

/// A tensor of single bytes, type 2, but for what says its data.
fn begin(name: &str, length: u64) -> Vec<Vec<u8>> {
    vec![number(1, length), number(2, 2), text(8, name)]
}

fn inside(name: &str, data: &[u8]) -> Vec<Vec<u8>> {
    with(begin(name, data.len() as u64), bytes(9, data))
}

fn word(key: &str, value: &str) -> Vec<u8> {
    message(13, &[text(1, key), text(2, value)])
}

fn outside(name: &str, length: u64, words: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let words = words.iter().map(|(key, value)| word(key, value));
    begin(name, length).into_iter().chain(words).chain([number(14, 1)]).collect()
}

/// A tensor with all that exporters say.
fn placed(name: &str, file: &str, offset: u64, length: u64) -> Vec<Vec<u8>> {
    let (offset, said) = (offset.to_string(), length.to_string());
    outside(name, length, &[("location", file), ("offset", &offset), ("length", &said)])
}

fn with_initializers(tensors: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let all = tensors.iter().map(|tensor| message(5, tensor));
    model(&graph().into_iter().chain(all).collect::<Vec<_>>()).concat()
}

/// Joins; the files are given by their names.
fn filled(model: &[u8], files: &[(&str, &[u8])]) -> Result<Vec<u8>, String> {
    let outside = Outside::read(model, model.len() as u64).map_err(|fault| fault.to_string())?;
    let Some(outside) = outside else { return Ok(model.to_vec()) };
    let of = |name: &String| files.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}")).1;
    let mut data: Vec<(&[u8], u64)> = outside.names().iter().map(|name| (of(name), of(name).len() as u64)).collect();
    let mut out = Cursor::new(Vec::new());
    outside.write(model, &mut data, &mut out).map_err(|fault| fault.to_string())?;
    assert!(data.iter().all(|(rest, _)| rest.is_empty()), "every file is read to its end");
    let out = out.into_inner();
    assert_eq!(out.len() as u64, outside.length());
    inspect(out.as_slice(), out.len() as u64).expect("it is a file like any other");
    Ok(out)
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn data_are_brought_in_wherever_a_tensor_may_stand() {
    // Lengths whose own lengths take one, two, three and four bytes, with all that is around them.
    for length in [0, 1, 90, 120, 127, 128, 16_300, 16_384, 70_000, 2_100_000] {
        let data = noise(length + 9);
        let everywhere = |tensor: &[Vec<u8>]| {
            let attribute = |parts: Vec<u8>| message(1, &[text(4, "Constant"), message(5, &[text(1, "value"), parts])]);
            let inner = with(graph(), message(5, tensor));
            let sparse = |field, role| message(field, &[message(role, tensor)]);
            let function = |part: Vec<u8>| with(model(&graph()), message(25, &[text(1, "f"), part]));
            [
                model(&inner),
                model(&with(graph(), sparse(15, 1))),
                model(&with(graph(), sparse(15, 2))),
                model(&with(graph(), attribute(message(5, tensor)))),
                model(&with(graph(), attribute(message(10, tensor)))),
                model(&with(graph(), attribute(sparse(22, 1)))),
                model(&with(graph(), attribute(sparse(23, 2)))),
                model(&with(graph(), attribute(message(6, &inner)))),
                model(&with(graph(), attribute(message(11, &with(inner.clone(), attribute(message(6, &inner))))))),
                function(message(7, &[text(4, "Constant"), message(5, &[message(5, tensor)])])),
                function(message(11, &[text(1, "a"), message(5, tensor)])),
                with(model(&graph()), message(20, &[message(1, &inner)])),
                with(model(&graph()), message(20, &[message(2, &inner)])),
            ]
        };
        let places = everywhere(&placed("w", "w.bin", 5, length as u64));
        let wholes = everywhere(&inside("w", &data[5..5 + length]));
        for (at, (place, whole)) in places.iter().zip(&wholes).enumerate() {
            let found = filled(&place.concat(), &[("w.bin", &data)]).unwrap();
            assert!(found == whole.concat(), "{length} bytes at place {at}");
        }
    }
}

#[test]
fn a_model_that_is_whole_has_nothing_outside() {
    let whole = model(&graph()).concat();
    assert!(Outside::read(whole.as_slice(), whole.len() as u64).unwrap().is_none());
}

#[test]
fn what_stands_around_the_data_stays() {
    let words = [word("location", "w.bin"), number(14, 1)];
    let around = |words: &[Vec<u8>], data: &[Vec<u8>]| {
        let first = begin("w", 4);
        let last = [text(12, "about it"), message(16, &[text(1, "k"), text(2, "v")])];
        with_initializers(&[[&first[..], data, &last[..1], words, &last[1..]].concat()])
    };
    let found = filled(&around(&words, &[]), &[("w.bin", &[1, 2, 3, 4])]).unwrap();
    assert_eq!(found, around(&[], &[bytes(9, &[1, 2, 3, 4])]));
    // Packed shapes, and a checksum that nobody looks at.
    let packed = |rest: Vec<u8>| with_initializers(&[vec![bytes(1, &[2, 2]), number(2, 2), text(8, "w"), rest]]);
    let words = [word("location", "w.bin"), word("checksum", "0"), number(14, 1)].concat();
    let found = filled(&packed(words), &[("w.bin", &[1, 2, 3, 4])]).unwrap();
    assert_eq!(found, packed(bytes(9, &[1, 2, 3, 4])));
}

#[test]
fn what_a_model_says_of_its_data_is_not_believed() {
    let two = |words: &[(&str, &str)]| with_initializers(&[outside("w", 2, words)]);
    let shaped = |parts: &[Vec<u8>]| with_initializers(&[parts.to_vec()]);
    let place = word("location", "w.bin");
    let name = |name: &str| two(&[("location", name)]);
    let far = "9".repeat(19);
    for (file, says) in [
        (name("../secret"), "it names \"../secret\", and only the plain name of a file beside the model is followed"),
        (name("/etc/passwd"), "it names \"/etc/passwd\""),
        (name("a/b"), "it names \"a/b\""),
        (name("a\\b"), "it names \"a\\\\b\""),
        (name(".."), "it names \"..\""),
        (name(".hidden"), "it names \".hidden\""),
        (name("a\nb"), "it names \"a\\nb\""),
        (name(""), "it names \"\""),
        (name(&"n".repeat(256)), "it names \"nnn"),
        (name("*/_ORT_MEM_ADDR_/*"), "it names \"*/_ORT_MEM_ADDR_/*\""),
        (two(&[("offset", "0")]), "it names \"\""),
        (two(&[("location", "w.bin"), ("location", "v.bin")]), "\"location\" is said twice"),
        (two(&[("location", "w.bin"), ("offset", "-1")]), "offset is \"-1\""),
        (two(&[("location", "w.bin"), ("offset", "+1")]), "offset is \"+1\""),
        (two(&[("location", "w.bin"), ("offset", "")]), "offset is \"\""),
        (two(&[("location", "w.bin"), ("offset", "99999999999999999999")]), "offset is \"999"),
        (two(&[("location", "w.bin"), ("length", "3")]), "they are said to be 3 bytes, and its shape needs 2"),
        (two(&[("location", "w.bin"), ("basepath", "/")]), "it says \"basepath\" of them"),
        (two(&[("location", "w.bin"), ("offset", &far)]), "the model with its data has 10000000000000000001 bytes"),
        (
            two(&[("location", "w.bin"), ("offset", "4")]),
            "\"w.bin\" has 5 bytes, and the model says that its data are 4 to 6",
        ),
        (
            two(&[("location", "w.bin"), ("offset", "2")]),
            "\"w.bin\" has 5 bytes, and the model says that its data are 2 to 4",
        ),
        (two(&[("location", "w.bin"), ("offset", "4"), ("length", "2")]), "\"w.bin\" has 5 bytes"),
        (shaped(&[begin("w", 2), vec![place.clone()]].concat()), "it does not say clearly whether they are in one"),
        (shaped(&[begin("w", 2), vec![place.clone(), number(14, 2)]].concat()), "it does not say clearly"),
        (shaped(&[inside("w", &[1, 2]), vec![place.clone(), number(14, 1)]].concat()), "it has some inside, too"),
        (
            shaped(&[begin("w", 2), vec![bytes(5, &[1, 2]), place.clone(), number(14, 1)]].concat()),
            "it has some inside",
        ),
        (shaped(&[number(1, 2), number(2, 8), place.clone(), number(14, 1)]), "its type and shape do not say"),
        (shaped(&[number(1, 2), number(2, 29), place.clone(), number(14, 1)]), "its type and shape do not say"),
        (shaped(&[number(1, 1 << 62), number(2, 11), place.clone(), number(14, 1)]), "its type and shape do not say"),
        (with_initializers(&[placed("w", "w.bin", 0, 1 << 31)]), "the model with its data has 2147483648 bytes"),
        (
            shaped(&[begin("w", 2), vec![place; 9], vec![number(14, 1)]].concat()),
            "words on the place of a tensor's data",
        ),
    ] {
        let found = filled(&file, &[("w.bin", &[1, 2, 3, 4, 5])]).unwrap_err();
        assert!(found.contains(says), "{says}: {found}");
    }
    // Each would fit by itself.
    let three = with_initializers(&vec![placed("w", "w.bin", 0, 1 << 30); 3]);
    assert!(
        matches!(Outside::read(three.as_slice(), three.len() as u64), Err(OnnxFault::TooLarge(bytes)) if bytes > 3 << 30)
    );
    let many: Vec<_> = (0..1025).map(|at| placed("w", &format!("{at}.bin"), 0, 1)).collect();
    assert!(
        filled(&with_initializers(&many), &[]).unwrap_err().starts_with("files with data of tensors: there are 1025")
    );
}

#[test]
fn files_that_are_not_what_was_said_are_refused() {
    let file = with_initializers(&[placed("w", "w.bin", 0, 2)]);
    let outside = || Outside::read(file.as_slice(), file.len() as u64).unwrap().unwrap();
    let write = |model: &[u8], data: &mut [(&[u8], u64)]| outside().write(model, data, &mut Cursor::new(Vec::new()));
    assert!(matches!(write(&file, &mut []), Err(FillFault::Files { named: 1, given: 0 })));
    assert!(matches!(write(&file, &mut [(&[1, 2], 1 << 40)]), Err(FillFault::TooLong { .. })));
    // They became shorter since somebody asked how long they are.
    assert!(matches!(write(&file, &mut [(&[1], 2)]), Err(FillFault::Data { .. })));
    assert!(matches!(write(&file[..9], &mut [(&[1, 2], 2)]), Err(FillFault::Model(_))));
    // The disk is full.
    for room in [0, 10, file.len() - 60] {
        let mut out = vec![0; room];
        let full = outside().write(file.as_slice(), &mut [(&[1, 2][..], 2)], &mut Cursor::new(out.as_mut_slice()));
        assert!(matches!(full, Err(FillFault::Unwritable(_))), "{room}");
    }
}

#[test]
fn a_model_that_is_cut_anywhere_is_refused_or_whole() {
    let file = with_initializers(&[placed("w", "w.bin", 1, 3), tensor(), placed("v", "w.bin", 0, 2)]);
    for length in 0..file.len() {
        let _ = filled(&file[..length], &[("w.bin", &[1, 2, 3, 4])]);
        assert!(Outside::read(&file[..length], file.len() as u64).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn any_tensors_are_brought_in_from_anywhere(
        tensors in vec((0u64..400, 0u64..300, prop::bool::ANY, 0usize..3), 1..12),
    ) {
        let files: Vec<Vec<u8>> = (0..3).map(|at| noise(700 + at * 70_000)).collect();
        let named = ["a.bin", "b", "c d"];
        let (mut outer, mut whole) = (Vec::new(), Vec::new());
        for (at, (offset, length, is_inside, file)) in tensors.iter().enumerate() {
            let name = format!("t{at}");
            let offset = if *file == 2 { offset + 65_300 } else { *offset };
            let data = inside(&name, &files[*file][offset as usize..(offset + length) as usize]);
            outer.push(if *is_inside { data.clone() } else { placed(&name, named[*file], offset, *length) });
            whole.push(data);
        }
        let files: Vec<(&str, &[u8])> = named.iter().copied().zip(files.iter().map(Vec::as_slice)).collect();
        prop_assert!(filled(&with_initializers(&outer), &files).unwrap() == with_initializers(&whole));
    }

    #[test]
    fn flipped_bits_never_make_it_panic_and_what_passes_is_whole(
        flips in vec((any::<prop::sample::Index>(), 0u8..8), 1..9),
    ) {
        let mut file = with_initializers(&[placed("w", "w.bin", 1, 3), tensor(), placed("v", "w.bin", 0, 2)]);
        for (at, bit) in flips {
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
        }
        if let Ok(Some(outside)) = Outside::read(file.as_slice(), file.len() as u64)
            && outside.length() < 1 << 20
        {
            let data = [7; 9];
            let mut data: Vec<(&[u8], u64)> = outside.names().iter().map(|_| (&data[..], 9)).collect();
            let mut out = Cursor::new(Vec::new());
            if outside.write(file.as_slice(), &mut data, &mut out).is_ok() {
                let out = out.into_inner();
                prop_assert_eq!(out.len() as u64, outside.length());
                prop_assert!(inspect(out.as_slice(), out.len() as u64).is_ok());
            }
        }
    }
}
