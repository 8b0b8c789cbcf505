//! What nft writes is read, what it does not write is not; and what two readings come to.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use hither_types::fact::{Counterpart, Fact, Outcome, Subject};
use hither_types::id::{AppName, Attempt, Digest, ModelName, NodeId, Operator, RequestId, RuleId, SiteName};
use hither_types::kernel::{KernelCount, KernelFault, KernelSpan};
use hither_types::label::DataClass;
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;

use super::book::Book;
use super::counters::{Counters, Freshness, Unread, parse, read};
use super::{Alarm, Kernel, KernelConfig, Reading, Source};
use crate::limits::{KERNEL_LAG, KERNEL_UNDER_WAY};

/// As nft 1.1.3 writes it.
const GOLDEN: &str = r#"{"nftables": [{"metainfo": {"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1}}, {"counter": {"family": "inet", "name": "lawful", "table": "hither", "handle": 1, "packets": 12, "bytes": 20480, "comment": "packets to members to whom the policy lets something go"}}, {"counter": {"family": "inet", "name": "talk", "table": "hither", "handle": 2, "packets": 3, "bytes": 360}}, {"counter": {"family": "inet", "name": "leak", "table": "hither", "handle": 3, "packets": 1, "bytes": 36}}]}"#;

const COUNTED: Counters = Counters { lawful: 20_480, talk: 360, leak_packets: 1, leak: 36 };

/// Nothing arrived that began before.
const NONE: u64 = u64::MAX;

fn counters(lawful: u64, leak_packets: u64) -> Counters {
    Counters { lawful, talk: 0, leak_packets, leak: leak_packets * 36 }
}

#[test]
fn what_nft_writes_is_read() {
    assert_eq!(parse(GOLDEN.as_bytes()), Ok(COUNTED));
}

