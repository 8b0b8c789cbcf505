//! A tar archive, compressed: the POSIX form (ustar) of plain files with short names is all that a report needs.

use std::io::{self, Write};

/// The size of a block of an archive.
const BLOCK: usize = 512;

/// The longest name that fits its field.
const NAME_MAX: usize = 100;

/// Writes files into an archive.
pub(super) fn pack(files: &[(String, Vec<u8>)], modified: u64, out: impl Write) -> io::Result<()> {
    let mut out = flate2::write::GzEncoder::new(out, flate2::Compression::default());
    for (name, content) in files {
        out.write_all(&header(name, content.len(), modified)?)?;
        out.write_all(content)?;
        out.write_all(&vec![0; content.len().next_multiple_of(BLOCK) - content.len()])?;
    }
    out.write_all(&[0; 2 * BLOCK])?;
    out.finish()?.flush()
}

fn header(name: &str, size: usize, modified: u64) -> io::Result<[u8; BLOCK]> {
    if name.len() > NAME_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is too long a name")));
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{modified:011o}\0"));
    // The sum is taken with blanks in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}
