//! Models on this disk and in the catalog: adding, fetching, loading.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use hither_api::door::{AddModel, CommandDone, CommandError};
use hither_core::Event;
use hither_swarm::{FetchError, Swarm};
use hither_types::fact::Fact;
use hither_types::id::{Digest, ModelName, NodeId};
use hither_types::member::Signed;
use hither_types::message::PeerMessage;
use hither_types::model::{Device, DeviceChoice, Golden, Manifest, ModelFormat};
use hither_types::unit::ByteCount;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::NodeConfig;
use crate::config::model::ModelConfig;
use crate::courses::{CourseAsk, CourseEnd, Courses, Fetch, Meeting};
use crate::driver::{CommandReply, Driver, Inbound};
use crate::limits::{BEAT, CATALOG_MAX};
use crate::mesh::pages;
use crate::proof::{self, Unproven};
use crate::trust::{self, wall_after, wall_now};
use crate::workers::{DIED, Worker};

mod publish;
mod remove;

/// The catalog on disk, and which of its models are here.
pub(crate) struct Shelf {
    path: PathBuf,
    entries: BTreeMap<Digest, (Signed, Manifest)>,
    here: BTreeSet<Digest>,
    loading: BTreeSet<Digest>,
}

impl Shelf {
    /// Reads the catalog. Entries whose signature does not fit are left out, with a warning.
    pub(crate) fn open(path: PathBuf, here: impl IntoIterator<Item = Digest>) -> Self {
        let mut shelf =
            Self { path, entries: BTreeMap::new(), here: here.into_iter().collect(), loading: BTreeSet::new() };
        let pages = crate::home::read_messages(&shelf.path).unwrap_or_else(|error| {
            tracing::warn!(path = %shelf.path.display(), error, "the catalog on disk is damaged; peers tell it anew");
            Vec::new()
        });
        let signed = pages.into_iter().flat_map(|page| match page {
            PeerMessage::Catalog(signed) => signed,
            _ => Vec::new(),
        });
        for signed in signed {
            match trust::check_manifest(&signed) {
                Ok(manifest) => {
                    shelf.entries.insert(manifest.digest, (signed, manifest));
                }
                Err(error) => tracing::warn!(%error, "an entry of the catalog is not believed"),
            }
        }
        shelf
    }

    /// Adds an entry, or puts it in the place of an older one; of one whose publisher may publish no more, as `may` says, whatever
    /// its revision is. `false` if it is no news, or there is no room.
    pub(crate) fn put(&mut self, signed: Signed, manifest: Manifest, may: impl Fn(NodeId) -> bool) -> bool {
        let taken = match self.entries.get(&manifest.digest) {
            Some((_, known)) => manifest.supersedes(known, may),
            None => !self.is_full(),
        };
        if !taken {
            return false;
        }
        self.entries.insert(manifest.digest, (signed, manifest));
        if let Err(error) = crate::home::write_messages(&self.path, &pages::of_catalog(self.signed())) {
            tracing::warn!(path = %self.path.display(), %error, "the catalog cannot be written");
        }
        true
    }

    /// Whether there is no room for another entry.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= CATALOG_MAX
    }

    /// Whether a model has an entry.
    pub(crate) fn has_entry(&self, digest: Digest) -> bool {
        self.entries.contains_key(&digest)
    }

    /// Whether an entry is here already, as it stands: its signature was checked then.
    pub(crate) fn knows(&self, signed: &Signed) -> bool {
        self.entries.values().any(|(known, _)| known == signed)
    }

    fn signed(&self) -> Vec<Signed> {
        self.published_by(|_| true)
    }

    /// A warning about the models whose publisher may publish no more, as `may` says: new members do not hear of them. One
    /// whose name means another model by now, as `is_meant` says, is past.
    pub(crate) fn orphans(&self, may: impl Fn(NodeId) -> bool, is_meant: impl Fn(&Manifest) -> bool) -> Option<String> {
        let all = self.entries.values().map(|(_, manifest)| manifest);
        let mut orphans = all.filter(|model| !may(model.publisher) && is_meant(model));
        let Manifest { name, publisher, .. } = orphans.next()?;
        let more = match orphans.count() {
            0 => String::new(),
            more => format!(", and so it is with {more} more"),
        };
        Some(format!(
            "orphaned: {name} was published by {}, which is no member any more or may not publish: whoever joins now does not \
             hear of the model{more}. Type at a member that may publish: hither models publish {name}",
            publisher.short()
        ))
    }

    /// The entries of some publishers, as they are told.
    pub(crate) fn published_by(&self, wanted: impl Fn(NodeId) -> bool) -> Vec<Signed> {
        let wanted = self.entries.values().filter(|(_, manifest)| wanted(manifest.publisher));
        wanted.map(|(signed, _)| signed.clone()).collect()
    }

    pub(crate) fn manifests(&self) -> Vec<Manifest> {
        self.entries.values().map(|(_, manifest)| manifest.clone()).collect()
    }

    pub(crate) fn stored(&self) -> Vec<Digest> {
        self.here.iter().filter(|digest| self.entries.contains_key(digest)).copied().collect()
    }

    /// Whether a model's file is here.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.here.contains(&digest)
    }

    pub(crate) fn manifest(&self, digest: Digest) -> Option<&Manifest> {
        self.entries.get(&digest).map(|(_, manifest)| manifest)
    }

    /// What the catalog knows of a model's answers.
    pub(crate) fn golden(&self, digest: Digest) -> Vec<Golden> {
        self.manifest(digest).map_or_else(Vec::new, |manifest| manifest.golden.clone())
    }

    /// What people call a model, or what its digest begins with.
    pub(crate) fn name(&self, digest: Digest) -> String {
        self.manifest(digest).map_or_else(|| digest.short(), |manifest| manifest.name.to_string())
    }

    fn named(&self, name: &ModelName) -> Option<&Manifest> {
        self.entries.values().map(|(_, manifest)| manifest).find(|manifest| manifest.name == *name)
    }
}

