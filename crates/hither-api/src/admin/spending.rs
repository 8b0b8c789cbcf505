//! What may leave in a day and what left, as JSON.

use hither_types::spending::{Flow, Link, Money, SpendingView};
use serde::{Deserialize, Serialize};

/// What left this node since midnight, UTC, and what may. Sums of money are in millionths of the currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Spending"))]
pub struct SpendingDto {
    /// Days since 1970, UTC; zero before the first request.
    pub day: u64,
    /// Payload that left the site by this node, in requests and answers.
    pub bytes: u64,
    /// This node's share of what may leave its site; absent if nothing limits it.
    pub bytes_max: Option<u64>,
    /// By kind of way, the nearest first.
    pub links: Vec<LinkDto>,
    /// By app: those that sent something out of the site, or have a budget.
    pub apps: Vec<AppSpendingDto>,
    /// By server outside the mesh.
    pub servers: Vec<ServerSpendingDto>,
    /// What money is called; empty if nothing has a price.
    pub currency: String,
    /// What the answers of this node and its peers would have cost at `compared_with`.
    pub saved: u64,
    /// What payload cost on its way to members: what is left of `saved` is the rest.
    #[serde(default)]
    pub carried: u64,
    /// The server at whose price `saved` is reckoned.
    pub compared_with: Option<String>,
}

/// Payload on one kind of way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Link"))]
pub struct LinkDto {
    /// `lan`, `inter-site`, `cross-border` or `cloud`; or `relay`, the last, which is what of those passed a relay.
    pub link: String,
    /// Bytes in requests that left.
    pub requests: u64,
    /// Bytes in answers that left.
    pub answers: u64,
    /// What they cost at the price of the way, in millionths; zero where `[egress]` does not say, and for servers, which have
    /// prices of their own.
    #[serde(default)]
    pub cost: u64,
}

/// What one app sent out of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AppSpending"))]
pub struct AppSpendingDto {
    /// The app.
    pub app: String,
    /// Bytes in requests.
    pub bytes: u64,
    /// How many it may send; absent if nothing limits it.
    pub bytes_max: Option<u64>,
}

/// What one server outside the mesh cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ServerSpending"))]
pub struct ServerSpendingDto {
    /// Its name.
    pub server: String,
    /// What was spent there, by all apps.
    pub spent: u64,
    /// What may be; absent if nothing limits it.
    pub spent_max: Option<u64>,
    /// What one app may spend; absent if nothing limits it.
    pub app_max: Option<u64>,
    /// What each app spent.
    pub apps: Vec<AppMoneyDto>,
}

/// What one app spent at a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AppMoney"))]
pub struct AppMoneyDto {
    /// The app.
    pub app: String,
    /// What it spent.
    pub spent: u64,
}

impl From<&SpendingView> for SpendingDto {
    fn from(view: &SpendingView) -> Self {
        let SpendingView { budgets, share, spent } = view;
        let link = |(link, flow, price): (&str, &Flow, Money)| LinkDto {
            link: link.to_owned(),
            requests: flow.requests.0,
            answers: flow.answers.0,
            cost: flow.cost(price).0,
        };
        let priced = |(link, flow)| (Link::as_str(link), flow, budgets.links.of(link));
        let links = Link::ALL.into_iter().zip(&spent.links).map(priced);
        let names: std::collections::BTreeSet<_> = spent.apps.keys().chain(budgets.apps.keys()).collect();
        let app = |name: &hither_types::id::AppName| AppSpendingDto {
            app: name.to_string(),
            bytes: spent.apps.get(name).map_or(0, |bytes| bytes.0),
            bytes_max: budgets.apps.get(name).copied().or(budgets.other_apps).map(|bytes| bytes.0),
        };
        let money = |money: Option<Money>| money.map(|money| money.0);
        let servers = budgets.purses.iter().map(|(server, purse)| ServerSpendingDto {
            server: server.to_string(),
            spent: spent.at(server).0,
            spent_max: money(purse.day),
            app_max: money(purse.app_day),
            apps: (spent.money.iter().filter(|((site, _), _)| site == server))
                .map(|((_, app), money)| AppMoneyDto { app: app.to_string(), spent: money.0 })
                .collect(),
        });
        Self {
            day: spent.day,
            bytes: spent.out_of_site().0,
            bytes_max: share.map(|bytes| bytes.0),
            links: links.chain([("relay", &spent.relayed, budgets.links.relay)]).map(link).collect(),
            apps: names.into_iter().map(app).collect(),
            servers: servers.collect(),
            currency: budgets.currency.clone(),
            saved: spent.saved.0,
            carried: spent.carried(&budgets.links).0,
            compared_with: budgets.compared.as_ref().map(ToString::to_string),
        }
    }
}
