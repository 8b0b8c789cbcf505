//! What is behind the door: answers that keep an engine's word, made of what was asked.

use hither_engine::work::{
    Chance, Chances, FinishReason, GenerateWork, Piece, Tensor, Tool, ToolCall, ToolChoice, Work,
};
use hither_types::model::{Datatype, ModelIo, TensorSpec};
use hither_types::refusal::Refusal;

use crate::door::{Answer, Submission};
use crate::tests::fake::{done, example, routed};

/// The words of every text, in tokens of the most awkward kinds: quotes, a letter of two bytes, an emoji.
const WORDS: [&str; 4] = ["Say \"hi\"", "\n\u{fc}ber", " \\ ", "\u{1f600}"];

/// Tensors are given back under the names of the outputs; texts are always the same.
pub(super) fn script(submission: &Submission) -> Result<Vec<Answer>, Refusal> {
    let work = Work::decode(&submission.payload).expect("what was handed in can be read");
    let mut answers = vec![routed()];
    match work {
        Work::Infer(work) => {
            let model = example().models.into_iter().find(|model| model.name == submission.envelope.model);
            let Some(ModelIo::Tensors { outputs, .. }) = model.map(|model| model.io) else {
                unreachable!("only tensor models are asked for tensors")
            };
            let wanted = |spec: &TensorSpec| work.outputs.is_empty() || work.outputs.contains(&spec.name);
            let outputs = outputs.iter().filter(|spec| wanted(spec)).map(|spec| output(spec, &work.inputs));
            answers.push(Answer::Piece(Piece::Outputs(outputs.collect())));
        }
        Work::Embed(work) => {
            let count = work.inputs.len();
            let data = [0.5f32, -1e-3].map(f32::to_le_bytes).concat().repeat(count);
            let (name, shape) = ("embedding".to_owned(), vec![count as u64, 2]);
            answers.push(Answer::Piece(Piece::Outputs(vec![Tensor { name, datatype: Datatype::Fp32, shape, data }])));
        }
        Work::Generate(work) => answers.extend(text(&work).into_iter().map(Answer::Piece)),
        Work::Train(_) => answers.push(Answer::Piece(Piece::Outputs(Vec::new()))),
    }
    answers.push(done());
    Ok(answers)
}

/// The input of the same type as it came, or zeros.
fn output(spec: &TensorSpec, inputs: &[Tensor]) -> Tensor {
    let twin = spec.name.replacen("out_", "in_", 1);
    if let Some(found) = inputs.iter().find(|tensor| tensor.name == twin) {
        return Tensor { name: spec.name.clone(), ..found.clone() };
    }
    let rows = inputs.first().and_then(|tensor| tensor.shape.first()).map_or(1, |rows| (*rows).min(8));
    let shape: Vec<u64> = spec.shape.iter().map(|dimension| dimension.unwrap_or(rows)).collect();
    let count = shape.iter().product::<u64>() as usize;
    let size = spec.datatype.size().expect("no model of the example gives texts");
    Tensor { name: spec.name.clone(), datatype: spec.datatype, shape, data: vec![0; count * size] }
}

fn text(work: &GenerateWork) -> Vec<Piece> {
    let most = work.max_tokens.map_or(WORDS.len(), |most| WORDS.len().min(most as usize));
    let calls = calls(work);
    let chance = |id: u32, word: &str| Chance { id, log: -0.5, bytes: word.as_bytes().to_vec() };
    let at = |(at, word): (usize, &&str)| {
        let id = at as u32 + 100;
        let chances = work.chances.map(|beside| Chances {
            said: chance(id, word),
            // A token may be a part of a letter.
            likeliest: (0..u32::from(beside)).map(|at| Chance { bytes: vec![0xc3], ..chance(at, word) }).collect(),
        });
        let text = if calls.is_empty() { (*word).to_owned() } else { String::new() };
        Piece::Tokens {
            first: at as u32,
            ids: vec![id],
            text,
            chances: chances.into_iter().collect(),
            calls: Vec::new(),
        }
    };
    let mut pieces: Vec<Piece> = WORDS[..most].iter().enumerate().map(at).collect();
    let reason = match () {
        () if !calls.is_empty() => FinishReason::ToolCalls,
        () if most < WORDS.len() => FinishReason::Length,
        () => FinishReason::Stop,
    };
    let Piece::End { reason, text, account, .. } = Piece::end(reason, String::new()) else {
        unreachable!("an end is an end")
    };
    pieces.push(Piece::End { reason, text, calls, account });
    pieces
}

/// The tool that must be called, and of those that may, each twice.
fn calls(work: &GenerateWork) -> Vec<ToolCall> {
    let call = |tool: &Tool| ToolCall { id: String::new(), name: tool.name.clone(), arguments: "{\"a\":1}".to_owned() };
    let may = |tool: &&Tool| match &work.tool_choice {
        ToolChoice::Never => false,
        ToolChoice::Auto | ToolChoice::Any => true,
        ToolChoice::Named(name) => tool.name == *name,
    };
    work.tools.iter().filter(may).flat_map(|tool| [call(tool), call(tool)]).collect()
}
