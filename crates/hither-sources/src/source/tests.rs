//! What people type, and what is made of it.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Source, String> {
    text.parse::<Source>().map_err(|error| error.to_string())
}

/// What a source is shown as, after a word for its kind.
fn shown(text: &str) -> String {
    match read(text) {
        Ok(source @ Source::Local(_)) => format!("local {source}"),
        Ok(source @ Source::Web(_)) => format!("web {source}"),
        Ok(source @ Source::Hub(_)) => format!("hub {source}"),
        Ok(source @ Source::Registry(_)) => format!("registry {source}"),
        Err(error) => format!("error {error}"),
    }
}

#[test]
fn each_form_is_read_as_what_it_is() {
    let digest = "a".repeat(64);
    for (text, expected) in [
        ("chat.gguf", "local chat.gguf"),
        ("/srv/models/", "local /srv/models/"),
        ("./hf:a", "local ./hf:a"),
        ("C:/models", "local C:/models"),
        ("file:///srv/big%20chat.gguf", "local /srv/big chat.gguf"),
        ("https://models.example/a/chat.gguf", "web https://models.example/a/chat.gguf"),
        ("HTTPS://Models.Example:443/chat.gguf?sig=hush", "web https://models.example/chat.gguf?…"),
        ("http://127.0.0.1:8000/chat.gguf", "web http://127.0.0.1:8000/chat.gguf"),
        ("http://[::1]/chat.gguf", "web http://[::1]/chat.gguf"),
        ("http://localhost/chat.gguf", "web http://localhost/chat.gguf"),
        ("hf:org/repo/a/chat.gguf@refs/pr/1", "hub hf:org/repo/a/chat.gguf@refs/pr/1"),
        ("hf://org/repo/chat.gguf", "hub hf:org/repo/chat.gguf"),
        ("hf:org/repo/a@b.gguf@main", "hub hf:org/repo/a@b.gguf@main"),
        ("oci://ghcr.io/org/chat", "registry oci://ghcr.io/org/chat:latest"),
        ("oci://localhost/chat:v1#a/b.gguf", "registry oci://localhost/chat:v1#a/b.gguf"),
        ("oci://Registry.example:5000/o/r/c:v1", "registry oci://registry.example:5000/o/r/c:v1"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
    let pinned = format!("oci://ghcr.io/org/chat:v1@sha256:{digest}");
    assert_eq!(shown(&pinned), format!("registry oci://ghcr.io/org/chat@sha256:{digest}"));
}

#[test]
fn each_mistake_is_answered_with_what_to_type() {
    for (text, says) in [
        ("", "no source was given; type a path"),
        (" \t", "no source was given"),
        ("a\nb", "character that is not seen"),
        ("s3://bucket/chat.gguf", "sources that begin with s3: are not known; type a path"),
        ("ollama:llama3", "begin with ollama:"),
        ("http://models.example/chat.gguf", "type https://models.example/chat.gguf"),
        ("http://10.0.0.1:8000/chat.gguf", "type https://10.0.0.1:8000/chat.gguf"),
        ("http://127.0.0.1.example/chat.gguf", "plain http is for this machine alone"),
        ("https://user:hush@models.example/chat.gguf", "leave out what stands before the @"),
        ("https://models.example/", "the address names no file"),
        ("https://models.example/a/%2e%2e%2fb", "the address names no file"),
        ("https://models.example/chat.gguf#sha256", "leave out the #"),
        ("https://models.example/.chat.gguf", "it begins with a dot"),
        ("https://models.example/chat.gguf.part", "such names are for files in work"),
        ("https:///", "this is not an address such as"),
        ("https://huggingface.co/org/repo/blob/main/a/chat.gguf", "type hf:org/repo/a/chat.gguf@main"),
        ("hf:org", "is not the name of an organisation or a repository; type hf:ORG/REPO/FILE"),
        ("hf:org/repo", "the file is missing (https://huggingface.co/org/repo/tree/main lists"),
        ("hf:org/repo/", "the file is missing"),
        ("hf:org/repo@main/chat.gguf", "the revision stands behind the file"),
        ("hf:org/repo/chat.gguf@", "is not a branch, a tag or a commit"),
        ("hf:org/repo/chat.gguf@a b", "is not a branch, a tag or a commit"),
        ("hf:../repo/chat.gguf", "is not the name of an organisation"),
        ("hf:org/repo/../chat.gguf", "it begins with a dot"),
        ("oci:ghcr.io/a", "two slashes are missing"),
        ("oci://ghcr.io", "the repository is missing"),
        ("oci://org/chat", "which has a dot in it"),
        ("oci://ghcr.io/org//chat", "is not the name of a repository"),
        ("oci://ghcr.io/org/chat:a b", "is not a tag"),
        ("oci://ghcr.io/org/chat@md5:1", "behind the @ stands a digest"),
        ("oci://ghcr.io/org/chat@sha256:12", "a SHA-256 has 64 hexadecimal digits"),
        ("oci://user:hush@ghcr.io/org/chat", "leave out what stands before the @"),
        ("oci://ghcr.io?x/org", "is not the address of a registry"),
        ("oci://ghcr.io/org/chat#../x", "it begins with a dot"),
        ("file://elsewhere.example/chat.gguf", "three slashes"),
        ("file:chat.gguf", "three slashes"),
    ] {
        let error = shown(text);
        assert!(error.starts_with("error ") && error.contains(says), "{text:?}: {error}");
        assert!(!error.contains("hush"), "{error}");
    }
    assert!(shown(&"a".repeat(5000)).contains("at most 4096 bytes"));
}

#[test]
fn a_model_is_named_after_its_file_or_its_repository() {
    for (text, name) in [
        ("/srv/Chat Q4.GGUF.gguf", Some("chat-q4.gguf")),
        ("hf:org/repo/q4/Big-00001-of-00002.gguf", Some("big")),
        ("https://models.example/fraud.onnx?x=1", Some("fraud")),
        ("oci://ghcr.io/org/chat:v1", Some("chat")),
        ("oci://ghcr.io/org/chat:v1#m.gguf", Some("m")),
        ("/", None),
        ("/srv/日本.gguf", None),
    ] {
        let named = read(text).unwrap().model_name();
        assert_eq!(named.as_ref().map(ModelName::as_str), name, "{text}");
    }
}

#[test]
fn a_path_is_made_whole_from_where_it_was_typed() {
    let absolute = |text: &str| read(text).unwrap().absolute(Path::new("/home/me")).to_string();
    assert_eq!(absolute("chat.gguf"), "/home/me/chat.gguf");
    assert_eq!(absolute("/srv/chat.gguf"), "/srv/chat.gguf");
    assert_eq!(absolute("hf:o/r/f"), "hf:o/r/f");
}

#[test]
fn a_key_tells_sources_apart_that_look_the_same() {
    let key = |text: &str| read(text).unwrap().key();
    assert_eq!(key("https://m.example/a.gguf?v=1"), key("HTTPS://m.example/a.gguf?v=1"));
    assert_ne!(key("https://m.example/a.gguf?v=1"), key("https://m.example/a.gguf?v=2"));
    assert_eq!(key("hf:o/r/f").len(), 32);
}

/// Where a file of a source would be written to. `None`: its name is not known before it is asked for.
fn target(source: &Source) -> Option<PathBuf> {
    let name = match source {
        Source::Local(_) => return None,
        Source::Web(file) => file.name().clone(),
        Source::Hub(file) => FileName::last_of(file.path()).unwrap(),
        Source::Registry(artefact) => FileName::last_of(artefact.file()?).unwrap(),
    };
    Some(name.in_dir(Path::new("/into")))
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let Ok(source) = text.parse::<Source>() else { return Ok(()) };
    if let Some(path) = target(&source) {
        prop_assert_eq!(path.parent(), Some(Path::new("/into")), "{}", text);
    }
    for part in match &source {
        Source::Web(file) => file.parts(),
        Source::Local(_) | Source::Hub(_) | Source::Registry(_) => Vec::new(),
    } {
        prop_assert!(is_allowed(part.url()), "{}", text);
    }
    if let Source::Registry(artefact) = &source {
        prop_assert!(is_allowed(&artefact.base()));
    }
    let again = source.to_string().parse::<Source>();
    let hides = matches!(&source, Source::Web(file) if file.url().query().is_some());
    prop_assert!(hides || again.as_ref() == Ok(&source), "{} was shown as {} and read as {:?}", text, source, again);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_typed_is_read_or_refused_and_shown_as_it_was_meant(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn so_is_what_looks_like_a_source(
        scheme in prop::sample::select(vec!["", "hf:", "hf://", "oci://", "https://", "http://", "file://", "file:", "x:"]),
        rest in "[a-z0-9.:/@#?%_\\\\ \u{202e}~+-]{0,40}",
    ) {
        check(&format!("{scheme}{rest}"))?;
    }

    #[test]
    fn so_is_a_hub_file(rest in "[a-z]{1,3}/[a-z.]{1,4}/[a-z0-9@./ -]{1,20}(@[a-z0-9./]{0,8})?") {
        check(&format!("hf:{rest}"))?;
    }

    #[test]
    fn so_is_an_artefact(rest in "[a-z]{1,3}\\.[a-z]{1,3}(:[0-9]{1,5})?/[a-z./]{1,8}(:[a-z0-9.]{0,4})?(#[a-z./]{0,6})?") {
        check(&format!("oci://{rest}"))?;
    }
}
