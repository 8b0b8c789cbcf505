//! The forms: golden files, properties, and damage.

use std::fmt::{Debug, Write as _};
use std::path::Path;

use hither_types::id::Digest;
use hither_types::member::Signed;
use hither_types::message::{Ask, ChunkTalk, ChunkWord, Frame, HelloReply, PeerMessage, Rumour};
use hither_types::model::Manifest;
use hither_types::refusal::Failure;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, TestRunner};

use crate::error::{DecodeError, EncodeError};
use crate::{decode_message, encode_message, encode_message_in, limits};

pub(crate) mod arbitrary;
pub(crate) mod samples;

type Encode<T> = fn(&T) -> Result<Vec<u8>, EncodeError>;
type Decode<T> = fn(&[u8]) -> Result<T, DecodeError>;

/// Runs a generic check on every form there is.
macro_rules! every_form {
    ($check:ident) => {
        every_form! { $check: message ask frame hello hello_reply member manifest invite authority_entry start_proof
            chunk_talk rollout_word near_report }
    };
    ($check:ident: $($form:ident)*) => {$(
        $check(stringify!($form), &samples::$form(), arbitrary::$form(), form_functions::$form());
    )*};
}

mod form_functions {
    macro_rules! functions {
        ($($form:ident: $word:path, $encode:ident, $decode:ident;)*) => {$(
            pub(super) fn $form() -> (super::Encode<$word>, super::Decode<$word>) {
                (crate::$encode, crate::$decode)
            }
        )*};
    }
    functions! {
        message: hither_types::message::PeerMessage, encode_message, decode_message;
        ask: hither_types::message::Ask, encode_ask, decode_ask;
        frame: hither_types::message::Frame, encode_frame, decode_frame;
        hello: hither_types::message::Hello, encode_hello, decode_hello;
        hello_reply: hither_types::message::HelloReply, encode_hello_reply, decode_hello_reply;
        member: hither_types::member::Member, encode_member, decode_member;
        manifest: hither_types::model::Manifest, encode_manifest, decode_manifest;
        invite: hither_types::message::Invite, encode_invite, decode_invite;
        authority_entry: hither_types::authority::AuthorityEntry, encode_authority_entry, decode_authority_entry;
        start_proof: hither_types::message::StartProof, encode_start_proof, decode_start_proof;
        rollout_word: hither_types::rollout::RolloutWord, encode_rollout_word, decode_rollout_word;
        near_report: hither_types::near::NearReport, encode_near_report, decode_near_report;
        chunk_talk: hither_types::message::ChunkTalk, encode_chunk_talk, decode_chunk_talk;
    }
}

/// Whether the golden files are written instead of compared.
fn updates_golden() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

