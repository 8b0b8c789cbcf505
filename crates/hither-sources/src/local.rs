//! Files and directories of this machine. They stay where they are: whoever takes them into a store copies them anyway.

use std::path::{Path, PathBuf};

use hither_types::unit::ByteCount;
use sha2::Digest;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::checksum::Sha256;
use crate::choose::{Candidate, choose};
use crate::error::FetchError;
use crate::fetch::FetchedFile;
use crate::limits;
use crate::name::{FileName, Part};
use crate::progress::{Meter, Stage};

/// The files of the model at a path: the first is the one to open.
pub(crate) async fn find(path: &Path) -> Result<Vec<FetchedFile>, FetchError> {
    let absent = |source| FetchError::Local { path: path.to_owned(), source };
    let there = tokio::fs::metadata(path).await.map_err(absent)?;
    if there.is_dir() {
        return pick(path, None).await;
    }
    if !there.is_file() {
        return Err(FetchError::Kind(path.to_owned()));
    }
    // Read it once, so that a file that may not be read is told here and not by a worker.
    File::open(path).await.map_err(absent)?;
    let has_siblings = path.extension().is_some_and(|ending| ending == "gguf" || ending == "onnx");
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(dir), Some(name)) if has_siblings => {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            pick(dir, Some(name)).await
        }
        _ => Ok(vec![FetchedFile { path: path.to_owned(), size: ByteCount(there.len()), sha256: None }]),
    }
}

async fn pick(dir: &Path, wanted: Option<&str>) -> Result<Vec<FetchedFile>, FetchError> {
    let unreadable = |source| FetchError::Local { path: dir.to_owned(), source };
    let mut entries = tokio::fs::read_dir(dir).await.map_err(unreadable)?;
    let mut files: Vec<(String, u64)> = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !belongs(&name, wanted) {
            continue;
        }
        if files.len() >= limits::DIRECTORY_ENTRIES {
            return Err(FetchError::Crowded(dir.to_owned()));
        }
        // What a link points to counts, as it does for whoever opens it.
        if let Ok(there) = tokio::fs::metadata(entry.path()).await
            && there.is_file()
        {
            files.push((name, there.len()));
        }
    }
    files.sort();
    let candidates: Vec<Candidate<'_>> = files.iter().map(|(name, _)| Candidate { name, is_declared: false }).collect();
    let wrong = |source| FetchError::Choice { place: dir.display().to_string(), source, by_hash: false };
    let chosen = choose(&candidates, wanted).map_err(wrong)?;
    let file =
        |place: usize| FetchedFile { path: dir.join(&files[place].0), size: ByteCount(files[place].1), sha256: None };
    Ok(chosen.into_iter().map(file).collect())
}

/// A file beside a model that the model names. A link is not followed: where it leads, the model cannot know, and whoever made
/// both could have made it lead anywhere.
pub(crate) async fn beside(model: &Path, name: &FileName) -> Result<FetchedFile, FetchError> {
    let path = name.in_dir(model.parent().unwrap_or(Path::new("")));
    let wrong = |why| FetchError::Beside { file: name.to_string(), why };
    match tokio::fs::symlink_metadata(&path).await {
        Ok(there) if there.is_file() => Ok(FetchedFile { path, size: ByteCount(there.len()), sha256: None }),
        Ok(there) if there.is_symlink() => Err(wrong("that is a link; put the file itself there")),
        Ok(_) => Err(wrong("that is no file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(wrong("there is no such file beside it")),
        Err(source) => Err(FetchError::Local { path, source }),
    }
}

/// Whether a name can have to do with the file that is wanted, or with any model.
fn belongs(name: &str, wanted: Option<&str>) -> bool {
    match wanted {
        Some(wanted) => name.starts_with(Part::of(wanted).map_or(wanted, |part| part.base)),
        None => !name.starts_with('.'),
    }
}

/// Reads a file to its end, for its checksum.
pub(crate) async fn hashed(path: PathBuf, meter: &Meter<'_>) -> Result<FetchedFile, FetchError> {
    let unreadable = |source| FetchError::Local { path: path.clone(), source };
    let mut file = File::open(&path).await.map_err(unreadable)?;
    let size = file.metadata().await.map_err(unreadable)?.len();
    meter.stage(Stage::Checking);
    meter.size(Some(size));
    let (mut hasher, mut done, mut buffer) = (sha2::Sha256::new(), 0, vec![0; limits::READ]);
    loop {
        let read = file.read(&mut buffer).await.map_err(unreadable)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        done += read as u64;
        meter.done(done);
    }
    Ok(FetchedFile { path, size: ByteCount(done), sha256: Some(Sha256(hasher.finalize().into())) })
}
