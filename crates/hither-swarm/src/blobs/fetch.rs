//! Fetching a file from several members at once: parts are shared out as they come, bad providers are dropped, and
//! what a crash or a full disk interrupts goes on where it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hither_types::id::{Digest, NodeId};
use hither_types::unit::ByteCount;
use iroh::endpoint::{Connection, ReadError, VarInt};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::blobs::plan::{Next, Piece, Plan, pieces};
use crate::blobs::store::{Fetching, Partial, StoreError, WriteError, is_full};
use crate::blobs::{half, serve};
use crate::dial::{self, DialError, chain};
use crate::limits;
use crate::links::{self, Code, Kind};
use crate::swarm::Shared;

/// Writes of one fetch at once: more do not make a disk faster.
const WRITES: u32 = 8;

/// Why a provider was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It could not be reached.
    #[error("not reached: {0}")]
    Unreachable(DialError),
    /// It does not hold the file.
    #[error("does not hold the file")]
    Absent,
    /// It sent bytes that the digest does not promise.
    #[error("sent wrong bytes")]
    BadBytes,
    /// Its own copy is damaged, as it found itself.
    #[error("its copy is damaged")]
    Rotten,
    /// It sent nothing for too long.
    #[error("sent nothing for {} s", limits::PIECE_STALL.as_secs())]
    Stalled,
    /// The connection broke.
    #[error("broke off: {0}")]
    Broken(String),
}

/// How a fetch went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes that were here before.
    pub resumed: ByteCount,
    /// Bytes of the file that each provider gave.
    pub from: Vec<(NodeId, ByteCount)>,
    /// Providers that were dropped, and why.
    pub dropped: Vec<(NodeId, Fault)>,
}

/// Why a fetch failed. What is here already stays, and the next fetch goes on from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no room for the file.
    #[error("no room on the disk: {needed} are needed, {free} are free; free some and fetch again")]
    DiskFull {
        /// Bytes still to come.
        needed: ByteCount,
        /// Bytes free.
        free: ByteCount,
    },
    /// Every provider was dropped.
    #[error("{missing} are missing and no provider is left: {dropped:?}")]
    NoProvider {
        /// Bytes still to come.
        missing: ByteCount,
        /// Who was dropped, and why.
        dropped: Vec<(NodeId, Fault)>,
    },
    /// The file is being fetched already.
    #[error("{0} is being fetched already")]
    Running(Digest),
    /// No file can have this digest and this size.
    #[error("no file of {size} bytes has the digest {digest}")]
    Impossible {
        /// The digest.
        digest: Digest,
        /// The size.
        size: u64,
    },
    /// The store said no.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// What the workers of one fetch share.
#[derive(Debug)]
struct Work {
    digest: Digest,
    size: u64,
    partial: Partial,
    plan: Mutex<Plan>,
    changed: Notify,
    given: Mutex<BTreeMap<NodeId, u64>>,
    progress: watch::Sender<u64>,
    /// One permit per write under way: nothing cancels a write, so the end waits for them.
    writes: Arc<Semaphore>,
    // Held by the writes too: one that goes on after the fetch was dropped must not meet a second fetch.
    _claim: Fetching,
}

/// How a worker ended.
enum End {
    Complete,
    Dropped(NodeId, Fault),
    Disk(std::io::Error),
}

enum Stop {
    Fault(Fault),
    Disk(std::io::Error),
}

impl Work {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self, piece: &Piece, from: NodeId) {
        let mut plan = self.plan();
        if !plan.arrived(piece) {
            return;
        }
        let here = self.size - plan.missing();
        drop(plan);
        *self.given.lock().unwrap_or_else(PoisonError::into_inner).entry(from).or_default() += piece.end - piece.start;
        // Two workers may come here in either order; progress does not go back.
        self.progress.send_if_modified(|shown| (here > *shown).then(|| *shown = here).is_some());
        self.changed.notify_waiters();
    }

    fn fetched(&self, resumed: u64, dropped: Vec<(NodeId, Fault)>) -> Fetched {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let from = given.iter().map(|(node, bytes)| (*node, ByteCount(*bytes))).collect();
        Fetched { resumed: ByteCount(resumed), from, dropped }
    }
}

