//! The `[jobs]` of the configuration: how much is kept, and for how long.

use serde::Deserialize;

/// What the store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobBounds {
    /// Jobs, ended ones included.
    pub max: usize,
    /// Bytes on disk.
    pub max_bytes: u64,
    /// How long a job is kept after its end, in milliseconds.
    pub keep_ms: u64,
    /// What one app may use of both, in percent.
    pub app_share: u8,
}

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JobsSection {
    max: u32,
    max_mb: u64,
    keep_h: u64,
    app_share: Percent,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u8")]
struct Percent(u8);

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, String> {
        match percent {
            1..=100 => Ok(Self(percent)),
            other => Err(format!("app_share is {other}, and takes 1 to 100, in percent")),
        }
    }
}

impl Default for JobsSection {
    fn default() -> Self {
        // All of it is read at a start, and its heads are in memory: a quarter of a gigabyte takes a fraction of a second.
        // Half for one app: whatever it does, another can still hand something in.
        Self { max: 10_000, max_mb: 256, keep_h: 24, app_share: Percent(50) }
    }
}

impl From<JobsSection> for JobBounds {
    fn from(section: JobsSection) -> Self {
        Self {
            max: section.max as usize,
            max_bytes: section.max_mb.saturating_mul(1_000_000),
            keep_ms: section.keep_h.saturating_mul(3_600_000),
            app_share: section.app_share.0,
        }
    }
}

impl JobBounds {
    /// What one app may use of a bound.
    pub(super) fn share(&self, of: u64) -> u64 {
        of.saturating_mul(self.app_share.into()) / 100
    }
}

impl Default for JobBounds {
    fn default() -> Self {
        JobsSection::default().into()
    }
}
