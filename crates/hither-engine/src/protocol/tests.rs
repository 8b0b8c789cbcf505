//! Frames and what is in them.

use hither_types::model::{Datatype, Device, ModelIo, TensorSpec};
use hither_types::refusal::InputFault;
use hither_types::unit::{ByteCount, Micros, Millijoules};
use proptest::prelude::*;

use super::*;

fn commands() -> Vec<Command> {
    vec![
        Command::Run { job: JobId(7), payload: vec![1; 300], resume: vec![4, 70_000] },
        Command::Cancel { job: JobId(u64::MAX) },
        Command::Stop,
    ]
}

fn reports() -> Vec<Report> {
    let spec = |name: &str, datatype| TensorSpec { name: name.to_owned(), datatype, shape: vec![None, Some(4)] };
    let tensors =
        ModelIo::Tensors { inputs: vec![spec("x", Datatype::Bytes)], outputs: vec![spec("y", Datatype::Int64)] };
    let loaded = |io| {
        Report::Ready(Loaded {
            io,
            slots: 3,
            batch: 2,
            device: Device::Npu,
            fallback: Some("in part".to_owned()),
            engine: "stub".to_owned(),
        })
    };
    let failed = |fault| Report::Failed { job: JobId(1), fault };
    let cost = Cost {
        queued: Micros(1),
        prefill: Micros(2),
        decode: Micros(3),
        prompt_tokens: 4,
        output_tokens: 5,
        answer: ByteCount(6),
        energy: Millijoules(7),
    };
    vec![
        loaded(tensors),
        loaded(ModelIo::Language { context_tokens: 2048 }),
        Report::LoadFailed("no".to_owned()),
        Report::Piece { job: JobId(2), bytes: vec![9; 70] },
        Report::Progress { job: JobId(3) },
        Report::Done { job: JobId(4), cost },
        failed(JobFault::Input(InputFault::Tensor("t".to_owned()))),
        failed(JobFault::Input(InputFault::ContextOverflow { prompt_tokens: 9, context_tokens: 8 })),
        failed(JobFault::Input(InputFault::Other("o".to_owned()))),
        failed(JobFault::Engine("e".to_owned())),
    ]
}

proptest! {
    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive(cuts in proptest::collection::vec(1usize..50, 1..40)) {
        let mut stream: Vec<u8> = reports().iter().flat_map(encode_report).collect();
        stream.extend(commands().iter().flat_map(encode_command));
        let mut reader = FrameReader::default();
        let mut bodies = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            reader.feed(now);
            while let Some(body) = reader.next_frame().unwrap() {
                bodies.push(body.to_vec());
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let (first, last) = bodies.split_at(reports().len());
        prop_assert_eq!(first.iter().map(|b| decode_report(b).unwrap()).collect::<Vec<_>>(), reports());
        prop_assert_eq!(last.iter().map(|b| decode_command(b).unwrap()).collect::<Vec<_>>(), commands());
    }

    #[test]
    fn no_bytes_at_all_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (decode_command(&bytes), decode_report(&bytes));
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_before_its_body_is_here() {
    let mut reader = FrameReader::new(100);
    reader.feed(&101u32.to_le_bytes());
    assert_eq!(reader.next_frame(), Err(FrameTooLong { found: 101, limit: 100 }));
}

#[test]
fn debug_shows_sizes_and_never_content() {
    assert_eq!(format!("{:?}", commands()[0]), "Run(7, 300 bytes, resumes at 2)");
    assert_eq!(format!("{:?}", reports()[3]), "Piece(2, 70 bytes)");
}
