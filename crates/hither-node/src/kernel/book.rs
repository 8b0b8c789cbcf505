//! What was counted between two readings, and whether that can be.

use std::collections::VecDeque;

use hither_types::kernel::{KernelCount, KernelSpan};
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;

use super::counters::Counters;
use crate::limits::KERNEL_ROW;

/// A reading that the next is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    at: WallTime,
    counters: Counters,
    /// What had arrived since the start of the node; none if that is not known.
    sent: Option<u64>,
}

/// What was found between two readings.
#[derive(Debug)]
struct Span {
    /// What the kernel let through to members.
    passed: u64,
    payload: Option<u64>,
    /// In which span that began to leave which arrived in this one: the first of them.
    began: u64,
}

/// The last readings.
#[derive(Debug)]
pub(super) struct Book {
    last: Option<Kept>,
    /// The last ones without a break.
    row: VecDeque<Span>,
    /// How many there were: the number of the span that goes on now.
    number: u64,
    /// How many readings later what was given to the transport has passed the kernel.
    lag: usize,
}

impl Book {
    /// With the reading that an earlier start of the node kept.
    pub(super) fn open(text: Option<&str>, lag: usize) -> Self {
        Self { last: text.and_then(parse), row: VecDeque::new(), number: 0, lag: lag.max(1) }
    }

    /// The number of the span that goes on now.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Takes a reading in, with the number of the span in which the first of what arrived began to leave.
    pub(super) fn take(&mut self, at: WallTime, counters: Counters, sent: Option<u64>, began: u64) -> KernelCount {
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
        self.row.push_back(Span { passed: count.to_members(), payload, began });
        if self.row.len() > KERNEL_ROW {
            self.row.pop_front();
        }
        self.number += 1;
        count
    }

    /// Nothing could be read: what comes next is measured against the last reading, and not compared over the hole.
    pub(super) fn broke(&mut self) {
        self.row.clear();
    }

    /// Whether more payload arrived than the kernel let through: that of a span that ended some readings ago, against what
    /// passed from the first span in which any of it can have left until now. A request leaves before it is answered, and with
    /// short spans that may be many of them; the end of an answer may still be on its way when the ledger has it. None: it
    /// cannot be told.
    pub(super) fn is_short(&self) -> Option<bool> {
        let judged = self.row.len().checked_sub(1 + self.lag)?;
        // What arrived while a reading was on its way here is payload of the span after it, and began with the others.
        let (before, span) = (self.row.get(judged.checked_sub(1)?)?, self.row.get(judged)?);
        let payload = span.payload.filter(|payload| *payload > 0)?;
        let first = self.number - self.row.len() as u64;
        let began = span.began.min(before.began).min(first + judged as u64 - 1);
        let skipped = usize::try_from(began.checked_sub(first)?).ok()?;
        let passed = self.row.iter().skip(skipped).fold(0_u64, |sum, span| sum.saturating_add(span.passed));
        Some(payload > passed)
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
