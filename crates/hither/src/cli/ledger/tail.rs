//! `hither ledger tail`: records as they are written.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hither_ledger::{LINE_BYTES_MAX, Record, read};

use super::{record_text, trouble};
use crate::cli::Context;
use crate::output::Trouble;

/// The file that grows.
const OPEN: &str = "ledger.jsonl";

/// How often the file is looked at: a person does not see less.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Shows the last records, then each new one, until the program is ended. Nothing is verified; numbers must be dense.
pub(super) fn follow(context: &Context, dir: &Path, last: usize) -> Result<(), Trouble> {
    let (mut next, mut shown) = (0, Vec::new());
    // Opened before the records are read: what is written meanwhile is in this file, or in those behind it. There is none
    // between the end of one segment and the first record of the next.
    let file = Followed::open(dir, None).ok();
    for record in read(dir).map_err(|error| trouble(&error))? {
        let record = record.map_err(|error| trouble(&error))?;
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
    let mut file = file.map_or_else(|| Followed::open(dir, Some(next)), Ok)?;
    loop {
        // Looked at before it is read to its end: when another has its name, nothing more comes into this one.
        let is_over = !file.is_current(dir)?;
        let lines = file.read()?;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(&line[..line.len() - 1]);
            let record = Record::parse(&text).ok().filter(|record| record.seq <= next).ok_or_else(|| {
                let text = format!("{}, up to byte {}, does not hold record {next}", file.path.display(), file.offset);
                Trouble::new("E0801", text).help(format!("hither ledger verify {}", dir.display()))
            })?;
            // What stands before it was shown already.
            if record.seq == next {
                if say(context, &record).is_err() {
                    return Ok(());
                }
                next += 1;
            }
        }
        match (lines.is_empty(), is_over) {
            (true, true) => file = Followed::open(dir, Some(next))?,
            (true, false) => std::thread::sleep(LOOK_EVERY),
            (false, _) => {}
        }
    }
}

/// The file that grows.
struct Followed {
    path: PathBuf,
    file: File,
    /// How far it was read.
    offset: u64,
}

impl Followed {
    /// The open segment, or the closed one that begins with a record: another may have been closed since.
    fn open(dir: &Path, first: Option<u64>) -> Result<Self, Trouble> {
        let closed = first.map(|first| dir.join(format!("ledger-{first:020}.jsonl"))).filter(|path| path.exists());
        let path = closed.unwrap_or_else(|| dir.join(OPEN));
        loop {
            match File::open(&path) {
                Ok(file) => return Ok(Self { path, file, offset: 0 }),
                // Between the end of one and the first record of the next there is none.
                Err(error) if error.kind() == ErrorKind::NotFound && first.is_some() => std::thread::sleep(LOOK_EVERY),
                Err(error) => return Err(unread(&path, &error)),
            }
        }
    }

    /// Whether the open segment is still this file.
    fn is_current(&self, dir: &Path) -> Result<bool, Trouble> {
        let of = |data: &Metadata| (data.dev(), data.ino());
        let mine = self.file.metadata().map_err(|error| unread(&self.path, &error))?;
        Ok(std::fs::metadata(dir.join(OPEN)).is_ok_and(|data| of(&data) == of(&mine)))
    }

    /// What was written since, as far as whole lines go.
    fn read(&mut self) -> Result<Vec<u8>, Trouble> {
        let failed = |error: std::io::Error| unread(&self.path, &error);
        if self.file.metadata().map_err(failed)?.len() < self.offset {
            let text = format!(
                "{} became shorter: it was damaged, or records that were shown found no room on the disk and were taken back",
                self.path.display()
            );
            return Err(Trouble::new("E0801", text).help("hither ledger verify DATA/ledger"));
        }
        self.file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let mut lines = Vec::new();
        (&self.file).take(64 * LINE_BYTES_MAX as u64).read_to_end(&mut lines).map_err(failed)?;
        lines.truncate(lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
        self.offset += lines.len() as u64;
        Ok(lines)
    }
}

fn unread(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::new("E0804", format!("{} cannot be read: {error}", path.display()))
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
