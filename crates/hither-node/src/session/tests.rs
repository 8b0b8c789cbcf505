//! A client gets each token once, in order, whatever the places do.

use hither_api::door::Answer;
use hither_engine::work::Piece;
use hither_types::id::{Attempt, MeshId, NodeId, Operator, RequestId, RuleId, SiteName};
use hither_types::member::{Member, Roles};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::time::WallTime;
use tokio::sync::mpsc;

use super::*;

fn session(room: usize) -> (Session, mpsc::Receiver<Answer>) {
    let (answers, receiver) = mpsc::channel(room);
    (Session::new(RequestId(1), Bytes::new(), answers, crate::traces::Trace::default()), receiver)
}

fn tokens(first: u32, ids: &[u32]) -> Piece {
    Piece::tokens(first, ids.to_vec(), String::new())
}

/// Everything that the client has, one after the other.
fn answers(receiver: &mut mpsc::Receiver<Answer>) -> Vec<Answer> {
    let mut all = Vec::new();
    while let Ok(answer) = receiver.try_recv() {
        match answer {
            Answer::Together(answers) => all.extend(answers),
            answer => all.push(answer),
        }
    }
    all
}

fn delivered(receiver: &mut mpsc::Receiver<Answer>) -> Vec<u32> {
    let mut all = Vec::new();
    for answer in answers(receiver) {
        if let Answer::Piece(Piece::Tokens { ids, .. }) = answer {
            all.extend(ids);
        }
    }
    all
}

#[test]
fn a_stream_goes_on_from_what_was_delivered_and_old_attempts_are_silent() {
    let (session, mut receiver) = session(16);
    assert!(session.begin(Attempt(1)).is_empty());
    assert_eq!(session.deliver(Attempt(1), tokens(0, &[10, 11])), Delivery::Delivered);
    assert_eq!(session.begin(Attempt(2)), [10, 11]);
    assert_eq!(session.deliver(Attempt(1), tokens(2, &[12])), Delivery::Old);
    assert_eq!(session.deliver(Attempt(2), tokens(2, &[12, 13])), Delivery::Delivered);
    assert_eq!(delivered(&mut receiver), [10, 11, 12, 13]);
    assert_eq!(session.summary(Cost::default()).migrations, 1);
}

#[test]
fn a_gap_or_a_repeat_is_never_delivered() {
    let (session, mut receiver) = session(16);
    session.begin(Attempt(1));
    assert_eq!(session.deliver(Attempt(1), tokens(0, &[10])), Delivery::Delivered);
    assert_eq!(session.deliver(Attempt(1), tokens(2, &[12])), Delivery::Gap);
    assert_eq!(session.deliver(Attempt(1), tokens(0, &[10])), Delivery::Gap);
    assert_eq!(delivered(&mut receiver), [10]);
}

#[test]
fn a_full_channel_and_a_client_that_left_are_told_apart() {
    let (session, receiver) = session(1);
    session.begin(Attempt(1));
    assert_eq!(session.deliver(Attempt(1), tokens(0, &[10])), Delivery::Delivered);
    assert_eq!(session.deliver(Attempt(1), tokens(1, &[11])), Delivery::Full);
    drop(receiver);
    assert_eq!(session.deliver(Attempt(1), tokens(1, &[11])), Delivery::ClientGone);
}

#[tokio::test]
async fn what_was_not_sent_is_not_logged_when_the_wait_is_dropped() {
    let (session, mut receiver) = session(1);
    session.begin(Attempt(1));
    session.deliver(Attempt(1), tokens(0, &[10]));
    let waiting = tokio::time::timeout(std::time::Duration::ZERO, session.deliver_wait(Attempt(1), tokens(1, &[11])));
    assert!(waiting.await.is_err());
    assert_eq!(session.begin(Attempt(2)), [10]);
    assert_eq!(delivered(&mut receiver), [10]);
}

#[test]
fn what_leaves_with_an_attempt_is_the_payload_and_the_tokens_to_go_on_from() {
    let (answers, _receiver) = mpsc::channel(16);
    let session =
        Session::new(RequestId(1), Bytes::from_static(b"0123456789"), answers, crate::traces::Trace::default());
    session.begin(Attempt(1));
    session.deliver(Attempt(1), tokens(0, &[10, 11, 12]));
    assert_eq!(session.fix_outgoing(Attempt(2), Prefix::Stays), ByteCount(10 + 3 * 4));
    // What is on the record is what is sent, though the old place still speaks.
    assert_eq!(session.deliver(Attempt(1), tokens(3, &[13])), Delivery::Old);
    assert_eq!(session.begin(Attempt(2)), [10, 11, 12]);
    assert_eq!(session.outgoing(Attempt(2)), Some(ByteCount(22)));
    assert_eq!(session.summary(Cost::default()).migrations, 1);
}

fn route(attempt: u8, site: &str) -> Route {
    let served_by = Member {
        node: NodeId([attempt; 32]),
        mesh: MeshId([0; 32]),
        site: SiteName::parse(site).unwrap(),
        jurisdiction: Jurisdiction::parse("FR").unwrap(),
        control: None,
        operator: Operator::parse("acme").unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(0),
        roles: Roles::ALL,
    };
    Route {
        attempt: Attempt(attempt),
        served_by,
        rule: RuleId::parse("eea").unwrap(),
        instead: None,
        version: None,
        masked: Default::default(),
    }
}

