//! What the ledger costs on this disk: `cargo run --release -p hither-ledger --example costs [folder]`.

use std::time::Instant;

use hither_ledger::{Entry, Ledger, verify};
use hither_types::fact::{Counterpart, Fact, Subject};
use hither_types::id::{AppName, Attempt, Digest, ModelName, NodeId, Operator, RequestId, RuleId, SiteName};
use hither_types::label::DataClass;
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;

fn intent() -> Result<Fact, Box<dyn std::error::Error>> {
    let subject = Subject {
        request: RequestId(1),
        attempt: Attempt(1),
        app: AppName::parse("ct-triage")?,
        model: ModelName::parse("smollm2-135m")?,
        ran: None,
        class: DataClass::Personal,
        tags: Vec::new(),
        subjects: vec![Jurisdiction::parse("DE-BY")?],
        purpose: None,
        policy: Digest([9; 32]),
    };
    let to = Counterpart {
        node: NodeId([8; 32]),
        site: SiteName::parse("paris")?,
        jurisdiction: Jurisdiction::parse("FR")?,
        operator: Operator::parse("klinik-ag")?,
        control: Some(Vec::new()),
        kind: PlaceKind::Peer,
        assurance: Assurance::Vouched,
    };
    Ok(Fact::EgressIntent {
        subject,
        to,
        rule: RuleId::parse("eu-to-eu")?,
        rests: None,
        cache: None,
        bytes: ByteCount(1832),
        reference: None,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("hither-costs"), Into::into);
    let mut ledger = Ledger::open(&dir, &[7; 32], "hither/costs/here")?;
    let entry = Entry { fact: intent()?, wall: WallTime(1_795_348_800_123), mono_ms: 1_000 };
    for group in [1, 16, 256] {
        let (rounds, entries) = (100, vec![entry.clone(); group]);
        let mut each = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            ledger.append(&entries)?;
            each.push(start.elapsed());
        }
        each.sort();
        println!(
            "groups of {group:>3}: median {:>9.3?}, p95 {:>9.3?} per group",
            each[rounds / 2],
            each[rounds * 95 / 100]
        );
    }
    drop(ledger);
    let bytes = std::fs::metadata(dir.join("ledger.jsonl"))?.len();
    let start = Instant::now();
    let report = verify(&dir)?;
    let took = start.elapsed();
    println!("verify: {} records of {} bytes in {took:.3?}", report.records, bytes / report.records);
    let start = Instant::now();
    Ledger::open(&dir, &[7; 32], "hither/costs/here")?;
    println!("open:   {:.3?}", start.elapsed());
    Ok(())
}
