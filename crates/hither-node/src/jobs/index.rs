//! What is known of every job without its content: whose turn it is, who may see it, how much there is.
//!
//! What must stay true: the earliest deadline goes first, then the oldest; a job is given out once under each epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hither_api::batches::{BatchId, Line};
use hither_api::jobs::{Head, JobError, JobId, Status, Tried, Whose};
use hither_types::id::AppName;
use hither_types::label::DataClass;
use hither_types::time::WallTime;

use super::bounds::JobBounds;
use super::record::Origin;
use super::shelf::Shelf;

/// One job.
pub(super) struct Entry {
    pub(super) origin: Arc<Origin>,
    pub(super) app: AppName,
    pub(super) class: DataClass,
    pub(super) status: Status,
    pub(super) epoch: u32,
    pub(super) strikes: u32,
    pub(super) last: Option<Tried>,
    pub(super) not_before: WallTime,
    pub(super) ended: Option<WallTime>,
    /// Bytes on disk.
    pub(super) bytes: u64,
}

impl Entry {
    /// The line of a batch that it is, if it is one.
    pub(super) fn line(&self) -> Option<(BatchId, u32)> {
        self.origin.line()
    }

    fn deadline(&self) -> WallTime {
        WallTime(self.origin.deadline)
    }
}

/// Nobody can serve those of a kind before then.
#[derive(Clone, Copy)]
struct Hold {
    until: WallTime,
    tries: u32,
}

/// What somebody keeps here. A file or a batch counts as a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub(super) jobs: u64,
    pub(super) bytes: u64,
}

/// All of them.
#[derive(Default)]
pub(super) struct Index {
    entries: BTreeMap<JobId, Entry>,
    /// Those that wait, the first first.
    queue: BTreeSet<(WallTime, JobId)>,
    keys: BTreeMap<(AppName, [u8; 32]), JobId>,
    holds: BTreeMap<[u8; 32], Hold>,
    apps: BTreeMap<AppName, Load>,
    total: Load,
    /// Files and batches.
    pub(super) shelf: Shelf,
}

impl Index {
    /// Counts something that is kept.
    pub(super) fn charge(&mut self, app: &AppName, more: Load) {
        for load in [self.apps.entry(app.clone()).or_default(), &mut self.total] {
            load.jobs += more.jobs;
            load.bytes += more.bytes;
        }
    }

    /// Counts something that is not kept any more.
    pub(super) fn discharge(&mut self, app: &AppName, less: Load) {
        self.total.jobs -= less.jobs;
        self.total.bytes -= less.bytes;
        if let Some(load) = self.apps.get_mut(app) {
            load.jobs -= less.jobs;
            load.bytes -= less.bytes;
            if *load == Load::default() {
                self.apps.remove(app);
            }
        }
    }

    pub(super) fn insert(&mut self, id: JobId, entry: Entry) {
        self.charge(&entry.app, Load { jobs: 1, bytes: entry.bytes });
        self.keys.insert((entry.app.clone(), entry.origin.key), id);
        if entry.status == Status::Queued {
            self.queue.insert((entry.deadline(), id));
        }
        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: JobId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.queue.remove(&(entry.deadline(), id));
        let key = (entry.app.clone(), entry.origin.key);
        if self.keys.get(&key) == Some(&id) {
            self.keys.remove(&key);
        }
        self.discharge(&entry.app, Load { jobs: 1, bytes: entry.bytes });
    }

    /// Those lines of a batch that are jobs, in their order.
    pub(super) fn lines(&self, app: &AppName, batch: BatchId) -> Vec<Line> {
        let key = |number| (app.clone(), Origin::line_key(batch, number));
        let range = self.keys.range(key(0)..=key(u32::MAX));
        let line = |job: &JobId| {
            let entry = self.entries.get(job)?;
            let (_, number) = entry.line()?;
            Some(Line { number, job: *job, status: entry.status })
        };
        range.filter_map(|(_, job)| line(job)).collect()
    }

