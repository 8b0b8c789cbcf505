//! The policy of the race and what is asked of it.

use std::fmt::Write as _;

use hither_types::id::{AppName, ModelName, Operator, Purpose, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::law::LawAction;
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind};

use crate::draw::{Act, Chance};

/// Eight rules as operators write them. The one that permits most stands last, behind all that apps bring with them.
const RULES: &str = r#"
[[permit]]
id = "weights"
action = ["replicate"]

[[permit]]
id = "relay-eea"
action = ["relay"]
target = ["EEA", "CH"]

[[permit]]
id = "public"
class = ["public"]

[[permit]]
id = "adequate"
class = ["internal"]
origin = ["EEA"]
target = ["EU-ADEQUATE"]
assurance = 1

[[permit]]
id = "triage"
apps = ["ct-triage"]
models = ["chest-xray"]
purpose = ["triage"]
class = ["special"]
origin = ["DE"]
target = ["DE"]
assurance = 2

[[permit]]
id = "eea-personal"
action = ["infer"]
class = ["internal", "personal"]
origin = ["EEA"]
target = ["EEA"]
not_control = ["US", "CN"]
assurance = 1
same_operator = true

[[forbid]]
id = "id-stays"
class = ["personal", "special", "secret"]
origin = ["ID"]
target_not = ["ID"]

[[forbid]]
id = "children-stay"
tags = ["child"]
target_not = ["EEA"]
"#;

/// How many rules that is.
const OWN_RULES: usize = 8;

/// A policy of so many rules.
pub(super) fn policy(rules: usize) -> String {
    let mut text = "version = 1\n".to_owned();
    for app in OWN_RULES..rules {
        let _ = write!(
            text,
            "\n[[permit]]\nid = \"app-{app}\"\napps = [\"app-{app}\"]\nclass = [\"internal\", \"personal\"]\norigin = [\"DE\"]\n\
             target = [\"DE\", \"FR\"]\nassurance = 1\n"
        );
    }
    text + RULES
}

fn act(class: DataClass, target: &str) -> Act {
    let origin = place("DE");
    Act {
        action: LawAction::Infer,
        app: AppName::parse("portal").expect("a name"),
        model: ModelName::parse("summary").expect("a name"),
        label: Label { class, tags: Vec::new(), subjects: vec![origin], purpose: None },
        origin,
        operator: Operator::parse("acme").expect("a name"),
        target: PlaceFacts {
            node: None,
            site: None,
            jurisdiction: place(target),
            control: Some(vec![place(target)]),
            operator: Operator::parse("acme").expect("a name"),
            assurance: Assurance::Vouched,
        },
        kind: PlaceKind::Peer,
    }
}

/// Personal data from Germany in France: permitted by the last permit.
pub(super) fn allowed() -> Act {
    act(DataClass::Personal, "FR")
}

/// The same in the United States: no permit, and no forbid.
pub(super) fn denied() -> Act {
    act(DataClass::Personal, "US")
}

/// One request and many places, every other of them lawful.
pub(super) fn places(count: usize) -> Vec<Act> {
    let codes = ["FR", "US", "DE", "CN", "AT", "BR", "NL", "ID", "PL", "IN", "SE", "AU", "IT", "ZA", "ES", "MX"];
    (0..count).map(|at| act(DataClass::Personal, codes[at % codes.len()])).collect()
}

/// A question in which all is known.
pub(super) fn drawn(chance: &mut Chance) -> Act {
    let code = |chance: &mut Chance| chance.one(&["DE", "DE", "FR", "FR", "AT", "ID", "US", "CH"]);
    let mut act = act(chance.one(&DataClass::ALL), code(chance));
    act.action =
        chance.one(&[LawAction::Infer, LawAction::Infer, LawAction::Infer, LawAction::Replicate, LawAction::Cache]);
    act.app = AppName::parse(chance.one(&["portal", "ct-triage", "ct-triage", "app-8", "app-9"])).expect("a name");
    act.model = ModelName::parse(chance.one(&["chest-xray", "chest-xray:2", "chest-xray-2"])).expect("a name");
    act.label.purpose = Some(Purpose::parse(chance.one(&["triage", "triage", "billing"])).expect("a name"));
    if chance.below(4) == 0 {
        act.label.tags = vec![Tag::parse("child").expect("a tag")];
    }
    act.origin = place(code(chance));
    act.label.subjects = if chance.below(2) == 0 { vec![act.origin] } else { vec![place(code(chance))] };
    act.target.control = Some(if chance.below(3) == 0 { Vec::new() } else { vec![place(code(chance))] });
    act.target.assurance = chance.one(&[Assurance::Claimed, Assurance::Vouched, Assurance::Near]);
    act.operator = Operator::parse(chance.one(&["acme", "acme", "globex"])).expect("a name");
    act
}

fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).expect("a code")
}