fn hex_lines(forms: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for form in forms {
        form.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

fn unhex(line: &str) -> Vec<u8> {
    (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect()
}

fn golden<T: Debug + PartialEq>(
    name: &str,
    samples: &[T],
    _: impl Strategy<Value = T>,
    (encode, decode): (Encode<T>, Decode<T>),
) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.hex"));
    let forms: Vec<Vec<u8>> = samples.iter().map(|sample| encode(sample).unwrap()).collect();
    if updates_golden() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, hex_lines(&forms)).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(hex_lines(&forms), kept, "the form of {name} changed: nodes out there speak the old one");
    let decoded: Vec<T> = kept.lines().map(|line| decode(&unhex(line)).unwrap()).collect();
    assert_eq!(decoded, samples, "{name}");
}

#[test]
fn the_forms_are_those_of_the_golden_files() {
    every_form!(golden);
}

/// What a message says without what version 2 added.
fn without_placing(message: &PeerMessage) -> PeerMessage {
    let mut message = message.clone();
    match &mut message {
        PeerMessage::Presence(presence) => presence.placing = None,
        PeerMessage::Rumours(rumours) => rumours.iter_mut().for_each(|rumour| {
            if let Rumour::Said { presence, .. } = rumour {
                std::sync::Arc::make_mut(presence).placing = None;
            }
        }),
        _ => {}
    }
    message
}

#[test]
fn programs_of_version_1_are_told_what_they_understand() {
    let mut differ = 0;
    // Words about versions, witnesses, policies and round trips have nothing in them for such programs: they are not sent to
    // them at all.
    let told = |message: &PeerMessage| {
        !matches!(
            message,
            PeerMessage::Rollouts(_) | PeerMessage::Witness(_) | PeerMessage::Policy(_) | PeerMessage::Near(_)
        )
    };
    for message in samples::message().into_iter().filter(told) {
        let (old, new) = (encode_message_in(&message, 1).unwrap(), encode_message_in(&message, 2).unwrap());
        assert_eq!(decode_message(&old), Ok(without_placing(&message)));
        assert_eq!(decode_message(&new).as_ref(), Ok(&message));
        // The last kind of message that version 1 knows.
        assert!(old[1] <= 7, "{message:?}");
        differ += usize::from(old != new);
    }
    assert_eq!(differ, 2, "a presence and a rumour");
}

#[test]
fn entries_of_before_are_signed_as_before_and_others_are_of_the_third_form() {
    let forms: Vec<u8> = samples::manifest().iter().map(|entry| crate::encode_manifest(entry).unwrap()[0]).collect();
    assert_eq!(forms, [1, 1, 2, 3, 3, 3]);
}

#[test]
fn programs_of_before_are_not_told_of_entries_that_they_cannot_read() {
    let PeerMessage::Catalog(entries) = samples::message().swap_remove(1) else { panic!("the second is the catalog") };
    let entry = |form: &Manifest| Signed { bytes: crate::encode_manifest(form).unwrap(), ..entries[0].clone() };
    let all: Vec<Signed> = samples::manifest().iter().map(entry).collect();
    let message = PeerMessage::Catalog(all.clone());
    for (version, told) in [(1, 3), (2, 3), (3, 6)] {
        let bytes = encode_message_in(&message, version).unwrap();
        assert_eq!(decode_message(&bytes), Ok(PeerMessage::Catalog(all[..told].to_vec())), "version {version}");
    }
}

#[test]
fn an_older_program_refuses_the_third_form_and_says_which_it_is() {
    // What the program of before does: it reads the second form, and takes every other first byte for it.
    let bytes = crate::encode_manifest(&samples::manifest()[3]).unwrap();
    let read = crate::decode::<crate::model::ManifestForm<'_>>(&crate::MANIFEST_2, &bytes);
    assert_eq!(read.err(), Some(DecodeError::Version { form: "a catalog entry", found: 3, known: 2 }));
}

#[test]
fn a_share_beyond_the_whole_is_refused() {
    let placing = samples::message().into_iter().find_map(|message| match message {
        PeerMessage::Presence(presence) => presence.placing.is_some().then_some(presence),
        _ => None,
    });
    let bytes = encode_message(&PeerMessage::Presence(placing.unwrap())).unwrap();
    let shares = [5, 8, 4];
    let at = bytes.windows(3).position(|part| part == shares).unwrap();
    for share in [at, at + 1] {
        let mut wrong = bytes.clone();
        wrong[share] = 9;
        let refused = DecodeError::Code { what: "share in eighths", code: 9 };
        assert_eq!(decode_message(&wrong), Err(refused));
    }
}

fn round_trip<T: Debug + PartialEq>(
    name: &str,
    _: &[T],
    words: impl Strategy<Value = T>,
    (encode, decode): (Encode<T>, Decode<T>),
) {
    let result =
        TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() }).run(&words, |word| {
            let form = encode(&word).unwrap();
            assert_eq!(decode(&form), Ok(word));
            Ok(())
        });
    result.unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

#[test]
fn what_is_said_is_what_is_heard() {
    every_form!(round_trip);
}

