//! Apps outlive a restart; keys are on no disk; what is damaged lets nobody in.

use std::os::unix::fs::PermissionsExt;

use hither_api::callers::Link;

use super::*;

fn node(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn open(dir: &Path) -> Result<Apps, InitError> {
    Apps::open(dir.join("apps.toml"), &node(1), Access::default(), references(dir))
}

/// Nobody listens to what they say.
fn references(dir: &Path) -> Arc<References> {
    Arc::new(References::of(dir, tokio::sync::mpsc::channel(1).0))
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
    let elsewhere = Apps::open(path, &node(2), Access::default(), references(dir.path())).unwrap();
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
