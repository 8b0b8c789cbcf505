//! Forms over a vocabulary of single bytes: what they allow, and what they make of hostile ones.

use hither_engine::work::Format;
use llguidance::toktrie::ApproximateTokEnv;
use proptest::prelude::*;

use super::Constraints;

fn constraints() -> Constraints {
    Constraints::for_vocabulary(ApproximateTokEnv::single_byte_env()).unwrap()
}

/// Whether a form takes a text, byte by byte, and is complete or may end after it.
fn takes(format: &Format, text: &str) -> bool {
    let mut constraint = constraints().of(format).unwrap().unwrap();
    for byte in text.bytes() {
        let mut logits = vec![0.; 300];
        if constraint.is_complete() || constraint.mask(&mut logits).is_err() || logits[usize::from(byte)] != 0. {
            return false;
        }
        constraint.take(u32::from(byte)).unwrap();
    }
    constraint.matcher.is_stopped() || constraint.matcher.is_accepting().unwrap()
}

fn refusal(format: &Format) -> String {
    constraints().of(format).err().unwrap_or_default()
}

#[test]
fn a_schema_allows_its_values_and_no_others() {
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"size":{"enum":["small","large"]}},
        "required":["city","size"],"additionalProperties":false}"#;
    let format = Format::Schema(schema.to_owned());
    assert!(takes(&format, r#"{"city": "Köln", "size": "large"}"#));
    assert!(!takes(&format, r#"{"city": "Köln", "size": "huge"}"#));
    assert!(!takes(&format, r#"{"city": "Köln"}"#));
    assert!(!takes(&format, r#"{"city": 7, "size": "large"}"#));
    assert!(takes(&Format::Json, r#"{"a": [1, {"b": null}]}"#));
    assert!(!takes(&Format::Json, "[1]"));
}

#[test]
fn a_schema_may_refer_to_its_own_parts_and_to_nothing_else() {
    let tree = r##"{"$ref":"#/$defs/t","$defs":{"t":{"type":"object","properties":{"t":{"$ref":"#/$defs/t"}},
        "additionalProperties":false}}}"##;
    assert!(takes(&Format::Schema(tree.to_owned()), r#"{"t": {"t": {}}}"#));
    for far in [r#"{"$ref":"https://example.org/schema"}"#, r#"{"$ref":"file:///etc/passwd"}"#] {
        let refused = refusal(&Format::Schema(far.to_owned()));
        assert!(refused.starts_with("the JSON schema cannot be kept to: "), "{refused}");
    }
}

#[test]
fn a_pattern_matches_the_whole() {
    let format = Format::Pattern("[0-9]{4}-[0-9]{2}".to_owned());
    assert!(takes(&format, "2026-11"));
    assert!(!takes(&format, "2026-1"));
    assert!(!takes(&format, "x2026-11"));
}

#[test]
fn what_cannot_be_is_refused_in_one_sentence() {
    for (format, begins) in [
        (Format::Schema("{".to_owned()), "the JSON schema is not JSON: "),
        (Format::Schema("7".to_owned()), "a JSON schema is an object"),
        (Format::Schema(r#"{"type":"banana"}"#.to_owned()), "the JSON schema cannot be kept to: "),
        (Format::Schema(r#"{"enum":[]}"#.to_owned()), "the JSON schema cannot be kept to: "),
        (Format::Schema(format!("{{\"title\":\"{}\"}}", "x".repeat(300_000))), "the JSON schema has 300012 bytes"),
        (Format::Schema("[".repeat(100_000)), "the JSON schema is not JSON: "),
        (Format::Pattern("(".to_owned()), "the pattern cannot be kept to: "),
        (Format::Pattern("(".repeat(100_000)), "the pattern cannot be kept to: "),
    ] {
        let refused = refusal(&format);
        assert!(refused.starts_with(begins) && !refused.contains('\n'), "{begins} {refused}");
        assert!(refused.len() < 600, "{refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_pattern_and_no_schema_makes_it_panic(text in ".{0,60}", keys in "[a-z\\[\\](){}*+?|\\\\.0-9,]{0,40}") {
        let all = constraints();
        let schema = format!("{{\"pattern\":{:?},\"type\":\"string\"}}", keys);
        for format in [Format::Pattern(text.clone()), Format::Pattern(keys), Format::Schema(text), Format::Schema(schema)] {
            if let Ok(Some(mut constraint)) = all.of(&format) {
                let _ = constraint.mask(&mut [0.; 300]);
            }
        }
    }
}
