//! Tokens of an issuer (OpenID Connect): whether one is believed, and whom it names.
//!
//! What must stay true: only signatures by keys that the issuer published are believed, with the algorithms of those keys,
//! never `none` and never a shared secret; issuer, audience and times are checked, each of them, on every request; nothing
//! here contacts anybody.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::limits::{TOKEN_KEYS, TOKEN_KEYS_TRIED, TOKEN_LEEWAY};

mod crypto;
#[cfg(test)]
mod tests;

/// Which tokens are believed, and what of them names an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Who makes them: the claim `iss`, to the letter.
    pub issuer: String,
    /// Whom they are for: one of the claim `aud`.
    pub audience: String,
    /// The claim whose value is the app's.
    pub claim: String,
}

/// Why a set of keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// It is something else.
    #[error("it is no JSON of the form that it should have: {0}")]
    Form(String),
    /// An issuer describes another one.
    #[error("it describes the issuer {0:?}")]
    Issuer(String),
    /// None of its keys can verify a signature.
    #[error("none of its keys can verify RS256, PS256, ES256, EdDSA or their like")]
    None,
}

/// Why a token is not believed. None of the texts tells what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It cannot be read.
    #[error("it is not a token that can be read here")]
    Malformed,
    /// It is signed otherwise than its key allows, or not at all.
    #[error("it is signed with an algorithm that is not taken")]
    Algorithm,
    /// Nobody knows the key.
    #[error("it is signed with a key that the issuer had not published when it was asked last")]
    UnknownKey,
    /// Somebody else signed it, or it was changed.
    #[error("its signature is wrong")]
    Signature,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet")]
    Early,
    /// Somebody else made it.
    #[error("it is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// It lacks what is checked, or what names the app.
    #[error("it lacks a claim that is needed")]
    Claim,
}

/// A key of the issuer.
struct Published {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Believes tokens of one issuer, by the keys that it was given last.
pub struct Tokens {
    rules: Rules,
    keys: RwLock<Arc<[Published]>>,
    wanted: Notify,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({:?})", self.rules)
    }
}

impl Tokens {
    /// Believes nobody until keys come.
    pub fn new(rules: Rules) -> Self {
        crypto::install();
        Self { rules, keys: RwLock::new(Arc::new([])), wanted: Notify::new() }
    }

    /// Which tokens are believed.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Puts the keys of a JSON Web Key Set (RFC 7517) in the place of those that were, and says how many they are. Keys
    /// that cannot verify are passed over.
    ///
    /// # Errors
    /// The set cannot be read, or has no such key; then those that were stay.
    pub fn replace(&self, set: &[u8]) -> Result<usize, KeysError> {
        let keys = published(set)?;
        let count = keys.len();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
        Ok(count)
    }

    /// Whether any came.
    pub fn has_keys(&self) -> bool {
        !self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Waits until a token names a key that is not known.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whom a token names.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn subject(&self, token: &str) -> Result<String, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        // What must be understood and is not (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let named: Vec<&Published> = match &header.kid {
            Some(id) => keys.iter().filter(|key| key.id.as_ref() == Some(id)).collect(),
            None => keys.iter().collect(),
        };
        let mut tried = named.iter().filter(|key| key.algorithms.contains(&header.alg)).take(TOKEN_KEYS_TRIED);
        let Some(first) = tried.next() else {
            if !named.is_empty() || is_shared(header.alg) {
                return Err(TokenError::Algorithm);
            }
            self.wanted.notify_one();
            return Err(TokenError::UnknownKey);
        };
        let mut found = self.verify(token, first, header.alg);
        for key in tried {
            if found != Err(TokenError::Signature) {
                break;
            }
            found = self.verify(token, key, header.alg);
        }
        found
    }

    fn verify(&self, token: &str, by: &Published, algorithm: Algorithm) -> Result<String, TokenError> {
        let mut wanted = Validation::new(algorithm);
        wanted.leeway = TOKEN_LEEWAY.as_secs();
        wanted.validate_nbf = true;
        wanted.set_required_spec_claims(&["exp", "iss", "aud"]);
        wanted.set_issuer(&[&self.rules.issuer]);
        wanted.set_audience(&[&self.rules.audience]);
        let read = jsonwebtoken::decode::<Map<String, Value>>(token, &by.key, &wanted);
        let claims = read.map_err(|error| why(error.kind()))?.claims;
        match claims.get(&self.rules.claim) {
            Some(Value::String(value)) if !value.is_empty() => Ok(value.clone()),
            _ => Err(TokenError::Claim),
        }
    }
}

/// Where an issuer says that its keys are: `jwks_uri` of its description (OpenID Connect Discovery 1.0).
///
/// # Errors
/// It cannot be read, or describes somebody else.
pub fn keys_address(description: &[u8], issuer: &str) -> Result<String, KeysError> {
    #[derive(Deserialize)]
    struct Description {
        issuer: String,
        jwks_uri: String,
    }
    let said: Description = serde_json::from_slice(description).map_err(|error| KeysError::Form(error.to_string()))?;
    if said.issuer == issuer { Ok(said.jwks_uri) } else { Err(KeysError::Issuer(said.issuer)) }
}

fn is_shared(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn why(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::Early,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => TokenError::Claim,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenError::Algorithm,
        _ => TokenError::Malformed,
    }
}

/// Each key is read for itself: an issuer may publish kinds that nobody here knows.
fn published(set: &[u8]) -> Result<Vec<Published>, KeysError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(set).map_err(|error| KeysError::Form(error.to_string()))?;
    let read = |key: Value| {
        let key: Jwk = serde_json::from_value(key).ok()?;
        let algorithms = algorithms(&key);
        if algorithms.is_empty() {
            return None;
        }
        let verifies = DecodingKey::from_jwk(&key).ok()?;
        Some(Published { id: key.common.key_id, algorithms, key: verifies })
    };
    let keys: Vec<Published> = set.keys.into_iter().take(TOKEN_KEYS).filter_map(read).collect();
    if keys.is_empty() { Err(KeysError::None) } else { Ok(keys) }
}

/// What a key may verify: what its kind can, or the one that it was published for.
fn algorithms(key: &Jwk) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let common = &key.common;
    let signs = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let can: &[(KeyAlgorithm, Algorithm)] = match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[
            (KeyAlgorithm::RS256, RS256),
            (KeyAlgorithm::RS384, RS384),
            (KeyAlgorithm::RS512, RS512),
            (KeyAlgorithm::PS256, PS256),
            (KeyAlgorithm::PS384, PS384),
            (KeyAlgorithm::PS512, PS512),
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[(KeyAlgorithm::ES256, ES256)],
            EllipticCurve::P384 => &[(KeyAlgorithm::ES384, ES384)],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[(KeyAlgorithm::EdDSA, EdDSA)]
        }
        _ => &[],
    };
    if !signs || !verifies {
        return Vec::new();
    }
    let fits = |named: &KeyAlgorithm| common.key_algorithm.as_ref().is_none_or(|only| only == named);
    can.iter().filter(|(named, _)| fits(named)).map(|(_, algorithm)| *algorithm).collect()
}
