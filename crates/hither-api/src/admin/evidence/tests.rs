//! Evidence as JSON.

use hither_types::id::{NodeId, SiteName};
use hither_types::member::Outdated;
use hither_types::near::{Anchored, Evidence, Weight};
use hither_types::place::Assurance;
use hither_types::time::WallTime;
use hither_types::unit::{Hours, Micros};
use serde_json::json;

use super::EvidenceDto;

#[test]
fn each_sample_is_told_with_the_distance_that_it_bounds_and_what_it_weighs() {
    let sample = |byte, rtt, weight, before| Anchored {
        anchor: NodeId([byte; 32]),
        site: (byte == 1).then(|| SiteName::parse("lyon").unwrap()),
        rtt: Micros(rtt),
        before,
        age: (byte == 1).then_some(Micros(60_000_000)),
        weight,
    };
    let samples = vec![
        sample(1, 8_301, Weight::Near, None),
        sample(2, 131_000, Weight::Moved, Some(Micros(8_300))),
        sample(3, 25_001, Weight::Far, None),
        sample(4, 9, Weight::Old, None),
        sample(5, 9, Weight::NoAnchor, None),
    ];
    let by = Some(NodeId([7; 32]));
    let told = EvidenceDto::from(&Evidence {
        vouched: Assurance::Vouched,
        by,
        outdated: None,
        limit: Micros(25_000),
        samples,
    });
    let told = serde_json::to_value(&told).unwrap();
    assert_eq!(told["outdated"], json!(null));
    assert_eq!((&told["certificate"], &told["near_us"]), (&json!("vouched"), &json!(25_000)));
    assert_eq!(told["certificate_by"], json!("07".repeat(32)));
    let of = |field: &str| told["samples"].as_array().unwrap().iter().map(|one| one[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("weight"), ["near", "moved", "far", "old", "no_anchor"]);
    assert_eq!(of("bound_km"), [json!(831), json!(13_100), json!(2501), json!(1), json!(1)]);
    assert_eq!(of("before_us")[..2], [json!(null), json!(8_300)]);
    assert_eq!(
        (&of("site")[..2], &of("age_us")[..2]),
        (&[json!("lyon"), json!(null)][..], &[json!(60_000_000), json!(null)][..])
    );
}

#[test]
fn a_certificate_that_is_older_than_the_policy_wants_is_told_with_its_age() {
    const HOUR: u64 = 3_600_000;
    let told = |made: u64| {
        let outdated = Some(Outdated { made: WallTime(made), now: WallTime(100 * HOUR), within: Hours(24) });
        let (vouched, by, limit, samples) = (Assurance::Vouched, None, Micros(0), Vec::new());
        EvidenceDto::from(&Evidence { vouched, by, outdated, limit, samples }).outdated.unwrap()
    };
    let old = told(69 * HOUR);
    assert_eq!((old.certified_unix_ms, old.certified_within_hours), (69 * HOUR, 24));
    let wants = "and the policy here wants one of the last 24 h (certified_within_hours)";
    assert_eq!(old.words, format!("its certificate was made more than 31 h ago, {wants}"));
    let ahead = told(100 * HOUR + HOUR / 4);
    assert_eq!(ahead.words, format!("its certificate was made 15 min from now by the clock here, {wants}"));
}
