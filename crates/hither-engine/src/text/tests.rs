//! Nothing lost, nothing doubled, nothing taken back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Added, Assembler};

/// The text emitted for each token from `from` on, then what the end gave; stops at a stop string.
fn emitted(tokens: &[Vec<u8>], from: usize, stops: &[String]) -> Vec<String> {
    let mut assembler = Assembler::new(stops);
    let mut out = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let (text, stopped) = match assembler.push(token) {
            Added::Text(text) => (text, false),
            Added::Stopped(text) => (text, true),
        };
        if index >= from {
            out.push(text);
        }
        if stopped {
            return out;
        }
    }
    out.push(assembler.finish());
    out
}

fn check(tokens: &[&[u8]], stops: &[&str], expected: &[&str]) {
    let tokens: Vec<Vec<u8>> = tokens.iter().map(|token| token.to_vec()).collect();
    let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
    assert_eq!(emitted(&tokens, 0, &stops), expected);
}

/// Tokens that cut characters anywhere, from an alphabet in which stop strings are frequent.
fn tokens() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (vec(prop_oneof!["[abc]{1,4}", "[aäé€😀]{1,3}"], 0..12), vec(1usize..4, 1..12)).prop_map(|(words, cuts)| {
        let bytes = words.concat().into_bytes();
        let mut tokens = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (token, later) = rest.split_at((*cut).min(rest.len()));
            tokens.push(token.to_vec());
            rest = later;
        }
        tokens
    })
}

proptest! {
    #[test]
    fn a_stream_cut_anywhere_and_continued_gives_the_same_text(
        tokens in tokens(), stops in vec("[abc]{1,3}", 0..3), cut in 0usize..40,
    ) {
        let whole = emitted(&tokens, 0, &stops);
        // Only the last element is the end (or the token that stopped): a cut falls before it.
        let cut = cut.min(whole.len() - 1);
        let first = whole[..cut].concat();
        let second = emitted(&tokens, cut, &stops).concat();
        prop_assert_eq!(first + &second, whole.concat());
    }

    #[test]
    fn without_stop_strings_all_text_comes_out(tokens in tokens()) {
        let expected = String::from_utf8(tokens.concat()).unwrap();
        prop_assert_eq!(emitted(&tokens, 0, &[]).concat(), expected);
    }

    #[test]
    fn no_stop_string_ever_comes_out(tokens in tokens(), stops in vec("[abc]{1,3}", 1..3)) {
        let text = emitted(&tokens, 0, &stops).concat();
        prop_assert!(stops.iter().all(|stop| !text.contains(stop.as_str())), "{text:?} has one of {stops:?}");
    }

    #[test]
    fn any_bytes_read_like_the_standard_library_reads_them(tokens in vec(vec(any::<u8>(), 0..6), 0..20)) {
        let all = tokens.concat();
        let expected = String::from_utf8_lossy(&all);
        prop_assert_eq!(emitted(&tokens, 0, &[]).concat(), expected);
    }
}

#[test]
fn an_incomplete_character_waits() {
    check(&[b"a\xe2", b"\x82", b"\xac!"], &[], &["a", "", "€!", ""]);
    check(&[b"a\xe2\x82"], &[], &["a", "\u{fffd}"]);
}

#[test]
fn a_possible_stop_string_waits_and_comes_out_if_it_was_none() {
    check(&[b"one ST", b"O", b"RY"], &["STOP"], &["one ", "", "STORY", ""]);
    check(&[b"one ST", b"OP two"], &["STOP"], &["one ", ""]);
    check(&[b"one ST"], &["STOP"], &["one ", "ST"]);
    check(&[b"one", b"\n", b"\ntwo"], &["", "\n\n"], &["one", "", ""]);
}
