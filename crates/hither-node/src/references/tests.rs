//! A key is its app's and its day's, and is gone when it is destroyed.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

/// Draws a key for each day.
fn with(data: &Path, name: &str, days: &[u32]) -> References {
    let references = References::of(data);
    for day in days {
        references.key(&app(name), Day(*day)).unwrap();
    }
    references
}

/// Destroys those of triage.
fn gone(references: &References, before: Option<Day>) -> Option<(Day, Day)> {
    let (gone, ended) = references.destroy(&app("triage"), before);
    ended.unwrap();
    gone
}

fn days(references: &References, name: &str) -> Vec<u32> {
    days_in(&references.folder(&app(name))).unwrap().iter().map(|day| day.0).collect()
}

/// As `printf '%s %s' ID SHA256 | openssl dgst -sha256 -mac HMAC -macopt hexkey:…` makes it.
#[test]
fn a_reference_is_what_other_programs_make_of_the_same_key_request_and_body() {
    let (request, body) = (RequestId(0x0193_5a7c_9f00_7000_8000_0000_0000_0001), body_digest(b"Hi There"));
    let made = reference(&[0x0b; 32], request, &body);
    assert_eq!(made.to_string(), "0460a7227e114343743c77e275487a4c2307933ab38f5e85529a422e7908f3b3");
    assert_ne!(made, reference(&[0x0c; 32], request, &body));
    assert_ne!(made, reference(&[0x0b; 32], RequestId(request.0 + 1), &body));
    assert_ne!(made, reference(&[0x0b; 32], request, &body_digest(b"Hi There ")));
}

#[test]
fn a_key_is_the_apps_and_the_days_and_its_owners_alone() {
    let data = tempfile::tempdir().unwrap();
    let references = with(data.path(), "triage", &[]);
    let key = references.key(&app("triage"), Day(100)).unwrap();
    assert_eq!(References::of(data.path()).key(&app("triage"), Day(100)).unwrap(), key);
    assert_ne!(references.key(&app("triage"), Day(101)).unwrap(), key);
    assert_ne!(references.key(&app("other"), Day(100)).unwrap(), key);
    let folder = reference_folder(data.path(), &app("triage"));
    assert_eq!(reference_keys(&folder).unwrap()[&Day(100)], key);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("1970-04-11.key"))), (0o700, 0o600));
    assert!(reference_keys(&reference_folder(data.path(), &app("unknown"))).unwrap().is_empty());
}

#[test]
fn keys_of_days_before_one_are_destroyed_and_the_others_stay() {
    let data = tempfile::tempdir().unwrap();
    let references = with(data.path(), "triage", &[100, 101, 102]);
    assert!(references.has_since(&app("triage"), Day(102)).unwrap());
    assert!(!references.has_since(&app("triage"), Day(103)).unwrap());
    assert_eq!(gone(&references, Some(Day(102))), Some((Day(100), Day(101))));
    assert_eq!(days(&references, "triage"), [102]);
    assert_eq!(gone(&references, Some(Day(102))), None, "nothing is destroyed twice");
    assert_eq!(references.apps().unwrap(), [app("triage")]);
    assert_eq!(gone(&references, None), Some((Day(102), Day(102))));
    assert_eq!((references.apps().unwrap(), days(&references, "triage")), (vec![], vec![]));
}

#[test]
fn what_is_destroyed_is_written_over_and_nothing_of_it_is_drawn_again() {
    let data = tempfile::tempdir().unwrap();
    let references = with(data.path(), "triage", &[]);
    let key = references.key(&app("triage"), Day(100)).unwrap();
    // Another name for the same bytes, as a backup that links them has.
    let (path, linked) = (references.folder(&app("triage")).join("1970-04-11.key"), data.path().join("linked"));
    std::fs::hard_link(&path, &linked).unwrap();
    gone(&references, None).unwrap();
    assert!(std::fs::read(&linked).unwrap().iter().all(|byte| *byte == b'0'));
    assert_ne!(references.key(&app("triage"), Day(100)).unwrap(), key);
    // Nor of one that somebody removed by hand.
    let key = references.key(&app("triage"), Day(100)).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(gone(&references, None), None);
    assert_ne!(references.key(&app("triage"), Day(100)).unwrap(), key);
}

#[test]
fn a_key_whose_writing_was_cut_off_is_drawn_anew_and_no_app_has_a_strange_folder() {
    let data = tempfile::tempdir().unwrap();
    let references = with(data.path(), "triage", &[100]);
    let path = references.folder(&app("triage")).join("1970-04-11.key");
    std::fs::write(&path, "0011").unwrap();
    assert!(reference_keys(path.parent().unwrap()).unwrap().is_empty());
    let key = references.key(&app("triage"), Day(100)).unwrap();
    assert_eq!(reference_keys(path.parent().unwrap()).unwrap(), [(Day(100), key)].into());
    for name in [".", "..", "a.keys"] {
        let folder = references.folder(&app(name));
        assert_eq!(folder.parent(), Some(&*data.path().join(FOLDER)));
        assert_ne!(folder.file_name(), None);
    }
}

#[test]
fn a_disk_that_takes_no_key_leaves_nothing_behind() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join(FOLDER), "a file where the folder should be").unwrap();
    let references = References::of(data.path());
    assert!(references.key(&app("triage"), Day(100)).is_err());
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);
}

#[test]
fn what_is_gone_is_told_also_if_the_rest_stays() {
    let data = tempfile::tempdir().unwrap();
    let references = with(data.path(), "triage", &[100, 102]);
    // A folder of that name cannot be removed as a file.
    std::fs::create_dir(references.folder(&app("triage")).join("1970-04-12.key")).unwrap();
    let (gone, ended) = references.destroy(&app("triage"), None);
    assert_eq!((gone, ended.is_err()), (Some((Day(100), Day(100))), true));
    assert_eq!(days(&references, "triage"), [101, 102]);
}
