//! Facts and ledgers for the tests.

use std::path::Path;

use hither_types::fact::{Counterpart, Export, Fact, FilterVerdict, Outcome, Subject};
use hither_types::filter::{DataKind, Findings};
use hither_types::id::{
    AppName, Attempt, Digest, ModelName, NodeId, Operator, Purpose, RequestId, RuleId, SiteName, Tag,
};
use hither_types::kernel::{KernelCount, KernelFault, KernelSpan};
use hither_types::label::DataClass;
use hither_types::law::BlocMove;
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};
use hither_types::rollout::{Rollout, RolloutFault, Verdict};
use hither_types::time::{Day, WallTime};
use hither_types::unit::{ByteCount, Micros, Millijoules};

use crate::writer::{Entry, Ledger};

pub(crate) const MUNICH: [u8; 32] = [7; 32];
pub(crate) const PARIS: [u8; 32] = [8; 32];
pub(crate) const REQUEST: RequestId = RequestId(0x0193_5a7c_9f00_7000_8000_0000_0000_0001);

/// A folder that goes away again: in memory where there is such a place, since many tests sync thousands of times.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder can be made")
}

/// The node of a secret.
pub(crate) fn node(secret: &[u8; 32]) -> NodeId {
    NodeId(ed25519_dalek::SigningKey::from_bytes(secret).verifying_key().to_bytes())
}

pub(crate) fn origin(secret: &[u8; 32]) -> String {
    format!("hither/0011223344/{}", node(secret))
}

pub(crate) fn open(dir: &Path, secret: &[u8; 32]) -> Ledger {
    Ledger::open(dir, secret, &origin(secret)).expect("the ledger opens")
}

pub(crate) fn entries(facts: &[Fact]) -> Vec<Entry> {
    let at = |i: u64| (WallTime(1_795_348_800_123 + i), 1_000 + i);
    facts.iter().zip(0..).map(|(fact, i)| Entry { fact: fact.clone(), wall: at(i).0, mono_ms: at(i).1 }).collect()
}

/// A ledger with these facts, written in groups of two.
pub(crate) fn write(dir: &Path, secret: &[u8; 32], facts: &[Fact]) {
    let mut ledger = open(dir, secret);
    for group in entries(facts).chunks(2) {
        ledger.append(group).expect("the disk has room");
    }
}

pub(crate) fn counterpart(secret: &[u8; 32]) -> Counterpart {
    let code = |code| Jurisdiction::parse(code).expect("a name that parses");
    let (site, jurisdiction, control) =
        if *secret == MUNICH { ("munich", "DE-BY", Some(vec![code("DE")])) } else { ("paris", "FR", None) };
    Counterpart {
        node: node(secret),
        site: SiteName::parse(site).expect("a name that parses"),
        jurisdiction: code(jurisdiction),
        operator: Operator::parse("acme").expect("a name that parses"),
        control,
        kind: PlaceKind::Peer,
        assurance: Assurance::Vouched,
    }
}

pub(crate) fn subject(attempt: u8) -> Subject {
    Subject {
        request: REQUEST,
        attempt: Attempt(attempt),
        app: AppName::parse("ct-triage").expect("a name that parses"),
        model: ModelName::parse("smollm2-135m").expect("a name that parses"),
        ran: None,
        class: DataClass::Personal,
        tags: vec![Tag::parse("phi").expect("a name that parses")],
        subjects: vec![
            Jurisdiction::parse("DE-BY").expect("a name that parses"),
            Jurisdiction::parse("FR").expect("a name that parses"),
        ],
        purpose: Some(Purpose::parse("triage").expect("a name that parses")),
        policy: Digest([9; 32]),
    }
}

pub(crate) fn rule() -> RuleId {
    RuleId::parse("eu-to-eu").expect("a name that parses")
}

pub(crate) fn intent(attempt: u8, bytes: u64) -> Fact {
    Fact::EgressIntent {
        subject: subject(attempt),
        to: counterpart(&MUNICH),
        rule: rule(),
        rests: None,
        cache: None,
        bytes: ByteCount(bytes),
        reference: None,
    }
}

pub(crate) fn settled(attempt: u8, bytes: u64, answer: u64, outcome: Outcome) -> Fact {
    let (bytes, answer) = (ByteCount(bytes), ByteCount(answer));
    let to = counterpart(&MUNICH);
    Fact::EgressSettled { subject: subject(attempt), to, bytes, answer, outcome, left_by: None, over: None }
}

pub(crate) fn accepted(attempt: u8, bytes: u64) -> Fact {
    let from = counterpart(&PARIS);
    Fact::IngressAccepted { subject: subject(attempt), from, rule: rule(), cache: None, bytes: ByteCount(bytes) }
}