    /// Whether a job is a line of a batch that has not ended: it is needed until its batch has written it down.
    fn is_needed(&self, entry: &Entry) -> bool {
        entry.line().is_some_and(|(batch, _)| self.shelf.is_open(batch))
    }

    /// A job that somebody may see.
    pub(super) fn get(&self, whose: &Whose, id: JobId) -> Result<&Entry, JobError> {
        let found = self.entries.get(&id).filter(|entry| match whose {
            // Lines are seen by their batch.
            Whose::App(app) => entry.app == *app && entry.line().is_none(),
            Whose::Everyone => true,
        });
        found.ok_or(JobError::Unknown(id))
    }

    /// A job that is being tried under this epoch.
    pub(super) fn running(&self, id: JobId, epoch: u32) -> Result<&Entry, JobError> {
        let found = self.entries.get(&id).filter(|entry| entry.status == Status::Running && entry.epoch == epoch);
        found.ok_or(JobError::Late { id, epoch })
    }

    /// The job that a key names.
    pub(super) fn keyed(&self, app: &AppName, key: [u8; 32]) -> Option<(JobId, &Entry)> {
        let id = self.keys.get(&(app.clone(), key))?;
        Some((*id, self.entries.get(id)?))
    }

    pub(super) fn head(&self, id: JobId, entry: &Entry) -> Head {
        let hold = self.holds.get(&entry.origin.target).map_or(WallTime(0), |hold| hold.until);
        let next = entry.not_before.max(hold);
        Head {
            id,
            app: entry.app.clone(),
            url: entry.origin.url.clone(),
            model: entry.origin.model.clone(),
            class: entry.class,
            created: WallTime(entry.origin.created),
            deadline: entry.deadline(),
            status: entry.status,
            attempts: entry.epoch,
            ended: entry.ended,
            last: entry.last.clone(),
            next: (entry.status == Status::Queued && next.0 > 0).then_some(next),
        }
    }

    pub(super) fn list(&self, whose: &Whose, after: Option<JobId>, most: usize) -> Vec<Head> {
        let older = self.entries.range(..after.unwrap_or(JobId(u128::MAX))).rev();
        let theirs = older.filter(|(_, entry)| match whose {
            Whose::App(app) => entry.app == *app && entry.line().is_none(),
            Whose::Everyone => true,
        });
        theirs.take(most).map(|(id, entry)| self.head(*id, entry)).collect()
    }

