//! What is believed of what others signed. Times are given, none is waited for.

use ed25519_dalek::SigningKey;
use hither_types::id::{MeshId, NodeId};
use hither_types::member::Signed;
use hither_types::message::PeerMessage;
use hither_types::near::{NearReport, NearSample};
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::Micros;

use super::{Distances, Hearer, fits};
use crate::limits::{NEAR_BURST, NEAR_GAP_MS, NEAR_TOLD};
use crate::trust::{Seal, TrustError, node_id, sign};

const MESH: MeshId = MeshId([7; 32]);
const SUBJECT: NodeId = NodeId([2; 32]);
/// By the clock of whoever hears.
const NOW: WallTime = WallTime(1_800_000_000_000);
const HOUR: i64 = 3_600_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// This node, paris and lyon, who are members, and somebody who is none.
const ME: u8 = 1;
const PARIS: u8 = 3;
const LYON: u8 = 4;
const STRANGER: u8 = 9;

/// A wall clock so many milliseconds from now.
fn wall(after: i64) -> WallTime {
    WallTime(NOW.0.saturating_add_signed(after))
}

/// What somebody says that it measured so many milliseconds from now.
fn said(after: i64) -> NearReport {
    let sample = NearSample { node: SUBJECT, incarnation: 256, rtt: Micros(8_000), at: wall(after), before: None };
    NearReport { mesh: MESH, at: wall(after), samples: vec![sample] }
}

fn seal(by: u8, seal: Seal, report: &NearReport) -> Signed {
    sign(&key(by), seal, hither_wire::encode_near_report(report).unwrap())
}

fn report(by: u8, after: i64) -> Signed {
    seal(by, Seal::Near, &said(after))
}

/// Hears some reports at a moment of the steady clock. Gives the signers of what is news, and what was wrong with others.
fn hear(distances: &mut Distances, now: Timestamp, reports: Vec<Signed>) -> (Vec<NodeId>, Vec<TrustError>) {
    let members = [node_id(&key(PARIS)), node_id(&key(LYON))];
    let is_member = |node| members.contains(&node);
    let hearer = Hearer { me: node_id(&key(ME)), mesh: MESH, is_member: &is_member, now, wall: NOW };
    let (news, unbelieved) = distances.hear(reports, &hearer);
    for (report, signed) in &news {
        assert_eq!(
            hither_wire::decode_near_report(&signed.bytes).as_ref(),
            Ok(report),
            "what is told on is what was heard"
        );
    }
    (news.into_iter().map(|(_, signed)| signed.signer).collect(), unbelieved)
}

/// The same at once, by somebody who heard nothing before.
fn fresh(reports: Vec<Signed>) -> (Vec<NodeId>, Vec<TrustError>) {
    hear(&mut Distances::default(), Timestamp(0), reports)
}

fn node(by: u8) -> NodeId {
    node_id(&key(by))
}

/// What lyon, who knows so much, tells somebody over a new link.
fn told(distances: &Distances, to: NodeId, wall: WallTime) -> Vec<Signed> {
    match distances.page_for(to, node(LYON), wall) {
        None => Vec::new(),
        Some(PeerMessage::Near(page)) => page,
        Some(other) => panic!("{other:?}"),
    }
}

/// The same to a stranger, now.
fn all(distances: &Distances) -> Vec<Signed> {
    told(distances, node(STRANGER), NOW)
}

#[test]
fn what_members_signed_lately_is_news_and_kept() {
    let mut distances = Distances::default();
    let (news, wrong) = hear(&mut distances, Timestamp(0), vec![report(PARIS, -1), report(LYON, -2)]);
    assert_eq!((news, wrong.len()), (vec![node(PARIS), node(LYON)], 0));
    let mut both = vec![report(PARIS, -1), report(LYON, -2)];
    both.sort_by_key(|signed| signed.signer);
    assert_eq!(all(&distances), both);
}

