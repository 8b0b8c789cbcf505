//! `hither ledger tail`: records as they are written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use hither_ledger::{LINE_BYTES_MAX, Record, read};

use super::{record_text, trouble};
use crate::cli::Context;
use crate::output::Trouble;

/// How often the file is looked at: a person does not see less.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Shows the last records, then each new one, until the program is ended. Nothing is verified; numbers must be dense.
pub(super) fn follow(context: &Context, dir: &Path, last: usize) -> Result<(), Trouble> {
    let (mut offset, mut next, mut shown) = (0, 0, Vec::new());
    for record in read(dir).map_err(|error| trouble(&error))? {
        let record = record.map_err(|error| trouble(&error))?;
        offset += record.line.len() as u64 + 1;
        next = record.seq + 1;
        shown.push(record);
        if shown.len() > 2 * last {
            shown.drain(..shown.len() - last);
        }
    }
    for record in shown.iter().skip(shown.len().saturating_sub(last)) {
        if say(context, record).is_err() {
            return Ok(());
        }
    }
    let path = dir.join("ledger.jsonl");
    let unread = |error: std::io::Error| Trouble::new("E0804", format!("{} cannot be read: {error}", path.display()));
    let mut rest = Vec::new();
    loop {
        // Opened each time: a ledger that was put aside is another file.
        let mut file = File::open(&path).map_err(unread)?;
        if file.metadata().map_err(unread)?.len() < offset {
            let text = format!(
                "{} became shorter: it is another ledger now, it was damaged, or records that were shown found no room on \
                 the disk and were taken back",
                path.display()
            );
            return Err(Trouble::new("E0801", text).help(format!("hither ledger verify {}", dir.display())));
        }
        file.seek(SeekFrom::Start(offset)).map_err(unread)?;
        rest.clear();
        file.take(64 * LINE_BYTES_MAX as u64).read_to_end(&mut rest).map_err(unread)?;
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in rest[..whole].split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(&line[..line.len() - 1]);
            let record = Record::parse(&text).ok().filter(|record| record.seq == next).ok_or_else(|| {
                let text = format!("{}, from byte {offset} on, is not record {next}", path.display());
                Trouble::new("E0801", text).help(format!("hither ledger verify {}", dir.display()))
            })?;
            if say(context, &record).is_err() {
                return Ok(());
            }
            next += 1;
            offset += line.len() as u64;
        }
        if whole == 0 {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// An error if nobody reads any more.
fn say(context: &Context, record: &Record) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match context.screen.is_json() {
        true => writeln!(out, "{}", record.line)?,
        false => out.write_all(record_text(record).as_bytes())?,
    }
    out.flush()
}
