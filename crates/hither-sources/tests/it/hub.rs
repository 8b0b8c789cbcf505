//! Files of the hub: a server that speaks like it, and another one that keeps the bytes.

use hither_sources::{FetchError, Fetcher, Secret, Settings, SettingsError};

use crate::rig::{Rig, bytes, sha256};
use crate::server::{Asked, How, Reply, Server};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn settings(hub: &Server, token: Option<&str>) -> Settings {
    Settings { hub: hub.url(""), hub_token: token.map(Secret::new), ..Settings::default() }
}

/// What the hub answers for a file that it keeps elsewhere.
fn linked(content: &[u8], elsewhere: &str) -> Reply {
    Reply::to(302, elsewhere)
        .with("x-repo-commit", COMMIT)
        .with("x-linked-size", &content.len().to_string())
        .with("x-linked-etag", &format!("\"{}\"", sha256(content)))
}

/// A hub and its storage for one file; the first download breaks.
async fn pair(content: Vec<u8>, served: Vec<u8>) -> (Server, Server) {
    let mut count = 0;
    let storage = Server::start(move |asked| {
        count += 1;
        let reply = Reply::file(asked, &served, "\"storage\"");
        if count == 1 { reply.how(How::Breaks(4000)) } else { reply }
    })
    .await;
    let elsewhere = storage.url("/blob?signature=hush");
    let hub = Server::start(move |_| linked(&content, &elsewhere)).await;
    (hub, storage)
}

fn paths(asked: &[Asked]) -> Vec<String> {
    asked.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
}

#[tokio::test]
async fn a_file_comes_from_where_the_hub_keeps_it_and_the_token_does_not_go_there() {
    let content = bytes(10_000, 1);
    let (hub, storage) = pair(content.clone(), content.clone()).await;
    let mut rig = Rig::with(settings(&hub, Some("hf_hush")));
    let fetched = rig.fetch("hf:org/repo/gguf/chat.gguf@refs/pr/3", None).await.unwrap();
    assert_eq!(std::fs::read(&fetched.model.path).unwrap(), content);
    assert_eq!(fetched.revision.as_deref(), Some(COMMIT));
    let asked = hub.asked();
    let by_commit = format!("GET /org/repo/resolve/{COMMIT}/gguf/chat.gguf");
    assert_eq!(paths(&asked), ["HEAD /org/repo/resolve/refs%2Fpr%2F3/gguf/chat.gguf", &by_commit, &by_commit]);
    assert!(asked.iter().all(|asked| asked.header("authorization") == Some("Bearer hf_hush")));
    assert_eq!(storage.asked().len(), 2);
    assert_eq!(storage.asked()[1].from(), Some(4000));
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_none()), "{:?}", storage.asked());
}

#[tokio::test]
async fn bytes_that_are_not_the_hubs_are_not_kept() {
    let (hub, storage) = pair(bytes(10_000, 1), bytes(10_000, 2)).await;
    let mut rig = Rig::with(settings(&hub, None));
    let error = rig.fetch("hf:org/repo/chat.gguf", None).await.unwrap_err();
    assert!(matches!(error, FetchError::Checksum { .. }), "{error}");
    assert!(rig.names().is_empty());
    // Two pieces, and the whole of it once more, for a piece could have been to blame.
    assert_eq!(storage.asked().len(), 3);
}

#[tokio::test]
async fn a_size_that_is_not_the_hubs_is_refused() {
    let (hub, _storage) = pair(bytes(10_000, 1), bytes(9_000, 1)).await;
    let mut rig = Rig::with(settings(&hub, None));
    let error = rig.fetch("hf:org/repo/chat.gguf", None).await.unwrap_err();
    assert!(matches!(error, FetchError::Size { .. }), "{error}");
}

#[tokio::test]
async fn a_checksum_that_the_hub_contradicts_costs_no_download() {
    let content = bytes(10_000, 1);
    let (hub, storage) = pair(content.clone(), content).await;
    let mut rig = Rig::with(settings(&hub, None));
    let error = rig.fetch("hf:org/repo/chat.gguf", Some(sha256(b"another"))).await.unwrap_err();
    assert!(matches!(error, FetchError::Other { .. }) && error.to_string().contains("nothing was fetched"), "{error}");
    assert_eq!((hub.asked().len(), storage.asked().len()), (1, 0));
}

