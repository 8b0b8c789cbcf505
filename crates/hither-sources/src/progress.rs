//! How far a fetch is.

use hither_types::unit::ByteCount;
use tokio::sync::watch;

/// What a fetch does at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// It asks what is there.
    #[default]
    Asking,
    /// It reads what an earlier attempt left, or a file of this machine.
    Checking,
    /// Bytes come.
    Fetching,
    /// It waits after a failure, and goes on by itself.
    Waiting,
}

/// How far a fetch is, over all its files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub stage: Stage,
    /// Bytes that are on the disk. They become fewer when a file has to be begun again.
    pub done: ByteCount,
    /// Bytes that there will be, once that is known.
    pub total: Option<ByteCount>,
}

/// The writing end, of one fetch with any number of files.
pub(crate) struct Meter<'a> {
    sender: &'a watch::Sender<Progress>,
    finished: u64,
    is_total_fixed: bool,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(sender: &'a watch::Sender<Progress>) -> Self {
        sender.send_replace(Progress::default());
        Self { sender, finished: 0, is_total_fixed: false }
    }

    /// Says how many bytes all files have together.
    pub(crate) fn total(&mut self, bytes: u64) {
        self.is_total_fixed = true;
        self.sender.send_modify(|progress| progress.total = Some(ByteCount(bytes)));
    }

    /// Says how many bytes the file in work has; that is the total where one file is all.
    pub(crate) fn size(&self, bytes: Option<u64>) {
        if !self.is_total_fixed {
            let total = bytes.map(|bytes| ByteCount(self.finished + bytes));
            self.sender.send_modify(|progress| progress.total = total);
        }
    }

    pub(crate) fn stage(&self, stage: Stage) {
        self.sender.send_modify(|progress| progress.stage = stage);
    }

    /// Says how many bytes of the file in work are there.
    pub(crate) fn done(&self, bytes: u64) {
        self.sender.send_modify(|progress| progress.done = ByteCount(self.finished + bytes));
    }

    /// Says that the file in work is whole.
    pub(crate) fn finish(&mut self, bytes: u64) {
        self.finished += bytes;
        self.done(0);
    }
}
