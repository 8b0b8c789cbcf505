//! What is signed: a statement (in-toto) with a list of files and their hashes.
//!
//! The order of the list is not checked, though the specification has one: the reference implementation sorts by parts of
//! paths, not by characters. Nothing depends on it but the root digest, which is over the list as it stands.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Number;
use sha2::{Digest as _, Sha256};

use crate::hash::HashKind;
use crate::{limits, path};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";
const PREDICATE_BEFORE: &str = "https://model_signing/Digests/v0.1";

/// Below it, floating-point numbers are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What git keeps at the top of a repository, which is never part of a model.
const LEFT_OUT_ALWAYS: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// Why what is signed is no list of a model's files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// It is no JSON, or not of this form.
    #[error("it is no statement about a model: {0}")]
    Form(String),
    /// It is of another kind.
    #[error("it is a statement of the kind {0:?}, and should be of {STATEMENT}")]
    Kind(String),
    /// It says something else.
    #[error("it says {0:?}, and should say {PREDICATE}")]
    Predicate(String),
    /// It is of the years before version 1.0.
    #[error("it is of version 0.1 ({PREDICATE_BEFORE}), which nobody signs any more; the model has to be signed anew")]
    Old,
    /// It is about nothing, or about several things.
    #[error("it is about {0} models, and should be about one")]
    Subjects(usize),
    /// It lists nothing, or too much.
    #[error("it lists {0} files, and can list 1 to {most}", most = limits::RESOURCES)]
    Files(usize),
    /// It leaves out too much.
    #[error("it leaves out {0} paths, and can leave out {most}", most = limits::LEFT_OUT)]
    LeftOut(usize),
    /// A hash is not known.
    #[error("its files are hashed with {0:?}, and can be with sha256, blake2b or blake3")]
    Hash(String),
    /// One file is hashed in another way than all.
    #[error("its file {name:?} is hashed with {algorithm:?}, and all should be with {expected}")]
    OtherHash {
        /// Which.
        name: String,
        /// How it says that it is hashed.
        algorithm: String,
        /// How all are.
        expected: &'static str,
    },
    /// It is not known how files become hashes.
    #[error("its files are serialized as {0:?}, and can be as files or shards")]
    Method(String),
    /// The size of shards is missing, or there where it means nothing.
    #[error("its shard_size does not go with its method")]
    ShardSize,
    /// A digest is none.
    #[error("the digest of {0:?} is not one of its hash")]
    Digest(String),
    /// A name leads out of the model, or is not in the one form.
    #[error("the name {0:?} is no path within a model")]
    Name(String),
    /// A name is there twice.
    #[error("the name {0:?} is there twice")]
    Twice(String),
    /// A file and a folder have one name.
    #[error("{0:?} is a file and a folder")]
    Both(String),
    /// Parts of a file do not join.
    #[error("the shards of {0:?} leave gaps, overlap, or are not of the size that is given")]
    Shards(String),
    /// The digest of the whole is that of something else.
    #[error("its root digest is {said}, and that of its files is {counted}")]
    Root {
        /// What it says.
        said: String,
        /// What comes of its files.
        counted: String,
    },
}

/// What is known of a file that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The hash of each part, in order; of the whole file where it is not in shards.
    pub(crate) parts: Vec<Vec<u8>>,
    /// Its size, where the statement says it.
    pub(crate) size: Option<u64>,
}

/// A list of files that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) model: String,
    pub(crate) digest: String,
    pub(crate) hash: HashKind,
    pub(crate) shard_size: Option<u64>,
    pub(crate) follows_links: bool,
    pub(crate) left_out: BTreeSet<String>,
    pub(crate) files: BTreeMap<String, Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StatementDto {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<SubjectDto>,
    predicate_type: String,
    predicate: PredicateDto,
}

/// Enough to tell what a statement is that cannot be read as one about a model.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadDto {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    #[serde(rename = "predicate")]
    _predicate: IgnoredAny,
}

