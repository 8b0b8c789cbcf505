//! A record of training that is handed over to servers outside the mesh: what lies where, kept over a start of the node. No
//! content, but a hash of it, so that the same is not handed over twice.
//!
//! What must stay true: that something is on its way is on the disk before its first byte leaves; what is not known of a
//! server is never taken for nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hither_api::door::Reply;
use hither_api::endpoint::{EndpointError, TrainingThere};
use hither_api::trainings::{Begun, Left, NewTraining, Stage, Training, TrainingError, TrainingId, TrainingStore};
use hither_types::id::{AppName, SiteName};

use crate::endpoints::{Endpoints, Server};
use crate::home::write_private;
use crate::limits::{TRAINING_ASK, TRAININGS_MAX};
use crate::trust::wall_now;

mod form;
mod hand;
#[cfg(test)]
mod tests;

pub(crate) use hand::hand_over;

/// The record.
#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    known: Mutex<BTreeMap<TrainingId, Training>>,
    /// One writes at a time, so that an older word does not come after a newer one.
    writer: Mutex<()>,
}

impl Book {
    /// Reads the file. What cannot be read is put aside; the text that comes back says so.
    pub(crate) fn open(path: PathBuf) -> (Self, Option<String>) {
        let read = match std::fs::read(&path) {
            Ok(bytes) => form::read(&bytes).map_err(str::to_owned),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        };
        let trouble = read.as_ref().err().map(|why| {
            let aside = path.with_extension("damaged");
            // If that fails, the next write takes its place; that it was damaged is said all the same.
            let _ = std::fs::rename(&path, &aside);
            format!(
                "{} cannot be read and is put aside as {}: {why}. What was handed over to train with is not known here any \
                 more",
                path.display(),
                aside.display()
            )
        });
        let known = read.unwrap_or_default().into_iter().map(|training| (training.id, training)).collect();
        (Self { path, known: Mutex::new(known), writer: Mutex::default() }, trouble)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<TrainingId, Training>> {
        // No step under this lock leaves the record half-changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is there, but for what never left.
    fn write(&self) -> io::Result<()> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let text = form::write(self.known().values().filter(|training| training.stage != Stage::New));
        write_private(&self.path, &text)
    }

    /// Changes a hand-over, in memory and then on the disk: what is known of a server stays known, whatever the disk says.
    fn change(&self, id: TrainingId, change: impl FnOnce(&mut Training)) -> io::Result<()> {
        match self.known().get_mut(&id) {
            Some(training) => change(training),
            None => return Ok(()),
        }
        self.write()
    }

    /// It is about to leave for a server: on the disk when this returns. `false` if nobody hands it over any more.
    fn leaving(&self, id: TrainingId, site: &SiteName) -> io::Result<bool> {
        let may = |training: &Training| training.is_open && training.stage == Stage::New;
        match self.known().get_mut(&id).filter(|training| may(training)) {
            Some(training) => training.stage = Stage::Leaving { site: site.clone() },
            None => return Ok(false),
        }
        self.write().inspect_err(|_| self.known().values_mut().filter(|training| training.id == id).for_each(stay))?;
        Ok(true)
    }

    /// Nothing of it left after all.
    fn stays(&self, id: TrainingId) -> io::Result<()> {
        self.change(id, stay)
    }

    /// Its file is there.
    fn lies(&self, id: TrainingId, site: &SiteName, file: &str) -> io::Result<()> {
        self.change(id, |training| training.stage = Stage::Lying { site: site.clone(), file: file.to_owned() })
    }

    /// A training there reads it, or is so far by now.
    fn handed(&self, id: TrainingId, there: TrainingThere) -> io::Result<()> {
        let told = |training: &mut Training| {
            let (site, file) = match &training.stage {
                Stage::Lying { site, file } | Stage::Handed { site, file, .. } => (site.clone(), file.clone()),
                Stage::New | Stage::Leaving { .. } | Stage::Withdrawn { .. } => return,
            };
            training.stage = Stage::Handed { site, file, there };
            training.trouble = None;
        };
        self.change(id, told)
    }

    /// Nothing of it is there any more.
    fn withdrawn(&self, id: TrainingId, trouble: Option<String>) -> io::Result<()> {
        self.change(id, |training| {
            let Some(site) = training.site().cloned() else { return };
            training.stage = Stage::Withdrawn { site };
            training.trouble = trouble;
        })
    }

    /// Why it does not come to a training.
    fn broke(&self, id: TrainingId, trouble: &str) -> io::Result<()> {
        self.change(id, |training| training.trouble = Some(trouble.to_owned()))
    }

    fn of(&self, app: &AppName, id: TrainingId) -> Result<Training, TrainingError> {
        let known = self.known();
        known.get(&id).filter(|training| training.new.app == *app).cloned().ok_or(TrainingError::Unknown(id))
    }

    fn begin(&self, new: NewTraining) -> Result<Begun, TrainingError> {
        let mut known = self.known();
        let same = |training: &&Training| {
            training.new.app == new.app && training.new.fingerprint == new.fingerprint && training.is_there()
        };
        // The newest: of what was given up and handed over again, that is what lies there.
        if let Some(training) = known.values().rev().find(same) {
            let training = Box::new(training.clone());
            return match training.stage {
                Stage::Handed { .. } => Ok(Begun::Known(training)),
                Stage::New | Stage::Leaving { .. } | Stage::Lying { .. } | Stage::Withdrawn { .. } => {
                    Err(TrainingError::There(training))
                }
            };
        }
        while known.len() >= TRAININGS_MAX {
            let ended = known.values().find(|training| !training.is_there()).map(|training| training.id);
            let Some(oldest) = ended else { return Err(TrainingError::Full(TRAININGS_MAX)) };
            known.remove(&oldest);
        }
        let id = TrainingId(uuid::Uuid::now_v7().as_u128());
        let (stage, created) = (Stage::New, wall_now());
        let training = Training { id, new, created, stage, is_open: true, left: None, trouble: None };
        known.insert(id, training);
        Ok(Begun::New(id))
    }

    /// Nobody is at it any more. Not on the disk at once: a start knows that nobody is.
    fn let_go(&self, id: TrainingId, trouble: &str) {
        let mut known = self.known();
        let Some(training) = known.get_mut(&id) else { return };
        training.is_open = false;
        match training.stage {
            Stage::New => {
                known.remove(&id);
            }
            Stage::Leaving { .. } | Stage::Lying { .. } => {
                training.trouble.get_or_insert_with(|| trouble.to_owned());
            }
            Stage::Handed { .. } | Stage::Withdrawn { .. } => {}
        }
    }
}

fn stay(training: &mut Training) {
    training.stage = Stage::New;
}

/// The record, and the servers that can be asked.
pub(crate) struct Trainings {
    pub(crate) book: Arc<Book>,
    pub(crate) servers: Endpoints,
}

/// On a thread that may wait for a disk.
async fn on_disk(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), TrainingError> {
    let done = tokio::task::spawn_blocking(work).await;
    // A thread that gave up wrote nothing that is known.
    done.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(TrainingError::Disk)
}

impl Trainings {
    /// Asks a server; what it cannot answer is told with its name.
    async fn at<T, F>(&self, site: &SiteName, question: impl FnOnce(Arc<Server>) -> F) -> Result<T, TrainingError>
    where
        F: Future<Output = Result<T, EndpointError>>,
    {
        let server = self.servers.values().find(|server| server.site() == site).cloned();
        let server = server.ok_or_else(|| TrainingError::Gone(site.clone()))?;
        let silent = || Err(EndpointError::Unreachable(format!("no answer within {} s", TRAINING_ASK.as_secs())));
        let answer = tokio::time::timeout(TRAINING_ASK, question(server)).await.unwrap_or_else(|_| silent());
        answer.map_err(|source| TrainingError::Server { site: site.clone(), source })
    }

