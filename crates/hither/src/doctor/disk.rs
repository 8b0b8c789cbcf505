//! The disk under the data directory: room, inodes, and how long it takes to make a record durable.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hither_types::unit::ByteCount;

use super::{Area, Check};

/// Below this a language model of a usual size cannot be fetched.
const SPACE_LOW: u64 = 5_000_000_000;

/// Below this the ledger itself may stop, and with it everything that leaves.
const SPACE_NONE: u64 = 100_000_000;

/// Files that may still be made; a store of models makes a few for each.
const INODES_LOW: u64 = 10_000;

/// An egress waits for its record: past this, the disk is what a client feels.
const SYNC_SLOW: Duration = Duration::from_millis(20);

/// How often the disk is asked; the middle one counts.
const SYNCS: usize = 9;

pub(super) fn checks(data_dir: &Path) -> Vec<Check> {
    let there = existing(data_dir);
    let absent = if there == data_dir { "" } else { " (the data directory is made by `hither up`)" };
    let mut checks = match rustix::fs::statvfs(&there) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            vec![space(free, &there, absent), inodes(found.f_files, found.f_favail)]
        }
        Err(error) => {
            let found = format!("{} cannot be asked: {error}", there.display());
            vec![Check::fail(Area::Disk, "space", found, format!("ls -ld {}", there.display()))]
        }
    };
    checks.push(match sync_time(&there) {
        Ok(took) => sync(took),
        Err(error) => {
            let found = format!("{} cannot be written: {error}", there.display());
            Check::fail(Area::Disk, "fsync", found, format!("ls -ld {}; df -h {0}", there.display()))
        }
    });
    checks
}

/// The directory, or the nearest one above it that is there.
fn existing(dir: &Path) -> PathBuf {
    dir.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn space(free: u64, there: &Path, absent: &str) -> Check {
    let found = format!("{} free at {}{absent}", ByteCount(free), there.display());
    let fix = "hither models ls; hither --data DIR up puts everything on another disk";
    match free {
        0..SPACE_NONE => Check::fail(Area::Disk, "space", found, fix),
        SPACE_NONE..SPACE_LOW => Check::warn(Area::Disk, "space", found, fix),
        _ => Check::ok(Area::Disk, "space", found),
    }
}

fn inodes(all: u64, free: u64) -> Check {
    // Some file systems count none.
    if all == 0 {
        return Check::ok(Area::Disk, "inodes", "not counted by this file system");
    }
    let found = format!("{free} free of {all}");
    match free {
        0..INODES_LOW => Check::warn(Area::Disk, "inodes", found, "df -i"),
        _ => Check::ok(Area::Disk, "inodes", found),
    }
}

fn sync(took: Duration) -> Check {
    let found = format!("{:.1} ms to make 4 kB durable (the middle of {SYNCS})", took.as_secs_f64() * 1e3);
    if took > SYNC_SLOW {
        let fix = "put the data directory on a faster disk: each transfer to a peer waits for one such write";
        return Check::warn(Area::Disk, "fsync", found, fix);
    }
    Check::ok(Area::Disk, "fsync", found)
}

fn sync_time(dir: &Path) -> std::io::Result<Duration> {
    let path = dir.join(format!(".hither-doctor-{}", std::process::id()));
    let times = measure(&path);
    // It is ours, and empty in all but name.
    let _ = std::fs::remove_file(&path);
    let mut times = times?;
    times.sort();
    Ok(times[times.len() / 2])
}

fn measure(path: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = File::options().create_new(true).write(true).open(path)?;
    let write = |_| {
        let start = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        Ok(start.elapsed())
    };
    (0..SYNCS).map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn room_and_time_have_limits() {
        let state = |free| space(free, Path::new("/"), "").state;
        assert_eq!((state(1 << 40), state(1 << 30), state(1 << 20)), (State::Ok, State::Warn, State::Fail));
        assert_eq!(
            (inodes(1 << 20, 1 << 19).state, inodes(1 << 20, 5).state, inodes(0, 0).state),
            (State::Ok, State::Warn, State::Ok)
        );
        assert_eq!(
            (sync(Duration::from_millis(3)).state, sync(Duration::from_millis(21)).state),
            (State::Ok, State::Warn)
        );
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(existing(&dir.path().join("a/b")), dir.path());
        let checks = checks(&dir.path().join("a/b"));
        assert_eq!(checks.len(), 3);
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "it left something behind");
    }
}
