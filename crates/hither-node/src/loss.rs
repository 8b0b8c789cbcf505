//! A damaged ledger is put aside, whole, and another begins in its place whose first record says so.

use std::fs::File;
use std::path::{Path, PathBuf};

use hither_ledger::{Entry, Ledger, OpenError, remains};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::home::{Home, InitError};
use crate::trust::wall_now;

/// Why no loss was accepted. The ledger is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// The data directory cannot be opened: a node runs on it, or it is none.
    #[error(transparent)]
    Home(#[from] InitError),
    /// There is no ledger.
    #[error("there is no ledger in {0}")]
    Absent(PathBuf),
    /// Nothing is wrong with it.
    #[error("the ledger in {0} is whole: nothing was lost")]
    Whole(PathBuf),
    /// The system said no.
    #[error("{what} cannot be done: {error}")]
    Failed {
        /// What was tried.
        what: String,
        /// Why.
        error: String,
    },
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// Where the damaged one lies now.
    pub kept: PathBuf,
    /// What was wrong with it.
    pub damage: String,
}

/// Owns up to a damaged ledger. No node may run on the data directory.
pub fn accept_loss(data: &Path) -> Result<AcceptedLoss, LossError> {
    let dir = data.join("ledger");
    if !dir.is_dir() {
        return Err(LossError::Absent(dir));
    }
    let home = Home::open(data)?;
    let origin = format!("hither/{}", home.me.node.short());
    let key = home.key.to_bytes();
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: &dyn std::error::Error| LossError::Failed { what, error: error.to_string() }
    };
    let damage = match Ledger::open(&dir, &key, &origin) {
        Ok(_) => return Err(LossError::Whole(dir)),
        Err(error @ (OpenError::Damaged { .. } | OpenError::OtherOwner { .. })) => error.to_string(),
        Err(error) => return Err(failed("reading the ledger")(&error)),
    };
    let loss = remains(&dir, home.me.node).map_err(|error| failed("reading what is left")(&error))?;
    let now = wall_now();
    // The new one is whole before it takes the place of the old one, and they change places in one step: at no moment is
    // there a ledger that says nothing of the loss.
    let kept = data.join(format!("ledger.lost-{}", now.0));
    let mut ledger = Ledger::open(&kept, &key, &origin).map_err(|error| failed("beginning a new ledger")(&error))?;
    let entry = Entry { fact: loss, wall: now, mono_ms: 0 };
    ledger.append(&[entry]).map_err(|error| failed("writing the new ledger")(&error))?;
    drop(ledger);
    renameat_with(CWD, &dir, CWD, &kept, RenameFlags::EXCHANGE)
        .map_err(|error| failed("changing their places")(&error))?;
    File::open(data).and_then(|data| data.sync_all()).map_err(|error| failed("writing the directory")(&error))?;
    Ok(AcceptedLoss { kept, damage })
}
