//! From a source to a file on this disk.

use std::fmt;
use std::path::{Path, PathBuf};

use hither_types::unit::ByteCount;
use tokio::sync::watch;
use url::Url;

use crate::checksum::Sha256;
use crate::download::{Job, Wanted, download};
use crate::error::FetchError;
use crate::http::Web;
use crate::hub::Hub;
use crate::limits;
use crate::local;
use crate::name::FileName;
use crate::partial::Identity;
use crate::progress::{Meter, Progress};
use crate::registry::Registry;
use crate::secret::{Credential, RegistryLogin, Secret};
use crate::source::{Artefact, HubFile, Source, WebFile, is_allowed};
use crate::space;

/// What a node knows of the places that models come from.
#[derive(Clone)]
pub struct Settings {
    /// Where the hub is: <https://huggingface.co>, or a mirror that speaks like it.
    pub hub: String,
    /// The token for it. It is sent there and nowhere else.
    pub hub_token: Option<Secret>,
    /// Who the node is at registries that want to know.
    pub registries: Vec<RegistryLogin>,
    /// Certificates of authorities that are believed beside those of this machine, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// The most that one file may have.
    pub largest: ByteCount,
}

impl Default for Settings {
    /// The hub at its own address, no token, files of at most 4 TB.
    fn default() -> Self {
        Self {
            hub: "https://huggingface.co".to_owned(),
            hub_token: None,
            registries: Vec::new(),
            authorities: None,
            largest: ByteCount(4_000_000_000_000),
        }
    }
}

impl Settings {
    /// Takes the hub's address and token from `HF_ENDPOINT` and `HF_TOKEN`, as other programs for it do.
    ///
    /// `variable` gives the value of a variable of the environment.
    #[must_use]
    pub fn with_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        if let Some(hub) = set("HF_ENDPOINT") {
            self.hub = hub;
        }
        if let Some(token) = set("HF_TOKEN") {
            self.hub_token = Some(Secret::new(token));
        }
        self
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = if self.hub_token.is_some() { "with a token" } else { "without a token" };
        write!(f, "Settings({token}, {} registries, at most {})", self.registries.len(), self.largest)
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The hub's address is none, or is plain http.
    #[error("the address of the hub has to be one such as https://huggingface.co (HF_ENDPOINT)")]
    Hub,
    /// The hub's token cannot be sent.
    #[error("the token of the hub has characters that no header can carry (HF_TOKEN)")]
    Token,
}

/// What to fetch, and to where.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The source.
    pub source: &'a Source,
    /// The checksum of its file, if a person gave one.
    pub sha256: Option<Sha256>,
    /// The directory for what has to be fetched; it is made if it is not there. One for each source
    /// ([`Source::key`] is a name for it), for an interrupted fetch is gone on with from what lies in it.
    pub into: &'a Path,
}

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// They were there before, and stay when the model is taken into the store.
    Theirs,
    /// They were fetched into the directory of the order, and are of no use once the model is in the store.
    Ours,
}

/// A file that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub size: ByteCount,
    /// Its checksum. `None`: it is a file of this machine, and nobody asked for one.
    pub sha256: Option<Sha256>,
}

/// A model that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file to open.
    pub model: FetchedFile,
    /// Further files, in the same directory: the other parts of a split GGUF model.
    pub others: Vec<FetchedFile>,
    /// Whose they are.
    pub whose: Whose,
    /// The very version: the commit of the hub's repository, or `sha256:` and the digest of the artefact's manifest.
    pub revision: Option<String>,
}

/// Fetches models.
#[derive(Debug)]
pub struct Fetcher {
    web: Web,
    hub: Url,
    hub_credential: Option<Credential>,
    registries: Vec<RegistryLogin>,
    largest: ByteCount,
}

