//! Second copies: when there is one, where it goes, and that one answer counts and nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::fact::Fact;
use hither_types::id::{Attempt, NodeId, RequestId, Task, Ticket};
use hither_types::label::DataClass;
use hither_types::message::{Load, Signal};
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Envelope, RequestKind};
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use super::Times;
use crate::random::Random;
use crate::tests::{
    FRAUD, JAKARTA, LYON, PARIS, Play, cap, done, eea, failed, heard, law, nothing, own, prefers, ready, recorded,
    until, with,
};
use crate::{Action, Core, Event, limits};

type Script = Vec<(u64, Event)>;

fn infer() -> Envelope {
    Envelope { kind: RequestKind::Infer, ..prefers(FRAUD, PARIS) }
}

/// A peer says to this node that so many slots are free.
fn word(at: u64, from: NodeId, free: u16) -> (u64, Event) {
    let load = Load {
        slots: 4,
        busy: 4 - free,
        queued: 0,
        wait: Micros(0),
        urgent: Micros(0),
        service: Micros::from_millis(100),
    };
    (at, Event::Told { from, signal: Signal::State { number: 0, digest: FRAUD, load } })
}

/// Munich has sent so many requests to paris, and each was answered after 80 ms.
fn after(requests: u128) -> Play {
    let mut script = vec![heard(0, PARIS, FRAUD, 0)];
    script.extend((1..=requests).map(|request| with(1, request, infer())));
    script.extend((1..=requests).map(|request| recorded(2, request as u64)));
    script.extend((1..=requests).map(|request| done(82, own(request, 1))));
    script.push(heard(2000, PARIS, FRAUD, 0));
    script.push(heard(2000, LYON, FRAUD, 0));
    Play::new(eea()).then(script).quietly()
}

/// One more goes to paris, with what is known of the others a moment before it is late; ticket 22 is next.
fn sent(envelope: Envelope) -> Script {
    vec![with(2001, 100, envelope), recorded(2002, 21)]
}

/// … and lyon takes a second copy of it, which has left.
fn hedged() -> Play {
    let mut script = sent(infer());
    script.extend([word(2050, LYON, 4), recorded(2093, 22)]);
    after(20).then(script).quietly()
}

#[test]
fn a_late_request_gets_a_second_copy_and_the_first_answer_counts() {
    let mut script = sent(infer());
    script.extend([word(2050, LYON, 4), recorded(2093, 22), done(2150, own(100, 2)), done(2160, own(100, 1))]);
    let play = after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
        2090: record#22 intent 100/2 to lyon by eea, 1000 B
        2093: route 100/2 lyon by eea
        2093: forward 100/2 to lyon, 9908 ms left
        2150: abandon 100/1 at paris
        2150: record settled 100/1 to paris: 1000 B, 0 B back, Cancelled
        2150: record settled 100/2 to lyon: 1000 B, 50 B back, Answered
        2150: finish 100
        2150: record ended 100/0 Answered by lyon after 2
    ",
    );
    let totals = play.core.view(Timestamp(0)).totals;
    assert_eq!((totals.hedged, totals.migrated, totals.egress_requests.0), (1, 0, 22_000));
    assert_eq!(
        play.steps(100),
        "2001: Arrived; 2001: paris permitted by eea; 2001: lyon permitted by eea; 2001: paris chosen, 80 ms; \
         2002: Recorded { bytes: ByteCount(1000) }; 2002: started at paris; 2090: hedged at lyon; \
         2093: Recorded { bytes: ByteCount(1000) }; 2093: started at lyon; 2150: answered by lyon"
    );
    // It took longer than that, and that is known now.
    let paris = play.core.peers.get(PARIS).unwrap().service(FRAUD).unwrap();
    assert!(paris > Micros::from_millis(80), "{paris:?}");
}

