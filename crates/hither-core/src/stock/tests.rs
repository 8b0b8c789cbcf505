//! A node that decides itself which models it holds: what it hears, and what it does about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use hither_types::id::{Digest, NodeId};
use hither_types::law::Policy;
use hither_types::member::Member;
use hither_types::message::{ModelPresence, ModelStage, Placing, Presence, Room};
use hither_types::model::Device;
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Eighths, MicroHertz, Micros, Milliwatts};

use crate::tests::{
    CHAT, FRAUD, JAKARTA, LYON, MUNICH, PARIS, Play, asked, eea, member, name, nothing, of, ready, recorded, submitted,
    until,
};
use crate::{Event, PullPolicy};

/// What a peer tells for deciding: room for so many eighths of 100 MiB, and how often models are asked for there, in
/// thousandths of one a second.
fn placing(free: u8, demand: &[(Digest, u64)]) -> Option<Placing> {
    let room = Room { memory: ByteCount(100 << 20), free: Eighths::new(free), power: Eighths::ALL, speed: 4 };
    let demand = demand.iter().map(|(model, rate)| (*model, MicroHertz(rate * 1000))).collect();
    Some(Placing { room, demand })
}

/// A peer is there, holds these models, and tells that; it stands.
fn there(at: u64, node: NodeId, held: &[Digest], placing: Option<Placing>) -> (u64, Event) {
    let model = |digest: &Digest| ModelPresence {
        digest: *digest,
        stage: ModelStage::Ready,
        device: Device::Cpu,
        slots: 4,
        busy: 0,
        queued: 0,
        service: Micros::from_millis(100),
    };
    let presence = Presence {
        incarnation: 1,
        sequence: at + 1,
        models: held.iter().map(model).collect(),
        power: Milliwatts(0),
        cap: Milliwatts(0),
        policy: Digest([1; 32]),
        placing,
    };
    (at, Event::There { node, presence: Arc::new(presence) })
}

/// A peer stands where munich does.
fn neighbour(node: NodeId) -> (u64, Event) {
    (0, Event::MemberAdded(Member { jurisdiction: member(MUNICH).jurisdiction, ..member(node) }))
}

fn automatic(policy: Policy) -> Play {
    Play::with(policy, PullPolicy::Automatic).then(vec![neighbour(PARIS), neighbour(LYON)])
}

/// What is fetched and evicted.
fn moves(play: Play, script: Vec<(u64, Event)>) -> Vec<String> {
    play.then(script).only(&["fetch", "evict"])
}

fn pins(at: u64, models: &[Digest]) -> (u64, Event) {
    (at, Event::PinsChanged(models.iter().map(|model| name(*model)).collect::<BTreeSet<_>>()))
}

#[test]
fn what_is_asked_for_here_gets_a_second_copy_here_without_a_command() {
    let script = || vec![there(0, PARIS, &[FRAUD], None), submitted(1, 1, FRAUD), until(20_000)];
    assert_eq!(moves(automatic(eea()), script()), ["10000: fetch fraud from paris"]);
    let manual = Play::with(eea(), PullPolicy::Manual).then(vec![neighbour(PARIS)]);
    assert_eq!(moves(manual, script()), [""; 0]);
    let nobody_asks = vec![there(0, PARIS, &[FRAUD], None), until(20_000)];
    assert_eq!(moves(automatic(eea()), nobody_asks), [""; 0]);
}

#[test]
fn what_is_asked_for_at_a_neighbour_gets_a_copy_here() {
    let demand = |node| vec![there(0, node, &[FRAUD], placing(0, &[(FRAUD, 100)])), until(20_000)];
    assert_eq!(moves(automatic(eea()), demand(PARIS)), ["10000: fetch fraud from paris"]);
    let elsewhere = Play::with(eea(), PullPolicy::Automatic);
    assert_eq!(moves(elsewhere, demand(PARIS)), [""; 0], "what another jurisdiction asks for is its own business");
    let both = vec![
        there(0, PARIS, &[FRAUD], placing(0, &[(FRAUD, 100)])),
        there(0, LYON, &[FRAUD], placing(0, &[])),
        until(20_000),
    ];
    assert_eq!(moves(automatic(eea()), both), [""; 0], "there are two copies");
    let load = vec![
        there(0, PARIS, &[FRAUD], placing(0, &[(FRAUD, 100_000)])),
        there(0, LYON, &[FRAUD], placing(0, &[])),
        until(20_000),
    ];
    assert_eq!(moves(automatic(eea()), load), ["10000: fetch fraud from paris, lyon"], "its load asks for four");
}

