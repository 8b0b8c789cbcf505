//! The wall clock of this machine: whether it jumps, and whether it shows what the clocks of other members show.
//!
//! Requests do not ask it: they end by the steady clock, and what goes to peers is the time left. Certificates, invites
//! and records do.

use std::collections::BTreeMap;
use std::time::Instant;

use hither_types::id::NodeId;
use hither_types::time::WallTime;
use tokio::sync::mpsc;

use crate::driver::Inbound;
use crate::limits::{CLOCK_GRACE, CLOCK_JUMP_MS, CLOCK_LOOK};
use crate::renewal::Told;
use crate::trust::wall_now;

#[cfg(test)]
mod tests;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    wall: WallTime,
    steady: Instant,
}

/// A wall clock that jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jump {
    /// What it should have shown.
    pub(crate) expected: WallTime,
    /// What it showed.
    pub(crate) found: WallTime,
}

impl Look {
    fn now() -> Self {
        Self { wall: wall_now(), steady: Instant::now() }
    }

    fn jump_until(self, later: Self) -> Option<Jump> {
        let passed = later.steady.saturating_duration_since(self.steady).as_millis();
        let expected = WallTime(self.wall.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)));
        let jumped = expected.0.abs_diff(later.wall.0) > CLOCK_JUMP_MS;
        jumped.then_some(Jump { expected, found: later.wall })
    }
}

/// Compares the clocks for as long as the node runs.
pub(crate) async fn watch(inbox: mpsc::Sender<Inbound>) {
    let mut told = Told::new(inbox.clone());
    let mut last = Look::now();
    loop {
        tokio::time::sleep(CLOCK_LOOK).await;
        let now = Look::now();
        if let Some(jump) = last.jump_until(now) {
            if inbox.send(Inbound::ClockJumped(jump)).await.is_err() {
                return;
            }
            told.wrong(warning(jump)).await;
        }
        last = now;
    }
}

fn warning(jump: Jump) -> String {
    let (by, way) = match jump.found >= jump.expected {
        true => (jump.found.0 - jump.expected.0, "forward"),
        false => (jump.expected.0 - jump.found.0, "back"),
    };
    format!(
        "clock-jump: the clock of this machine went {way} by {}: somebody set it, or the machine slept. Requests do not \
         mind; certificates, invites and jobs end by it, and the ledger has a record `clock.jump`. timedatectl shows \
         whether the clock is kept right",
        span(by)
    )
}

/// The clocks of members, as they last told them.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    ahead_ms: BTreeMap<NodeId, i64>,
    warned: Option<String>,
}

/// What becomes of the warning about this node's clock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) over: Option<String>,
    pub(crate) new: Option<String>,
}

impl Clocks {
    /// A member told how far its clock is ahead of ours.
    pub(crate) fn told(&mut self, node: NodeId, ahead_ms: i64) -> Change {
        self.ahead_ms.insert(node, ahead_ms);
        self.look()
    }

    /// Whether this node's clock is far from the others'.
    pub(crate) fn is_apart(&self) -> bool {
        self.warned.is_some()
    }

    /// Somebody is no member any more.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.ahead_ms.remove(&node);
    }

    /// The clock in the middle of all others: one that is wrong does not move it.
    fn middle(&self) -> Option<i64> {
        let mut all: Vec<i64> = self.ahead_ms.values().copied().collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }

    fn look(&mut self) -> Change {
        let bound = u64::try_from(CLOCK_GRACE.as_millis()).unwrap_or(u64::MAX);
        let apart = self.middle().filter(|ahead| ahead.unsigned_abs() > bound);
        // In minutes, so that the text stays while the difference does.
        let text = apart.map(|ahead| {
            let way = if ahead > 0 { "behind" } else { "ahead of" };
            format!(
                "clock-apart: the clock of this machine is about {} {way} those of the other members: certificates and \
                 invites end too early or too late here. timedatectl set-ntp true",
                span(ahead.unsigned_abs() / 60_000 * 60_000)
            )
        });
        if text == self.warned {
            return Change::default();
        }
        let over = std::mem::replace(&mut self.warned, text.clone());
        Change { over, new: text }
    }
}

/// A span for people.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        ms if ms >= 2 * 86_400_000 => format!("{} days", ms / 86_400_000),
        ms if ms >= 2 * 3_600_000 => format!("{} hours", ms / 3_600_000),
        ms if ms >= 2 * 60_000 => format!("{} minutes", ms / 60_000),
        ms => format!("{} s", ms / 1_000),
    }
}
