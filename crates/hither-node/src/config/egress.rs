//! `[egress]` and what servers outside the mesh cost: what may leave in a day, and what may be spent.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::id::{AppName, ParseIdError, SiteName};
use hither_types::spending::{Budgets, LinkPrices, Money, Price, Purse};
use hither_types::unit::ByteCount;
use serde::Deserialize;

use super::kernel::KernelSection;

#[cfg(test)]
mod tests;

/// What the file says of bytes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EgressSection {
    /// What may leave the site in a day, by all of its nodes.
    site_mb_per_day: Option<u64>,
    /// By app; `"*"` is every app that is not named.
    apps_mb_per_day: BTreeMap<String, u64>,
    /// What money is called.
    currency: Option<String>,
    /// The server whose price tells what the answers of the mesh are worth.
    compare_with: Option<String>,
    /// What payload costs on its way to members.
    price_per_gb: LinkSection,
    /// How the counters of a kernel are read.
    pub(super) kernel: Option<KernelSection>,
}

/// What the file says of the price of ways: units of the currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct LinkSection {
    lan: f64,
    inter_site: f64,
    cross_border: f64,
    relay: f64,
}

impl LinkSection {
    fn read(self) -> Result<LinkPrices, EgressError> {
        let sum = |key: &str, units: f64| {
            let place = || format!("[egress] price_per_gb.{key}");
            money(units).ok_or_else(|| EgressError::Sum { place: place(), found: units })
        };
        Ok(LinkPrices {
            lan: sum("lan", self.lan)?,
            inter_site: sum("inter-site", self.inter_site)?,
            cross_border: sum("cross-border", self.cross_border)?,
            relay: sum("relay", self.relay)?,
        })
    }
}

/// What the file says of the price of a server: units of the currency.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PriceSection {
    per_request: f64,
    per_million_input_tokens: f64,
    per_million_output_tokens: f64,
    per_gb_sent: f64,
}

/// What the file says of money at a server, beside its price.
#[derive(Debug, Clone, Default)]
pub(crate) struct PurseSection {
    pub(crate) price: Option<PriceSection>,
    pub(crate) spend_per_day: Option<f64>,
    pub(crate) spend_per_app_per_day: Option<f64>,
    pub(crate) apps: Option<Vec<String>>,
}

/// Why a section cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// A name is none.
    #[error("{place} names {found:?}")]
    Name {
        /// The section and the key.
        place: String,
        /// What was written.
        found: String,
        /// What is wrong with it.
        #[source]
        source: ParseIdError,
    },
    /// A sum of money is none.
    #[error("{place} is {found}, and must be a sum of money: 0 or more, such as 2.50")]
    Sum {
        /// The section and the key.
        place: String,
        /// What was written.
        found: f64,
    },
    /// Money is limited where nothing has a price.
    #[error(
        "{0} limits what is spent, and nothing says what is asked for: add price = {{ per_million_output_tokens = 8 }}, or another price"
    )]
    NoPrice(String),
    /// There are prices, and nobody says in what.
    #[error("{0} has a price, and [egress] does not say in which currency: add currency = \"EUR\" there")]
    NoCurrency(String),
    /// A server of this machine has a price.
    #[error(
        "{0} is on this machine, so nothing leaves and nothing is counted: say its jurisdiction and operator if a tunnel leads elsewhere, or leave price, spend_per_day and apps out"
    )]
    Home(String),
    /// It is compared with a server that has no price.
    #[error("[egress] compare_with is {0:?}, and no [endpoint.{0}] has a price")]
    Compared(String),
    /// It is not said how the counters of a kernel are read.
    #[error(
        "[egress.kernel]: {0}; for example command = [\"nft\", \"-j\", \"list\", \"counters\", \"table\", \"inet\", \"hither\"], or file = \"/run/hither/counters.json\", which a timer writes"
    )]
    Kernel(&'static str),
}

