//! Tokens as an issuer makes them, and as those make them who are none. Keys of RSA cannot be made here: the product's
//! tests have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://login.example/realms/plant";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

enum Signer {
    Curve(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl Signer {
    fn curve(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Curve(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    fn p256() -> Self {
        Self::curve(&ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn edwards() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Edwards(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        match self {
            Self::Curve(key) => key.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Edwards(key) => key.sign(text.as_bytes()).as_ref().to_vec(),
        }
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::Curve(key) => key.public_key().as_ref(),
            Self::Edwards(key) => key.public_key().as_ref(),
        }
    }

    fn jwk(&self, id: &str) -> Value {
        let bytes = self.public();
        match self {
            Self::Edwards(_) => json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(bytes) }),
            Self::Curve(_) => {
                let (x, y) = bytes[1..].split_at((bytes.len() - 1) / 2);
                let curve = if bytes.len() == 65 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "kid": id, "use": "sig", "x": encode(x), "y": encode(y) })
            }
        }
    }
}

fn tokens(keys: &[Value]) -> Tokens {
    let rules = Rules { issuer: ISSUER.into(), audience: "hither".into(), claim: "sub".into() };
    let tokens = Tokens::new(rules);
    assert_eq!(tokens.replace(json!({ "keys": keys }).to_string().as_bytes()), Ok(keys.len()));
    tokens
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "hither", "sub": "till-7", "exp": now() + 300 })
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[field] = value;
    claims
}

