//! What two versions of a policy differ in.

use hither_types::time::Day;
use std::collections::BTreeSet;

use hither_types::law::{LawAction, Policy};

use super::changes;
use crate::policy::cells::Part;

const OLD: &str = r#"version = 1
[[permit]]
id = "eea"
class = ["personal"]
origin = ["EEA"]
target = ["EEA"]
same_operator = true
"#;

fn read(text: &str) -> Policy {
    hither_law::parse(text, Day(0)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_policy_does_not_differ_from_itself_in_other_words() {
    let words = OLD.replace("[\"EEA\"]", "[\"EU\", \"IS\", \"LI\", \"NO\"]");
    let told = changes(&read(OLD), &read(&words), &hither_law::countries()).unwrap();
    assert!(told.cases > 10 && told.changes.is_empty(), "{told:?}");
}

#[test]
fn a_wider_target_is_told_with_all_places_that_it_opens_and_what_it_takes() {
    let new = read(&OLD.replace("target = [\"EEA\"]", "target = [\"EEA\", \"CH\", \"GB\"]"));
    let told = changes(&read(OLD), &new, &hither_law::countries()).unwrap();
    assert!(!told.changes.is_empty());
    let mut targets = BTreeSet::new();
    for change in &told.changes {
        assert!(!change.old.is_permitted() && change.new.is_permitted());
        assert_eq!((change.cell.action, change.cell.class.as_str()), (LawAction::Infer, "personal"));
        assert!(change.cell.same_operator && change.cell.any.contains(&Part::App));
        targets.extend(change.cell.targets.iter().map(ToString::to_string));
        assert!(change.cell.origins.len() >= 37, "{:?}", change.cell.origins);
    }
    assert_eq!(targets.into_iter().collect::<Vec<_>>(), ["CH", "GB"]);
}

/// A list that stands for others says so: the states that a rule does not name are as good as none.
#[test]
fn what_is_alike_is_told_with_it() {
    let new = OLD.replace("same_operator = true", "not_control = [\"US\"]\nassurance = 2");
    let told = changes(&read("version = 1\n"), &read(&new), &hither_law::countries()).unwrap();
    let place = |code| hither_types::place::Jurisdiction::parse(code).unwrap();
    for change in told.changes {
        assert_eq!(change.cell.assurances.len(), 2, "{:?}", change.cell.assurances);
        let has = |control: Option<Vec<_>>| change.cell.controls.contains(&control);
        assert!(has(Some(vec![])) && has(Some(vec![place("FR")])), "{:?}", change.cell.controls);
        assert!(!has(None) && !has(Some(vec![place("US")])) && !has(Some(vec![place("ZZ")])));
    }
}

#[test]
fn a_forbid_that_closes_a_way_is_told_as_one() {
    let new = read(&format!("{OLD}[[forbid]]\nid = \"no-hu\"\norigin = [\"HU\"]\n"));
    let told = changes(&read(OLD), &new, &hither_law::countries()).unwrap();
    assert!(told.changes.iter().all(|change| change.old.is_permitted() && !change.new.is_permitted()));
    let actions: BTreeSet<LawAction> = told.changes.iter().map(|change| change.cell.action).collect();
    // A forbid without an action is for all of them: work at home and relays in the own country end as well.
    assert!(actions.contains(&LawAction::Infer) && actions.contains(&LawAction::Relay), "{actions:?}");
    assert!(told.changes.iter().any(|change| change.cell.at_home));
}