impl PurseSection {
    /// Whether the file says anything of money.
    pub(crate) fn says_nothing(&self) -> bool {
        let Self { price, spend_per_day, spend_per_app_per_day, apps } = self;
        price.is_none() && spend_per_day.is_none() && spend_per_app_per_day.is_none() && apps.is_none()
    }

    /// Checks what is said of a server.
    pub(crate) fn read(self, server: &SiteName) -> Result<Purse, EgressError> {
        let place = |key: &str| format!("[endpoint.{server}] {key}");
        let sum = |key: &str, units: f64| money(units).ok_or(EgressError::Sum { place: place(key), found: units });
        let limit = |key: &str, units: Option<f64>| units.map(|units| sum(key, units)).transpose();
        let price = self.price.map(|price| {
            Ok(Price {
                request: sum("price.per_request", price.per_request)?,
                input: sum("price.per_million_input_tokens", price.per_million_input_tokens)?,
                output: sum("price.per_million_output_tokens", price.per_million_output_tokens)?,
                gigabyte: sum("price.per_gb_sent", price.per_gb_sent)?,
            })
        });
        let price: Price = price.transpose()?.unwrap_or_default();
        let day = limit("spend_per_day", self.spend_per_day)?;
        let app_day = limit("spend_per_app_per_day", self.spend_per_app_per_day)?;
        if price == Price::default()
            && let Some((key, _)) =
                [("spend_per_day", day), ("spend_per_app_per_day", app_day)].iter().find(|(_, limit)| limit.is_some())
        {
            return Err(EgressError::NoPrice(place(key)));
        }
        let app = |name: String| {
            let read = AppName::parse(&name);
            read.map_err(|source| EgressError::Name { place: place("apps"), found: name, source })
        };
        let apps: Option<BTreeSet<AppName>> = self.apps.map(|apps| apps.into_iter().map(app).collect()).transpose()?;
        Ok(Purse { price, day, app_day, apps })
    }
}

/// All budgets of a node: those of the section, and the purses of its servers.
pub(super) fn budgets(section: EgressSection, purses: BTreeMap<SiteName, Purse>) -> Result<Budgets, EgressError> {
    let megabytes = |mb: u64| ByteCount(mb.saturating_mul(1_000_000));
    let priced = |purse: &Purse| purse.price != Price::default();
    if section.currency.is_none()
        && let Some((server, _)) = purses.iter().find(|(_, purse)| priced(purse))
    {
        return Err(EgressError::NoCurrency(format!("[endpoint.{server}]")));
    }
    let links = section.price_per_gb.read()?;
    if section.currency.is_none() && links != LinkPrices::default() {
        return Err(EgressError::NoCurrency("[egress] price_per_gb".to_owned()));
    }
    let compared = match section.compare_with {
        Some(name) => {
            let found = purses.iter().find(|(server, purse)| server.as_str() == name && priced(purse));
            Some(found.map(|(server, _)| server.clone()).ok_or(EgressError::Compared(name))?)
        }
        // With one price there is nothing to choose.
        None => {
            let mut servers = purses.iter().filter(|(_, purse)| priced(purse)).map(|(server, _)| server);
            servers.next().filter(|_| servers.next().is_none()).cloned()
        }
    };
    let mut budgets = Budgets {
        site: section.site_mb_per_day.map(megabytes),
        purses,
        compared,
        links,
        currency: section.currency.unwrap_or_default(),
        ..Budgets::default()
    };
    for (name, mb) in section.apps_mb_per_day {
        if name == "*" {
            budgets.other_apps = Some(megabytes(mb));
            continue;
        }
        let place = "[egress] apps_mb_per_day".to_owned();
        let app = AppName::parse(&name).map_err(|source| EgressError::Name { place, found: name, source })?;
        budgets.apps.insert(app, megabytes(mb));
    }
    Ok(budgets)
}

/// Units of a currency in millionths; `None` if that is no sum.
fn money(units: f64) -> Option<Money> {
    let millionths = (units * 1_000_000.0).round();
    // Above that a float does not tell one millionth from the next.
    (0.0..=9e15).contains(&millionths).then_some(Money(millionths as u64))
}
