//! Tokens of an issuer as clients send them: whose app they are, and what comes before what.

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::*;
use crate::tokens::Rules;

struct Issuer(Ed25519KeyPair);

impl Issuer {
    fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn token(&self, subject: &str) -> String {
        let encode = |json: serde_json::Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let claims =
            json!({ "iss": "https://login.example", "aud": "hither", "exp": 4_102_444_800_u64, "sub": subject });
        let text = format!("{}.{}", encode(json!({ "alg": "EdDSA" })), encode(claims));
        let signature = BASE64URL_NOPAD.encode(self.0.sign(text.as_bytes()).as_ref());
        format!("{text}.{signature}")
    }

    /// A door that believes it, with an app whose subject is `till-7`, and its key.
    fn door(&self, keys: Keys) -> (FakeDoor, String) {
        let rules = Rules { issuer: "https://login.example".into(), audience: "hither".into(), claim: "sub".into() };
        let tokens = Tokens::new(rules);
        let public = BASE64URL_NOPAD.encode(self.0.public_key().as_ref());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": public }] });
        tokens.replace(set.to_string().as_bytes()).unwrap();
        let door = FakeDoor::new(speaks).guarded(Access { keys, tokens: Some(Arc::new(tokens)), ..Access::default() });
        let key = Key::new(KeyId(7), [7; SECRET_BYTES]);
        let app = AppEntry::new(AppName::parse("till").unwrap(), door.callers.mark(&key), Limits::default());
        door.callers.replace(&[AppEntry { subject: Some("till-7".into()), ..app }]);
        (door, key.reveal().to_owned())
    }
}

#[tokio::test]
async fn a_token_is_its_app_and_one_that_is_not_believed_is_never_taken_for_none() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    for keys in [Keys::Optional, Keys::Required] {
        let (door, key) = issuer.door(keys);
        let lab = Lab::behind(door, Listener::Tcp);
        let (good, forged, stranger) = (issuer.token("till-7"), other.token("till-7"), issuer.token("till-8"));
        let nameless = if keys == Keys::Optional { "anonymous" } else { "401 E0116" };
        for (headers, wanted) in [
            (format!("authorization: Bearer {good}"), "till"),
            (format!("authorization: bearer {good}"), "till"),
            (format!("x-api-key: {good}"), "till"),
            (format!("authorization: Bearer {good}\nx-api-key: {key}"), "till"),
            // A key comes first, whatever is beside it.
            (format!("authorization: Bearer {forged}\nx-api-key: {key}"), "till"),
            (format!("authorization: Bearer {good}\nx-api-key: hk_wrong"), "401 E0118"),
            (format!("authorization: Bearer {good}\nx-api-key: {forged}"), "401 E0118"),
            (format!("authorization: Bearer {forged}"), "401 E0119"),
            (format!("authorization: Bearer {stranger}"), "401 E0119"),
            (format!("authorization: Bearer {good}x"), "401 E0119"),
            ("authorization: Bearer eyJ..".to_owned(), "401 E0119"),
            (format!("authorization: Bearer {forged}\nx-api-key: sk-none"), "401 E0119"),
            ("authorization: Bearer sk-none".to_owned(), nameless),
            (String::new(), nameless),
        ] {
            assert_eq!(outcome(&lab, &headers).await, wanted, "{keys:?} {headers}");
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_told_with_what_to_type_and_without_itself() {
    let issuer = Issuer::new();
    let (door, _) = issuer.door(Keys::Required);
    let lab = Lab::behind(door, Listener::Tcp);
    let refused = |token: String| {
        let lab = &lab;
        async move {
            let came = chat(lab, &format!("authorization: Bearer {token}")).await;
            assert!(!came.text().contains(&token), "{}", came.text());
            assert_eq!((came.status, came.header("www-authenticate")), (401, "Bearer error=\"invalid_token\""));
            came.json()["error"].clone()
        }
    };
    let error = refused(issuer.token("it's me")).await;
    assert_eq!(error["message"], "the token is of no app here: its sub cannot be linked to one");
    assert_eq!(error["help"][0], "hither apps add APP --subject VALUE");
    let error = refused(issuer.token("auth0|a'b")).await;
    assert_eq!(error["message"], "the token is of no app here: its sub is auth0|a'b");
    assert_eq!(error["help"][0], r"hither apps add APP --subject 'auth0|a'\''b'");
    let error = refused(Issuer::new().token("till-7")).await;
    assert_eq!(error["message"], "the token is refused: its signature is wrong");
    assert_eq!(
        (error["type"].as_str(), error["code"].as_str()),
        (Some("authentication_error"), Some("invalid_api_key"))
    );
    let came = chat(&lab, "").await;
    assert_eq!(came.header("www-authenticate"), "Bearer");
    assert!(came.text().contains("or send a token of https://login.example in its place"), "{}", came.text());
}

#[tokio::test]
async fn where_no_issuer_is_configured_a_token_is_no_key() {
    let token = Issuer::new().token("till-7");
    for (door, wanted) in [(open(), "anonymous"), (shut(), "401 E0116")] {
        let lab = Lab::behind(door, Listener::Tcp);
        assert_eq!(outcome(&lab, &format!("authorization: Bearer {token}")).await, wanted);
    }
}
