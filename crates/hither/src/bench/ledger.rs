//! The ledger on this machine's disk: what a record costs to write, what waiting for it adds to a transfer, and how long an
//! auditor's machine takes to verify many.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use hither_ledger::{Entry, GROUP_RECORDS_MAX, Ledger, verify};
use hither_types::fact::{Counterpart, Fact, Outcome, Subject};
use hither_types::id::{
    AppName, Attempt, Digest, ModelName, NodeId, Operator, ParseIdError, RequestId, RuleId, SiteName,
};
use hither_types::label::DataClass;
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;
use serde_json::{Value, json};

use crate::demo::failed;
use crate::output::{Trouble, chain};

/// What `bench ledger` is told.
#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    /// How many records are written and verified.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    records: u64,
    /// How often one record is written alone, beside as many bytes that are only written and synced.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    waits: u32,
    /// On which disk: a new directory in this one, removed at the end; the system's for temporary files if absent.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Measures. The answer is one JSON object.
pub(crate) fn measure(args: &LedgerArgs) -> Result<Value, Trouble> {
    let within = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = within.join(format!("hither-bench-ledger-{}", std::process::id()));
    std::fs::create_dir(&dir).map_err(|error| failed(format!("{}: {error}", dir.display())))?;
    let measured = measure_in(&dir, args);
    std::fs::remove_dir_all(&dir).map_err(|error| failed(format!("{}: {error}", dir.display())))?;
    measured
}

fn measure_in(dir: &Path, args: &LedgerArgs) -> Result<Value, Trouble> {
    let wrong = |error: &dyn std::error::Error| failed(chain(error));
    let facts = Facts::new().map_err(|error| wrong(&error))?;
    let path = dir.join("ledger");
    let mut ledger = Ledger::open(&path, &[7; 32], "hither/bench").map_err(|error| wrong(&error))?;

    let began = Instant::now();
    let mut written = 0;
    while written < args.records {
        let count = (args.records - written).min(GROUP_RECORDS_MAX as u64);
        let group: Vec<Entry> = (written..written + count).map(|number| facts.entry(number)).collect();
        ledger.append(&group).map_err(|error| wrong(&error))?;
        written += count;
    }
    let append = began.elapsed();
    let bytes = bytes_of(&path).map_err(|error| wrong(&error))?;

    // One record that somebody waits for, and as many bytes that are only written and synced: in turn, on one disk, in
    // files of one length, so that what the disk does to one it does to the other.
    let line = usize::try_from(bytes / written).unwrap_or(usize::MAX);
    let mut plain = File::create(dir.join("plain")).map_err(|error| wrong(&error))?;
    let (mut records, mut syncs) = (Vec::new(), Vec::new());
    for number in 0..u64::from(args.waits) {
        let began = Instant::now();
        ledger.append(&[facts.entry(written + number)]).map_err(|error| wrong(&error))?;
        records.push(began.elapsed());
        let began = Instant::now();
        plain.write_all(&vec![b'x'; line]).and_then(|()| plain.sync_data()).map_err(|error| wrong(&error))?;
        syncs.push(began.elapsed());
    }
    drop(ledger);

    let (began, cpu) = (Instant::now(), process_time());
    let report = verify(&path).map_err(|error| wrong(&error))?;
    let (verified, cpu) = (began.elapsed(), process_time().saturating_sub(cpu));
    if report.records != written + u64::from(args.waits) {
        return Err(failed(format!("{} records were verified of {}", report.records, written + u64::from(args.waits))));
    }
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    Ok(json!({
        "records": report.records, "bytes_a_record": bytes / written, "group": GROUP_RECORDS_MAX,
        "append_us_a_record": (append.as_secs_f64() * 1e8 / written as f64).round() / 100.0,
        "waits": args.waits,
        "wait_ms": {"p50": ms(at(&mut records, 50)), "p99": ms(at(&mut records, 99))},
        "sync_ms": {"p50": ms(at(&mut syncs, 50)), "p99": ms(at(&mut syncs, 99))},
        "wait_over_sync_ms": {"p50": ms(at(&mut records, 50).saturating_sub(at(&mut syncs, 50)))},
        "verify_s": (verified.as_secs_f64() * 1e3).round() / 1e3, "verify_cpu_s": (cpu.as_secs_f64() * 1e3).round() / 1e3,
    }))
}

/// The time of which so many of a hundred are no longer.
fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

/// The bytes of all files of records.
fn bytes_of(dir: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|end| end == "jsonl") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Of all threads: a large ledger is verified by one for each processor.
fn process_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What a node writes of a request that it passed on, again and again.
struct Facts {
    subject: Subject,
    to: Counterpart,
    rule: RuleId,
}

impl Facts {
    fn new() -> Result<Self, ParseIdError> {
        let place = |code| Jurisdiction::parse(code).expect("the code of a place is one");
        Ok(Self {
            subject: Subject {
                request: RequestId(0),
                attempt: Attempt(1),
                app: AppName::parse("ct-triage")?,
                model: ModelName::parse("chest-xray")?,
                ran: None,
                class: DataClass::Personal,
                tags: Vec::new(),
                subjects: vec![place("DE-BY")],
                purpose: None,
                policy: Digest([9; 32]),
            },
            to: Counterpart {
                node: NodeId([8; 32]),
                site: SiteName::parse("ulm")?,
                jurisdiction: place("DE-BW"),
                operator: Operator::parse("klinik-ag")?,
                control: Some(Vec::new()),
                kind: PlaceKind::Peer,
                assurance: Assurance::Vouched,
            },
            rule: RuleId::parse("triage")?,
        })
    }

    fn entry(&self, number: u64) -> Entry {
        let subject = Subject { request: RequestId(u128::from(number / 2)), ..self.subject.clone() };
        let (to, bytes) = (self.to.clone(), ByteCount(1832));
        let fact = match number % 2 {
            0 => Fact::EgressIntent {
                subject,
                to,
                rule: self.rule.clone(),
                rests: None,
                cache: None,
                bytes,
                reference: None,
            },
            _ => Fact::EgressSettled {
                subject,
                to,
                bytes,
                answer: ByteCount(640),
                outcome: Outcome::Answered,
                left_by: None,
                over: None,
            },
        };
        Entry { fact, wall: WallTime(1_795_348_800_000 + number), mono_ms: number }
    }
}
