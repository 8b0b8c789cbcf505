//! Which closed segments are older than the law wants records kept.
//!
//! A segment goes as a whole, and what it holds may come from several places: it stays as long as the longest of their
//! periods. What nobody knows the origin of stays as long as the longest period of all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use hither_types::law::Retention;
use hither_types::place::Jurisdiction;
use hither_types::time::WallTime;
use hither_types::unit::{ByteCount, Days};

use crate::body::parse_rfc3339;
use crate::damage::{Damage, VerifyError};
use crate::limits::LINE_BYTES_MAX;
use crate::record::{Kind, Record, RecordError};
use crate::segments::{Form, Segment, list};

const DAY_MS: u64 = 86_400_000;

/// A closed segment whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The number of its first record.
    pub first: u64,
    /// How many records it holds.
    pub count: u64,
    /// How long it had to be kept: the longest period among its origins.
    pub days: Days,
    /// Where its requests came from, and where the node stood.
    pub origins: Vec<Jurisdiction>,
    /// The time of its oldest record.
    pub from: String,
    /// The time of its newest record, from which the days count.
    pub to: String,
    /// How long its file is.
    pub bytes: ByteCount,
}

/// What a policy makes of the segments of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Those whose time is over, oldest first.
    pub expired: Vec<Expired>,
    /// How many other closed ones there are.
    pub kept: u64,
    /// Before this moment none of the others is over; none if there are no others.
    pub not_before: Option<WallTime>,
}

/// Looks at the closed segments of a ledger, and at the open one if it is of an earlier day: before anything is deleted it
/// has to be closed ([`Ledger::end_day`](crate::Ledger::end_day)). `here`: where its node stands.
pub fn plan(dir: &Path, retention: &Retention, here: Jurisdiction, now: WallTime) -> Result<Plan, VerifyError> {
    let mut plan = Plan::default();
    let listed = list(dir).map_err(|source| VerifyError::Io { path: dir.to_owned(), source })?;
    for segment in listed.into_iter().filter(|segment| segment.form != Form::Hashes) {
        let read = match look(dir, segment, retention, here, now) {
            // Its node deleted it meanwhile.
            Err(VerifyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        match read {
            Age::Over(expired) => plan.expired.push(expired),
            Age::Until(_) if segment.form == Form::Open => {}
            Age::Until(until) => {
                plan.kept += 1;
                plan.not_before = plan.not_before.map_or(Some(until), |before| Some(before.min(until)));
            }
        }
    }
    Ok(plan)
}

enum Age {
    Over(Expired),
    Until(WallTime),
}

fn look(
    dir: &Path,
    segment: Segment,
    retention: &Retention,
    here: Jurisdiction,
    now: WallTime,
) -> Result<Age, VerifyError> {
    let path = dir.join(segment.name());
    let failed = |source| VerifyError::Io { path: path.clone(), source };
    let mut file = File::open(&path).map_err(failed)?;
    // Most are too young whatever they hold: their last record tells.
    let last = last_line(&mut file).map_err(failed)?;
    let young = std::str::from_utf8(&last).ok().and_then(|line| Record::parse(line).ok());
    if segment.form == Form::Open && young.is_none() {
        // Empty, or being written.
        return Ok(Age::Until(WallTime(u64::MAX)));
    }
    if let Some(until) = young.map(|record| end(&record.ts, retention.shortest())).filter(|until| *until > now) {
        return Ok(Age::Until(until));
    }
    let bytes = ByteCount(file.metadata().map_err(failed)?.len());
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut lines = BufReader::new(file);
    let (mut held, mut line, mut offset) = (Held::new(here), Vec::new(), 0);
    loop {
        line.clear();
        lines.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).map_err(failed)?;
        if line.is_empty() {
            break;
        }
        let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        let record = text.ok_or(RecordError::Form("cut off")).and_then(Record::parse).map_err(|error| {
            let seq = held.first.or(segment.first).unwrap_or(0) + held.count;
            VerifyError::Damaged { dir: dir.to_owned(), damage: Damage::Record { seq, offset, error } }
        })?;
        offset += line.len() as u64;
        held.add(&record);
    }
    Ok(held.age(retention, bytes, now))
}

/// The last line of a file, without its line feed.
fn last_line(file: &mut File) -> io::Result<Vec<u8>> {
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LINE_BYTES_MAX as u64 + 1)))?;
    let mut end = Vec::new();
    file.take(LINE_BYTES_MAX as u64 + 1).read_to_end(&mut end)?;
    end.truncate(end.len().saturating_sub(1));
    let begin = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(end.split_off(begin))
}

/// When records of a time have been kept for so long. A time that cannot be read is never over.
fn end(ts: &str, days: Days) -> WallTime {
    let kept = |wall: WallTime| WallTime(wall.0.saturating_add(u64::from(days.0) * DAY_MS));
    parse_rfc3339(ts).map_or(WallTime(u64::MAX), kept)
}

/// What a segment holds.
struct Held {
    origins: BTreeSet<Jurisdiction>,
    /// Whether there is a record of which nobody knows where it comes from.
    has_strange: bool,
    span: Option<(String, String)>,
    first: Option<u64>,
    count: u64,
}

impl Held {
    fn new(here: Jurisdiction) -> Self {
        Self { origins: [here].into(), has_strange: false, span: None, first: None, count: 0 }
    }

    fn add(&mut self, record: &Record) {
        self.count += 1;
        self.first.get_or_insert(record.seq);
        self.has_strange |= record.kind == Kind::Unknown;
        self.origins.extend(record.subjects.iter().copied());
        let is_of_place =
            matches!(record.kind, Kind::IngressAccept | Kind::IngressRefuse | Kind::EgressAnswer | Kind::ConfigStart);
        self.origins.extend(record.place.as_ref().filter(|_| is_of_place).map(|place| place.jurisdiction));
        match &mut self.span {
            None => self.span = Some((record.ts.clone(), record.ts.clone())),
            Some((from, to)) => {
                if record.ts < *from {
                    record.ts.clone_into(from);
                }
                if record.ts > *to {
                    record.ts.clone_into(to);
                }
            }
        }
    }

    fn age(self, retention: &Retention, bytes: ByteCount, now: WallTime) -> Age {
        let longest = self.origins.iter().map(|origin| retention.of(*origin)).max().unwrap_or(retention.default);
        let days = if self.has_strange { retention.longest() } else { longest };
        let (from, to) = self.span.unwrap_or_default();
        let until = end(&to, days);
        let origins = self.origins.into_iter().collect();
        match until <= now {
            true => {
                Age::Over(Expired { first: self.first.unwrap_or(0), count: self.count, days, origins, from, to, bytes })
            }
            false => Age::Until(until),
        }
    }
}

#[cfg(test)]
mod tests;
