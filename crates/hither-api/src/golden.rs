//! Known answers as people write them: tensors in the form of the Open Inference Protocol, or a prompt and how its answer
//! begins.

use hither_engine::golden::{ABSOLUTE, ANSWER_MAX, RELATIVE};
use hither_engine::work::{GenerateWork, InferWork, Piece, Prompt, Work};
use hither_types::model::{Golden, KnownAnswer, Question};

use crate::admin::GoldenDto;
use crate::errors::{Code, Problem};
use crate::oip;

#[cfg(test)]
mod tests;

/// Known answers of one model.
const MOST: usize = 16;

/// All of them together, in bytes: an entry of the catalog is told to every member.
const BYTES: usize = 32 << 10;

/// Reads what came with a model.
pub(crate) fn read(list: Vec<GoldenDto>) -> Result<Vec<Golden>, Problem> {
    let wrong = |text: String| Problem::new(Code::OutOfRange, text).param("golden");
    if list.len() > MOST {
        return Err(wrong(format!("{} known answers came, and a model has at most {MOST}", list.len())));
    }
    let golden = list.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let bytes: usize = golden.iter().map(size).sum();
    if bytes > BYTES {
        return Err(wrong(format!(
            "the known answers take {bytes} bytes, and {BYTES} are allowed: give fewer rows, or fewer elements of the outputs"
        )));
    }
    Ok(golden)
}

fn one(dto: GoldenDto) -> Result<Golden, Problem> {
    match dto {
        GoldenDto::Tensors { inputs, outputs, relative, absolute } => {
            let work = Work::Infer(InferWork { inputs: oip::tensors(&inputs)?, outputs: Vec::new() });
            let outputs = Piece::Outputs(oip::tensors(&outputs)?).encode();
            let (relative, absolute) = (millionths(relative, RELATIVE)?, millionths(absolute, ABSOLUTE)?);
            let answer = KnownAnswer::Tensors { outputs, relative, absolute };
            Ok(Golden { question: Question::Given(work.encode()), answer })
        }
        GoldenDto::Words { prompt, begins } => {
            if begins.is_empty() || begins.len() > ANSWER_MAX {
                let text = format!("begins must have 1 to {ANSWER_MAX} bytes: every answer begins with nothing");
                return Err(Problem::new(Code::OutOfRange, text).param("golden"));
            }
            // No token is shorter than a byte, and what is said after it does not count.
            let max_tokens = Some(begins.len() as u32);
            let work = GenerateWork { max_tokens, ..GenerateWork::new(Prompt::Text(prompt)) };
            let question = Question::Given(Work::Generate(work).encode());
            Ok(Golden { question, answer: KnownAnswer::Begins(begins) })
        }
    }
}

fn millionths(share: Option<f64>, usual: u32) -> Result<u32, Problem> {
    let Some(share) = share else { return Ok(usual) };
    if !(0.0..=1.0).contains(&share) {
        let text = format!("a tolerance is a number from 0 to 1, and {share} came");
        return Err(Problem::new(Code::OutOfRange, text).param("golden"));
    }
    Ok((share * 1e6).round() as u32)
}

fn size(golden: &Golden) -> usize {
    let question = match &golden.question {
        Question::Given(work) => work.len(),
        Question::Drawn { .. } => 16,
    };
    let answer = match &golden.answer {
        KnownAnswer::Tensors { outputs, .. } => outputs.len(),
        KnownAnswer::Begins(text) => text.len(),
    };
    question + answer
}
