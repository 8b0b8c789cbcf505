//! The port that every engine implements.

use std::time::Duration;

use hither_types::model::{Device, ModelIo};
use hither_types::refusal::InputFault;
use hither_types::request::Cost;

use crate::work::{Piece, Work};

/// A job inside one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What an engine found when it opened a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What goes in and what comes out.
    pub io: ModelIo,
    /// How many jobs it runs at once.
    pub slots: u16,
    /// How many of them one call of the library takes together at most; 1 if each has its own.
    pub batch: u16,
    /// What it runs on.
    pub device: Device,
    /// Why it does not run on what was asked for, or only in part; a sentence without a full stop.
    pub fallback: Option<String>,
    /// The device and the library, for people: `cpu, ONNX Runtime 1.32.0`.
    pub engine: String,
}

/// Why a job ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobFault {
    /// The input is wrong: the same everywhere.
    Input(InputFault),
    /// The engine failed.
    Engine(String),
}

/// What a step gave for one job.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A part of the answer.
    Piece(Piece),
    /// The engine advanced without a piece (a batch of the prompt was read).
    Progress,
    /// The job is over; a [`Piece::End`] or [`Piece::Outputs`] came before.
    Done(Cost),
    /// The job is over without an answer.
    Failed(JobFault),
}

/// An engine with one model open. It lives on one thread and advances in steps.
pub trait Engine {
    /// Takes a job. `resume` holds the token ids already delivered, for a stream that goes on; empty otherwise.
    ///
    /// A job over `slots` waits inside. A wrong input comes out of a later [`Engine::step`] as [`Output::Failed`].
    fn admit(&mut self, job: JobId, work: Work, resume: Vec<u32>);

    /// Forgets a job, running or not. Nothing more comes out for it.
    fn cancel(&mut self, job: JobId);

    /// Advances: at most one call into the library. Returns whether there is more to do.
    fn step(&mut self, out: &mut dyn FnMut(JobId, Output)) -> bool;

    /// How long a step would find nothing to do unless a command comes first. Zero for an engine that computes.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
}
