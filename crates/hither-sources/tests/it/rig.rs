//! Fetches with a clock that stands still until a fetch waits for it: no test takes the time that it is about.

use std::pin::pin;
use std::time::Duration;

use hither_sources::{FetchError, Fetched, FetchedFile, Fetcher, Order, Progress, Settings, Sha256, Source, Stage};
use hither_types::unit::ByteCount;
use sha2::Digest;
use tempfile::TempDir;
use tokio::sync::watch;

/// A fetcher and a directory.
pub(crate) struct Rig {
    pub(crate) fetcher: Fetcher,
    pub(crate) dir: TempDir,
    pub(crate) seen: Vec<Progress>,
    pub(crate) waited: Duration,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let (fetcher, dir) = (Fetcher::new(settings).unwrap(), tempfile::tempdir().unwrap());
        Self { fetcher, dir, seen: Vec::new(), waited: Duration::ZERO }
    }

    /// Fetches, and moves the clock whenever the fetch waits.
    pub(crate) async fn fetch(&mut self, source: &str, sha256: Option<Sha256>) -> Result<Fetched, FetchError> {
        self.fetch_while(source, sha256, |_| false).await
    }

    /// The same, and moves the clock at other moments, too.
    pub(crate) async fn fetch_while(
        &mut self,
        source: &str,
        sha256: Option<Sha256>,
        moves: impl Fn(Progress) -> bool,
    ) -> Result<Fetched, FetchError> {
        let done = self.fetch_until(source, sha256, moves, |_| false).await;
        done.expect("nothing ends it early")
    }

    /// The same, and drops the fetch at a moment.
    pub(crate) async fn fetch_until(
        &mut self,
        source: &str,
        sha256: Option<Sha256>,
        moves: impl Fn(Progress) -> bool,
        ends: impl Fn(Progress) -> bool,
    ) -> Option<Result<Fetched, FetchError>> {
        let source: Source = source.parse().unwrap();
        let (sender, mut receiver) = watch::channel(Progress::default());
        let order = Order { source: &source, sha256, into: self.dir.path() };
        tokio::time::pause();
        let begin = tokio::time::Instant::now();
        // A clock that stands still runs ahead when everybody waits, for the network, too. Not while a thread is at work.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let brake = tokio::task::spawn_blocking(move || held.recv().is_err());
        let mut done = None;
        {
            let mut fetch = pin!(movable(self.fetcher.fetch(order, &sender)));
            loop {
                let progress = *receiver.borrow_and_update();
                self.seen.push(progress);
                if ends(progress) {
                    break;
                }
                let is_waiting = progress.stage == Stage::Waiting || moves(progress);
                tokio::select! {
                    biased;
                    ended = &mut fetch => {
                        done = Some(ended);
                        break;
                    }
                    () = tokio::time::advance(Duration::from_millis(20)), if is_waiting => {}
                    changed = receiver.changed(), if !is_waiting => changed.unwrap(),
                }
            }
        }
        self.seen.push(*receiver.borrow());
        self.waited = begin.elapsed();
        drop(release);
        assert!(brake.await.unwrap());
        tokio::time::resume();
        done
    }

    /// Fetches what a model names, of which no file may have more than 1000 bytes.
    pub(crate) async fn beside(
        &self,
        source: &str,
        fetched: &Fetched,
        names: &[&str],
    ) -> Result<Vec<FetchedFile>, FetchError> {
        let source: Source = source.parse().unwrap();
        let (sender, _) = watch::channel(Progress::default());
        let order = Order { source: &source, sha256: None, into: self.dir.path() };
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        movable(self.fetcher.beside(order, fetched, (&names, ByteCount(1000)), &sender)).await
    }

    /// The names in the directory.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What a node runs beside its own work has to be able to move between threads.
fn movable<F: Future + Send>(future: F) -> F {
    future
}

/// Bytes that never repeat in a window of four, from a seed.
pub(crate) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..length).map(|_| (draw(&mut state) >> 32) as u8).collect()
}

/// SplitMix64.
pub(crate) fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}
