//! The apps of this node: a file of names, limits and hashes of keys, and what is in force because of it.
//!
//! What must stay true: a change is on disk before it is in force; a file that cannot be read lets nobody in; no key is
//! ever written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use hither_api::callers::{ANONYMOUS, Access, AppEntry, Callers, Change, Key, KeyId, KeyMark, Limits};
use hither_api::door::{AppCommand, AppDone, CommandError};
use hither_types::fact::{CANARY, Fact};
use hither_types::id::{AppName, Digest};
use hither_types::label::DataClass;
use hither_types::time::Day;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::config::api::LimitsSection;
use crate::driver::Inbound;
use crate::home::{InitError, random, write_private};
use crate::limits::APPS_MAX;
use crate::references::{ReferenceKey, References};
use crate::trust::wall_now;

#[cfg(test)]
mod tests;

/// The version of the file.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppsFile {
    version: u32,
    #[serde(default)]
    app: Vec<AppForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppForm {
    name: String,
    key_id: String,
    key_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    references: Option<String>,
    #[serde(default)]
    limits: LimitsSection,
}

impl From<&AppEntry> for AppForm {
    fn from(entry: &AppEntry) -> Self {
        Self {
            name: entry.name.to_string(),
            key_id: entry.key.id.to_string(),
            key_hash: HEXLOWER.encode(&entry.key.hash),
            uid: entry.uid,
            certificate: entry.certificate.clone(),
            subject: entry.subject.clone(),
            references: entry.references.map(|class| class.to_string()),
            limits: LimitsSection::from(&entry.limits),
        }
    }
}

impl AppForm {
    fn read(self) -> Result<AppEntry, String> {
        let name = AppName::parse(&self.name).map_err(|error| error.to_string())?;
        let of = |what: String| format!("app {name}: {what}");
        let id = KeyId::parse(&self.key_id).ok_or_else(|| of("key_id is eight hexadecimal digits".to_owned()))?;
        let hash = HEXLOWER.decode(self.key_hash.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let hash = hash.ok_or_else(|| of("key_hash is 64 hexadecimal digits".to_owned()))?;
        let references = self.references.map(|class| DataClass::parse(&class)).transpose();
        let references = references.map_err(|error| of(format!("references: {error}")))?;
        let limits = self.limits.read().map_err(|error| of(crate::config::api::told(&error)))?;
        let entry = AppEntry::new(name, KeyMark { id, hash }, limits);
        Ok(AppEntry { uid: self.uid, certificate: self.certificate, subject: self.subject, references, ..entry })
    }
}

/// The apps, on disk and in force.
pub(crate) struct Apps {
    path: PathBuf,
    callers: Arc<Callers>,
    references: References,
    entries: Mutex<Vec<AppEntry>>,
    inbox: mpsc::Sender<Inbound>,
    /// What operators were told of apps whose keys of references cannot be had.
    told: Mutex<BTreeMap<AppName, String>>,
}

impl Apps {
    /// Reads the file, if there is one, and puts it in force.
    pub(crate) fn open(
        data: &Path,
        node: &SigningKey,
        access: Access,
        inbox: mpsc::Sender<Inbound>,
    ) -> Result<Self, InitError> {
        let path = data.join("apps.toml");
        let entries = read(&path)?;
        // Of the node's own key: hashes that somebody copies are worth nothing without it, and nothing elsewhere.
        let hash_key = blake3::derive_key("hither api keys 1", node.as_bytes());
        let callers = Arc::new(Callers::new(access, hash_key, rustix::process::geteuid().as_raw()));
        callers.replace(&entries);
        let references = References::of(data);
        Ok(Self { path, callers, references, inbox, told: Mutex::default(), entries: Mutex::new(entries) })
    }

    /// Who may call.
    pub(crate) fn callers(&self) -> Arc<Callers> {
        Arc::clone(&self.callers)
    }

