//! Whether files are those that were signed.
//!
//! What must stay true: a folder is as it was signed only if everything that is listed is there, and nothing else but what is
//! left out. A link is followed only if the signer followed links, to a file, and not out of the folder. The path that whoever
//! asks gives is theirs: it is followed wherever it leads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rustix::fs::{Mode, OFlags};

use crate::hash::{HashKind, Hashed, hash};
use crate::statement::{Listed, Statement};
use crate::verify::Signed;
use crate::{limits, path};

/// Why files are not those that were signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Something cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a device, a pipe or a socket.
    #[error("{} is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// Its name is not text.
    #[error("{} has a name that is no text, so it cannot be one that was signed", .0.display())]
    Name(PathBuf),
    /// It is a link, and the signer followed none.
    #[error("{} is a link, and the signature is of a model without links; put the file itself there", .0.display())]
    Link(PathBuf),
    /// It is a link that is never followed.
    #[error("{} is a link that leads to no file of this model; put the file itself there", .0.display())]
    LinkOut(PathBuf),
    /// It is no model any more.
    #[error("{} has more than {} files, or folders {} deep in each other", .0.display(), limits::ENTRIES, limits::DEPTH)]
    Crowded(PathBuf),
    /// Files are not there.
    #[error("what was signed is not there: {}", listed(names))]
    Missing {
        /// Their names.
        names: Vec<String>,
    },
    /// Files are there that nobody signed.
    #[error("what is there was not signed: {}", listed(names))]
    Unsigned {
        /// Their names.
        names: Vec<String>,
    },
    /// It is not one of those that were signed.
    #[error("{} is not among what was signed: {}", path.display(), listed(names))]
    NotListed {
        /// Which.
        path: PathBuf,
        /// What was.
        names: Vec<String>,
    },
    /// It is not what was signed.
    #[error("{} is not the file that was signed: its {} is {got}, and that of the signed one is {expected}",
        path.display(), hash.name())]
    Altered {
        /// Which.
        path: PathBuf,
        /// How it was hashed.
        hash: HashKind,
        /// What was signed.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A folder cannot be one file.
    #[error("the signature is of one file, and {} is a folder; give the path of the file", .0.display())]
    OneFile(PathBuf),
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(limits::LISTED).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(limits::LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What becomes of files in a folder that were not signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unsigned {
    /// The folder is refused.
    #[default]
    Refuse,
    /// They are passed over.
    Permit,
}

/// How a folder is looked at.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Paths within it that do not count, such as that of the bundle. What was signed counts nevertheless.
    pub left_out: Vec<PathBuf>,
    /// What becomes of files that were not signed.
    pub unsigned: Unsigned,
}

/// A file that is the one that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedFile {
    /// Its name in the statement; `.` where that has none for it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its BLAKE3, of the very bytes that were checked.
    pub blake3: [u8; 32],
}

/// Files that are those that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Those that were looked at.
    pub files: Vec<CheckedFile>,
    /// How many more were signed and not looked at, because one file alone was asked about.
    pub others: usize,
}

impl Checked {
    /// The one at a path below the one that was asked about.
    #[must_use]
    pub fn file(&self, path: &Path) -> Option<&CheckedFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl Signed {
    /// Compares files with those that were signed: a folder as a whole, or one file by itself, under its own name if several
    /// were signed.
    ///
    /// # Errors
    /// If anything differs.
    pub fn check(&self, path: &Path, rules: &Rules) -> Result<Checked, ContentError> {
        let unreadable = |source| ContentError::Unreadable { path: path.to_owned(), source };
        let there = std::fs::metadata(path).map_err(unreadable)?;
        if there.is_dir() {
            return self.check_folder(path, rules);
        }
        if !there.is_file() {
            return Err(ContentError::Special(path.to_owned()));
        }
        self.check_file(path)
    }

    fn check_file(&self, path: &Path) -> Result<Checked, ContentError> {
        let files = &self.statement.files;
        let name = path.file_name().and_then(|name| name.to_str());
        let candidates: Vec<(&String, &Listed)> =
            files.iter().filter(|(listed, _)| files.len() == 1 || name == Some(path::last(listed))).collect();
        let parts_max = candidates.iter().map(|(_, listed)| listed.parts.len()).max();
        let Some(parts_max) = parts_max else {
            let names = files.keys().cloned().collect();
            return Err(ContentError::NotListed { path: path.to_owned(), names });
        };
        let file = File::open(path).map_err(|source| ContentError::Unreadable { path: path.to_owned(), source })?;
        let hashed = self.statement.hashed(path, file, parts_max)?;
        let mut fault = None;
        for (name, listed) in candidates {
            match listed.compared(path, &hashed, self.statement.hash) {
                Ok(()) => {
                    let (name, path) = (name.clone(), path.to_owned());
                    let file = CheckedFile { name, path, size: hashed.size, blake3: hashed.blake3 };
                    return Ok(Checked { files: vec![file], others: files.len() - 1 });
                }
                Err(error) => fault.get_or_insert(error),
            };
        }
        Err(fault.expect("there is a candidate, and it differed"))
    }

    fn check_folder(&self, root: &Path, rules: &Rules) -> Result<Checked, ContentError> {
        let statement = &self.statement;
        if statement.files.contains_key(path::WHOLE) {
            return Err(ContentError::OneFile(root.to_owned()));
        }
        let found = Walk::of(root, statement, rules)?;
        let missing: Vec<String> =
            statement.files.keys().filter(|name| !found.signed.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            return Err(ContentError::Missing { names: missing });
        }
        if !found.unsigned.is_empty() {
            return Err(ContentError::Unsigned { names: found.unsigned });
        }
        let mut files = Vec::with_capacity(statement.files.len());
        for (name, listed) in &statement.files {
            let path = root.join(name);
            let file =
                open(&found.signed[name]).map_err(|source| ContentError::Unreadable { path: path.clone(), source })?;
            let hashed = statement.hashed(&path, file, listed.parts.len())?;
            listed.compared(&path, &hashed, statement.hash)?;
            files.push(CheckedFile { name: name.clone(), path, size: hashed.size, blake3: hashed.blake3 });
        }
        Ok(Checked { files, others: 0 })
    }
}

/// Opens a file that was a file when it was looked at: no link since, and nothing that makes whoever opens it wait.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

impl Statement {
    fn hashed(&self, path: &Path, mut file: File, parts_max: usize) -> Result<Hashed, ContentError> {
        let unreadable = |source| ContentError::Unreadable { path: path.to_owned(), source };
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(ContentError::Special(path.to_owned()));
        }
        hash(&mut file, self.hash, self.shard_size, parts_max).map_err(unreadable)
    }

