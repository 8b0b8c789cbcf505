//! Tests of the names of segments.

use super::*;

#[test]
fn files_come_in_the_order_of_their_records_and_records_before_their_hashes() {
    let dir = crate::samples::scratch();
    let names = [
        LEDGER.to_owned(),
        closed_name(200),
        hashes_name(200),
        hashes_name(0),
        closed_name(1_000),
        "ledger-5.jsonl".to_owned(),
        "ledger-00000000000000000007.hashes.new".to_owned(),
        "ledger-+0000000000000000007.jsonl".to_owned(),
        "ledger-99999999999999999999.jsonl".to_owned(),
        "checkpoint".to_owned(),
    ];
    names.iter().for_each(|name| std::fs::write(dir.path().join(name), "").unwrap());
    let found: Vec<String> = list(dir.path()).unwrap().into_iter().map(Segment::name).collect();
    assert_eq!(found, [hashes_name(0), closed_name(200), closed_name(1_000), LEDGER.to_owned()]);
    assert_eq!(hashes_name(7), "ledger-00000000000000000007.hashes");
}
