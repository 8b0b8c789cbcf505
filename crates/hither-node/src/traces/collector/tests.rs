//! Which requests' spans a collector is given.

use hither_law::parse;
use hither_types::label::DataClass;
use hither_types::place::Jurisdiction;
use hither_types::request::Envelope;
use hither_types::time::Day;

use super::super::tests::{Kept, envelope, member};
use super::super::{End, Traces};
use super::*;
use crate::config::endpoint::Elsewhere;
use hither_types::id::RequestId;

/// A node in France, and its collector.
fn node(place: CollectorPlace) -> (Traces, Kept) {
    let kept = Kept::default();
    let telemetry = Telemetry { otlp: "http://collector:4317".to_owned(), share: 1.0, place };
    (Traces::to(Box::new(kept.clone()), &telemetry, &member(1, "paris")), kept)
}

fn in_us() -> CollectorPlace {
    let (jurisdiction, operator) = (Jurisdiction::parse("US").unwrap(), Operator::parse("watcher").unwrap());
    CollectorPlace::Elsewhere(Elsewhere { jurisdiction, operator, control: None })
}

fn law(rules: &str) -> Policy {
    parse(&format!("version = 1\n{rules}"), Day(20_787)).unwrap()
}

fn of_class(class: DataClass) -> Envelope {
    let mut envelope = envelope();
    (envelope.label.class, envelope.label.subjects) = (class, vec![Jurisdiction::parse("FR").unwrap()]);
    envelope
}

const INTERNAL: &str =
    "[[permit]]\nid = \"watched\"\naction = [\"observe\"]\nclass = [\"internal\"]\ntarget = [\"US\"]\n";

#[test]
fn a_collector_elsewhere_is_shown_what_a_permit_to_observe_names_and_the_rest_is_counted_and_told_once() {
    let (traces, kept) = node(in_us());
    let ask = |law: &Policy, class| {
        let told = traces.end(law, &traces.of_client("chat", &of_class(class), None), RequestId(1), End::Left);
        (told, kept.take().len())
    };
    let (closed, open) = (law(""), law(INTERNAL));
    let (told, sent) = ask(&closed, DataClass::Internal);
    let told = told.unwrap();
    assert!(told.starts_with(KEPT_BACK) && told.contains("http://collector:4317 in US: no rule permits"), "{told}");
    assert_eq!((sent, traces.withheld()), (0, 1));
    assert_eq!(ask(&closed, DataClass::Internal), (None, 0));
    assert_eq!(ask(&open, DataClass::Internal), (None, 1));
    assert_eq!(ask(&open, DataClass::Special), (None, 0));
    assert_eq!(traces.withheld(), 3);
    traces.law_changed();
    let (told, _) = ask(&open, DataClass::Special);
    assert!(told.is_some_and(|told| told.contains("watched came closest, but class: special")));
}

#[test]
fn to_work_somewhere_is_no_permit_to_be_seen_there() {
    let (traces, kept) = node(in_us());
    let work = law("[[permit]]\nid = \"work\"\n");
    let told =
        traces.end(&work, &traces.of_client("chat", &of_class(DataClass::Public), None), RequestId(1), End::Left);
    assert!(told.is_some() && kept.take().is_empty());
}

#[test]
fn what_is_served_for_a_peer_is_judged_by_where_it_entered() {
    let (traces, kept) = node(in_us());
    let french = law(&format!("{INTERNAL}origin = [\"FR\"]\n"));
    let mut berlin = member(2, "berlin");
    berlin.jurisdiction = Jurisdiction::parse("DE").unwrap();
    let asked = hither_types::trace::TraceParent { trace: 7, span: 9, sampled: true };
    for (peer, sent) in [(Some(&member(3, "lyon")), 1), (Some(&berlin), 0), (None, 0)] {
        let trace = traces.of_peer(&of_class(DataClass::Internal), Some(asked), peer);
        traces.end(&french, &trace, RequestId(1), End::Left);
        assert_eq!(kept.take().len(), sent, "{peer:?}");
    }
}

#[test]
fn on_this_machine_all_may_be_seen_unless_it_is_forbidden() {
    let (traces, kept) = node(CollectorPlace::Here);
    assert_eq!(traces.trouble(), None);
    for (rules, sent) in [("", 1), ("[[forbid]]\nid = \"unseen\"\naction = [\"observe\"]\nclass = [\"secret\"]\n", 0)] {
        traces.end(&law(rules), &traces.of_client("chat", &of_class(DataClass::Secret), None), RequestId(1), End::Left);
        assert_eq!(kept.take().len(), sent);
    }
}

#[test]
fn a_collector_of_which_no_place_is_said_is_in_no_target_and_that_is_said() {
    let (traces, kept) = node(CollectorPlace::Unknown);
    assert!(traces.trouble().unwrap().contains("its place is unknown"));
    for (rules, sent) in [(INTERNAL, 0), ("[[permit]]\nid = \"any\"\naction = [\"observe\"]\n", 1)] {
        let told = traces.end(
            &law(rules),
            &traces.of_client("chat", &of_class(DataClass::Internal), None),
            RequestId(1),
            End::Left,
        );
        assert_eq!((kept.take().len(), told.is_none()), (sent, sent == 1));
    }
}
