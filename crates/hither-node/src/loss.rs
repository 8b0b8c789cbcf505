//! A damaged ledger is put aside, whole, and another begins in its place whose first record says so.

use std::fs::File;
use std::path::{Path, PathBuf};

use hither_ledger::{Entry, Ledger, OpenError, remains};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::home::{Home, InitError};
use crate::records::FIRSTS;
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
    // Whatever has this name already is not ours to remove.
    std::fs::create_dir(&kept).map_err(|error| failed("making room for the new ledger")(&error))?;
    let begun = begin(&kept, &key, &origin, Entry { fact: loss, wall: now, mono_ms: 0 })
        .map_err(|error| failed("writing the new ledger")(&*error))
        .and_then(|()| {
            renameat_with(CWD, &dir, CWD, &kept, RenameFlags::EXCHANGE)
                .map_err(|error| failed("changing their places")(&error))
        });
    if let Err(error) = begun {
        // What was begun is no evidence of anything.
        let _ = std::fs::remove_dir_all(&kept);
        return Err(error);
    }
    // Both orders are on the disk or neither is; and who moved data before the loss shall be told of the first time again.
    let _ = std::fs::remove_file(data.join(FIRSTS));
    let _ = File::open(data).and_then(|data| data.sync_all());
    Ok(AcceptedLoss { kept, damage })
}

/// A ledger whose first record is this one.
fn begin(dir: &Path, key: &[u8; 32], origin: &str, entry: Entry) -> Result<(), Box<dyn std::error::Error>> {
    Ledger::open(dir, key, origin)?.append(&[entry])?;
    Ok(())
}
