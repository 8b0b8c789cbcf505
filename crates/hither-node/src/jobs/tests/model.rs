//! A disk in memory: content is what was synced with its file, names are what was synced with the directory. Any step can
//! be the last before the power goes, or can fail for want of space.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::disk::Disk;

type Names = BTreeMap<String, Vec<u8>>;

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// All steps are done.
    Fine,
    /// So many steps are done; at the next, the power goes. A write that it hits leaves half of its bytes.
    PowerAfter(usize),
    /// Nothing fits any more: what takes space fails after half of it was written.
    Full,
    /// So many bytes fit.
    Room(usize),
}

pub(super) struct State {
    /// What the running system sees.
    seen: Names,
    /// What a loss of power leaves.
    kept: Names,
    pub(super) fate: Fate,
    /// Steps that change something.
    pub(super) steps: usize,
}

/// The disk. Clones are the same one.
#[derive(Clone)]
pub(super) struct Model(pub(super) Arc<Mutex<State>>);

impl Model {
    pub(super) fn new() -> Self {
        let (seen, kept) = (Names::new(), Names::new());
        Self(Arc::new(Mutex::new(State { seen, kept, fate: Fate::Fine, steps: 0 })))
    }

    pub(super) fn fate(&self, fate: Fate) {
        self.0.lock().unwrap().fate = fate;
    }

    pub(super) fn steps(&self) -> usize {
        self.0.lock().unwrap().steps
    }

    /// What is there after the power came back: names that were not synced are lost, or all of them made it.
    pub(super) fn after_power(&self, lucky: bool) -> Self {
        let state = self.0.lock().unwrap();
        let names = if lucky { state.seen.clone() } else { state.kept.clone() };
        let (seen, kept) = (names.clone(), names);
        Self(Arc::new(Mutex::new(State { seen, kept, fate: Fate::Fine, steps: 0 })))
    }

    /// All files but the space that is set aside.
    pub(super) fn files(&self) -> Names {
        let mut names = self.0.lock().unwrap().seen.clone();
        names.remove(super::super::files::RESERVE);
        names
    }

    pub(super) fn replace(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        state.seen.insert(name.to_owned(), bytes.clone());
        state.kept.insert(name.to_owned(), bytes);
    }

    fn step<T>(&self, needs_space: bool, act: impl FnOnce(&mut State, bool) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        state.steps += 1;
        match state.fate {
            Fate::PowerAfter(left) if state.steps > left => {
                if state.steps == left + 1 && needs_space {
                    // Half of it gets there.
                    let _ = act(&mut state, true);
                }
                Err(io::Error::other("the power is gone"))
            }
            Fate::Full if needs_space => {
                let _ = act(&mut state, true);
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            _ => act(&mut state, false),
        }
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_owned())
}

impl Disk for Model {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().seen.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.lock().unwrap().seen.get(name).cloned().ok_or_else(|| missing(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(true, |state, half| {
            let used: usize = state.seen.values().map(Vec::len).sum();
            if matches!(state.fate, Fate::Room(room) if used + bytes.len() > room) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let written = if half { &bytes[..bytes.len() / 2] } else { bytes };
            state.seen.insert(name.to_owned(), written.to_vec());
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step(false, |state, _| {
            let bytes = state.seen.remove(from).ok_or_else(|| missing(from))?;
            state.seen.insert(to.to_owned(), bytes);
            Ok(())
        })
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        if self.0.lock().unwrap().seen.contains_key(to) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        self.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step(false, |state, _| state.seen.remove(name).map(drop).ok_or_else(|| missing(name)))
    }

    fn sync(&self) -> io::Result<()> {
        self.step(false, |state, _| {
            state.kept = state.seen.clone();
            Ok(())
        })
    }
}
