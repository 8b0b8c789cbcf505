//! The form of work: what goes in comes out, and damage is noticed.

use hither_types::model::Datatype;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn tensor() -> impl Strategy<Value = Tensor> {
    (".{0,20}", 0..Datatype::ALL.len(), vec(any::<u64>(), 0..5), vec(any::<u8>(), 0..300))
        .prop_map(|(name, datatype, shape, data)| Tensor { name, datatype: Datatype::ALL[datatype], shape, data })
}

fn work() -> impl Strategy<Value = Work> {
    let infer = (vec(tensor(), 0..5), vec(".{0,9}", 0..4))
        .prop_map(|(inputs, outputs)| Work::Infer(InferWork { inputs, outputs }));
    let prompt = (any::<Option<u8>>(), vec((".{0,9}", ".{0,99}"), 1..5));
    let sampler = (any::<Option<u32>>(), 0f32..2., 0f32..1., any::<u32>(), any::<u64>());
    let generate = (prompt, sampler, vec(".{0,9}", 0..=4), any::<bool>()).prop_map(
        |((is_chat, turns), (max_tokens, temperature, top_p, top_k, seed), stop, ignore_eos)| {
            let message = |(role, content)| ChatMessage { role, content };
            let prompt = match is_chat {
                Some(_) => Prompt::Chat(turns.into_iter().map(message).collect()),
                None => Prompt::Text(turns[0].1.clone()),
            };
            Work::Generate(GenerateWork { prompt, max_tokens, temperature, top_p, top_k, seed, stop, ignore_eos })
        },
    );
    prop_oneof![infer, generate]
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        vec(tensor(), 0..4).prop_map(Piece::Outputs),
        (any::<u32>(), vec(any::<u32>(), 0..20), ".{0,20}").prop_map(|(first, ids, text)| Piece::Tokens {
            first,
            ids,
            text
        }),
        (any::<bool>(), ".{0,20}").prop_map(|(stop, text)| Piece::End {
            reason: if stop { FinishReason::Stop } else { FinishReason::Length },
            text
        }),
    ]
}

proptest! {
    #[test]
    fn work_survives_the_journey_and_no_shorter_or_longer_form_does(work in work(), cut in 0usize..400) {
        let mut bytes = work.encode();
        prop_assert_eq!(&Work::decode(&bytes).unwrap(), &work);
        prop_assert!(Work::decode(&bytes[..cut.min(bytes.len() - 1)]).is_err());
        bytes.push(0);
        prop_assert!(Work::decode(&bytes).is_err());
    }

    #[test]
    fn pieces_survive_the_journey(piece in piece()) {
        prop_assert_eq!(&Piece::decode(&piece.encode()).unwrap(), &piece);
    }

    #[test]
    fn no_bytes_at_all_make_decoding_panic(bytes in vec(any::<u8>(), 0..400)) {
        let mut versioned = vec![1];
        versioned.extend(&bytes);
        let _ = (Work::decode(&bytes), Piece::decode(&bytes), Work::decode(&versioned), Piece::decode(&versioned));
    }
}

#[test]
fn another_version_is_named() {
    let mut bytes = Piece::Outputs(Vec::new()).encode();
    bytes[0] = 7;
    assert_eq!(Piece::decode(&bytes), Err(DecodeError::Version(7)));
    assert_eq!(Work::decode(&[]), Err(DecodeError::Malformed("work for an engine")));
}

#[test]
fn lists_over_their_bound_are_refused() {
    let stop = vec!["x".to_owned(); crate::limits::MAX_STOPS + 1];
    let prompt = Prompt::Text(String::new());
    let work = GenerateWork {
        prompt,
        max_tokens: None,
        temperature: 0.,
        top_p: 1.,
        top_k: 0,
        seed: 0,
        stop,
        ignore_eos: false,
    };
    assert!(Work::decode(&Work::Generate(work).encode()).is_err());
}

#[test]
fn the_data_of_tensors_costs_a_byte_a_byte() {
    let data: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    let tensor = Tensor { name: "x".to_owned(), datatype: Datatype::Uint8, shape: vec![100_000], data };
    assert!(Work::Infer(InferWork { inputs: vec![tensor], outputs: Vec::new() }).encode().len() < 100_020);
}

#[test]
fn the_form_of_version_one_stays_as_it_is() {
    let inputs = vec![Tensor { name: "x".into(), datatype: Datatype::Fp32, shape: vec![1, 2], data: vec![9; 8] }];
    let infer = Work::Infer(InferWork { inputs, outputs: vec!["y".into()] }).encode();
    assert_eq!(infer, [1, 0, 1, 1, b'x', 11, 2, 1, 2, 8, 9, 9, 9, 9, 9, 9, 9, 9, 1, 1, b'y']);
    let tokens = Piece::Tokens { first: 3, ids: vec![5, 300], text: "hi".into() }.encode();
    assert_eq!(tokens, [1, 1, 3, 2, 5, 0xac, 2, 2, b'h', b'i']);
}

#[test]
fn debug_shows_sizes_and_never_content() {
    let work = GenerateWork {
        prompt: Prompt::Text("hunter2".into()),
        max_tokens: None,
        temperature: 0.,
        top_p: 1.,
        top_k: 0,
        seed: 0,
        stop: Vec::new(),
        ignore_eos: false,
    };
    assert_eq!(format!("{:?}", Work::Generate(work)), "Generate(..)");
    let end = Piece::End { reason: FinishReason::Stop, text: "hunter2".into() };
    assert_eq!(format!("{end:?}"), "End(Stop, 7 bytes)");
}