#[test]
fn a_first_copy_that_answers_first_leaves_the_second() {
    hedged().then(vec![done(2150, own(100, 1)), done(2160, own(100, 2))]).check(
        "
        2150: record settled 100/1 to paris: 1000 B, 50 B back, Answered
        2150: abandon 100/2 at lyon
        2150: record settled 100/2 to lyon: 1000 B, 0 B back, Cancelled
        2150: finish 100
        2150: record ended 100/0 Answered by paris after 2
    ",
    );
}

#[test]
fn a_first_copy_that_answers_while_the_second_is_recorded_keeps_it_here() {
    let mut script = sent(infer());
    script.extend([word(2050, LYON, 4), done(2090, own(100, 1)), recorded(2093, 22)]);
    after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
        2090: record#22 intent 100/2 to lyon by eea, 1000 B
        2090: record settled 100/1 to paris: 1000 B, 50 B back, Answered
        2090: record settled 100/2 to lyon: 0 B, 0 B back, Cancelled
        2090: finish 100
        2090: record ended 100/0 Answered by paris after 1
    ",
    );
}

#[test]
fn a_free_slot_here_takes_the_second_copy_without_a_packet() {
    let mut script = sent(infer());
    script.insert(0, ready(2000, FRAUD, 1));
    script.extend([done(2290, own(100, 2))]);
    after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
        2090: route 100/2 munich by local
        2090: run 100/2 fraud
        2290: abandon 100/1 at paris
        2290: record settled 100/1 to paris: 1000 B, 0 B back, Cancelled
        2290: finish 100
        2290: record ended 100/0 Answered by munich after 2, 6000 mJ
    ",
    );
}

#[test]
fn a_second_copy_here_makes_way_when_power_goes() {
    let mut script = sent(infer());
    script.insert(0, ready(2000, FRAUD, 1));
    script.extend([cap(2150, 20), done(2200, own(100, 1))]);
    after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
        2090: route 100/2 munich by local
        2090: run 100/2 fraud
        2150: stop 100/2
        2200: record settled 100/1 to paris: 1000 B, 50 B back, Answered
        2200: finish 100
        2200: record ended 100/0 Answered by paris after 2, 1800 mJ
    ",
    );
}

/// The request is sent to paris, and never a second time.
fn check_alone(play: Play, envelope: Envelope, ticket: u64) {
    let script = vec![with(2001, 100, envelope), recorded(2002, ticket), word(2050, LYON, 4), until(2700)];
    play.then(script).check(&format!(
        "
        2001: record#{ticket} intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
    "
    ));
}

#[test]
fn nothing_is_late_before_enough_is_known() {
    check_alone(after(19), infer(), 20);
}

#[test]
fn a_stream_has_no_second_copy() {
    check_alone(after(20), Envelope { kind: RequestKind::Generate, ..infer() }, 21);
}

#[test]
fn special_and_secret_data_have_no_second_copy() {
    for class in [DataClass::Special, DataClass::Secret] {
        let mut envelope = infer();
        envelope.label.class = class;
        check_alone(after(20), envelope, 21);
    }
}

#[test]
fn a_node_that_stops_sends_no_second_copy_and_leaves_those_that_are_out() {
    let mut script = sent(infer());
    script.extend([(2003, Event::Draining), word(2050, LYON, 4), until(2700)]);
    after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
    ",
    );
    hedged().then(vec![(2110, Event::Draining), done(2150, own(100, 1))]).check(
        "
        2110: abandon 100/2 at lyon
        2110: record settled 100/2 to lyon: 1000 B, 0 B back, Cancelled
        2150: record settled 100/1 to paris: 1000 B, 50 B back, Answered
        2150: finish 100
        2150: record ended 100/0 Answered by paris after 2
    ",
    );
}

