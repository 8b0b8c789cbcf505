//! The sentences.

use hither_types::id::RuleId;
use hither_types::law::{Then, WhatIf, Whose};

use super::{WhatIfDto, text};

fn what_if(fact: &'static str, now: &str, instead: &[&str], whose: Whose) -> WhatIf {
    let instead = instead.iter().map(|one| (*one).to_owned()).collect();
    WhatIf { fact, now: now.to_owned(), instead, whose, then: Then::Permitted(Some(RuleId::parse("eea").unwrap())) }
}

#[test]
fn each_fact_has_its_sentence() {
    for (fact, now, instead, whose, expected) in [
        (
            "class",
            "special",
            &["internal", "personal"][..],
            Whose::Operator,
            "if the class were internal or personal rather than special: permitted by eea (the operator's to change, no request can \
             loosen its label)",
        ),
        (
            "class",
            "public",
            &["internal"],
            Whose::Request,
            "if the class were internal rather than public: permitted by eea (the request may say so)",
        ),
        (
            "assurance",
            "1 (vouched)",
            &["2 (near)", "3 (hardware)"],
            Whose::Place,
            "if the place's assurance were 2 (near) or 3 (hardware) (now 1 (vouched)): permitted by eea (for the place and its \
             certificate)",
        ),
        (
            "not_control",
            "unknown",
            &["[]"],
            Whose::Place,
            "if nobody could compel who runs the place (now unknown): permitted by eea (for the place and its certificate)",
        ),
        (
            "apps",
            "chat",
            &["triage"],
            Whose::Operator,
            "if the app were triage rather than chat: permitted by eea (the operator's to change, who gives apps their keys)",
        ),
        (
            "forbid",
            "",
            &["id-bank"],
            Whose::Policy,
            "if rule id-bank were not there: permitted by eea (for the policy)",
        ),
    ] {
        assert_eq!(text(&what_if(fact, now, instead, whose)), expected);
    }
}

#[test]
fn a_permit_that_is_not_there_has_no_name() {
    let permit = what_if("permit", "", &["infer of secret data by app chat at US"], Whose::Policy);
    let dto = WhatIfDto::from(&WhatIf { then: Then::Permitted(None), ..permit });
    assert_eq!((dto.then.as_str(), dto.rule), ("permitted", None));
    assert_eq!(dto.text, "if a rule permitted infer of secret data by app chat at US: permitted (for the policy)");
}
