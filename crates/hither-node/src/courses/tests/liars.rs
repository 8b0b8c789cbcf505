//! Members that promise chunks and break their word: with the transport and the words of the product, and a will of their own.
//! Whoever fetches has the file from an honest member all the same, and nothing that is not the file's.

use std::sync::atomic::{AtomicUsize, Ordering};

use hither_swarm::{ChunkAsked, FetchError};
use hither_types::message::{ChunkTalk, ChunkWord};
use tokio::sync::Notify;

use super::*;

/// How a member breaks its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// It gives bytes of which one is wrong.
    Wrong,
    /// It gives what is another part of the same file, with its proof.
    Other,
    /// It ends in the middle.
    Truncated,
    /// It gives nothing that it says it has.
    Refuses,
    /// It keeps whoever comes waiting.
    Mute,
}

/// Offers all of one liar at most: it may be declined as fast as it offers.
const OFFERS: usize = 20_000;

struct Liar {
    swarm: Swarm,
    /// How often somebody came for what it offered.
    asked: Arc<AtomicUsize>,
    news: Arc<Notify>,
    _dir: TempDir,
    _work: JoinSet<()>,
}

impl Liar {
    /// It says that it has all of a file, and offers its chunks to everybody who greets it, whatever becomes of that.
    async fn start(key: u8, lie: Lie, seed: Swarm, file: (Digest, ByteCount)) -> Self {
        let (swarm, mut events, mut chunks, dir) = super::swarm(key).await;
        let (asked, news) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut work = JoinSet::new();
        work.spawn(async move { while events.recv().await.is_some() {} });
        let (mouth, count, told) = (swarm.clone(), Arc::clone(&asked), Arc::clone(&news));
        work.spawn(async move {
            let most = u32::try_from(file.1.0.div_ceil(chunk_bytes(file.1.0))).unwrap();
            let mut offers = (0..most).cycle().take(OFFERS);
            let (mut kept, mut greeted) = (Vec::new(), BTreeSet::new());
            while let Some(event) = chunks.recv().await {
                let say = |to, word| mouth.say_chunk(to, ChunkTalk { digest: file.0, word });
                let mut offer = |to| offers.next().into_iter().for_each(|chunk| say(to, ChunkWord::Offer(vec![chunk])));
                match event {
                    ChunkEvent::Said { from, talk, .. } => match talk.word {
                        ChunkWord::Have(_) if greeted.insert(from) => {
                            say(from, ChunkWord::Have(std::iter::once(0..most).collect()));
                            (0..8).for_each(|_| offer(from));
                        }
                        ChunkWord::Decline(_) => offer(from),
                        _ => {}
                    },
                    ChunkEvent::Asked(asked) => {
                        count.fetch_add(1, Ordering::SeqCst);
                        told.notify_one();
                        let from = asked.from;
                        match lie {
                            Lie::Refuses => drop(asked),
                            Lie::Mute => kept.push(asked),
                            Lie::Wrong | Lie::Other | Lie::Truncated => {
                                tokio::spawn(give(lie, asked, seed.clone(), file));
                            }
                        }
                        offer(from);
                    }
                    ChunkEvent::Left { .. } | ChunkEvent::Unheard { .. } | ChunkEvent::Copying { .. } => {}
                }
            }
        });
        Self { swarm, asked, news, _dir: dir, _work: work }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Gives something else than was asked for.
async fn give(lie: Lie, asked: ChunkAsked, seed: Swarm, file: (Digest, ByteCount)) {
    let part = match lie {
        // The next chunk, or the first after the last.
        Lie::Other => {
            let step = chunk_bytes(file.1.0);
            let start = if asked.part.end < file.1.0 { asked.part.end } else { 0 };
            start..(start + step).min(file.1.0)
        }
        _ => asked.part.clone(),
    };
    let mut encoded = seed.prove(asked.digest, part).await.unwrap();
    let middle = encoded.len() / 2;
    match lie {
        Lie::Truncated => encoded.truncate(middle),
        Lie::Wrong => encoded[middle] ^= 1,
        Lie::Other | Lie::Refuses | Lie::Mute => {}
    }
    asked.give(encoded).await;
}

/// How often a partner is asked in one try, if nothing of what it promises comes.
const ASKED_MOST: usize = hither_core::limits::CHUNKS_TAKEN_OF_ONE;

/// One who fetches, so many liars whom it knows from the beginning, and an honest holder whom it gets to know once all of
/// them were asked, or found out. Gives how often each liar was asked until the file was there, and in how many tries.
async fn fetch_among(lie: Lie, liars: u8) -> (Vec<usize>, usize) {
    let (nodes, known, file) = mesh(&[1, 1], 24 * MIB).await;
    let (honest, taker) = (&nodes[0], &nodes[1]);
    known.lock().unwrap().members.remove(0);
    let mut all = Vec::new();
    for key in 0..liars {
        let liar = Liar::start(100 + key, lie, honest.swarm.clone(), file).await;
        liar.swarm.keep([]);
        taker.swarm.admit(liar.swarm.node(), liar.swarm.addresses().into_iter().map(Address::Direct).collect());
        liar.swarm.admit(taker.swarm.node(), taker.swarm.addresses().into_iter().map(Address::Direct).collect());
        known.lock().unwrap().members.push((liar.swarm.node(), 1));
        all.push(liar);
    }
    let turns = async {
        for liar in &all {
            liar.news.notified().await;
        }
    };
    // One whose chunks the others promised before it has no turn, and all others may be found out meanwhile: then this try ends.
    let mut first = taker.fetch(file).1;
    let ended = soon("the liars' turn", async {
        tokio::select! { () = turns => None, ended = &mut first => Some(ended.unwrap()) }
    });
    let ended = ended.await;
    known.lock().unwrap().members.push((honest.swarm.node(), 1));
    // All whom it knew may be found out before it got to know the honest one: the driver tries again later, when nothing of the
    // try before is under way any more.
    let tries = async {
        let (mut count, mut ended) = (1, if let Some(ended) = ended { ended } else { first.await.unwrap() });
        while let Err(CourseEnd::Alone | CourseEnd::Here(FetchError::Running(_))) = ended {
            count += usize::from(matches!(ended, Err(CourseEnd::Alone)));
            ended = taker.fetch(file).1.await.unwrap();
        }
        (count, ended)
    };
    let (tries, ended) = soon("the file", tries).await;
    // By the chunks themselves: nothing of it came in the way of earlier releases.
    let best = ended.expect("the honest one gives all of it");
    assert_eq!(best, Some(honest.swarm.node()), "{lie:?}");
    let path = taker.swarm.checkout(file.0).await.unwrap();
    assert!(std::fs::read(path).unwrap() == std::fs::read(honest.dir.path().join("source")).unwrap(), "{lie:?}");
    (all.iter().map(Liar::asked).collect(), tries)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_other_bytes_is_dropped_and_the_file_comes_from_another() {
    for lie in [Lie::Wrong, Lie::Other, Lie::Truncated] {
        let (asked, tries) = fetch_among(lie, 3).await;
        // What was on its way when the first lie was found out, and nothing after that, in each try.
        assert!(asked.iter().all(|asked| *asked <= tries * ASKED_MOST), "{lie:?}: {asked:?} in {tries} tries");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_nothing_of_what_it_offers_is_asked_less_and_less() {
    let (asked, tries) = fetch_among(Lie::Refuses, 3).await;
    assert!(asked.iter().all(|asked| *asked <= 40), "{asked:?} in {tries} tries");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_promises_and_keeps_one_waiting_keeps_no_chunk_and_no_place() {
    // Seven of them could fill all places, and each chunk that they promise is promised by two of them before long.
    let (asked, tries) = fetch_among(Lie::Mute, 7).await;
    assert!(asked.iter().all(|asked| *asked <= tries * ASKED_MOST), "{asked:?} in {tries} tries");
}
