//! One file of a model that comes in several: the parts of a split GGUF model, an ONNX model with data in files beside it.
//! The mesh knows models of one file each, so they are joined before a node hears of them.
//!
//! What must stay true: the files of others are read and never changed; the joined one lies below `incoming` of the data
//! directory, where nobody else writes, and goes when this is dropped, whatever happened; if a signature was checked, every
//! byte that was joined is of a file as it was checked.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hither_engine::gguf::{GgufFault, JoinFault, Parts};
use hither_engine::onnx::{FillFault, OnnxFault, Outside};
use hither_sources::{Fetched, FetchedFile, Source, make_room};
use indicatif::{ProgressBar, ProgressStyle};

use super::super::Context;
use super::add::bar;
use crate::output::{Trouble, chain, plain};

#[cfg(test)]
mod tests;

/// The directory of the joined file: no file that is fetched can have this name.
const JOINED: &str = ".joined";

/// The code of a failure for which the files are not to blame: what was fetched is still of use.
pub(super) const NO_PLACE: &str = "E0156";

/// Bytes that are written to the disk at once.
const WRITE: usize = 1 << 20;

/// A file's BLAKE3, by which the mesh knows it.
type Blake3 = [u8; 32];

/// An ONNX model with data in files beside it.
pub(super) struct Loose {
    outside: Outside,
    /// The model as it was read for that.
    digest: Blake3,
}

impl Loose {
    /// The files that it names.
    pub(super) fn names(&self) -> &[String] {
        self.outside.names()
    }
}

/// A file that was made of several. It is removed when this is dropped.
pub(super) struct Joined {
    pub(super) path: PathBuf,
    /// The names of the files that it was made of.
    pub(super) names: Vec<String>,
    /// Held, so that nobody else writes the same file meanwhile.
    file: File,
}