#[test]
fn what_it_does_not_write_is_never_a_number() {
    let without = |name: &str| GOLDEN.replace(&format!(r#""name": "{name}""#), r#""name": "other""#);
    for (text, fault) in [
        (String::new(), KernelFault::Malformed),
        ("table inet hither {\n\tcounter lawful {".to_owned(), KernelFault::Malformed),
        (GOLDEN[..GOLDEN.len() / 2].to_owned(), KernelFault::Malformed),
        ("[]".to_owned(), KernelFault::Malformed),
        (GOLDEN.replace("20480", "-1"), KernelFault::Malformed),
        (GOLDEN.replace("20480", "\"20480\""), KernelFault::Malformed),
        (GOLDEN.replace("20480", "9007199254740992"), KernelFault::Malformed),
        (GOLDEN.replace(r#""name": "talk""#, r#""name": "leak""#), KernelFault::Missing),
        (without("lawful").replace(r#""name": "talk""#, r#""name": "lawful""#), KernelFault::Missing),
        (GOLDEN.replace(r#""name": "talk", "table""#, r#""name": "lawful", "table""#), KernelFault::Malformed),
        (without("leak"), KernelFault::Missing),
        (GOLDEN.replace(r#""table": "hither""#, r#""table": "filter""#), KernelFault::Missing),
        (GOLDEN.replace(r#""family": "inet""#, r#""family": "ip""#), KernelFault::Missing),
        (r#"{"nftables": []}"#.to_owned(), KernelFault::Missing),
    ] {
        assert_eq!(parse(text.as_bytes()).map_err(|unread| unread.fault), Err(fault), "{text}");
    }
}

#[tokio::test]
async fn a_file_must_be_newer_than_what_is_compared_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("counters.json");
    let source = Source::File(path.clone());
    let fault = |read: Result<Counters, Unread>| read.map_err(|unread| unread.fault);
    let after = |moment| Freshness::After(moment, Duration::ZERO);
    let hour = Duration::from_secs(3600);
    assert_eq!(fault(read(&source, after(SystemTime::now())).await), Err(KernelFault::Failed));
    assert_eq!(fault(read(&source, Freshness::Any).await), Err(KernelFault::Failed));
    std::fs::write(&path, GOLDEN).unwrap();
    assert_eq!(fault(read(&source, after(SystemTime::now() + hour)).await), Err(KernelFault::Stale));
    assert_eq!(read(&source, after(SystemTime::now() - hour)).await, Ok(COUNTED));
    assert_eq!(read(&source, Freshness::Any).await, Ok(COUNTED));
}

#[tokio::test]
async fn a_program_that_fails_is_told_with_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("counters.json");
    std::fs::write(&path, GOLDEN).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let command = |words: &[&str]| Source::Command(words.iter().map(ToString::to_string).collect());
    let path = path.to_str().unwrap();
    assert_eq!(read(&command(&["cat", path]), Freshness::Any).await, Ok(COUNTED));
    let failed = read(&command(&["sh", "-c", "echo not permitted >&2; exit 1"]), Freshness::Any).await.unwrap_err();
    assert_eq!(failed.fault, KernelFault::Failed);
    assert!(failed.text.contains("not permitted"), "{}", failed.text);
    let absent = read(&command(&["no-such-program-anywhere"]), Freshness::Any).await.unwrap_err();
    assert_eq!(absent.fault, KernelFault::Failed);
}

#[test]
fn a_reading_is_what_was_counted_since_the_one_before() {
    let mut book = Book::open(None, 1);
    let first = book.take(WallTime(1), counters(500, 0), Some(0), NONE);
    assert_eq!((first.span, first.lawful, first.payload), (KernelSpan::First, ByteCount(500), None));
    let second = book.take(WallTime(2), counters(1_700, 2), Some(1_000), NONE);
    let expected = KernelCount {
        span: KernelSpan::Since(WallTime(1)),
        lawful: ByteCount(1_200),
        talk: ByteCount(0),
        leak_packets: 2,
        leak: ByteCount(72),
        payload: Some(ByteCount(1_000)),
    };
    assert_eq!(second, expected);
    // Loaded anew: what they hold is what is known, and nothing is compared with it.
    let third = book.take(WallTime(3), counters(90, 0), Some(4_000), NONE);
    assert_eq!((third.span, third.lawful, third.payload), (KernelSpan::Reset, ByteCount(90), None));
    let fourth = book.take(WallTime(4), counters(100, 0), Some(4_000), NONE);
    assert_eq!((fourth.span, fourth.payload), (KernelSpan::Since(WallTime(3)), Some(ByteCount(0))));
}

#[test]
fn payload_that_no_kernel_counted_is_found_and_what_lies_across_a_reading_is_not() {
    let short = |readings: &[(u64, u64)]| {
        let mut book = Book::open(None, 1);
        for (at, (lawful, sent)) in (0..).zip(readings) {
            book.take(WallTime(at), counters(*lawful, 0), Some(*sent), NONE);
        }
        book.is_short()
    };
    assert_eq!(short(&[(0, 0), (5_500, 5_000), (5_600, 5_000)]), Some(false));
    assert_eq!(short(&[(0, 0), (400, 5_000), (800, 5_000)]), Some(true));
    // It left before the first reading and was answered after it; or the ledger had it before the kernel.
    assert_eq!(short(&[(5_500, 0), (5_600, 5_000), (5_700, 5_000)]), Some(false));
    assert_eq!(short(&[(0, 0), (100, 5_000), (5_600, 5_000)]), Some(false));
    assert_eq!(short(&[(0, 0), (100, 5_000)]), None, "too early to tell");
    assert_eq!(short(&[(0, 0), (100, 0), (200, 0)]), None, "nothing to compare");
}

#[test]
fn what_leaves_for_longer_than_readings_are_apart_is_compared_with_all_that_passed_meanwhile() {
    // Readings, each with what arrived by then and in which span the first of that began.
    let short = |lag, readings: &[(u64, u64, u64)]| {
        let mut book = Book::open(None, lag);
        for (at, (lawful, sent, began)) in (0..).zip(readings) {
            book.take(WallTime(at), counters(*lawful, 0), Some(*sent), *began);
        }
        book.is_short()
    };
    let long = |passed: u64, began| {
        [
            (0, 0, NONE),
            (passed, 0, NONE),
            (passed, 0, NONE),
            (passed, 0, NONE),
            (passed, 5_000, began),
            (passed, 5_000, NONE),
        ]
    };
    assert_eq!(short(1, &long(5_500, 1)), Some(false));
    assert_eq!(short(1, &long(4_500, 1)), Some(true), "less passed in all that time");
    assert_eq!(short(1, &long(5_500, 3)), Some(true), "it began after that had passed");
    // It was noted while the reading before was on its way here.
    let mut late = long(5_500, NONE);
    assert_eq!(short(1, &late), Some(true));
    late[3].2 = 1;
    assert_eq!(short(1, &late), Some(false));
    // Before the first of the readings.
    let mut broken = Book::open(None, 1);
    broken.take(WallTime(0), counters(0, 0), Some(0), NONE);
    broken.broke();
    for (at, sent, began) in [(1, 0, NONE), (2, 5_000, 0), (3, 5_000, NONE)] {
        broken.take(WallTime(at), counters(100, 0), Some(sent), began);
    }
    assert_eq!(broken.is_short(), None, "part of it may have left before the hole");
    // What a slow line still has of an answer when the ledger has it all.
    let slow = [
        (0, 0, NONE),
        (100, 0, NONE),
        (200, 5_000, NONE),
        (300, 5_000, NONE),
        (400, 5_000, NONE),
        (5_600, 5_000, NONE),
    ];
    assert_eq!((short(3, &slow), short(3, &slow[..5])), (Some(false), None));
}

fn counterpart(node: u8) -> Counterpart {
    let jurisdiction = Jurisdiction::parse("FR").unwrap();
    let site = SiteName::parse("paris").unwrap();
    Counterpart {
        node: NodeId([node; 32]),
        site,
        jurisdiction,
        operator: Operator::parse("acme").unwrap(),
        control: None,
        kind: PlaceKind::Peer,
        assurance: Assurance::Vouched,
    }
}

fn subject(request: u128) -> Subject {
    Subject {
        request: RequestId(request),
        attempt: Attempt(1),
        app: AppName::parse("app").unwrap(),
        model: ModelName::parse("model").unwrap(),
        ran: None,
        class: DataClass::Internal,
        tags: Vec::new(),
        subjects: Vec::new(),
        purpose: None,
        policy: Digest([0; 32]),
    }
}

fn leaves(request: u128) -> Fact {
    Fact::EgressIntent {
        subject: subject(request),
        to: counterpart(2),
        rule: RuleId::parse("eea").unwrap(),
        rests: None,
        cache: None,
        bytes: ByteCount(5_000),
        reference: None,
    }
}

fn arrives(request: u128) -> Fact {
    Fact::EgressSettled {
        subject: subject(request),
        to: counterpart(2),
        bytes: ByteCount(5_000),
        answer: ByteCount(10),
        outcome: Outcome::Answered,
        left_by: None,
        over: None,
    }
}

#[test]
fn requests_that_take_longer_than_readings_are_apart_are_no_alarm_and_those_that_no_kernel_saw_are() {
    let dir = tempfile::tempdir().unwrap();
    let every = KERNEL_LAG;
    let config = KernelConfig { source: Source::Command(vec!["nft".to_owned()]), every };
    let mut kernel = Kernel::open(config, dir.path());
    let read = |kernel: &mut Kernel, lawful| {
        let sent = Some(kernel.sent.load(Ordering::Relaxed));
        let (_, alarms) = kernel.take(Reading { counters: Ok(counters(lawful, 0)), sent }, false);
        kernel.told = alarms.clone();
        alarms.contains_key(&Alarm::Short)
    };
    let note = |kernel: &mut Kernel, fact| kernel.note(&fact, |_| true);
    assert!(!read(&mut kernel, 0));
    // It leaves at once, is worked on for four readings, and is answered then.
    note(&mut kernel, leaves(1));
    for _ in 0..4 {
        assert!(!read(&mut kernel, 5_600));
    }
    note(&mut kernel, arrives(1));
    assert!(kernel.under_way.is_empty());
    for _ in 0..4 {
        assert!(!read(&mut kernel, 5_600), "it passed when it left");
    }
    // The next one passes nowhere.
    note(&mut kernel, leaves(2));
    for _ in 0..4 {
        assert!(!read(&mut kernel, 5_700));
    }
    note(&mut kernel, arrives(2));
    assert!(!read(&mut kernel, 5_700), "too early to tell");
    assert!(read(&mut kernel, 5_700));
    // No more are remembered than there is room for.
    (0..2 * KERNEL_UNDER_WAY as u128).for_each(|request| note(&mut kernel, leaves(request)));
    assert_eq!(kernel.under_way.len(), KERNEL_UNDER_WAY);
}

#[test]
fn the_next_start_goes_on_from_the_last_reading_and_compares_only_what_it_knows() {
    let mut book = Book::open(None, 1);
    book.take(WallTime(7), counters(500, 1), Some(80), NONE);
    let next = |text: &str| Book::open(Some(text), 1).take(WallTime(9), counters(900, 1), Some(100), NONE);
    let ended = next(&book.text(true));
    assert_eq!(
        (ended.span, ended.lawful, ended.payload),
        (KernelSpan::Since(WallTime(7)), ByteCount(400), Some(ByteCount(100)))
    );
    assert_eq!(next(&book.text(false)).payload, None, "it was killed: nobody knows what left since");
    for wrong in ["", "7 500", "7 500 0 1 36 perhaps", "x 500 0 1 36 ended", "7 500 0 1 36 ended more"] {
        assert_eq!(next(wrong).span, KernelSpan::First, "{wrong:?}");
    }
}

#[test]
fn what_is_wrong_is_told_until_a_reading_shows_that_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = KernelConfig { source: Source::Command(vec!["nft".to_owned()]), every: Duration::from_secs(3600) };
    let mut kernel = Kernel::open(config, dir.path());
    let mut take = |counters: Result<Counters, KernelFault>| {
        let counters = counters.map_err(|fault| Unread { fault, text: "gone".to_owned() });
        let (fact, alarms) = kernel.take(Reading { counters, sent: Some(0) }, false);
        kernel.told = alarms.clone();
        (fact, alarms.into_keys().collect::<Vec<_>>())
    };
    assert_eq!(take(Ok(counters(500, 0))).1, []);
    let (fact, alarms) = take(Err(KernelFault::Missing));
    assert_eq!((fact, alarms), (Fact::KernelUnread(KernelFault::Missing), vec![Alarm::Unread]));
    assert_eq!(take(Ok(counters(600, 2))).1, [Alarm::Leak]);
    assert_eq!(
        take(Err(KernelFault::Failed)).1,
        [Alarm::Leak, Alarm::Unread],
        "a leak is not over because nobody can look"
    );
    assert_eq!(take(Ok(counters(700, 2))).1, [Alarm::Leak]);
    assert_eq!(take(Ok(counters(0, 0))).1, [Alarm::Reset]);
    assert_eq!(take(Ok(counters(10, 0))).1, []);
}
