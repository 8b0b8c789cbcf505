//! The directory that jobs lie in, as far as they need one: few operations, so that tests can let each of them fail.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A flat directory.
pub(crate) trait Disk: Send + Sync + 'static {
    /// The files in it.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Reads a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Writes a file, in place of one that may be there. Its content survives a loss of power; its name may not.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file another name, in place of one that may be there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a file another name, unless there is one of that name.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// From here on, what names there are survives a loss of power.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of this machine.
pub(crate) struct Folder {
    path: PathBuf,
    open: File,
}

impl Folder {
    /// Opens it, making it if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let open = File::open(path)?;
        if let Some(parent) = path.parent() {
            // The directory itself must be there after a loss of power.
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), open })
    }
}

impl Disk for Folder {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(rustix::fs::CWD, &from, rustix::fs::CWD, &to, flags) {
            // A file system that does not know the flag: a link fails where a file is, too.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                std::fs::hard_link(&from, &to)?;
                std::fs::remove_file(&from)
            }
            renamed => renamed.map_err(io::Error::from),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.open.sync_all()
    }
}
