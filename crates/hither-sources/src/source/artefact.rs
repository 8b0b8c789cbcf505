//! `oci://registry/repository:tag#file`: an artefact of a registry.

use std::fmt;

use url::Url;

use super::{SourceError, checked_path, is_allowed};
use crate::checksum::Sha256;

/// An artefact of an OCI registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    registry: String,
    repository: String,
    reference: Reference,
    file: Option<String>,
}

/// Which version of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The one that the registry calls so at the moment.
    Tag(String),
    /// The one with this digest, for good.
    Digest(Sha256),
}

impl Artefact {
    /// Reads what stands behind `oci:`.
    pub(super) fn parse(text: &str) -> Result<Self, SourceError> {
        let wrong = |why: &str| SourceError::Registry(why.to_owned());
        let text = text.strip_prefix("//").ok_or_else(|| wrong("two slashes are missing behind oci:"))?;
        let (text, file) = match text.split_once('#') {
            Some((text, file)) => (text, Some(file)),
            None => (text, None),
        };
        let (registry, rest) = text.split_once('/').ok_or_else(|| wrong("the repository is missing"))?;
        if registry.contains('@') {
            return Err(SourceError::Credentials);
        }
        if !(registry.contains(['.', ':']) || registry == "localhost") {
            return Err(SourceError::Registry(format!(
                "{registry:?} is not the address of a registry, which has a dot in it"
            )));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) if digest.starts_with("sha256:") => (rest, Some(digest.parse()?)),
            Some(_) => return Err(wrong("behind the @ stands a digest, sha256:…")),
            None => (rest, None),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if !repository.split('/').all(is_component) || repository.len() > 255 {
            return Err(SourceError::Registry(format!("{repository:?} is not the name of a repository")));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(SourceError::Registry(format!("{tag:?} is not a tag")));
        }
        if let Some(file) = file {
            checked_path(file)?;
        }
        let reference = digest.map_or_else(|| Reference::Tag(tag.unwrap_or("latest").to_owned()), Reference::Digest);
        let (registry, repository) = (registry.to_ascii_lowercase(), repository.to_owned());
        let artefact = Self { registry, repository, reference, file: file.map(str::to_owned) };
        // The address is tried here, so that nothing behind has to doubt it.
        let address = artefact.try_base().filter(|url| is_allowed(url) && url.path() == "/v2/");
        address.ok_or_else(|| {
            SourceError::Registry(format!("{:?} is not the address of a registry", artefact.registry))
        })?;
        Ok(artefact)
    }

    fn try_base(&self) -> Option<Url> {
        // What Docker calls docker.io lives elsewhere; everybody types it so.
        let host = if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry };
        let plain = Url::parse(&format!("http://{host}/v2/")).ok()?;
        // A registry of this very machine speaks plain http, as it does to every other client.
        if is_allowed(&plain) { Some(plain) } else { Url::parse(&format!("https://{host}/v2/")).ok() }
    }

    /// The address below which the registry answers.
    pub(crate) fn base(&self) -> Url {
        self.try_base().expect("it was tried when it was read")
    }

    /// The registry, with its port if it has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The repository as the registry wants it: Docker's own are below `library/`.
    pub(crate) fn full_repository(&self) -> String {
        let is_short = self.registry == "docker.io" && !self.repository.contains('/');
        if is_short { format!("library/{}", self.repository) } else { self.repository.clone() }
    }

    /// The version.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The file, if one of several was chosen.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

/// A component of a repository's name: as the distribution specification has it, and with capitals, which some hubs take.
fn is_component(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.ends_with(|c: char| c.is_ascii_alphanumeric())
        && !word.contains("..")
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A tag, as the distribution specification has it.
fn is_tag(word: &str) -> bool {
    word.len() <= 128
        && word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "sha256:{digest}"),
        }
    }
}

impl fmt::Display for Artefact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        write!(f, "oci://{}/{}{sign}{}", self.registry, self.repository, self.reference)?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, "#{file}"))
    }
}