impl Driver {
    /// The model that a name means to requests; or that has it, if servers outside the mesh answer those.
    pub(crate) fn named(&self, name: &ModelName) -> Option<&Manifest> {
        let meant = self.core.resolve(name).and_then(|digest| self.shelf.manifest(digest));
        meant.or_else(|| self.shelf.named(name))
    }

    /// Opens a stored model in a worker, unless that is done or under way: a mind that begins anew, after a join, finds
    /// the workers of the one before.
    pub(crate) fn load(&mut self, digest: Digest) {
        if let Some(worker) = self.workers.get(&digest) {
            if worker.is_offered() {
                let ready = self.local_model(digest, worker);
                self.echoes.push_back(Event::ModelReady(ready));
            }
            return;
        }
        let Some(manifest) = self.shelf.manifest(digest) else { return };
        let (format, name) = (manifest.format, manifest.name.clone());
        let settings = self.config.model(&name);
        if !self.shelf.loading.insert(digest) {
            return;
        }
        let (config, swarm, inbox) = (self.config.clone(), self.swarm.clone(), self.inbox.clone());
        self.hands.spawn(async move {
            let inbound = match open(&config, &swarm, digest, (format, settings), inbox.clone()).await {
                Ok((worker, read_loop)) => Inbound::WorkerUp { digest, worker, read_loop: Box::new(read_loop) },
                Err(text) => Inbound::LoadFailed { digest, text: format!("{name} cannot be loaded: {text}") },
            };
            let _ = inbox.send(inbound).await;
        });
    }

    /// A load ended, one way or the other.
    pub(crate) fn load_ended(&mut self, digest: Digest) {
        self.shelf.loading.remove(&digest);
    }

    /// Fetches a model from peers.
    pub(crate) fn fetch(&mut self, manifest: Manifest, providers: Vec<NodeId>) {
        let why = self.core.why(manifest.digest);
        tracing::info!(model = %manifest.name, providers = providers.len(), why, "a model is fetched");
        let (swarm, courses, inbox) = (self.swarm.clone(), self.courses.clone(), self.inbox.clone());
        self.hands.spawn(async move {
            let digest = manifest.digest;
            let (progress, mut seen) = tokio::sync::watch::channel(0_u64);
            let fetch = bring(&swarm, &courses, (digest, manifest.size), providers, progress);
            tokio::pin!(fetch);
            let mut tick = tokio::time::interval(BEAT);
            let fetched = loop {
                tokio::select! {
                    fetched = &mut fetch => break fetched,
                    _ = tick.tick() => {
                        let bytes = ByteCount(*seen.borrow_and_update());
                        let _ = inbox.send(Inbound::Event(Event::FetchProgress { digest, bytes })).await;
                    }
                }
            };
            let inbound = match fetched {
                Ok(from) => Inbound::Fetched { digest, from },
                Err(error) => {
                    Inbound::FetchFailed { digest, text: format!("{} cannot be fetched: {error}", manifest.name) }
                }
            };
            let _ = inbox.send(inbound).await;
        });
    }

