//! The keys of references: what links a record to what an app asked, for as long as records are kept.
//!
//! Each app has a key of its own for each day. Whoever has the text and the key of its day can show that a record is about it;
//! once the key is destroyed nobody can, wherever copies of the record are (crypto-shredding, NIST SP 800-88).
//!
//! What must stay true: a key is on the disk before a record has a reference made with it; a file that cannot be read is not
//! written over.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use data_encoding::HEXLOWER;
use hither_ledger::reference;
use hither_types::fact::Fact;
use hither_types::id::{AppName, Digest};
use hither_types::time::Day;
use tokio::sync::mpsc;

use crate::driver::Inbound;
use crate::home::{random, write_private};
use crate::trust::wall_now;

#[cfg(test)]
mod tests;

/// The folder in the data directory.
const FOLDER: &str = "references";

/// The end of a file's name, behind that of the app.
const SUFFIX: &str = ".keys";

type Key = [u8; 32];

/// The keys of an app, by their days.
type Keys = BTreeMap<Day, Key>;

/// The keys of all apps, on disk and at hand.
pub(crate) struct References {
    dir: PathBuf,
    inbox: mpsc::Sender<Inbound>,
    apps: Mutex<BTreeMap<AppName, Keys>>,
    /// What operators were told of apps whose keys cannot be had.
    told: Mutex<BTreeMap<AppName, String>>,
}

impl References {
    /// Those of a data directory.
    pub(crate) fn of(data: &Path, inbox: mpsc::Sender<Inbound>) -> Self {
        Self { dir: data.join(FOLDER), inbox, apps: Mutex::default(), told: Mutex::default() }
    }

    /// The reference to the body of a request that came now. Waits for the disk once a day for each app. `None`: there is no
    /// key, and an operator is told why.
    pub(crate) fn to(&self, app: &AppName, body: &[u8]) -> Option<Digest> {
        let key = self.key(app, wall_now().day());
        self.tell(app, key.as_ref().err());
        key.ok().map(|key| reference(&key, body))
    }

    /// Says once that an app has no keys, and once that it is over.
    fn tell(&self, app: &AppName, error: Option<&Error>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let text = error.map(|error| {
            let file = self.file(app);
            format!(
                "requests of app {app} get no reference on their records, for its keys cannot be had ({}: {error}). Mend the file or \
                 the disk, or: hither apps limit {app} --references none",
                file.display()
            )
        });
        if told.get(app) == text.as_ref() {
            return;
        }
        // Where the inbox is full, the next request says it.
        let over = told.get(app).cloned().map(Inbound::WarnOver);
        if over.into_iter().chain(text.clone().map(Inbound::Warn)).all(|news| self.inbox.try_send(news).is_ok()) {
            told.remove(app);
            told.extend(text.map(|text| (app.clone(), text)));
        }
    }