fn without(field: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

fn signed(by: &Signer, head: Value, claims: &Value) -> String {
    let text = format!("{}.{}", encode(head.to_string()), encode(claims.to_string()));
    let signature = encode(by.sign(&text));
    format!("{text}.{signature}")
}

fn es256(kid: &str) -> Value {
    json!({ "alg": "ES256", "typ": "JWT", "kid": kid })
}

#[test]
fn each_kind_of_key_is_believed_with_its_own_algorithm_alone() {
    let signers = [
        ("ES256", Signer::p256()),
        ("ES384", Signer::curve(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        ("EdDSA", Signer::edwards()),
    ];
    let keys: Vec<Value> = signers.iter().map(|(name, signer)| signer.jwk(name)).collect();
    let tokens = tokens(&keys);
    for (of, signer) in &signers {
        for (said, _) in &signers {
            let named = signed(signer, json!({ "alg": said, "kid": of }), &claims());
            let wanted = if of == said { Ok("till-7".to_owned()) } else { Err(TokenError::Algorithm) };
            assert_eq!(tokens.subject(&named), wanted, "a key for {of} with {said}");
            let unnamed = signed(signer, json!({ "alg": said }), &claims());
            let wanted = if of == said { Ok("till-7".to_owned()) } else { Err(TokenError::Signature) };
            assert_eq!(tokens.subject(&unnamed), wanted, "a key for {of} with {said}, without its name");
        }
    }
}

#[test]
fn no_signature_and_a_shared_secret_are_never_believed() {
    let signer = Signer::p256();
    let tokens = tokens(&[signer.jwk("a")]);
    let body = encode(claims().to_string());
    for head in [json!({ "alg": "none", "kid": "a" }), json!({ "alg": "None" }), json!({ "typ": "JWT", "kid": "a" })] {
        for end in ["", "AAAA"] {
            let unsigned = format!("{}.{body}.{end}", encode(head.to_string()));
            assert_eq!(tokens.subject(&unsigned), Err(TokenError::Malformed), "{head}");
        }
    }
    // The public key is no secret: whoever has it could sign with it.
    for secret in [signer.public().to_vec(), signer.jwk("a").to_string().into_bytes(), Vec::new()] {
        for head in
            [json!({ "alg": "HS256", "kid": "a" }), json!({ "alg": "HS256" }), json!({ "alg": "HS256", "kid": "b" })]
        {
            let text = format!("{}.{body}", encode(head.to_string()));
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
            let token = format!("{text}.{}", encode(ring::hmac::sign(&key, text.as_bytes())));
            assert_eq!(tokens.subject(&token), Err(TokenError::Algorithm), "{head}");
        }
    }
    // A published secret is no key at all.
    let secret = json!({ "kty": "oct", "k": encode("secret"), "kid": "b", "alg": "HS256" });
    assert_eq!(tokens.replace(json!({ "keys": [secret] }).to_string().as_bytes()), Err(KeysError::None));
}

#[test]
fn every_claim_is_checked() {
    let signer = Signer::p256();
    let tokens = tokens(&[signer.jwk("a")]);
    let at = |seconds: i64| Value::from(now().checked_add_signed(seconds).unwrap());
    for (claims, wanted) in [
        (claims(), Ok("till-7")),
        (with("aud", json!(["other", "hither"])), Ok("till-7")),
        (with("nbf", at(-60)), Ok("till-7")),
        // Clocks differ by some seconds, and not by minutes.
        (with("exp", at(-10)), Ok("till-7")),
        (with("nbf", at(10)), Ok("till-7")),
        (with("exp", at(-90)), Err(TokenError::Expired)),
        (with("exp", json!(1)), Err(TokenError::Expired)),
        (with("nbf", at(90)), Err(TokenError::Early)),
        (with("exp", json!("9999999999")), Err(TokenError::Claim)),
        (with("exp", json!(-1)), Err(TokenError::Claim)),
        (with("exp", Value::Null), Err(TokenError::Claim)),
        (with("nbf", json!("0")), Err(TokenError::Claim)),
        (without("exp"), Err(TokenError::Claim)),
        (with("iss", json!("https://login.example/realms/other")), Err(TokenError::Issuer)),
        (with("iss", json!(format!("{ISSUER}/"))), Err(TokenError::Issuer)),
        (without("iss"), Err(TokenError::Claim)),
        (with("aud", json!("other")), Err(TokenError::Audience)),
        (with("aud", json!([])), Err(TokenError::Audience)),
        (with("aud", json!({ "hither": true })), Err(TokenError::Claim)),
        (without("aud"), Err(TokenError::Claim)),
        (without("sub"), Err(TokenError::Claim)),
        (with("sub", json!("")), Err(TokenError::Claim)),
        (with("sub", json!(7)), Err(TokenError::Claim)),
        (with("sub", json!(["till-7"])), Err(TokenError::Malformed)),
    ] {
        let token = signed(&signer, es256("a"), &claims);
        assert_eq!(tokens.subject(&token), wanted.map(str::to_owned), "{claims}");
    }
}

#[test]
fn what_was_changed_and_what_others_signed_is_not_believed() {
    let (signer, other) = (Signer::p256(), Signer::p256());
    let tokens = tokens(&[signer.jwk("a")]);
    let token = signed(&signer, es256("a"), &claims());
    assert_eq!(tokens.subject(&token), Ok("till-7".to_owned()));
    assert_eq!(tokens.subject(&signed(&other, es256("a"), &claims())), Err(TokenError::Signature));
    let (head, rest) = token.split_once('.').unwrap();
    let signature = rest.split_once('.').unwrap().1;
    let forged = format!("{head}.{}.{signature}", encode(with("sub", json!("boss")).to_string()));
    assert_eq!(tokens.subject(&forged), Err(TokenError::Signature));
    // It brings a key of its own, or names where one is: neither is looked at.
    let mut head = es256("a");
    head["jwk"] = other.jwk("a");
    assert_eq!(tokens.subject(&signed(&other, head, &claims())), Err(TokenError::Signature));
    let mut head = es256("b");
    head["jku"] = json!("https://evil.example/keys");
    assert_eq!(tokens.subject(&signed(&other, head, &claims())), Err(TokenError::UnknownKey));
    let mut head = es256("a");
    head["crit"] = json!(["b64"]);
    assert_eq!(tokens.subject(&signed(&signer, head, &claims())), Err(TokenError::Malformed));
    for nonsense in
        ["", "..", "a.b.c", "eyJ..", "eyJhbGciOiJFUzI1NiJ9.e30", &format!("{token}.x"), &format!("{token}=")]
    {
        let said = tokens.subject(nonsense);
        assert!(matches!(said, Err(TokenError::Malformed | TokenError::Signature)), "{nonsense}: {said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_known_is_asked_for_and_nothing_else_is() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let tokens = tokens(&[old.jwk("a")]);
    let is_wanted = async || tokio::time::timeout(Duration::from_secs(1), tokens.wanted()).await.is_ok();
    for (token, wanted) in [
        (signed(&old, es256("a"), &claims()), false),
        (signed(&old, es256("a"), &with("exp", json!(1))), false),
        (signed(&new, es256("a"), &claims()), false),
        (signed(&new, json!({ "alg": "HS256", "kid": "b" }), &claims()), false),
        ("eyJ..".to_owned(), false),
        (signed(&new, es256("b"), &claims()), true),
    ] {
        let _ = tokens.subject(&token);
        assert_eq!(is_wanted().await, wanted, "{token}");
    }
    tokens.replace(json!({ "keys": [new.jwk("b")] }).to_string().as_bytes()).unwrap();
    assert_eq!(tokens.subject(&signed(&new, es256("b"), &claims())), Ok("till-7".to_owned()));
    assert_eq!(tokens.subject(&signed(&old, es256("a"), &claims())), Err(TokenError::UnknownKey), "it was withdrawn");
}

#[test]
fn keys_that_are_not_for_signatures_are_passed_over_and_a_set_without_any_replaces_nothing() {
    let signer = Signer::p256();
    let tokens = tokens(&[signer.jwk("a")]);
    let changed = |field: &str, value: Value| {
        let mut key = signer.jwk("a");
        key[field] = value;
        key
    };
    for unfit in [
        changed("use", json!("enc")),
        changed("key_ops", json!(["sign"])),
        changed("alg", json!("ES384")),
        changed("alg", json!("HS256")),
        changed("crv", json!("secp256k1")),
        changed("kty", json!("new")),
        json!("nonsense"),
    ] {
        let set = json!({ "keys": [unfit.clone()] }).to_string();
        assert_eq!(tokens.replace(set.as_bytes()), Err(KeysError::None), "{unfit}");
        let set = json!({ "keys": [unfit, signer.jwk("a")] }).to_string();
        assert_eq!(tokens.replace(set.as_bytes()), Ok(1));
    }
    for nonsense in ["", "{}", "<html>", r#"{"keys":[]}"#, r#"{"keys":{}}"#] {
        tokens.replace(nonsense.as_bytes()).unwrap_err();
    }
    assert_eq!(tokens.subject(&signed(&signer, es256("a"), &claims())), Ok("till-7".to_owned()));
}

#[test]
fn an_issuer_speaks_for_itself_alone() {
    let said = |issuer: &str| json!({ "issuer": issuer, "jwks_uri": "https://login.example/keys" }).to_string();
    assert_eq!(keys_address(said(ISSUER).as_bytes(), ISSUER), Ok("https://login.example/keys".to_owned()));
    let other = "https://evil.example";
    assert_eq!(keys_address(said(other).as_bytes(), ISSUER), Err(KeysError::Issuer(other.to_owned())));
    assert!(matches!(keys_address(b"{}", ISSUER), Err(KeysError::Form(_))));
}
