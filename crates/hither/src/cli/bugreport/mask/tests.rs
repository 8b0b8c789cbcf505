//! What a report must not hold.

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let masker = Masker::new(["0123456789abcdef".repeat(4) + "\n", "short".to_owned()]);
    assert_eq!(masker.text(text), format!("{expected}\n"));
}

#[test]
fn keys_tickets_and_tokens_are_taken_out_of_any_text() {
    check("nothing of the kind, short", "nothing of the kind, short");
    check("app=hk_00abcdef_0909090909 refused", "app=[masked] refused");
    check("join \"hither1qqqqzzzz7777\"", "join \"[masked]\"");
    check("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [masked]");
    check("authorization: basic dXNlcjpwYXNz", "authorization: basic [masked]");
    check("token eyJhbGciOiJIUzI1NiJ9.e30.x1", "token [masked]");
    check(&format!("key {}!", "0123456789abcdef".repeat(4)), "key [masked]!");
    check("at https://me:hunter2@example.org/v1, http://ok", "at https://[masked]@example.org/v1, http://ok");
    check("a\n-----BEGIN PRIVATE KEY-----\nMIIE\nabc=\n-----END PRIVATE KEY-----\nb", "a\n[masked]\nb");
    // Public keys of nodes and digests of models stay: a report is read by them.
    let node = "ab".repeat(32);
    check(&format!("peer={node} hither1 sk-"), &format!("peer={node} hither1 sk-"));
}

#[test]
fn a_configuration_keeps_what_is_no_secret() {
    let text = "# my password is hunter2\n[api]\nlisten = \"127.0.0.1:1\"\n[telemetry]\nurl = \"https://x\"\n\
                [telemetry.headers]\nx-team = \"a value\"\n[endpoint.cloud]\nurl = \"https://u:hunter2@c\"\nkey_file = \"/k\"\n";
    let clean = Masker::new([]).config(text).unwrap();
    for secret in ["hunter2", "a value", "/k"] {
        assert!(!clean.contains(secret), "{clean}");
    }
    for kept in ["127.0.0.1:1", "https://x", "cloud", "key_file"] {
        assert!(clean.contains(kept), "{clean}");
    }
    assert_eq!(Masker::new([]).config("key = "), None);
}