#[test]
fn second_copies_are_one_in_twenty() {
    // Three at first, and one for twenty that were sent.
    let requests: Vec<u128> = (100..=105).collect();
    let mut script: Script = requests.iter().map(|request| with(2001, *request, infer())).collect();
    script.extend((21..=26).map(|ticket| recorded(2002, ticket)));
    script.extend((2050..2100).step_by(10).map(|at| word(at, LYON, 4)));
    script.extend((27..=40).map(|ticket| recorded(2093, ticket)));
    // A word is good for three of them.
    script.push(word(2150, LYON, 4));
    script.extend((27..=40).map(|ticket| recorded(2193, ticket)));
    script.push(until(2700));
    let play = after(20).then(script).quietly();
    assert_eq!(play.core.view(Timestamp(0)).totals.hedged, 4);
}

#[test]
fn when_nobody_is_free_two_are_asked_and_it_is_tried_once_more() {
    let load = Load { slots: 4, busy: 1, queued: 0, wait: Micros(0), urgent: Micros(0), service: Micros(0) };
    let accept = Signal::Accept { request: RequestId(100), attempt: Attempt(1), load };
    let mut script = sent(infer());
    script.insert(1, (2002, Event::Told { from: PARIS, signal: accept }));
    let heard_too_late = [until(2200), until(2193), word(2204, LYON, 4), until(2700)];
    let heard_in_time = [word(2150, LYON, 4), until(2193)];
    let begin = "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2001: tell paris offer 100/1
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
        2090: tell paris probe fraud 0 queued
        2090: tell lyon probe fraud 0 queued
    ";
    after(20).with_signals().then([script.clone(), heard_too_late.to_vec()].concat()).check(begin);
    let end = "2190: record#22 intent 100/2 to lyon by eea, 1000 B";
    after(20).with_signals().then([script, heard_in_time.to_vec()].concat()).check(&format!("{begin}\n{end}"));
}

#[test]
fn a_place_that_the_law_forbids_is_no_second_place() {
    let mut script = vec![heard(2000, JAKARTA, FRAUD, 0)];
    script.extend(sent(infer()));
    script.extend([word(2050, JAKARTA, 4), word(2150, JAKARTA, 4), until(2700)]);
    after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
    ",
    );
}

#[test]
fn the_law_is_asked_again_before_a_second_copy_leaves() {
    let mut script = sent(infer());
    script.extend([word(2050, LYON, 4), law(2090, nothing()), recorded(2093, 22)]);
    after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
        2090: record#22 intent 100/2 to lyon by eea, 1000 B
        2090: abandon 100/1 at paris
        2090: record settled 100/1 to paris: 1000 B, 0 B back, Refused
        2093: record settled 100/2 to lyon: 0 B, 0 B back, Refused
        2093: record denied 100/0, rule -, 2 considered
        2093: refuse 100 Unlawful(paris, lyon)
        2093: record ended 100/0 Refused by nobody after 1
    ",
    );
}

#[test]
fn a_change_of_the_law_stops_both_copies() {
    hedged().then(vec![law(2110, nothing())]).check(
        "
        2110: abandon 100/2 at lyon
        2110: record settled 100/2 to lyon: 1000 B, 0 B back, Refused
        2110: abandon 100/1 at paris
        2110: record settled 100/1 to paris: 1000 B, 0 B back, Refused
        2110: record denied 100/0, rule -, 2 considered
        2110: refuse 100 Unlawful(paris, lyon)
        2110: record ended 100/0 Refused by nobody after 2
    ",
    );
}

#[test]
fn a_second_copy_goes_on_when_the_first_falls_silent_and_is_watched_from_then_on() {
    let play = hedged().then(vec![done(2760, own(100, 2))]).check(
        "
        2752: abandon 100/1 at paris
        2752: record settled 100/1 to paris: 1000 B, 0 B back, Refused
        2760: record settled 100/2 to lyon: 1000 B, 50 B back, Answered
        2760: finish 100
        2760: record ended 100/0 Answered by lyon after 2
    ",
    );
    assert_eq!(play.core.view(Timestamp(0)).totals.migrated, 1);
    hedged().then(vec![until(3600)]).check(
        "
        2752: abandon 100/1 at paris
        2752: record settled 100/1 to paris: 1000 B, 0 B back, Refused
        3502: abandon 100/2 at lyon
        3502: record settled 100/2 to lyon: 1000 B, 0 B back, Refused
        3502: fail 100 Silent
        3502: record ended 100/0 Refused by nobody after 2
    ",
    );
}

