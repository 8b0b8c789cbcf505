//! What is kept is read again as the same.

use hither_types::id::{AppName, SiteName};
use hither_types::spending::{Flow, Money, Spent};
use hither_types::unit::ByteCount;

use super::{Till, read, write};

fn spent() -> Spent {
    let app = |name: &str| AppName::parse(name).unwrap();
    let flow = |requests, answers| Flow { requests: ByteCount(requests), answers: ByteCount(answers) };
    Spent {
        day: 20_421,
        links: [flow(1, 2), flow(3, 4), flow(5, 6), flow(7, 8)],
        relayed: flow(13, 14),
        apps: [(app("till"), ByteCount(9)), (app("ct-triage"), ByteCount(10))].into(),
        money: [((SiteName::parse("cloud").unwrap(), app("till")), Money(11))].into(),
        saved: Money(12),
    }
}

#[test]
fn what_was_written_is_read_as_the_same() {
    assert_eq!(read(&write(&spent())), Some(spent()));
    assert_eq!(read(&write(&Spent::default())), Some(Spent::default()));
    for wrong in ["day", "day x", "link moon 1 2", "app till", "money cloud till 1 2", "\n"] {
        assert_eq!(read(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_till_is_closed_with_what_was_spent_and_opened_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spent");
    let (mut till, trouble) = Till::open(path.clone());
    assert_eq!((till.spent(Spent::default()), trouble), (Spent::default(), None));
    till.close(&spent());
    let (till, trouble) = Till::open(path.clone());
    assert_eq!((till.spent(Spent::default()), trouble), (spent(), None));
    let newer = Spent { day: 20_422, ..Spent::default() };
    assert_eq!(till.spent(newer.clone()), newer, "what the mind knows goes before it");
    std::fs::write(&path, "garbage").unwrap();
    let (till, trouble) = Till::open(path);
    assert_eq!(till.spent(Spent::default()), Spent::default());
    assert!(trouble.unwrap().contains("begin with nothing spent"));
}
