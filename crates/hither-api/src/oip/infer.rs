//! One inference, whichever form it came in: handed in, waited for, put in order, counted.

use std::future::Future;

use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_engine::{validate, well_formed};
use hither_types::model::{Manifest, ModelFormat, ModelIo};
use hither_types::refusal::Failure;
use tokio::time::Instant;

use super::classify;
use super::parse::Call;
use super::statistics;
use crate::door::Summary;
use crate::errors::{Code, Problem};
use crate::labels::Asked;
use crate::routes::App;
use crate::serving::{Next, Serving};

/// An answer, and where it came from.
pub(crate) struct Answered {
    /// The outputs, as they were asked for or as the model gives them.
    pub(crate) tensors: Vec<Tensor>,
    /// The request.
    pub(crate) serving: Serving,
    /// What is known at its end.
    pub(crate) summary: Summary,
}

/// Counts a call of a model, however it ends.
pub(crate) async fn counted<T>(
    app: &App,
    model: &Manifest,
    begun: Instant,
    call: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let result = call.await;
    let status = result.as_ref().map_or_else(|problem| problem.status, |_| 200);
    app.metrics.inferred(model.name.as_str(), status, begun.elapsed());
    result
}

/// Hands a call in and waits for its end. Dropped before, the request is cancelled everywhere.
pub(crate) async fn serve(
    app: &App,
    model: &Manifest,
    asked: Asked,
    call: &mut Call,
    begun: Instant,
) -> Result<Answered, Problem> {
    let ModelIo::Tensors { inputs, outputs } = &model.io else { return Err(takes_text(model)) };
    let work = std::mem::replace(&mut call.work, InferWork { inputs: Vec::new(), outputs: Vec::new() });
    let fits = match model.format {
        // What a server outside the mesh takes only it knows for certain: it need not say which inputs may be left out.
        ModelFormat::Outside => work.inputs.iter().try_for_each(well_formed),
        ModelFormat::Onnx | ModelFormat::Gguf | ModelFormat::Stub => validate(&work, inputs, outputs),
    };
    fits.map_err(|fault| {
        let mut problem = Problem::from(&Failure::BadInput(fault));
        problem.message = format!("model {}: {}", model.name, problem.message);
        problem
    })?;
    let rows = rows(&work, model);
    let wanted = work.outputs.clone();
    let work = Work::Infer(work);
    let input = begun.elapsed();
    let answer = async {
        let mut serving = Serving::begin(app, model, asked, &work)?;
        drop(work);
        let (tensors, summary) = whole(&mut serving).await?;
        Ok((serving, tensors, summary))
    };
    let (serving, tensors, summary) = match answer.await {
        Ok(answered) => answered,
        Err(problem) => {
            app.metrics.statistics().failed(&model.name, begun.elapsed());
            return Err(problem);
        }
    };
    let counted = statistics::Call { rows, input, total: begun.elapsed(), cost: summary.cost };
    app.metrics.statistics().answered(&model.name, counted);
    let mut tensors = in_order(tensors, &wanted);
    classify::apply(&mut tensors, &call.classes, outputs).map_err(|problem| serving.name(problem))?;
    Ok(Answered { tensors, serving, summary })
}

/// The model's own work is of another kind.
pub(crate) fn takes_text(model: &Manifest) -> Problem {
    let text = format!("model {} takes text, not tensors", model.name);
    Problem::new(Code::WrongKind, text).help("POST /v1/chat/completions")
}

/// How many rows go in together: the first dimension of the first input, where a request chooses it.
fn rows(work: &InferWork, model: &Manifest) -> u64 {
    let ModelIo::Tensors { inputs, .. } = &model.io else { return 1 };
    let Some(spec) = inputs.first().filter(|spec| spec.shape.first() == Some(&None)) else { return 1 };
    let tensor = work.inputs.iter().find(|tensor| tensor.name == spec.name);
    tensor.and_then(|tensor| tensor.shape.first()).copied().unwrap_or(1)
}

async fn whole(serving: &mut Serving) -> Result<(Vec<Tensor>, Summary), Problem> {
    let mut outputs = None;
    loop {
        match serving.next().await? {
            Next::Piece(Piece::Outputs(tensors)) => outputs = Some(tensors),
            Next::Piece(Piece::End { .. }) => {}
            Next::Piece(Piece::Tokens { .. }) => {
                let text = "the engine gave tokens, and tensors were asked for";
                return Err(serving.name(Problem::new(Code::EngineFailed, text)));
            }
            Next::Done(summary) => {
                let missing = || Problem::new(Code::EngineFailed, "the engine ended without outputs");
                return Ok((outputs.ok_or_else(|| serving.name(missing()))?, summary));
            }
        }
    }
}

/// The outputs as they were asked for, or as the model gives them.
fn in_order(mut tensors: Vec<Tensor>, wanted: &[String]) -> Vec<Tensor> {
    if !wanted.is_empty() {
        tensors.retain(|tensor| wanted.contains(&tensor.name));
        tensors.sort_by_key(|tensor| wanted.iter().position(|name| *name == tensor.name));
    }
    tensors
}
