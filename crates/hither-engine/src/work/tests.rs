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
    let embed = vec(prompt(), 0..5).prop_map(|inputs| Work::Embed(EmbedWork { inputs }));
    let train = (any::<u128>(), vec(".{0,99}", 0..5), ".{0,30}")
        .prop_map(|(training, examples, options)| Work::Train(TrainWork { training, examples, options }));
    prop_oneof![infer, first().prop_map(Work::Generate), generate().prop_map(Work::Generate), embed, train]
}

/// What version 1 can say.
fn first() -> impl Strategy<Value = GenerateWork> {
    let turn = (".{0,9}", ".{0,99}").prop_map(|(role, content)| ChatMessage::new(role, content));
    let prompt = prop_oneof![vec(turn, 1..5).prop_map(Prompt::Chat), ".{0,99}".prop_map(Prompt::Text)];
    let sampler = (any::<Option<u32>>(), 0f32..2., 0f32..1., any::<u32>(), any::<u64>());
    (prompt, sampler, vec(".{0,9}", 0..=4), any::<bool>()).prop_map(
        |(prompt, (max_tokens, temperature, top_p, top_k, seed), stop, ignore_eos)| GenerateWork {
            max_tokens,
            temperature,
            top_p,
            top_k,
            seed,
            stop,
            ignore_eos,
            ..GenerateWork::new(prompt)
        },
    )
}

fn generate() -> impl Strategy<Value = GenerateWork> {
    let numbers = (0f32..1., -2f32..2., -2f32..2., 1f32..2., vec((any::<u32>(), -9f32..9.), 0..4));
    let format = prop_oneof![
        Just(Format::Text),
        Just(Format::Json),
        ".{0,30}".prop_map(Format::Schema),
        ".{0,30}".prop_map(Format::Pattern)
    ];
    let tool = (".{0,9}", ".{0,9}", ".{0,30}").prop_map(|(name, description, parameters)| Tool {
        name,
        description,
        parameters,
    });
    let choice = prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::Never),
        Just(ToolChoice::Any),
        ".{0,9}".prop_map(ToolChoice::Named)
    ];
    let cache = any::<Option<[u8; 16]>>().prop_map(|scope| scope.map(CacheScope));
    let rest = (any::<Option<u8>>(), format, vec(tool, 0..3), choice, overflow(), cache);
    (first(), prompt(), numbers, rest).prop_map(|(first, prompt, numbers, rest)| {
        let (min_p, frequency_penalty, presence_penalty, repetition_penalty, logit_bias) = numbers;
        let (chances, format, tools, tool_choice, overflow, cache) = rest;
        GenerateWork {
            prompt,
            min_p,
            frequency_penalty,
            presence_penalty,
            repetition_penalty,
            logit_bias,
            chances,
            format,
            tools,
            tool_choice,
            overflow,
            cache,
            ..first
        }
    })
}

fn prompt() -> impl Strategy<Value = Prompt> {
    let turn =
        (".{0,9}", ".{0,99}", vec(call(), 0..3), any::<Option<u8>>()).prop_map(|(role, content, calls, answers)| {
            ChatMessage { role, content, calls, answers: answers.map(|id| id.to_string()) }
        });
    prop_oneof![
        vec(turn, 0..5).prop_map(Prompt::Chat),
        ".{0,99}".prop_map(Prompt::Text),
        vec(any::<u32>(), 0..20).prop_map(Prompt::Tokens),
    ]
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![Just(Overflow::Refuse), Just(Overflow::DropOldest)]
}

fn call() -> impl Strategy<Value = ToolCall> {
    (".{0,9}", ".{0,9}", ".{0,30}").prop_map(|(id, name, arguments)| ToolCall { id, name, arguments })
}

fn chances() -> impl Strategy<Value = Chances> {
    let chance =
        || (any::<u32>(), -20f32..0., vec(any::<u8>(), 0..9)).prop_map(|(id, log, bytes)| Chance { id, log, bytes });
    (chance(), vec(chance(), 0..4)).prop_map(|(said, likeliest)| Chances { said, likeliest })
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        vec(tensor(), 0..4).prop_map(Piece::Outputs),
        (any::<u32>(), vec(any::<u32>(), 0..20), ".{0,20}", vec(chances(), 0..3), vec(call(), 0..2))
            .prop_map(|(first, ids, text, chances, calls)| Piece::Tokens { first, ids, text, chances, calls }),
        (0..3usize, ".{0,20}", vec(call(), 0..2), 0..2u32, 0..2u32).prop_map(
            |(reason, text, calls, cached_tokens, dropped_tokens)| Piece::End {
                reason: [FinishReason::Stop, FinishReason::Length, FinishReason::ToolCalls][reason],
                text,
                calls,
                account: Account { cached_tokens, dropped_tokens },
            }
        ),
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
        for version in [1, 2, 3] {
            let versioned = [&[version], bytes.as_slice()].concat();
            let _ = (Work::decode(&versioned), Piece::decode(&versioned));
        }
        let _ = (Work::decode(&bytes), Piece::decode(&bytes));
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
    let plain = || GenerateWork::new(Prompt::Text(String::new()));
    let tool = Tool { name: "t".into(), description: String::new(), parameters: String::new() };
    for work in [
        GenerateWork { stop: stop.clone(), ..plain() },
        GenerateWork { stop, min_p: 0.5, ..plain() },
        GenerateWork { tools: vec![tool; crate::limits::MAX_TOOLS + 1], ..plain() },
        GenerateWork { logit_bias: vec![(1, 1.); crate::limits::MAX_BIASES + 1], ..plain() },
    ] {
        assert!(Work::decode(&Work::Generate(work).encode()).is_err());
    }
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
    let tokens = Piece::tokens(3, vec![5, 300], "hi".into()).encode();
    assert_eq!(tokens, [1, 1, 3, 2, 5, 0xac, 2, 2, b'h', b'i']);
    let end = Piece::end(FinishReason::Length, "x".into()).encode();
    assert_eq!(end, [1, 2, 1, 1, b'x']);
    let work =
        GenerateWork { max_tokens: Some(7), stop: vec!["s".into()], ..GenerateWork::new(Prompt::Text("hi".into())) };
    let golden = [1, 1, 1, 2, b'h', b'i', 1, 7, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 1, 1, b's', 0];
    assert_eq!(Work::Generate(work).encode(), golden);
}

