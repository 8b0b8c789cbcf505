//! Claims that are read, and sentences that are none.

use super::*;

fn closed() -> Policy {
    crate::local_only()
}

#[test]
fn a_claim_is_read_into_the_words_of_a_forbid() {
    let read = |text: &str| claim(text, &closed()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let plain = read("special from ID never leaves ID");
    assert_eq!((plain.rule.actions.len(), &plain.rule.classes), (7, &vec![DataClass::Special]));
    assert_eq!(plain.rule.origin.as_ref().unwrap().written, ["ID"]);
    assert_eq!(plain.rule.target_not.as_ref().unwrap().written, ["ID"]);
    assert_eq!(plain.home, HomeWork::Aside);

    let full = read(
        "infer,cache of  personal,special tagged phi by triage,chat on fraud for care from EEA never goes under US,CN",
    );
    assert_eq!(full.written.split("  ").count(), 1);
    assert_eq!(full.rule.actions, [LawAction::Infer, LawAction::Cache]);
    assert_eq!((full.rule.tags.len(), full.rule.apps.len(), full.rule.models.len()), (1, 2, 1));
    assert_eq!((full.rule.purposes.len(), full.compelled_by.len()), (1, 2));
    assert_eq!(full.rule.origin.unwrap().members.len(), 37);

    assert_eq!(read("secret never leaves its node").rule.target_not, None);
    assert_eq!(read("anything never goes to another operator").rule.same_operator, Some(false));
    assert_eq!(read("special never goes below 2").below, Some(Assurance::Near));
    let anywhere = read("special from outside EU never runs in DE-BY");
    assert_eq!((anywhere.home, anywhere.rule.origin_not.is_some()), (HomeWork::Counts, true));
    assert!(anywhere.rule.target.is_some());
    assert!(read("special never runs outside EU").rule.target_not.is_some());
}

#[test]
fn a_sentence_that_is_none_says_what_would_be_one() {
    for (text, message, help) in [
        ("special from ID stays in ID", "no \"never\"", "special from ID never leaves ID"),
        ("never leaves ID", "of which data", "begin with public"),
        ("specal from ID never leaves ID", "\"specal\" is not a class", "did you mean \"special\"?"),
        ("special from IDN never leaves ID", "\"IDN\" is not a jurisdiction", "did you mean \"ID\""),
        ("special from ID, SG never leaves ID", "is not a jurisdiction", "ISO 3166"),
        ("special in ID never leaves ID", "\"in ID\" makes no sense", "lists have commas"),
        ("special never", "ends too early", "leaves PLACES"),
        ("special never goes below 4", "not a level", "2 (near)"),
        ("infers of special never leaves ID", "\"infers\" is not an action", "did you mean \"infer\"?"),
        ("special from ZZ never leaves ID", "nobody knows", "name the countries"),
        ("special tagged a!b never leaves ID", "not a name", "write "),
        ("special from ID from SG never leaves ID", "makes no sense", "from or never"),
    ] {
        let error = claim(text, &closed()).unwrap_err();
        assert!(error.message.contains(message) && error.help.contains(help), "{text}: {error:?}");
    }
}
