//! `[egress.kernel]`: how the counters of a kernel are read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::egress::EgressError;
use crate::kernel::{KernelConfig, Source};
use crate::limits::KERNEL_EVERY_S;

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KernelSection {
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
    every_s: Option<u64>,
}

impl KernelSection {
    /// Checks it. A relative path is relative to the data directory.
    pub(super) fn read(self, data_dir: &Path) -> Result<KernelConfig, EgressError> {
        let source = match (self.file, self.command) {
            (Some(file), None) => Source::File(data_dir.join(file)),
            (None, Some(words)) if words.first().is_some_and(|word| !word.is_empty()) => Source::Command(words),
            (None, Some(_)) => return Err(EgressError::Kernel("command names no program")),
            (None, None) => {
                return Err(EgressError::Kernel("neither file nor command is there: one of them is needed"));
            }
            (Some(_), Some(_)) => return Err(EgressError::Kernel("file and command are both there: only one is read")),
        };
        let every = Duration::from_secs(self.every_s.unwrap_or(KERNEL_EVERY_S).max(1));
        Ok(KernelConfig { source, every })
    }
}
