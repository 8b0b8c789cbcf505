//! Tests of the page that remembers losses.

use super::*;

fn lost() -> Lost {
    Lost { at: 41, signed: 39, kinds: [(Kind::Deny, 2), (Kind::EgressIntent, 7)].into() }
}

#[test]
fn what_is_written_reads_back_and_half_of_it_is_nothing() {
    let page = lost().page();
    assert_eq!(Lost::parse(&page), Some(lost()));
    assert_eq!(Lost::parse(&[b'\n'; LOST_BYTES]), None);
    let end = page.iter().rposition(|b| *b != b'\n').unwrap();
    for at in 0..=end {
        let mut changed = page;
        changed[at] ^= 1;
        assert_eq!(Lost::parse(&changed), None, "byte {at}");
        let mut cut = [b'\n'; LOST_BYTES];
        cut[..at].copy_from_slice(&page[..at]);
        assert_eq!(Lost::parse(&cut), None, "cut at {at}");
    }
}

#[test]
fn a_page_of_an_older_program_is_read() {
    let mut text = "at 41\negress.intent 7\n".to_owned();
    text.push_str(&format!("sha256 {}\n", HEXLOWER.encode(&Sha256::digest(&text))));
    let old = Lost { at: 41, signed: 41, kinds: [(Kind::EgressIntent, 7)].into() };
    assert_eq!(Lost::parse(text.as_bytes()), Some(old));
}

#[test]
fn every_kind_there_is_finds_room() {
    let all = Lost { at: u64::MAX, signed: u64::MAX, kinds: Kind::ALL.iter().map(|kind| (*kind, u64::MAX)).collect() };
    let page = all.page();
    assert_eq!(Lost::parse(&page), Some(all));
    assert_eq!(page[LOST_BYTES / 2..].iter().filter(|b| **b != b'\n').count(), 0);
}
