//! Jobs at rest: encrypted and checked by XChaCha20-Poly1305 under a key that lies beside them.
//!
//! A file is `HJOB`, the version, the kind, the epoch, the nonce and the ciphertext. Kind, epoch and the job's id are bound
//! to it: a file that was renamed, or put in the place of an older one, does not open.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hither_api::jobs::JobId;

const MAGIC: &[u8; 4] = b"HJOB";
const VERSION: u8 = 1;
const NONCE: usize = 24;
/// Magic, version, kind, epoch.
const HEAD: usize = 4 + 1 + 1 + 4;

/// What a part takes on the disk beside its bytes: the head, the nonce and the tag.
pub(crate) const PART_OVERHEAD: u64 = (HEAD + NONCE + 16) as u64;

/// What a file says of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What is to be asked.
    Job,
    /// How far it is.
    Run,
    /// How it ended.
    End,
    /// A part of a file; its number is the epoch.
    Part,
    /// What is known of a file: it is there if and only if this is.
    File,
    /// How far a batch is.
    Batch,
}

impl Kind {
    /// Those of jobs.
    pub(crate) const ALL: [Self; 3] = [Self::Job, Self::Run, Self::End];

    /// The end of the file's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Run => "run",
            Self::End => "end",
            Self::Part => "part",
            Self::File => "file",
            Self::Batch => "batch",
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Job => 1,
            Self::Run => 2,
            Self::End => 3,
            Self::Part => 4,
            Self::File => 5,
            Self::Batch => 6,
        }
    }
}

/// Closes and opens files.
pub(crate) struct Seal(XChaCha20Poly1305);

impl Seal {
    /// `secret` is the node's key for jobs.
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let key = blake3::derive_key("hither jobs at rest 1", secret);
        Self(XChaCha20Poly1305::new(&Key::from(key)))
    }

    /// Encrypts.
    pub(crate) fn close(&self, id: JobId, kind: Kind, epoch: u32, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE] = crate::home::random();
        let mut file = Vec::with_capacity(HEAD + NONCE + plain.len() + 16);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&[VERSION, kind.byte()]);
        file.extend_from_slice(&epoch.to_le_bytes());
        let bound = bound(&file, id);
        file.extend_from_slice(&nonce);
        let sealed = self.0.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &bound });
        file.extend(sealed.expect("it is far from the 256 GB that the cipher takes"));
        file
    }

    /// Decrypts, if every bit is as it was. Gives the epoch, too.
    pub(crate) fn open(&self, id: JobId, kind: Kind, file: &[u8]) -> Result<(u32, Vec<u8>), &'static str> {
        let (head, rest) = file.split_at_checked(HEAD).ok_or("it is too short")?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or("it is too short")?;
        if !head.starts_with(MAGIC) {
            return Err("it is not a file of jobs");
        }
        if head[4] != VERSION {
            return Err("it was written by another version of the program");
        }
        if head[5] != kind.byte() {
            return Err("it is of another kind than its name says");
        }
        let epoch = u32::from_le_bytes([head[6], head[7], head[8], head[9]]);
        let plain = self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &bound(head, id) });
        Ok((epoch, plain.map_err(|_| "its bytes were changed, or it was written under another key")?))
    }
}

fn bound(head: &[u8], id: JobId) -> Vec<u8> {
    [b"hither job\0", head, &id.0.to_be_bytes()].concat()
}
