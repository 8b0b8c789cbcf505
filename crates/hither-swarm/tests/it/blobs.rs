//! Files: imported, fetched, interrupted, damaged, and out of room.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hither_swarm::{Fault, FetchError, Multicast, StartError, StoreError, Swarm, SwarmConfig};
use hither_types::id::{Digest, NodeId};
use hither_types::unit::ByteCount;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::world::{Node, ask, digest, direct, key, loopback, noise, pair, put, soon};

const MIB: usize = 1 << 20;

async fn fetch(node: &Node, file: (Digest, ByteCount), from: Vec<NodeId>) -> Result<hither_swarm::Fetched, FetchError> {
    let (progress, seen) = watch::channel(0);
    let fetched = soon("the end of the fetch", node.swarm.fetch(file.0, file.1, from, progress)).await;
    if fetched.is_ok() {
        assert_eq!(*seen.borrow(), file.1.0, "progress ends at the size");
    }
    fetched
}

fn files(node: &Node, place: &str, digest: Digest) -> (PathBuf, PathBuf) {
    let base = node.dir.path().join(place);
    (base.join(format!("{digest}.data")), base.join(format!("{digest}.tree")))
}

/// Turns one bit of a file that is read-only.
fn wound(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 1;
    fs::remove_file(path).expect("removed");
    fs::write(path, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_imports_another_fetches_whatever_its_size() {
    let (a, b) = pair(1, 2).await;
    for size in [0, 1, 1024, 16 * 1024, 16 * 1024 + 1, 22_000, MIB, 5 * MIB + 12_345] {
        let bytes = noise(size as u64, size);
        let file = put(&a, &bytes).await;
        assert_eq!(file, (digest(&bytes), ByteCount(size as u64)));
        assert!(matches!(b.swarm.checkout(file.0).await, Err(StoreError::Absent(absent)) if absent == file.0));
        let fetched = fetch(&b, file, vec![a.id()]).await.expect("fetched");
        assert_eq!(fetched.from.iter().map(|(_, bytes)| bytes.0).sum::<u64>(), size as u64);
        let path = b.swarm.checkout(file.0).await.expect("whole");
        assert!(fs::read(&path).expect("readable") == bytes, "{size}");
        assert!(fs::metadata(&path).expect("there").permissions().readonly());
        assert!(b.swarm.stored().await.expect("listed").contains(&file));
        // Again costs nothing.
        assert_eq!(fetch(&b, file, vec![]).await.expect("here already").resumed, file.1);
    }
}

/// Connections over which a node sends files that give way to requests.
fn giving_way(node: &Node) -> u64 {
    node.swarm.wire().flows.iter().map(|(_, flow)| flow.giving_way).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_give_way_to_requests_that_are_under_way_and_not_without_any() {
    for begins in [None, Some(false), Some(true)] {
        let (mut a, mut b) = pair(1, 2).await;
        let file = put(&a, &noise(1, 2 * MIB)).await;
        // Asked by the giver, or answered by it.
        let _under_way = match begins {
            None => None,
            Some(true) => {
                let stream = a.swarm.ask(b.id(), ask(1, vec![])).await.expect("sent");
                Some((stream, b.asked().await))
            }
            Some(false) => {
                let stream = b.swarm.ask(a.id(), ask(1, vec![])).await.expect("sent");
                Some((stream, a.asked().await))
            }
        };
        fetch(&b, file, vec![a.id()]).await.expect("fetched");
        assert_eq!((giving_way(&a), giving_way(&b)), (u64::from(begins.is_some()), 0), "{begins:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_share_the_work() {
    let ((a, b), c) = (pair(1, 2).await, Node::start(3).await);
    for provider in [&a, &b] {
        provider.admit(&c);
        c.admit(provider);
    }
    let bytes = noise(1, 24 * MIB);
    let file = put(&a, &bytes).await;
    put(&b, &bytes).await;
    // So that neither is still being dialled when the other is done.
    for provider in [&a, &b] {
        let small = put(provider, &provider.id().0).await;
        fetch(&c, small, vec![provider.id()]).await.expect("fetched");
    }
    let fetched = fetch(&c, file, vec![a.id(), b.id(), a.id()]).await.expect("fetched");
    let mut givers: Vec<_> = fetched.from.iter().map(|(node, _)| *node).collect();
    givers.sort();
    let mut both = [a.id(), b.id()];
    both.sort();
    assert_eq!(givers, both, "{fetched:?}");
    assert_eq!(fetched.from.iter().map(|(_, bytes)| bytes.0).sum::<u64>(), file.1.0);
    c.swarm.checkout(file.0).await.expect("whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_a_damaged_copy_is_dropped_and_the_good_one_finishes() {
    let ((a, b), c) = (pair(1, 2).await, Node::start(3).await);
    for provider in [&a, &b] {
        provider.admit(&c);
        c.admit(provider);
    }
    let bytes = noise(2, 8 * MIB);
    let file = put(&a, &bytes).await;
    put(&b, &bytes).await;
    // Every part of it, so that whatever it is asked for shows it.
    for part in 0..8 {
        wound(&files(&a, "complete", file.0).0, part * MIB + 1000);
    }
    let fetched = fetch(&c, file, vec![a.id(), b.id()]).await.expect("fetched");
    assert_eq!(fetched.dropped, [(a.id(), Fault::Rotten)]);
    assert_eq!(fetched.from, [(b.id(), file.1)]);
    c.swarm.checkout(file.0).await.expect("whole");
    // From nobody else, it is an error that names the provider.
    c.swarm.remove(file.0).await.expect("removed");
    match fetch(&c, file, vec![a.id()]).await.expect_err("damaged") {
        FetchError::NoProvider { dropped, .. } => assert_eq!(dropped, [(a.id(), Fault::Rotten)]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nothing_or_is_not_there_is_dropped_with_the_reason() {
    let (a, b) = pair(1, 2).await;
    let file = (digest(b"nowhere"), ByteCount(7));
    let nobody = NodeId([9; 32]);
    match fetch(&b, file, vec![a.id(), nobody]).await.expect_err("nowhere") {
        FetchError::NoProvider { missing, dropped } => {
            assert_eq!(missing, file.1);
            assert!(dropped.contains(&(a.id(), Fault::Absent)), "{dropped:?}");
            assert!(dropped.iter().any(|(node, fault)| *node == nobody && matches!(fault, Fault::Unreachable(_))));
        }
        other => panic!("{other:?}"),
    }
    let impossible = fetch(&b, (digest(b""), ByteCount(7)), vec![a.id()]).await;
    assert!(matches!(impossible, Err(FetchError::Impossible { .. })), "{impossible:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_was_dropped_goes_on_where_it_was() {
    let (a, b) = pair(1, 2).await;
    let file = put(&a, &noise(4, 32 * MIB)).await;
    let (progress, mut seen) = watch::channel(0);
    let swarm = b.swarm.clone();
    let a_id = a.id();
    let running = tokio::spawn(async move { swarm.fetch(file.0, file.1, vec![a_id], progress).await });
    soon("some progress", seen.wait_for(|bytes| *bytes >= 2 * MIB as u64)).await.expect("running");
    running.abort();
    let ended = running.await;
    // On a fast machine it may have been done just before; then there is nothing to go on with.
    if ended.is_err() {
        // A write in flight ends first; until then the file is taken.
        let fetched = soon("the rest", async {
            loop {
                match fetch(&b, file, vec![a.id()]).await {
                    Err(FetchError::Running(_)) => tokio::task::yield_now().await,
                    other => break other,
                }
            }
        })
        .await
        .expect("fetched");
        assert!(fetched.resumed.0 >= 2 * MIB as u64, "{fetched:?}");
        let given: u64 = fetched.from.iter().map(|(_, bytes)| bytes.0).sum();
        assert_eq!(given + fetched.resumed.0, file.1.0);
    }
    b.swarm.checkout(file.0).await.expect("whole");
}

/// Not a test by itself: the process that is killed in the next one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run as a child of another test"]
async fn child_that_fetches() {
    let variable = |name: &str| std::env::var(name).expect("set by the parent");
    let digest = Digest::parse(&variable("HITHER_TEST_DIGEST")).expect("a digest");
    let provider = NodeId::parse(&variable("HITHER_TEST_PROVIDER")).expect("a node");
    let address = variable("HITHER_TEST_ADDRESS").parse().expect("an address");
    let size = ByteCount(variable("HITHER_TEST_SIZE").parse().expect("a number"));
    let blobs_dir = PathBuf::from(variable("HITHER_TEST_DIR"));
    let (swarm, ..) = Swarm::start(SwarmConfig {
        secret_key: key(2),
        bind: loopback(),
        blobs_dir,
        relay: None,
        multicast: Multicast::Off,
        members: Vec::new(),
    })
    .await
    .expect("a swarm");
    swarm.admit(provider, direct([address]));
    let (progress, mut seen) = watch::channel(0);
    let tell = async {
        loop {
            println!("\nprogress {}", *seen.borrow_and_update());
            if seen.changed().await.is_err() {
                return;
            }
        }
    };
    let (fetched, ()) = tokio::join!(swarm.fetch(digest, size, vec![provider], progress), tell);
    println!("\nended {fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_killed_while_fetching_goes_on_where_it_was() {
    let a = Node::start(1).await;
    let file = put(&a, &noise(5, 96 * MIB)).await;
    let dir = tempfile::tempdir().expect("a directory");
    let b = NodeId(*iroh::SecretKey::from_bytes(&key(2)).public().as_bytes());
    a.swarm.admit(b, vec![]);
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["blobs::child_that_fetches", "--exact", "--ignored", "--nocapture"])
        .env("HITHER_TEST_DIGEST", file.0.to_string())
        .env("HITHER_TEST_SIZE", file.1.0.to_string())
        .env("HITHER_TEST_PROVIDER", a.id().to_string())
        .env("HITHER_TEST_ADDRESS", a.swarm.addresses()[0].to_string())
        .env("HITHER_TEST_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = child.stdout.take().expect("piped");
    let killed_at = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let progress = |line: String| line.strip_prefix("progress ").and_then(|number| number.parse::<u64>().ok());
        let enough = lines.filter_map(progress).find(|bytes| *bytes >= 4 * MIB as u64);
        child.kill().expect("killed");
        child.wait().expect("waited for");
        enough.expect("the child came that far")
    });
    let killed_at = soon("the kill", killed_at).await.expect("no panic");
    assert_eq!(fs::read_dir(dir.path().join("complete")).expect("there").count(), 0, "it was not done");

    let b = Node::start_in(2, loopback(), dir).await;
    b.admit(&a);
    let fetched = fetch(&b, file, vec![a.id()]).await.expect("fetched");
    assert!(fetched.resumed.0 >= killed_at, "{} of {killed_at} kept", fetched.resumed.0);
    b.swarm.checkout(file.0).await.expect("whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn rot_on_disk_is_found_before_use_and_healed_by_a_peer() {
    let (a, b) = pair(1, 2).await;
    for size in [1000, 22_000, 3 * MIB] {
        let bytes = noise(6, size);
        let file = put(&a, &bytes).await;
        fetch(&b, file, vec![a.id()]).await.expect("fetched");
        wound(&files(&b, "complete", file.0).0, size / 2);
        assert!(matches!(b.swarm.checkout(file.0).await, Err(StoreError::Rotten(rotten)) if rotten == file.0));
        assert!(!b.swarm.stored().await.expect("listed").contains(&file), "it is gone");
        fetch(&b, file, vec![a.id()]).await.expect("fetched again");
        let path = b.swarm.checkout(file.0).await.expect("whole");
        assert!(fs::read(path).expect("readable") == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_hash_tree_is_made_anew_and_served_again() {
    let (a, b) = pair(1, 2).await;
    let file = put(&a, &noise(7, 2 * MIB)).await;
    wound(&files(&a, "complete", file.0).1, 70);
    assert!(fetch(&b, file, vec![a.id()]).await.is_err(), "it cannot be proved");
    a.swarm.checkout(file.0).await.expect("the file itself is good");
    fetch(&b, file, vec![a.id()]).await.expect("fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_is_its_own_error_and_keeps_what_is_there() {
    let (a, b) = pair(1, 2).await;
    let file = put(&a, &noise(8, 4 * MIB)).await;
    // The kernel's own full disk, in the place of the file.
    let (data, _) = files(&b, "partial", file.0);
    std::os::unix::fs::symlink("/dev/full", &data).expect("a link");
    let error = fetch(&b, file, vec![a.id()]).await.expect_err("full");
    assert!(matches!(error, FetchError::DiskFull { needed, .. } if needed == file.1), "{error:?}");
    assert!(fs::symlink_metadata(&data).is_ok(), "the partial file stays");
    // Room again.
    fs::remove_file(&data).expect("removed");
    fetch(&b, file, vec![a.id()]).await.expect("fetched");
    b.swarm.checkout(file.0).await.expect("whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_larger_than_the_disk_is_not_begun() {
    let (a, b) = pair(1, 2).await;
    let error = fetch(&b, (digest(b"large"), ByteCount(1 << 44)), vec![a.id()]).await.expect_err("too large");
    assert!(matches!(error, FetchError::DiskFull { needed, free } if needed > free), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_belongs_to_one_process_until_it_is_shut_down() {
    let Node { swarm, events: _events, dir } = Node::start(1).await;
    let again = SwarmConfig {
        secret_key: key(1),
        bind: loopback(),
        blobs_dir: dir.path().to_owned(),
        relay: None,
        multicast: Multicast::Off,
        members: Vec::new(),
    };
    let refused = Swarm::start(again.clone()).await;
    assert!(matches!(refused, Err(StartError::Store(StoreError::InUse(_)))), "{refused:?}");
    swarm.shutdown().await;
    Swarm::start(again).await.expect("free again").0.shutdown().await;
    drop::<TempDir>(dir);
}