#[test]
fn what_nobody_signed_is_not_believed_and_does_not_stand_in_the_way_of_what_was() {
    let good = report(PARIS, -1);
    let mut changed = good.clone();
    changed.bytes[10] ^= 1;
    let stolen = Signed { signer: node(LYON), ..good.clone() };
    let other = seal(PARIS, Seal::Rollout, &said(-1));
    for wrong in [changed, stolen, other] {
        let mut distances = Distances::default();
        let (news, errors) = hear(&mut distances, Timestamp(0), vec![wrong.clone()]);
        assert_eq!((news, all(&distances).len()), (vec![], 0), "{wrong:?}");
        assert!(matches!(errors.as_slice(), [TrustError::Signature]), "{errors:?}");
        for _ in 0..2 * NEAR_BURST {
            hear(&mut distances, Timestamp(0), vec![wrong.clone()]);
        }
        assert_eq!(hear(&mut distances, Timestamp(0), vec![wrong, good.clone()]).0, [node(PARIS)]);
    }
    let garbage = Signed { bytes: vec![0xff; 50], ..good };
    let (news, errors) = fresh(vec![garbage]);
    assert!(news.is_empty() && matches!(errors.as_slice(), [TrustError::Malformed(_)]), "{errors:?}");
}

#[test]
fn what_is_of_another_mesh_or_of_no_member_is_not_taken() {
    let elsewhere = seal(PARIS, Seal::Near, &NearReport { mesh: MeshId([8; 32]), ..said(-1) });
    let (news, errors) = fresh(vec![elsewhere]);
    assert!(news.is_empty() && matches!(errors.as_slice(), [TrustError::Mesh]), "{errors:?}");
    let (news, errors) = fresh(vec![report(STRANGER, -1)]);
    assert!(news.is_empty() && errors.is_empty(), "somebody who is no member, or was one: {errors:?}");
}

#[test]
fn what_is_too_old_or_from_the_future_is_not_taken() {
    let grace = 600_000;
    for (after, is_taken) in [(-2 * HOUR - 1, false), (-2 * HOUR, true), (0, true), (grace, true), (grace + 1, false)] {
        let (news, errors) = fresh(vec![report(PARIS, after)]);
        assert_eq!((news.len() == 1, errors.len()), (is_taken, 0), "{after} ms from now");
    }
    // One of this node is taken however old it is, until it signs anew.
    let mut distances = Distances::default();
    assert_eq!(hear(&mut distances, Timestamp(0), vec![report(ME, -9 * HOUR)]).0, [node(ME)]);
    assert_eq!(distances.windows[&SUBJECT].before, Some(Micros(8_000)));
    distances.signed = Some(Timestamp(0));
    assert_eq!(hear(&mut distances, Timestamp(0), vec![report(ME, -8 * HOUR)]).0, []);
}

#[test]
fn what_is_told_again_or_was_signed_before_goes_no_further() {
    let mut distances = Distances::default();
    let (first, gap) = (report(PARIS, -HOUR), NEAR_GAP_MS as i64);
    // Twice in one message, and in each of three others.
    assert_eq!(hear(&mut distances, Timestamp(0), vec![first.clone(), first.clone()]).0, [node(PARIS)]);
    for at in 1..=3 {
        assert_eq!(hear(&mut distances, Timestamp(at), vec![first.clone()]).0, []);
    }
    let earlier = [-HOUR - gap, -HOUR + gap - 1];
    for after in earlier {
        assert_eq!(hear(&mut distances, Timestamp(4), vec![report(PARIS, after)]).0, [], "{after} ms from now");
    }
    assert_eq!(all(&distances), [first]);
    // Of some that come together the newest counts, and the others are not told on before it.
    let together = vec![report(PARIS, -HOUR + gap), report(PARIS, -5), report(PARIS, -HOUR + 2 * gap)];
    assert_eq!(hear(&mut distances, Timestamp(5), together).0, [node(PARIS)]);
    assert_eq!(all(&distances), [report(PARIS, -5)]);
}

#[test]
fn who_signs_as_much_as_fits_into_two_hours_is_not_heard_out() {
    let mut distances = Distances::default();
    let gap = NEAR_GAP_MS as i64;
    let flood = |distances: &mut Distances, from: i64, now: Timestamp| {
        let each = (0..60).map(|number| hear(distances, now, vec![report(PARIS, from + number * gap)]).0.len());
        each.sum::<usize>() as u64
    };
    assert_eq!(flood(&mut distances, -2 * HOUR, Timestamp(0)), NEAR_BURST);
    assert_eq!(
        hear(&mut distances, Timestamp(0), vec![report(LYON, -1)]).0,
        [node(LYON)],
        "others are heard meanwhile"
    );
    let later = Timestamp(0).after(Micros::from_millis(3 * NEAR_GAP_MS));
    assert_eq!(flood(&mut distances, -HOUR, later), 3);
}

