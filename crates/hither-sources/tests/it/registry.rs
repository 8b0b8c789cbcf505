//! Artefacts of registries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hither_sources::{FetchError, RegistryLogin, Secret, Settings};

use crate::rig::{Rig, bytes, sha256};
use crate::server::{Asked, How, Reply, Server};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layer as a manifest has it.
fn layer(media: &str, title: &str, content: &[u8]) -> String {
    let notes =
        if title.is_empty() { "{}".to_owned() } else { format!(r#"{{"org.opencontainers.image.title":"{title}"}}"#) };
    let (digest, size) = (sha256(content), content.len());
    format!(r#"{{"mediaType":"{media}","digest":"sha256:{digest}","size":{size},"annotations":{notes}}}"#)
}

fn manifest(layers: &[String]) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":[{}]}}"#, layers.join(","))
}

fn login(server: &Server) -> Settings {
    let password = Secret::new("hush");
    let login = RegistryLogin { host: server.address.clone(), user: "edge".to_owned(), password };
    Settings { registries: vec![login], ..Settings::default() }
}

/// Whether a request has a token that is good at the moment.
fn is_let_in(asked: &Asked, good: &AtomicU32) -> bool {
    asked.header("authorization") == Some(&format!("Bearer token{}", good.load(Ordering::SeqCst)))
}

/// A registry that wants a token, gives one out for the right password, and keeps its blobs elsewhere. Each blob request
/// that begins anew makes the token old, and breaks off.
async fn registry(content: Vec<u8>, blobs: Option<String>) -> Server {
    let good = Arc::new(AtomicU32::new(1));
    let manifest = manifest(&[layer("application/vnd.ollama.image.model", "", &content)]);
    Server::start(move |asked| {
        let host = asked.header("host").unwrap().to_owned();
        if asked.path.starts_with("/token") {
            assert_eq!(asked.path, "/token?account=x&service=the+registry&scope=repository%3Aorg%2Fchat%3Apull");
            // edge:hush
            let is_known = asked.header("authorization") == Some("Basic ZWRnZTpodXNo");
            let token = format!(r#"{{"access_token":"token{}"}}"#, good.load(Ordering::SeqCst));
            return if is_known { Reply::new(200, token) } else { Reply::new(401, "") };
        }
        if !is_let_in(asked, &good) {
            let challenge = format!(
                r#"Bearer realm="http://{host}/token?account=x",service="the registry",scope="repository:org/chat:pull""#
            );
            return Reply::new(401, "").with("www-authenticate", &challenge);
        }
        if asked.path.contains("/manifests/") {
            return Reply::new(200, manifest.clone()).with("docker-content-digest", &format!("sha256:{}", sha256(manifest.as_bytes())));
        }
        match &blobs {
            Some(blobs) => Reply::to(307, blobs),
            None if asked.from().is_none() && asked.method == "GET" => {
                good.fetch_add(1, Ordering::SeqCst);
                Reply::file(asked, &content, "").how(How::Breaks(6000))
            }
            None => Reply::file(asked, &content, ""),
        }
    })
    .await
}

#[tokio::test]
async fn a_registry_gets_its_token_and_the_place_of_its_blobs_gets_none() {
    let content = bytes(10_000, 1);
    let served = content.clone();
    let storage = Server::start(move |asked| Reply::file(asked, &served, "")).await;
    let server = registry(content.clone(), Some(storage.url("/blob?sig=1"))).await;
    let mut rig = Rig::with(login(&server));
    let fetched = rig.fetch(&format!("oci://{}/org/chat:v1", server.address), None).await.unwrap();
    assert_eq!(std::fs::read(&fetched.model.path).unwrap(), content);
    assert_eq!(fetched.model.path, rig.dir.path().join("model.gguf"));
    assert!(fetched.revision.unwrap().starts_with("sha256:"));
    let asked: Vec<String> = server.asked().iter().map(|asked| asked.path.clone()).collect();
    assert_eq!(asked[0], "/v2/org/chat/manifests/v1");
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(server.asked()[0].header("accept").unwrap().contains(MANIFEST));
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_none()), "{:?}", storage.asked());
}

#[tokio::test]
async fn a_token_that_grows_old_meanwhile_is_renewed_and_the_file_gone_on_with() {
    let content = bytes(10_000, 2);
    let server = registry(content.clone(), None).await;
    let mut rig = Rig::with(login(&server));
    let fetched = rig.fetch(&format!("oci://{}/org/chat:v1", server.address), None).await.unwrap();
    assert_eq!(std::fs::read(&fetched.model.path).unwrap(), content);
    let asked = server.asked();
    let blobs: Vec<Option<usize>> =
        asked.iter().filter(|asked| asked.path.contains("/blobs/")).map(|asked| asked.from()).collect();
    assert_eq!(*blobs.last().unwrap(), Some(6000), "{blobs:?}");
}

#[tokio::test]
async fn without_a_password_or_with_a_wrong_one_the_error_says_what_to_give() {
    let server = registry(bytes(10, 3), None).await;
    let source = format!("oci://{}/org/chat:v1", server.address);
    let error = Rig::new().fetch(&source, None).await.unwrap_err();
    assert!(error.to_string().contains("give the node a user and a password for 127.0.0.1"), "{error}");
    let mut settings = login(&server);
    settings.registries[0].password = Secret::new("hush wrong");
    let mut rig = Rig::with(settings);
    let error = rig.fetch(&source, None).await.unwrap_err();
    let text = format!("{error} {error:?} {:?}", rig.fetcher);
    assert!(text.contains("the user \"edge\" may not read org/chat") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn tokens_are_not_fetched_from_where_others_could_read_the_password() {
    for realm in ["http://192.0.2.1/token", "ftp://127.0.0.1/token", "nowhere"] {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let server = Server::start(move |_| Reply::new(401, "").with("www-authenticate", &challenge)).await;
        let mut rig = Rig::with(login(&server));
        let error = rig.fetch(&format!("oci://{}/org/chat", server.address), None).await.unwrap_err();
        assert!(matches!(error, FetchError::Downgrade { .. } | FetchError::Answer { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_wants_a_password_itself_gets_it() {
    let manifest = manifest(&[layer("application/octet-stream", "chat.gguf", b"GGUF")]);
    let server = Server::start(move |asked| match (asked.header("authorization"), asked.path.contains("/blobs/")) {
        (Some("Basic ZWRnZTpodXNo"), true) => Reply::file(asked, b"GGUF", ""),
        (Some("Basic ZWRnZTpodXNo"), false) => Reply::new(200, manifest.clone()),
        _ => Reply::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
    })
    .await;
    let mut rig = Rig::with(login(&server));
    rig.fetch(&format!("oci://{}/org/chat", server.address), None).await.unwrap();
    assert_eq!(rig.names(), ["chat.gguf"]);
    assert_eq!(server.asked()[0].path, "/v2/org/chat/manifests/latest");
}

/// A registry that lets everybody in, with documents by reference and blobs by what they are of.
async fn open(documents: Vec<(String, String)>, blobs: Vec<Vec<u8>>) -> Server {
    Server::start(move |asked| {
        let last = asked.path.rsplit('/').next().unwrap();
        if asked.path.contains("/manifests/") {
            let found = documents.iter().find(|(reference, _)| reference == last);
            return found.map_or(Reply::new(404, ""), |(_, text)| Reply::new(200, text.clone()));
        }
        let found = blobs.iter().find(|blob| format!("sha256:{}", sha256(blob)) == last);
        found.map_or(Reply::new(404, ""), |blob| Reply::file(asked, blob, ""))
    })
    .await
}

fn digest_of(text: &str) -> String {
    format!("sha256:{}", sha256(text.as_bytes()))
}

#[tokio::test]
async fn one_of_several_files_is_chosen_behind_a_hash() {
    let (small, large) = (bytes(100, 1), bytes(200, 2));
    let text = manifest(&[
        layer("application/vnd.oci.image.layer.v1.tar", "chat-q4.gguf", &small),
        layer("application/vnd.oci.image.layer.v1.tar", "chat-q8.gguf", &large),
        layer("text/markdown", "README.md", b"read me"),
    ]);
    let server = open(vec![("v1".to_owned(), text)], vec![small, large.clone()]).await;
    let mut rig = Rig::new();
    let source = format!("oci://{}/org/chat:v1", server.address);
    let error = rig.fetch(&source, None).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("\"chat-q4.gguf\", \"chat-q8.gguf\" (put #FILE behind the source)"), "{said}");
    let fetched = rig.fetch(&format!("{source}#chat-q8.gguf"), Some(sha256(&large))).await.unwrap();
    assert_eq!(std::fs::read(fetched.model.path).unwrap(), large);
    let error = rig.fetch(&format!("{source}#chat-q8.gguf"), Some(sha256(b"another"))).await.unwrap_err();
    assert!(matches!(error, FetchError::Other { .. }), "{error}");
    let error = rig.fetch(&format!("{source}#absent.gguf"), None).await.unwrap_err();
    assert!(error.to_string().contains("README.md"), "{error}");
}

#[tokio::test]
async fn what_a_model_names_comes_from_its_folder_of_the_same_manifest() {
    let kind = "application/vnd.cncf.model.weight.v1.raw";
    let text = manifest(&[
        layer(kind, "m/w.bin", b"weights"),
        layer(kind, "m/model.onnx", b"graph"),
        layer(kind, "v.bin", b"other"),
    ]);
    let blobs = vec![b"weights".to_vec(), b"graph".to_vec(), b"other".to_vec()];
    let moved = manifest(&[layer(kind, "m/w.bin", b"another")]);
    let digest = digest_of(&text);
    let mut documents = vec![("v1".to_owned(), text.clone()), (digest, text)];
    let server = open(documents.clone(), blobs.clone()).await;
    let mut rig = Rig::new();
    let source = format!("oci://{}/org/fraud:v1", server.address);
    let fetched = rig.fetch(&source, None).await.unwrap();
    assert_eq!(rig.names(), ["model.onnx"]);
    let files = rig.beside(&source, &fetched, &["w.bin"]).await.unwrap();
    assert_eq!(std::fs::read(&files[0].path).unwrap(), b"weights");
    let error = rig.beside(&source, &fetched, &["v.bin"]).await.unwrap_err();
    assert!(error.to_string().contains("no such file beside it in the artefact"), "{error}");
    // Somebody moves the tag meanwhile.
    documents[0].1 = moved;
    let server = open(documents, blobs).await;
    let source = format!("oci://{}/org/fraud:v1", server.address);
    let files = rig.beside(&source, &fetched, &["w.bin"]).await.unwrap();
    assert_eq!(files[0].sha256, Some(sha256(b"weights")));
}

#[tokio::test]
async fn a_manifest_that_is_not_what_its_digest_says_is_refused() {
    let text = manifest(&[layer("x/y", "chat.gguf", b"GGUF")]);
    let right = digest_of(&text);
    let server =
        open(vec![(right.clone(), text), (digest_of("another"), "{}".to_owned())], vec![b"GGUF".to_vec()]).await;
    let mut rig = Rig::new();
    let base = format!("oci://{}/org/chat", server.address);
    rig.fetch(&format!("{base}:v1@{right}"), None).await.unwrap();
    let error = rig.fetch(&format!("{base}@{}", digest_of("another")), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Manifest { .. }), "{error}");
    // By tag, the digest is the one that the registry says beside it.
    let lying = digest_of("another");
    let server = Server::start(move |_| Reply::new(200, "{}").with("docker-content-digest", &lying)).await;
    let error = rig.fetch(&format!("oci://{}/org/chat:v1", server.address), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Manifest { .. }), "{error}");
}

#[tokio::test]
async fn a_blob_that_is_not_what_its_digest_says_is_not_kept() {
    let text = manifest(&[layer("x/y", "chat.gguf", b"GGUF")]);
    let server = Server::start(move |asked| {
        if asked.path.contains("/manifests/") { Reply::new(200, text.clone()) } else { Reply::file(asked, b"FAKE", "") }
    })
    .await;
    let mut rig = Rig::new();
    let error = rig.fetch(&format!("oci://{}/org/chat", server.address), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Checksum { .. }), "{error}");
    assert!(rig.names().is_empty());
}

#[tokio::test]
async fn an_index_of_one_is_followed_and_of_several_is_shown() {
    let text = manifest(&[layer("x/y", "chat.gguf", b"GGUF")]);
    let entry = |text: &str, notes: &str| {
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{}","size":{}{notes}}}"#, digest_of(text), text.len())
    };
    let attestation = entry("about", r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#);
    let one = format!(r#"{{"schemaVersion":2,"manifests":[{},{attestation}]}}"#, entry(&text, ""));
    let two = format!(r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#, entry(&text, ""), entry("other", ""));
    let circle = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entry(&two, ""));
    let documents =
        [("one", &one), ("two", &two), ("circle", &circle)].map(|(tag, text)| (tag.to_owned(), text.clone()));
    let by_digest = [(digest_of(&text), text.clone()), (digest_of(&two), two.clone())];
    let server = open([&documents[..], &by_digest[..]].concat(), vec![b"GGUF".to_vec()]).await;
    let mut rig = Rig::new();
    let base = format!("oci://{}/org/chat", server.address);
    let fetched = rig.fetch(&format!("{base}:one"), None).await.unwrap();
    assert_eq!(fetched.revision, Some(digest_of(&text)));
    let error = rig.fetch(&format!("{base}:two"), None).await.unwrap_err();
    assert!(error.to_string().contains(&format!("type one of: {base}@{}", digest_of(&text))), "{error}");
    let error = rig.fetch(&format!("{base}:circle"), None).await.unwrap_err();
    assert!(error.to_string().contains("leads to another index"), "{error}");
    let error = rig.fetch(&format!("{base}:absent"), None).await.unwrap_err();
    assert!(error.to_string().contains("look at the name and the tag"), "{error}");
}

#[tokio::test]
async fn a_manifest_without_end_is_cut_off() {
    let server = Server::start(|_| Reply::new(200, vec![b' '; 8192]).how(How::Endless)).await;
    let error = Rig::new().fetch(&format!("oci://{}/org/chat", server.address), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Answer { .. }), "{error}");
}
