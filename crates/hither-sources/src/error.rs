//! Why a fetch did not end with a file. Each message says what to do, where something can be done.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hither_types::unit::ByteCount;

use crate::checksum::Sha256;
use crate::choose::ChoiceError;
use crate::limits::BESIDE;
use crate::name::NameError;
use crate::space::is_full;

/// Why a fetch did not end with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A file of this machine is not there, or cannot be read.
    #[error("{} cannot be read ({source}); a model of the hub is typed hf:ORG/REPO/FILE", path.display())]
    Local {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is neither a file nor a directory.
    #[error("{} is neither a file nor a directory", .0.display())]
    Kind(PathBuf),
    /// A directory has more files than any model.
    #[error("{} has too many files to find a model among them; type the path of the file", .0.display())]
    Crowded(PathBuf),
    /// Of several files, none or too many are the model.
    #[error("{place}: {source}{}", hint(*by_hash))]
    Choice {
        /// Where.
        place: String,
        /// Why not.
        #[source]
        source: ChoiceError,
        /// Whether a file is chosen with a # behind the source.
        by_hash: bool,
    },
    /// A name that came from elsewhere cannot be a file's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A file that the model names is not beside it, or may not be taken.
    #[error("the model has data in {file:?}, and {why}")]
    Beside {
        /// Its name.
        file: String,
        /// Why not.
        why: &'static str,
    },
    /// A model names more files than any model needs.
    #[error("the model has data in {0} files, and {BESIDE} is the most that is taken")]
    BesideTooMany(usize),
    /// A checksum was given for what has several files.
    #[error("a checksum is of one file, and this model has {0}; leave out the checksum, or name one file")]
    ChecksumOfSeveral(usize),
    /// The bytes are not the ones that they should be.
    #[error("{file} has the SHA-256 {got}, and should have {expected}; it was not kept")]
    Checksum {
        /// The file's name.
        file: String,
        /// What it should be.
        expected: Sha256,
        /// What it is.
        got: Sha256,
    },
    /// What is known of the file beforehand is not what was asked for.
    #[error("{place} says that {file} has the SHA-256 {said}, and {expected} was asked for; nothing was fetched")]
    Other {
        /// Who says so.
        place: String,
        /// The file's name.
        file: String,
        /// What it says.
        said: Sha256,
        /// What was asked for.
        expected: Sha256,
    },
    /// The file is longer or shorter than it should be.
    #[error("{file} has {got}, and should have {expected}")]
    Size {
        /// The file's name.
        file: String,
        /// What it should be.
        expected: ByteCount,
        /// What it is, as far as it was read.
        got: ByteCount,
    },
    /// It is larger than this node takes.
    #[error("{file} has more than {limit}, which is the most that this node takes")]
    TooLarge {
        /// The file's name.
        file: String,
        /// The bound.
        limit: ByteCount,
    },
    /// It does not fit on the disk.
    #[error("{needed} do not fit on the disk of {}: {missing} are missing", dir.display())]
    NoSpace {
        /// Where it should go.
        dir: PathBuf,
        /// What is still to come.
        needed: ByteCount,
        /// What has to be made free.
        missing: ByteCount,
    },
    /// The disk became full meanwhile.
    #[error("the disk of {} is full; what came is kept, make room and try again", .0.display())]
    DiskFull(PathBuf),
    /// The system refused a file of ours.
    #[error("cannot use {} ({source})", path.display())]
    Disk {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody else fetches the same file.
    #[error("{} is being fetched already", .0.display())]
    InUse(PathBuf),
    /// This machine cannot speak HTTPS.
    #[error(
        "https cannot be spoken here: {0}; install the package ca-certificates, or name the authorities in the configuration"
    )]
    Tls(String),
    /// The other end did not prove who it is.
    #[error("{place} does not prove that it is who it should be: {text}")]
    Certificate {
        /// Host and port.
        place: String,
        /// What is wrong with its certificate.
        text: String,
    },
    /// There is no way to it, or the way broke, time and again.
    #[error("{place} cannot be reached: {text}")]
    Unreachable {
        /// Host and port.
        place: String,
        /// Why not.
        text: String,
    },
    /// It says nothing, or next to nothing.
    #[error("{place} sends too little: less than {bytes} bytes in {} s", within.as_secs())]
    Silent {
        /// Host and port.
        place: String,
        /// What has to come.
        bytes: u64,
        /// In which time.
        within: Duration,
    },
    /// It has no time.
    #[error("{place} has no room at the moment (HTTP {status}); try again later")]
    Busy {
        /// Host and port.
        place: String,
        /// What it answered.
        status: u16,
        /// When it would like to be asked again.
        after: Option<Duration>,
    },
    /// It asks for a longer pause than anybody waits for.
    #[error("{place} asks to be left alone for {} s; try again then", after.as_secs())]
    Later {
        /// Host and port.
        place: String,
        /// When it would like to be asked again.
        after: Duration,
    },
    /// It says no.
    #[error("{place} answers HTTP {status}: {advice}")]
    Refused {
        /// Host and port.
        place: String,
        /// What it answered.
        status: u16,
        /// What that means here, and what to do.
        advice: String,
    },
    /// It sends a fetch in circles.
    #[error("{0} redirects time and again; the file is at no end of it")]
    Redirects(String),
    /// It sends a fetch where no fetch may go.
    #[error("{from} redirects to {to}; a fetch stays with https from end to end, so it was not followed")]
    Downgrade {
        /// Host and port.
        from: String,
        /// Scheme and host that it redirects to.
        to: String,
    },
    /// It answers with something that is no file.
    #[error("{place} does not answer with a file: {text}")]
    Answer {
        /// Host and port.
        place: String,
        /// What came.
        text: String,
    },
    /// The file changed while it was fetched.
    #[error("{place} changes {file} while it is fetched; try again later, or name a version that stays")]
    Changed {
        /// Host and port.
        place: String,
        /// The file's name.
        file: String,
    },
    /// A digest does not fit what it is of.
    #[error("{place} gives a manifest with the digest sha256:{got}, and should give sha256:{expected}")]
    Manifest {
        /// Host and port.
        place: String,
        /// What it should be.
        expected: Sha256,
        /// What it is.
        got: Sha256,
    },
    /// The artefact cannot be used here.
    #[error("{place}: {text}")]
    Artefact {
        /// The artefact.
        place: String,
        /// Why not, and what to do.
        text: String,
    },
}

fn hint(by_hash: bool) -> &'static str {
    if by_hash { " (put #FILE behind the source)" } else { " (type the path of the file)" }
}

impl FetchError {
    /// A fault of the disk below a path.
    pub(crate) fn disk(path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            return Self::DiskFull(path.parent().unwrap_or(path).to_owned());
        }
        Self::Disk { path: path.to_owned(), source }
    }

    /// Whether the same request may succeed a moment later.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. } | Self::Busy { .. } | Self::Changed { .. })
    }
}
