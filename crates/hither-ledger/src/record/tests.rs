//! Tests of reading records.

use hither_types::fact::{Counterpart, Fact, Passed};
use hither_types::place::PlaceKind;

use super::*;
use crate::canonical::{Object, Value, write_object};
use crate::samples::{MUNICH, PARIS, all_facts, intent, node, scratch, settled, write};
use crate::scan::read;

/// Kinds that no fact becomes.
const BY_THE_WRITER: [Kind; 4] = [Kind::Gap, Kind::Recovered, Kind::RetentionDelete, Kind::Unknown];

fn lines() -> Vec<String> {
    let dir = scratch();
    write(dir.path(), &MUNICH, &all_facts());
    read(dir.path()).unwrap().map(|record| record.unwrap().line).collect()
}

/// The line with a field changed, or without it.
fn with(line: &str, field: &str, value: Option<Value>) -> String {
    let mut object = canonical::parse(line).unwrap();
    match value {
        Some(value) => object.insert(field.to_owned().into(), value),
        None => object.remove(field),
    };
    let mut out = String::new();
    write_object(&object, &mut out);
    out
}

#[test]
fn every_fact_reads_back_as_a_record_of_its_kind() {
    let kinds: Vec<Kind> = lines().iter().map(|line| Record::parse(line).unwrap().kind).collect();
    let written: Vec<Kind> = Kind::ALL.iter().copied().filter(|k| !BY_THE_WRITER.contains(k)).collect();
    let mut sorted = kinds.clone();
    sorted.sort();
    assert_eq!(sorted, written);
    assert_eq!(kinds.len(), all_facts().len());
}

#[test]
fn a_record_exposes_what_it_says() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 1832)]);
    let record = read(dir.path()).unwrap().next().unwrap().unwrap();
    assert_eq!((record.seq, record.node, record.kind), (0, node(&MUNICH), Kind::EgressIntent));
    assert_eq!(record.ts, "2026-11-22T12:00:00.123Z");
    assert_eq!(record.mono_ms, 1_000);
    assert_eq!(record.request, Some(crate::samples::REQUEST));
    assert_eq!(record.attempt, Some(Attempt(1)));
    assert_eq!(record.bytes_out, Some(ByteCount(1832)));
    let place = record.place.unwrap();
    assert_eq!((place.site.as_str(), place.jurisdiction.to_string().as_str(), place.assurance), ("munich", "DE-BY", 1));
    assert_eq!(record.subjects.len(), 2);
    assert_eq!(record.class, Some(DataClass::Personal));
    assert!(record.rule.is_some() && record.app.is_some() && record.model.is_some());
}

#[test]
fn a_record_without_a_field_that_its_kind_needs_is_none() {
    for line in lines() {
        let kind = Record::parse(&line).unwrap().kind;
        let needed: &[&str] = match kind {
            Kind::EgressIntent => &["req", "attempt", "app", "model", "class", "place", "rule", "bytes_out"],
            Kind::EgressSettled => &["req", "attempt", "place", "bytes_out", "bytes_in", "outcome"],
            Kind::IngressAccept => &["req", "attempt", "place", "rule", "bytes_in"],
            Kind::EgressAnswer => &["req", "attempt", "place", "bytes_out", "outcome"],
            Kind::CanaryPermit => &["req", "attempt", "app", "place", "rule"],
            Kind::EgressFiltered | Kind::IngressRefuse => &["req", "attempt", "place"],
            Kind::Deny | Kind::RequestEnd => &["req", "attempt", "app"],
            Kind::KernelCounted => &["span", "lawful", "talk", "leak_packets"],
            Kind::KernelUnread => &["fault"],
            Kind::FirstTransfer => &["left", "to"],
            Kind::MemberJoin | Kind::MemberRevoke | Kind::MemberLeave => &["place"],
            _ => &[],
        };
        for field in needed.iter().chain(&["v", "node", "seq", "ts", "mono_ms", "kind"]) {
            let error = Record::parse(&with(&line, field, None)).unwrap_err();
            assert_eq!(error.to_string(), format!("the field {field:?} is missing or malformed"), "{kind}");
        }
    }
}

