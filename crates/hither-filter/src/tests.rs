//! What is found, what is not, and what holds for every text.

use hither_types::filter::DataKind;
use proptest::prelude::*;

use crate::{Kinds, Masker, find};

mod corpus;

/// What is found in a text, as `kind:text` with bars between.
fn found(text: &str) -> String {
    let each = |span: &crate::Span| format!("{}:{}", span.kind, &text[span.start..span.end]);
    find(text, Kinds::all()).iter().map(each).collect::<Vec<_>>().join("|")
}

#[track_caller]
fn check(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(found(text), *expected, "{text}");
    }
}

#[test]
fn addresses_of_mail_and_logins_are_found() {
    check(&[
        ("write to max.power+lists@example.co.uk.", "email:max.power+lists@example.co.uk"),
        ("<jürgen@müller.example>, please", "email:jürgen@müller.example"),
        ("邮箱zhang@example.cn。", "email:zhang@example.cn"),
        ("max＠example．org", "email:max＠example．org"),
        ("max＠example.org", "email:max＠example.org"),
        ("me@localhost and @handle and a@b", ""),
        ("postgres://app:s3cret@db.internal:5432/x", "url-login:app:s3cret"),
        ("https://example.com/@handle", ""),
    ]);
}

#[test]
fn accounts_and_cards_are_found_by_their_check_digits() {
    check(&[
        ("IBAN DE89 3704 0044 0532 0130 00 please", "iban:DE89 3704 0044 0532 0130 00"),
        ("gb82west12345698765432", "iban:gb82west12345698765432"),
        ("DE89 3704 0044 0532 0130 01", ""),
        ("card 4111 1111 1111 1111 12/27", "card:4111 1111 1111 1111"),
        ("3782-822463-10005", "card:3782-822463-10005"),
        ("4111 1111 1111 1112", ""),
        ("５５５５ ５５５５ ５５５５ ４４４４", "card:５５５５ ５５５５ ５５５５ ４４４４"),
        ("4111\u{200b}111111111111", "card:4111\u{200b}111111111111"),
        ("the sum is 1000000000000000", ""),
    ]);
}

