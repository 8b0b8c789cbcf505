//! Files on their way between real swarms on loopback. The stage plays the drivers: it knows everybody, and the law.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hither_core::Partner;
use hither_core::distribution::chunk_bytes;
use hither_swarm::{ChunkEvent, Multicast, Swarm, SwarmConfig, SwarmEvent};
use hither_types::id::{Digest, NodeId};
use hither_types::member::Address;
use hither_types::unit::ByteCount;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::{CourseAsk, CourseEnd, Courses, Fetch, Meeting};
use crate::driver::Inbound;

mod liars;

const MIB: usize = 1 << 20;

/// What all drivers of a stage know.
#[derive(Debug, Default)]
struct Known {
    /// Everybody, with its site.
    members: Vec<(NodeId, u8)>,
    file: Option<(Digest, ByteCount)>,
    holders: BTreeSet<NodeId>,
    /// To whom the law lets no copy go.
    outlaws: BTreeSet<NodeId>,
}

impl Known {
    fn partner(&self, me: NodeId, node: NodeId) -> Option<Partner> {
        let site = |of: NodeId| self.members.iter().find(|(node, _)| *node == of).map(|(_, site)| *site);
        let (gives, takes) = (!self.outlaws.contains(&me), !self.outlaws.contains(&node));
        (gives || takes).then_some(Partner { node, near: site(me) == site(node), gives, takes })
    }

    fn answer(&self, me: NodeId, ask: CourseAsk) {
        match ask {
            CourseAsk::Partners { reply, .. } => {
                let others = self.members.iter().filter(|(node, _)| *node != me);
                let _ = reply.send(others.filter_map(|(node, _)| self.partner(me, *node)).collect());
            }
            CourseAsk::Meet { node, reply, digest } => {
                let size = self.file.filter(|(of, _)| *of == digest).map(|(_, size)| size);
                let met = self.partner(me, node).zip(size);
                let here = self.holders.contains(&me);
                let _ = reply.send(met.map(|(partner, size)| Meeting { partner, size, here }));
            }
            CourseAsk::MayCopy { to, reply, .. } => {
                let _ = reply.send(self.partner(me, to).is_some_and(|partner| partner.takes));
            }
        }
    }
}

struct Node {
    swarm: Swarm,
    courses: Courses,
    dir: TempDir,
    _work: JoinSet<()>,
}

impl Node {
    async fn start(key: u8, known: Arc<Mutex<Known>>) -> Self {
        let (swarm, mut events, chunks, dir) = swarm(key).await;
        let me = swarm.node();
        let (inbox, mut asked) = mpsc::channel(64);
        let (courses, ways) = Courses::start(me, swarm.clone(), chunks, inbox);
        let mut work = JoinSet::new();
        work.spawn(ways);
        work.spawn(async move { while events.recv().await.is_some() {} });
        work.spawn(async move {
            while let Some(inbound) = asked.recv().await {
                if let Inbound::Course(ask) = inbound {
                    known.lock().unwrap().answer(me, ask);
                }
            }
        });
        Self { swarm, courses, dir, _work: work }
    }

    fn fetch(&self, file: (Digest, ByteCount)) -> (watch::Receiver<u64>, oneshot::Receiver<Ended>) {
        let ((progress, seen), (done, ended)) = (watch::channel(0), oneshot::channel());
        self.courses.fetch(Fetch { digest: file.0, size: file.1, progress, done });
        (seen, ended)
    }
}

/// A swarm on loopback, and what it reports.
async fn swarm(key: u8) -> (Swarm, mpsc::Receiver<SwarmEvent>, mpsc::Receiver<ChunkEvent>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (swarm, events, chunks) = Swarm::start(SwarmConfig {
        secret_key: [key; 32],
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        blobs_dir: dir.path().to_owned(),
        relay: None,
        multicast: Multicast::Off,
        members: Vec::new(),
    })
    .await
    .unwrap();
    (swarm, events, chunks, dir)
}

type Ended = Result<Option<NodeId>, CourseEnd>;

