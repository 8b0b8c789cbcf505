//! Jobs as apps see them: what is taken and what is refused, what comes back, and what an answer means for a job.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hither_types::time::WallTime;
use tokio::sync::watch;

use super::{
    Accepted, End, Head, Job, JobError, JobId, JobStore, Leased, NewJob, Next, Pause, Status, Tried, Whose, wall_now,
};
use crate::routes::Listener;
use crate::tests::fake::FakeDoor;
use crate::tests::lab::Lab;

mod background;
mod door;
mod runner;

/// A store in memory that does as it is told and keeps what it was told.
#[derive(Default)]
pub(super) struct Kept {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// What every submission meets, if not a place.
    pub(super) refuses: Option<fn() -> JobError>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) jobs: BTreeMap<JobId, (NewJob, Job)>,
    pub(super) strikes: u32,
    /// How each attempt ended that did not end its job.
    pub(super) released: Vec<(Tried, Pause)>,
    pub(super) woken: u32,
}

impl Kept {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn job(&self, id: JobId) -> Job {
        self.state().jobs[&id].1.clone()
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn end(&self, id: JobId, change: impl FnOnce(&mut Job)) {
        change(&mut self.state().jobs.get_mut(&id).unwrap().1);
        self.tell();
    }
}

impl JobStore for Kept {
    fn submit(&self, new: NewJob) -> Result<Accepted, JobError> {
        if let Some(refuses) = self.refuses {
            return Err(refuses());
        }
        let mut state = self.state();
        let same = |(there, _): &&(NewJob, Job)| (&there.key, &there.said) == (&new.key, &new.said);
        if let Some((_, job)) = state.jobs.values().find(same) {
            return Ok(Accepted { job: job.clone(), joined: true });
        }
        let id = JobId(0x0190_0000_0000_7000_8000_0000_0000_1000 + state.jobs.len() as u128);
        let head = Head {
            id,
            app: new.app.clone(),
            url: new.ask.url.clone(),
            model: new.model.clone(),
            class: new.class,
            created: WallTime(1_800_000_000_000),
            deadline: new.deadline,
            status: Status::Queued,
            attempts: 0,
            ended: None,
            last: None,
            next: None,
        };
        let job = Job { head, metadata: new.metadata.clone(), given: None };
        state.jobs.insert(id, (new, job.clone()));
        drop(state);
        self.tell();
        Ok(Accepted { job, joined: false })
    }

    fn list(&self, whose: &Whose, after: Option<JobId>, most: usize) -> Vec<Head> {
        let state = self.state();
        let older = state.jobs.range(..after.unwrap_or(JobId(u128::MAX))).rev();
        let theirs = older.filter(|(_, (new, _))| match whose {
            Whose::App(app) => new.app == *app,
            Whose::Everyone => true,
        });
        theirs.map(|(_, (_, job))| job.head.clone()).take(most).collect()
    }

    fn show(&self, _: &Whose, id: JobId) -> Result<Job, JobError> {
        self.state().jobs.get(&id).map(|(_, job)| job.clone()).ok_or(JobError::Unknown(id))
    }

    fn cancel(&self, whose: &Whose, id: JobId) -> Result<Head, JobError> {
        let status = self.show(whose, id)?.head.status;
        if status.is_end() {
            return Err(JobError::Ended { id, status });
        }
        self.end(id, |job| job.head.status = Status::Cancelled);
        Ok(self.job(id).head)
    }

    fn remove(&self, whose: &Whose, id: JobId) -> Result<(), JobError> {
        let status = self.show(whose, id)?.head.status;
        if !status.is_end() {
            return Err(JobError::NotEnded { id, status });
        }
        self.state().jobs.remove(&id);
        Ok(())
    }

    fn lease(&self) -> Next {
        let mut state = self.state();
        let strikes = state.strikes;
        let waiting = state.jobs.iter_mut().find(|(_, (_, job))| job.head.status == Status::Queued);
        let Some((id, (new, job))) = waiting else { return Next::Wait(Duration::from_secs(3600)) };
        job.head.status = Status::Running;
        job.head.attempts += 1;
        self.tell();
        Next::Run(Box::new(Leased {
            id: *id,
            epoch: job.head.attempts,
            strikes,
            deadline: new.deadline,
            app: new.app.clone(),
            ask: new.ask.clone(),
        }))
    }

    fn settle(&self, id: JobId, epoch: u32, end: End) -> Result<(), JobError> {
        if !self.holds(id, epoch) {
            return Err(JobError::Late { id, epoch });
        }
        let (status, given) = match end {
            End::Done(given) => (Status::Done, given),
            End::Failed(given) => (Status::Failed, given),
        };
        self.end(id, |job| {
            job.head.status = status;
            job.given = Some(given);
        });
        Ok(())
    }

    fn release(&self, id: JobId, _: u32, tried: Tried, pause: Pause) {
        let mut state = self.state();
        state.strikes += u32::from(pause == Pause::Strike);
        let job = &mut state.jobs.get_mut(&id).unwrap().1;
        job.head.last = Some(tried.clone());
        // Without a pause: the clock of the store is its own affair.
        job.head.status = Status::Queued;
        state.released.push((tried, pause));
        drop(state);
        self.tell();
    }

    fn holds(&self, id: JobId, epoch: u32) -> bool {
        let state = self.state();
        state.jobs.get(&id).is_some_and(|(_, job)| (job.head.status, job.head.attempts) == (Status::Running, epoch))
    }

    fn wake(&self) {
        self.state().woken += 1;
        self.tell();
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// A door with a store behind it.
pub(super) fn lab_of(mut door: FakeDoor, listener: Listener, kept: Kept) -> (Lab, Arc<Kept>) {
    let kept = Arc::new(kept);
    door.jobs = Some(Arc::clone(&kept) as _);
    (Lab::behind(door, listener), kept)
}

pub(super) fn lab() -> (Lab, Arc<Kept>) {
    lab_of(FakeDoor::new(|_| unreachable!("nothing here submits")), Listener::Tcp, Kept::default())
}

/// A submission for the chat of a model.
pub(super) fn chat(more: &str) -> String {
    format!(
        r#"{{"deadline_s":3600,"request":{{"url":"/v1/chat/completions","body":{{"model":"smollm2-135m","messages":[{{"role":"user","content":"hi"}}]}}}}{more}}}"#
    )
}
