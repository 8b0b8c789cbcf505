//! The `[endpoint.NAME]` sections of the configuration: servers outside the mesh that this node may ask.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hither_api::endpoint::{Address, Filter, Pin, PinFault, Protocol};
use hither_types::id::{AppName, ModelName, Operator, ParseIdError, SiteName};
use hither_types::place::Jurisdiction;
use hither_types::spending::Purse;
use serde::Deserialize;

use super::egress::{EgressError, PriceSection, PurseSection};
use super::filter::{FilterSection, filter};
use crate::limits::{ENDPOINT_AT_ONCE, ENDPOINTS_MAX};

#[cfg(test)]
mod tests;

/// What the file says, by the name of the server.
pub(crate) type EndpointSections = BTreeMap<String, EndpointSection>;

/// What the file says of one server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointSection {
    url: String,
    #[serde(default)]
    models: ModelsWord,
    #[serde(default)]
    protocol: ProtocolWord,
    #[serde(default)]
    trains: ModelsWord,
    #[serde(default)]
    at_once: Option<u16>,
    #[serde(default)]
    key_file: Option<PathBuf>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default)]
    pin: PinWord,
    #[serde(default)]
    probe: Option<String>,
    #[serde(default)]
    plain_http: bool,
    #[serde(default)]
    jurisdiction: Option<String>,
    #[serde(default)]
    operator: Option<String>,
    #[serde(default)]
    control: Option<Vec<String>>,
    #[serde(default)]
    price: Option<PriceSection>,
    #[serde(default)]
    spend_per_day: Option<f64>,
    #[serde(default)]
    spend_per_app_per_day: Option<f64>,
    #[serde(default)]
    apps: Option<Vec<String>>,
    #[serde(default)]
    filter: Option<FilterSection>,
    #[serde(default)]
    first_for: Vec<String>,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProtocolWord {
    #[default]
    OpenAi,
    Oip,
}

/// Names of models, the same there as here, or each with its name there.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ModelsWord {
    Same(Vec<String>),
    Each(BTreeMap<String, String>),
}

/// One pin, or several: the next key can be pinned before it is used.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PinWord {
    One(String),
    Some(Vec<String>),
}

impl Default for PinWord {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Default for ModelsWord {
    fn default() -> Self {
        Self::Same(Vec::new())
    }
}

impl ModelsWord {
    fn read(self) -> Result<BTreeMap<ModelName, String>, ParseIdError> {
        let names = match self {
            Self::Same(names) => names.into_iter().map(|model| (model.clone(), model)).collect(),
            Self::Each(names) => names,
        };
        names.into_iter().map(|(here, there)| Ok((ModelName::parse(&here)?, there))).collect()
    }
}

/// A server outside the mesh.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// What it is called; shown where a site is.
    pub name: SiteName,
    /// Where it is.
    pub address: Address,
    /// The file that its key was read from.
    pub key_file: Option<PathBuf>,
    /// The names of its models here, each with its name there.
    pub models: BTreeMap<ModelName, String>,
    /// The names of the models here that it trains, each with the name there of what is trained.
    pub trains: BTreeMap<ModelName, String>,
    /// Requests at once.
    pub at_once: u16,
    /// Where it stands and who runs it; absent if it runs on this machine.
    pub elsewhere: Option<Elsewhere>,
    /// What it costs, and who may spend how much there.
    pub purse: Purse,
    /// What is looked for before something leaves for it; absent if the file does not say.
    pub filter: Option<Filter>,
    /// The apps whose work belongs there: it is asked first for them, and not last.
    pub first_for: BTreeSet<AppName>,
}

/// What the law asks of a server that is not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Who runs it.
    pub operator: Operator,
    /// Which states can compel whoever runs it; unknown if the file does not say.
    pub control: Option<Vec<Jurisdiction>>,
}