pub(crate) async fn fetch(
    shared: &Arc<Shared>,
    digest: Digest,
    size: ByteCount,
    providers: Vec<NodeId>,
    progress: watch::Sender<u64>,
) -> Result<Fetched, FetchError> {
    let ByteCount(size) = size;
    let claim = shared.store.claim(digest).ok_or(FetchError::Running(digest))?;
    if shared.store.has(digest) {
        progress.send_replace(size);
        return Ok(Fetched { resumed: ByteCount(size), ..Fetched::default() });
    }
    half::check_possible(digest, size)?;
    let store = shared.store.clone();
    let (partial, pieces) = join(tokio::task::spawn_blocking(move || store.partial(digest, size, pieces(size))).await)?;
    let plan = Plan::new(pieces);
    let missing = plan.missing();
    check_room(shared, missing)?;
    progress.send_replace(size - missing);
    let work = Arc::new(Work {
        digest,
        size,
        partial,
        plan: Mutex::new(plan),
        changed: Notify::new(),
        given: Mutex::default(),
        progress,
        writes: Arc::new(Semaphore::new(WRITES as usize)),
        _claim: claim,
    });
    let ended = run(shared, &work, providers).await;
    let _all = work.writes.acquire_many(WRITES).await;
    let dropped = ended?;
    let (store, done) = (shared.store.clone(), work.clone());
    join(tokio::task::spawn_blocking(move || store.complete(&done.partial)).await)?;
    Ok(work.fetched(size - missing, dropped))
}

/// Starts a worker per provider and waits until everything is here or nobody is left. No worker is left behind.
async fn run(
    shared: &Arc<Shared>,
    work: &Arc<Work>,
    mut providers: Vec<NodeId>,
) -> Result<Vec<(NodeId, Fault)>, FetchError> {
    providers.sort();
    providers.dedup();
    let mut workers = JoinSet::new();
    for provider in providers {
        workers.spawn(worker(shared.clone(), work.clone(), provider));
    }
    let ended = supervise(shared, work, &mut workers).await;
    workers.shutdown().await;
    ended
}

async fn supervise(
    shared: &Arc<Shared>,
    work: &Arc<Work>,
    workers: &mut JoinSet<End>,
) -> Result<Vec<(NodeId, Fault)>, FetchError> {
    let mut dropped = Vec::new();
    loop {
        let changed = work.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let missing = work.plan().missing();
        if missing == 0 {
            return Ok(dropped);
        }
        let ended = tokio::select! {
            ended = workers.join_next() => ended.map(join),
            () = changed => continue,
        };
        match ended {
            None => return Err(FetchError::NoProvider { missing: ByteCount(missing), dropped }),
            Some(End::Complete) => {}
            Some(End::Dropped(provider, fault)) => {
                tracing::info!(peer = %provider.short(), digest = %work.digest.short(), %fault, "provider dropped");
                work.plan().release(provider);
                work.changed.notify_waiters();
                dropped.push((provider, fault));
            }
            Some(End::Disk(error)) if is_full(&error) => {
                return Err(FetchError::DiskFull { needed: ByteCount(missing), free: free(shared) });
            }
            Some(End::Disk(source)) => {
                let path = shared.store.root().to_owned();
                return Err(FetchError::Store(StoreError::Io { path, source }));
            }
        }
    }
}

