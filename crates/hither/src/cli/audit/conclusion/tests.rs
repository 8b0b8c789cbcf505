//! Tests of what a report says in words.

use hither_ledger::Record;
use hither_ledger::audit::{Happened, Work};
use hither_types::id::{AppName, ModelName, SiteName};
use hither_types::spending::Link;
use hither_types::unit::ByteCount;

use super::*;

fn work(class: DataClass) -> Work {
    let (app, model) = (AppName::parse("triage").unwrap(), ModelName::parse("ct").unwrap());
    Work { app, model, ran: None, class, purpose: None }
}

fn course(from: Option<&str>, to: &str, class: DataClass, way: Way) -> Course {
    let place = |code: &str| Jurisdiction::parse(code).unwrap();
    let site = SiteName::parse("there").unwrap();
    let (from, to, link) = (from.map(place), place(to), Some(Link::CrossBorder));
    Course { from, to, site, operator: None, link, way, work: work(class), relay: None, rule: None }
}

fn moved(transfers: u64, unsettled: u64) -> Moved {
    Moved { transfers, unsettled, bytes: ByteCount(9), ..Moved::default() }
}

fn of(courses: Vec<(Course, Moved)>) -> Audit {
    Audit { courses: courses.into_iter().collect(), ..Audit::default() }
}

#[test]
fn a_quiet_period_says_that_nothing_left_and_nothing_was_lost() {
    let mut audit = Audit::default();
    audit.work.insert(work(DataClass::Special), Ended { here: 412, refused: 1, ..Ended::default() });
    assert_eq!(
        conclusion(&audit),
        "In short, for this period: 413 requests of apps entered; 412 were answered by the node at which they entered, 0 by \
         another place, 1 refused or failed, 0 given up. No request left its country. Nothing with data of class special or \
         secret crossed a border. No record was lost."
    );
    assert!(conclusion(&Audit::default()).contains("no request of an app entered."));
}

#[test]
fn what_left_is_told_by_country_and_what_is_special_by_itself() {
    let audit = of(vec![
        (course(Some("DE-BY"), "FR", DataClass::Personal, Way::Request), moved(2, 1)),
        (course(Some("DE-BY"), "US", DataClass::Special, Way::Request), moved(4, 0)),
        (course(Some("DE-BY"), "DE-BE", DataClass::Special, Way::Request), moved(5, 0)),
        (course(Some("FR"), "DE-BY", DataClass::Secret, Way::Answer), moved(1, 0)),
    ]);
    let text = conclusion(&audit);
    for said in [
        "7 requests left their country, for FR (3), US (4); 5 went to another place in it; what became of 1 of these is not on \
         the record",
        "1 answer left its country, for DE (1).",
        "Data of class special or secret crossed a border 5 times.",
    ] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
}

#[test]
fn what_is_not_known_is_said_to_be_so() {
    let text = conclusion(&of(vec![(course(None, "FR", DataClass::Secret, Way::Request), moved(2, 0))]));
    for said in [
        "Of no request it is known that it left its country; of 2 that is not known",
        "Whether data of class special or secret crossed a border is not known of 2 transfers.",
    ] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
}

#[test]
fn what_was_lost_is_not_kept_back() {
    let node = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
    let line = format!(
        r#"{{"dropped":7,"kind":"gap","mono_ms":1,"node":"{node}","seq":4,"ts":"2026-11-22T12:00:00.123Z","v":1}}"#
    );
    let record = Record::parse(&line).unwrap();
    let happened = vec![Happened { ts: record.ts.clone(), node: record.node, record }];
    let text = conclusion(&Audit { happened, ..Audit::default() });
    assert!(text.ends_with("Not everything is there: 7 records were lost while a disk took none."), "{text}");
}
