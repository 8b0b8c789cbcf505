//! The export to Cedar. That Cedar answers it as the evaluator does is for `oracle/` to show; here it is what was read.

use super::SAMPLE;
use crate::{CEDAR_SCHEMA, cedar, parse};
use hither_types::time::Day;

const GOLDEN: &str = include_str!("../../golden/sample.cedar");

#[test]
fn a_policy_with_everything_is_exported_as_it_was_read_by_people() {
    let text = cedar(&parse(SAMPLE, Day(0)).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/sample.cedar"), &text).unwrap();
    } else {
        assert_eq!(text, GOLDEN);
    }
}

#[test]
fn a_permit_that_is_too_narrow_for_relays_is_not_about_them() {
    let rule = |more: &str| cedar(&parse(&format!("version = 1\n[[permit]]\nid = \"r\"\n{more}"), Day(0)).unwrap());
    let all = "class = [\"public\", \"internal\", \"personal\", \"special\", \"secret\"]";
    assert!(rule(&format!("action = [\"relay\"]\n{all}")).contains("@id(\"r\")"));
    assert!(rule("action = [\"relay\"]\nclass = [\"secret\"]").contains("// r permits nothing"));
    assert!(rule("action = [\"relay\", \"infer\"]\napps = [\"a\"]").contains("action == Hither::Action::\"infer\""));
}

#[test]
fn each_action_is_one_of_the_schema() {
    for action in hither_types::law::LawAction::ALL {
        assert!(CEDAR_SCHEMA.contains(action.as_str()), "{}", action.as_str());
    }
}