    async fn look(&self, app: &AppName, id: TrainingId) -> Result<Training, TrainingError> {
        let training = self.book.of(app, id)?;
        let Stage::Handed { site, there, .. } = &training.stage else { return Ok(training) };
        let at = there.id.clone();
        let now = self.at(site, |server| async move { server.endpoint().training(&at).await }).await?;
        if now != *there {
            let book = Arc::clone(&self.book);
            on_disk(move || book.handed(id, now)).await?;
        }
        self.book.of(app, id)
    }

    async fn end(&self, app: &AppName, id: TrainingId) -> Result<Training, TrainingError> {
        let training = self.book.of(app, id)?;
        let book = Arc::clone(&self.book);
        match &training.stage {
            _ if training.is_open => return Err(TrainingError::Ended(Box::new(training))),
            Stage::Handed { site, there, .. } => {
                let at = there.id.clone();
                let now = self.at(site, |server| async move { server.endpoint().cancel_training(&at).await }).await?;
                on_disk(move || book.handed(id, now)).await?;
            }
            Stage::Lying { site, file } => {
                let file = file.clone();
                self.at(site, |server| async move { server.endpoint().delete_file(&file).await }).await?;
                on_disk(move || book.withdrawn(id, None)).await?;
            }
            // Nobody here knows the name of what may lie there.
            Stage::Leaving { .. } => on_disk(move || book.withdrawn(id, None)).await?,
            Stage::New | Stage::Withdrawn { .. } => return Err(TrainingError::Ended(Box::new(training))),
        }
        self.book.of(app, id)
    }
}

impl TrainingStore for Trainings {
    fn begin(&self, new: NewTraining) -> Result<Begun, TrainingError> {
        self.book.begin(new)
    }

    fn list(&self, app: &AppName, after: Option<TrainingId>, most: usize) -> Vec<Training> {
        let known = self.book.known();
        let older = known.values().rev().filter(|training| after.is_none_or(|after| training.id < after));
        older.filter(|training| training.new.app == *app).take(most).cloned().collect()
    }

    fn show(&self, app: &AppName, id: TrainingId) -> Result<Training, TrainingError> {
        self.book.of(app, id)
    }

    fn answered(&self, id: TrainingId, left: Left) -> Result<(), TrainingError> {
        self.book.change(id, |training| training.left = Some(left)).map_err(TrainingError::Disk)
    }

    fn let_go(&self, id: TrainingId, trouble: &str) {
        self.book.let_go(id, trouble);
    }

    fn ask(self: Arc<Self>, app: AppName, id: TrainingId) -> Reply<Result<Training, TrainingError>> {
        Box::pin(async move { self.look(&app, id).await })
    }

    fn cancel(self: Arc<Self>, app: AppName, id: TrainingId) -> Reply<Result<Training, TrainingError>> {
        Box::pin(async move { self.end(&app, id).await })
    }
}
