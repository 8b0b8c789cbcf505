//! What is read of the kernel, and what is told to programs of BitTorrent.

use std::net::Ipv4Addr;

use super::tracker::{Tracker, metainfo};
use super::{Came, Race, busy_of};

#[test]
fn what_waits_and_what_idles_is_not_busy() {
    assert_eq!(busy_of("cpu  10 1 5 100 20 2 3 4 7 0\ncpu0 1 1 1 1\n"), [25, 145]);
}

#[test]
fn the_bound_is_one_copy_and_the_way_of_the_last_chunk() {
    let race = Race { nodes: 24, megabits: 100, mebibytes: 256, beside: true };
    let chunk = 1024.0 * 1024.0 * 8.0 / 100e6;
    assert!((race.bound() - 260.0 * chunk).abs() < 1e-9);
}

#[test]
fn a_torrent_is_what_every_program_reads() {
    let bytes = metainfo("http://10.0.0.1:80/announce", 5, 4, b"0123456789012345678901234567890123456789");
    let expected = "d8:announce27:http://10.0.0.1:80/announce4:infod6:lengthi5e4:name5:model12:piece lengthi4e6:pieces40:\
                    0123456789012345678901234567890123456789ee";
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[test]
fn the_tracker_tells_everybody_of_all_others_until_they_leave() {
    let tracker = Tracker::default();
    let ask = |last: u8, left: u32, event: &str| {
        let question = format!("GET /announce?info_hash=x&port=6881&left={left}&event={event} HTTP/1.1\r\n\r\n");
        tracker.told(Ipv4Addr::new(10, 0, 0, last), &question)
    };
    let told = |peers: &[u8]| {
        [format!("d8:intervali3e12:min intervali3e5:peers{}:", peers.len()).as_bytes(), peers, b"e"].concat()
    };
    assert_eq!(ask(1, 7, "started"), told(&[]));
    assert!(!tracker.has_seed());
    assert_eq!(ask(2, 0, "started"), told(&[10, 0, 0, 1, 26, 225]));
    assert!(tracker.has_seed());
    assert_eq!(ask(1, 0, "stopped"), told(&[10, 0, 0, 2, 26, 225]));
    assert_eq!(ask(2, 0, "completed"), told(&[]));
}

#[test]
fn the_last_one_ends_a_race() {
    let ran = |came| super::Ran { came, sent: std::collections::BTreeMap::new(), spent: 0, busy: 0.0 };
    assert!((ran(Came::All(vec![1.0, 3.0, 2.0])).last() - 3.0).abs() < 1e-9);
    assert!((ran(Came::Rate(9.0)).last() - 9.0).abs() < 1e-9);
}
