//! Hashes of files: the one that was signed, and the one by which this mesh knows files, in one pass.

use std::fs::File;
use std::io::{self, Read as _};

use blake2::Digest as _;

use crate::limits;

/// How the files of a model were hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    /// SHA-256.
    Sha256,
    /// BLAKE2b, of 512 bits.
    Blake2b,
    /// BLAKE3, of 256 bits.
    Blake3,
}

impl HashKind {
    /// The kind that a statement names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "blake2b" => Some(Self::Blake2b),
            "blake3" => Some(Self::Blake3),
            _ => None,
        }
    }

    /// Its name in statements.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Blake2b => "blake2b",
            Self::Blake3 => "blake3",
        }
    }

    /// How many bytes it gives.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Blake2b => 64,
        }
    }

    fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Self::Blake2b => Hasher::Blake2b(Box::new(blake2::Blake2b512::new())),
            Self::Blake3 => Hasher::Blake3(Box::new(blake3::Hasher::new())),
        }
    }
}

enum Hasher {
    Sha256(sha2::Sha256),
    Blake2b(Box<blake2::Blake2b512>),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Blake2b(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    fn end(self) -> Vec<u8> {
        match self {
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Blake2b(hasher) => hasher.finalize().to_vec(),
            Self::Blake3(hasher) => hasher.finalize().as_bytes().to_vec(),
        }
    }
}

/// What a file is made of: its size, its name in this mesh, and the hash of each part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) size: u64,
    pub(crate) blake3: [u8; 32],
    pub(crate) parts: Vec<Vec<u8>>,
}

/// Reads a file to its end. With `part` bytes a part, each part is hashed by itself; an empty file has one part without it,
/// and none with it. No more than `parts_max` parts are kept: one more says that there are too many.
pub(crate) fn hash(file: &mut File, kind: HashKind, part: Option<u64>, parts_max: usize) -> io::Result<Hashed> {
    let (mut buffer, mut whole) = (vec![0; limits::READ], blake3::Hasher::new());
    let (mut size, mut left, mut parts) = (0_u64, part.unwrap_or(u64::MAX), Vec::new());
    let mut hasher = None;
    loop {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = match file.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.get_or_insert_with(|| kind.hasher()).update(&buffer[..read]);
        whole.update(&buffer[..read]);
        size += read as u64;
        left -= read as u64;
        if left == 0 {
            parts.extend(hasher.take().map(Hasher::end));
            left = part.unwrap_or(u64::MAX);
            if parts.len() > parts_max {
                break;
            }
        }
    }
    if part.is_none() && hasher.is_none() {
        hasher = Some(kind.hasher());
    }
    parts.extend(hasher.map(Hasher::end));
    Ok(Hashed { size, blake3: *whole.finalize().as_bytes(), parts })
}
