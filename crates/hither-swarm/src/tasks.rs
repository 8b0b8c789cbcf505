//! The tasks of a swarm, so that none is detached and all end with it.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinSet;

/// A set of tasks. `None` once stopped: what comes later is not started.
#[derive(Debug)]
pub(crate) struct Tasks(Mutex<Option<JoinSet<()>>>);

impl Default for Tasks {
    fn default() -> Self {
        Self(Mutex::new(Some(JoinSet::new())))
    }
}

impl Tasks {
    /// Starts a task, unless the set was stopped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(set) = guard.as_mut() else { return };
        while let Some(ended) = set.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a task of the swarm panicked");
            }
        }
        set.spawn(task);
    }

    /// Stops all tasks and waits for their end.
    pub(crate) async fn stop(&self) {
        let set = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut set) = set {
            set.shutdown().await;
        }
    }

    /// Stops all tasks without waiting.
    pub(crate) fn abort(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
