//! `hf:org/repo/file@revision`: a file of a repository of the hub.

use std::fmt;

use super::{SourceError, checked_path};
use crate::name::{FileName, Part};

/// A file of a repository of the Hugging Face Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    organisation: String,
    repository: String,
    path: String,
    revision: Option<String>,
}

impl HubFile {
    /// Reads what stands behind `hf:`. Two slashes after it do no harm.
    pub(super) fn parse(text: &str) -> Result<Self, SourceError> {
        let text = text.strip_prefix("//").unwrap_or(text);
        let wrong = |why: String| SourceError::Hub(why);
        let mut parts = text.splitn(3, '/');
        let (organisation, repository) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if repository.contains('@') {
            return Err(wrong("the revision stands behind the file, not behind the repository".to_owned()));
        }
        for word in [organisation, repository] {
            if !is_word(word) {
                return Err(wrong(format!("{word:?} is not the name of an organisation or a repository")));
            }
        }
        let rest = parts.next().filter(|rest| !rest.is_empty()).ok_or_else(|| {
            wrong(format!(
                "the file is missing (https://huggingface.co/{organisation}/{repository}/tree/main lists those of the hub)"
            ))
        })?;
        let (path, revision) = match rest.rsplit_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (rest, None),
        };
        if let Some(revision) = revision
            && !revision.split('/').all(is_word)
        {
            return Err(wrong(format!("{revision:?} is not a branch, a tag or a commit")));
        }
        checked_path(path)?;
        Ok(Self {
            organisation: organisation.to_owned(),
            repository: repository.to_owned(),
            path: path.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// The organisation and the repository.
    pub(crate) fn repository(&self) -> (&str, &str) {
        (&self.organisation, &self.repository)
    }

    /// The file's path in the repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The branch, tag or commit. Without one it is `main`.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The path of a file in the same folder.
    pub(crate) fn sibling(&self, name: &FileName) -> String {
        self.path.rsplit_once('/').map_or_else(|| name.to_string(), |(folder, _)| format!("{folder}/{name}"))
    }

    /// The paths of the file with all its parts, if it is one of a split model.
    pub(crate) fn parts(&self) -> Vec<String> {
        Part::of(&self.path).map_or_else(|| vec![self.path.clone()], |part| part.all().collect())
    }
}

/// What the hub takes for names, and git for components of a branch: no climbing, nothing to encode.
fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 128
        && !word.starts_with(['.', '-'])
        && !word.contains("..")
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}/{}", self.organisation, self.repository, self.path)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            // The last @ is the revision's; a file that has one in its name keeps it.
            None if self.path.contains('@') => f.write_str("@main"),
            None => Ok(()),
        }
    }
}