#[test]
fn a_second_copy_that_is_being_recorded_goes_on_when_the_first_fails() {
    let mut script = sent(infer());
    let lost = failed(2090, own(100, 1), Failure::EngineLost);
    script.extend([word(2050, LYON, 4), lost, recorded(2093, 22), done(2200, own(100, 2))]);
    after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
        2090: record#22 intent 100/2 to lyon by eea, 1000 B
        2090: record settled 100/1 to paris: 1000 B, 0 B back, Refused
        2093: route 100/2 lyon by eea
        2093: forward 100/2 to lyon, 9908 ms left
        2200: record settled 100/2 to lyon: 1000 B, 50 B back, Answered
        2200: finish 100
        2200: record ended 100/0 Answered by lyon after 2
    ",
    );
}

#[test]
fn a_second_copy_that_is_declined_is_settled_and_the_first_goes_on() {
    let declined = Failure::Declined(Refusal::Overloaded { retry_after: Micros::from_millis(100) });
    hedged().then(vec![failed(2110, own(100, 2), declined), done(2300, own(100, 1))]).check(
        "
        2110: record settled 100/2 to lyon: 1000 B, 0 B back, Refused
        2300: record settled 100/1 to paris: 1000 B, 50 B back, Answered
        2300: finish 100
        2300: record ended 100/0 Answered by paris after 2
    ",
    );
}

#[test]
fn when_both_copies_fail_a_third_place_is_tried_and_no_fourth() {
    let lost = |at, attempt| failed(at, own(100, attempt), Failure::EngineLost);
    hedged().then(vec![ready(2105, FRAUD, 1), lost(2110, 1), lost(2120, 2), lost(2130, 3), until(3500)]).check(
        "
        2110: record settled 100/1 to paris: 1000 B, 0 B back, Refused
        2120: record settled 100/2 to lyon: 1000 B, 0 B back, Refused
        2120: route 100/3 munich by local
        2120: run 100/3 fraud
        2130: fail 100 EngineLost
        2130: record ended 100/0 Refused by nobody after 3, 300 mJ
    ",
    );
}

#[test]
fn a_ledger_that_cannot_record_keeps_the_second_copy_here() {
    let mut script = sent(infer());
    script.extend([word(2050, LYON, 4), (2093, Event::RecordFailed(Ticket(22))), done(2200, own(100, 1))]);
    after(20).then(script).check(
        "
        2001: record#21 intent 100/1 to paris by eea, 1000 B
        2002: route 100/1 paris by eea
        2002: forward 100/1 to paris, 9999 ms left
        2090: record#22 intent 100/2 to lyon by eea, 1000 B
        2200: record settled 100/1 to paris: 1000 B, 50 B back, Answered
        2200: finish 100
        2200: record ended 100/0 Answered by paris after 1
    ",
    );
}

#[test]
fn a_client_that_leaves_and_a_deadline_end_both_copies() {
    hedged().then(vec![(2110, Event::ClientGone(RequestId(100)))]).check(
        "
        2110: abandon 100/1 at paris
        2110: record settled 100/1 to paris: 1000 B, 0 B back, Cancelled
        2110: abandon 100/2 at lyon
        2110: record settled 100/2 to lyon: 1000 B, 0 B back, Cancelled
        2110: record ended 100/0 Cancelled by nobody after 2
    ",
    );
    let beats = (1..=49).map(|beat| (2100 + beat * 200, Event::Beat { task: own(100, 1), progress: beat }));
    hedged().then(beats.chain([until(12_002)]).collect()).check(
        "
        12001: abandon 100/1 at paris
        12001: record settled 100/1 to paris: 1000 B, 0 B back, Refused
        12001: abandon 100/2 at lyon
        12001: record settled 100/2 to lyon: 1000 B, 0 B back, Refused
        12001: refuse 100 DeadlinePassed
        12001: record ended 100/0 Refused by nobody after 2
    ",
    );
}

