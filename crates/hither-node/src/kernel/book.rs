//! What was counted between two readings, and whether that can be.

use hither_types::kernel::{KernelCount, KernelSpan};
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;

use super::counters::Counters;

/// A reading that the next is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    at: WallTime,
    counters: Counters,
    /// What had arrived since the start of the node; none if that is not known.
    sent: Option<u64>,
}

/// The last readings.
#[derive(Debug, Default)]
pub(super) struct Book {
    last: Option<Kept>,
    /// What the last three, without a break, came to: bytes to members, and payload.
    row: Vec<(u64, Option<u64>)>,
}

impl Book {
    /// With the reading that an earlier start of the node kept.
    pub(super) fn open(text: Option<&str>) -> Self {
        Self { last: text.and_then(parse), row: Vec::new() }
    }

    /// Takes a reading in.
    pub(super) fn take(&mut self, at: WallTime, counters: Counters, sent: Option<u64>) -> KernelCount {
        let Counters { lawful, talk, leak_packets, leak } = counters;
        let before = self.last.replace(Kept { at, counters, sent });
        let is_less = |kept: &Kept| {
            let old = kept.counters;
            lawful < old.lawful || talk < old.talk || leak_packets < old.leak_packets || leak < old.leak
        };
        let (span, old, payload) = match before {
            None => (KernelSpan::First, Counters::default(), None),
            Some(kept) if is_less(&kept) => (KernelSpan::Reset, Counters::default(), None),
            Some(kept) => {
                let payload = sent.zip(kept.sent).and_then(|(now, then)| now.checked_sub(then));
                (KernelSpan::Since(kept.at), kept.counters, payload)
            }
        };
        let count = KernelCount {
            span,
            lawful: ByteCount(lawful - old.lawful),
            talk: ByteCount(talk - old.talk),
            leak_packets: leak_packets - old.leak_packets,
            leak: ByteCount(leak - old.leak),
            payload: payload.map(ByteCount),
        };
        if span == KernelSpan::Reset {
            self.row.clear();
        }
        self.row.push((count.to_members(), payload));
        if self.row.len() > 3 {
            self.row.remove(0);
        }
        count
    }

    /// Nothing could be read: what comes next is measured against the last reading, and not compared over the hole.
    pub(super) fn broke(&mut self) {
        self.row.clear();
    }

    /// Whether more payload arrived than the kernel let through: that of the reading before this one, against what passed
    /// from the one before it on. A request may have left before the moment of a reading and been answered after it, and the
    /// end of an answer may still be on its way when the ledger has it; neither takes a whole hour. None: it cannot be told.
    pub(super) fn is_short(&self) -> Option<bool> {
        let [(before, _), (between, payload), (after, _)] = self.row[..] else { return None };
        let payload = payload.filter(|payload| *payload > 0)?;
        Some(payload > before.saturating_add(between).saturating_add(after))
    }

    /// The last reading as a line. Only the last of a start can be compared with the first of the next: between them nothing
    /// is sent.
    pub(super) fn text(&self, is_last: bool) -> String {
        let Some(Kept { at, counters, .. }) = self.last else { return String::new() };
        let Counters { lawful, talk, leak_packets, leak } = counters;
        let end = if is_last { "ended" } else { "running" };
        format!("{} {lawful} {talk} {leak_packets} {leak} {end}\n", at.0)
    }
}

fn parse(text: &str) -> Option<Kept> {
    let [at, lawful, talk, leak_packets, leak, end] = text.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let number = |word: &str| word.parse::<u64>().ok();
    let counters = Counters {
        lawful: number(lawful)?,
        talk: number(talk)?,
        leak_packets: number(leak_packets)?,
        leak: number(leak)?,
    };
    let sent = match end {
        "ended" => Some(0),
        "running" => None,
        _ => return None,
    };
    Some(Kept { at: WallTime(number(at)?), counters, sent })
}