    /// Carries out what an operator asks. Waits for the disk.
    pub(crate) fn change(&self, command: AppCommand) -> Result<AppDone, CommandError> {
        let mut entries = self.lock();
        let mut changed = entries.clone();
        let goes = match &command {
            AppCommand::Remove(name) | AppCommand::Shred(name) => Some(name.clone()),
            AppCommand::Add { .. } | AppCommand::Limit { .. } | AppCommand::Rotate(_) => None,
        };
        let done = self.apply(&mut changed, command)?;
        if let Some(name) = goes {
            // Before the app goes: what fails can be typed again.
            self.destroy_references(&name, None, None).map_err(|error| CommandError {
                code: "E0168",
                message: format!(
                    "{name} stays, for keys of its references are not destroyed: {}: {error}",
                    self.references.folder(&name).display()
                ),
                help: "df -h; then type it again".into(),
            })?;
        }
        write(&self.path, &changed).map_err(|error| CommandError {
            code: "E0165",
            message: format!("the apps stay as they were: {} cannot be written: {error}", self.path.display()),
            help: "df -h".into(),
        })?;
        self.callers.replace(&changed);
        *entries = changed;
        if done.entry.references.is_none() || !entries.iter().any(|entry| entry.name == done.entry.name) {
            self.tell(&done.entry.name, None);
        }
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<AppEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of today by which records of an app refer to what it asked. Waits for the disk. `None`: it has none, or is no app any
    /// more, or the key cannot be had, of which an operator is told.
    pub(crate) fn reference_key(&self, app: &AppName) -> Option<ReferenceKey> {
        // As long as the key is drawn nobody removes the app, or the key would outlive it.
        let entries = self.lock();
        entries.iter().find(|entry| entry.name == *app)?.references?;
        let key = self.references.key(app, wall_now().day());
        drop(entries);
        self.tell(app, key.as_ref().err());
        key.ok()
    }

    /// Destroys the keys of references that are of days before one, by the retention of a policy, and those of apps that are gone.
    /// What fails is tried again the next day. `is_first`: the clock may be years ahead as long as nobody has set it, so an app whose
    /// keys all seem old keeps them until the next look.
    pub(crate) fn expire_references(&self, oldest: Day, policy: Digest, is_first: bool) {
        let apps = self.references.apps().unwrap_or_else(|error| {
            tracing::warn!(%error, "old keys of references cannot be looked for");
            Vec::new()
        });
        for app in apps {
            let entries = self.lock();
            let expired = match entries.iter().any(|entry| entry.name == app) {
                // The file of the apps may have been lost, and be there again with the next start.
                false if is_first => Ok(()),
                false => self.destroy_references(&app, None, None),
                true if is_first && !self.references.has_since(&app, oldest).unwrap_or(false) => Ok(()),
                true => self.destroy_references(&app, Some(oldest), Some(policy)),
            };
            if let Err(error) = expired {
                tracing::warn!(%app, %error, "old keys of references are not destroyed yet");
            }
        }
    }

    fn destroy_references(&self, app: &AppName, before: Option<Day>, policy: Option<Digest>) -> std::io::Result<()> {
        let (gone, ended) = self.references.destroy(app, before);
        if let Some((first, last)) = gone {
            let fact = Fact::ReferencesDestroyed { app: app.clone(), first, last, policy };
            // A node that stops hears nothing any more; the keys are gone all the same.
            let _ = self.inbox.blocking_send(Inbound::Note(fact));
        }
        ended
    }

    /// Says once that the key of an app cannot be had, and once that it is over.
    fn tell(&self, app: &AppName, error: Option<&std::io::Error>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let text = error.map(|error| {
            let folder = self.references.folder(app);
            format!(
                "requests of app {app} get no reference on their records, for its key cannot be had ({}: {error}). df -h, or: hither \
                 apps limit {app} --references none",
                folder.display()
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

    fn apply(&self, entries: &mut Vec<AppEntry>, command: AppCommand) -> Result<AppDone, CommandError> {
        match command {
            AppCommand::Add { name, change } => self.add(entries, name, change),
            AppCommand::Limit { name, change } => {
                let at = find(entries, &name)?;
                change.apply(&mut entries[at]);
                single(entries, &entries[at])?;
                Ok(AppDone { entry: entries[at].clone(), key: None })
            }
            AppCommand::Rotate(name) => {
                let at = find(entries, &name)?;
                let key = new_key(entries);
                entries[at].key = self.callers.mark(&key);
                Ok(AppDone { entry: entries[at].clone(), key: Some(key) })
            }
            AppCommand::Shred(name) => {
                let at = find(entries, &name)?;
                Ok(AppDone { entry: entries[at].clone(), key: None })
            }
            AppCommand::Remove(name) => {
                let at = find(entries, &name)?;
                Ok(AppDone { entry: entries.remove(at), key: None })
            }
        }
    }

    fn add(&self, entries: &mut Vec<AppEntry>, name: AppName, change: Change) -> Result<AppDone, CommandError> {
        if name.as_str() == ANONYMOUS {
            return Err(CommandError {
                code: "E0163",
                message: format!("{ANONYMOUS} is the name of callers without one"),
                help: "choose another name; [api.anonymous] in hither.toml limits callers without a key".into(),
            });
        }
        if name.as_str() == CANARY {
            return Err(CommandError {
                code: "E0163",
                message: format!("{CANARY} is the app of the request by which a node tests its law every hour"),
                help: "choose another name: what the ledger says of it would be taken for the test".into(),
            });
        }
        if entries.iter().any(|entry| entry.name == name) {
            return Err(CommandError {
                code: "E0160",
                message: format!("there is an app {name} already"),
                help: format!("hither apps rotate {name}  (makes a new key), or hither apps limit {name}"),
            });
        }
        if entries.len() >= APPS_MAX {
            return Err(CommandError {
                code: "E0162",
                message: format!("there are {APPS_MAX} apps already"),
                help: "hither apps rm NAME".into(),
            });
        }
        let key = new_key(entries);
        let mut entry = AppEntry::new(name, self.callers.mark(&key), Limits::default());
        change.apply(&mut entry);
        single(entries, &entry)?;
        entries.push(entry.clone());
        Ok(AppDone { entry, key: Some(key) })
    }
}

fn find(entries: &[AppEntry], name: &AppName) -> Result<usize, CommandError> {
    entries.iter().position(|entry| entry.name == *name).ok_or_else(|| CommandError {
        code: "E0161",
        message: format!("there is no app {name}"),
        help: "hither apps ls".into(),
    })
}

/// A user is one app, and so is a name in certificates and a value in tokens, or nobody could tell which one calls.
fn single(entries: &[AppEntry], changed: &AppEntry) -> Result<(), CommandError> {
    for other in entries.iter().filter(|other| other.name != changed.name) {
        let (name, taken) = (&other.name, |one: &Option<String>, other| one.is_some() && one == other);
        let (code, link, what) = if changed.uid.is_some() && changed.uid == other.uid {
            ("E0164", "uid", "the user")
        } else if taken(&changed.certificate, &other.certificate) {
            ("E0167", "certificate", "who shows a certificate of this name")
        } else if taken(&changed.subject, &other.subject) {
            ("E0167", "subject", "who sends a token of this subject")
        } else {
            continue;
        };
        return Err(CommandError {
            code,
            message: format!("{what} is app {name} already"),
            help: format!("hither apps limit {name} --unlink {link}, or choose another"),
        });
    }
    Ok(())
}

fn new_key(entries: &[AppEntry]) -> Key {
    loop {
        let id = KeyId(u32::from_be_bytes(random()));
        if entries.iter().all(|entry| entry.key.id != id) {
            return Key::new(id, random());
        }
    }
}

fn read(path: &Path) -> Result<Vec<AppEntry>, InitError> {
    let damaged = |text: String| InitError::Damaged { path: path.to_owned(), text };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(InitError::Io { path: path.to_owned(), source }),
    };
    let file: AppsFile = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if file.version != VERSION {
        return Err(damaged(format!("it has version {}, and this program reads {VERSION}", file.version)));
    }
    let entries: Vec<AppEntry> =
        file.app.into_iter().map(AppForm::read).collect::<Result<_, String>>().map_err(damaged)?;
    let (mut names, mut ids, mut uids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut certificates, mut subjects) = (BTreeSet::new(), BTreeSet::new());
    for entry in &entries {
        let is_new = names.insert(&entry.name)
            && ids.insert(entry.key.id)
            && entry.uid.is_none_or(|uid| uids.insert(uid))
            && entry.certificate.as_ref().is_none_or(|name| certificates.insert(name))
            && entry.subject.as_ref().is_none_or(|value| subjects.insert(value))
            && entry.name.as_str() != ANONYMOUS;
        if !is_new {
            return Err(damaged(format!(
                "app {} has a name, a key, a user, a certificate or a subject that is another's",
                entry.name
            )));
        }
    }
    Ok(entries)
}

fn write(path: &Path, entries: &[AppEntry]) -> std::io::Result<()> {
    let file = AppsFile { version: VERSION, app: entries.iter().map(AppForm::from).collect() };
    let text = toml::to_string(&file).map_err(std::io::Error::other)?;
    write_private(path, text.as_bytes())
}
