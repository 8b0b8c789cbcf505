//! A shelf of jobs that is the same for every request: one of each status, and room for all that come.

use tokio::sync::watch;

use crate::jobs::{
    Accepted, End, Given, Head, Job, JobError, JobId, JobStore, NewJob, Next, Pause, Status, Tried, Whose,
};
use hither_types::id::AppName;
use hither_types::label::DataClass;
use hither_types::time::WallTime;

/// The ids of the jobs on the shelf, one for each status, end with its place in the list.
const FIRST: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0000;

/// The shelf.
#[derive(Default)]
pub(super) struct Shelf {
    changed: watch::Sender<u64>,
}

fn at(id: JobId) -> Result<Job, JobError> {
    let place = id.0.checked_sub(FIRST).and_then(|place| usize::try_from(place).ok());
    let status = place.and_then(|place| Status::ALL.get(place)).ok_or(JobError::Unknown(id))?;
    let app = AppName::parse("anonymous").expect("it is a name");
    let tried = Tried {
        at: WallTime(1_800_000_000_500),
        status: 503,
        code: "E0503".to_owned(),
        message: "nobody \"can\"".to_owned(),
        request: None,
    };
    let head = Head {
        id,
        app,
        url: "/v1/chat/completions".to_owned(),
        model: Some("smollm2-135m".to_owned()),
        class: DataClass::Internal,
        created: WallTime(1_800_000_000_000),
        deadline: WallTime(1_800_000_600_000),
        status: *status,
        attempts: 1,
        ended: status.is_end().then_some(WallTime(1_800_000_001_000)),
        last: Some(tried),
        next: None,
    };
    let given = matches!(status, Status::Done).then(|| Given {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: "{\"object\":\"chat.completion\"}".into(),
    });
    Ok(Job { head, metadata: Some("{\"a\":1}".to_owned()), given })
}

impl JobStore for Shelf {
    fn submit(&self, new: NewJob) -> Result<Accepted, JobError> {
        let NewJob { app, model, class, deadline, ask, metadata, .. } = new;
        let Job { head, .. } = at(JobId(FIRST))?;
        let head = Head { app, url: ask.url, model, class, deadline, last: None, attempts: 0, ..head };
        Ok(Accepted { job: Job { head, metadata, given: None }, joined: false })
    }

    fn list(&self, _: &Whose, after: Option<JobId>, most: usize) -> Vec<Head> {
        let all = (0..Status::ALL.len() as u128).rev().map(|place| JobId(FIRST + place));
        let older = all.filter(|id| after.is_none_or(|after| *id < after));
        older.filter_map(|id| at(id).ok()).map(|job| job.head).take(most).collect()
    }

    fn show(&self, _: &Whose, id: JobId) -> Result<Job, JobError> {
        at(id)
    }

    fn cancel(&self, _: &Whose, id: JobId) -> Result<Head, JobError> {
        let head = at(id)?.head;
        let status = head.status;
        if status.is_end() { Err(JobError::Ended { id, status }) } else { Ok(head) }
    }

    fn remove(&self, _: &Whose, id: JobId) -> Result<(), JobError> {
        let status = at(id)?.head.status;
        if status.is_end() { Ok(()) } else { Err(JobError::NotEnded { id, status }) }
    }

    fn lease(&self) -> Next {
        unreachable!("nobody runs these jobs")
    }

    fn settle(&self, _: JobId, _: u32, _: End) -> Result<(), JobError> {
        unreachable!("nobody runs these jobs")
    }

    fn release(&self, _: JobId, _: u32, _: Tried, _: Pause) {
        unreachable!("nobody runs these jobs")
    }

    fn holds(&self, _: JobId, _: u32) -> bool {
        false
    }

    fn wake(&self) {}

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