#[test]
fn a_report_is_believed_under_its_own_seal_in_its_own_mesh_and_unchanged() {
    let report = said(0);
    let good = seal(PARIS, Seal::Near, &report);
    assert!(fits(&good, &report, MESH).is_ok());
    assert!(matches!(fits(&good, &report, MeshId([8; 32])), Err(TrustError::Mesh)));
    let other = seal(PARIS, Seal::Rollout, &report);
    let mut changed = good.clone();
    changed.bytes[10] ^= 1;
    let stolen = Signed { signer: NodeId([9; 32]), ..good };
    for wrong in [other, changed, stolen] {
        assert!(matches!(fits(&wrong, &report, MESH), Err(TrustError::Signature)));
    }
}

#[test]
fn of_each_member_the_newest_report_is_kept_and_none_that_follows_too_soon() {
    let by = node(PARIS);
    let mut distances = Distances::default();
    assert!(distances.is_news(by, wall(1)));
    let (first, said) = (report(PARIS, 1), said(1));
    distances.keep(node(ME), &said, &first);
    assert!(!distances.is_news(by, wall(0)) && !distances.is_news(by, wall(1)));
    assert!(!distances.is_news(by, wall(NEAR_GAP_MS as i64)));
    assert!(distances.is_news(by, wall(1 + NEAR_GAP_MS as i64)));
    assert_eq!(all(&distances), [first]);
    distances.forget(by);
    assert!(all(&distances).is_empty());
}

#[test]
fn of_one_signer_no_more_reports_are_taken_than_it_can_have_signed_meanwhile() {
    let mut distances = Distances::default();
    let at = |minutes: u64| Timestamp(minutes * 60_000_000);
    let takes = |distances: &mut Distances, now| (0..10).filter(|_| distances.has_room(SUBJECT, now)).count() as u64;
    assert_eq!(takes(&mut distances, at(1)), NEAR_BURST);
    assert!(distances.has_room(NodeId([5; 32]), at(1)), "each for itself");
    assert_eq!(takes(&mut distances, at(1).after(Micros::from_millis(NEAR_GAP_MS))), 1);
    assert_eq!(takes(&mut distances, at(2)), NEAR_BURST);
}

#[test]
fn over_a_new_link_goes_what_counts_still_and_what_whoever_is_there_signed_itself() {
    let mut distances = Distances::default();
    for (by, after) in [(PARIS, -2 * HOUR - 1), (LYON, -2 * HOUR), (STRANGER, -9 * HOUR)] {
        distances.keep(node(ME), &said(after), &report(by, after));
    }
    assert_eq!(told(&distances, SUBJECT, NOW), [report(LYON, -2 * HOUR)]);
    let mut both = vec![report(LYON, -2 * HOUR), report(STRANGER, -9 * HOUR)];
    both.sort_by_key(|signed| signed.signer);
    assert_eq!(told(&distances, node(STRANGER), NOW), both);
    assert_eq!(told(&distances, SUBJECT, wall(1)), [], "nothing counts any more");
}

/// A mesh of a thousand: each is measured by eight others, and each has signed.
struct Crowd {
    nodes: Vec<NodeId>,
    distances: Distances,
    /// Who measured each of them.
    anchors: Vec<Vec<usize>>,
}

const MEMBERS: usize = 1_000;

