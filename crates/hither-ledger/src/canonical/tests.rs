//! Tests of canonical JSON.

use proptest::prelude::*;

use super::*;

fn key() -> impl Strategy<Value = Cow<'static, str>> {
    "[ -~]{0,8}".prop_map(Cow::Owned)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![(0..=INTEGER_MAX).prop_map(Value::Integer), any::<String>().prop_map(Value::Text)];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::btree_map(key(), inner, 0..5).prop_map(Value::Object),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(object in prop::collection::btree_map(key(), value(), 0..6)) {
        let mut text = String::new();
        write_object(&object, &mut text);
        prop_assert_eq!(parse(&text), Ok(object));
    }

    #[test]
    fn the_fast_way_takes_what_the_slow_one_takes(object in prop::collection::btree_map(key(), value(), 0..6)) {
        let mut text = String::new();
        write_object(&object, &mut text);
        let found = fields(&text).unwrap();
        prop_assert_eq!(found.len(), object.len());
        for ((name, raw), (key, value)) in found.into_iter().zip(&object) {
            prop_assert_eq!(&unescaped(name).unwrap(), key.as_ref());
            prop_assert_eq!(&unraw(raw), value);
        }
    }

    #[test]
    fn the_fast_way_refuses_what_the_slow_one_refuses(
        object in prop::collection::btree_map(key(), value(), 1..4), at: prop::sample::Index, mask in 1..=255_u8,
    ) {
        let mut text = String::new();
        write_object(&object, &mut text);
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(fields(text).is_some(), parse(text).is_ok(), "{}", text);
        }
        bytes.remove(at);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(fields(text).is_some(), parse(text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn any_text_is_taken_or_refused_without_a_crash(text: String) {
        prop_assert_eq!(fields(&text).is_some(), parse(&text).is_ok());
    }
}

fn unraw(raw: Raw<'_>) -> Value {
    match raw {
        Raw::Integer(number) => Value::Integer(number),
        Raw::Text(text) => Value::Text(unescaped(text).unwrap()),
        Raw::List(list) => Value::List(items(list).unwrap().into_iter().map(unraw).collect()),
        Raw::Object(object) => {
            let inner = fields(object).unwrap();
            Value::Object(inner.into_iter().map(|(key, raw)| (unescaped(key).unwrap().into(), unraw(raw))).collect())
        }
    }
}

#[test]
fn text_is_escaped_as_rfc_8785_shows() {
    let mut out = String::new();
    Value::text("\u{20ac}$\u{f}\nA'B\"\\\\\"/\u{7f}\u{8}\t\u{c}\r").write(&mut out);
    assert_eq!(out, "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\\b\\t\\f\\r\"");
}

#[test]
fn only_the_canonical_form_is_taken() {
    assert!(parse(r#"{"a":[1,"x",{"b":"c"}],"d":9007199254740991}"#).is_ok());
    for wrong in [
        "",
        "[]",
        "1",
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a": 1}"#,
        r#" {"a":1}"#,
        r#"{"a":1} "#,
        r#"{"a":01}"#,
        r#"{"a":-1}"#,
        r#"{"a":1.0}"#,
        r#"{"a":1e3}"#,
        r#"{"a":9007199254740992}"#,
        r#"{"a":null}"#,
        r#"{"a":true}"#,
        r#"{"a":"\u0041"}"#,
        r#"{"a":"\/"}"#,
        r#"{"a":"\u000F"}"#,
        r#"{"ä":1}"#,
        r#"{"a":1}{"a":1}"#,
        r#"{"a":1,}"#,
        r#"{"a":[1,]}"#,
        r#"{,"a":1}"#,
        r#"{"a":00}"#,
        r#"{"a":}"#,
        r#"{"a":"\u0008"}"#,
        r#"{"a":"\u001F"}"#,
        r#"{"a":"\u0020"}"#,
        r#"{"a":99999999999999999999999}"#,
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
        assert!(fields(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn nesting_cannot_exhaust_the_stack() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(8_000), "]".repeat(8_000));
    assert!(parse(&deep).is_err() && fields(&deep).is_none());
}