/// A mesh of nodes at these sites, all of whom know each other; the first has a file of random bytes.
async fn mesh(sites: &[u8], size: usize) -> (Vec<Node>, Arc<Mutex<Known>>, (Digest, ByteCount)) {
    let known = Arc::new(Mutex::new(Known::default()));
    let mut nodes = Vec::new();
    for (key, site) in (1..).zip(sites) {
        let node = Node::start(key, Arc::clone(&known)).await;
        known.lock().unwrap().members.push((node.swarm.node(), *site));
        nodes.push(node);
    }
    for node in &nodes {
        node.swarm.keep([]);
        for other in &nodes {
            node.swarm.admit(other.swarm.node(), other.swarm.addresses().into_iter().map(Address::Direct).collect());
        }
    }
    let mut bytes = vec![0; size];
    let mut state = 1_u64;
    for word in bytes.chunks_mut(8) {
        // xorshift64 (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    let path = nodes[0].dir.path().join("source");
    std::fs::write(&path, bytes).unwrap();
    let file = nodes[0].swarm.import(&path).await.unwrap();
    let mut all = known.lock().unwrap();
    all.file = Some(file);
    all.holders.insert(nodes[0].swarm.node());
    drop(all);
    (nodes, known, file)
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_any_size_gets_to_everybody() {
    for size in [1, 64 << 10, 3 * MIB + 12_345, 40 * MIB] {
        let (nodes, _known, file) = mesh(&[1, 1, 2, 2, 3], size).await;
        let fetches: Vec<_> = nodes[1..].iter().map(|node| node.fetch(file)).collect();
        for (node, (seen, ended)) in nodes[1..].iter().zip(fetches) {
            soon("the file", ended).await.unwrap().unwrap();
            assert_eq!(*seen.borrow(), size as u64, "progress ends at the size");
            node.swarm.checkout(file.0).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_others_hold_together_is_enough_when_the_only_holder_is_dead() {
    let (mut nodes, known, file) = mesh(&[1, 2, 2, 3], 24 * MIB).await;
    known.lock().unwrap().members.remove(0);
    let seed = nodes.remove(0);
    let step = chunk_bytes(file.1.0);
    // Each has a third, as it was left when the seed died.
    for (node, third) in nodes.iter().zip(0_u64..) {
        let (half, missing) = node.swarm.begin(file.0, file.1, step).await.unwrap().unwrap();
        for part in missing.into_iter().filter(|part| part.start / step % 3 == third) {
            let encoded = seed.swarm.prove(file.0, part.clone()).await.unwrap();
            half.write(part, encoded).await.unwrap();
        }
    }
    seed.swarm.shutdown().await;
    let fetches: Vec<_> = nodes.iter().map(|node| node.fetch(file)).collect();
    for (node, (_, ended)) in nodes.iter().zip(fetches) {
        soon("the file", ended).await.unwrap().unwrap();
        node.swarm.checkout(file.0).await.unwrap();
        let came: u64 = node.swarm.totals().iter().map(|(_, traffic)| traffic.models.received.0).sum();
        assert!(came < file.1.0 * 8 / 10, "{came} bytes came where two thirds of {} were missing", file.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_law_gives_no_copy_gets_none_from_anybody() {
    let (nodes, known, file) = mesh(&[1, 1, 2], 3 * MIB).await;
    let outlaw = nodes[2].swarm.node();
    known.lock().unwrap().outlaws.insert(outlaw);
    let (_, lawful) = nodes[1].fetch(file);
    let (_, unlawful) = nodes[2].fetch(file);
    soon("the file", lawful).await.unwrap().unwrap();
    known.lock().unwrap().holders.insert(nodes[1].swarm.node());
    assert!(matches!(soon("the end", unlawful).await, Ok(Err(CourseEnd::Alone))));
    // Nor does it if it asks as members of earlier releases do.
    let holders = nodes[..2].iter().map(|node| node.swarm.node()).collect();
    let asked = nodes[2].swarm.fetch(file.0, file.1, holders, watch::channel(0).0);
    assert!(soon("the end", asked).await.is_err());
    assert!(nodes[2].swarm.checkout(file.0).await.is_err());
    let models: u64 = nodes[2].swarm.totals().iter().map(|(_, traffic)| traffic.models.received.0).sum();
    assert!(models < 100_000, "{models} bytes of files came");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_already_is_not_fetched_again() {
    let (nodes, known, file) = mesh(&[1, 2], 64 * MIB).await;
    let (mut seen, ended) = nodes[1].fetch(file);
    soon("half of the file", seen.wait_for(|bytes| *bytes > file.1.0 / 2)).await.unwrap();
    // The law changes its mind: what is on its way comes, and nothing more.
    known.lock().unwrap().outlaws.insert(nodes[1].swarm.node());
    let first = match soon("the end", ended).await.unwrap() {
        // Everything was on its way by then.
        Ok(_) => return,
        Err(end) => end,
    };
    assert!(matches!(first, CourseEnd::Alone), "{first:?}");
    known.lock().unwrap().outlaws.clear();
    let before: u64 = nodes[1].swarm.totals().iter().map(|(_, traffic)| traffic.models.received.0).sum();
    let (seen, ended) = nodes[1].fetch(file);
    soon("the file", ended).await.unwrap().unwrap();
    assert_eq!(*seen.borrow(), file.1.0);
    let after: u64 = nodes[1].swarm.totals().iter().map(|(_, traffic)| traffic.models.received.0).sum();
    assert!(after - before < file.1.0 * 6 / 10, "{} bytes came again", after - before);
    nodes[1].swarm.checkout(file.0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_not_taken_and_a_good_one_is() {
    let (nodes, known, file) = mesh(&[1, 2, 3], 3 * MIB).await;
    let (_, ended) = nodes[1].fetch(file);
    soon("the file", ended).await.unwrap().unwrap();
    known.lock().unwrap().holders.insert(nodes[1].swarm.node());
    let path = nodes[1].swarm.checkout(file.0).await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Something in each chunk of 64 KiB.
    bytes.iter_mut().step_by(60_000).for_each(|byte| *byte ^= 1);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let (_, ended) = nodes[2].fetch(file);
    assert_eq!(soon("the file", ended).await.unwrap().unwrap(), Some(nodes[0].swarm.node()));
    nodes[2].swarm.checkout(file.0).await.unwrap();
}
