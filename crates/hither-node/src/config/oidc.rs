//! The `[api.oidc]` section: whose tokens are believed, and where the keys to them are.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hither_api::endpoint::Reader;
use hither_api::tokens::{Rules, Tokens};
use serde::Deserialize;

use super::api::ApiError;

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcSection {
    issuer: String,
    audience: String,
    jwks: Option<String>,
    app_claim: Option<String>,
    ca_file: Option<PathBuf>,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// In a file, which is looked at now and then.
    File(PathBuf),
    /// At an address.
    Url(String),
    /// Where the issuer says, at this address.
    Discovery(String),
}

/// Whose tokens are believed.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// What believes them.
    pub tokens: Arc<Tokens>,
    /// Where the keys are.
    pub(crate) source: Source,
    /// What asks for them; nothing, if they are in a file.
    pub(crate) reader: Option<Reader>,
}

/// Reads the section. A file of keys is read now; an address is asked once the node runs.
pub(crate) fn oidc(section: Option<&OidcSection>, data_dir: &Path) -> Result<Option<Oidc>, ApiError> {
    let Some(told) = section else { return Ok(None) };
    let wrong = |text: String| ApiError::Oidc(text);
    for (field, value) in [("issuer", &told.issuer), ("audience", &told.audience)] {
        if value.trim().is_empty() {
            return Err(wrong(format!("{field} is empty")));
        }
    }
    let claim = told.app_claim.clone().unwrap_or_else(|| "sub".to_owned());
    let read = |path: PathBuf| std::fs::read(&path).map_err(|error| ApiError::File { path, text: error.to_string() });
    let source = match &told.jwks {
        Some(url) if url.contains("://") => Source::Url(checked("jwks", url)?),
        Some(path) => Source::File(data_dir.join(path)),
        None => {
            let issuer = checked("issuer", &told.issuer)?;
            let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            Source::Discovery(url)
        }
    };
    let reader = match &source {
        Source::File(_) => None,
        Source::Url(_) | Source::Discovery(_) => {
            let authorities = told.ca_file.as_ref().map(|path| read(data_dir.join(path))).transpose()?;
            Some(Reader::new(authorities.as_deref()).map_err(|error| wrong(error.to_string()))?)
        }
    };
    let rules = Rules { issuer: told.issuer.clone(), audience: told.audience.clone(), claim };
    let tokens = Arc::new(Tokens::new(rules));
    if let Source::File(path) = &source {
        tokens.replace(&read(path.clone())?).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
    }
    Ok(Some(Oidc { tokens, source, reader }))
}

fn checked(field: &str, url: &str) -> Result<String, ApiError> {
    if is_safe(url) {
        return Ok(url.to_owned());
    }
    let text = format!(
        "{field} is {url:?}, and keys are fetched over https:// alone, or over http:// from this machine; name a file or \
         another address: jwks = \"https://…\""
    );
    Err(ApiError::Oidc(text))
}

/// Whether nobody on the way could put other keys in the place of the issuer's.
pub(crate) fn is_safe(url: &str) -> bool {
    if let Some(rest) = url.strip_prefix("https://") {
        return !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['@', '#', ' ']);
    }
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
