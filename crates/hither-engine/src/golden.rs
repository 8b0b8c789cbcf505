//! Known answers: what a model is asked to see whether its engine is right, and whether the answer is the known one.
//!
//! Engines are wrong in silence: labels that are inverted, a softmax of ones, a few rows in a thousand. So a catalog entry
//! may carry questions with their answers, and a node offers a model only while its engine gives them.
//!
//! Numbers differ a little between machines, so a number may be off by a tolerance. Words are compared as they are: of an
//! answer in words only that beginning is kept at each token of which the model was clearly sure, by [`SURE`] nats over the
//! next likely one, for there another machine says the same.

use half::{bf16, f16};
use hither_types::model::{Datatype, Golden, KnownAnswer, ModelIo, Question, TensorSpec};

use crate::mix::{GAMMA, mix};
use crate::work::{GenerateWork, InferWork, Piece, Prompt, Tensor, Work};

#[cfg(test)]
mod tests;

/// How many nats a token must be ahead of the next to count as sure: other kernels move a logit by a hundredth of it.
pub const SURE: f32 = 0.5;

/// Millionths of the number that an answer may be off, if its publisher does not say otherwise.
pub const RELATIVE: u32 = 1_000;

/// Millionths of one that an answer may be off, if its publisher does not say otherwise.
pub const ABSOLUTE: u32 = 100;

/// Bytes of the known answer to one question: entries of the catalog are told to everybody.
pub const ANSWER_MAX: usize = 2 << 10;

/// Elements of one drawn input: with 64 rows, an image of 600 by 600 in three colours is more.
const DRAWN_MAX: u64 = 64 << 20;

/// Tokens of an answer in words: every load waits for them.
const WORDS: u32 = 6;

/// Rows of a drawn question: an engine that is right for one row may be wrong for many.
const ROWS: [u32; 2] = [1, 64];

/// Beginnings whose ends nearly every language model knows.
const BEGINNINGS: [&str; 3] =
    ["The capital of France is", "1, 2, 3, 4, 5, 6, 7, 8,", "Monday, Tuesday, Wednesday, Thursday,"];

/// What to ask a model of which nothing is known.
pub fn questions(io: &ModelIo) -> Vec<Question> {
    match io {
        ModelIo::Tensors { inputs, .. } => {
            let open = inputs.iter().any(|input| input.shape.first() == Some(&None));
            ROWS.iter()
                .filter(|rows| open || **rows == 1)
                .map(|rows| Question::Drawn { seed: 1, rows: *rows })
                .collect()
        }
        ModelIo::Language { .. } => {
            let ask = |text: &&str| {
                let work = GenerateWork {
                    max_tokens: Some(WORDS),
                    chances: Some(2),
                    ..GenerateWork::new(Prompt::Text((*text).to_owned()))
                };
                Question::Given(Work::Generate(work).encode())
            };
            BEGINNINGS.iter().map(ask).collect()
        }
    }
}

/// A question as work for a model that takes and gives this.
pub fn work(question: &Question, io: &ModelIo) -> Result<Work, String> {
    match (question, io) {
        (Question::Given(bytes), _) => {
            Work::decode(bytes).map_err(|error| format!("a golden question is none: {error}"))
        }
        (Question::Drawn { seed, rows }, ModelIo::Tensors { inputs, .. }) => {
            let mut draw = Draw(*seed);
            let inputs =
                inputs.iter().map(|spec| drawn(spec, u64::from(*rows), &mut draw)).collect::<Result<_, _>>()?;
            Ok(Work::Infer(InferWork { inputs, outputs: Vec::new() }))
        }
        (Question::Drawn { .. }, ModelIo::Language { .. }) => Err("a language model is asked in words".to_owned()),
    }
}

/// Makes an answer known. The same question was asked twice: a model that answers by chance has no known answer. `None`
/// if there is nothing in the answer to hold on to.
pub fn record(question: Question, once: &[Piece], again: &[Piece]) -> Option<Golden> {
    let (question, answer) = match once {
        [Piece::Outputs(tensors)] => {
            let share = ANSWER_MAX / tensors.len().max(1);
            let kept: Vec<Tensor> = tensors.iter().map(|tensor| beginning(tensor, share)).collect();
            if kept.iter().all(|tensor| tensor.data.is_empty()) {
                return None;
            }
            let outputs = Piece::Outputs(kept).encode();
            (question, KnownAnswer::Tensors { outputs, relative: RELATIVE, absolute: ABSOLUTE })
        }
        pieces => {
            let (tokens, text) = sure_words(pieces).filter(|(_, text)| !text.trim().is_empty())?;
            (shortened(question, tokens), KnownAnswer::Begins(text))
        }
    };
    let golden = Golden { question, answer };
    check(&golden.answer, again).is_ok().then_some(golden)
}

