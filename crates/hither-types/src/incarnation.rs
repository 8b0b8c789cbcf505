//! Incarnations: the numbers by which a node's words are newer than those of its earlier starts.
//!
//! Each start takes the next multiple of [`RISES`]. A start that finds words of its own key with a greater number than its
//! own (its data directory was copied, and the copy ran) rises above it by one: its words count again, and nobody takes it
//! for a program that was started anew and has lost what it was asked. SWIM (Das et al., DSN 2002, section 4.2) has one
//! number for both.

/// How many incarnations one start may take.
pub const RISES: u64 = 256;

/// That of the start after the one with an incarnation.
pub const fn next_start(incarnation: u64) -> u64 {
    (incarnation / RISES + 1).saturating_mul(RISES)
}

/// Whether what has the later incarnation was started after what has the earlier one.
pub const fn started_anew(earlier: u64, later: u64) -> bool {
    earlier / RISES < later / RISES
}