#[test]
fn telephone_numbers_are_found_as_people_write_them() {
    check(&[
        ("+49 (0)89 1234567", "phone:+49 (0)89 1234567"),
        ("+442079460958, thanks", "phone:+442079460958"),
        ("0033 1 23 45 67 89", "phone:0033 1 23 45 67 89"),
        ("(212) 555-0123 or 212-555-0123", "phone:(212) 555-0123|phone:212-555-0123"),
        ("001-555-123-4567x1234", "phone:001-555-123-4567x1234"),
        ("089 123456 or 0171/1234567", "phone:089 123456|phone:0171/1234567"),
        ("01 23 45 67 89", "phone:01 23 45 67 89"),
        ("98765 43210", "phone:98765 43210"),
        ("手机13800138000。", "phone:13800138000"),
        ("(11) 91234-5678", "phone:(11) 91234-5678"),
        (r#"{"a":"tel\n+33 6 17 63 69 09\n"}"#, "phone:+33 6 17 63 69 09"),
        ("call 5551234567", "phone:5551234567"),
        ("invoice 5551234567", ""),
        ("Costela de Minas 08142611", ""),
        ("it took 1234567 ms on 2023-10-12 12:30:45", ""),
        ("version 1.22.333 of 12.10.2023", ""),
    ]);
}

#[test]
fn numbers_of_states_are_found() {
    check(&[
        ("SSN 536-22-1234", "us-ssn:536-22-1234"),
        ("social security number 536221234", "us-ssn:536221234"),
        ("536221234 of 666-12-1234", ""),
        ("Steuer-ID 86095742719", "de-tax-id:86095742719"),
        ("2 55 08 14 168 025 38", "fr-nir:2 55 08 14 168 025 38"),
        ("NINO AB 12 34 56 C, bg123456a", "uk-nino:AB 12 34 56 C"),
        ("CPF 529.982.247-25", "br-cpf:529.982.247-25"),
        ("111.111.111-11", ""),
        ("2341 2341 2346", "in-aadhaar:2341 2341 2346"),
        ("2341 2341 2347", ""),
        ("11010519491231002X", "cn-id:11010519491231002X"),
        ("110105194912310021", ""),
        ("NIK 3174096112900001", "id-nik:3174096112900001"),
        ("CCCD 001093012345", "vn-cccd:001093012345"),
    ]);
}

#[test]
fn days_of_birth_need_the_word_for_it() {
    check(&[
        ("born on 12.03.1980 in Berlin", "birth-date:12.03.1980"),
        ("Date of birth: March 12, 1980.", "birth-date:March 12, 1980"),
        ("née le 12 mars 1980", "birth-date:12 mars 1980"),
        ("生日 1980-03-12", "birth-date:1980-03-12"),
        ("the meeting is on 12.03.2030", ""),
        ("born on 45.13.1980", ""),
    ]);
}

#[test]
fn addresses_of_machines_are_found_and_those_of_this_one_are_not() {
    check(&[
        ("from 203.0.113.77:8080", "ip:203.0.113.77"),
        ("127.0.0.1 0.0.0.0 300.1.1.1 1.2.3.4.5", ""),
        ("2001:db8::8a2e:370:7334", "ip:2001:db8::8a2e:370:7334"),
        ("::1 std::fmt dead::beef 12:30:45", ""),
    ]);
}

#[test]
fn secrets_are_found_by_their_form_and_by_their_name() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----";
    check(&[
        ("AKIAIOSFODNN7EXAMPLE", "secret:AKIAIOSFODNN7EXAMPLE"),
        ("sk-proj-abcdefghij0123456789", "secret:sk-proj-abcdefghij0123456789"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "secret:ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
        ("password = \"hunter2hunter2\"", "secret:hunter2hunter2"),
        ("Authorization: Bearer abc123def456", "secret:abc123def456"),
        ("the password is Tr0ub4dor&3.", "secret:Tr0ub4dor&3"),
        ("password = read_password()", ""),
        ("a token of 4 bytes; sk-learn", ""),
    ]);
    assert_eq!(found(&format!("{key}\nthanks")), format!("secret:{key}"));
    assert_eq!(found("-----BEGIN RSA PRIVATE KEY-----\nMII cut"), "secret:-----BEGIN RSA PRIVATE KEY-----\nMII cut");
}

#[test]
fn one_value_has_one_placeholder_in_all_texts_of_a_request() {
    let mut masker = Masker::new(Kinds::all());
    let first = masker.mask("a@example.org, b@example.org, A@example.org and 4111 1111 1111 1111");
    assert_eq!(first.as_deref(), Some("[EMAIL_1], [EMAIL_2], [EMAIL_1] and [CARD_1]"));
    assert_eq!(masker.mask("4111111111111111 of b@example.org").as_deref(), Some("[CARD_1] of [EMAIL_2]"));
    assert_eq!(masker.mask("nothing"), None);
    assert_eq!(masker.findings().to_string(), "email=4,card=2");
}

#[test]
fn only_what_is_looked_for_is_found() {
    let kinds = Kinds::from_iter([DataKind::Email]);
    let mut masker = Masker::new(kinds);
    assert_eq!(masker.mask("a@example.org 203.0.113.7").as_deref(), Some("[EMAIL_1] 203.0.113.7"));
    assert!(find("a@example.org", Kinds::NONE).is_empty());
}

/// Texts of which many nearly are something.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,12}",
        "[0-9 +().-]{0,24}",
        "[a-z0-9.@:/_-]{0,24}",
        Just("max@example.org".to_owned()),
        Just("DE89 3704 0044 0532 0130 00".to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("https://a:b@c.example/".to_owned()),
        Just("born 12.03.1980".to_owned()),
        Just("Tel. ".to_owned()),
        Just("ＳＳＮ 536-22-1234\u{200b}".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----".to_owned()),
        Just("sk-abcdefghijklmnop0123456789".to_owned()),
        Just("2001:db8::1:2".to_owned()),
        Just("password: ".to_owned()),
        Just("[EMAIL_1]".to_owned()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn spans_are_in_order_and_on_the_borders_of_characters(text in texts()) {
        let mut from = 0;
        for span in find(&text, Kinds::all()) {
            prop_assert!(from <= span.start && span.start < span.end && span.end <= text.len());
            prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
            from = span.end;
        }
    }

    #[test]
    fn a_masked_text_shows_nothing_any_more(text in texts(), bits in any::<u32>()) {
        let kinds: Kinds = DataKind::ALL.iter().copied().filter(|kind| bits >> (*kind as u32) & 1 == 1).collect();
        let masked = Masker::new(kinds).mask(&text).unwrap_or(text);
        prop_assert!(find(&masked, kinds).is_empty(), "{masked}");
        prop_assert!(Masker::new(kinds).mask(&masked).is_none());
    }
}
