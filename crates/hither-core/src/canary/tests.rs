//! What a policy keeps here is denied each time, and a policy that does not is told.

use hither_types::id::RequestId;
use hither_types::label::DataClass;
use hither_types::law::Policy;
use hither_types::time::Timestamp;

use crate::Event;
use crate::tests::{Play, eea, law, no_fraud_in_germany, until};

const ASKED: (u64, Event) = (10, Event::Canary(RequestId(900)));

/// A policy that says which classes may leave.
fn keeps_secrets() -> Policy {
    let mut policy = eea();
    policy.permits[0].classes = vec![DataClass::Internal, DataClass::Personal];
    policy
}

fn warned(play: &Play) -> Vec<String> {
    let warnings = play.core.view(Timestamp(60_000)).warnings;
    warnings.into_iter().filter(|text| text.starts_with("canary: ")).collect()
}

#[test]
fn a_policy_that_keeps_secrets_here_denies_and_that_is_on_the_record() {
    let play = Play::new(keeps_secrets()).then(vec![ASKED]).check("10: record denied 900/0, rule -, 3 considered");
    assert_eq!(warned(&play), Vec::<String>::new());
}

#[test]
fn a_place_that_a_secret_might_go_to_is_told_until_the_law_is_another() {
    let play = Play::new(eea()).then(vec![ASKED]).check("10: record canary 900/0 may go to paris by eea");
    let told = warned(&play);
    assert!(told.len() == 1 && told[0].contains("secret leave for paris (FR) by rule eea, and 2 places"), "{told:?}");
    let play = play.then(vec![law(20, keeps_secrets()), (30, Event::Canary(RequestId(901))), until(40)]);
    assert_eq!(warned(&play.quietly()), Vec::<String>::new());
}

#[test]
fn nothing_leaves_with_it() {
    let play = || Play::new(no_fraud_in_germany()).then(vec![ASKED]);
    assert!(play().says("canary 900/0") && !play().says("intent") && !play().says("forward"));
}