#[test]
fn of_two_that_could_one_fetches() {
    let fetches = |me: NodeId, other: NodeId| {
        // Both see the third one hold it, and each other with the same room.
        let config = crate::Config { me: Member { node: me, ..member(MUNICH) }, ..config() };
        let mut core = crate::Core::new(config);
        let jurisdiction = member(MUNICH).jurisdiction;
        let mut said = Vec::new();
        let script = [
            (0, Event::MemberAdded(Member { jurisdiction, ..member(JAKARTA) })),
            (0, Event::MemberAdded(Member { node: other, ..member(MUNICH) })),
            (0, Event::Catalogued(crate::tests::manifest(FRAUD))),
            there(0, JAKARTA, &[FRAUD], placing(0, &[(FRAUD, 100)])),
            there(0, other, &[], placing(8, &[])),
            until(5_000),
            until(10_000),
        ];
        for (at, event) in script {
            said.extend(core.handle(event, Timestamp(at * 1000)).filter(|a| matches!(a, crate::Action::Fetch { .. })));
        }
        said.len()
    };
    for number in 10..30 {
        let (one, other) = (NodeId([number; 32]), NodeId([number + 100; 32]));
        assert_eq!(fetches(one, other) + fetches(other, one), 1, "{number}");
    }
}

fn config() -> crate::Config {
    crate::Config {
        me: member(MUNICH),
        policy: Arc::new(eea()),
        seed: 1,
        incarnation: 1,
        cap: Milliwatts::from_watts(100),
        idle: Milliwatts::from_watts(10),
        pull: PullPolicy::Automatic,
        memory: Some(ByteCount(100 << 20)),
        ladder: Vec::new(),
        announce_every: Micros::from_millis(500),
        traces: 10,
        settled: Timestamp(0),
        near: crate::limits::NEAR_RTT,
    }
}

#[test]
fn no_copy_comes_that_the_law_forbids() {
    let script = vec![there(0, PARIS, &[FRAUD], placing(0, &[(FRAUD, 100)])), submitted(1, 1, FRAUD), until(20_000)];
    assert_eq!(moves(automatic(nothing()), script), [""; 0]);
}

/// Munich has room for one of two models, and holds fraud; chat is asked for, and each of these holds both.
fn full(holders: &[NodeId], more: Vec<(u64, Event)>) -> Vec<String> {
    let others = [PARIS, LYON, JAKARTA];
    let mut script: Vec<_> = others.map(neighbour).into();
    script.extend([(0, Event::ModelStored(FRAUD)), ready(1, FRAUD, 1)]);
    for node in others {
        let held: &[Digest] = if holders.contains(&node) { &[FRAUD, CHAT] } else { &[CHAT] };
        script.push(there(2, node, held, placing(0, &[(CHAT, 200_000)])));
    }
    script.extend(more);
    script.push(until(100_000));
    moves(Play::cramped_and_automatic(), script)
}

#[test]
fn a_copy_makes_way_for_what_is_asked_for_and_the_last_one_does_not() {
    let evicted = "65000: evict fraud for chat";
    assert_eq!(full(&[PARIS, LYON, JAKARTA], vec![])[..2], [evicted, "65000: fetch chat from paris, lyon, jakarta"]);
    assert_eq!(full(&[], vec![]), [""; 0], "it is the last of its jurisdiction");
    assert_eq!(full(&[PARIS, LYON, JAKARTA], vec![pins(3, &[FRAUD])]), [""; 0], "it is pinned");
    let busy = (64_000..65_000).step_by(500).map(|at| submitted(at, u128::from(at), FRAUD)).collect();
    let later = full(&[PARIS, LYON, JAKARTA], busy);
    assert!(!later.contains(&evicted.to_owned()), "it is busy: {later:?}");
}

