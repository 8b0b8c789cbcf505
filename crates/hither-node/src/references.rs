//! The keys of references: what links a record to what an app asked, for as long as records are kept.
//!
//! Each app has a key of its own for each day, in a file of its own. Whoever has the text and the key can show that a record is
//! about it; once the key is destroyed nobody can, wherever copies of the record are (crypto-shredding, NIST SP 800-88).
//!
//! What must stay true: a key is on the disk, under its name, before a record has a reference made with it; it is nowhere but in
//! its file, so that what is not there any more is not used any more.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Result, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use hither_types::id::{AppName, Digest, RequestId};
use hither_types::time::Day;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::home::random;

#[cfg(test)]
mod tests;

/// The folder in the data directory.
const FOLDER: &str = "references";

/// The end of the name of an app's folder: an app may be called `..`.
const OF_APP: &str = ".keys";

/// The end of a file's name, behind its day.
const OF_DAY: &str = ".key";

/// A key of HMAC-SHA-256.
pub type ReferenceKey = [u8; 32];

/// What a reference is made of, of the body of a request: its SHA-256.
pub fn body_digest(body: &[u8]) -> Digest {
    Digest(Sha256::digest(body).into())
}

/// The reference from the records of a request to its body: HMAC-SHA-256 (RFC 2104), under a key of its app, of the request's id,
/// a space, and [`body_digest`] in hexadecimal digits. The id is in it so that records of equal bodies do not look alike.
///
/// Whoever has the key can try bodies that may be guessed; without it, and after it was destroyed, the reference says nothing.
pub fn reference(key: &ReferenceKey, request: RequestId, body: &Digest) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{request} {body}").as_bytes());
    Digest(mac.finalize().into_bytes().into())
}

/// The keys of all apps.
pub(crate) struct References(PathBuf);

impl References {
    /// Those of a data directory.
    pub(crate) fn of(data: &Path) -> Self {
        Self(data.join(FOLDER))
    }

    /// Where the keys of an app lie.
    pub(crate) fn folder(&self, app: &AppName) -> PathBuf {
        self.0.join(format!("{app}{OF_APP}"))
    }

    /// The key of a day; one is drawn if there is none. It is not asked for and destroyed at once: the caller sees to that.
    pub(crate) fn key(&self, app: &AppName, day: Day) -> Result<ReferenceKey> {
        let folder = self.folder(app);
        let path = folder.join(format!("{day}{OF_DAY}"));
        if let Some(key) = read(&path)? {
            return Ok(key);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let key = random();
        // Its name, too, and those of the folders that may be new.
        let mut folders = path.ancestors().skip(1).take(3);
        let written = write(&path, &key).and_then(|()| folders.try_for_each(|dir| File::open(dir)?.sync_all()));
        if let Err(error) = written {
            // It is no key yet, and must not be found by the next request.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(key)
    }

    /// Destroys keys of an app: those of days before one, or all. Gives the first day and the last of those that are gone, also
    /// if others could not be destroyed.
    pub(crate) fn destroy(&self, app: &AppName, before: Option<Day>) -> (Option<(Day, Day)>, Result<()>) {
        let mut gone: Option<(Day, Day)> = None;
        let ended = self.shred_each(app, before, |day| gone = Some((gone.map_or(day, |(first, _)| first), day)));
        (gone, ended)
    }

    fn shred_each(&self, app: &AppName, before: Option<Day>, mut gone: impl FnMut(Day)) -> Result<()> {
        let folder = self.folder(app);
        let days = days_in(&folder)?;
        for day in days.into_iter().filter(|day| before.is_none_or(|before| *day < before)) {
            shred(&folder.join(format!("{day}{OF_DAY}")))?;
            gone(day);
        }
        if folder.exists() {
            File::open(&folder)?.sync_all()?;
            // It stays if there are keys in it.
            let _ = std::fs::remove_dir(&folder);
        }
        Ok(())
    }

    /// Whether an app has a key of a day or of one after it.
    pub(crate) fn has_since(&self, app: &AppName, day: Day) -> Result<bool> {
        Ok(days_in(&self.folder(app))?.last().is_some_and(|last| *last >= day))
    }

    /// The apps that have keys, whether they are still there or not.
    pub(crate) fn apps(&self) -> Result<Vec<AppName>> {
        Ok(names_in(&self.0, OF_APP)?.iter().filter_map(|name| AppName::parse(name).ok()).collect())
    }
}

/// Where the keys of an app's references lie, in a data directory.
pub fn reference_folder(data: &Path, app: &AppName) -> PathBuf {
    References::of(data).folder(app)
}

/// The keys in such a folder, or in one with some of its files.
///
/// # Errors
/// It cannot be read.
pub fn reference_keys(folder: &Path) -> Result<BTreeMap<Day, ReferenceKey>> {
    let mut keys = BTreeMap::new();
    for day in days_in(folder)? {
        keys.extend(read(&folder.join(format!("{day}{OF_DAY}")))?.map(|key| (day, key)));
    }
    Ok(keys)
}

/// The days of which there is a key; sorted.
fn days_in(folder: &Path) -> Result<Vec<Day>> {
    let mut days: Vec<Day> = names_in(folder, OF_DAY)?.iter().filter_map(|name| Day::parse(name)).collect();
    days.sort();
    Ok(days)
}

/// What stands before an ending in the names of a folder. One that is not there is empty.
fn names_in(folder: &Path, ending: &str) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    Ok(names.iter().filter_map(|name| Some(name.to_str()?.strip_suffix(ending)?.to_owned())).collect())
}

/// A key in hexadecimal digits, as other programs take it. `None`: there is none, or one whose writing was cut off, with which
/// nothing was made.
fn read(path: &Path) -> Result<Option<ReferenceKey>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let key = HEXLOWER.decode(text.trim_ascii_end()).ok().and_then(|bytes| bytes.try_into().ok());
    if key.is_none() {
        tracing::warn!(path = %path.display(), "this is no key of references; another is drawn if it is of today");
    }
    Ok(key)
}

fn write(path: &Path, key: &ReferenceKey) -> Result<()> {
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    writeln!(file, "{}", HEXLOWER.encode(key))?;
    file.sync_all()
}

/// Writes over a file, as far as its file system does that in place, and removes it. A disk that does not let it be written
/// over does not keep it from being removed.
fn shred(path: &Path) -> Result<()> {
    let over = || -> Result<()> {
        let mut file = File::options().write(true).open(path)?;
        let bytes = file.metadata()?.len();
        file.write_all(&vec![b'0'; usize::try_from(bytes).unwrap_or(0)])?;
        file.sync_all()
    };
    if let Err(error) = over() {
        tracing::warn!(%error, path = %path.display(), "a key of references could not be written over");
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
