//! Headers into labels.

use hither_types::request::Quality;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::read;
use crate::door::Door;
use crate::tests::fake::FakeDoor;

fn check(headers: &[(&'static str, &str)], wanted: &str) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let door = FakeDoor::new(|_| unreachable!());
    let said = match read(&map, &door.callers().anonymous(), &door) {
        Ok(asked) => {
            let label = asked.label;
            format!(
                "{} {:?} {:?} {:?} {:?} {:?}",
                label.class, label.tags, label.subjects, asked.priority, asked.prefer, asked.patience
            )
        }
        Err(problem) => format!("{} {}", problem.code, problem.message),
    };
    assert_eq!(said, wanted, "{headers:?}");
}

#[test]
fn a_request_without_headers_takes_the_defaults_of_its_node() {
    check(&[], "internal [] [FR] Normal None Micros(120000000)");
}

#[test]
fn lists_are_sorted_joined_and_without_doubles() {
    check(
        &[("x-hither-tags", "phi,, child "), ("x-hither-tags", "phi"), ("x-hither-subjects", "ID, DE-BY")],
        "internal [\"child\", \"phi\"] [DE-BY, ID] Normal None Micros(120000000)",
    );
    check(&[("x-hither-subjects", " , ")], "internal [] [FR] Normal None Micros(120000000)");
}

#[test]
fn the_model_that_was_asked_for_answers_unless_its_family_may() {
    for (headers, wanted) in [
        (&[][..], Quality::Exact),
        (&[("x-hither-quality", "exact")], Quality::Exact),
        (&[("x-hither-quality", " family ")], Quality::Family),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let door = FakeDoor::new(|_| unreachable!());
        let asked = read(&map, &door.callers().anonymous(), &door).map(|asked| asked.quality);
        assert_eq!(asked, Ok(wanted), "{headers:?}");
    }
}

#[test]
fn a_class_may_rise_and_never_fall() {
    check(&[("x-hither-class", "secret")], "secret [] [FR] Normal None Micros(120000000)");
    check(
        &[("x-hither-class", "public")],
        "E0303 a label can only be tightened: public is less than internal, the least that this node takes",
    );
}

#[test]
fn what_cannot_be_read_is_refused_not_ignored() {
    for (name, value, wanted) in [
        (
            "x-hither-class",
            "Personal",
            "E0304 header x-hither-class: expected public, internal, personal, special or secret, found \"Personal\"",
        ),
        (
            "x-hither-subjects",
            "de",
            "E0304 header x-hither-subjects: expected an ISO 3166 code such as DE or DE-BY, found \"de\"",
        ),
        (
            "x-hither-tags",
            "a b",
            "E0304 header x-hither-tags: expected a tag of at most 31 letters, digits and .-_, found \"a b\"",
        ),
        ("x-hither-tags", "é", "E0304 header x-hither-tags: plain text"),
        (
            "x-hither-priority",
            "urgent",
            "E0304 header x-hither-priority: expected low, normal or critical, found \"urgent\"",
        ),
        (
            "x-hither-timeout-ms",
            "0",
            "E0304 header x-hither-timeout-ms: expected milliseconds, a whole number from 1 to 3600000, found \"0\"",
        ),
        (
            "x-hither-timeout-ms",
            "3600001",
            "E0304 header x-hither-timeout-ms: expected milliseconds, a whole number from 1 to 3600000, found \"3600001\"",
        ),
        ("x-hither-quality", "", "E0304 header x-hither-quality: expected exact or family, found \"\""),
        ("x-hither-tags", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "E0304 header x-hither-tags: at most 16 items"),
    ] {
        check(&[(name, value)], wanted);
    }
    check(
        &[("x-hither-class", "secret"), ("x-hither-class", "public")],
        "E0304 header x-hither-class: one value, and several came",
    );
}

#[test]
fn the_ids_of_tokens_are_wanted_or_not_and_nothing_else() {
    for (sent, wanted) in [(None, Some(false)), (Some("0"), Some(false)), (Some("1"), Some(true)), (Some("yes"), None)]
    {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert("x-hither-tokens", HeaderValue::from_static(sent));
        }
        assert_eq!(super::wants_ids(&headers).ok(), wanted, "{sent:?}");
    }
}
