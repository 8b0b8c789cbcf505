//! Parameters and headers together say how a request is served.

use hither_types::request::Priority;
use hither_types::unit::Micros;
use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::{Options, Parameters};
use crate::labels;
use crate::tests::fake::FakeDoor;

/// Priority and patience of a request with these parameters, headers and deadline.
fn check(parameters: &str, headers: &[(&'static str, &str)], deadline: Option<u64>) -> Result<(Priority, u64), String> {
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    let parameters: Parameters = serde_json::from_str(parameters).map_err(|error| error.to_string())?;
    let door = FakeDoor::new(|_| Ok(Vec::new()));
    let mut asked = labels::read(&headers, &door.callers.anonymous(), &door).unwrap();
    Options::read(&parameters)
        .and_then(|options| options.apply(&headers, &mut asked, deadline.map(Micros)))
        .map(|()| (asked.priority, asked.patience.0))
        .map_err(|problem| problem.message)
}

#[test]
fn one_is_the_highest_priority_and_none_is_the_usual() {
    let header = [("x-hither-priority", "low")];
    for (parameters, headers, priority) in [
        ("{}", &[][..], Priority::Normal),
        (r#"{"priority":0}"#, &[], Priority::Normal),
        (r#"{"priority":1}"#, &[], Priority::Critical),
        (r#"{"priority":2}"#, &[], Priority::Normal),
        (r#"{"priority":3}"#, &[], Priority::Low),
        (r#"{"priority":18446744073709551615}"#, &[], Priority::Low),
        ("{}", &header, Priority::Low),
        (r#"{"priority":0}"#, &header, Priority::Low),
        (r#"{"priority":9}"#, &header, Priority::Low),
    ] {
        assert_eq!(check(parameters, headers, None), Ok((priority, 120_000_000)), "{parameters}");
    }
    let said = check(r#"{"priority":1}"#, &header, None).unwrap_err();
    assert!(said.contains("say different things"), "{said}");
}

#[test]
fn the_shortest_of_what_was_said_is_how_long_a_client_waits() {
    let header = [("x-hither-timeout-ms", "1000")];
    for (parameters, headers, deadline, patience) in [
        (r#"{"timeout":5000}"#, &[][..], None, 5_000),
        (r#"{"timeout":0}"#, &[], None, 120_000_000),
        // Longer than a client would wait that said nothing, and never longer than anybody may.
        (r#"{"timeout":600000000}"#, &[], None, 600_000_000),
        (r#"{"timeout":18446744073709551615}"#, &[], None, 3_600_000_000),
        (r#"{"timeout":5000}"#, &header, None, 5_000),
        (r#"{"timeout":5000000}"#, &header, None, 1_000_000),
        ("{}", &header, Some(7), 7),
        ("{}", &[], Some(9_000_000_000), 3_600_000_000),
        (r#"{"timeout":5000}"#, &[], Some(9000), 5_000),
    ] {
        assert_eq!(check(parameters, headers, deadline), Ok((Priority::Normal, patience)), "{parameters} {deadline:?}");
    }
}

#[test]
fn a_value_is_text_a_number_or_a_truth_and_a_sequence_is_refused_unless_it_is_none() {
    for parameters in [
        r#"{"a":"b","c":1,"d":-1,"e":0.5,"f":true}"#,
        r#"{"sequence_id":0}"#,
        r#"{"sequence_id":"","sequence_start":false}"#,
    ] {
        assert!(check(parameters, &[], None).is_ok(), "{parameters}");
    }
    for (parameters, said) in [
        (r#"{"a":null}"#, "value of a parameter"),
        (r#"{"a":[]}"#, "value of a parameter"),
        (r#"{"a":{}}"#, "value of a parameter"),
        (r#"{"sequence_id":7}"#, "keeps a state"),
        (r#"{"sequence_id":"seven"}"#, "keeps a state"),
        (r#"{"sequence_end":true}"#, "keeps a state"),
    ] {
        let found = check(parameters, &[], None).unwrap_err();
        assert!(found.contains(said), "{parameters}: {found}");
    }
}