    /// Answers what only the mind knows.
    pub(crate) fn asked_on_the_way(&self, ask: CourseAsk) {
        // Whoever asked may have ended meanwhile.
        match ask {
            CourseAsk::Partners { digest, reply } => {
                let _ = reply.send(self.core.partners(digest));
            }
            CourseAsk::Meet { digest, node, reply } => {
                let size = self.shelf.manifest(digest).map(|manifest| manifest.size);
                let met = self.core.partner(digest, node).zip(size);
                let here = self.shelf.here.contains(&digest);
                let _ = reply.send(met.map(|(partner, size)| Meeting { partner, size, here }));
            }
            CourseAsk::MayCopy { digest, to, reply } => {
                let _ = reply.send(self.core.partner(digest, to).is_some_and(|partner| partner.takes));
            }
        }
    }

    /// A fetched model is on this disk, every chunk checked.
    pub(crate) fn fetched(&mut self, digest: Digest, from: Option<NodeId>) {
        self.shelf.here.insert(digest);
        self.unwarn(Some(digest));
        if let Some(manifest) = self.shelf.manifest(digest).cloned() {
            let (model, size) = (manifest.name, manifest.size);
            self.record(None, Fact::ModelAdmitted { model, digest, size, from });
        }
        self.feed(Event::ModelStored(digest));
    }

    pub(crate) fn pull(&mut self, name: &ModelName) -> Result<CommandDone, CommandError> {
        let manifest = self.usable(name)?;
        // One that is here and waits for its next try, or is in quarantine, is loaded at once.
        let digest = manifest.digest;
        self.feed(Event::PullWanted(digest));
        Ok(CommandDone::PullBegun)
    }

    /// A model is to give its memory back; the mind says when.
    pub(crate) fn close(&mut self, name: &ModelName) -> Result<CommandDone, CommandError> {
        let digest = self.named(name).ok_or_else(|| unknown(name))?.digest;
        self.feed(Event::CloseWanted(digest));
        Ok(CommandDone::Done)
    }

    /// Takes a file into the store: copied, hashed, opened once in a worker to see what it is, signed, published.
    pub(crate) fn add_model(&mut self, added: AddModel, reply: CommandReply) {
        let (config, swarm, inbox) = (self.config.clone(), self.swarm.clone(), self.inbox.clone());
        let taken = self.taken(&added.name);
        if taken.is_some()
            && added.valid_for.is_none()
            && let Err(error) = self.usable(&added.name)
        {
            // Whoever asked may have left.
            let _ = reply.send(Err(error));
            return;
        }
        let (publisher, here) = (self.home.me.node, self.shelf.here.clone());
        if self.shelf.is_full() && taken.is_none() {
            let message = format!("the catalog of this mesh has {CATALOG_MAX} models, which is as many as it can have");
            // Whoever asked may have left.
            let _ = reply.send(Err(CommandError { code: "E0436", message, help: String::new() }));
            return;
        }
        self.hands.spawn(async move {
            match describe(&config, &swarm, added, (publisher, &here), inbox.clone()).await {
                Ok(manifest) => {
                    // A closed inbox means that the node is stopping.
                    let _ = inbox.send(Inbound::Added { manifest, reply }).await;
                }
                Err(error) => {
                    // Whoever asked may have left.
                    let _ = reply.send(Err(error));
                }
            }
        });
    }
}

/// There is no such model.
pub(crate) fn unknown(name: &ModelName) -> CommandError {
    CommandError {
        code: "E0401",
        message: format!("no model of this mesh is called {name}"),
        help: "hither models ls".into(),
    }
}

async fn open(
    config: &NodeConfig,
    swarm: &Swarm,
    digest: Digest,
    (format, settings): (ModelFormat, ModelConfig),
    inbox: mpsc::Sender<Inbound>,
) -> Result<(std::sync::Arc<Worker>, crate::workers::ReadLoop), String> {
    let path = swarm.checkout(digest).await.map_err(|error| error.to_string())?;
    let cpu = DeviceChoice::Only(Device::Cpu);
    match Worker::start(config, digest, (format, settings), &path, inbox.clone()).await {
        Err(text)
            if text.starts_with(DIED)
                && format == ModelFormat::Onnx
                && settings.device != Some(cpu)
                && has_providers(config) =>
        {
            let settings = ModelConfig { device: Some(cpu), ..settings };
            let (mut worker, read_loop) = Worker::start(config, digest, (format, settings), &path, inbox).await?;
            if let Some(worker) = std::sync::Arc::get_mut(&mut worker) {
                worker.loaded.fallback = Some(format!("with the execution providers that are here {text}"));
            }
            Ok((worker, read_loop))
        }
        started => started,
    }
}

fn has_providers(config: &NodeConfig) -> bool {
    config.providers.iter().any(|dir| dir.is_dir())
}