    fn is_above_listed(&self, folder: &str) -> bool {
        let start = format!("{folder}/");
        self.files.range(start.clone()..).next().is_some_and(|(name, _)| name.starts_with(&start))
    }
}

impl Listed {
    fn compared(&self, path: &Path, hashed: &Hashed, hash: HashKind) -> Result<(), ContentError> {
        if self.parts == hashed.parts && self.size.is_none_or(|size| size == hashed.size) {
            return Ok(());
        }
        let places = self.parts.len().max(hashed.parts.len());
        let place = (0..places).find(|place| self.parts.get(*place) != hashed.parts.get(*place)).unwrap_or(0);
        let text = |parts: &[Vec<u8>]| match (parts.get(place), places) {
            (Some(digest), 1) => HEXLOWER.encode(digest),
            (Some(digest), _) => format!("{} (part {})", HEXLOWER.encode(digest), place + 1),
            (None, _) => format!("at its end (part {} is not there)", place + 1),
        };
        let (expected, got) = (text(&self.parts), text(&hashed.parts));
        Err(ContentError::Altered { path: path.to_owned(), hash, expected, got })
    }
}

/// What a folder has.
struct Walk {
    /// Where each file is that was signed, links followed.
    signed: BTreeMap<String, PathBuf>,
    unsigned: Vec<String>,
}

impl Walk {
    fn of(root: &Path, statement: &Statement, rules: &Rules) -> Result<Self, ContentError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            |source| ContentError::Unreadable { path, source }
        };
        let real = std::fs::canonicalize(root).map_err(unreadable(root))?;
        let left_out = names_within(&real, &rules.left_out);
        let mut found = Self { signed: BTreeMap::new(), unsigned: Vec::new() };
        let (mut folders, mut seen) = (vec![(String::new(), 0)], 0);
        while let Some((folder, depth)) = folders.pop() {
            let dir = if folder.is_empty() { root.to_owned() } else { root.join(&folder) };
            for entry in std::fs::read_dir(&dir).map_err(unreadable(&dir))? {
                let entry = entry.map_err(unreadable(&dir))?;
                let path = entry.path();
                seen += 1;
                if seen > limits::ENTRIES || depth > limits::DEPTH {
                    return Err(ContentError::Crowded(root.to_owned()));
                }
                let kind = entry.file_type().map_err(unreadable(&path))?;
                let Ok(name) = entry.file_name().into_string() else {
                    match rules.unsigned {
                        Unsigned::Permit => continue,
                        Unsigned::Refuse => return Err(ContentError::Name(path)),
                    }
                };
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let is_listed = statement.files.contains_key(&name);
                let counts = rules.unsigned == Unsigned::Refuse
                    && !statement.leaves_out(&name)
                    && !left_out.iter().any(|left_out| path::is_at_or_below(&name, left_out));
                if kind.is_dir() {
                    if counts || statement.is_above_listed(&name) {
                        folders.push((name, depth + 1));
                    }
                } else if !is_listed && !counts {
                    // Nobody asks what it is.
                } else if kind.is_symlink() {
                    let target = followed(&real, &path, statement)?;
                    found.add(name, target, is_listed);
                } else if !kind.is_file() {
                    return Err(ContentError::Special(path));
                } else {
                    // Where files are in shards, an empty one has none, and is not listed.
                    let is_nothing = statement.shard_size.is_some()
                        && !is_listed
                        && entry.metadata().map_err(unreadable(&path))?.len() == 0;
                    if !is_nothing {
                        found.add(name, path, is_listed);
                    }
                }
            }
        }
        found.unsigned.sort();
        Ok(found)
    }

    fn add(&mut self, name: String, path: PathBuf, is_listed: bool) {
        if is_listed {
            self.signed.insert(name, path);
        } else {
            self.unsigned.push(name);
        }
    }
}

/// Where a link leads, if it may lead there.
fn followed(root: &Path, link: &Path, statement: &Statement) -> Result<PathBuf, ContentError> {
    if !statement.follows_links {
        return Err(ContentError::Link(link.to_owned()));
    }
    let target = std::fs::canonicalize(link).ok();
    target
        .filter(|target| target.starts_with(root) && target.is_file())
        .ok_or_else(|| ContentError::LinkOut(link.to_owned()))
}

/// The names, within a folder, of those paths that are within it.
fn names_within(root: &Path, paths: &[PathBuf]) -> BTreeSet<String> {
    let within = |path: &PathBuf| {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = std::fs::canonicalize(above).ok()?.join(path.file_name()?);
        let name = real.strip_prefix(root).ok()?.to_str()?.to_owned();
        (!name.is_empty()).then_some(name)
    };
    paths.iter().filter_map(within).collect()
}
