//! Which program this is, for the record of a start.

use std::fs::File;

use object::elf::{ELF_NOTE_GNU, FileHeader64, NT_GNU_BUILD_ID};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadCache};

#[cfg(test)]
mod tests;

/// The id that the linker gave to this build (the note `NT_GNU_BUILD_ID`), which `readelf -n PROGRAM` shows; empty if it gave none
/// or the file cannot be read. A hash over the whole file would say the same, and keep a start waiting while it reads hundreds
/// of megabytes.
pub(crate) fn build_id() -> Vec<u8> {
    let Ok(file) = std::env::current_exe().and_then(File::open) else { return Vec::new() };
    read(file).ok().flatten().unwrap_or_default()
}

/// Looks at the notes and at nothing else: a table of symbols would take tens of megabytes.
fn read(file: File) -> object::Result<Option<Vec<u8>>> {
    let pages = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&pages)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, &pages)? {
        let Some(mut notes) = segment.notes(endian, &pages)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == ELF_NOTE_GNU && note.n_type(endian) == NT_GNU_BUILD_ID {
                return Ok(Some(note.desc().to_vec()));
            }
        }
    }
    Ok(None)
}