fn noise<T: Debug + PartialEq>(
    name: &str,
    _: &[T],
    _: impl Strategy<Value = T>,
    (encode, decode): (Encode<T>, Decode<T>),
) {
    let bytes = vec(any::<u8>(), 0..400);
    let result = TestRunner::new(Config { cases: 2000, failure_persistence: None, ..Config::default() }).run(
        &bytes,
        |mut bytes| {
            // Half of the noise gets past the version.
            if bytes.len() % 2 == 0 && !bytes.is_empty() {
                bytes[0] = crate::VERSION;
            }
            if let Ok(word) = decode(&bytes) {
                assert!(encode(&word).is_ok(), "what was accepted can be said: {word:?}");
            }
            Ok(())
        },
    );
    result.unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

#[test]
fn noise_is_refused_or_understood_and_never_a_crash() {
    every_form!(noise);
}

/// A generator that gives the same numbers everywhere (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// One to four wounds: a bit, a byte, a length that lies, a cut, a doubled part, a part of another form.
fn wound(bytes: &mut Vec<u8>, other: &[u8], seeded: &mut Seeded) {
    for _ in 0..=seeded.below(3) {
        let at = seeded.below(bytes.len());
        match seeded.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << seeded.below(8),
            1 if !bytes.is_empty() => bytes[at] = seeded.next() as u8,
            2 => {
                let lie = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
                let long = seeded.below(lie.len());
                bytes.splice(at..at, lie[long..].iter().copied());
            }
            3 => bytes.truncate(at),
            4 => {
                let end = at + seeded.below(bytes.len() - at);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let from = seeded.below(other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
}

fn damage<T: Debug + PartialEq>(
    name: &str,
    samples: &[T],
    _: impl Strategy<Value = T>,
    (encode, decode): (Encode<T>, Decode<T>),
) {
    const SEEDS: u64 = 5000;
    let forms: Vec<Vec<u8>> = samples.iter().map(|sample| encode(sample).unwrap()).collect();
    let mut refused = 0;
    for seed in 0..SEEDS {
        let mut seeded = Seeded(seed);
        let mut bytes = forms[seeded.below(forms.len())].clone();
        let other = &forms[seeded.below(forms.len())];
        wound(&mut bytes, other, &mut seeded);
        match decode(&bytes) {
            Ok(word) => {
                let again = encode(&word).unwrap_or_else(|why| panic!("{name}, seed {seed}: {why}"));
                assert_eq!(decode(&again).as_ref(), Ok(&word), "{name}, seed {seed}");
            }
            Err(why) => {
                refused += 1;
                assert!(!why.to_string().is_empty());
            }
        }
    }
    assert!(refused > SEEDS / 10, "{name}: wounds that nobody notices are no test: {refused}");
}

#[test]
fn damaged_forms_are_refused_or_understood_and_never_a_crash() {
    every_form!(damage);
}

fn cut_and_trailing<T: Debug + PartialEq>(
    name: &str,
    samples: &[T],
    _: impl Strategy<Value = T>,
    (encode, decode): (Encode<T>, Decode<T>),
) {
    for sample in samples {
        let form = encode(sample).unwrap();
        for cut in 0..form.len() {
            assert!(decode(&form[..cut]).is_err(), "{name} cut at {cut}");
        }
        let mut longer = form.clone();
        longer.push(0);
        assert!(matches!(decode(&longer), Err(DecodeError::Trailing { left: 1, .. })), "{name}");
        let mut newer = form.clone();
        newer[0] = 9;
        assert!(matches!(decode(&newer), Err(DecodeError::Version { found: 9, .. })), "{name}");
        assert!(matches!(decode(&[]), Err(DecodeError::Empty { .. })), "{name}");
        let huge = std::vec![1; limits::MAX_FRAME + 1];
        assert!(matches!(decode(&huge), Err(DecodeError::TooLarge { .. })), "{name}");
    }
}

#[test]
fn a_form_is_whole_of_this_version_and_alone_or_it_is_refused() {
    every_form!(cut_and_trailing);
}

#[test]
fn a_length_that_lies_takes_no_memory() {
    // Sixteen exabytes of catalog, of members, of a piece: the first byte that is missing ends it.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let form = |variant: u8| -> Vec<u8> { [1, variant].into_iter().chain(huge).collect() };
    let (catalog, members, piece) = (form(1), form(2), form(2));
    assert!(matches!(crate::decode_message(&catalog), Err(DecodeError::Malformed { .. })));
    assert!(matches!(crate::decode_message(&members), Err(DecodeError::Malformed { .. })));
    assert!(matches!(crate::decode_frame(&piece), Err(DecodeError::Malformed { .. })));
}

#[test]
fn lists_are_held_to_their_limits_on_both_ends() {
    let PeerMessage::Catalog(entries) = samples::message().swap_remove(1) else { panic!("the second is the catalog") };
    let most = std::vec![entries[0].clone(); limits::MAX_CATALOG];
    let bytes = crate::encode_message(&PeerMessage::Catalog(most.clone())).unwrap();
    assert_eq!(crate::decode_message(&bytes), Ok(PeerMessage::Catalog(most.clone())));

    let mut more = most;
    more.push(entries[0].clone());
    let refused = crate::encode_message(&PeerMessage::Catalog(more));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "257 entries of the catalog do not fit into one message, which takes 256"
    );

    // The same list, by somebody who does not hold to it: one entry more, and the count says so.
    let (head, body) = bytes.split_at(4);
    assert_eq!(head, [1, 1, 0x80, 0x02], "version, variant, 256 as a varint");
    let one = &body[..body.len() / limits::MAX_CATALOG];
    let forged = [&[1, 1, 0x81, 0x02], body, one].concat();
    assert!(matches!(crate::decode_message(&forged), Err(DecodeError::Malformed { .. })));
}

#[test]
fn a_word_about_chunks_names_each_once_and_in_order() {
    let told = |ranges| ChunkTalk { digest: Digest([1; 32]), word: ChunkWord::Have(ranges) };
    let read = |ranges| crate::decode_chunk_talk(&crate::encode_chunk_talk(&told(ranges)).unwrap());
    assert_eq!(read(std::vec![0..2, 2..3, 9..10]), Ok(told(std::vec![0..2, 2..3, 9..10])));
    for ranges in [std::vec![0..2, 1..3], std::vec![5..6, 0..1], std::vec![0..9; 1000]] {
        assert!(matches!(read(ranges), Err(DecodeError::Malformed { .. })));
    }
}

#[test]
fn a_payload_as_large_as_may_be_gets_through_and_a_larger_one_is_refused() {
    let mut ask: Ask = samples::ask().swap_remove(0);
    let head = crate::encode_ask(&ask).unwrap().len() - ask.payload.len();
    // The count of a large payload takes three bytes more than that of the small one.
    ask.payload = std::vec![7; limits::MAX_FRAME - head - 3];
    let bytes = crate::encode_ask(&ask).unwrap();
    assert_eq!(bytes.len(), limits::MAX_FRAME);
    assert_eq!(crate::decode_ask(&bytes).as_ref(), Ok(&ask));
    ask.payload.push(7);
    let refused = crate::encode_ask(&ask).unwrap_err();
    assert_eq!(refused.to_string(), "a request of 16777217 bytes is larger than 16777216 bytes, the most that is sent");
}

#[test]
fn sentences_are_cut_to_one_line_by_the_sender_and_checked_by_the_receiver() {
    let said = Frame::Failed(Failure::Engine(format!("line one\nline two\x1b[31m{}", "ü".repeat(1000))));
    let heard = crate::decode_frame(&crate::encode_frame(&said).unwrap()).unwrap();
    let Frame::Failed(Failure::Engine(text)) = heard else { panic!("{heard:?}") };
    assert!(text.starts_with("line one line two [31müü"), "{text}");
    assert!(text.ends_with("ü…") && text.len() <= limits::MAX_TEXT, "{} bytes", text.len());

    let honest = crate::encode_hello_reply(&HelloReply::Refused("no more".to_owned())).unwrap();
    let forged: Vec<u8> = honest.iter().map(|byte| if *byte == b' ' { 0x1b } else { *byte }).collect();
    assert_eq!(
        crate::decode_hello_reply(&forged).unwrap_err().to_string(),
        "the reason of a refusal is longer than 1024 bytes, or holds control characters"
    );
}

#[test]
fn names_are_parsed_and_numbers_that_stand_for_nothing_are_refused() {
    let sample = &samples::member()[0];
    let honest = crate::encode_member(sample).unwrap();
    let at = honest.windows(6).position(|window| window == b"munich").unwrap();
    let mut forged = honest.clone();
    forged[at] = b'/';
    assert_eq!(
        crate::decode_member(&forged).unwrap_err().to_string(),
        "expected a site name of at most 63 letters, digits and .-_, found \"/unich\""
    );
    let at = honest.windows(9).position(|window| window == b"klinik-ag").unwrap() + 9;
    let mut forged = honest;
    forged[at] = 9;
    let refused = crate::decode_member(&forged).unwrap_err();
    assert_eq!(refused.to_string(), "9 stands for no level of assurance that this program knows");
}

#[test]
fn a_refusal_with_a_field_of_a_newer_version_can_be_read() {
    let sample = samples::frame().into_iter().find(|frame| format!("{frame:?}").contains("FailedField")).unwrap();
    let bytes = crate::encode_frame(&sample).unwrap();
    let at = bytes.windows(6).position(|window| window == b"target").unwrap();
    let mut newer = bytes;
    newer[at..at + 6].copy_from_slice(b"tarqet");
    let heard = format!("{:?}", crate::decode_frame(&newer).unwrap());
    assert!(heard.contains("a field of a newer version") && heard.contains("eea-personal"), "{heard}");
}