#[derive(Deserialize)]
struct SubjectDto {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PredicateDto {
    serialization: SerializationDto,
    resources: Vec<ResourceDto>,
}

/// A parameter that is not known could change what the hashes are of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SerializationDto {
    method: String,
    hash_type: String,
    shard_size: Option<Number>,
    allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

#[derive(Deserialize)]
struct ResourceDto {
    name: String,
    digest: String,
    algorithm: String,
}

impl Statement {
    /// Reads what is signed.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let form = |error: serde_json::Error| StatementError::Form(error.to_string());
        let head: HeadDto = serde_json::from_slice(payload).map_err(form)?;
        if head.kind != STATEMENT {
            return Err(StatementError::Kind(head.kind));
        }
        match head.predicate_type.as_str() {
            PREDICATE => {}
            PREDICATE_BEFORE => return Err(StatementError::Old),
            _ => return Err(StatementError::Predicate(head.predicate_type)),
        }
        let dto: StatementDto = serde_json::from_slice(payload).map_err(form)?;
        debug_assert_eq!((dto.kind.as_str(), dto.predicate_type.as_str()), (STATEMENT, PREDICATE));
        let [subject] = dto.subject.as_slice() else {
            return Err(StatementError::Subjects(dto.subject.len()));
        };
        if subject.name.is_empty() {
            return Err(StatementError::Form("its subject has no name".to_owned()));
        }
        let PredicateDto { serialization, resources } = dto.predicate;
        let (hash, shard_size) = hashing(&serialization)?;
        if resources.is_empty() || resources.len() > limits::RESOURCES {
            return Err(StatementError::Files(resources.len()));
        }
        let digest = root(subject, &resources)?;
        let files = files(resources, hash, shard_size)?;
        Ok(Self {
            model: subject.name.clone(),
            digest,
            hash,
            shard_size,
            follows_links: serialization.allow_symlinks,
            left_out: left_out(serialization.ignore_paths)?,
            files,
        })
    }

    /// Whether a path is one that is never listed.
    pub(crate) fn leaves_out(&self, name: &str) -> bool {
        std::iter::successors(Some(name), |path| path.rsplit_once('/').map(|(above, _)| above))
            .any(|path| self.left_out.contains(path))
    }
}

fn hashing(dto: &SerializationDto) -> Result<(HashKind, Option<u64>), StatementError> {
    let hash = HashKind::named(&dto.hash_type).ok_or_else(|| StatementError::Hash(dto.hash_type.clone()))?;
    match (dto.method.as_str(), &dto.shard_size) {
        ("files", None) => Ok((hash, None)),
        ("shards", Some(size)) => Ok((hash, Some(whole(size).ok_or(StatementError::ShardSize)?))),
        ("files" | "shards", _) => Err(StatementError::ShardSize),
        _ => Err(StatementError::Method(dto.method.clone())),
    }
}

/// A size of one or more. The reference implementation writes it as a number with a point.
fn whole(number: &Number) -> Option<u64> {
    let of_float = || {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && (1.0..EXACT).contains(float))?;
        // Exact, for it is whole and below 2^53.
        Some(float as u64)
    };
    number.as_u64().or_else(of_float).filter(|size| *size > 0)
}

/// Checks the digest over all digests, in the order of the list.
fn root(subject: &SubjectDto, resources: &[ResourceDto]) -> Result<String, StatementError> {
    let mut hasher = Sha256::new();
    for resource in resources {
        hasher.update(bytes(&resource.name, &resource.digest)?);
    }
    let counted = HEXLOWER.encode(&hasher.finalize());
    let said = subject.digest.get("sha256").cloned().unwrap_or_else(|| "not given".to_owned());
    if said == counted { Ok(counted) } else { Err(StatementError::Root { said, counted }) }
}

fn bytes(name: &str, digest: &str) -> Result<Vec<u8>, StatementError> {
    HEXLOWER.decode(digest.as_bytes()).map_err(|_| StatementError::Digest(name.to_owned()))
}

