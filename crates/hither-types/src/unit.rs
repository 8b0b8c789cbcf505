//! Numbers that cross a crate carry their unit.

use std::fmt;

/// A count of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(pub u64);

/// Electrical power in milliwatts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milliwatts(pub u64);

/// Energy in millijoules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millijoules(pub u64);

/// A duration in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

/// A duration in hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hours(pub u32);

/// A duration in days of 24 hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Days(pub u32);

/// A rate in millionths of one a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroHertz(pub u64);

/// A share of what a node has of something, in eighths: coarse on purpose, so that it seldom changes. Shares of memory
/// and of power can be compared, bytes and watts cannot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eighths(u8);

impl Eighths {
    /// Nothing of it.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const ALL: Self = Self(8);

    /// So many; at most all.
    pub fn new(eighths: u8) -> Self {
        Self(eighths.min(8))
    }

    /// The share that a part is of a whole, rounded down; of nothing, nothing.
    pub fn of(part: u64, whole: u64) -> Self {
        Self((u128::from(part.min(whole)) * 8).checked_div(u128::from(whole)).unwrap_or(0) as u8)
    }

    /// How many eighths.
    pub fn count(self) -> u8 {
        self.0
    }
}

impl Milliwatts {
    /// From whole watts.
    pub const fn from_watts(watts: u64) -> Self {
        Self(watts * 1000)
    }

    /// In watts, for people.
    pub fn watts(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The energy that this power amounts to over a duration.
    pub fn over(self, span: Micros) -> Millijoules {
        Millijoules((u128::from(self.0) * u128::from(span.0) / 1_000_000) as u64)
    }
}

impl Hours {
    /// The same in microseconds.
    pub const fn micros(self) -> Micros {
        Micros(self.0 as u64 * 3_600_000_000)
    }
}

impl Micros {
    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    /// In milliseconds, for people.
    pub fn millis(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1_000_000_000 => write!(f, "{:.2} GB", n as f64 / 1e9),
            n if n >= 1_000_000 => write!(f, "{:.1} MB", n as f64 / 1e6),
            n if n >= 10_000 => write!(f, "{:.1} kB", n as f64 / 1e3),
            n => write!(f, "{n} B"),
        }
    }
}
