//! Where the sample of the language lets data go.

use hither_types::id::Operator;
use hither_types::label::DataClass;
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts};
use hither_types::time::Day;

use super::{reach_from, reach_of};
use crate::policy::tests::place;

const SAMPLE: &str = include_str!("../../../../hither-law/golden/sample.toml");

#[test]
fn places_are_open_closed_or_open_under_conditions() {
    let sample = hither_law::parse(SAMPLE, Day(0)).unwrap();
    let countries: Vec<Jurisdiction> = hither_law::countries();
    let personal = reach_from(&sample, DataClass::Personal, place("DE"), &countries).unwrap();
    assert!(personal[&place("CH")].is_none());
    let france = &personal[&place("FR")];
    assert!(!france.is_all() && !france.is_none() && france.lacks, "{france:?}");
    assert_eq!(france.permits.iter().map(|rule| rule.as_str()).collect::<Vec<_>>(), ["eea-personal"]);
    let open = hither_law::parse("version = 1\n[[permit]]\nid = \"all\"\ntarget_not = [\"US\"]\n", Day(0)).unwrap();
    let public = reach_from(&open, DataClass::Public, place("DE"), &countries).unwrap();
    assert!(public[&place("FR")].is_all() && public[&place("US")].is_none() && public[&place("ZZ")].is_none());
    assert_eq!(public.len(), 249 + 1, "every country, and the unknown place");
}

#[test]
fn a_certain_place_is_judged_by_what_is_known_of_it() {
    let sample = hither_law::parse(SAMPLE, Day(0)).unwrap();
    let countries: Vec<Jurisdiction> = hither_law::countries();
    let [acme, globex] = ["acme", "globex"].map(|name| Operator::parse(name).unwrap());
    let paris = PlaceFacts {
        node: None,
        site: None,
        jurisdiction: place("FR"),
        control: Some(vec![place("FR")]),
        operator: acme.clone(),
        assurance: Assurance::Vouched,
    };
    let reach = |class, operator, facts: &PlaceFacts| {
        reach_of(&sample, class, (place("DE-BY"), operator), facts, &countries).unwrap()
    };
    assert!(reach(DataClass::Personal, &acme, &paris).is_all());
    assert!(reach(DataClass::Personal, &globex, &paris).is_none());
    assert!(reach(DataClass::Special, &acme, &paris).is_none());
    let unknown = PlaceFacts { control: None, ..paris };
    assert!(reach(DataClass::Personal, &acme, &unknown).is_none());
}
