//! Monotonic time, given from outside. Nobody below the drivers reads a clock.

use crate::unit::Micros;

/// Microseconds since an instant that only this node knows. Never compared between nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Later by a duration; stops at the end of time.
    pub fn after(self, span: Micros) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The duration since an earlier instant; zero if it was not earlier.
    pub fn since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }

    /// The duration until a later instant; zero if it has passed.
    pub fn until(self, later: Self) -> Micros {
        later.since(self)
    }
}

/// Milliseconds since 1970-01-01 UTC by the wall clock: for people and records. Requests are never decided by it; what ends
/// on a day is: certificates, invites, and entries of the catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

impl WallTime {
    /// How long ago an earlier moment was; zero if it was not earlier.
    pub fn since(self, earlier: Self) -> Micros {
        Micros::from_millis(self.0.saturating_sub(earlier.0))
    }
}