pub(crate) fn answered(attempt: u8, bytes: u64, outcome: Outcome) -> Fact {
    Fact::AnswerSent {
        subject: subject(attempt),
        to: counterpart(&PARIS),
        bytes: ByteCount(bytes),
        outcome,
        over: None,
    }
}

pub(crate) fn refused(attempt: u8) -> Fact {
    Fact::IngressRefused { subject: subject(attempt), from: counterpart(&PARIS), rule: None }
}

/// One fact of every kind.
pub(crate) fn all_facts() -> Vec<Fact> {
    let name = ModelName::parse("fraud").expect("a name that parses");
    let (publisher, by) = (node(&MUNICH), node(&PARIS));
    let fault = RolloutFault::Failures { tried: 40, failed: 3 };
    vec![
        Fact::Started {
            policy: Digest([9; 32]),
            version: "0.1.0".to_owned(),
            build: vec![0xf3, 0xaa],
            config: Some(Digest([7; 32])),
            here: counterpart(&MUNICH),
        },
        Fact::PolicyChanged { policy: Digest([10; 32]), publisher: Some(NodeId([11; 32])) },
        Fact::Joined(counterpart(&MUNICH)),
        Fact::ModelAdmitted {
            model: name.clone(),
            digest: Digest([11; 32]),
            size: ByteCount(172_202),
            from: Some(node(&MUNICH)),
        },
        Fact::Denied { subject: subject(0), rule: Some(rule()), considered: 2 },
        intent(1, 1832),
        settled(1, 1832, 640, Outcome::Answered),
        accepted(1, 1832),
        answered(1, 640, Outcome::Cancelled),
        refused(2),
        Fact::Ended {
            subject: subject(0),
            served_by: None,
            outcome: Outcome::Refused,
            attempts: 3,
            energy: Millijoules(12_345),
            took: Micros(1_500_900),
            reference: Some(Digest([14; 32])),
        },
        Fact::Revoked(counterpart(&MUNICH)),
        Fact::Left(counterpart(&MUNICH)),
        Fact::ClockJumped { expected: WallTime(1_795_348_800_123), found: WallTime(1_795_521_600_123) },
        Fact::RolledOut(Rollout {
            name: name.clone(),
            revision: 3,
            from: Digest([11; 32]),
            to: Digest([12; 32]),
            share: 100,
            sites: vec![counterpart(&PARIS).site],
            tolerance: 20,
            publisher,
            at: WallTime(1_795_348_800_123),
        }),
        Fact::Published {
            model: name.clone(),
            digest: Digest([11; 32]),
            revision: 2,
            publisher,
            expires: Some(WallTime(1_795_348_800_123)),
        },
        Fact::Judged(Verdict { name, revision: 3, publisher, by, fault }),
        Fact::LossAccepted { signed: 41, root: Some(Digest([12; 32])), file: Digest([13; 32]) },
        Fact::FirstTransfer { left: counterpart(&PARIS).jurisdiction, to: counterpart(&MUNICH).jurisdiction },
        Fact::EgressFiltered {
            subject: subject(1),
            to: counterpart(&MUNICH),
            findings: Findings([(DataKind::Email, 2), (DataKind::Iban, 1)].into()),
            verdict: FilterVerdict::Masked,
        },
        Fact::KernelCounted(KernelCount {
            span: KernelSpan::Since(WallTime(1_795_348_800_123)),
            lawful: ByteCount(20_480),
            talk: ByteCount(1_024),
            leak_packets: 1,
            leak: ByteCount(36),
            payload: Some(ByteCount(2_472)),
        }),
        Fact::KernelUnread(KernelFault::Missing),
        Fact::CanaryPermitted { subject: subject(0), to: counterpart(&PARIS), rule: rule() },
        Fact::Moved { member: counterpart(&MUNICH), by: node(&PARIS), rtt: Micros(131_000), before: Micros(8_300) },
        Fact::BlocsChanged {
            policy: Digest([10; 32]),
            day: Day(20_819),
            moves: vec![BlocMove {
                bloc: "our-adequate".to_owned(),
                place: Jurisdiction::parse("US").expect("a code"),
                joined: false,
            }],
        },
        Fact::Exported(Export {
            to: Jurisdiction::parse("US").expect("a code"),
            operator: Some(Operator::parse("auditor").expect("a name that parses")),
            records: 41,
            root: Digest([12; 32]),
            rules: vec![rule()],
            policy: Digest([10; 32]),
        }),
        Fact::ReferencesDestroyed {
            app: subject(0).app,
            first: Day(20_787),
            last: Day(20_788),
            policy: Some(Digest([10; 32])),
        },
    ]
}
