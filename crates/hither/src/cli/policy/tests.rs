//! Sets of places in few words.

use std::collections::BTreeSet;

use hither_types::place::Jurisdiction;

use super::places::{few, one, wrapped};

fn set(codes: &[&str]) -> BTreeSet<Jurisdiction> {
    codes.iter().map(|code| Jurisdiction::parse(code).unwrap()).collect()
}

fn world() -> BTreeSet<Jurisdiction> {
    hither_law::countries().into_iter().chain(set(&["DE-BY", "DE-ZZZ", "ZZ"])).collect()
}

#[test]
fn sets_of_places_are_named_by_the_widest_words_that_fit() {
    let world = world();
    let eea: BTreeSet<Jurisdiction> = hither_law::blocs::bloc("EEA")
        .unwrap()
        .members()
        .map(|code| Jurisdiction::parse(code).unwrap())
        .chain(set(&["DE-BY", "DE-ZZZ"]))
        .collect();
    let with = |more: &[&str]| eea.iter().copied().chain(set(more)).collect::<BTreeSet<_>>();
    let without = |less: &[&str]| world.difference(&set(less)).copied().collect::<BTreeSet<_>>();
    assert_eq!(few(&world, &world), ["anywhere"]);
    assert_eq!(few(&with(&["CH"]), &world), ["EEA", "CH"]);
    assert_eq!(few(&without(&["ID"]), &world), ["anywhere but ID"]);
    assert_eq!(few(&without(&["DE-BY"]), &world), ["anywhere but DE-BY"]);
    assert_eq!(few(&set(&["DE", "DE-BY", "DE-ZZZ"]), &world), ["DE"]);
    assert_eq!(few(&set(&["DE", "DE-ZZZ"]), &world), ["DE but DE-BY"]);
    assert_eq!(few(&set(&["DE", "DE-BY"]), &world), ["DE without a part", "DE-BY"]);
    assert_eq!(
        few(&eea.difference(&set(&["DE", "DE-BY", "DE-ZZZ", "FR"])).copied().collect(), &world),
        ["EEA but DE and FR"]
    );
    assert_eq!(one(Jurisdiction::parse("ZZ").unwrap()), "an unknown place");
}

#[test]
fn lists_are_broken_at_the_end_of_the_screen() {
    let words = ["anywhere but DE".to_owned(), "FR".to_owned(), "IT".to_owned()];
    assert_eq!(wrapped(&words, 12), ["anywhere but", "DE, FR, IT"]);
    assert!(wrapped(&words, 80) == ["anywhere but DE, FR, IT"]);
}