    fn key(&self, app: &AppName, today: Day) -> Result<Key> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = loaded(&mut apps, &self.dir, app)?;
        if let Some(key) = keys.get(&today) {
            return Ok(*key);
        }
        let key = random();
        let mut more = keys.clone();
        more.insert(today, key);
        std::fs::create_dir_all(&self.dir)?;
        write_private(&file_of(&self.dir, app), text_of(&more).as_bytes())?;
        *keys = more;
        Ok(key)
    }

    /// Where the keys of an app lie.
    pub(crate) fn file(&self, app: &AppName) -> PathBuf {
        file_of(&self.dir, app)
    }

    /// Destroys the keys of an app: all, by an operator's word.
    pub(crate) fn destroy(&self, app: &AppName) -> Result<()> {
        self.destroy_until(app, None, None)
    }

    /// Destroys the keys of all apps that are of days before one, by the retention of a policy. What fails is tried again the
    /// next day. `is_first`: the clock may be years ahead as long as nobody has set it, so an app whose keys all seem old keeps
    /// them until the next look.
    pub(crate) fn expire(&self, before: Day, policy: Digest, is_first: bool) {
        let names = match apps_of(&self.dir) {
            Ok(names) => names,
            Err(error) => return tracing::warn!(%error, "old keys of references cannot be looked for"),
        };
        for app in names {
            if is_first && !self.has_since(&app, before) {
                continue;
            }
            if let Err(error) = self.destroy_until(&app, Some(before), Some(policy)) {
                tracing::warn!(%app, %error, "old keys of references are not destroyed yet");
            }
        }
    }

    /// Whether an app has a key of a day or of one after it.
    fn has_since(&self, app: &AppName, day: Day) -> bool {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        loaded(&mut apps, &self.dir, app).is_ok_and(|keys| keys.range(day..).next().is_some())
    }

    fn destroy_until(&self, app: &AppName, before: Option<Day>, policy: Option<Digest>) -> Result<()> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = loaded(&mut apps, &self.dir, app)?;
        let kept =
            before.map_or_else(Keys::new, |before| keys.range(before..).map(|(day, key)| (*day, *key)).collect());
        let mut gone = keys.keys().filter(|day| !kept.contains_key(*day));
        let Some(first) = gone.next().copied() else { return Ok(()) };
        let last = gone.last().copied().unwrap_or(first);
        rewrite(&file_of(&self.dir, app), &kept)?;
        *keys = kept;
        drop(apps);
        // It may be that nobody listens any more; the keys are gone all the same.
        let fact = Fact::ReferencesDestroyed { app: app.clone(), first, last, policy };
        let _ = self.inbox.blocking_send(Inbound::Note(fact));
        Ok(())
    }
}

/// What a body may be referred to by on the records of a data directory: by the key of each day that is there.
///
/// # Errors
/// The file of the app cannot be read.
pub fn references_to(data: &Path, app: &AppName, body: &[u8]) -> Result<BTreeMap<Day, Digest>> {
    let keys = read(&file_of(&data.join(FOLDER), app))?;
    Ok(keys.iter().map(|(day, key)| (*day, reference(key, body))).collect())
}

fn file_of(dir: &Path, app: &AppName) -> PathBuf {
    dir.join(format!("{app}{SUFFIX}"))
}

/// The apps that have a file.
fn apps_of(dir: &Path) -> Result<Vec<AppName>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    let app = |name: &std::ffi::OsString| AppName::parse(name.to_str()?.strip_suffix(SUFFIX)?).ok();
    Ok(names.iter().filter_map(app).collect())
}

fn loaded<'a>(apps: &'a mut BTreeMap<AppName, Keys>, dir: &Path, app: &AppName) -> Result<&'a mut Keys> {
    match apps.entry(app.clone()) {
        Entry::Occupied(keys) => Ok(keys.into_mut()),
        Entry::Vacant(place) => Ok(place.insert(read(&file_of(dir, app))?)),
    }
}

fn read(path: &Path) -> Result<Keys> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Keys::new()),
        text => text?,
    };
    let pair = |line: &str| {
        let (day, key) = line.split_once(' ')?;
        Some((Day::parse(day)?, HEXLOWER.decode(key.as_bytes()).ok()?.try_into().ok()?))
    };
    let keys =
        text.lines().map(|line| pair(line).ok_or("a line is no day and key")).collect::<std::result::Result<_, _>>();
    keys.map_err(|text| Error::new(ErrorKind::InvalidData, text))
}

/// A line for each day: the day, and the key in hexadecimal digits as other programs take it.
fn text_of(keys: &Keys) -> String {
    keys.iter().map(|(day, key)| format!("{day} {}\n", HEXLOWER.encode(key))).collect()
}

/// Writes what is kept, or removes the file. What it held is written over, as far as the file system does that in place.
fn rewrite(path: &Path, kept: &Keys) -> Result<()> {
    let mut old = File::options().write(true).open(path)?;
    let bytes = old.metadata()?.len();
    match kept.is_empty() {
        true => std::fs::remove_file(path)?,
        false => write_private(path, text_of(kept).as_bytes())?,
    }
    old.write_all(&vec![0; usize::try_from(bytes).unwrap_or(0)])?;
    old.sync_all()
}