#[test]
fn the_form_of_version_two_stays_as_it_is() {
    let call = ToolCall { id: "i".into(), name: "n".into(), arguments: "{}".into() };
    let turn =
        ChatMessage { role: "r".into(), content: "c".into(), calls: vec![call.clone()], answers: Some("a".into()) };
    let tool = Tool { name: "t".into(), description: "d".into(), parameters: "p".into() };
    let work = GenerateWork {
        min_p: 1.,
        logit_bias: vec![(9, 2.)],
        chances: Some(3),
        format: Format::Schema("{}".into()),
        tools: vec![tool],
        tool_choice: ToolChoice::Named("t".into()),
        overflow: Overflow::DropOldest,
        cache: Some(CacheScope([8; 16])),
        ..GenerateWork::new(Prompt::Chat(vec![turn]))
    };
    let one = [0, 0, 0x80, 0x3f];
    let golden = [
        &[2, 2, 0, 1, 1, b'r', 1, b'c', 1, 1, b'i', 1, b'n', 2, b'{', b'}', 1, 1, b'a', 0, 0, 0, 0, 0][..],
        &one,
        &[0],
        &one,
        &[0; 8],
        &one,
        &[1, 9, 0, 0, 0, 0x40, 0, 0, 0, 1, 3, 2, 2, b'{', b'}', 1, 1, b't', 1, b'd', 1, b'p', 3, 1, b't', 1, 1],
        &[8; 16],
    ]
    .concat();
    assert_eq!(Work::Generate(work).encode(), golden);
    let inputs = vec![Prompt::Text("x".into()), Prompt::Tokens(vec![300])];
    let embed = Work::Embed(EmbedWork { inputs }).encode();
    assert_eq!(embed, [2, 3, 2, 1, 1, b'x', 2, 1, 0xac, 2]);
    let chance = |id| Chance { id, log: -2., bytes: vec![7] };
    let chances = vec![Chances { said: chance(1), likeliest: vec![chance(2)] }];
    let tokens = Piece::Tokens { first: 3, ids: vec![1], text: "x".into(), chances, calls: vec![call] }.encode();
    let golden = [
        &[2, 3, 3, 1, 1, 1, b'x', 1, 1, 0, 0, 0, 0xc0, 1, 7, 1, 2, 0, 0, 0, 0xc0, 1, 7][..],
        &[1, 1, b'i', 1, b'n', 2, b'{', b'}'],
    ]
    .concat();
    assert_eq!(tokens, golden);
    let account = Account { cached_tokens: 5, dropped_tokens: 6 };
    let end = Piece::End { reason: FinishReason::ToolCalls, text: String::new(), calls: Vec::new(), account }.encode();
    assert_eq!(end, [2, 4, 2, 0, 0, 5, 6]);
}

#[test]
fn the_form_of_version_three_stays_as_it_is() {
    let train = TrainWork { training: 300, examples: vec!["x".into()], options: "{}".into() };
    assert_eq!(Work::Train(train).encode(), [3, 4, 0xac, 2, 1, 1, b'x', 2, b'{', b'}']);
}

#[test]
fn a_form_is_of_the_version_that_it_says() {
    for mut bytes in
        [Piece::end(FinishReason::Stop, String::new()).encode(), Piece::tokens(0, vec![1], "x".into()).encode()]
    {
        bytes[0] = 2;
        assert!(Piece::decode(&bytes).is_err());
    }
    let call = ToolCall { id: String::new(), name: "n".into(), arguments: "{}".into() };
    let mut bytes =
        Piece::Tokens { first: 0, ids: vec![1], text: "x".into(), chances: Vec::new(), calls: vec![call] }.encode();
    bytes[0] = 1;
    assert!(Piece::decode(&bytes).is_err());
}

#[test]
fn debug_shows_sizes_and_never_content() {
    let work = GenerateWork::new(Prompt::Text("hunter2".into()));
    assert_eq!(format!("{:?}", Work::Generate(work)), "Generate(..)");
    let end = Piece::end(FinishReason::Stop, "hunter2".into());
    assert_eq!(format!("{end:?}"), "End(Stop, 7 bytes)");
    let call = ToolCall { id: "1".into(), name: "login".into(), arguments: "hunter2".into() };
    assert_eq!(format!("{call:?}"), "ToolCall(12 bytes)");
}

#[test]
fn work_without_a_scope_is_the_same_work_for_nobody() {
    let work = |cache| Work::Generate(GenerateWork { cache, ..GenerateWork::new(Prompt::Text("a".into())) }).encode();
    assert_eq!(Work::without_scope(&work(Some(CacheScope([8; 16])))), Some(work(None)));
    assert_eq!(Work::without_scope(&work(None)), None);
    assert_eq!(Work::without_scope(b"no work"), None);
}