/// Why what is said of a server cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There are too many.
    #[error("{0} endpoints are described, and {ENDPOINTS_MAX} is the most")]
    TooMany(usize),
    /// A word is not what it should be.
    #[error("[endpoint.{name}] {field} is wrong")]
    Word {
        /// The server.
        name: String,
        /// Which word.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: ParseIdError,
    },
    /// The address is none.
    #[error(
        "[endpoint.{name}] url is {found:?}, and must be an address such as https://models.example:8000, without a query"
    )]
    Url {
        /// The server.
        name: String,
        /// What was written.
        found: String,
    },
    /// It is elsewhere, and nobody says where.
    #[error(
        "[endpoint.{0}] is not on this machine, and the law asks where it stands and who runs it: add jurisdiction = \"DE\" and operator = \"…\""
    )]
    Nowhere(String),
    /// Requests would be sent in clear over a network.
    #[error(
        "[endpoint.{0}] would be asked in clear over a network: use https://, or add plain_http = true if that network is yours"
    )]
    Clear(String),
    /// No model is named.
    #[error(
        "[endpoint.{0}] names no model: add models = [\"assistant\"], or models = {{ assistant = \"its-name-there\" }}; or \
         trains, if it only trains them"
    )]
    NoModels(String),
    /// It takes nothing.
    #[error("[endpoint.{0}] at_once is 0: it would never be asked")]
    Never(String),
    /// A file cannot be read.
    #[error("[endpoint.{name}] cannot read {path}")]
    File {
        /// The server.
        name: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The path to see whether it lives is none.
    #[error("[endpoint.{name}] probe is {found:?}, and must be a path such as /health")]
    Probe {
        /// The server.
        name: String,
        /// What was written.
        found: String,
    },
    /// A pin is none.
    #[error("[endpoint.{name}] pin is wrong")]
    Pin {
        /// The server.
        name: String,
        /// What is wrong with it.
        #[source]
        source: PinFault,
    },
    /// A key is pinned, and none is ever shown.
    #[error("[endpoint.{0}] has a pin, and is asked in clear, where no key is shown: use https://")]
    PinInClear(String),
    /// One name means a model of text there, and one of tensors here.
    #[error(
        "model {0} is in endpoints of both protocols: text and tensors are no one model, so give one of them another name"
    )]
    TwoProtocols(ModelName),
    /// What is said of money is wrong.
    #[error(transparent)]
    Purse(#[from] EgressError),
    /// The key or the certificates cannot be used.
    #[error("[endpoint.{name}] cannot be used")]
    Address {
        /// The server.
        name: String,
        /// Why.
        #[source]
        source: hither_api::endpoint::AddressError,
    },
}

/// Checks the sections. Files are read now: a node that cannot ask says so when it starts, not when it must.
pub(crate) fn endpoints(sections: EndpointSections, dir: &Path) -> Result<Vec<EndpointConfig>, EndpointError> {
    if sections.len() > ENDPOINTS_MAX {
        return Err(EndpointError::TooMany(sections.len()));
    }
    let found = sections.into_iter().map(|(name, section)| read(name, section, dir));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let mut spoken = BTreeMap::new();
    for (model, protocol) in
        found.iter().flat_map(|found| found.models.keys().map(|model| (model, found.address.protocol)))
    {
        if *spoken.entry(model).or_insert(protocol) != protocol {
            return Err(EndpointError::TwoProtocols(model.clone()));
        }
    }
    Ok(found)
}