async fn describe(
    config: &NodeConfig,
    swarm: &Swarm,
    added: AddModel,
    (publisher, here): (NodeId, &BTreeSet<Digest>),
    inbox: mpsc::Sender<Inbound>,
) -> Result<Manifest, CommandError> {
    let AddModel { path, name, licence, golden, valid_for, signed } = added;
    let path = path.as_path();
    let fault = |code, message: String, help: &str| CommandError { code, message, help: help.to_owned() };
    let unreadable = |error: std::io::Error| {
        fault("E0433", format!("{} cannot be read: {error}", path.display()), "give the path of a model file")
    };
    let format = format_of(path).map_err(unreadable)?;
    let owned = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || sha256(&owned)).await;
    let sha256 = hashed.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(unreadable)?;
    let (digest, size) = swarm.import(path).await.map_err(|error| {
        fault("E0434", format!("{} cannot be taken into the store: {error}", path.display()), "df -h")
    })?;
    // What was here before stays, whatever is wrong with what was said of it now.
    let discard = || async {
        if !here.contains(&digest) {
            let _ = swarm.remove(digest).await;
        }
    };
    if let Some(checked) = signed.as_ref().filter(|signed| signed.digest != digest) {
        discard().await;
        let text = format!(
            "{} changed after its signature was checked: it is b3:{digest}, and b3:{} was signed",
            path.display(),
            checked.digest
        );
        return Err(fault("E0450", text, "add it again from a place where nobody writes"));
    }
    match open(config, swarm, digest, (format, config.model(&name)), inbox).await {
        Ok((worker, read_loop)) => {
            let io = worker.loaded.io.clone();
            let reading = tokio::spawn(read_loop.run());
            let golden = match golden.is_empty() {
                true => Ok(proof::record(&worker).await),
                false => proof::ask_all(&worker, &golden).await.map(|()| golden),
            };
            let memory = worker.memory().unwrap_or_default();
            // Opened to look inside; the mind decides when to load it for good.
            worker.stop();
            // It cannot fail but by a panic, which is logged.
            let _ = reading.await;
            let golden = match golden {
                Ok(golden) => golden,
                Err(unproven) => {
                    discard().await;
                    let text = match unproven {
                        Unproven::Wrong(text) => {
                            format!("the model does not give the answers that came with it: {text}")
                        }
                        Unproven::Gone => "the worker ended while the model was asked".to_owned(),
                    };
                    return Err(fault("E0438", text, "correct the file that --golden names, or leave it away"));
                }
            };
            let expires = valid_for.map(|span| wall_after(wall_now(), span));
            let signed_by = signed.map(|signed| signed.by).unwrap_or_default();
            let revision = 0;
            Ok(Manifest {
                name,
                digest,
                sha256,
                size,
                format,
                licence,
                io,
                memory,
                golden,
                publisher,
                revision,
                expires,
                signed_by,
            })
        }
        Err(text) => {
            // What cannot be opened is not kept.
            discard().await;
            Err(fault("E0435", format!("{} cannot be opened as {}: {text}", path.display(), format.as_str()), ""))
        }
    }
}

/// The format by the first bytes. What is neither GGUF nor the stub's is given to ONNX Runtime, which says no itself.
fn format_of(path: &Path) -> std::io::Result<ModelFormat> {
    let mut start = [0; 11];
    let n = std::fs::File::open(path)?.read(&mut start)?;
    Ok(match &start[..n] {
        b if b.starts_with(b"GGUF") => ModelFormat::Gguf,
        b if b.starts_with(b"hither-stub") => ModelFormat::Stub,
        _ => ModelFormat::Onnx,
    })
}

fn sha256(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().into())
}

/// Brings a file here: from everybody who has some of it, or, where nobody speaks of chunks, as members of earlier releases
/// do not, from its holders. Gives who gave most.
async fn bring(
    swarm: &Swarm,
    courses: &Courses,
    (digest, size): (Digest, ByteCount),
    providers: Vec<NodeId>,
    progress: watch::Sender<u64>,
) -> Result<Option<NodeId>, FetchError> {
    let (done, ended) = oneshot::channel();
    courses.fetch(Fetch { digest, size, progress: progress.clone(), done });
    match ended.await {
        Ok(Ok(from)) => Ok(from),
        Ok(Err(CourseEnd::Here(error))) => Err(error),
        Ok(Err(CourseEnd::Alone)) | Err(_) => {
            let fetched = swarm.fetch(digest, size, providers, progress).await?;
            Ok(fetched.from.iter().max_by_key(|(_, bytes)| *bytes).map(|(node, _)| *node))
        }
    }
}
