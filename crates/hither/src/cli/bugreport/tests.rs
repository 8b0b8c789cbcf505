//! A report of a node that has secrets.

use std::io::Read as _;

use super::*;

#[test]
fn a_report_holds_what_helps_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let key = "5e".repeat(32);
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("key", &format!("{key}\n"));
    write("hither.toml", "[api]\nlisten = \"127.0.0.1:9\"\n[telemetry]\nurl = \"http://a:hunter2@b\"\n");
    let log = dir.path().join("node.log");
    let begin = "an old line that is too much\n".repeat(LOG_MAX as usize / 28 + 100);
    std::fs::write(&log, format!("{begin}INFO caller hk_12345678_abc key {key}\nlast line\n")).unwrap();
    let checks = json!({"checks": [{"found": format!("the key is {key}")}]});
    let view = json!({"warnings": ["token hither1abcdefgh"], "me": {"site": "munich"}});
    let files = collect(dir.path(), &checks, Some(&view), Some(&log)).unwrap();
    let mut bytes = Vec::new();
    archive::pack(&files, 1_700_000_000, &mut bytes).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    for secret in [key.as_str(), "hunter2", "hk_12345678", "hither1abcdefgh"] {
        assert!(!text.contains(secret), "{secret} is in it");
    }
    let wanted =
        ["versions.txt", "doctor.json", "status.json", "hither.toml", "log.txt", "munich", "127.0.0.1:9", "last line"];
    for kept in wanted {
        assert!(text.contains(kept), "{kept} is missing");
    }
    assert!(text.len() < 2 * LOG_MAX as usize, "the log is cut");
}

#[test]
fn tar_reads_what_is_packed() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("r/a.txt".to_owned(), b"one".to_vec()), ("r/b.txt".to_owned(), vec![7; 1024])];
    let mut bytes = Vec::new();
    archive::pack(&files, 1_700_000_000, &mut bytes).unwrap();
    let path = dir.path().join("x.tar.gz");
    write_private(&path, &bytes).unwrap();
    let tar = std::process::Command::new("tar").arg("-xzf").arg(&path).arg("-C").arg(dir.path()).status().unwrap();
    assert!(tar.success());
    for (name, content) in files {
        assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), content);
    }
}
