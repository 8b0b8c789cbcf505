//! Names of files that somebody else chose: one component of a path, and nothing that a file system takes for more.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::limits::{NAME_LENGTH, PARTS};

/// A name that is safe to join to a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileName(String);

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot be a file's name here: {why}")]
pub struct NameError {
    name: String,
    why: &'static str,
}

impl FileName {
    /// The last component of a path with slashes.
    pub(crate) fn last_of(path: &str) -> Result<Self, NameError> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let wrong = |why| NameError { name: name.chars().take(NAME_LENGTH).collect(), why };
        if name.is_empty() {
            return Err(wrong("it is empty"));
        }
        if name.len() > NAME_LENGTH {
            return Err(wrong("it is too long"));
        }
        if name.starts_with('.') {
            return Err(wrong("it begins with a dot"));
        }
        if name.chars().any(|c| c.is_control() || matches!(c, '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        {
            return Err(wrong("it has characters that are not seen"));
        }
        if [".part", ".note", ".note.new"].iter().any(|ending| name.ends_with(ending)) {
            return Err(wrong("such names are for files in work"));
        }
        Ok(Self(name.to_owned()))
    }

    /// A name that is one component by itself.
    pub(crate) fn plain(name: &str) -> Result<Self, NameError> {
        if name.contains('/') {
            let shown = name.chars().take(NAME_LENGTH).collect();
            return Err(NameError { name: shown, why: "it leads to another directory" });
        }
        Self::last_of(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn in_dir(&self, dir: &Path) -> PathBuf {
        dir.join(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of a split GGUF model, as `llama-gguf-split` names them: `NAME-00002-of-00003.gguf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// What stands before the numbers, with the path.
    pub(crate) base: &'a str,
    /// How many parts there are.
    pub(crate) count: u32,
}

impl<'a> Part<'a> {
    /// Reads a name. `None`: it is no part, or of more parts than any model has.
    pub(crate) fn of(name: &'a str) -> Option<Self> {
        let (base, numbers) = name.strip_suffix(".gguf")?.rsplit_once("-of-").and_then(|(front, count)| {
            let (base, number) = front.rsplit_once('-')?;
            Some((base, (number, count)))
        })?;
        let read = |digits: &str| -> Option<u32> {
            (digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
        };
        let (number, count) = (read(numbers.0)?, read(numbers.1)?);
        let is_sound = !base.is_empty() && (1..=count).contains(&number) && (2..=PARTS).contains(&count);
        is_sound.then_some(Self { base, count })
    }

    /// The names of all parts, the first one first. It is the one that is opened.
    pub(crate) fn all(self) -> impl Iterator<Item = String> + 'a {
        (1..=self.count).map(move |number| format!("{}-{number:05}-of-{:05}.gguf", self.base, self.count))
    }
}
