//! The table of codes.

use std::collections::BTreeSet;

use super::*;

#[test]
fn each_code_stands_once_and_says_what_to_do() {
    let all = all();
    let codes: BTreeSet<&str> = all.iter().map(|entry| entry.code).collect();
    assert_eq!(codes.len(), all.len(), "a code stands twice: {all:?}");
    for entry in all {
        assert!(entry.code.len() == 5 && entry.code.starts_with('E'), "{entry:?}");
        assert!((400..600).contains(&entry.status), "{entry:?}");
        assert!(entry.summary().len() > 10 && entry.remedy.len() > 4, "{entry:?}");
        assert_eq!(title(entry.code), Some(entry.summary()));
    }
    assert_eq!(title("E9999"), None);
}
