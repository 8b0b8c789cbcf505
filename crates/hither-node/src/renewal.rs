//! What is renewed while the node runs: the files of HTTPS, and the keys of an issuer of tokens.
//!
//! What must stay true: what cannot be used replaces nothing; nobody is asked who is not configured, nor more often than
//! the limits say; keys that were fetched for one issuer are believed for no other.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use hither_api::endpoint::EndpointError;
use hither_api::tokens::keys_address;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::oidc::{Oidc, Source, is_safe};
use crate::config::tls::Secured;
use crate::driver::Inbound;
use crate::home::write_private;
use crate::limits::{FILES_LOOK, KEYS_FETCH, KEYS_FETCH_LEAST};

#[cfg(test)]
mod tests;

/// Says once that something is wrong, and once that it is over.
pub(crate) struct Told {
    inbox: mpsc::Sender<Inbound>,
    text: Option<String>,
}

impl Told {
    pub(crate) fn new(inbox: mpsc::Sender<Inbound>) -> Self {
        Self { inbox, text: None }
    }

    pub(crate) async fn wrong(&mut self, text: String) {
        if self.text.as_ref() != Some(&text) {
            self.over().await;
            // A node that stops hears nothing any more, and has nobody to tell.
            let _ = self.inbox.send(Inbound::Warn(text.clone())).await;
            self.text = Some(text);
        }
    }

    async fn over(&mut self) {
        if let Some(text) = self.text.take() {
            let _ = self.inbox.send(Inbound::WarnOver(text)).await;
        }
    }
}

/// Takes the files of HTTPS anew whenever they change.
pub(crate) async fn certificates(secured: Secured, inbox: mpsc::Sender<Inbound>) {
    let mut told = Told::new(inbox);
    let mut seen = secured.stamp();
    let mut failures = 0_u32;
    loop {
        tokio::time::sleep(FILES_LOOK).await;
        let stamp = secured.stamp();
        if stamp == seen {
            // Or they are again what they were.
            failures = 0;
            told.over().await;
            continue;
        }
        match secured.renew() {
            Ok(()) => {
                tracing::info!("the renewed files of [api.tls] are in use");
                (seen, failures) = (stamp, 0);
                told.over().await;
            }
            // Whoever renews writes one file after the other: what is wrong twice is wrong.
            Err(_) if failures == 0 => failures = 1,
            Err(error) => {
                told.wrong(format!("the renewed files of HTTPS are not used, the old ones are: {error}")).await
            }
        }
    }
}

/// Keys as they were fetched last, and for whom.
#[derive(Serialize, Deserialize)]
struct Kept {
    issuer: String,
    source: String,
    keys: String,
}

/// An answer on its way.
type Got = Pin<Box<dyn Future<Output = Result<Vec<u8>, EndpointError>> + Send>>;

/// Asks an address.
type Get = dyn Fn(String) -> Got + Send + Sync;

/// Gets the keys of an issuer at the start, now and then, and when a token names one that is not known.
pub(crate) async fn keys(oidc: Oidc, kept: PathBuf, inbox: mpsc::Sender<Inbound>) {
    let reader = oidc.reader.clone();
    let get = move |url: String| -> Got {
        let reader = reader.clone();
        Box::pin(async move {
            let reader = reader.ok_or_else(|| EndpointError::Cannot("nothing here asks".to_owned()))?;
            reader.get(&url).await.map(|bytes| bytes.to_vec())
        })
    };
    renew_keys(oidc, &get, kept, inbox).await;
}

async fn renew_keys(oidc: Oidc, get: &Get, kept: PathBuf, inbox: mpsc::Sender<Inbound>) {
    let mut told = Told::new(inbox);
    let mut seen = None;
    if let Some(keys) = recall(&oidc, &kept) {
        // What does not fit any more is fetched in a moment.
        let _ = oidc.tokens.replace(keys.as_bytes());
        seen = Some(keys);
    }
    loop {
        match fetch(&oidc, get).await {
            Ok(keys) => {
                told.over().await;
                if seen.as_ref() != Some(&keys) {
                    keep(&oidc, &kept, &keys);
                    seen = Some(keys);
                }
            }
            Err(error) => {
                let issuer = &oidc.tokens.rules().issuer;
                let meanwhile = match seen {
                    Some(_) => "those of before are used",
                    None => "its tokens are refused",
                };
                told.wrong(format!("the keys of {issuer} cannot be had, {meanwhile}: {error}")).await;
            }
        }
        if let Source::File(_) = oidc.source {
            tokio::time::sleep(FILES_LOOK).await;
            continue;
        }
        let failed = told.text.is_some();
        let fetched = Instant::now();
        tokio::time::sleep(KEYS_FETCH_LEAST).await;
        tokio::select! {
            () = tokio::time::sleep_until(fetched + KEYS_FETCH), if !failed => {}
            () = oidc.tokens.wanted(), if !failed => {}
            () = std::future::ready(()), if failed => {}
        }
    }
}

/// Fetches the keys and puts them in force; gives their text.
async fn fetch(oidc: &Oidc, get: &Get) -> Result<String, String> {
    let ask = async |url: &str| get(url.to_owned()).await.map_err(|error| format!("{url}: {error}"));
    let bytes = match &oidc.source {
        Source::File(path) => std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?,
        Source::Url(url) => ask(url).await?,
        Source::Discovery(url) => {
            let said = ask(url).await?;
            let keys = keys_address(&said, &oidc.tokens.rules().issuer).map_err(|error| format!("{url}: {error}"))?;
            if !is_safe(&keys) {
                return Err(format!("{url}: its keys are at {keys:?}, which is not https://"));
            }
            ask(&keys).await?
        }
    };
    oidc.tokens.replace(&bytes).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn place(source: &Source) -> Option<&str> {
    match source {
        Source::File(_) => None,
        Source::Url(url) | Source::Discovery(url) => Some(url),
    }
}

/// Keys of an earlier run, so that a node without a way to the issuer starts, too.
fn recall(oidc: &Oidc, path: &Path) -> Option<String> {
    let source = place(&oidc.source)?;
    let kept: Kept = toml::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    (kept.issuer == oidc.tokens.rules().issuer && kept.source == source).then_some(kept.keys)
}

fn keep(oidc: &Oidc, path: &Path, keys: &str) {
    let Some(source) = place(&oidc.source) else { return };
    let (issuer, source) = (oidc.tokens.rules().issuer.clone(), source.to_owned());
    let written = toml::to_string(&Kept { issuer, source, keys: keys.to_owned() }).map_err(std::io::Error::other);
    if let Err(error) = written.and_then(|text| write_private(path, text.as_bytes())) {
        tracing::warn!(%error, path = %path.display(), "the keys of the issuer are not kept for the next start");
    }
}