/// A request with a first copy at paris and a second at lyon.
fn hedged() -> (Session, mpsc::Receiver<Answer>) {
    let (session, receiver) = session(16);
    for (attempt, site) in [(1, "paris"), (2, "lyon")] {
        session.fix_outgoing(Attempt(attempt), Prefix::Stays);
        session.route(route(attempt, site));
        session.begin(Attempt(attempt));
    }
    (session, receiver)
}

/// What the client saw once it is over: whom it believes to serve it, and how many answers it has.
fn seen(session: &Session, receiver: &mut mpsc::Receiver<Answer>) -> (String, usize) {
    session.say(Answer::Done(session.summary(Cost::default()))).unwrap();
    let (mut site, mut outputs) = (String::new(), 0);
    for answer in answers(receiver) {
        match answer {
            Answer::Routed(route) => site = route.served_by.site.to_string(),
            Answer::Piece(Piece::Outputs(_)) => outputs += 1,
            _ => {}
        }
    }
    (site, outputs)
}

#[test]
fn of_two_copies_the_first_that_delivers_is_the_only_one_and_the_one_that_is_told() {
    for (first, second, site) in [(1, 2, "paris"), (2, 1, "lyon")] {
        let (session, mut receiver) = hedged();
        assert_eq!(session.deliver(Attempt(first), Piece::Outputs(Vec::new())), Delivery::Delivered);
        assert_eq!(session.deliver(Attempt(second), Piece::Outputs(Vec::new())), Delivery::Old);
        assert_eq!(seen(&session, &mut receiver), (site.to_owned(), 1));
        assert_eq!((session.summary(Cost::default()).attempts, session.summary(Cost::default()).migrations), (2, 0));
    }
}

#[test]
fn a_copy_that_was_given_up_delivers_nothing_and_the_other_does() {
    let (session, mut receiver) = hedged();
    session.give_up(Attempt(1));
    assert_eq!(session.deliver(Attempt(1), Piece::Outputs(Vec::new())), Delivery::Old);
    assert_eq!(session.deliver(Attempt(2), Piece::Outputs(Vec::new())), Delivery::Delivered);
    assert_eq!(seen(&session, &mut receiver), ("lyon".to_owned(), 1));
}

#[test]
fn an_answer_whose_end_got_lost_is_not_given_again() {
    let (session, mut receiver) = hedged();
    session.deliver(Attempt(1), Piece::Outputs(Vec::new()));
    session.give_up(Attempt(1));
    session.begin(Attempt(3));
    assert_eq!(session.deliver(Attempt(3), Piece::Outputs(Vec::new())), Delivery::Delivered);
    assert_eq!(seen(&session, &mut receiver).1, 1);
}

#[test]
fn it_is_known_whether_an_answer_has_begun_and_whether_anybody_can_go_on_with_it() {
    let (known, _receiver) = session(16);
    known.begin(Attempt(1));
    assert!(!known.has_begun() && !known.is_severed());
    known.deliver(Attempt(1), tokens(0, &[10]));
    assert!(known.has_begun() && !known.is_severed());
    known.deliver(Attempt(1), tokens(1, &[UNKNOWN_TOKEN]));
    assert!(known.is_severed());
}

#[test]
fn the_end_of_an_answer_comes_with_its_last_word_and_tokens_come_at_once() {
    let end = || Piece::end(hither_engine::work::FinishReason::Stop, String::new());
    let (session, mut receiver) = session(16);
    session.route(route(1, "paris"));
    session.begin(Attempt(1));
    session.deliver(Attempt(1), tokens(0, &[10]));
    let first = answers(&mut receiver);
    assert!(matches!(first[..], [Answer::Routed(_), Answer::Piece(Piece::Tokens { .. })]), "{first:?}");
    assert_eq!(session.deliver(Attempt(1), end()), Delivery::Delivered);
    assert!(answers(&mut receiver).is_empty());
    // Its last word got lost: another place goes on, and the end is given once.
    session.route(route(2, "lyon"));
    session.begin(Attempt(2));
    assert_eq!(session.deliver(Attempt(2), tokens(1, &[11])), Delivery::Delivered);
    assert_eq!(session.deliver(Attempt(2), end()), Delivery::Delivered);
    session.say(Answer::Done(session.summary(Cost::default()))).unwrap();
    let rest = answers(&mut receiver);
    let [Answer::Routed(_), Answer::Piece(Piece::Tokens { .. }), Answer::Piece(Piece::End { .. }), Answer::Done(_)] =
        &rest[..]
    else {
        panic!("{rest:?}")
    };
}

#[test]
fn an_answer_that_is_there_as_a_whole_is_said_in_one_word_and_to_nobody_who_left() {
    let (session, mut receiver) = session(1);
    session.route(route(1, "paris"));
    session.begin(Attempt(1));
    for (first, id) in [(0, 10), (1, 11), (2, 12)] {
        assert_eq!(session.hold(Attempt(1), tokens(first, &[id])), Delivery::Delivered);
    }
    assert_eq!(session.hold(Attempt(1), tokens(2, &[13])), Delivery::Gap);
    assert_eq!(session.hold(Attempt(2), tokens(3, &[13])), Delivery::Old);
    assert!(receiver.try_recv().is_err());
    session.say(Answer::Done(session.summary(Cost::default()))).unwrap();
    let Ok(Answer::Together(all)) = receiver.try_recv() else { panic!("all of it in one word") };
    assert!(matches!(all[..], [Answer::Routed(_), .., Answer::Done(_)]) && all.len() == 5, "{all:?}");
    drop(receiver);
    assert_eq!(session.hold(Attempt(1), tokens(3, &[13])), Delivery::ClientGone);
}