#[test]
fn a_pinned_model_comes_though_nobody_asks_for_it() {
    let script = vec![there(0, PARIS, &[FRAUD], None), pins(1, &[FRAUD]), until(20_000)];
    assert_eq!(moves(automatic(eea()), script), ["5000: fetch fraud from paris"]);
}

#[test]
fn a_request_that_is_passed_on_counts_once() {
    let demand = |from: Option<Placing>| {
        let mut play = automatic(eea()).then(vec![
            (0, Event::ModelStored(FRAUD)),
            ready(0, FRAUD, 1),
            there(0, PARIS, &[], from),
            until(5_000),
            asked(6_000, of(PARIS, 7), FRAUD),
            recorded(6_001, 1),
            until(10_000),
        ]);
        play = play.quietly();
        let told = play.core.stock.as_ref().and_then(|stock| stock.told.clone());
        told.expect("it tells").demand.len()
    };
    assert_eq!(demand(placing(8, &[])), 0, "it told so itself");
    assert_eq!(demand(None), 1, "it tells nobody");
}

#[test]
fn only_who_decides_itself_tells_of_room_and_demand() {
    let told = |pull| {
        let mut play = Play::with(eea(), pull).then(vec![submitted(1, 1, FRAUD), until(5_000)]).quietly();
        play.core.announce();
        let presence = play.core.handle(Event::Tick, Timestamp(5_000_000)).find_map(|action| match action {
            crate::Action::Announce(presence) => Some(presence.placing),
            _ => None,
        });
        presence.expect("it announces")
    };
    assert_eq!(told(PullPolicy::Manual), None);
    assert_eq!(told(PullPolicy::OnDemand), None);
    let placing = told(PullPolicy::Automatic).expect("it decides");
    assert_eq!((placing.room.free, placing.room.power, placing.room.speed), (Eighths::ALL, Eighths::ALL, 4));
    assert_eq!(placing.demand.iter().map(|(model, _)| *model).collect::<Vec<_>>(), [FRAUD]);
}

#[test]
fn what_finds_no_room_is_told_and_forgotten_when_it_does() {
    let script = |until_at| {
        vec![
            neighbour(PARIS),
            (0, Event::ModelStored(FRAUD)),
            ready(1, FRAUD, 1),
            there(2, PARIS, &[CHAT], placing(0, &[(CHAT, 200_000)])),
            until(until_at),
        ]
    };
    let warnings = |mut play: Play| {
        play = play.quietly();
        play.core.view(Timestamp(100_000_000)).warnings
    };
    let full = || Play::cramped_and_automatic().then(script(20_000));
    let told = warnings(full());
    assert!(told.len() == 1 && told[0].starts_with("no room for a copy of chat (owner: its load"), "{told:?}");
    let calm = full().then(vec![there(21_000, PARIS, &[CHAT], placing(0, &[])), until(26_000)]);
    assert_eq!(warnings(calm), [""; 0]);
}

#[test]
fn one_sees_why_a_model_is_there() {
    let script = vec![there(0, PARIS, &[FRAUD], None), submitted(1, 1, FRAUD), until(20_000)];
    let play = automatic(eea()).then(script).quietly();
    assert_eq!(play.core.why(FRAUD), "owner: a second copy of what is asked for");
    let play = play.then(vec![pins(20_001, &[FRAUD])]).quietly();
    assert_eq!(play.core.why(FRAUD), "pinned");
    let pulled = vec![there(0, PARIS, &[CHAT], None), (1, Event::PullWanted(CHAT))];
    assert_eq!(automatic(eea()).then(pulled).quietly().core.why(CHAT), "pulled by hand");
}
