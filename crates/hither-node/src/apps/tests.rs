//! Apps outlive a restart; keys are on no disk; what is damaged lets nobody in.

use std::os::unix::fs::PermissionsExt;

use hither_api::callers::Link;

use super::*;

fn node(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn open(dir: &Path) -> Result<Apps, InitError> {
    // Nobody listens to what they say.
    Apps::open(dir, &node(1), Access::default(), mpsc::channel(1).0)
}

fn name(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn add(apps: &Apps, called: &str, change: Change) -> Result<AppDone, CommandError> {
    apps.change(AppCommand::Add { name: name(called), change })
}

fn key(done: Result<AppDone, CommandError>) -> Key {
    done.unwrap().key.unwrap()
}

#[test]
fn what_was_added_is_there_after_a_restart_and_its_key_is_not_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let apps = open(dir.path()).unwrap();
    let change = Change { concurrent: Some(3), uid: Some(4711), ..Change::default() };
    let made = key(add(&apps, "chat", change));
    let rotated = key(apps.change(AppCommand::Rotate(name("chat"))));
    assert_ne!(made, rotated);
    key(add(&apps, "other", Change::default()));
    apps.change(AppCommand::Remove(name("other"))).unwrap();

    let path = dir.path().join("apps.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for secret in [&made, &rotated] {
        assert!(!text.contains(secret.reveal().rsplit('_').next().unwrap()), "{text}");
    }

    let entries: Vec<AppEntry> = apps.callers().apps().iter().map(|app| app.entry().clone()).collect();
    drop(apps);
    let again: Vec<AppEntry> =
        open(dir.path()).unwrap().callers().apps().iter().map(|app| app.entry().clone()).collect();
    assert_eq!((entries.len(), &entries), (1, &again));
    assert_eq!(again[0].key, open(dir.path()).unwrap().callers().mark(&rotated));
    let elsewhere = Apps::open(dir.path(), &node(2), Access::default(), mpsc::channel(1).0).unwrap();
    assert_ne!(again[0].key, elsewhere.callers().mark(&rotated), "the file is of this node alone");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let apps = open(dir.path()).unwrap();
    let with_uid = |uid| Change { uid: Some(uid), ..Change::default() };
    let with_certificate = |name: &str| Change { certificate: Some(name.to_owned()), ..Change::default() };
    let with_subject = |value: &str| Change { subject: Some(value.to_owned()), ..Change::default() };
    let linked = Change { certificate: Some("a.example".into()), subject: Some("a".into()), ..with_uid(1) };
    key(add(&apps, "chat", linked));
    key(add(&apps, "batch", with_uid(2)));
    let before = std::fs::read_to_string(dir.path().join("apps.toml")).unwrap();
    let limit = |called, change| apps.change(AppCommand::Limit { name: name(called), change });
    for (refused, code) in [
        (add(&apps, "chat", Change::default()), "E0160"),
        (add(&apps, "anonymous", Change::default()), "E0163"),
        (add(&apps, "canary", Change::default()), "E0163"),
        (add(&apps, "new", with_uid(1)), "E0164"),
        (limit("batch", with_uid(1)), "E0164"),
        (add(&apps, "new", with_certificate("a.example")), "E0167"),
        (limit("batch", with_certificate("a.example")), "E0167"),
        (limit("batch", with_subject("a")), "E0167"),
        (limit("nobody", Change::default()), "E0161"),
        (apps.change(AppCommand::Rotate(name("nobody"))), "E0161"),
        (apps.change(AppCommand::Remove(name("nobody"))), "E0161"),
    ] {
        let error = refused.unwrap_err();
        assert_eq!((error.code, error.help.is_empty()), (code, false), "{error:?}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("apps.toml")).unwrap(), before);
    assert_eq!(apps.callers().apps().len(), 2);
    limit("batch", with_uid(2)).unwrap();
    // A certificate and a token are different things, whatever they say.
    limit("batch", with_certificate("a")).unwrap();
}

#[test]
fn what_makes_an_app_known_can_be_taken_from_it_and_given_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let apps = open(dir.path()).unwrap();
    let all = || Change { uid: Some(7), certificate: Some("c".into()), subject: Some("s".into()), ..Change::default() };
    let links = |entry: &AppEntry| (entry.uid, entry.certificate.clone(), entry.subject.clone());
    key(add(&apps, "old", all()));
    assert!(add(&apps, "new", all()).is_err());
    let unlink = Change { unlink: vec![Link::Uid, Link::Certificate], ..Change::default() };
    let done = apps.change(AppCommand::Limit { name: name("old"), change: unlink }).unwrap();
    assert_eq!(links(&done.entry), (None, None, Some("s".into())));
    // Taken away and given anew by one command.
    let change = Change { unlink: Link::ALL.to_vec(), subject: Some("t".into()), ..Change::default() };
    let done = apps.change(AppCommand::Limit { name: name("old"), change }).unwrap();
    assert_eq!(links(&done.entry), (None, None, Some("t".into())));
    assert_eq!(links(&add(&apps, "new", all()).unwrap().entry), (Some(7), Some("c".into()), Some("s".into())));
    drop(apps);
    let again = open(dir.path()).unwrap();
    let again: Vec<_> = again.callers().apps().iter().map(|app| links(app.entry())).collect();
    assert_eq!(again, [(Some(7), Some("c".into()), Some("s".into())), (None, None, Some("t".into()))]);
}

#[test]
fn what_cannot_be_written_is_not_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let apps = open(dir.path()).unwrap();
    // A directory lies where the new file would be written.
    std::fs::create_dir(dir.path().join("apps.new")).unwrap();
    let error = add(&apps, "chat", Change::default()).unwrap_err();
    assert_eq!(error.code, "E0165");
    assert!(error.message.contains("the apps stay as they were"), "{error:?}");
    assert!(apps.callers().apps().is_empty());
    std::fs::remove_dir(dir.path().join("apps.new")).unwrap();
    add(&apps, "chat", Change::default()).unwrap();
}

#[test]
fn there_is_a_most_of_apps() {
    let dir = tempfile::tempdir().unwrap();
    let apps = open(dir.path()).unwrap();
    let mut full = Vec::new();
    for number in 0..APPS_MAX {
        let key = KeyMark { id: KeyId(number as u32), hash: [0; 32] };
        full.push(AppEntry::new(name(&format!("app-{number}")), key, Limits::default()));
    }
    *apps.entries.lock().unwrap() = full;
    assert_eq!(add(&apps, "one-more", Change::default()).unwrap_err().code, "E0162");
    apps.change(AppCommand::Remove(name("app-7"))).unwrap();
    add(&apps, "one-more", Change::default()).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_lets_no_node_start() {
    let dir = tempfile::tempdir().unwrap();
    let hash = "0".repeat(64);
    let app = |name: &str, id: &str, more: &str| {
        format!("[[app]]\nname = \"{name}\"\nkey_id = \"{id}\"\nkey_hash = \"{hash}\"\n{more}")
    };
    let one = app("a", "00000001", "uid = 1\n");
    for (text, wanted) in [
        ("nonsense".to_owned(), "expected `=`"),
        ("version = 2\n".to_owned(), "it has version 2, and this program reads 1"),
        (format!("version = 1\n{}", app("a", "1", "")), "app a: key_id is eight hexadecimal digits"),
        (format!("version = 1\n{}", app("a b", "00000001", "")), "expected an app name"),
        (format!("version = 1\n{}", app("a", "00000001", "surprise = 1\n")), "unknown field `surprise`"),
        (format!("version = 1\n{}", app("a", "00000001", "[app.limits]\nclass = \"x\"\n")), "app a: class is wrong"),
        (format!("version = 1\n{one}{}", app("a", "00000002", "")), "app a has a name, a key, a user"),
        (format!("version = 1\n{one}{}", app("b", "00000001", "")), "app b has a name, a key, a user"),
        (format!("version = 1\n{one}{}", app("b", "00000002", "uid = 1\n")), "app b has a name, a key, a user"),
        (
            format!(
                "version = 1\n{}{}",
                app("a", "00000001", "subject = \"s\"\n"),
                app("b", "00000002", "subject = \"s\"\n")
            ),
            "app b has a name, a key, a user, a certificate or a subject that is another's",
        ),
        (format!("version = 1\n{}", app("anonymous", "00000001", "")), "app anonymous has a name"),
    ] {
        std::fs::write(dir.path().join("apps.toml"), &text).unwrap();
        let error = open(dir.path()).err().unwrap_or_else(|| panic!("{text} was taken"));
        assert!(error.to_string().contains(wanted), "{text}: {error}");
    }
    std::fs::write(dir.path().join("apps.toml"), format!("version = 1\n{one}{}", app("b", "00000002", ""))).unwrap();
    assert_eq!(open(dir.path()).unwrap().callers().apps().len(), 2);
}

/// What the driver is told.
fn told(news: &mut mpsc::Receiver<Inbound>) -> Vec<String> {
    let text = |inbound| match inbound {
        Inbound::Note(Fact::ReferencesDestroyed { app, first, last, policy }) => {
            format!("{app} {} {} {}", first.0, last.0, policy.is_some())
        }
        Inbound::Warn(text) => format!("warn {text}"),
        Inbound::WarnOver(text) => format!("over {text}"),
        _ => "something else".to_owned(),
    };
    std::iter::from_fn(|| news.try_recv().ok()).map(text).collect()
}

fn referring(dir: &Path, called: &str) -> (Apps, mpsc::Receiver<Inbound>) {
    let (inbox, news) = mpsc::channel(8);
    let apps = Apps::open(dir, &node(1), Access::default(), inbox).unwrap();
    let change = Change { references: Some(Some(DataClass::Personal)), ..Change::default() };
    key(add(&apps, called, change));
    (apps, news)
}

#[test]
fn an_app_that_is_gone_has_no_key_and_one_of_its_name_gets_another() {
    let dir = tempfile::tempdir().unwrap();
    let (apps, mut news) = referring(dir.path(), "triage");
    let first = apps.reference_key(&name("triage")).unwrap();
    apps.change(AppCommand::Remove(name("triage"))).unwrap();
    assert_eq!(told(&mut news).len(), 1);
    // A request that came before, and was read after.
    assert_eq!(apps.reference_key(&name("triage")), None);
    assert!(apps.references.apps().unwrap().is_empty());
    key(add(&apps, "triage", Change { references: Some(Some(DataClass::Special)), ..Change::default() }));
    let second = apps.reference_key(&name("triage")).unwrap();
    assert_ne!(second, first);
    apps.change(AppCommand::Shred(name("triage"))).unwrap();
    assert_ne!(apps.reference_key(&name("triage")), Some(second));
    apps.change(AppCommand::Limit {
        name: name("triage"),
        change: Change { references: Some(None), ..Change::default() },
    })
    .unwrap();
    assert_eq!(apps.reference_key(&name("triage")), None);
    assert_eq!(apps.references.apps().unwrap(), [name("triage")], "what it has shown can be shown still");
}

#[test]
fn retention_destroys_keys_and_a_clock_that_is_ahead_at_the_start_none() {
    let dir = tempfile::tempdir().unwrap();
    let (apps, mut news) = referring(dir.path(), "triage");
    for (called, days) in [("triage", &[100, 101][..]), ("gone", &[100])] {
        days.iter().for_each(|day| _ = apps.references.key(&name(called), Day(*day)).unwrap());
    }
    apps.expire_references(Day(102), Digest([1; 32]), true);
    assert_eq!(told(&mut news), Vec::<String>::new());
    apps.expire_references(Day(101), Digest([1; 32]), true);
    assert_eq!(told(&mut news), ["triage 100 100 true"]);
    apps.expire_references(Day(102), Digest([1; 32]), false);
    let mut said = told(&mut news);
    said.sort();
    assert_eq!(said, ["gone 100 100 false", "triage 101 101 true"], "of an app that is gone none stay");
    apps.expire_references(Day(102), Digest([1; 32]), false);
    assert_eq!(told(&mut news), Vec::<String>::new());
}

#[test]
fn a_key_that_cannot_be_had_is_told_once_and_so_is_its_end() {
    let dir = tempfile::tempdir().unwrap();
    for ended in ["mended", "limit", "rm"] {
        let (apps, mut news) = referring(dir.path(), ended);
        let blocked = dir.path().join("references");
        let _ = std::fs::remove_dir_all(&blocked);
        std::fs::write(&blocked, "a file where the folder should be").unwrap();
        assert_eq!([apps.reference_key(&name(ended)), apps.reference_key(&name(ended))], [None, None]);
        let said = told(&mut news);
        assert!(
            said.len() == 1 && said[0].starts_with(&format!("warn requests of app {ended} get no ref")),
            "{said:?}"
        );
        assert!(said[0].contains(&format!("limit {ended} --references none")), "{said:?}");
        assert!(apps.change(AppCommand::Remove(name(ended))).is_err_and(|error| error.code == "E0168"));
        let none = Change { references: Some(None), ..Change::default() };
        match ended {
            "limit" => _ = apps.change(AppCommand::Limit { name: name(ended), change: none }).unwrap(),
            "rm" => {
                std::fs::remove_file(&blocked).unwrap();
                apps.change(AppCommand::Remove(name(ended))).unwrap();
            }
            _ => {
                std::fs::remove_file(&blocked).unwrap();
                assert!(apps.reference_key(&name(ended)).is_some());
            }
        }
        assert_eq!(told(&mut news), [said[0].replacen("warn", "over", 1)], "{ended}");
    }
}
