//! Files that a model names, beside it: on this machine, on a web server, in a repository of the hub.

use hither_sources::{FetchError, Order, Progress, Settings, Source};
use hither_types::unit::ByteCount;
use tokio::sync::watch;

use crate::rig::{Rig, bytes, sha256};
use crate::server::{Reply, Server};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_asked_for() {
    let server = Server::start(|asked| Reply::file(asked, b"graph", "\"a\"")).await;
    let mut rig = Rig::new();
    let source = server.url("/m/model.onnx");
    let fetched = rig.fetch(&source, None).await.unwrap();
    for name in ["../secret", "/etc/passwd", "a/b", "..", ".hidden", "", "a\\b", "a\nb", "w.bin.part", "model.onnx"] {
        let error = rig.beside(&source, &fetched, &[name]).await.unwrap_err();
        assert!(matches!(error, FetchError::Name(_) | FetchError::Beside { .. }), "{name}: {error}");
    }
    let many: Vec<String> = (0..1025).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = rig.beside(&source, &fetched, &many).await.unwrap_err();
    assert!(matches!(error, FetchError::BesideTooMany(1025)), "{error}");
    assert_eq!((server.asked().len(), rig.names()), (1, vec!["model.onnx".to_owned()]));
}

#[tokio::test]
async fn a_file_of_this_machine_is_taken_and_a_link_is_not() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["m.onnx", "w.bin"] {
        std::fs::write(dir.path().join(name), name).unwrap();
    }
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("out")).unwrap();
    std::os::unix::fs::symlink("w.bin", dir.path().join("in")).unwrap();
    let mut rig = Rig::new();
    for of in ["", "m.onnx"] {
        let source = dir.path().join(of).display().to_string();
        let fetched = rig.fetch(&source, None).await.unwrap();
        let files = rig.beside(&source, &fetched, &["w.bin"]).await.unwrap();
        assert_eq!((files[0].path.clone(), files[0].size), (dir.path().join("w.bin"), ByteCount(5)));
        for (name, says) in [
            ("out", "that is a link"),
            ("in", "that is a link"),
            ("folder", "that is no file"),
            ("absent", "there is no such file beside it"),
        ] {
            let error = rig.beside(&source, &fetched, &[name]).await.unwrap_err().to_string();
            assert_eq!(error.split(", and ").nth(1).map(|why| why.starts_with(says)), Some(true), "{error}");
        }
    }
    assert!(rig.names().is_empty(), "nothing is copied");
}

#[tokio::test]
async fn a_web_server_is_asked_for_the_file_in_the_same_directory() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/m/model.onnx?key=1" => Reply::file(asked, b"graph", "\"a\""),
        "/m/w%20%231.bin?key=1" => Reply::file(asked, b"weights", "\"b\""),
        "/m/large?key=1" => Reply::file(asked, &bytes(1001, 1), "\"c\""),
        _ => Reply::new(404, ""),
    })
    .await;
    let mut rig = Rig::new();
    let source = server.url("/m/model.onnx?key=1");
    let fetched = rig.fetch(&source, None).await.unwrap();
    let files = rig.beside(&source, &fetched, &["w #1.bin"]).await.unwrap();
    assert_eq!(std::fs::read(&files[0].path).unwrap(), b"weights");
    assert_eq!(rig.names(), ["model.onnx", "w #1.bin"]);
    let error = rig.beside(&source, &fetched, &["absent"]).await.unwrap_err();
    assert!(error.to_string().contains("there is no such file as absent"), "{error}");
    let error = rig.beside(&source, &fetched, &["large"]).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: ByteCount(1000), .. }), "{error}");
}

#[tokio::test]
async fn the_hub_is_asked_for_the_file_of_the_same_commit_and_its_checksum_counts() {
    let served = |name: &str| if name == "bad" { b"other".to_vec() } else { name.as_bytes().to_vec() };
    let server = Server::start(move |asked| {
        let name = asked.path.rsplit('/').next().unwrap().to_owned();
        Reply::file(asked, &served(&name), &format!("\"{}\"", sha256(name.as_bytes()))).with("x-repo-commit", COMMIT)
    })
    .await;
    let mut rig = Rig::with(Settings { hub: server.url(""), ..Settings::default() });
    let source = "hf:org/repo/onnx/model.onnx@v1";
    let fetched = rig.fetch(source, None).await.unwrap();
    let files = rig.beside(source, &fetched, &["w.bin", "v.bin"]).await.unwrap();
    assert_eq!(files.iter().map(|file| file.sha256.unwrap()).collect::<Vec<_>>(), [sha256(b"w.bin"), sha256(b"v.bin")]);
    let asked = server.asked();
    assert!(
        asked[1..].iter().all(|asked| asked.path.starts_with(&format!("/org/repo/resolve/{COMMIT}/onnx/"))),
        "{asked:?}"
    );
    let error = rig.beside(source, &fetched, &["bad"]).await.unwrap_err();
    assert!(matches!(error, FetchError::Checksum { .. }), "{error}");
    assert_eq!(rig.names(), ["model.onnx", "v.bin", "w.bin"]);
}

#[tokio::test]
async fn one_checksum_is_not_one_of_several_files() {
    let server = Server::start(|asked| Reply::file(asked, b"graph", "\"a\"")).await;
    let mut rig = Rig::new();
    let (url, sha256) = (server.url("/model.onnx"), Some(sha256(b"graph")));
    let fetched = rig.fetch(&url, sha256).await.unwrap();
    let source: Source = url.parse().unwrap();
    let (sender, _) = watch::channel(Progress::default());
    let order = Order { source: &source, sha256, into: rig.dir.path() };
    let names = ["w.bin".to_owned()];
    let error = rig.fetcher.beside(order, &fetched, (&names, ByteCount(1000)), &sender).await.unwrap_err();
    assert!(matches!(error, FetchError::ChecksumOfSeveral(2)), "{error}");
    assert!(rig.fetcher.beside(order, &fetched, (&[], ByteCount(1000)), &sender).await.unwrap().is_empty());
}