impl Drop for Joined {
    fn drop(&mut self) {
        // What cannot be removed now is written over by the next attempt.
        let _ = std::fs::remove_file(&self.path);
        for dir in self.path.ancestors().skip(1).take(2) {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

/// Looks whether a model of one file names others. Whatever else is wrong with it, the node says.
pub(super) fn loose(source: &Source, model: &FetchedFile) -> Result<Option<Loose>, Trouble> {
    let mut reader = Reader::new(&model.path, Links::Followed, ProgressBar::hidden());
    match Outside::read(&mut reader, model.size.0) {
        Ok(outside) => Ok(outside.map(|outside| Loose { outside, digest: reader.digest() })),
        Err(fault @ OnnxFault::TooLarge(_)) => Err(cannot(source, &fault)
            .help("save its weights in a smaller type, or give it as GGUF if it is a language model")),
        Err(fault @ OnnxFault::Outside { .. }) => {
            Err(cannot(source, &fault).help("save the model with its data in one file, or in files beside it"))
        }
        Err(_) => Ok(None),
    }
}

/// Joins the files of a model, if it has several. `checked` is what was found of each of them when a signature was checked.
pub(super) fn join(
    context: &Context,
    source: &Source,
    (fetched, loose): (&Fetched, Option<&Loose>),
    checked: Option<&[Blake3]>,
    into: &Path,
) -> Result<Option<Joined>, Trouble> {
    if fetched.others.is_empty() {
        return Ok(None);
    }
    let files: Vec<&FetchedFile> = std::iter::once(&fetched.model).chain(&fetched.others).collect();
    let bar = bar(context);
    if let Ok(style) = ProgressStyle::with_template(
        "joins the files to one  {bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
    ) {
        bar.set_style(style);
    }
    bar.set_length(files.iter().map(|file| file.size.0).sum());
    let to = |length: u64| {
        let dir = into.join(JOINED);
        let room = context.wait(async { make_room(&dir, length).await.map_err(|error| no_place(source, &error)) });
        room.inspect_err(|_| {
            // They are empty, or of use to somebody else.
            let _ = (std::fs::remove_dir(&dir), std::fs::remove_dir(into));
        })?;
        Joined::create(source, dir, &files)
    };
    let joined = match loose {
        None => join_parts(source, &files, (&bar, to)),
        Some(loose) => fill(source, &files, loose, (&bar, to)),
    };
    bar.finish_and_clear();
    let (joined, read) = joined?;
    if let Some(checked) = checked {
        as_checked(&files, &read, checked)?;
    }
    Ok(Some(joined))
}

/// Whether what was joined is what was checked.
fn as_checked(files: &[&FetchedFile], read: &[Blake3], checked: &[Blake3]) -> Result<(), Trouble> {
    let changed = (0..files.len()).find(|&at| read.get(at).is_none() || read.get(at) != checked.get(at));
    changed.map_or(Ok(()), |at| {
        let text = format!("{} changed after its signature was checked", files[at].path.display());
        Err(Trouble::new("E0450", text).help("add it again from a place where nobody writes"))
    })
}

/// Joins the parts of a split GGUF model. Gives the BLAKE3 of each, too.
fn join_parts(
    source: &Source,
    files: &[&FetchedFile],
    (bar, to): (&ProgressBar, impl FnOnce(u64) -> Result<Joined, Trouble>),
) -> Result<(Joined, Vec<Blake3>), Trouble> {
    let wrong = |fault: JoinFault| {
        let trouble = cannot(source, &fault).help("get all parts again, of one version of the model");
        match &fault {
            JoinFault::Unwritable(_) => no_place(source, &fault),
            JoinFault::Part { fault: GgufFault::Unreadable(_), .. } => unreadable(source, &fault),
            JoinFault::Part { number, .. } => {
                trouble.note(format!("part {number} is {}", files[number - 1].path.display()))
            }
            _ => trouble,
        }
    };
    let readers =
        files.iter().map(|file| (Reader::new(&file.path, Links::Followed, bar.clone()), file.size.0)).collect();
    let parts = Parts::read(readers).map_err(wrong)?;
    let joined = to(parts.length())?;
    let mut out = BufWriter::with_capacity(WRITE, &joined.file);
    let readers = parts.write(&mut out).map_err(wrong)?;
    out.into_inner().map_err(|error| wrong(JoinFault::Unwritable(error.into_error())))?;
    Ok((joined, readers.iter().map(Reader::digest).collect()))
}

/// Brings the data of an ONNX model into it. Gives the BLAKE3 of each file, too.
fn fill(
    source: &Source,
    files: &[&FetchedFile],
    loose: &Loose,
    (bar, to): (&ProgressBar, impl FnOnce(u64) -> Result<Joined, Trouble>),
) -> Result<(Joined, Vec<Blake3>), Trouble> {
    let joined = to(loose.outside.length())?;
    let (model, data) = files.split_first().expect("a model has a file");
    let mut reader = Reader::new(&model.path, Links::Followed, bar.clone());
    // The model says which files these are, so none of them may lead elsewhere by the time that it is opened.
    let mut data: Vec<(Reader, u64)> =
        data.iter().map(|file| (Reader::new(&file.path, Links::Refused, bar.clone()), file.size.0)).collect();
    let mut out = BufWriter::with_capacity(WRITE, &joined.file);
    loose.outside.write(&mut reader, &mut data, &mut out).map_err(|fault| match &fault {
        FillFault::Unwritable(_) => no_place(source, &fault),
        FillFault::Model(OnnxFault::Unreadable(_)) | FillFault::Data { fault: OnnxFault::Unreadable(_), .. } => {
            unreadable(source, &fault)
        }
        _ => cannot(source, &fault),
    })?;
    drop(out);
    let digest = reader.digest();
    if digest != loose.digest {
        let text = format!("{} changed while it was read", model.path.display());
        return Err(Trouble::new("E0145", text).help("add it again from a place where nobody writes"));
    }
    Ok((joined, std::iter::once(digest).chain(data.iter().map(|(reader, _)| reader.digest())).collect()))
}

fn cannot(source: &Source, fault: &dyn std::error::Error) -> Trouble {
    Trouble::new("E0145", format!("{source} cannot be joined to one file: {}", plain(&chain(fault))))
}

fn blameless(source: &Source, fault: &dyn std::error::Error) -> Trouble {
    Trouble::new(NO_PLACE, cannot(source, fault).message)
}

/// The files are right, and there is no place for what is made of them.
fn no_place(source: &Source, fault: &dyn std::error::Error) -> Trouble {
    blameless(source, fault).help("make room on the disk of the data directory, and type the same again: df -h")
}

/// Files that are here cannot be read: as far as is known they are right, and what was fetched stays.
fn unreadable(source: &Source, fault: &dyn std::error::Error) -> Trouble {
    blameless(source, fault)
        .help("what was fetched is kept: look at the disk (dmesg) and at how many files may be open (ulimit -n)")
}

impl Joined {
    /// Makes an empty file for them, named after the model.
    fn create(source: &Source, dir: PathBuf, files: &[&FetchedFile]) -> Result<Self, Trouble> {
        let names: Vec<String> =
            files.iter().filter_map(|file| file.path.file_name()).map(|name| plain(&name.to_string_lossy())).collect();
        let ending = files[0].path.extension().and_then(|ending| ending.to_str()).unwrap_or("gguf");
        let name =
            source.model_name().map_or_else(|| "model".to_owned(), |name| name.as_str().replace(['/', ':'], "-"));
        let path = dir.join(format!("{name}.{ending}"));
        let unusable = |error: &dyn std::error::Error| {
            Trouble::new(NO_PLACE, format!("{} cannot be written: {}", path.display(), chain(error)))
        };
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| unusable(&error))?;
        if let Err(error) = file.try_lock() {
            return Err(unusable(&error).help("wait until the other hither models add of it has ended"));
        }
        let joined = Self { path, names, file };
        // What an attempt left that was killed.
        joined.file.set_len(0).map_err(|error| no_place(source, &error))?;
        Ok(joined)
    }

    /// Its BLAKE3.
    pub(super) fn digest(&self) -> Result<Blake3, Trouble> {
        let mut hasher = blake3::Hasher::new();
        let read = File::open(&self.path).and_then(|file| hasher.update_reader(file).map(|_| ()));
        read.map_err(|error| Trouble::new("E0145", format!("{} cannot be read: {error}", self.path.display())))?;
        Ok(*hasher.finalize().as_bytes())
    }
}

/// Whether a link is followed where a file should be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    Refused,
}

/// A file that is opened when it is read, closed at its end, and hashed on the way.
struct Reader {
    path: PathBuf,
    links: Links,
    file: Option<File>,
    is_over: bool,
    hasher: blake3::Hasher,
    bar: ProgressBar,
}

impl Reader {
    fn new(path: &Path, links: Links, bar: ProgressBar) -> Self {
        Self { path: path.to_owned(), links, file: None, is_over: false, hasher: blake3::Hasher::new(), bar }
    }

    fn open(&self) -> io::Result<File> {
        let flags = match self.links {
            Links::Followed => 0,
            Links::Refused => libc::O_NOFOLLOW,
        };
        // A pipe that stands there by now keeps nobody waiting.
        let file = File::options().read(true).custom_flags(flags | libc::O_NONBLOCK).open(&self.path)?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is no file")),
        }
    }

    /// The BLAKE3 of what was read.
    fn digest(&self) -> Blake3 {
        *self.hasher.finalize().as_bytes()
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        if self.file.is_none() {
            self.file = Some(self.open()?);
        }
        let count = self.file.as_mut().map_or(Ok(0), |file| file.read(buffer))?;
        if count == 0 && !buffer.is_empty() {
            (self.file, self.is_over) = (None, true);
        }
        self.hasher.update(&buffer[..count]);
        self.bar.inc(count as u64);
        Ok(count)
    }
}