/// Whether an answer is the known one. The error says what differs.
pub fn check(known: &KnownAnswer, pieces: &[Piece]) -> Result<(), String> {
    match (known, pieces) {
        (KnownAnswer::Tensors { outputs, relative, absolute }, [Piece::Outputs(found)]) => {
            let Ok(Piece::Outputs(expected)) = Piece::decode(outputs) else {
                return Err("the known answer in the catalog is no set of tensors".to_owned());
            };
            let slack = Slack { relative: f64::from(*relative) / 1e6, absolute: f64::from(*absolute) / 1e6 };
            expected.iter().try_for_each(|expected| {
                let found = found.iter().find(|tensor| tensor.name == expected.name);
                let found = found.ok_or_else(|| format!("there is no output {:?}", expected.name))?;
                same(expected, found, slack)
            })
        }
        (KnownAnswer::Begins(text), pieces) => {
            let found = words(pieces);
            match found.starts_with(text.as_str()) {
                true => Ok(()),
                false => Err(format!("the answer begins with {:?}, and not with {text:?}", start(&found, text.len()))),
            }
        }
        (KnownAnswer::Tensors { .. }, _) => Err("words came, and tensors are the known answer".to_owned()),
    }
}

/// The beginning of a tensor, as a list: whole elements, at most so many bytes.
fn beginning(tensor: &Tensor, most: usize) -> Tensor {
    let ends: Vec<usize> = match tensor.datatype.size() {
        Some(size) => (1..=tensor.data.len() / size).map(|count| count * size).collect(),
        None => elements(tensor)
            .scan(0, |end, element| {
                *end += 4 + element.len();
                Some(*end)
            })
            .collect(),
    };
    if ends.last().is_none_or(|end| *end <= most) {
        return tensor.clone();
    }
    let count = ends.partition_point(|end| *end <= most);
    let end = if count == 0 { 0 } else { ends[count - 1] };
    Tensor { shape: vec![count as u64], data: tensor.data[..end].to_vec(), ..tensor.clone() }
}

/// How far a number may be off.
#[derive(Clone, Copy)]
struct Slack {
    relative: f64,
    absolute: f64,
}

/// Whether a tensor is the known one, or begins with it.
fn same(expected: &Tensor, found: &Tensor, slack: Slack) -> Result<(), String> {
    let name = &expected.name;
    if expected.datatype != found.datatype {
        let (expected, found) = (expected.datatype.as_str(), found.datatype.as_str());
        return Err(format!("output {name:?} is {found}, and not {expected}"));
    }
    let (wanted, there) = (expected.data.len(), found.data.len());
    if there < wanted || (there == wanted && expected.shape != found.shape && expected.shape.len() > 1) {
        return Err(format!("output {name:?} has the shape {:?}, and not {:?}", found.shape, expected.shape));
    }
    let differs = |at: usize, expected: String, found: String| {
        Err(format!("output {name:?} has {found} at element {at}, and not {expected}"))
    };
    let both = elements(expected).zip(elements(found)).enumerate();
    for (at, (wanted, there)) in both {
        match (number(expected.datatype, wanted), number(expected.datatype, there)) {
            (Some(wanted), Some(there)) => {
                let off = (wanted - there).abs();
                let near = off.is_finite() && off <= slack.absolute + slack.relative * wanted.abs();
                // Infinities are equal to themselves, and no number is no number.
                if !near && wanted != there && !(wanted.is_nan() && there.is_nan()) {
                    return differs(at, format!("{wanted:e}"), format!("{there:e}"));
                }
            }
            _ if wanted == there => {}
            _ => return differs(at, plain(expected.datatype, wanted), plain(expected.datatype, there)),
        }
    }
    Ok(())
}

/// The elements of a tensor, each as its bytes.
fn elements(tensor: &Tensor) -> Box<dyn Iterator<Item = &[u8]> + '_> {
    match tensor.datatype.size() {
        Some(size) => Box::new(tensor.data.chunks_exact(size)),
        None => {
            let mut rest = tensor.data.as_slice();
            Box::new(std::iter::from_fn(move || {
                let (head, tail) = rest.split_first_chunk::<4>()?;
                let (element, tail) = tail.split_at_checked(u32::from_le_bytes(*head) as usize)?;
                rest = tail;
                Some(element)
            }))
        }
    }
}