async fn worker(shared: Arc<Shared>, work: Arc<Work>, provider: NodeId) -> End {
    // Two at a time, so that the next part is on its way while this one is verified and written.
    const { assert!(limits::LANES == 2) };
    let mut again = true;
    loop {
        let connection = match dial::connection(&shared, provider, Kind::Blobs).await {
            Ok(connection) => connection,
            Err(error) => return End::Dropped(provider, Fault::Unreachable(error)),
        };
        match tokio::try_join!(lane(&work, provider, &connection), lane(&work, provider, &connection)) {
            Ok(_) => return End::Complete,
            // It was closed so that another one is made: one of the two was started anew.
            Err(Stop::Fault(_)) if links::is_stale(&connection) && std::mem::take(&mut again) => {
                work.plan().release(provider);
                work.changed.notify_waiters();
            }
            Err(Stop::Fault(fault)) => return End::Dropped(provider, fault),
            Err(Stop::Disk(error)) => return End::Disk(error),
        }
    }
}

async fn lane(work: &Arc<Work>, provider: NodeId, connection: &Connection) -> Result<(), Stop> {
    loop {
        let changed = work.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let next = work.plan().next(provider, Instant::now());
        let piece = match next {
            Next::Complete => return Ok(()),
            Next::Piece(piece) => piece,
            Next::Wait(span) => {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(span) => {}
                }
                continue;
            }
        };
        let encoded = receive(connection, work.digest, &piece).await.map_err(Stop::Fault)?;
        let Ok(permit) = work.writes.clone().acquire_owned().await else { return Ok(()) };
        let (writing, part) = (work.clone(), piece.clone());
        let written = tokio::task::spawn_blocking(move || {
            let written = writing.partial.write(&part, &encoded);
            // In this order: who holds all permits is the last to hold the work.
            drop(writing);
            drop(permit);
            written
        })
        .await;
        match join(written) {
            Ok(()) => work.arrived(&piece, provider),
            Err(WriteError::BadBytes) => return Err(Stop::Fault(Fault::BadBytes)),
            Err(WriteError::Disk(error)) => return Err(Stop::Disk(error)),
        }
    }
}

/// Asks for one part and reads it, proof included.
async fn receive(connection: &Connection, digest: Digest, piece: &Piece) -> Result<Vec<u8>, Fault> {
    let broken = |error: &dyn std::error::Error| Fault::Broken(chain(error));
    let (mut sender, mut receiver) = connection.open_bi().await.map_err(|error| broken(&error))?;
    sender.write_all(&serve::encode(digest, piece)).await.map_err(|error| broken(&error))?;
    sender.finish().map_err(|error| broken(&error))?;
    let limit = serve::most_encoded(piece).ok_or(Fault::BadBytes)?;
    let mut encoded = Vec::with_capacity(limit);
    loop {
        let chunk = tokio::time::timeout(limits::PIECE_STALL, receiver.read_chunk(usize::MAX)).await;
        match chunk.map_err(|_| Fault::Stalled)? {
            Ok(Some(chunk)) if encoded.len() + chunk.len() > limit => return Err(Fault::BadBytes),
            Ok(Some(chunk)) => encoded.extend_from_slice(&chunk),
            Ok(None) => return Ok(encoded),
            Err(ReadError::Reset(code)) if code == VarInt::from(Code::Absent) => return Err(Fault::Absent),
            Err(ReadError::Reset(code)) if code == VarInt::from(Code::Rotten) => return Err(Fault::Rotten),
            Err(error) => return Err(broken(&error)),
        }
    }
}

/// A disk filled to the last byte would stop the ledger, and with it the node: better not to begin.
pub(super) fn check_room(shared: &Shared, missing: u64) -> Result<(), FetchError> {
    let needed = missing + missing / 128;
    let free = free(shared);
    if needed > free.0 {
        return Err(FetchError::DiskFull { needed: ByteCount(needed), free });
    }
    Ok(())
}

pub(super) fn free(shared: &Shared) -> ByteCount {
    match rustix::fs::statvfs(shared.store.root()) {
        Ok(disk) => ByteCount(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            tracing::warn!(%error, "the free space of the disk cannot be read");
            ByteCount(u64::MAX)
        }
    }
}

pub(super) fn join<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    match joined.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => unreachable!("a task of a fetch is only cancelled together with the fetch"),
    }
}