#[tokio::test]
async fn a_small_file_that_git_keeps_comes_from_the_hub_itself() {
    let server = Server::start(|asked| {
        Reply::file(asked, b"small", "\"b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0\"").with("x-repo-commit", COMMIT)
    })
    .await;
    let mut rig = Rig::with(settings(&server, None));
    let fetched = rig.fetch("hf:org/repo/tiny.onnx", Some(sha256(b"small"))).await.unwrap();
    assert_eq!(fetched.model.sha256, Some(sha256(b"small")));
    assert_eq!(server.asked()[0].path, "/org/repo/resolve/main/tiny.onnx");
    assert!(server.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

#[tokio::test]
async fn a_repository_that_moved_is_followed_on_the_hub() {
    let server = Server::start(|asked| {
        if asked.path.starts_with("/old/") {
            return Reply::to(307, &asked.path.replace("/old/", "/new/"));
        }
        Reply::file(asked, b"small", "\"e\"").with("x-repo-commit", COMMIT)
    })
    .await;
    let mut rig = Rig::with(settings(&server, Some("hf_hush")));
    let fetched = rig.fetch("hf:old/repo/tiny.onnx", None).await.unwrap();
    assert_eq!(fetched.revision.as_deref(), Some(COMMIT));
    assert!(server.asked().iter().all(|asked| asked.header("authorization") == Some("Bearer hf_hush")));
}

#[tokio::test]
async fn all_parts_of_a_split_model_are_of_one_commit() {
    let server = Server::start(|asked| {
        let name = asked.path.rsplit('/').next().unwrap().to_owned();
        Reply::file(asked, name.as_bytes(), &format!("\"{}\"", sha256(name.as_bytes()))).with("x-repo-commit", COMMIT)
    })
    .await;
    let mut rig = Rig::with(settings(&server, None));
    let fetched = rig.fetch("hf:org/repo/q4/big-00001-of-00002.gguf", None).await.unwrap();
    assert_eq!(fetched.others.len(), 1);
    assert_eq!(rig.names(), ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"]);
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked[1..].iter().all(|asked| asked.path.contains(COMMIT)), "{asked:?}");
}

#[tokio::test]
async fn a_refusal_of_the_hub_says_what_to_do() {
    for (status, code, token, says) in [
        (401, "GatedRepo", None, "make a token at"),
        (403, "GatedRepo", Some("hf_hush"), "with the account that the token (HF_TOKEN) is of"),
        (401, "RepoNotFound", None, "there is no such repository, or it wants to know who asks"),
        (401, "", Some("hf_hush"), "whether the token may read it"),
        (404, "EntryNotFound", None, "/org/repo/tree/v2"),
        (404, "RevisionNotFound", None, "no branch, tag or commit v2"),
        (404, "", None, "there is no such repository or file"),
    ] {
        let server = Server::start(move |_| Reply::new(status, "").with("x-error-code", code)).await;
        let mut rig = Rig::with(settings(&server, token));
        let error = rig.fetch("hf:org/repo/chat.gguf@v2", None).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", rig.fetcher);
        assert!(text.contains(says) && text.contains(&status.to_string()), "{text}");
        assert!(!text.contains("hush"), "{text}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn the_hub_is_https_or_here_and_its_token_stays_unseen() {
    let with = |hub: &str, token: &str| {
        let variables = |name: &str| match name {
            "HF_ENDPOINT" => Some(hub.to_owned()),
            "HF_TOKEN" => Some(format!(" {token}\n")),
            _ => None,
        };
        Settings::default().with_environment(variables)
    };
    for hub in [
        "http://mirror.example",
        "ftp://mirror.example",
        "mirror",
        "https://user:hush@mirror.example",
        "https://m.example/?a",
    ] {
        let error = Fetcher::new(with(hub, "t")).unwrap_err();
        assert_eq!(error, SettingsError::Hub, "{hub}");
        assert!(!error.to_string().contains("hush"));
    }
    assert_eq!(Fetcher::new(with("https://mirror.example/hub/", "a\nb")).unwrap_err(), SettingsError::Token);
    let fetcher = Fetcher::new(with("https://mirror.example/hub/", "hf_hush")).unwrap();
    assert!(!format!("{fetcher:?} {:?}", with("", "hf_hush")).contains("hush"));
    assert_eq!(Settings::default().with_environment(|_| Some(String::new())).hub, "https://huggingface.co");
}
