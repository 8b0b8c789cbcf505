//! The store of jobs: on a disk of this machine, and on one that fails at each step and forgets what was not synced.

use std::sync::atomic::{AtomicU64, Ordering};

use hither_api::jobs::Ask;
use hither_types::label::DataClass;

use super::*;

mod batches;
mod model;
mod power;
mod rules;

pub(super) const NOON: u64 = 1_800_000_000_000;
pub(super) const HOUR: u64 = 3_600_000;
pub(super) const CANARY: &str = "canary-7f3e1c";

/// A wall clock that a test sets.
#[derive(Clone)]
pub(super) struct Hands(Arc<AtomicU64>);

impl Hands {
    pub(super) fn at_noon() -> Self {
        Self(Arc::new(AtomicU64::new(NOON)))
    }

    pub(super) fn later(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(super) fn clock(&self) -> WallClock {
        let hands = self.clone();
        Box::new(move || WallTime(hands.0.load(Ordering::SeqCst)))
    }
}

pub(super) fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

pub(super) fn own(name: &str) -> Whose {
    Whose::App(app(name))
}

/// A job of an app for a model, due in so many hours.
pub(super) fn job(name: &str, model: &str, hours: u64, text: &str) -> NewJob {
    let body = format!("{{\"model\":\"{model}\",\"messages\":[\"{CANARY} {text}\"]}}");
    NewJob {
        app: app(name),
        key: None,
        said: Bytes::from(format!("{hours} {body}")),
        model: Some(model.to_owned()),
        class: DataClass::Internal,
        deadline: WallTime(NOON + hours * HOUR),
        ask: Ask {
            url: "/v1/chat/completions".to_owned(),
            headers: vec![("x-hither-class".to_owned(), "internal".to_owned())],
            body: Bytes::from(body),
        },
        metadata: Some("{\"ticket\":7}".to_owned()),
    }
}

pub(super) fn given(text: &str) -> Given {
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-hither-served-by".to_owned(), "munich".to_owned()),
    ];
    Given { status: 200, headers, body: Bytes::from(format!("{{\"answer\":\"{CANARY} {text}\"}}")) }
}

pub(super) fn tried(status: u16) -> Tried {
    let message = "nobody is there".to_owned();
    Tried { at: WallTime(NOON), status, code: "E0503".to_owned(), message, request: None }
}

pub(super) fn taken<D: Disk>(jobs: &Jobs<D>) -> Leased {
    match jobs.lease() {
        Next::Run(leased) => *leased,
        Next::Wait(wait) => panic!("nothing to run for {wait:?}"),
    }
}

pub(super) fn waits<D: Disk>(jobs: &Jobs<D>) -> u64 {
    match jobs.lease() {
        Next::Run(leased) => panic!("{} is to run", leased.id),
        Next::Wait(wait) => wait.as_millis() as u64,
    }
}
