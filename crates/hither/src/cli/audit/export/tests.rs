//! What may be exported, and what is in the folder.

use std::path::Path;

use hither_ledger::{Entry, Ledger, verify_as};
use hither_node::law::{Outsider, parse};
use hither_types::fact::{Counterpart, Fact, Outcome, Subject};
use hither_types::id::{AppName, Attempt, Digest, ModelName, NodeId, Operator, RequestId, SiteName};
use hither_types::label::DataClass;
use hither_types::law::Policy;
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};
use hither_types::time::{Day, WallTime};
use hither_types::unit::{ByteCount, Micros, Millijoules};

use super::folder::{Copy, is_free, name, readme};
use super::holdings::{Holdings, permitted};

fn place(site: &str, code: &str, operator: &str, node: NodeId) -> Counterpart {
    Counterpart {
        node,
        site: SiteName::parse(site).unwrap(),
        jurisdiction: Jurisdiction::parse(code).unwrap(),
        operator: Operator::parse(operator).unwrap(),
        control: None,
        kind: PlaceKind::Peer,
        assurance: Assurance::Vouched,
    }
}

fn subject(app: &str, class: DataClass) -> Subject {
    Subject {
        request: RequestId(7),
        attempt: Attempt(1),
        app: AppName::parse(app).unwrap(),
        model: ModelName::parse(app).unwrap(),
        ran: None,
        class,
        tags: vec![],
        subjects: vec![],
        purpose: None,
        policy: Digest([9; 32]),
    }
}

/// A ledger of acme's node in Germany: a request of class special from there, one of an operator in France that it worked
/// on, and the test of the law.
fn ledger(data: &Path) -> NodeId {
    let dir = data.join("ledger");
    let mut ledger = Ledger::open(&dir, &[7; 32], "hither/munich").unwrap();
    let node = hither_ledger::verify(&dir).unwrap().node;
    let ended = |app: &str, class| Fact::Ended {
        subject: subject(app, class),
        served_by: None,
        outcome: Outcome::Answered,
        attempts: 1,
        energy: Millijoules(0),
        took: Micros(1),
        reference: None,
    };
    let facts = vec![
        Fact::Started {
            policy: Digest([9; 32]),
            version: "0.1.0".into(),
            build: Vec::new(),
            config: None,
            here: place("munich", "DE", "acme", node),
        },
        ended("triage", DataClass::Special),
        Fact::IngressAccepted {
            subject: subject("chat", DataClass::Internal),
            from: place("paris", "FR", "zwei", NodeId([3; 32])),
            rule: hither_types::id::RuleId::parse("r").unwrap(),
            cache: None,
            bytes: ByteCount(4),
        },
        Fact::Denied { subject: subject("canary", DataClass::Secret), rule: None, considered: 1 },
    ];
    let entry = |fact| Entry { fact, wall: WallTime(1_795_348_800_123), mono_ms: 1 };
    ledger.append(&facts.into_iter().map(entry).collect::<Vec<_>>()).unwrap();
    std::fs::create_dir(data.join("policies")).unwrap();
    std::fs::write(data.join("policies").join(policy_name()), "version = 1\n").unwrap();
    std::fs::write(data.join("policies").join("draft.toml"), "version = 2\n").unwrap();
    node
}

fn policy_name() -> String {
    format!("{}.toml", blake3::hash(b"version = 1\n").to_hex())
}

fn law(rules: &str) -> Policy {
    parse(&format!("version = 1\n{rules}"), Day(20_787)).unwrap()
}

fn auditor(code: &str, operator: Option<&str>) -> Outsider {
    let operator = operator.map(|name| Operator::parse(name).unwrap());
    Outsider { jurisdiction: Jurisdiction::parse(code).unwrap(), operator, control: None }
}

const OURS: &str = "[[permit]]\nid = \"ours\"\naction = [\"export\"]\norigin = [\"DE\"]\ntarget = [\"DE\"]\n";
const GUESTS: &str = "[[permit]]\nid = \"guests\"\naction = [\"export\"]\nclass = [\"internal\"]\norigin = [\"FR\"]\n";

#[test]
fn each_request_on_record_is_judged_by_where_it_entered_and_one_that_nobody_made_is_not() {
    let data = tempfile::tempdir().unwrap();
    ledger(data.path());
    let held = [Holdings::of(&data.path().join("ledger")).unwrap()];
    assert_eq!(held[0].alike.len(), 2);
    let ask = |rules: &str, to: &Outsider| {
        permitted(&law(rules), &held, to).map(|rules| rules.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let both = format!("{OURS}{GUESTS}");
    assert_eq!(ask(&both, &auditor("DE", None)).unwrap(), ["guests", "ours"]);
    for (rules, to, wanted) in [
        ("", auditor("DE", None), "2 of 2 records"),
        (OURS, auditor("DE", None), "1 of 2 records"),
        (
            &both,
            auditor("US", None),
            "1 of special data of app triage from DE: no rule permits it; ours came closest, but target",
        ),
        (
            &format!("{both}[[forbid]]\nid = \"stay\"\nclass = [\"special\"]\n"),
            auditor("DE", None),
            "forbidden by rule stay",
        ),
        // Whoever is not named may be anybody.
        (&both.replace("target", "same_operator = true\ntarget"), auditor("DE", None), "same_operator"),
    ] {
        let trouble = ask(rules, &to).unwrap_err();
        assert_eq!((trouble.code.as_str(), trouble.exit as u8), ("E0820", 1));
        let text = format!("{} {}", trouble.message, trouble.notes.join(" "));
        assert!(text.contains(wanted), "{text}");
    }
    let same = both.replace("target", "same_operator = true\ntarget");
    assert!(ask(&same, &auditor("DE", Some("acme"))).is_ok());
}

#[test]
fn the_folder_is_there_whole_and_verifies_or_it_is_not_there() {
    let data = tempfile::tempdir().unwrap();
    let node = ledger(data.path());
    let held = [Holdings::of(&data.path().join("ledger")).unwrap()];
    // A line that is being written is no part of it.
    let open = data.path().join("ledger").join("ledger.jsonl");
    let mut text = std::fs::read_to_string(&open).unwrap();
    text.push_str("{\"half");
    std::fs::write(&open, text).unwrap();
    let to = data.path().join("out");
    drop(Copy::make(&to, &held).unwrap());
    assert!(is_free(&to).is_ok(), "what was not handed over is gone");
    let copy = Copy::make(&to, &held).unwrap();
    assert!(!to.exists());
    let names = [name(&held[0])];
    assert_eq!(names[0], format!("munich-{}", node.short()));
    copy.hand_over(&to, &readme("auditor in DE", &names, &copy.held)).unwrap();
    drop(copy);
    let report = verify_as(&to.join(&names[0]), node).unwrap();
    assert_eq!((report.records, report.torn_bytes), (4, 0));
    let policies: Vec<_> =
        std::fs::read_dir(to.join("policies")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(policies, [policy_name().as_str()], "drafts are not handed out");
    let readme = std::fs::read_to_string(to.join("README.txt")).unwrap();
    assert!(readme.contains(&format!("hither-ledger-verify --node {node} {}", names[0])), "{readme}");
    assert_eq!(is_free(&to).unwrap_err().code, "E0827");
}
