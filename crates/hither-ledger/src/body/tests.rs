//! Tests of what a fact becomes.

use hither_types::fact::Ran;
use hither_types::id::ModelName;

use super::*;
use crate::canonical::write_object;
use crate::samples::{PARIS, all_facts, counterpart, intent};

fn line(fact: &Fact) -> String {
    let mut out = String::new();
    write_object(&Body::from(fact).fields, &mut out);
    out
}

#[test]
fn wall_time_is_written_as_rfc_3339() {
    for (wall, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
        (1_795_348_800_123, "2026-11-22T12:00:00.123Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(rfc3339(WallTime(wall)), text);
        assert_eq!(parse_rfc3339(text), Some(WallTime(wall)));
    }
    for day in 0..60_000 {
        let wall = WallTime(day * 86_400_000 + 86_399_999);
        assert_eq!(parse_rfc3339(&rfc3339(wall)), Some(wall));
    }
    for wrong in ["", "2026-11-22", "2026-13-22T12:00:00.123Z", "2026-02-29T12:00:00.123Z", "2026-11-22 12:00:00.123Z"]
    {
        assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
    }
    assert_eq!(parse_rfc3339("1969-12-31T23:59:59.999Z"), None);
}

#[test]
fn an_intent_says_who_what_where_and_why() {
    assert_eq!(
        line(&intent(1, 1832)),
        concat!(
            r#"{"app":"ct-triage","attempt":1,"bytes_out":1832,"class":"personal","decision":"permit","#,
            r#""model":"smollm2-135m","place":{"assurance":1,"control":["DE"],"jur":"DE-BY","kind":"peer","#,
            r#""node":"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c","op":"acme","site":"munich"},"#,
            r#""policy":"b3:0909090909090909090909090909090909090909090909090909090909090909","purpose":"triage","#,
            r#""req":"01935a7c-9f00-7000-8000-000000000001","rule":"eu-to-eu","subj":["DE-BY","FR"],"tags":["phi"]}"#,
        )
    );
}

#[test]
fn a_model_that_ran_in_the_place_of_another_is_named_with_its_file() {
    let ran = Ran { model: ModelName::parse("smollm2:3").unwrap(), digest: Digest([5; 32]) };
    let mut fact = intent(1, 1832);
    if let Fact::EgressIntent { subject, .. } = &mut fact {
        subject.ran = Some(ran);
    }
    let said = format!(r#""ran":{{"digest":"b3:{}","model":"smollm2:3"}}"#, "05".repeat(32));
    assert!(line(&fact).contains(&said) && line(&fact).contains(r#""model":"smollm2-135m""#), "{}", line(&fact));
}

#[test]
fn no_fact_carries_free_text() {
    // The one string in a fact that its type does not guard is the version, and it must look like one.
    let canary = "Patient 4711 has a fever";
    let fact = Fact::Started {
        policy: Digest([0; 32]),
        version: canary.to_owned(),
        build: Vec::new(),
        config: None,
        here: counterpart(&PARIS),
    };
    assert!(line(&fact).contains(r#""version":"unreadable""#));
    for fact in all_facts() {
        let text = line(&fact);
        assert!(!text.contains(' ') && !text.contains('\\'), "{text}");
    }
}
