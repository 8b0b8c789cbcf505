//! Behind the door: hands requests to the loop and gives pictures out.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use hither_api::batches::BatchStore;
use hither_api::callers::Callers;
use hither_api::door::{
    AppCommand, AppDone, Command, CommandDone, CommandError, Door, Reception, Referrer, Reply, Submission,
};
use hither_api::errors::{Code, Problem};
use hither_api::jobs::JobStore;
use hither_api::trainings::TrainingStore;
use hither_core::policy::judge_keeping;
use hither_swarm::Swarm;
use hither_types::id::{AppName, ModelName, NodeId, RequestId};
use hither_types::label::{DataClass, Label};
use hither_types::law::{Policy, Verdict};
use hither_types::member::Member;
use hither_types::refusal::Refusal;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;
use hither_types::view::{Explanation, View, Wire};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::affinity::Salt;
use crate::apps::Apps;
use crate::driver::Inbound;
use crate::jobs::Jobs;
use crate::limits::ANSWERS_MAX;
use crate::references::{body_digest, reference};
use crate::session::Session;
use crate::traces::Traces;
use crate::trainings::Trainings;
use crate::trust::wall_now;

#[cfg(test)]
mod tests;

/// The clock of this node: microseconds since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(pub(crate) Instant);

impl Clock {
    pub(crate) fn now(self) -> Timestamp {
        Timestamp(self.0.elapsed().as_micros() as u64)
    }
}

/// Requests whose clients left before the end. A task that waits for each client would cost every request more than
/// this costs the few that are left.
#[derive(Default)]
pub(crate) struct Leavers {
    /// At most one entry for each open request.
    gone: Mutex<Vec<RequestId>>,
    changed: Notify,
}

impl Leavers {
    fn add(&self, request: RequestId) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.changed.notify_one();
    }

    /// Waits until there are some, and takes them.
    pub(crate) async fn next(&self) -> Vec<RequestId> {
        loop {
            self.changed.notified().await;
            let gone = std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner));
            if !gone.is_empty() {
                return gone;
            }
        }
    }
}

/// The client of a request, as long as it listens.
struct Leaving {
    session: Arc<Session>,
    leavers: Arc<Leavers>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.session.has_ended() {
            self.leavers.add(self.session.request);
        }
    }
}

fn stopping() -> CommandError {
    CommandError { code: "E0901", message: "the node is stopping".into(), help: "hither up".into() }
}

/// What the door must know at once; the loop replaces it.
pub(crate) struct Facade {
    pub(crate) me: Member,
    pub(crate) policy: Arc<Policy>,
}

pub(crate) struct Doorman {
    pub(crate) inbox: mpsc::Sender<Inbound>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) facade: Arc<RwLock<Facade>>,
    pub(crate) clock: Clock,
    pub(crate) salt: Salt,
    pub(crate) leavers: Arc<Leavers>,
    pub(crate) apps: Arc<Apps>,
    pub(crate) traces: Arc<Traces>,
    pub(crate) swarm: Swarm,
    /// The jobs of this node, or why it keeps none.
    pub(crate) jobs: Result<Arc<Jobs>, String>,
    pub(crate) trainings: Arc<Trainings>,
}

impl Door for Doorman {
    fn submit(&self, submission: Submission) -> Result<Reception, Refusal> {
        let request = RequestId(uuid::Uuid::now_v7().as_u128());
        let deadline = self.clock.now().after(submission.patience);
        // Here and not in the loop: reading a long prompt takes time.
        let affinity = self.salt.affinity(&submission.envelope, &submission.payload);
        let (answers, receiver) = mpsc::channel(ANSWERS_MAX);
        let trace = self.traces.of_client(submission.operation, &submission.envelope, submission.trace);
        let session = Session::new(request, submission.payload, answers, trace).taken_whole(submission.whole);
        let session = Arc::new(session);
        let told = Arc::clone(&session);
        let reference = submission.referrer.map(|referrer| referrer.of(request));
        let envelope = submission.envelope;
        let inbound = Inbound::Submit { session, envelope, deadline, affinity, reference };
        self.inbox.try_send(inbound).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Overloaded { retry_after: Micros::from_millis(1000) },
            mpsc::error::TrySendError::Closed(_) => Refusal::Stopping,
        })?;
        let leaving = Box::new(Leaving { session: told, leavers: Arc::clone(&self.leavers) });
        Ok(Reception { request, answers: receiver, leaving })
    }

    fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    fn explain(&self, request: RequestId) -> Reply<Option<Explanation>> {
        let inbox = self.inbox.clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            inbox.send(Inbound::Explain { request, reply }).await.ok()?;
            answer.await.ok().flatten()
        })
    }

    fn command(&self, command: Command) -> Reply<Result<CommandDone, CommandError>> {
        let inbox = self.inbox.clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            inbox.send(Inbound::Command { command, reply }).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())?
        })
    }

    fn callers(&self) -> Arc<Callers> {
        self.apps.callers()
    }

    fn apps(&self, command: AppCommand) -> Reply<Result<AppDone, CommandError>> {
        let apps = Arc::clone(&self.apps);
        Box::pin(async move {
            // It waits for a disk; the runtime must not.
            let changed = tokio::task::spawn_blocking(move || apps.change(command)).await;
            changed.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(stopping()),
            })
        })
    }

    fn may_keep(&self, app: &AppName, model: Option<&ModelName>, label: &Label) -> Verdict {
        let facade = self.facade.read().unwrap_or_else(PoisonError::into_inner);
        let here = facade.me.place_at(facade.policy.certified_within, wall_now());
        judge_keeping(&facade.policy, app, model, label, &here)
    }

    fn refer(&self, app: &AppName, body: Bytes) -> Reply<Option<Referrer>> {
        let (apps, app) = (Arc::clone(&self.apps), app.clone());
        // It may wait for a disk, and a body may be large.
        let made = tokio::task::spawn_blocking(move || {
            let (key, body) = (apps.reference_key(&app)?, body_digest(&body));
            Some(Referrer::new(move |request| reference(&key, request, &body)))
        });
        Box::pin(async move { made.await.ok().flatten() })
    }

    fn unlabelled(&self) -> DataClass {
        self.facade.read().unwrap_or_else(PoisonError::into_inner).policy.unlabelled
    }

    fn me(&self) -> NodeId {
        self.facade.read().unwrap_or_else(PoisonError::into_inner).me.node
    }

    fn wire(&self) -> Wire {
        self.swarm.wire()
    }

    fn jobs(&self) -> Result<Arc<dyn JobStore>, Problem> {
        match &self.jobs {
            Ok(jobs) => Ok(Arc::clone(jobs) as Arc<dyn JobStore>),
            Err(why) => Err(Problem::new(Code::JobsOff, format!("this node keeps no jobs: {why}"))
                .help("send the request itself and wait for its answer; hither status")),
        }
    }

    fn batches(&self) -> Result<Arc<dyn BatchStore>, Problem> {
        match &self.jobs {
            Ok(jobs) => Ok(Arc::clone(jobs) as Arc<dyn BatchStore>),
            Err(why) => Err(Problem::new(Code::JobsOff, format!("this node keeps no files and no batches: {why}"))
                .help("send each request itself and wait for its answer; hither status")),
        }
    }

    fn trainings(&self) -> Result<Arc<dyn TrainingStore>, Problem> {
        Ok(Arc::clone(&self.trainings) as Arc<dyn TrainingStore>)
    }
}
