//! Signs in, deeds out. What holds among many is tested with the simulator's torrents.

use hither_types::id::{Digest, NodeId};
use hither_types::message::ChunkWord;
use hither_types::time::Timestamp;
use hither_types::view::ChunkCell;

use super::{Bits, Deed, Distribution, Sign};
use crate::limits;

const ME: NodeId = NodeId([1; 32]);
const A: NodeId = NodeId([2; 32]);
const B: NodeId = NodeId([3; 32]);

fn have(chunk: u32) -> ChunkWord {
    ChunkWord::Have(std::iter::once(chunk..chunk + 1).collect())
}

struct Play {
    mind: Distribution,
    now: u64,
    deeds: Vec<Deed>,
}

impl Play {
    /// This node, with these chunks of 64, and two partners elsewhere.
    fn new(chunks: impl IntoIterator<Item = u32>) -> Self {
        let mut have = Bits::new(64);
        chunks.into_iter().for_each(|chunk| {
            have.insert(chunk);
        });
        let mut play = Self { mind: Distribution::new(ME, have, 1, Timestamp(0)), now: 0, deeds: Vec::new() };
        for node in [A, B] {
            play.sign(Sign::Partner { node, near: false });
        }
        play
    }

    fn sign(&mut self, sign: Sign) -> &mut Self {
        self.deeds.extend(self.mind.handle(sign, Timestamp(self.now)));
        self
    }

    fn say(&mut self, from: NodeId, word: ChunkWord) -> &mut Self {
        self.sign(Sign::Said { from, word })
    }

    fn has(&mut self, from: NodeId, chunks: impl IntoIterator<Item = u32>) -> &mut Self {
        let ranges = chunks.into_iter().map(|chunk| chunk..chunk.saturating_add(1)).collect();
        self.say(from, ChunkWord::Have(ranges))
    }

    fn tick(&mut self) -> &mut Self {
        self.now = self.mind.deadline().expect("something is due").0;
        self.sign(Sign::Tick)
    }

    fn said(&self, to: NodeId, word: &ChunkWord) -> bool {
        self.deeds.iter().any(|deed| matches!(deed, Deed::Say { to: peer, word: said } if *peer == to && said == word))
    }

    /// What was offered since it was looked at last: to whom, and under which name.
    fn offers(&mut self) -> Vec<(NodeId, u32)> {
        std::mem::take(&mut self.deeds)
            .into_iter()
            .filter_map(|deed| match deed {
                Deed::Say { to, word: ChunkWord::Offer(chunks) } => Some((to, chunks[0])),
                _ => None,
            })
            .collect()
    }

