//! What a kernel counted of what a node sent, as its ledger keeps it.

use crate::time::WallTime;
use crate::unit::ByteCount;

/// What a reading of the counters is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KernelSpan {
    /// There was none before it: the numbers are what the counters hold.
    First,
    /// The reading of that moment: the numbers are what was counted since.
    Since(WallTime),
    /// The counters hold less than at the last reading: they began anew, and the numbers are what they hold.
    Reset,
}

/// One reading of the counters, and what the ledger says left in the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelCount {
    /// Since when.
    pub span: KernelSpan,
    /// Bytes to members to whom the policy lets something go, with everything that is no payload.
    pub lawful: ByteCount,
    /// Bytes to other members.
    pub talk: ByteCount,
    /// Packets to anybody else.
    pub leak_packets: u64,
    /// Their bytes.
    pub leak: ByteCount,
    /// Payload that went to members and arrived, by the records of the ledger; none where it cannot be compared.
    pub payload: Option<ByteCount>,
}

impl KernelCount {
    /// Everything that the kernel let through to members.
    pub fn to_members(&self) -> u64 {
        self.lawful.0.saturating_add(self.talk.0)
    }
}

/// Why counters could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelFault {
    /// The command failed, or the file is not there.
    Failed,
    /// What came is not what nft writes.
    Malformed,
    /// The table or a counter is missing.
    Missing,
    /// The file is older than it should be: who writes it has stopped.
    Stale,
}

impl KernelFault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Malformed, Self::Missing, Self::Stale];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Stale => "stale",
        }
    }
}
