//! Old records, deleted by hand: what a node does by itself each day, for one that does not run.

use std::path::{Path, PathBuf};

use hither_ledger::{DeleteError, Ledger, OpenError, Plan, VerifyError, WriteError, plan};

use crate::commands::load_policy;
use crate::config::NodeConfig;
use crate::home::{Home, InitError, load_key, load_mesh};
use crate::trust::wall_now;

/// Why old records were not deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The data directory cannot be opened: a node runs on it, or it is none.
    #[error(transparent)]
    Home(#[from] InitError),
    /// There is no ledger.
    #[error("there is no ledger in {0}")]
    Absent(PathBuf),
    /// The policy cannot be read, so nobody knows how long records are kept.
    #[error("the policy cannot be used: {0}")]
    Policy(String),
    /// The segments cannot be read.
    #[error(transparent)]
    Read(#[from] VerifyError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The open segment cannot be closed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It was not deleted, or not all of it.
    #[error(transparent)]
    Delete(#[from] DeleteError),
}

/// Whether to do it or to say what would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// Nothing changes, and the node may run.
    Look,
    /// Records are deleted. No node may run on the data directory.
    Delete,
}

/// What is old enough to be deleted by the node's policy, and, if asked, is deleted.
pub fn prune(config: &NodeConfig, prune: Prune) -> Result<Plan, PruneError> {
    let law = load_policy(&config.policy).map_err(PruneError::Policy)?;
    let (retention, policy) = (law.policy.retention, law.policy.digest);
    let dir = config.ledger_dir();
    if !dir.is_dir() {
        return Err(PruneError::Absent(dir));
    }
    if prune == Prune::Look {
        // Without the lock, which the node has if it runs. A directory with a ledger has both files.
        let (_, _, me) = load_mesh(&config.data_dir, &load_key(&config.data_dir.join("key"))?)?;
        return Ok(plan(&dir, &retention, me.jurisdiction, wall_now())?);
    }
    let home = Home::open(&config.data_dir)?;
    let mut ledger = open(&dir, &home)?;
    ledger.finish_deletions()?;
    let now = wall_now();
    ledger.end_day(now)?;
    let plan = plan(&dir, &retention, home.me.jurisdiction, now)?;
    plan.expired.iter().try_for_each(|expired| ledger.delete(expired, policy, now, 0))?;
    Ok(plan)
}

fn open(dir: &Path, home: &Home) -> Result<Ledger, OpenError> {
    Ledger::open(dir, &home.key.to_bytes(), &format!("hither/{}", home.me.node.short()))
}
