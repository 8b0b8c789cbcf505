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
