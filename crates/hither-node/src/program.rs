//! Which program this is, for the record of a start.

use std::fs::File;

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ReadCache};

#[cfg(test)]
mod tests;

/// The id that the linker gave to this build (the note `NT_GNU_BUILD_ID`), which `readelf -n PROGRAM` shows; empty if it gave none
/// or the file cannot be read. A hash over the whole file would say the same, and keep a start waiting while it reads hundreds
/// of megabytes.
pub(crate) fn build_id() -> Vec<u8> {
    let Ok(file) = std::env::current_exe().and_then(File::open) else { return Vec::new() };
    // Only the pages that are asked for are read.
    let pages = ReadCache::new(file);
    let id = ElfFile64::<Endianness, _>::parse(&pages).and_then(|elf| Ok(elf.build_id()?.map(<[u8]>::to_vec)));
    id.ok().flatten().unwrap_or_default()
}