#[test]
fn a_record_with_a_field_of_the_wrong_form_is_none() {
    let line = &lines()[5];
    for (field, wrong) in [
        ("attempt", Value::Integer(256)),
        ("bytes_out", Value::text("1832")),
        ("class", Value::text("harmless")),
        ("kind", Value::text("Egress perhaps")),
        ("kind", Value::text("")),
        ("kind", Value::text("a".repeat(41))),
        ("kind", Value::Integer(1)),
        ("mono_ms", Value::text("now")),
        ("node", Value::text("munich")),
        ("outcome", Value::text("perhaps")),
        ("place", Value::text("munich")),
        ("place", Value::Object(Object::new())),
        ("req", Value::text("1")),
        ("ran", Value::text("smollm2:3")),
        ("ran", Value::Object(Object::new())),
        ("relay", Value::text("hub")),
        ("relay", Value::Object(Object::new())),
        ("rule", Value::text("eu to eu")),
        ("subj", Value::text("DE")),
        ("subj", Value::List(vec![Value::text("Bavaria")])),
        ("v", Value::Integer(2)),
    ] {
        assert!(Record::parse(&with(line, field, Some(wrong.clone()))).is_err(), "{field}: {wrong:?}");
    }
    assert_eq!(Record::parse(&with(line, "v", Some(Value::Integer(2)))), Err(RecordError::Version(2)));
}

#[test]
fn a_kind_of_a_newer_program_is_a_record_and_not_damage() {
    let line = with(&lines()[5], "kind", Some(Value::text("egress.perhaps")));
    // What its fields mean in that program is not known, so none of them is judged.
    let line = with(&line, "class", Some(Value::text("harmless")));
    let record = Record::parse(&line).unwrap();
    assert_eq!((record.kind, record.word(), record.seq), (Kind::Unknown, "egress.perhaps", 5));
    assert_eq!((record.request, record.class, record.bytes_out), (None, None, None));
    for field in ["v", "node", "seq", "ts", "mono_ms", "kind"] {
        assert!(Record::parse(&with(&line, field, None)).is_err(), "{field}");
    }
    // Nobody can call a kind of ours unknown by its own name for that.
    assert_eq!(Record::parse(&with(&line, "kind", Some(Value::text("unknown")))).unwrap().word(), "unknown");
}

#[test]
fn a_place_says_who_runs_it_who_can_compel_them_and_what_it_is() {
    let known = crate::samples::counterpart(&MUNICH);
    let fact = |control, kind| Fact::Joined(Counterpart { control, kind, ..known.clone() });
    let dir = scratch();
    let facts = [
        fact(Some(known.control.clone().unwrap()), PlaceKind::Peer),
        fact(Some(Vec::new()), PlaceKind::Cloud),
        fact(None, PlaceKind::Home),
    ];
    write(dir.path(), &PARIS, &facts);
    let records: Vec<Record> = read(dir.path()).unwrap().map(|record| record.unwrap()).collect();
    let place = |at: usize| records[at].place.clone().unwrap();
    assert_eq!(place(0).operator, Some(known.operator.clone()));
    let said: Vec<_> = (0..3).map(|at| (place(at).control, place(at).kind.unwrap())).collect();
    assert_eq!(
        said,
        [(known.control.clone(), PlaceKind::Peer), (Some(Vec::new()), PlaceKind::Cloud), (None, PlaceKind::Home)]
    );
    // Nobody is an empty list, and what is not known is not there.
    assert!(records[1].line.contains(r#""control":[]"#) && !records[2].line.contains("control"));
}

#[test]
fn a_place_of_a_record_of_before_says_what_was_said_then() {
    let line = &lines()[5];
    let Some(Value::Object(mut place)) = canonical::parse(line).unwrap().remove("place") else {
        unreachable!("it is one")
    };
    for field in ["op", "control", "kind"] {
        place.remove(field).unwrap();
    }
    let record = Record::parse(&with(line, "place", Some(Value::Object(place.clone())))).unwrap();
    let read = record.place.unwrap();
    assert_eq!((read.site.as_str(), read.operator, read.control, read.kind), ("munich", None, None, None));
    for (field, wrong) in [("op", "klinik ag"), ("kind", "friend"), ("control", "DE")] {
        let mut place = place.clone();
        place.insert(field.into(), Value::text(wrong));
        assert!(Record::parse(&with(line, "place", Some(Value::Object(place)))).is_err(), "{field}: {wrong}");
    }
}

#[test]
fn a_record_says_which_relay_payload_passed() {
    let over = |place| Some(Passed { relay: node(&PARIS), place });
    let french = crate::samples::counterpart(&PARIS);
    for (place, read_as) in [(Some((french.site, french.jurisdiction)), Some(french.jurisdiction)), (None, None)] {
        let dir = scratch();
        let mut fact = settled(1, 9, 3, Outcome::Answered);
        if let Fact::EgressSettled { over: passed, .. } = &mut fact {
            *passed = over(place);
        }
        write(dir.path(), &MUNICH, &[fact]);
        let record = read(dir.path()).unwrap().next().unwrap().unwrap();
        assert_eq!(record.relay, Some((node(&PARIS), read_as)));
    }
}
