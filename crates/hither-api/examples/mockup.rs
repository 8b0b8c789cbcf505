//! Serves the front door with a made-up mesh of three sites behind it, for work on the dashboard without a mesh:
//! `cargo run --release -p hither-api --example mockup`, then open the address that it prints.

#[expect(dead_code, reason = "tests of the crate use the rest")]
#[path = "../src/tests/fake.rs"]
mod fake;

use std::sync::Arc;

use hither_api::door::{Answer, Door};
use hither_engine::work::{FinishReason, Piece, Prompt, Tensor, Work};
use hither_types::model::{Datatype, ModelIo};
use hither_types::refusal::{Failure, InputFault};
use tokio::net::TcpListener;
use tokio::sync::watch;

const CONTEXT: u32 = 2048;
/// Numbers in a made-up vector.
const WIDTH: usize = 8;

/// Zeros of the right shape, or the words of a made-up answer.
fn answers(submission: &hither_api::door::Submission) -> Vec<Answer> {
    let model = fake::example().models.into_iter().find(|model| model.name == submission.envelope.model);
    let mut answers = vec![fake::routed()];
    match (Work::decode(&submission.payload), model.map(|model| model.io)) {
        (Ok(Work::Infer(work)), Some(ModelIo::Tensors { outputs, .. })) => {
            let rows = work.inputs[0].shape[0];
            let wanted =
                outputs.into_iter().filter(|spec| work.outputs.is_empty() || work.outputs.contains(&spec.name));
            let zeros = |spec: hither_types::model::TensorSpec| {
                let shape: Vec<u64> = spec.shape.iter().map(|dimension| dimension.unwrap_or(rows)).collect();
                let count = shape.iter().product::<u64>() as usize;
                let size = spec.datatype.size().unwrap_or(4);
                let datatype: Datatype = spec.datatype;
                Tensor { name: spec.name, datatype, shape, data: vec![0; count * size] }
            };
            answers.push(Answer::Piece(Piece::Outputs(wanted.map(zeros).collect())));
        }
        (Ok(Work::Generate(work)), _) => {
            let prompt_tokens = length(&work.prompt);
            if prompt_tokens > CONTEXT {
                let fault = InputFault::ContextOverflow { prompt_tokens, context_tokens: CONTEXT };
                return vec![fake::routed(), Answer::Failed(Failure::BadInput(fault))];
            }
            let words = ["This ", "answer ", "is ", "made ", "up."];
            let most = work.max_tokens.map_or(words.len(), |most| words.len().min(most as usize));
            for (at, word) in words[..most].iter().enumerate() {
                answers.push(fake::tokens(at as u32, &[at as u32 + 100], word));
            }
            let reason = if most < words.len() { FinishReason::Length } else { FinishReason::Stop };
            answers.push(fake::end(reason, ""));
        }
        (Ok(Work::Embed(work)), _) => {
            let rows = work.inputs.len();
            let shape = vec![rows as u64, WIDTH as u64];
            let tensor =
                Tensor { name: "vectors".to_owned(), datatype: Datatype::Fp32, shape, data: vec![0; rows * WIDTH * 4] };
            answers.push(Answer::Piece(Piece::Outputs(vec![tensor])));
        }
        _ => return Vec::new(),
    }
    answers.push(fake::done());
    answers
}

/// A word is a token here.
fn length(prompt: &Prompt) -> u32 {
    let words = match prompt {
        Prompt::Chat(messages) => messages.iter().map(|message| message.content.split_whitespace().count()).sum(),
        Prompt::Text(text) => text.split_whitespace().count(),
        Prompt::Tokens(ids) => ids.len(),
    };
    u32::try_from(words).unwrap_or(u32::MAX)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let door: Arc<dyn Door> = Arc::new(fake::FakeDoor::new(|submission| Ok(answers(submission))));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let (_stop, stopped) = watch::channel(false);
    hither_api::serve_tcp(listener, door, None, stopped).await;
    Ok(())
}
