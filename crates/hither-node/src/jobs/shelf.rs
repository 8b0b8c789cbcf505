//! What is known of files and batches without their content: who may see them, and what is still needed.

use std::collections::BTreeMap;

use hither_api::batches::{Batch, BatchId, FileHead, FileId, KeptError, Written};
use hither_types::id::AppName;
use hither_types::time::WallTime;

use super::index::Load;
use super::seal::PART_OVERHEAD;
use crate::limits::BATCH_KEEP_MS;

/// All of them.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) files: BTreeMap<FileId, FileHead>,
    pub(super) batches: BTreeMap<BatchId, Batch>,
}

/// What the parts of a file take on the disk.
fn size(written: Written) -> u64 {
    written.bytes + u64::from(written.parts) * PART_OVERHEAD
}

/// What a file counts for.
pub(super) fn load_of_file(head: &FileHead) -> Load {
    Load { jobs: 1, bytes: size(Written { parts: head.parts, bytes: head.bytes }) }
}

/// What a batch counts for: until it has ended, its output is not a file of its own.
pub(super) fn load_of_batch(batch: &Batch) -> Load {
    let progress = &batch.progress;
    let bytes = if progress.status().is_end() { 0 } else { size(progress.output) + size(progress.errors) };
    Load { jobs: 1, bytes }
}

impl Shelf {
    /// Whether a batch is there and has not ended.
    pub(super) fn is_open(&self, id: BatchId) -> bool {
        self.batches.get(&id).is_some_and(|batch| !batch.progress.status().is_end())
    }

    /// A file that an app may see.
    pub(super) fn file(&self, app: &AppName, id: FileId) -> Result<&FileHead, KeptError> {
        self.files.get(&id).filter(|head| head.app == *app).ok_or(KeptError::UnknownFile(id))
    }

    /// A batch that an app may see.
    pub(super) fn batch(&self, app: &AppName, id: BatchId) -> Result<&Batch, KeptError> {
        self.batches.get(&id).filter(|batch| batch.new.app == *app).ok_or(KeptError::UnknownBatch(id))
    }

    /// The batch that needs a file and has not ended.
    pub(super) fn reader(&self, id: FileId) -> Option<BatchId> {
        let needs = |batch: &&Batch| [batch.new.input, batch.output, batch.errors].contains(&id);
        let mut open = self.batches.values().filter(|batch| !batch.progress.status().is_end());
        open.find(needs).map(|batch| batch.id)
    }

    /// How many batches of an app have not ended.
    pub(super) fn open_of(&self, app: &AppName) -> usize {
        self.batches.values().filter(|batch| batch.new.app == *app && !batch.progress.status().is_end()).count()
    }

    /// Files and batches whose time is over.
    pub(super) fn due(&self, now: WallTime) -> (Vec<FileHead>, Vec<BatchId>) {
        let old = |batch: &&Batch| {
            let ended = batch.progress.marks.last().filter(|(status, _)| status.is_end());
            ended.is_some_and(|(_, at)| at.0.saturating_add(BATCH_KEEP_MS) <= now.0)
        };
        let files = self.files.values().filter(|head| head.expires <= now && self.reader(head.id).is_none());
        (files.cloned().collect(), self.batches.values().filter(old).map(|batch| batch.id).collect())
    }
}