impl Fetcher {
    /// Looks at the settings. Nothing is opened or contacted before something is fetched.
    ///
    /// # Errors
    ///
    /// If the hub's address or token cannot be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let hub = Url::parse(&settings.hub).map_err(|_| SettingsError::Hub)?;
        let is_bare = hub.username().is_empty() && hub.password().is_none() && hub.query().is_none();
        if !is_allowed(&hub) || !is_bare || hub.fragment().is_some() {
            return Err(SettingsError::Hub);
        }
        let credential = |token: &Secret| Credential::bearer(&hub, token).ok_or(SettingsError::Token);
        let hub_credential = settings.hub_token.as_ref().map(credential).transpose()?;
        let web = Web::new(settings.authorities);
        Ok(Self { web, hub, hub_credential, registries: settings.registries, largest: settings.largest })
    }

    /// Fetches a model. Dropping the future ends it; what came so far is kept in the directory, and taken up by the next order
    /// of the same source.
    ///
    /// A split GGUF model is all its parts: they are found by the name of any one of them, everywhere. Which files have data of
    /// an ONNX model, it says itself: see [`Fetcher::beside`].
    ///
    /// # Errors
    ///
    /// If there is no whole file with the right checksum at the end; the message says what to do.
    pub async fn fetch(&self, order: Order<'_>, progress: &watch::Sender<Progress>) -> Result<Fetched, FetchError> {
        let mut meter = Meter::new(progress);
        match order.source {
            Source::Local(path) => local_files(path, order.sha256, &mut meter).await,
            Source::Web(file) => self.web_files(file, order, &mut meter).await,
            Source::Hub(file) => self.hub(file).fetch(&self.job(order.into), order, &mut meter).await,
            Source::Registry(artefact) => {
                let login = self.login(artefact);
                Registry::new(&self.web, artefact, login).fetch(&self.job(order.into), order, &mut meter).await
            }
        }
    }

    /// Fetches files that a model names which was fetched by the same order: from beside it, out of the same directory,
    /// repository and commit, or artefact. None may have more than `largest`, nor all of a web server together.
    ///
    /// The names come out of a file, so nothing is believed of them: each has to be that of a file beside the model. On this
    /// machine none may be a link, for whoever made the model may have made that, too.
    ///
    /// # Errors
    ///
    /// If one of them is no such name, or a file cannot be fetched; and if a checksum was given, for it is of one file.
    pub async fn beside(
        &self,
        order: Order<'_>,
        fetched: &Fetched,
        (names, largest): (&[String], ByteCount),
        progress: &watch::Sender<Progress>,
    ) -> Result<Vec<FetchedFile>, FetchError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        one_checksum(order.sha256, 1 + names.len())?;
        if names.len() > limits::BESIDE {
            return Err(FetchError::BesideTooMany(names.len()));
        }
        let names = names.iter().map(|name| FileName::plain(name)).collect::<Result<Vec<_>, _>>()?;
        let own = fetched.model.path.file_name().and_then(|name| name.to_str());
        if let Some(name) = names.iter().find(|name| Some(name.as_str()) == own) {
            return Err(FetchError::Beside { file: name.to_string(), why: "that is the model itself" });
        }
        let (mut meter, revision) = (Meter::new(progress), fetched.revision.as_deref());
        let to = (&Job { largest: largest.0.min(self.largest.0), ..self.job(order.into) }, order);
        match order.source {
            Source::Local(_) => {
                let mut files = Vec::new();
                for name in &names {
                    files.push(local::beside(&fetched.model.path, name).await?);
                }
                Ok(files)
            }
            Source::Web(file) => {
                let (mut files, mut left) = (Vec::new(), to.0.largest);
                for name in names {
                    let job = Job { largest: left, ..self.job(order.into) };
                    let came = self.web_file(&file.sibling(name), (&job, order), &mut meter).await?;
                    left = left.saturating_sub(came.size.0);
                    files.push(came);
                }
                Ok(files)
            }
            Source::Hub(file) => self.hub(file).beside(&names, revision, to, &mut meter).await,
            Source::Registry(artefact) => {
                let registry = Registry::new(&self.web, artefact, self.login(artefact));
                registry.beside(&names, revision, to, &mut meter).await
            }
        }
    }

    fn hub<'a>(&'a self, file: &'a HubFile) -> Hub<'a> {
        Hub { web: &self.web, endpoint: &self.hub, credential: self.hub_credential.as_ref(), file }
    }

    fn job<'a>(&'a self, dir: &'a Path) -> Job<'a> {
        Job { web: &self.web, dir, largest: self.largest.0 }
    }

    fn login(&self, artefact: &Artefact) -> Option<&RegistryLogin> {
        self.registries.iter().find(|login| login.host.eq_ignore_ascii_case(artefact.registry()))
    }

    async fn web_files(&self, file: &WebFile, order: Order<'_>, meter: &mut Meter<'_>) -> Result<Fetched, FetchError> {
        let parts = file.parts();
        one_checksum(order.sha256, parts.len())?;
        let mut files = Vec::new();
        for part in parts {
            files.push(self.web_file(&part, (&self.job(order.into), order), meter).await?);
        }
        Ok(ours(files, None))
    }

    async fn web_file(
        &self,
        file: &WebFile,
        (job, order): (&Job<'_>, Order<'_>),
        meter: &mut Meter<'_>,
    ) -> Result<FetchedFile, FetchError> {
        let name = file.name();
        let wanted = Wanted {
            url: file.url().clone(),
            name: name.clone(),
            identity: Identity { source: order.source.identity(name.as_str()), sha256: order.sha256 },
            size: None,
            credential: None,
            advice: &|status, _| match status.as_u16() {
                401 | 403 => "it wants to know who asks; fetch the file by other means and give its path".to_owned(),
                404 | 410 => format!("there is no such file as {name}; look at the address again"),
                _ => "look at the address again".to_owned(),
            },
        };
        download(job, &wanted, meter).await
    }
}

async fn local_files(path: &Path, sha256: Option<Sha256>, meter: &mut Meter<'_>) -> Result<Fetched, FetchError> {
    let mut files = local::find(path).await?;
    one_checksum(sha256, files.len())?;
    if let (Some(expected), Some(file)) = (sha256, files.first_mut()) {
        *file = local::hashed(file.path.clone(), meter).await?;
        if let Some(got) = file.sha256.filter(|got| *got != expected) {
            return Err(FetchError::Checksum { file: path.display().to_string(), expected, got });
        }
    }
    let bytes = files.iter().map(|file| file.size.0).sum();
    meter.total(bytes);
    meter.finish(bytes);
    Ok(Fetched { whose: Whose::Theirs, ..ours(files, None) })
}

/// Refuses a checksum for several files: it could only be of one, and nobody said of which.
pub(crate) fn one_checksum(sha256: Option<Sha256>, files: usize) -> Result<(), FetchError> {
    if sha256.is_some() && files > 1 { Err(FetchError::ChecksumOfSeveral(files)) } else { Ok(()) }
}

/// Refuses files that do not fit on the disk together, before the first of them comes. Makes the directory.
///
/// # Errors
///
/// If there is not so much room, beside a reserve, or the directory cannot be made.
pub async fn make_room(dir: &Path, bytes: u64) -> Result<(), FetchError> {
    tokio::fs::create_dir_all(dir).await.map_err(|error| FetchError::disk(dir, error))?;
    space::check(dir, bytes)
}

/// What was fetched; the first file is the one to open.
pub(crate) fn ours(files: Vec<FetchedFile>, revision: Option<String>) -> Fetched {
    let mut files = files.into_iter();
    let model = files.next().expect("a model has a file");
    Fetched { model, others: files.collect(), whose: Whose::Ours, revision }
}