fn read(name: String, section: EndpointSection, dir: &Path) -> Result<EndpointConfig, EndpointError> {
    let word = |field, source| EndpointError::Word { name: name.clone(), field, source };
    let site = SiteName::parse(&name).map_err(|source| word("name", source))?;
    let (base, is_here) =
        base(&section.url).ok_or_else(|| EndpointError::Url { name: name.clone(), found: section.url.clone() })?;
    if base.starts_with("http://") && !is_here && !section.plain_http {
        return Err(EndpointError::Clear(name));
    }
    let elsewhere = match (&section.jurisdiction, &section.operator) {
        (None, None) if is_here && section.control.is_none() => None,
        (Some(jurisdiction), Some(operator)) => Some(Elsewhere {
            jurisdiction: Jurisdiction::parse(jurisdiction).map_err(|source| word("jurisdiction", source))?,
            operator: Operator::parse(operator).map_err(|source| word("operator", source))?,
            control: section
                .control
                .map(|all| all.iter().map(|code| Jurisdiction::parse(code)).collect())
                .transpose()
                .map_err(|source| word("control", source))?,
        }),
        _ => return Err(EndpointError::Nowhere(name)),
    };
    let (price, apps) = (section.price, section.apps);
    let (spend_per_day, spend_per_app_per_day) = (section.spend_per_day, section.spend_per_app_per_day);
    let purse = PurseSection { price, spend_per_day, spend_per_app_per_day, apps };
    if elsewhere.is_none() && !purse.says_nothing() {
        return Err(EgressError::Home(format!("[endpoint.{name}]")).into());
    }
    let purse = purse.read(&site)?;
    let models = section.models.read().map_err(|source| word("models", source))?;
    let trains = section.trains.read().map_err(|source| word("trains", source))?;
    let first_for = section.first_for.iter().map(|app| AppName::parse(app));
    let first_for = first_for.collect::<Result<_, _>>().map_err(|source| word("first_for", source))?;
    if models.is_empty() && trains.is_empty() {
        return Err(EndpointError::NoModels(name));
    }
    let at_once = section.at_once.unwrap_or(ENDPOINT_AT_ONCE);
    if at_once == 0 {
        return Err(EndpointError::Never(name));
    }
    let (protocol, probe) = match section.protocol {
        ProtocolWord::OpenAi => (Protocol::OpenAi, "/v1/models"),
        ProtocolWord::Oip => (Protocol::Inference, "/v2/health/live"),
    };
    let probe = section.probe.unwrap_or_else(|| probe.to_owned());
    if !probe.starts_with('/') {
        return Err(EndpointError::Probe { name, found: probe });
    }
    let file = |path: &Path| {
        let path = dir.join(path);
        std::fs::read(&path).map_err(|source| EndpointError::File { name: name.clone(), path, source })
    };
    let key = section.key_file.as_deref().map(file).transpose()?;
    let key = key.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let authorities = section.ca_file.as_deref().map(file).transpose()?;
    let pins = pins(section.pin).map_err(|source| EndpointError::Pin { name: name.clone(), source })?;
    if !pins.is_empty() && base.starts_with("http://") {
        return Err(EndpointError::PinInClear(name));
    }
    let address = Address { base, protocol, key, authorities, probe, pins };
    // What cannot be used is told now.
    hither_api::endpoint::Endpoint::new(&address).map_err(|source| EndpointError::Address { name, source })?;
    let filter = section.filter.map(filter);
    let key_file = section.key_file.map(|path| dir.join(path));
    Ok(EndpointConfig { name: site, address, key_file, models, trains, at_once, elsewhere, purse, filter, first_for })
}

fn pins(word: PinWord) -> Result<Vec<Pin>, PinFault> {
    let texts = match word {
        PinWord::One(text) => vec![text],
        PinWord::Some(texts) => texts,
    };
    texts.iter().map(|text| Pin::parse(text)).collect()
}

/// The address before `/v1` or `/v2`, and whether it is on this machine.
pub(super) fn base(url: &str) -> Option<(String, bool)> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    if rest.contains(['?', '#', '@', ' ']) {
        return None;
    }
    let base = url.trim_end_matches('/');
    let base = base.strip_suffix("/v1").or_else(|| base.strip_suffix("/v2")).unwrap_or(base);
    let authority = rest.split('/').next().filter(|authority| !authority.is_empty())?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    Some((base.to_owned(), is_here))
}
