//! Behind the door: hands requests to the loop and gives pictures out.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use hither_api::door::{Command, CommandDone, CommandError, Door, Reception, Reply, Submission};
use hither_types::id::{NodeId, RequestId};
use hither_types::label::DataClass;
use hither_types::refusal::Refusal;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;
use hither_types::view::{Explanation, View};
use tokio::sync::{mpsc, oneshot, watch};

use crate::affinity::Salt;
use crate::driver::Inbound;
use crate::limits::ANSWERS_MAX;
use crate::session::Session;

/// The clock of this node: microseconds since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(pub(crate) Instant);

impl Clock {
    pub(crate) fn now(self) -> Timestamp {
        Timestamp(self.0.elapsed().as_micros() as u64)
    }
}

/// What the door must know at once; the loop replaces it.
pub(crate) struct Facade {
    pub(crate) me: NodeId,
    pub(crate) unlabelled: DataClass,
}

pub(crate) struct Doorman {
    pub(crate) inbox: mpsc::Sender<Inbound>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) facade: Arc<RwLock<Facade>>,
    pub(crate) clock: Clock,
    pub(crate) salt: Salt,
}

impl Door for Doorman {
    fn submit(&self, submission: Submission) -> Result<Reception, Refusal> {
        let request = RequestId(uuid::Uuid::now_v7().as_u128());
        let deadline = self.clock.now().after(submission.patience);
        // Here and not in the loop: reading a long prompt takes time.
        let affinity = self.salt.affinity(&submission.envelope, &submission.payload);
        let (answers, receiver) = mpsc::channel(ANSWERS_MAX);
        let session = Arc::new(Session::new(request, submission.payload, answers));
        let inbound = Inbound::Submit { session, envelope: submission.envelope, deadline, affinity };
        self.inbox.try_send(inbound).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Overloaded { retry_after: Micros::from_millis(1000) },
            mpsc::error::TrySendError::Closed(_) => Refusal::Stopping,
        })?;
        Ok(Reception { request, answers: receiver })
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
            let stopping =
                || CommandError { code: "E0901", message: "the node is stopping".into(), help: "hither up".into() };
            let (reply, answer) = oneshot::channel();
            inbox.send(Inbound::Command { command, reply }).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())?
        })
    }

    fn unlabelled(&self) -> DataClass {
        self.facade.read().unwrap_or_else(PoisonError::into_inner).unlabelled
    }

    fn me(&self) -> NodeId {
        self.facade.read().unwrap_or_else(PoisonError::into_inner).me
    }
}
