//! A key is its app's and its day's, outlives a start, and is gone when it is destroyed.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn of(data: &Path) -> (References, mpsc::Receiver<Inbound>) {
    let (inbox, news) = mpsc::channel(8);
    (References::of(data, inbox), news)
}

/// What the driver was told.
fn told(news: &mut mpsc::Receiver<Inbound>) -> Vec<String> {
    let text = |inbound| match inbound {
        Inbound::Note(Fact::ReferencesDestroyed { app, first, last, policy }) => {
            format!("{app} {first} {last} {}", policy.is_some())
        }
        Inbound::Warn(text) => format!("warn {text}"),
        Inbound::WarnOver(text) => format!("over {text}"),
        _ => "something else".to_owned(),
    };
    std::iter::from_fn(|| news.try_recv().ok()).map(text).collect()
}

/// Writes a file of keys, one for each day.
fn write(data: &Path, name: &str, days: &[u32]) -> PathBuf {
    let keys: Keys = days.iter().map(|day| (Day(*day), [*day as u8; 32])).collect();
    let path = file_of(&data.join(FOLDER), &app(name));
    std::fs::create_dir_all(data.join(FOLDER)).unwrap();
    std::fs::write(&path, text_of(&keys)).unwrap();
    path
}

#[test]
fn a_reference_is_found_by_the_same_body_and_app_after_a_start_too() {
    let data = tempfile::tempdir().unwrap();
    let (references, mut news) = of(data.path());
    let made = references.to(&app("triage"), b"a body").unwrap();
    assert_eq!(references.to(&app("triage"), b"a body"), Some(made));
    assert_ne!(references.to(&app("other"), b"a body"), Some(made), "each app has keys of its own");
    assert_ne!(references.to(&app("triage"), b"another"), Some(made));
    let (again, _) = of(data.path());
    // Midnight may pass between the two.
    let found = references_to(data.path(), &app("triage"), b"a body").unwrap();
    assert!(found.values().any(|found| *found == made), "{found:?}");
    assert!(found.len() == 2 || again.to(&app("triage"), b"a body") == Some(made));
    assert!(references_to(data.path(), &app("unknown"), b"a body").unwrap().is_empty());
    assert_eq!(told(&mut news), Vec::<String>::new());
    let mode = std::fs::metadata(file_of(&data.path().join(FOLDER), &app("triage"))).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn retention_destroys_the_keys_of_days_before_and_keeps_the_others() {
    let data = tempfile::tempdir().unwrap();
    let path = write(data.path(), "triage", &[100, 101, 102]);
    write(data.path(), "old", &[99]);
    let before: Vec<Digest> = references_to(data.path(), &app("triage"), b"x").unwrap().into_values().collect();
    let (references, mut news) = of(data.path());
    references.expire(Day(102), Digest([1; 32]), true);
    assert_eq!(told(&mut news), ["triage 1970-04-11 1970-04-12 true"], "a clock may be years ahead at the start");
    assert_eq!(references_to(data.path(), &app("triage"), b"x").unwrap(), [(Day(102), before[2])].into());
    references.expire(Day(102), Digest([1; 32]), false);
    assert_eq!(told(&mut news), ["old 1970-04-10 1970-04-10 true"]);
    assert!(references_to(data.path(), &app("old"), b"x").unwrap().is_empty());
    references.expire(Day(102), Digest([1; 32]), false);
    assert_eq!(told(&mut news), Vec::<String>::new(), "nothing is destroyed twice");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn what_an_operator_destroys_is_gone_and_what_comes_gets_another_key() {
    let data = tempfile::tempdir().unwrap();
    let (references, mut news) = of(data.path());
    references.destroy(&app("triage")).unwrap();
    assert_eq!(told(&mut news), Vec::<String>::new(), "there was nothing");
    let made = references.to(&app("triage"), b"a body").unwrap();
    // Another name for the same bytes, as a backup that links them would have.
    let path = file_of(&data.path().join(FOLDER), &app("triage"));
    let linked = data.path().join("linked");
    std::fs::hard_link(&path, &linked).unwrap();
    references.destroy(&app("triage")).unwrap();
    assert_eq!(told(&mut news).len(), 1);
    assert!(!path.exists());
    assert!(std::fs::read(&linked).unwrap().iter().all(|byte| *byte == 0), "what it held is written over");
    assert_ne!(references.to(&app("triage"), b"a body"), Some(made));
}

#[test]
fn a_file_that_cannot_be_read_is_told_once_left_alone_and_told_when_it_is_over() {
    let data = tempfile::tempdir().unwrap();
    for wrong in ["2026-11-30 00\n", "nonsense\n", "2026-13-01 00\n"] {
        let path = write(data.path(), "triage", &[]);
        std::fs::write(&path, wrong).unwrap();
        let (references, mut news) = of(data.path());
        assert_eq!(references.to(&app("triage"), b"x"), None);
        assert_eq!(references.to(&app("triage"), b"x"), None);
        let said = told(&mut news);
        assert!(said.len() == 1 && said[0].starts_with("warn requests of app triage get no reference"), "{said:?}");
        assert!(said[0].contains(path.to_str().unwrap()) && said[0].contains("--references none"), "{said:?}");
        assert!(references.destroy(&app("triage")).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
        std::fs::remove_file(&path).unwrap();
        assert!(references.to(&app("triage"), b"x").is_some());
        assert_eq!(told(&mut news), [said[0].replacen("warn", "over", 1)]);
    }
}

#[test]
fn a_disk_that_takes_no_key_gives_no_reference() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join(FOLDER), "a file where the folder should be").unwrap();
    let (references, mut news) = of(data.path());
    assert_eq!(references.to(&app("triage"), b"x"), None);
    assert_eq!(told(&mut news).len(), 1);
}