#[test]
fn a_member_that_is_removed_is_left_whichever_copy_it_has() {
    hedged().then(vec![(2110, Event::MemberRemoved(LYON)), done(2200, own(100, 1))]).check(
        "
        2110: abandon 100/2 at lyon
        2110: record settled 100/2 to lyon: 1000 B, 0 B back, Refused
        2200: record settled 100/1 to paris: 1000 B, 50 B back, Answered
        2200: finish 100
        2200: record ended 100/0 Answered by paris after 2
    ",
    );
    hedged().then(vec![(2110, Event::MemberRemoved(PARIS)), done(2200, own(100, 2))]).check(
        "
        2110: abandon 100/1 at paris
        2110: record settled 100/1 to paris: 1000 B, 0 B back, Refused
        2200: record settled 100/2 to lyon: 1000 B, 50 B back, Answered
        2200: finish 100
        2200: record ended 100/0 Answered by lyon after 2
    ",
    );
}

#[test]
fn late_is_the_95th_percentile_of_the_last_answers() {
    let mut times = Times::default();
    (1..20).for_each(|ms| times.add(FRAUD, Micros::from_millis(ms)));
    assert_eq!(times.late(FRAUD), None);
    times.add(FRAUD, Micros::from_millis(20));
    assert_eq!(times.late(FRAUD), Some(Micros::from_millis(19)));
    (21..=200).for_each(|ms| times.add(FRAUD, Micros::from_millis(ms)));
    // Of 73 to 200, six are slower.
    assert_eq!((times.late(FRAUD), limits::HEDGE_SAMPLES), (Some(Micros::from_millis(194)), 128));
}

/// A world by chance, and what must be true of every copy in it.
struct Storm {
    core: Core,
    random: Random,
    now: u64,
    flying: Vec<Task>,
    /// Egresses that are on the record, and not settled.
    intents: BTreeSet<(RequestId, Attempt)>,
    tickets: BTreeMap<Ticket, (RequestId, Attempt)>,
    endings: BTreeMap<RequestId, u32>,
}

impl Storm {
    fn feed(&mut self, event: Event) {
        if let Event::Done { task, .. } | Event::Failed { task, .. } = &event {
            self.flying.retain(|flying| flying != task);
        }
        let actions: Vec<Action> = self.core.handle(event, Timestamp(self.now * 1000)).collect();
        for action in actions {
            self.take(action);
        }
    }

    fn take(&mut self, action: Action) {
        match action {
            Action::Run { task, .. } | Action::Forward { task, .. } => {
                self.flying.push(task);
                let copies = self.flying.iter().filter(|flying| flying.request == task.request).count();
                assert!(copies <= 2 && task.attempt.0 <= 3, "{task:?} is one of {copies} copies");
            }
            Action::Abandon { task, .. } | Action::StopRun(task) => {
                assert!(self.flying.contains(&task), "{task:?} is left, and was not under way");
                self.flying.retain(|flying| *flying != task);
            }
            Action::Record { ticket: Some(ticket), fact: Fact::EgressIntent { subject, .. } } => {
                self.intents.insert((subject.request, subject.attempt));
                self.tickets.insert(ticket, (subject.request, subject.attempt));
            }
            Action::Record { fact: Fact::EgressSettled { subject, .. }, .. } => {
                let known = self.intents.remove(&(subject.request, subject.attempt));
                assert!(known, "{} is settled once", subject.request);
            }
            Action::Finish { request, .. } | Action::Refuse { request, .. } | Action::Fail { request, .. } => {
                *self.endings.entry(request).or_default() += 1;
                assert!(self.flying.iter().all(|flying| flying.request != request), "{request} goes on after its end");
            }
            Action::Tell { peer: from, signal: Signal::Offer { request, attempt, .. } } => {
                let load =
                    Load { slots: 4, busy: 1, queued: 0, wait: Micros(0), urgent: Micros(0), service: Micros(0) };
                self.feed(Event::Told { from, signal: Signal::Accept { request, attempt, load } });
            }
            _ => {}
        }
    }

