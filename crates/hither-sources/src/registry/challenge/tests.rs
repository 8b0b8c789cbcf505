//! Challenges as registries write them, and as nobody should.

use hyper::header::HeaderValue;
use proptest::prelude::*;

use super::*;

fn read(texts: &[&str]) -> String {
    let mut headers = HeaderMap::new();
    for text in texts {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(text).unwrap());
    }
    match Challenge::of(&headers) {
        Some(Challenge::Bearer { realm, service, scope }) => {
            format!("{realm} {} {}", service.unwrap_or_default(), scope.unwrap_or_default())
        }
        Some(Challenge::Basic) => "basic".to_owned(),
        None => "none".to_owned(),
    }
}

#[test]
fn the_realm_is_found_however_it_is_written() {
    for (texts, expected) in [
        (
            &[r#"Bearer realm="https://a.example/t",service="s, t",scope="repository:o/c:pull""#][..],
            "https://a.example/t s, t repository:o/c:pull",
        ),
        (&[r#"bearer service=s, realm="https://a.example/t""#], "https://a.example/t s "),
        (&[r#"Bearer realm="a \"b\"",error="x""#], "a \"b\"  "),
        (&["Basic realm=\"x\"", r#"Bearer realm="https://a.example/t""#], "https://a.example/t  "),
        (&["BASIC realm=\"x\""], "basic"),
        (&["Bearer service=\"s\""], "none"),
        (&["Bearer realm=\"open"], "none"),
        (&["Negotiate"], "none"),
        (&[], "none"),
    ] {
        assert_eq!(read(texts), expected, "{texts:?}");
    }
}

#[test]
fn a_token_has_one_of_two_names() {
    let debug = |body: &str| token(body.as_bytes()).is_some();
    assert!(debug(r#"{"token":"t","expires_in":300}"#) && debug(r#"{"access_token":"t"}"#));
    assert!(!debug(r#"{"token":""}"#) && !debug("{}") && !debug("[]"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_a_server_sends_is_too_much(text in "[Bb]earer [ -~]{0,60}") {
        prop_assert!(!read(&[&text]).is_empty());
    }
}