/// What is left out. Entries that mean no path within the model mean nothing, and so leave out nothing: signers write down
/// what they were told, in the directory that they were told it in.
fn left_out(paths: Vec<String>) -> Result<BTreeSet<String>, StatementError> {
    if paths.len() > limits::LEFT_OUT {
        return Err(StatementError::LeftOut(paths.len()));
    }
    let always = LEFT_OUT_ALWAYS.into_iter().map(str::to_owned);
    Ok(paths.into_iter().filter(|path| path::is_inside(path)).chain(always).collect())
}

fn files(
    resources: Vec<ResourceDto>,
    hash: HashKind,
    shard_size: Option<u64>,
) -> Result<BTreeMap<String, Listed>, StatementError> {
    let mut shards: BTreeMap<String, BTreeMap<u64, (u64, Vec<u8>)>> = BTreeMap::new();
    let mut files = BTreeMap::new();
    for ResourceDto { name, digest, algorithm } in resources {
        let digest = bytes(&name, &digest)?;
        if digest.len() != hash.bytes() {
            return Err(StatementError::Digest(name));
        }
        // The reference implementation writes the size of shards there, too.
        let of_shards = shard_size.is_some_and(|size| algorithm == format!("{}-sharded-{size}", hash.name()));
        if algorithm != hash.name() && !of_shards {
            return Err(StatementError::OtherHash { name, algorithm, expected: hash.name() });
        }
        let Some(_) = shard_size else {
            named(&name)?;
            let listed = Listed { parts: vec![digest], size: None };
            match files.entry(name) {
                Entry::Occupied(entry) => return Err(StatementError::Twice(entry.key().clone())),
                Entry::Vacant(entry) => entry.insert(listed),
            };
            continue;
        };
        let (file, start, end) = shard(&name).ok_or_else(|| StatementError::Shards(name.clone()))?;
        named(file)?;
        if shards.entry(file.to_owned()).or_default().insert(start, (end, digest)).is_some() {
            return Err(StatementError::Twice(name));
        }
    }
    if let Some(size) = shard_size {
        for (name, shards) in shards {
            let listed = joined(shards, size).ok_or_else(|| StatementError::Shards(name.clone()))?;
            files.insert(name, listed);
        }
    }
    apart(&files)?;
    Ok(files)
}

fn named(name: &str) -> Result<(), StatementError> {
    if name == path::WHOLE || path::is_inside(name) { Ok(()) } else { Err(StatementError::Name(name.to_owned())) }
}

/// No file is a folder of another one, and where the model is one file there is no other.
fn apart(files: &BTreeMap<String, Listed>) -> Result<(), StatementError> {
    if files.len() > 1 && files.contains_key(path::WHOLE) {
        return Err(StatementError::Both(path::WHOLE.to_owned()));
    }
    for name in files.keys() {
        let mut above = name.as_str();
        while let Some((folder, _)) = above.rsplit_once('/') {
            if files.contains_key(folder) {
                return Err(StatementError::Both(folder.to_owned()));
            }
            above = folder;
        }
    }
    Ok(())
}

/// A name of the form `path:start:end`; the path may have colons of its own.
fn shard(name: &str) -> Option<(&str, u64, u64)> {
    let number = |text: &str| text.parse().ok().filter(|number: &u64| number.to_string() == text);
    let (rest, end) = name.rsplit_once(':')?;
    let (file, start) = rest.rsplit_once(':')?;
    Some((file, number(start)?, number(end)?))
}

/// The shards of one file: from its start to its end, each of one size but the last.
fn joined(shards: BTreeMap<u64, (u64, Vec<u8>)>, size: u64) -> Option<Listed> {
    let (mut reached, mut parts) = (0, Vec::with_capacity(shards.len()));
    let last = shards.len() - 1;
    for (place, (start, (end, digest))) in shards.into_iter().enumerate() {
        let bytes = end.checked_sub(start)?;
        if start != reached || bytes == 0 || bytes > size || (bytes < size && place != last) {
            return None;
        }
        reached = end;
        parts.push(digest);
    }
    Some(Listed { parts, size: Some(reached) })
}