impl Crowd {
    /// Each report is about so many more than it has to be, and some say of the first that it moved.
    fn new(more: usize, of_move: std::ops::Range<usize>) -> Self {
        let keys: Vec<SigningKey> = (0..MEMBERS).map(|member| SigningKey::from_bytes(&hash(&[member, 0]))).collect();
        let nodes: Vec<NodeId> = keys.iter().map(node_id).collect();
        let anchors: Vec<Vec<usize>> =
            (0..MEMBERS).map(|member| (1..=8).map(|draw| pick(member, draw)).collect()).collect();
        let mut measured = vec![Vec::new(); MEMBERS];
        for (member, by) in anchors.iter().enumerate() {
            by.iter().for_each(|anchor| measured[*anchor].push(member));
        }
        let mut distances = Distances::default();
        for (by, key) in keys.iter().enumerate() {
            let before = of_move.contains(&by).then_some(Micros(8_300));
            let others = (0..more).map(|other| (by + other) % MEMBERS);
            let samples = measured[by].iter().copied().chain(others).take(hither_wire::limits::MAX_NEAR_SAMPLES);
            let samples = samples.map(|of| NearSample {
                node: nodes[of],
                incarnation: 256 * 40,
                rtt: Micros(12_345),
                at: wall(-1),
                before,
            });
            let report = NearReport { mesh: MESH, at: wall(-1), samples: samples.collect() };
            let signed = sign(key, Seal::Near, hither_wire::encode_near_report(&report).unwrap());
            distances.keep(node(ME), &report, &signed);
        }
        Self { nodes, distances, anchors }
    }

    /// What one of them tells a member that knows nothing.
    fn tells(&self, teller: usize) -> PeerMessage {
        self.distances.page_for(node(STRANGER), self.nodes[teller], NOW).expect("everybody has signed")
    }
}

fn hash(of: &[usize]) -> [u8; 32] {
    let bytes: Vec<u8> = of.iter().flat_map(|number| number.to_le_bytes()).collect();
    *blake3::hash(&bytes).as_bytes()
}

/// One of them by chance, which is the same each time.
fn pick(of: usize, draw: usize) -> usize {
    let [a, b, c, d, ..] = hash(&[of, draw]);
    u32::from_le_bytes([a, b, c, d]) as usize % MEMBERS
}

#[test]
fn in_a_mesh_of_a_thousand_a_new_link_costs_less_than_a_hundred_kilobytes_and_never_a_quarter_of_a_million_bytes() {
    let bytes = |crowd: &Crowd| hither_wire::encode_message(&crowd.tells(0)).expect("it is one message").len();
    let usual = bytes(&Crowd::new(0, 0..0));
    assert!((30_000..100_000).contains(&usual), "{usual} bytes, where each measures eight");
    let most = bytes(&Crowd::new(32, 0..MEMBERS));
    assert!((150_000..250_000).contains(&most), "{most} bytes, where each report is as long as it may be");
}

#[test]
fn in_a_mesh_of_a_thousand_six_neighbours_tell_enough_that_nearly_everybody_is_near() {
    let crowd = Crowd::new(0, 0..0);
    for first in [0, 100, 200] {
        let mut heard = std::collections::BTreeSet::new();
        for teller in first..first + 6 {
            let PeerMessage::Near(page) = crowd.tells(teller) else { panic!("it tells of something else") };
            heard.extend(page.into_iter().map(|signed| signed.signer));
        }
        let told = |by: &Vec<usize>| by.iter().filter(|anchor| heard.contains(&crowd.nodes[**anchor])).count();
        let near = crowd.anchors.iter().filter(|by| told(by) >= 2).count();
        assert!(near > 950, "{near} of them have two anchors by {} reports", heard.len());
    }
}

#[test]
fn in_a_mesh_of_a_thousand_everybody_tells_first_that_a_key_moved() {
    let crowd = Crowd::new(0, 400..408);
    for teller in 0..20 {
        let PeerMessage::Near(page) = crowd.tells(teller * 50) else { panic!("it tells of something else") };
        let tells = |by: usize| page.iter().any(|signed| signed.signer == crowd.nodes[by]);
        assert!((400..408).all(tells) && tells(teller * 50), "and what it signed itself");
    }
    // However many say so, others are told, too.
    let PeerMessage::Near(page) = Crowd::new(0, 0..900).tells(950) else { panic!("it tells of something else") };
    assert_eq!(page.len(), NEAR_TOLD);
    let of_move = |signed: &&Signed| {
        hither_wire::decode_near_report(&signed.bytes).unwrap().samples.iter().any(|sample| sample.before.is_some())
    };
    assert!(page.iter().filter(of_move).count() < NEAR_TOLD);
}
