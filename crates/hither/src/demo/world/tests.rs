//! Tests of what the demo leaves behind: nothing, in the end.

use super::{Removed, remove_left_behind};

#[test]
fn a_directory_in_use_stays_and_one_left_behind_goes() {
    let cache = tempfile::tempdir().unwrap();
    let used = Removed::make(cache.path().join("demo-1")).unwrap();
    std::fs::create_dir(cache.path().join("models")).unwrap();
    // What a killed demo leaves: its files, and a lock that nobody holds.
    std::fs::create_dir_all(cache.path().join("demo-2/munich")).unwrap();
    std::fs::write(cache.path().join("demo-2").join(super::LOCK), "").unwrap();
    remove_left_behind(cache.path(), "demo-");
    let there = |name: &str| cache.path().join(name).exists();
    assert_eq!((there("demo-1"), there("demo-2"), there("models")), (true, false, true));
    drop(used);
    assert!(!there("demo-1"));
}
