//! What is read is what is hashed, and what changed since it was checked is refused.

use std::io::Read as _;
use std::path::Path;

use hither_sources::{FetchedFile, Source};
use hither_types::unit::ByteCount;
use indicatif::ProgressBar;

use super::{Joined, Links, NO_PLACE, Reader, as_checked};

fn file(path: &Path) -> FetchedFile {
    FetchedFile { path: path.to_owned(), size: ByteCount(0), sha256: None }
}

#[test]
fn what_changed_after_it_was_checked_is_refused() {
    let (one, two) = (file(Path::new("a.onnx")), file(Path::new("b.bin")));
    let files = [&one, &two];
    assert!(as_checked(&files, &[[1; 32], [2; 32]], &[[1; 32], [2; 32]]).is_ok());
    for (read, checked, changed) in [
        (&[[1; 32], [3; 32]][..], &[[1; 32], [2; 32]][..], "b.bin"),
        (&[[3; 32], [2; 32]], &[[1; 32], [2; 32]], "a.onnx"),
        (&[[1; 32]], &[[1; 32], [2; 32]], "b.bin"),
        (&[[1; 32], [2; 32]], &[[1; 32]], "b.bin"),
        (&[], &[], "a.onnx"),
    ] {
        let trouble = as_checked(&files, read, checked).unwrap_err();
        assert_eq!((trouble.code.as_str(), trouble.message.starts_with(changed)), ("E0450", true), "{trouble:?}");
    }
}

#[test]
fn a_reader_hashes_what_it_gives_and_follows_only_whom_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link, pipe) = (dir.path().join("w"), dir.path().join("link"), dir.path().join("pipe"));
    std::fs::write(&path, [7; 200_000]).unwrap();
    std::os::unix::fs::symlink("w", &link).unwrap();
    let reader = |path: &Path, links| Reader::new(path, links, ProgressBar::hidden());
    for (path, links) in [(&path, Links::Refused), (&path, Links::Followed), (&link, Links::Followed)] {
        let (mut reader, mut read) = (reader(path, links), Vec::new());
        reader.read_to_end(&mut read).unwrap();
        assert_eq!((read.len(), reader.digest()), (200_000, *blake3::hash(&read).as_bytes()));
        // What comes behind the end by then is not read.
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    }
    assert!(reader(&link, Links::Refused).read(&mut [0; 9]).is_err());
    assert!(reader(dir.path(), Links::Followed).read(&mut [0; 9]).is_err());
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success() && reader(&pipe, Links::Followed).read(&mut [0; 9]).is_err());
}

#[test]
fn a_joined_file_is_one_attempts_alone_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (into, model) = (dir.path().join("key"), file(Path::new("/m/Chat-00001-of-00002.gguf")));
    let source: Source = "/m/Chat-00001-of-00002.gguf".parse().unwrap();
    let create = || {
        std::fs::create_dir_all(into.join(".joined")).unwrap();
        Joined::create(&source, into.join(".joined"), &[&model])
    };
    let joined = create().unwrap();
    assert_eq!((joined.path.clone(), joined.names.len()), (into.join(".joined/chat.gguf"), 1));
    std::fs::write(&joined.path, b"GGUF").unwrap();
    assert_eq!(joined.digest().unwrap(), *blake3::hash(b"GGUF").as_bytes());
    let trouble = create().err().unwrap();
    assert!(trouble.code == NO_PLACE && trouble.help[0].starts_with("wait until the other"), "{trouble:?}");
    assert!(joined.path.exists());
    drop(joined);
    assert!(!into.exists());
    // One that was killed left something.
    std::fs::create_dir_all(into.join(".joined")).unwrap();
    std::fs::write(into.join(".joined/chat.gguf"), b"left").unwrap();
    let joined = create().unwrap();
    assert_eq!(std::fs::read(&joined.path).unwrap(), b"");
}
