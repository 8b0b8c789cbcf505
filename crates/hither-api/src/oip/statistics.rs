//! What was counted of each model since the node started, as the protocol's statistics.
//!
//! What must stay true: a request that was answered is counted once, in its model and in its batch size; the number of
//! rows is bounded, whatever a client sends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hither_types::id::ModelName;
use hither_types::model::Manifest;
use hither_types::request::Cost;
use serde::Serialize;

use super::{TargetPath, VERSION, find, wrong};
use crate::callers::Caller;
use crate::limits::BATCH_SIZES;
use crate::respond::json;
use crate::routes::App;

#[cfg(test)]
mod tests;

/// How often, and how long together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Duration"))]
pub(crate) struct Span {
    pub(crate) count: u64,
    pub(crate) ns: u64,
}

impl Span {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// What one answered request took, step by step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// Rows of its batch.
    pub(crate) rows: u64,
    /// From its arrival until it was handed in.
    pub(crate) input: Duration,
    /// From its arrival until its outputs were here.
    pub(crate) total: Duration,
    /// What the place that answered it says.
    pub(crate) cost: Cost,
}

/// What was counted of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) last_inference_ms: u64,
    pub(crate) inferences: u64,
    pub(crate) success: Span,
    pub(crate) fail: Span,
    pub(crate) queue: Span,
    pub(crate) input: Span,
    pub(crate) infer: Span,
    pub(crate) output: Span,
    pub(crate) batches: BTreeMap<u64, Batch>,
}

/// What was counted of the calls of one batch size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) input: Span,
    pub(crate) infer: Span,
    pub(crate) output: Span,
}

impl Counted {
    /// The row of a batch size. Past the bound, sizes that have none share that of the next power of two.
    fn batch(&mut self, rows: u64) -> &mut Batch {
        let room = self.batches.len() < BATCH_SIZES || self.batches.contains_key(&rows);
        let size = if room { rows } else { rows.checked_next_power_of_two().unwrap_or(u64::MAX) };
        self.batches.entry(size).or_default()
    }
}

/// The statistics of one node.
#[derive(Debug, Default)]
pub(crate) struct Statistics(Mutex<BTreeMap<ModelName, Counted>>);

impl Statistics {
    /// Counts a request that was answered.
    pub(crate) fn answered(&self, model: &ModelName, call: Call) {
        let Call { rows, input, total, cost } = call;
        let queue = Duration::from_micros(cost.queued.0);
        let infer = Duration::from_micros(cost.prefill.0.saturating_add(cost.decode.0));
        // What is left of the whole: the way there and back, and taking the outputs apart.
        let output = total.saturating_sub(input).saturating_sub(queue).saturating_sub(infer);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.of(model, |counted| {
            counted.last_inference_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            counted.inferences = counted.inferences.saturating_add(rows);
            counted.success.add(total);
            counted.queue.add(queue);
            counted.input.add(input);
            counted.infer.add(infer);
            counted.output.add(output);
            let batch = counted.batch(rows);
            batch.input.add(input);
            batch.infer.add(infer);
            batch.output.add(output);
        });
    }

    /// Counts a request that was handed in and not answered.
    pub(crate) fn failed(&self, model: &ModelName, took: Duration) {
        self.of(model, |counted| counted.fail.add(took));
    }

    /// What was counted of a model.
    pub(crate) fn read(&self, model: &ModelName) -> Counted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned().unwrap_or_default()
    }

    /// The names are those of the catalog, which is bounded.
    fn of(&self, model: &ModelName, change: impl FnOnce(&mut Counted)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(model) {
            Some(counted) => change(counted),
            None => change(all.entry(model.clone()).or_default()),
        }
    }

    /// What was counted of every model that was asked.
    pub(crate) fn all(&self) -> Vec<(ModelName, Counted)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(model, counted)| (model.clone(), counted.clone())).collect()
    }
}

/// What the model takes of this node's memory, if it is open here.
pub(crate) fn memory(app: &App, model: &Manifest) -> Option<u64> {
    let view = app.door.view();
    let view = view.borrow();
    let me = view.nodes.iter().find(|node| node.member.node == view.me.node)?;
    let held = me.models.iter().find(|held| held.digest == model.digest)?;
    Some(held.memory.0).filter(|bytes| *bytes > 0)
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ModelStatistics"))]
pub(crate) struct All {
    model_stats: Vec<One>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "StatisticsOfModel"))]
struct One {
    name: String,
    version: &'static str,
    last_inference: u64,
    inference_count: u64,
    execution_count: u64,
    inference_stats: Inference,
    response_stats: BTreeMap<String, Span>,
    batch_stats: Vec<BatchForm>,
    memory_usage: Vec<Memory>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "InferenceStatistics"))]
struct Inference {
    success: Span,
    fail: Span,
    queue: Span,
    compute_input: Span,
    compute_infer: Span,
    compute_output: Span,
    cache_hit: Span,
    cache_miss: Span,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "BatchStatistics"))]
struct BatchForm {
    batch_size: u64,
    compute_input: Span,
    compute_infer: Span,
    compute_output: Span,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MemoryUsage"))]
struct Memory {
    r#type: &'static str,
    id: u32,
    byte_size: u64,
}

fn one(app: &App, model: &Manifest) -> One {
    let counted = app.metrics.statistics().read(&model.name);
    let nothing = Span::default();
    One {
        name: model.name.to_string(),
        version: VERSION,
        last_inference: counted.last_inference_ms,
        inference_count: counted.inferences,
        execution_count: counted.success.count,
        inference_stats: Inference {
            success: counted.success,
            fail: counted.fail,
            queue: counted.queue,
            compute_input: counted.input,
            compute_infer: counted.infer,
            compute_output: counted.output,
            cache_hit: nothing,
            cache_miss: nothing,
        },
        // Only of models that answer one request several times.
        response_stats: BTreeMap::new(),
        batch_stats: counted
            .batches
            .into_iter()
            .map(|(batch_size, Batch { input, infer, output })| BatchForm {
                batch_size,
                compute_input: input,
                compute_infer: infer,
                compute_output: output,
            })
            .collect(),
        memory_usage: memory(app, model)
            .into_iter()
            .map(|byte_size| Memory { r#type: "CPU", id: 0, byte_size })
            .collect(),
    }
}

/// `GET /v2/models/stats`.
pub(super) async fn all(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let mut models = app.door.view().borrow().models.clone();
    models.retain(|model| caller.sees(&model.name));
    json(&All { model_stats: models.iter().map(|model| one(&app, model)).collect() })
}

/// `GET /v2/models/{model}/stats`.
pub(super) async fn of_model(State(app): State<App>, target: TargetPath) -> Response {
    match find(&app, target) {
        Ok(found) => json(&All { model_stats: vec![one(&app, &found)] }),
        Err(problem) => wrong(problem),
    }
}