    fn step(&mut self, number: u128) {
        self.now += self.random.below(40) as u64;
        let peer = [PARIS, LYON][self.random.below(2)];
        let some = |random: &mut Random, from: &[Task]| from.get(random.below(from.len().max(1))).copied();
        let task = some(&mut self.random, &self.flying).unwrap_or(own(1, 1));
        let (_, event) = match self.random.below(40) {
            0..=9 => with(self.now, number, infer()),
            10..=13 => heard(self.now, peer, FRAUD, 0),
            14..=19 => word(self.now, peer, 4),
            20..=28 => done(self.now, task),
            29 => failed(self.now, task, [Failure::EngineLost, Failure::Unreachable][self.random.below(2)].clone()),
            30 => ready(self.now, FRAUD, 2),
            31 => {
                // A driver says first what the engine took along.
                for task in self.core.running().collect::<Vec<_>>() {
                    self.feed(Event::Failed { task, failure: Failure::EngineLost });
                }
                (0, Event::ModelLost(FRAUD))
            }
            32 => cap(self.now, 10 + self.random.below(100) as u64),
            33 => law(self.now, [eea(), eea(), nothing()][self.random.below(3)].clone()),
            34 => (0, Event::ClientGone(task.request)),
            35 if self.random.below(4) == 0 => (0, Event::MemberRemoved(peer)),
            36 => (0, Event::MemberAdded(crate::tests::member(peer))),
            _ => until(self.now),
        };
        self.feed(event);
        let beats = self.flying.clone().into_iter().filter(|_| self.random.below(8) > 0);
        let beats: Vec<Task> = beats.collect();
        beats.into_iter().for_each(|task| self.feed(Event::Beat { task, progress: self.now }));
        while let Some((ticket, egress)) = self.tickets.pop_first() {
            if self.random.below(20) == 0 {
                self.intents.remove(&egress);
                self.feed(Event::RecordFailed(ticket));
            } else {
                self.feed(Event::Recorded(ticket));
            }
            self.feed(Event::Tick);
        }
    }
}

#[test]
fn whatever_comes_each_copy_is_left_once_and_settled_once_and_one_answers() {
    let (mut hedged, mut migrated) = (0, 0);
    for seed in 0..200 {
        let (flying, now) = (Vec::new(), 2001);
        let (intents, tickets, endings) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let core = after(20).core;
        let mut storm = Storm { core, random: Random::new(seed), now, flying, intents, tickets, endings };
        (1000..1600).for_each(|number| storm.step(number));
        while let Some(due) = storm.core.deadline().filter(|due| due.0 < (now + 60_000) * 1000) {
            storm.now = storm.now.max(due.0.div_ceil(1000));
            storm.feed(Event::Tick);
        }
        assert_eq!((storm.core.open_requests().count(), storm.flying.len()), (0, 0), "seed {seed}: all is over");
        assert!(storm.intents.is_empty(), "seed {seed}: {:?} were not settled", storm.intents);
        assert!(storm.endings.values().all(|count| *count == 1), "seed {seed}: each ends once");
        assert_eq!(storm.core.busy_slots(), 0, "seed {seed}: nothing runs for nobody");
        let totals = storm.core.view(Timestamp(0)).totals;
        (hedged, migrated) = (hedged + totals.hedged, migrated + totals.migrated);
    }
    assert!(hedged > 200 && migrated > 200, "a run that exercised nothing is a failure: {hedged}, {migrated}");
}