    /// Which jobs must go so that more of an app fits: those that ended without an answer, the oldest first. What
    /// was acknowledged and lives never goes, and an answer only when its time is over.
    pub(super) fn room(&self, bounds: &JobBounds, app: &AppName, more: Load) -> Result<Vec<JobId>, JobError> {
        let own = self.apps.get(app).copied().unwrap_or_default();
        let share = Load { jobs: bounds.share(bounds.max as u64), bytes: bounds.share(bounds.max_bytes) };
        let whole = Load { jobs: bounds.max as u64, bytes: bounds.max_bytes };
        let mut going = Vec::new();
        let (mut own_left, mut total_left) = (own, self.total);
        let fits = |load: Load, most: Load| load.jobs + more.jobs <= most.jobs && load.bytes + more.bytes <= most.bytes;
        let mut needless: Vec<(WallTime, JobId, &Entry)> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.status, Status::Expired | Status::Cancelled) && !self.is_needed(entry))
            .map(|(id, entry)| (entry.ended.unwrap_or_default(), *id, entry))
            .collect();
        needless.sort_by_key(|(ended, id, _)| (*ended, *id));
        let mut needless = needless.into_iter();
        while !(fits(own_left, share) && fits(total_left, whole)) {
            let own_only = !fits(own_left, share);
            let Some((_, id, entry)) = needless.find(|(_, _, entry)| !own_only || entry.app == *app) else {
                return Err(JobError::Full(match own_only {
                    true => format!(
                        "app {app} has {} jobs, files and batches of {} bytes here, and may have {} of {} bytes",
                        own_left.jobs, own_left.bytes, share.jobs, share.bytes
                    ),
                    false => format!(
                        "the node keeps {} jobs of {} bytes, and may keep {} of {} bytes",
                        total_left.jobs, total_left.bytes, whole.jobs, whole.bytes
                    ),
                }));
            };
            for load in [Some(&mut total_left), (entry.app == *app).then_some(&mut own_left)].into_iter().flatten() {
                load.jobs -= 1;
                load.bytes -= entry.bytes;
            }
            going.push(id);
        }
        Ok(going)
    }

    /// Jobs whose deadline has passed and that have not ended, and jobs whose end was long enough ago.
    pub(super) fn due(&self, now: WallTime, keep_ms: u64, most: usize) -> (Vec<JobId>, Vec<JobId>) {
        let over = |entry: &&Entry| !entry.status.is_end() && entry.deadline() <= now;
        let old = |entry: &&Entry| match (entry.ended, entry.line()) {
            (None, _) => false,
            (Some(ended), None) => ended.0.saturating_add(keep_ms) <= now.0,
            // It lies in a file of its batch, if that ended well.
            (Some(_), Some((batch, _))) => !self.shelf.is_open(batch),
        };
        let pick = |wanted: &dyn Fn(&&Entry) -> bool| {
            self.entries.iter().filter(|(_, entry)| wanted(entry)).map(|(id, _)| *id).take(most).collect()
        };
        (pick(&over), pick(&old))
    }

    /// Takes the first whose turn it is: it runs from here on.
    pub(super) fn take(&mut self, now: WallTime) -> Option<JobId> {
        let free = |id: &JobId| {
            self.entries.get(id).is_some_and(|entry| {
                let held = self.holds.get(&entry.origin.target).is_some_and(|hold| hold.until > now);
                entry.not_before <= now && entry.deadline() > now && !held
            })
        };
        let (deadline, id) = *self.queue.iter().find(|(_, id)| free(id))?;
        self.queue.remove(&(deadline, id));
        let entry = self.entries.get_mut(&id)?;
        entry.status = Status::Running;
        entry.epoch += 1;
        Some(id)
    }

    /// When something is to be done again, if nothing changes.
    pub(super) fn next(&self, keep_ms: u64) -> Option<WallTime> {
        let waiting = self.entries.values().filter(|entry| !(entry.status.is_end() && self.is_needed(entry)));
        let times = waiting.map(|entry| match entry.status {
            Status::Queued => {
                let hold = self.holds.get(&entry.origin.target).map_or(WallTime(0), |hold| hold.until);
                entry.not_before.max(hold).min(entry.deadline())
            }
            Status::Running => entry.deadline(),
            _ => WallTime(entry.ended.unwrap_or_default().0.saturating_add(keep_ms)),
        });
        times.min()
    }

    /// Puts a job back that was being tried.
    pub(super) fn put_back(&mut self, id: JobId, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.status = Status::Queued;
        change(entry);
        self.queue.insert((entry.deadline(), id));
    }

    /// Lets none of a kind run for a while that grows with each time.
    pub(super) fn hold(&mut self, id: JobId, until: impl FnOnce(u32) -> WallTime) {
        let Some(entry) = self.entries.get(&id) else { return };
        let hold = self.holds.entry(entry.origin.target).or_insert(Hold { until: WallTime(0), tries: 0 });
        hold.until = until(hold.tries);
        hold.tries += 1;
    }

    /// Somebody came who may serve them.
    pub(super) fn wake(&mut self) {
        self.holds.clear();
    }

    /// A job has ended; what it takes on disk is another amount from here on.
    pub(super) fn end(&mut self, id: JobId, status: Status, ended: WallTime, bytes: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.queue.remove(&(WallTime(entry.origin.deadline), id));
        if status == Status::Done {
            self.holds.remove(&entry.origin.target);
        }
        let before = std::mem::replace(&mut entry.bytes, bytes);
        (entry.status, entry.ended) = (status, Some(ended));
        for load in [self.apps.get_mut(&entry.app), Some(&mut self.total)].into_iter().flatten() {
            load.bytes = load.bytes - before + bytes;
        }
    }
}
