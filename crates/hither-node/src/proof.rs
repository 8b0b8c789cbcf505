//! Models that open, prove themselves, and close: between a worker that is up and a model that is offered stands what the
//! catalog knows the answers to.

use std::sync::Arc;
use std::time::Instant;

use hither_api::door::{CommandDone, CommandError};
use hither_core::{Event, LocalModel};
use hither_engine::golden;
use hither_types::id::{Digest, ModelName};
use hither_types::model::{Golden, ModelIo};
use hither_types::refusal::Crash;
use hither_types::unit::Milliwatts;

use crate::driver::{CommandReply, Driver, Inbound};
use crate::models::unknown;
use crate::workers::{ReadLoop, Worker};

/// Why a model did not prove itself.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// It gave another answer; the text says what differs.
    Wrong(String),
    /// It gave none, for its worker is gone: that is told by itself.
    Gone,
}

impl Driver {
    /// A worker is up: its pieces flow from now on. It is offered once it has given the answers that the catalog knows.
    pub(crate) fn worker_up(&mut self, digest: Digest, worker: Arc<Worker>, read_loop: ReadLoop) {
        tracing::info!(model = %digest.short(), engine = %worker.loaded.engine, "a model is open");
        if let Some(before) = self.workers.insert(digest, worker) {
            before.stop();
        }
        self.hands.spawn(read_loop.run());
        self.prove(digest);
    }

    /// Asks an open model what the catalog knows the answers to.
    pub(crate) fn prove(&mut self, digest: Digest) {
        let Some(worker) = self.workers.get(&digest).map(Arc::clone) else { return };
        let golden = self.shelf.golden(digest);
        if golden.is_empty() {
            return self.proven(digest, worker.number, Ok(()));
        }
        let inbox = self.inbox.clone();
        self.hands.spawn(async move {
            let result = ask_all(&worker, &golden).await;
            // A closed inbox means that the node is stopping.
            let _ = inbox.send(Inbound::Proven { digest, number: worker.number, result }).await;
        });
    }

    /// Asks an open model at once, for an operator who waits for the verdict.
    pub(crate) fn verify(&mut self, name: &ModelName, reply: CommandReply) {
        let found = self.named(name).map(|manifest| (manifest.digest, manifest.golden.clone()));
        let found = found.ok_or_else(|| unknown(name));
        let open = found.and_then(|(digest, golden)| match self.workers.get(&digest) {
            Some(worker) => Ok((digest, golden, Arc::clone(worker))),
            None => Err(CommandError {
                code: "E0409",
                message: format!("{name} is not open on this node, so there is nothing to ask"),
                help: "hither ps".into(),
            }),
        });
        let (digest, golden, worker) = match open {
            Ok(open) => open,
            Err(error) => {
                // Whoever asked may have left.
                let _ = reply.send(Err(error));
                return;
            }
        };
        let (inbox, name) = (self.inbox.clone(), name.clone());
        self.hands.spawn(async move {
            let result = ask_all(&worker, &golden).await;
            let wrong = |text: &str| CommandError {
                code: "E0430",
                message: format!("{name} gives wrong answers on this node, and is not offered any more: {text}"),
                help: format!("hither models pull {name}"),
            };
            let verdict = match &result {
                Ok(()) => Ok(CommandDone::Verified { answers: golden.len() }),
                Err(Unproven::Wrong(text)) => Err(wrong(text)),
                Err(Unproven::Gone) => Err(wrong("its worker ended")),
            };
            let _ = inbox.send(Inbound::Proven { digest, number: worker.number, result }).await;
            let _ = reply.send(verdict);
        });
    }

    /// An open model was asked.
    pub(crate) fn proven(&mut self, digest: Digest, number: u64, result: Result<(), Unproven>) {
        let Some(worker) = self.workers.get(&digest).filter(|worker| worker.number == number) else { return };
        let worker = Arc::clone(worker);
        match result {
            Ok(()) if worker.offer() => {
                self.unwarn(Some(digest));
                if let Some(reason) = &worker.loaded.fallback {
                    let (name, device) = (self.shelf.name(digest), worker.loaded.device.as_str());
                    self.warn(Some(digest), format!("{name} runs on the {device}: {reason}"));
                }
                let ready = self.local_model(digest, &worker);
                tracing::info!(model = %digest.short(), memory = %ready.memory.unwrap_or_default(), "a model is ready");
                self.feed(Event::ModelReady(ready));
            }
            Ok(()) | Err(Unproven::Gone) => {}
            Err(Unproven::Wrong(text)) => {
                let name = self.shelf.name(digest);
                tracing::error!(model = %digest.short(), %text, "a model gives wrong answers");
                self.warn(Some(digest), format!("{name} gives wrong answers on this node: {text}"));
                self.feed(Event::ModelRefuted(digest));
            }
        }
    }

    /// What the mind is told of an open model. Jobs that share a call share its power.
    pub(crate) fn local_model(&self, digest: Digest, worker: &Worker) -> LocalModel {
        let loaded = &worker.loaded;
        let slot_power = match loaded.io {
            ModelIo::Tensors { .. } => Milliwatts(self.config.tensor_slot.0.div_ceil(loaded.batch.max(1).into())),
            ModelIo::Language { .. } => self.config.language_slot,
        };
        LocalModel { digest, slots: loaded.slots, slot_power, memory: worker.memory(), device: loaded.device }
    }

    /// Closes a model.
    pub(crate) fn unload(&mut self, digest: Digest) {
        if let Some(worker) = self.workers.remove(&digest) {
            tracing::info!(model = %digest.short(), "a model is closed");
            worker.stop();
        }
    }

    /// A worker ended. If it was closed, nobody misses it; else who looks at the node within the next minutes is told.
    pub(crate) fn worker_lost(&mut self, digest: Digest, number: u64, crash: Crash, jobs: usize) {
        if self.workers.get(&digest).is_none_or(|worker| worker.number != number) {
            return;
        }
        let name = self.shelf.name(digest);
        tracing::error!(model = %name, %digest, %crash, jobs, "a worker ended");
        self.crashes.add(digest, name, crash, Instant::now());
        self.workers.remove(&digest);
        self.feed(Event::ModelLost(digest));
    }
}

/// Asks one question after another until an answer is wrong.
pub(crate) async fn ask_all(worker: &Worker, golden: &[Golden]) -> Result<(), Unproven> {
    for (at, golden) in (1..).zip(golden) {
        let wrong = |text: String| Unproven::Wrong(format!("of known answer {at}, {text}"));
        let work = golden::work(&golden.question, &worker.loaded.io).map_err(wrong)?;
        let pieces = match worker.ask(&work).await {
            Ok(pieces) => pieces,
            Err(_) if worker.is_gone() => return Err(Unproven::Gone),
            Err(text) => return Err(wrong(format!("the engine says: {text}"))),
        };
        golden::check(&golden.answer, &pieces).map_err(wrong)?;
    }
    Ok(())
}

/// What this engine answers to the questions that any such model can be asked, as known answers for the catalog. Those
/// that it answers differently each time, or not at all, are left out.
pub(crate) async fn record(worker: &Worker) -> Vec<Golden> {
    let mut recorded = Vec::new();
    for question in golden::questions(&worker.loaded.io) {
        let Ok(work) = golden::work(&question, &worker.loaded.io) else { continue };
        let (Ok(once), Ok(again)) = (worker.ask(&work).await, worker.ask(&work).await) else { continue };
        recorded.extend(golden::record(question, &once, &again));
    }
    recorded
}