/// A floating-point number; `None` for what is compared bit by bit.
fn number(datatype: Datatype, bytes: &[u8]) -> Option<f64> {
    Some(match datatype {
        Datatype::Fp16 => f64::from(f16::from_le_bytes(bytes.try_into().ok()?)),
        Datatype::Bf16 => f64::from(bf16::from_le_bytes(bytes.try_into().ok()?)),
        Datatype::Fp32 => f64::from(f32::from_le_bytes(bytes.try_into().ok()?)),
        Datatype::Fp64 => f64::from_le_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

/// An element that is not a floating-point number, for people.
fn plain(datatype: Datatype, bytes: &[u8]) -> String {
    if datatype == Datatype::Bytes {
        return format!("{:?}", String::from_utf8_lossy(bytes));
    }
    let signed = matches!(datatype, Datatype::Int8 | Datatype::Int16 | Datatype::Int32 | Datatype::Int64);
    let fill = if signed && bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    i128::from_le_bytes(wide).to_string()
}

fn words(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Tokens { text, .. } | Piece::End { text, .. } => text.clone(),
        Piece::Outputs(_) => String::new(),
    };
    pieces.iter().map(text).collect()
}

/// The same question for no more tokens than its known answer has.
fn shortened(question: Question, tokens: u32) -> Question {
    match &question {
        Question::Given(bytes) => match Work::decode(bytes) {
            Ok(Work::Generate(work)) => {
                let work = GenerateWork { max_tokens: Some(tokens), chances: None, ..work };
                Question::Given(Work::Generate(work).encode())
            }
            Ok(Work::Infer(_) | Work::Embed(_) | Work::Train(_)) | Err(_) => question,
        },
        Question::Drawn { .. } => question,
    }
}

/// The beginning of an answer in words, up to the first token of which the model was not sure, and its tokens.
fn sure_words(pieces: &[Piece]) -> Option<(u32, String)> {
    let chances = pieces.iter().flat_map(|piece| match piece {
        Piece::Tokens { chances, .. } => chances.as_slice(),
        Piece::End { .. } | Piece::Outputs(_) => &[],
    });
    let sure = chances.take_while(|chances| match chances.likeliest.as_slice() {
        [first, second, ..] => first.id == chances.said.id && first.log - second.log >= SURE,
        _ => false,
    });
    let sure: Vec<&[u8]> = sure.map(|chances| chances.said.bytes.as_slice()).collect();
    let bytes: Vec<u8> = sure.iter().flat_map(|bytes| bytes.iter().copied()).take(ANSWER_MAX).collect();
    let whole = std::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let text = String::from_utf8(bytes[..whole].to_vec()).ok()?;
    // The text of an answer may be held back and trimmed; what is not in it is no beginning of it.
    words(pieces).starts_with(&text).then_some((sure.len() as u32, text))
}

fn start(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// Numbers by chance, the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        let number = mix(self.0);
        self.0 = self.0.wrapping_add(GAMMA);
        number
    }
}

/// A tensor by chance: floating-point numbers from -1 to 1 in steps that every type holds exactly, whole numbers 0 or 1,
/// for they may be indices, and empty strings.
fn drawn(spec: &TensorSpec, rows: u64, draw: &mut Draw) -> Result<Tensor, String> {
    let dims = spec.shape.iter().enumerate();
    let shape: Vec<u64> = dims.map(|(at, dim)| dim.unwrap_or(if at == 0 { rows } else { 1 })).collect();
    let count = shape.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
    let count = count.filter(|count| *count <= DRAWN_MAX);
    let count = count.ok_or_else(|| format!("input {:?} of shape {shape:?} is too large to be drawn", spec.name))?;
    let eighths = |draw: &mut Draw| (draw.next() % 17) as i8 - 8;
    let element = |draw: &mut Draw| -> Vec<u8> {
        let bit = |draw: &mut Draw, size: usize| {
            let mut bytes = vec![0; size];
            bytes[0] = (draw.next() & 1) as u8;
            bytes
        };
        match spec.datatype {
            Datatype::Fp16 => f16::from_f32(f32::from(eighths(draw)) / 8.).to_le_bytes().to_vec(),
            Datatype::Bf16 => bf16::from_f32(f32::from(eighths(draw)) / 8.).to_le_bytes().to_vec(),
            Datatype::Fp32 => (f32::from(eighths(draw)) / 8.).to_le_bytes().to_vec(),
            Datatype::Fp64 => (f64::from(eighths(draw)) / 8.).to_le_bytes().to_vec(),
            Datatype::Bytes => vec![0; 4],
            other => bit(draw, other.size().unwrap_or(1)),
        }
    };
    let data = (0..count).flat_map(|_| element(draw)).collect();
    Ok(Tensor { name: spec.name.clone(), datatype: spec.datatype, shape, data })
}