    /// What is fetched since it was looked at last.
    fn fetches(&mut self) -> Vec<(NodeId, u32)> {
        std::mem::take(&mut self.deeds)
            .into_iter()
            .filter_map(|deed| match deed {
                Deed::Fetch { from, chunk, .. } => Some((from, chunk)),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_seed_offers_each_chunk_once_and_first_to_whoever_has_least() {
    let mut play = Play::new(0..64);
    // Both were met at the same moment, before anybody said what it has.
    let mut offers = play.offers();
    assert_eq!(offers.len(), limits::CHUNKS_GIVEN);
    play.has(A, 0..32).offers();
    for _ in 0..20 {
        let (to, offered) = offers.pop().expect("a line never idles");
        play.sign(Sign::Called { by: to, offered, chunk: offered });
        play.sign(Sign::Given { to, offered, whole: true });
        let next = play.offers();
        assert!(next.iter().all(|(to, _)| *to == B), "{next:?}");
        offers.extend(next);
    }
    let given: Vec<u32> = (32..64).filter(|chunk| play.mind.copies[*chunk as usize] > 1).collect();
    assert!(given.is_empty(), "{given:?} twice");
}

#[test]
fn what_is_offered_is_taken_once_and_told_of_when_it_is_here() {
    let mut play = Play::new([]);
    play.has(A, [7, 8]).has(B, [7]).say(A, ChunkWord::Offer(vec![7]));
    assert!(play.said(B, &ChunkWord::Coming(7)) && !play.said(B, &have(7)));
    assert_eq!(play.fetches(), [(A, 7)]);
    // From somebody else it is not wanted, and of the same one another is.
    play.say(B, ChunkWord::Offer(vec![7])).say(A, ChunkWord::Offer(vec![7]));
    assert!(play.said(B, &ChunkWord::Decline(7)));
    assert_eq!(play.fetches(), [(A, 8)]);
    play.now += 80_000;
    play.sign(Sign::Arrived { from: A, chunk: 7 });
    assert!(play.mind.have().has(7) && play.said(B, &have(7)) && !play.deeds.contains(&Deed::Complete));
}

#[test]
fn of_what_is_offered_the_giver_s_order_comes_first_and_then_what_is_rarest() {
    let mut play = Play::new([]);
    play.has(A, 0..64).has(B, 0..60).say(A, ChunkWord::Offer(vec![5, 9]));
    assert_eq!(play.fetches(), [(A, 5)]);
    play.say(A, ChunkWord::Offer(vec![5, 9]));
    assert_eq!(play.fetches(), [(A, 9)]);
    play.say(A, ChunkWord::Offer(vec![5, 9]));
    let rarest = play.fetches();
    assert!(matches!(rarest[..], [(A, 60..=63)]), "{rarest:?}");
}

#[test]
fn what_no_file_has_and_what_strangers_say_changes_nothing() {
    let mut play = Play::new([]);
    play.has(A, [64, u32::MAX]).has(NodeId([9; 32]), [1]);
    play.say(A, ChunkWord::Offer(vec![64]))
        .say(A, ChunkWord::Offer(vec![]))
        .say(NodeId([9; 32]), ChunkWord::Offer(vec![1]));
    play.say(A, ChunkWord::Coming(u32::MAX)).say(A, ChunkWord::Lost(u32::MAX)).say(A, ChunkWord::Decline(u32::MAX));
    for chunk in [3, 64, u32::MAX] {
        play.sign(Sign::Arrived { from: A, chunk }).sign(Sign::Begun { from: A, chunk });
        play.sign(Sign::Failed { from: A, chunk }).sign(Sign::Given { to: A, offered: chunk, whole: true });
        play.sign(Sign::Called { by: A, offered: chunk, chunk });
    }
    assert_eq!(play.mind.have().count(), 0);
    assert!(
        !play.deeds.iter().any(|deed| !matches!(
            deed,
            Deed::Say { to: A, word: ChunkWord::Decline(64) | ChunkWord::Have(_) }
                | Deed::Say { to: B, word: ChunkWord::Have(_) }
        )),
        "{:?}",
        play.deeds
    );
}

#[test]
fn whoever_is_gone_fails_or_is_late_keeps_nothing_from_others() {
    let losses: [fn(&mut Play); 3] = [
        |play| {
            play.sign(Sign::Gone(A));
        },
        |play| {
            play.sign(Sign::Failed { from: A, chunk: 7 });
        },
        |play| {
            play.tick();
        },
    ];
    for lose in losses {
        let mut play = Play::new([]);
        play.has(A, [7]).has(B, [7]).say(A, ChunkWord::Offer(vec![7]));
        assert_eq!(play.fetches(), [(A, 7)]);
        lose(&mut play);
        assert!(play.said(B, &ChunkWord::Lost(7)));
        play.say(B, ChunkWord::Offer(vec![7]));
        assert_eq!(play.fetches(), [(B, 7)]);
    }
    // Whoever is late and comes after all is not waited for by the other.
    let mut play = Play::new([]);
    play.has(A, [7]).has(B, [7]).say(A, ChunkWord::Offer(vec![7])).tick().say(B, ChunkWord::Offer(vec![7]));
    play.sign(Sign::Arrived { from: A, chunk: 7 });
    assert!(play.deeds.contains(&Deed::Cancel { from: B, chunk: 7 }));
}

#[test]
fn nobody_who_does_not_answer_or_declines_keeps_a_line() {
    let mut play = Play::new([1, 2, 3]);
    let offers = play.offers();
    assert_eq!(offers.iter().map(|(to, _)| *to).collect::<Vec<_>>(), vec![A; limits::CHUNKS_GIVEN]);
    let offers = play.tick().offers();
    assert_eq!(play.now, limits::CHUNK_OFFER_WAITS.0);
    assert_eq!(offers.iter().map(|(to, _)| *to).collect::<Vec<_>>(), vec![B; limits::CHUNKS_GIVEN]);
    let mut rests = Vec::new();
    for (to, offered) in offers {
        play.say(to, ChunkWord::Decline(offered));
    }
    for _ in 0..4 {
        let since = play.now;
        let offers = play.tick().offers();
        assert!(!offers.is_empty());
        for (to, offered) in offers {
            play.say(to, ChunkWord::Decline(offered));
        }
        rests.push(play.now - since);
    }
    assert!(rests[0] < rests[3], "each rest is longer than the last: {rests:?}");
}

#[test]
fn whoever_comes_for_what_is_not_here_is_refused_and_holds_no_line() {
    let mut play = Play::new([1]);
    for chunk in [2, 64, u32::MAX] {
        let (to, offered) = play.offers()[0];
        play.sign(Sign::Called { by: to, offered, chunk });
        assert!(play.deeds.contains(&Deed::Refuse { to, offered }), "{chunk}: {:?}", play.deeds);
        // The line is free for the other, and for itself once it has rested.
        if !play.deeds.iter().any(|deed| matches!(deed, Deed::Say { word: ChunkWord::Offer(_), .. })) {
            play.tick();
        }
    }
}

#[test]
fn two_who_promise_and_do_not_give_do_not_hold_a_chunk() {
    const C: NodeId = NodeId([4; 32]);
    let mut play = Play::new([]);
    play.sign(Sign::Partner { node: C, near: false });
    play.has(A, [7]).has(B, [7]).has(C, [7]).say(A, ChunkWord::Offer(vec![7])).tick().say(B, ChunkWord::Offer(vec![7]));
    assert_eq!(play.fetches(), [(A, 7), (B, 7)]);
    play.say(C, ChunkWord::Offer(vec![7]));
    assert_eq!(play.fetches(), []);
    while play.now < limits::CHUNK_STALLS.0 {
        play.tick();
    }
    assert!(play.deeds.contains(&Deed::Abandon { from: A, chunk: 7 }));
    play.say(C, ChunkWord::Offer(vec![7]));
    assert_eq!(play.fetches(), [(C, 7)]);
    // Whoever did not keep its word is not believed at once.
    play.say(A, ChunkWord::Offer(vec![7]));
    assert!(play.said(A, &ChunkWord::Decline(7)));
}

#[test]
fn what_is_late_and_has_not_begun_takes_no_room_from_others() {
    let mut play = Play::new([]);
    // As many as it takes: whoever is near and was not late yet is waited for.
    let liars: Vec<NodeId> = (10..16).map(|byte| NodeId([byte; 32])).collect();
    for liar in &liars {
        play.sign(Sign::Partner { node: *liar, near: true });
        play.has(*liar, 0..64);
    }
    let promised = |play: &mut Play, liar: &NodeId| {
        (0..4).for_each(|_| {
            play.say(*liar, ChunkWord::Offer(vec![0]));
        });
    };
    liars.iter().for_each(|liar| promised(&mut play, liar));
    assert_eq!(play.fetches().len(), limits::CHUNKS_TAKEN);
    play.has(A, 0..64).say(A, ChunkWord::Offer(vec![0]));
    assert_eq!(play.fetches(), []);
    play.tick().say(A, ChunkWord::Offer(vec![0]));
    assert!(matches!(play.fetches()[..], [(A, _)]));
}

#[test]
fn whoever_refuses_what_it_offers_is_asked_less_and_less_until_it_gives() {
    let mut play = Play::new([]);
    play.has(A, [7, 8]);
    let mut asked = Vec::new();
    while asked.len() < 5 {
        play.say(A, ChunkWord::Offer(vec![7]));
        if let [(A, chunk)] = play.fetches()[..] {
            asked.push(play.now);
            play.sign(Sign::Failed { from: A, chunk });
        }
        play.now += 1_000;
    }
    let waits: Vec<u64> = asked.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(waits.windows(2).all(|two| two[1] > two[0] * 3 / 2), "{waits:?}");
    play.now += 60_000_000;
    play.say(A, ChunkWord::Offer(vec![7])).sign(Sign::Arrived { from: A, chunk: 7 });
    play.say(A, ChunkWord::Offer(vec![8]));
    assert_eq!(play.fetches(), [(A, 7), (A, 8)]);
}

#[test]
fn one_partner_s_promises_leave_room_for_others() {
    let mut play = Play::new([]);
    play.has(A, 0..64).has(B, 0..64);
    for chunk in 0..20 {
        play.say(A, ChunkWord::Offer(vec![chunk]));
    }
    assert_eq!(play.fetches().len(), limits::CHUNKS_TAKEN_OF_ONE);
    play.say(B, ChunkWord::Offer(vec![40]));
    assert_eq!(play.fetches(), [(B, 40)]);
}

#[test]
fn what_was_given_and_is_still_being_checked_leaves_room_for_what_is_offered() {
    let mut play = Play::new([]);
    let chunks = 0..2 * limits::CHUNKS_GIVEN as u32;
    play.has(A, chunks.clone());
    // The giver's lines are free once it has sent; that a chunk is whole is known here only later.
    for chunk in chunks.clone() {
        play.say(A, ChunkWord::Offer(vec![chunk])).sign(Sign::Begun { from: A, chunk });
    }
    assert_eq!(play.fetches().len(), chunks.len());
}

#[test]
fn what_has_begun_to_come_is_offered_and_refused_if_it_does_not() {
    let mut play = Play::new([]);
    play.has(A, [7]).say(A, ChunkWord::Offer(vec![7]));
    assert_eq!(play.offers(), []);
    play.sign(Sign::Begun { from: A, chunk: 7 });
    assert_eq!(play.offers(), [(B, 7)]);
    play.sign(Sign::Called { by: B, offered: 7, chunk: 7 }).sign(Sign::Failed { from: A, chunk: 7 });
    assert!(play.deeds.contains(&Deed::Refuse { to: B, offered: 7 }));
}

#[test]
fn each_chunk_is_fetched_from_elsewhere_by_one_of_a_site() {
    let site: Vec<NodeId> = (10..14).map(|byte| NodeId([byte; 32])).collect();
    let mut owners = vec![0; 64];
    for me in &site {
        let mut mind = Distribution::new(*me, Bits::new(64), 1, Timestamp(0));
        for node in &site {
            mind.handle(Sign::Sharer(*node), Timestamp(0)).for_each(drop);
        }
        mind.handle(Sign::Partner { node: A, near: false }, Timestamp(0)).for_each(drop);
        let offer = |mind: &mut Distribution, from: NodeId, chunk: u32| {
            let word = ChunkWord::Offer(vec![chunk]);
            let deeds: Vec<Deed> = mind.handle(Sign::Said { from, word }, Timestamp(0)).collect();
            deeds.iter().any(|deed| matches!(deed, Deed::Fetch { .. }))
        };
        for chunk in 0..64 {
            if offer(&mut mind, A, chunk) {
                owners[chunk as usize] += 1;
                mind.handle(Sign::Arrived { from: A, chunk }, Timestamp(0)).for_each(drop);
            }
        }
        // From the same site everything may be had.
        mind.handle(Sign::Partner { node: B, near: true }, Timestamp(0)).for_each(drop);
        let missing = (0..64).find(|chunk| !mind.have().has(*chunk)).expect("somebody else's");
        assert!(offer(&mut mind, B, missing));
    }
    assert_eq!(owners, vec![1; 64]);
}

#[test]
fn what_a_neighbour_has_or_awaits_does_not_cross_again() {
    const NEAR: NodeId = NodeId([4; 32]);
    let mut play = Play::new([]);
    play.sign(Sign::Partner { node: NEAR, near: true });
    play.has(A, [7, 8]).say(NEAR, ChunkWord::Coming(7)).has(NEAR, [8]);
    for chunk in [7, 8] {
        play.say(A, ChunkWord::Offer(vec![chunk]));
        assert!(play.said(A, &ChunkWord::Decline(chunk)));
    }
    assert_eq!(play.fetches(), []);
    play.say(NEAR, ChunkWord::Lost(7)).say(A, ChunkWord::Offer(vec![7]));
    assert_eq!(play.fetches(), [(A, 7)]);
    // A neighbour that does not keep its word is not waited for.
    play.say(NEAR, ChunkWord::Offer(vec![8]));
    assert_eq!(play.fetches(), [(NEAR, 8)]);
    play.tick().say(A, ChunkWord::Offer(vec![8]));
    assert_eq!(play.fetches(), [(A, 8)]);
}

#[test]
fn a_picture_says_of_each_chunk_how_far_it_is() {
    let mut play = Play::new([0, 1]);
    play.has(A, [1, 2, 3]).has(B, [3]).say(A, ChunkWord::Offer(vec![2]));
    let seen = play.mind.picture(Digest([9; 32]));
    let (here, coming, elsewhere) = (ChunkCell::Here, ChunkCell::Coming, ChunkCell::Elsewhere);
    assert_eq!(seen.cells[..5], [here, here, coming, elsewhere, ChunkCell::Nowhere]);
    assert_eq!((seen.chunks, seen.here, seen.coming, seen.elsewhere, seen.cells.len()), (64, 2, 1, 1, 64));
    let partners: Vec<(NodeId, u32)> = seen.partners.iter().map(|partner| (partner.node, partner.chunks)).collect();
    assert_eq!(partners, [(A, 3), (B, 1)]);
    // Of more chunks than cells each cell stands for several, and says how far the last of them is.
    let mut have = Bits::new(1000);
    (0..7).for_each(|chunk| {
        have.insert(chunk);
    });
    let seen = Distribution::new(ME, have, 1, Timestamp(0)).picture(Digest([9; 32]));
    assert_eq!((seen.here, seen.cells.len()), (7, 250));
    assert_eq!(seen.cells[..3], [here, ChunkCell::Nowhere, ChunkCell::Nowhere]);
}

#[test]
fn what_comes_slowly_from_elsewhere_does_not_cross_twice() {
    const NEAR: NodeId = NodeId([4; 32]);
    for begins in [true, false] {
        let mut play = Play::new([]);
        play.has(A, [7]).has(B, [7]).say(A, ChunkWord::Offer(vec![7]));
        assert_eq!(play.fetches(), [(A, 7)]);
        if begins {
            play.sign(Sign::Begun { from: A, chunk: 7 });
        }
        play.tick().say(B, ChunkWord::Offer(vec![7]));
        assert_eq!(play.fetches().is_empty(), begins, "what has not begun may never");
        // Within the site it may be had at once.
        if begins {
            play.sign(Sign::Partner { node: NEAR, near: true });
            play.has(NEAR, [7]).say(NEAR, ChunkWord::Offer(vec![7]));
            assert_eq!(play.fetches(), [(NEAR, 7)]);
        }
    }
}
