//! How often an issuer is asked, what is kept of its answers, and what is told when there are none. Time is virtual.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hither_api::tokens::{Rules, Tokens};

use super::*;

const ISSUER: &str = "https://login.example";
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn oidc(source: Source) -> Oidc {
    let rules = Rules { issuer: ISSUER.into(), audience: "hither".into(), claim: "sub".into() };
    Oidc { tokens: Arc::new(Tokens::new(rules)), source, reader: None }
}

fn by_url() -> Oidc {
    oidc(Source::Url("https://login.example/keys".into()))
}

/// What an issuer answers, and when it was asked what.
#[derive(Clone)]
struct Issuer {
    answer: Arc<Mutex<Result<String, EndpointError>>>,
    asked: Arc<Mutex<Vec<(u64, String)>>>,
    begun: Instant,
}

impl Issuer {
    fn new(answer: Result<&str, EndpointError>) -> Self {
        let answer = Arc::new(Mutex::new(answer.map(str::to_owned)));
        Self { answer, asked: Arc::default(), begun: Instant::now() }
    }

    fn answers(&self, answer: Result<&str, EndpointError>) {
        *self.answer.lock().unwrap() = answer.map(str::to_owned);
    }

    /// When it was asked, in seconds.
    fn times(&self) -> Vec<u64> {
        self.asked.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(_, url)| url.clone()).collect()
    }

    /// Renews for so long, while tokens want other keys all the time or never; gives what was told.
    async fn renew(&self, oidc: &Oidc, kept: &Path, within: Duration, wanting: Option<&str>) -> Vec<String> {
        let (inbox, mut heard) = mpsc::channel(64);
        let issuer = self.clone();
        let get = move |url: String| -> Got {
            issuer.asked.lock().unwrap().push((issuer.begun.elapsed().as_secs(), url));
            let answer = issuer.answer.lock().unwrap().clone();
            Box::pin(async move { answer.map(String::into_bytes) })
        };
        let wants = async {
            let mut each = tokio::time::interval(Duration::from_secs(1));
            loop {
                each.tick().await;
                if let Some(token) = wanting {
                    let _ = oidc.tokens.subject(token);
                }
            }
        };
        let renewing = async { tokio::join!(renew_keys(oidc.clone(), &get, kept.to_owned(), inbox), wants) };
        let _ = tokio::time::timeout(within, renewing).await;
        let mut told = Vec::new();
        while let Ok(said) = heard.try_recv() {
            told.push(match said {
                Inbound::Warn(text) => text,
                Inbound::WarnOver(text) => format!("over: {text}"),
                _ => unreachable!("nothing else is said"),
            });
        }
        told
    }
}

fn unreachable() -> EndpointError {
    EndpointError::Unreachable("connection refused".into())
}

/// The head of a token that names key b, which is not there: {"alg":"EdDSA","kid":"b"}.
const WANTS_B: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImIifQ.e30.AAAA";

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_now_and_then_and_at_most_once_a_minute_whatever_tokens_say() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("issuer.toml");
    let calm = Issuer::new(Ok(KEYS));
    assert!(calm.renew(&by_url(), &kept, Duration::from_secs(2000), None).await.is_empty());
    assert_eq!(calm.times(), [0, 900, 1800]);
    let haste = Issuer::new(Ok(KEYS));
    haste.renew(&by_url(), &kept, Duration::from_secs(200), Some(WANTS_B)).await;
    assert_eq!(haste.times(), [0, 60, 120, 180]);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_cannot_be_reached_is_told_once_and_asked_again_and_keys_of_before_serve() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("issuer.toml");
    let issuer = Issuer::new(Err(unreachable()));
    let first = by_url();
    let told = issuer.renew(&first, &kept, Duration::from_secs(150), None).await;
    let why = "https://login.example/keys: it cannot be reached: connection refused";
    assert_eq!(told, [format!("the keys of {ISSUER} cannot be had, its tokens are refused: {why}")]);
    assert_eq!(issuer.times(), [0, 60, 120]);
    assert!(!first.tokens.has_keys());

    issuer.answers(Ok(KEYS));
    assert!(issuer.renew(&first, &kept, Duration::from_secs(1), None).await.is_empty());
    assert!(first.tokens.has_keys());

    // The next start, without a way to it.
    issuer.answers(Err(unreachable()));
    let again = by_url();
    let told = issuer.renew(&again, &kept, Duration::from_secs(150), None).await;
    assert_eq!(told, [format!("the keys of {ISSUER} cannot be had, those of before are used: {why}")]);
    assert!(again.tokens.has_keys());

    // What was fetched for one issuer, or from one place, is nothing to another.
    for (issuer_of, at) in [("https://other.example", "https://login.example/keys"), (ISSUER, "https://b.example/keys")]
    {
        let rules = Rules { issuer: issuer_of.into(), ..again.tokens.rules().clone() };
        let other = Oidc { tokens: Arc::new(Tokens::new(rules)), source: Source::Url(at.into()), reader: None };
        issuer.renew(&other, &kept, Duration::from_secs(1), None).await;
        assert!(!other.tokens.has_keys(), "{issuer_of} {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_warning_ends_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("issuer.toml");
    let issuer = Issuer::new(Ok("<html>"));
    let later = issuer.clone();
    let oidc = by_url();
    let change = async {
        let moment = Instant::now() + Duration::from_secs(90);
        tokio::time::interval_at(moment, Duration::from_secs(1)).tick().await;
        later.answers(Ok(KEYS));
    };
    let (told, ()) = tokio::join!(issuer.renew(&oidc, &kept, Duration::from_secs(150), None), change);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("its tokens are refused") && told[1] == format!("over: {}", told[0]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn where_keys_are_is_taken_from_the_issuer_itself_and_never_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("issuer.toml");
    let url = "https://login.example/.well-known/openid-configuration";
    for (issuer, keys, told) in [
        // The description comes back from there, too, and is no set of keys.
        (ISSUER, "https://keys.example/a", "it is no JSON of the form"),
        (ISSUER, "http://keys.example/a", "which is not https://"),
        (ISSUER, "file:///etc/passwd", "which is not https://"),
        ("https://evil.example", "https://keys.example/a", "it describes the issuer \"https://evil.example\""),
    ] {
        let said = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
        let asked = Issuer::new(Ok(&said));
        let heard = asked.renew(&oidc(Source::Discovery(url.into())), &kept, Duration::from_secs(1), None).await;
        assert!(heard.len() == 1 && heard[0].contains(told), "{heard:?}");
        let is_asked = asked.asked().contains(&keys.to_owned());
        assert_eq!(is_asked, told.contains("no JSON"), "{:?}", asked.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn keys_in_a_file_are_taken_anew_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, path) = (dir.path().join("issuer.toml"), dir.path().join("keys.json"));
    let issuer = Issuer::new(Err(unreachable()));
    let oidc = oidc(Source::File(path.clone()));
    let told = issuer.renew(&oidc, &kept, Duration::from_secs(12), None).await;
    assert!(told.len() == 1 && told[0].contains("keys.json"), "{told:?}");
    std::fs::write(&path, KEYS).unwrap();
    issuer.renew(&oidc, &kept, Duration::from_secs(12), None).await;
    assert!(oidc.tokens.has_keys());
    assert!(issuer.asked().is_empty() && !kept.exists(), "nobody is asked, and nothing is copied");
}
