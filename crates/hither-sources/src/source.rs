//! What a person types, and what is meant by it. Reading it contacts nobody and looks at no disk.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hither_types::id::ModelName;
use url::Url;

use crate::checksum::{Sha256, Sha256Error};
use crate::limits::SOURCE_LENGTH;
use crate::name::{FileName, NameError, Part};

mod artefact;
mod hub_file;
#[cfg(test)]
mod tests;
mod web_file;

pub use artefact::{Artefact, Reference};
pub use hub_file::HubFile;
pub use web_file::WebFile;
pub(crate) use web_file::{is_allowed, place_of};

/// Where a model is.
///
/// As text: a path or `file:///path`; `https://host/path/file`; `hf:org/repo/file@revision`;
/// `oci://registry/repository:tag#file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or a directory of this machine. Which of them, the disk says when it is fetched.
    Local(PathBuf),
    /// A file of a web server.
    Web(WebFile),
    /// A file of a repository of the Hugging Face Hub, or of a server that speaks like it.
    Hub(HubFile),
    /// An artefact of an OCI registry.
    Registry(Artefact),
}

/// Why a text is no source. Each message says what to type instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Nothing was typed.
    #[error("no source was given; type a path, https://HOST/FILE, hf:ORG/REPO/FILE or oci://REGISTRY/REPOSITORY:TAG")]
    Empty,
    /// It is too long.
    #[error("a source has at most {SOURCE_LENGTH} bytes, this one has {0}")]
    Long(usize),
    /// Something in it is not seen.
    #[error("the source has a line break, or another character that is not seen; type it anew")]
    Unseen,
    /// It begins like an address that nobody here speaks.
    #[error(
        "sources that begin with {0}: are not known; type a path (./ before it if its name has a colon), \
         https://HOST/FILE, hf:ORG/REPO/FILE or oci://REGISTRY/REPOSITORY:TAG"
    )]
    Scheme(String),
    /// It is no address.
    #[error("this is not an address such as https://models.example/chat.gguf: {0}")]
    Address(String),
    /// It would cross a network in the clear.
    #[error("plain http is for this machine alone, whoever is between could change the file; type https://{0}")]
    Plain(String),
    /// It has a password in it.
    #[error(
        "an address with a user or a password in it ends up in histories and logs; leave out what stands before the @"
    )]
    Credentials,
    /// The address ends in no file.
    #[error("the address names no file; type it to its end, such as https://models.example/chat.gguf")]
    NoFile,
    /// A part of a page.
    #[error("an address with a # is of a place in a page; leave out the # and what follows")]
    Fragment,
    /// The page of a file at the hub.
    #[error("this is the page about a file, not the file; type {0}")]
    Page(String),
    /// A name at the hub is incomplete or wrong.
    #[error("{0}; type hf:ORG/REPO/FILE or hf:ORG/REPO/FILE@REVISION, such as hf:org/repo/model-q4_k_m.gguf@main")]
    Hub(String),
    /// A name of an artefact is incomplete or wrong.
    #[error("{0}; type oci://REGISTRY/REPOSITORY:TAG, with #FILE behind it to choose one of several files")]
    Registry(String),
    /// A name cannot be a file's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A digest is wrong.
    #[error("the digest behind the @ cannot be read: {0}")]
    Digest(#[from] Sha256Error),
}

impl Source {
    /// The same source, its path made absolute from a directory. For whoever passes it on to a process that stands elsewhere.
    #[must_use]
    pub fn absolute(self, from: &Path) -> Self {
        match self {
            Self::Local(path) => Self::Local(from.join(path)),
            Self::Web(_) | Self::Hub(_) | Self::Registry(_) => self,
        }
    }

    /// A name for the model, from the name of its file or its repository: in lower case, without what tells the format or the
    /// part. `None`: there is none that a model can have, and a person has to give one.
    pub fn model_name(&self) -> Option<ModelName> {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let name = match self {
            Self::Local(path) => path.file_name()?.to_str()?.to_owned(),
            Self::Web(file) => file.name().to_string(),
            Self::Hub(file) => last(file.path()),
            Self::Registry(artefact) => last(artefact.file().unwrap_or(artefact.repository())),
        };
        let base = Part::of(&name).map_or(name.as_str(), |part| part.base);
        let base = base.strip_suffix(".gguf").or_else(|| base.strip_suffix(".onnx")).unwrap_or(base);
        let spelled: String =
            base.chars().map(|c| if c.is_whitespace() { '-' } else { c.to_ascii_lowercase() }).collect();
        ModelName::parse(&spelled).ok()
    }

    /// A word that is the same for the same source and no other: for the name of a directory in which an interrupted fetch is
    /// found again. Secrets in an address cannot be read off it.
    pub fn key(&self) -> String {
        let mut digits = self.identity("").to_string();
        digits.truncate(32);
        digits
    }

    /// The same for one file of it, in full.
    pub(crate) fn identity(&self, file: &str) -> Sha256 {
        let text = match self {
            Self::Web(web) => web.url().to_string(),
            Self::Local(_) | Self::Hub(_) | Self::Registry(_) => self.to_string(),
        };
        Sha256::of(format!("{text}\n{file}").as_bytes())
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err(SourceError::Empty);
        }
        if text.len() > SOURCE_LENGTH {
            return Err(SourceError::Long(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(SourceError::Unseen);
        }
        let Some((scheme, rest)) = scheme_of(text) else {
            return Ok(Self::Local(PathBuf::from(text)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "https" | "http" => WebFile::parse(text).map(Self::Web),
            "hf" => HubFile::parse(rest).map(Self::Hub),
            "oci" => Artefact::parse(rest).map(Self::Registry),
            "file" => local(text),
            _ => Err(SourceError::Scheme(scheme.to_owned())),
        }
    }
}

/// The part before the first colon, if it reads like the scheme of an address (RFC 3986, 3.1) of two letters or more.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() >= 2
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then_some((scheme, rest))
}

fn local(text: &str) -> Result<Source, SourceError> {
    let elsewhere =
        || SourceError::Address("a file: address has three slashes and a whole path, file:///srv/chat.gguf".to_owned());
    if !text.get(5..).is_some_and(|rest| rest.starts_with("//")) {
        return Err(elsewhere());
    }
    let url = Url::parse(text).map_err(|error| SourceError::Address(error.to_string()))?;
    let path = url.to_file_path().map_err(|()| elsewhere())?;
    if path.to_str().is_none() {
        return Err(SourceError::Address("the path is not UTF-8".to_owned()));
    }
    // A null byte written as %00 would end the path early for whoever opens it.
    if path.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_control) {
        return Err(SourceError::Unseen);
    }
    Ok(Source::Local(path))
}

impl fmt::Display for Source {
    /// As it would be typed; what stands behind a `?` is left out, for it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => match path.to_str() {
                // What reads like the beginning of an address is told apart by the dot.
                Some(text) if scheme_of(text).is_some() => write!(f, "./{text}"),
                Some(_) | None => write!(f, "{}", path.display()),
            },
            Self::Web(file) => file.fmt(f),
            Self::Hub(file) => file.fmt(f),
            Self::Registry(artefact) => artefact.fmt(f),
        }
    }
}

/// The name of a file at the end of a path with slashes, and that no component of it climbs.
fn checked_path(path: &str) -> Result<FileName, NameError> {
    for component in path.split('/') {
        if component.is_empty() || component == "." || component == ".." {
            FileName::last_of(component)?;
        }
    }
    FileName::last_of(path)
}
