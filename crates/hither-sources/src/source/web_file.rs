//! `https://…`: a file of a web server.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::SourceError;
use crate::name::{FileName, Part};

/// A file of a web server.
#[derive(Clone, PartialEq, Eq)]
pub struct WebFile {
    url: Url,
    name: FileName,
}

impl WebFile {
    pub(super) fn parse(text: &str) -> Result<Self, SourceError> {
        let url = Url::parse(text.trim()).map_err(|error| SourceError::Address(error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SourceError::Credentials);
        }
        if !is_allowed(&url) {
            return Err(SourceError::Plain(place_of(&url) + url.path()));
        }
        if url.fragment().is_some() {
            return Err(SourceError::Fragment);
        }
        if let Some(source) = page_of(&url) {
            return Err(SourceError::Page(source));
        }
        let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
        if last.is_empty() {
            return Err(SourceError::NoFile);
        }
        let decoded = decoded(last);
        let name = FileName::last_of(&decoded)?;
        // What was a slash only in disguise would make another name of it.
        if name.as_str() != decoded {
            return Err(SourceError::NoFile);
        }
        Ok(Self { url, name })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn name(&self) -> &FileName {
        &self.name
    }

    /// The file with all its parts, if it is one of a split model.
    pub(crate) fn parts(&self) -> Vec<Self> {
        let Some(part) = Part::of(self.name.as_str()) else { return vec![self.clone()] };
        part.all().filter_map(|name| FileName::last_of(&name).ok()).map(|name| self.sibling(name)).collect()
    }

    /// A file in the same directory of the same server.
    pub(crate) fn sibling(&self, name: FileName) -> Self {
        let mut url = self.url.clone();
        url.path_segments_mut().expect("an address of http has a path").pop().push(name.as_str());
        Self { url, name }
    }
}

/// An address of https, or of plain http at this very machine.
pub(crate) fn is_allowed(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_here(url),
        _ => false,
    }
}

fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// The host and port of an address, as it may be shown.
pub(crate) fn place_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What a person meant who copied the address of the hub's page about a file.
fn page_of(url: &Url) -> Option<String> {
    if !matches!(url.host_str(), Some("huggingface.co" | "hf.co" | "www.huggingface.co")) {
        return None;
    }
    let segments: Vec<&str> = url.path_segments()?.collect();
    match segments.as_slice() {
        [org, repo, "blob", revision, file @ ..] if !file.is_empty() => {
            Some(format!("hf:{org}/{repo}/{}@{revision}", file.join("/")))
        }
        _ => None,
    }
}

/// A component of a path without its percent signs. What is no UTF-8 stays as it is.
fn decoded(component: &str) -> String {
    let mut bytes = Vec::with_capacity(component.len());
    let mut rest = component.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| component.to_owned())
}

impl fmt::Display for WebFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.url.clone();
        shown.set_query(None);
        let rest = if self.url.query().is_some() { "?…" } else { "" };
        write!(f, "{shown}{rest}")
    }
}

impl fmt::Debug for WebFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebFile({self})")
    }
}
