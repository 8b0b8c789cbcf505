//! What is told of places that the law left out, when somebody asks.

use hither_types::id::RequestId;
use hither_types::law::Then;
use hither_types::member::Role;
use hither_types::view::Step;

use crate::tests::{FRAUD, JAKARTA, LYON, Play, eea, heard, law, may, nothing, submitted};

/// The single changes that are told of the place that request 1 was denied.
fn told(mut play: Play) -> Vec<String> {
    play.only(&[]);
    let steps = play.core.explain(RequestId(1)).unwrap().steps;
    let mut all = Vec::new();
    for (_, step) in steps {
        let Step::Denied { site, what_ifs, .. } = step else { continue };
        all.extend(what_ifs.into_iter().map(|one| {
            let then = match one.then {
                Then::Permitted(rule) => rule.map_or_else(|| "yes".to_owned(), |rule| format!("yes by {rule}")),
                Then::Forbidden(rule) => format!("no by {rule}"),
            };
            format!("{site}: {} {}: {then}", one.fact, one.instead.join(" | "))
        }));
    }
    all
}

#[test]
fn a_denied_place_is_told_with_what_would_open_it() {
    let play = Play::new(eea()).then(vec![heard(0, JAKARTA, FRAUD, 0), submitted(1, 1, FRAUD)]);
    assert_eq!(
        told(play),
        [
            "jakarta: target [\"DE\", \"FR\"]: yes by eea",
            "jakarta: permit infer of personal data by app app at ID: yes",
        ]
    );
}

#[test]
fn nothing_is_told_once_the_law_says_something_else_of_the_place() {
    let script = vec![heard(0, JAKARTA, FRAUD, 0), submitted(1, 1, FRAUD), law(2, nothing())];
    assert_eq!(told(Play::new(eea()).then(script)), [""; 0]);
}

#[test]
fn a_role_that_is_all_that_lacks_is_told_as_one() {
    let script = |policy| {
        Play::new(policy).then(vec![heard(0, LYON, FRAUD, 0), may(1, LYON, &[Role::Request]), submitted(2, 1, FRAUD)])
    };
    assert_eq!(told(script(eea())), ["lyon: role serve: yes by eea"]);
    assert_eq!(told(script(nothing())), [""; 0], "the role alone would not do");
}
