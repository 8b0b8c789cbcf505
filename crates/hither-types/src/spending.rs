//! What may leave a site in a day, what it costs, and how much of that is spent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::id::{AppName, SiteName};
use crate::place::Jurisdiction;
use crate::unit::ByteCount;

/// Millionths of one unit of the operator's currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub u64);

impl Money {
    /// The sum; the most there is, if that is more.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left; nothing, if that is less.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Money {
    /// Two decimals, or as many as a small sum needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, millionths) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if self.0 >= 1_000_000 || millionths.is_multiple_of(10_000) {
            return write!(f, "{whole}.{:02}", millionths / 10_000);
        }
        let text = format!("{millionths:06}");
        write!(f, "0.{}", text.trim_end_matches('0'))
    }
}

/// The kinds of ways on which payload leaves a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// To a member of the same site.
    Lan,
    /// To another site in the same country.
    InterSite,
    /// To a member in another country.
    CrossBorder,
    /// To a server outside the mesh, wherever it stands.
    Cloud,
}

impl Link {
    /// All of them, the nearest first.
    pub const ALL: [Self; 4] = [Self::Lan, Self::InterSite, Self::CrossBorder, Self::Cloud];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::InterSite => "inter-site",
            Self::CrossBorder => "cross-border",
            Self::Cloud => "cloud",
        }
    }

    /// The way between two members, each at its site and where that stands.
    pub fn between(here: (&SiteName, Jurisdiction), there: (&SiteName, Jurisdiction)) -> Self {
        if here.1.country() != there.1.country() {
            Self::CrossBorder
        } else if here.0 == there.0 {
            Self::Lan
        } else {
            Self::InterSite
        }
    }

    /// Whether the payload leaves the site.
    pub fn leaves_the_site(self) -> bool {
        self != Self::Lan
    }
}

/// What a server outside the mesh asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Price {
    /// For each request.
    pub request: Money,
    /// For a million tokens of prompts.
    pub input: Money,
    /// For a million tokens of answers.
    pub output: Money,
    /// For 10⁹ bytes of payload on their way there.
    pub gigabyte: Money,
}

impl Price {
    /// What one request costs, rounded up: its payload in bytes, and the tokens of its prompt and its answer.
    pub fn of(&self, bytes: ByteCount, prompt: u64, answer: u64) -> Money {
        let share = |price: Money, count: u64, per: u128| (u128::from(price.0) * u128::from(count)).div_ceil(per);
        let sum = u128::from(self.request.0)
            + share(self.input, prompt, 1_000_000)
            + share(self.output, answer, 1_000_000)
            + share(self.gigabyte, bytes.0, 1_000_000_000);
        Money(u64::try_from(sum).unwrap_or(u64::MAX))
    }
}

/// What payload costs on its way to members, for 10⁹ bytes; nothing where the operator did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LinkPrices {
    /// To a member of the same site.
    pub lan: Money,
    /// To another site in the same country.
    pub inter_site: Money,
    /// To a member in another country.
    pub cross_border: Money,
    /// Over a relay, beside the price of the way that it passed.
    pub relay: Money,
}

impl LinkPrices {
    /// The price of one way. Servers outside the mesh have prices of their own.
    pub fn of(&self, link: Link) -> Money {
        match link {
            Link::Lan => self.lan,
            Link::InterSite => self.inter_site,
            Link::CrossBorder => self.cross_border,
            Link::Cloud => Money(0),
        }
    }
}

/// What may be spent at one server outside the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Purse {
    /// What it asks for; nothing if the operator did not say.
    pub price: Price,
    /// In a day, by all apps together.
    pub day: Option<Money>,
    /// In a day, by one app.
    pub app_day: Option<Money>,
    /// The apps whose requests may go there; all if nobody is named.
    pub apps: Option<BTreeSet<AppName>>,
}

/// What an operator lets out in a day: from midnight to midnight, UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Budgets {
    /// Payload that leaves the site, in requests and answers, by all of its nodes; each has an equal share.
    pub site: Option<ByteCount>,
    /// Payload of requests that leaves the site by this node, by app.
    pub apps: BTreeMap<AppName, ByteCount>,
    /// The same for each app that is not named.
    pub other_apps: Option<ByteCount>,
    /// By the name of the server.
    pub purses: BTreeMap<SiteName, Purse>,
    /// The server at whose price the answers of the mesh would have cost something.
    pub compared: Option<SiteName>,
    /// What payload costs on its way to members.
    pub links: LinkPrices,
    /// What the money is called.
    pub currency: String,
}

/// A budget that leaves no room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Budget {
    /// What may leave the site by this node.
    Site(ByteCount),
    /// What an app may send out of the site.
    App(AppName, ByteCount),
    /// What may be spent at a server.
    Server(SiteName, Money),
    /// What one app may spend at a server.
    AppAtServer(AppName, SiteName, Money),
}

/// Payload on one kind of way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flow {
    /// In requests that left.
    pub requests: ByteCount,
    /// In answers that left.
    pub answers: ByteCount,
}

impl Flow {
    /// What all of it costs at the price of 10⁹ bytes, rounded up.
    pub fn cost(&self, gigabyte: Money) -> Money {
        Price { gigabyte, ..Price::default() }.of(ByteCount(self.requests.0.saturating_add(self.answers.0)), 0, 0)
    }
}

/// What left and was spent in one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Spent {
    /// Days since 1970, UTC.
    pub day: u64,
    /// By kind of way, in the order of [`Link::ALL`].
    pub links: [Flow; 4],
    /// Of all that, what passed a relay on its way: a third place, whoever runs it.
    pub relayed: Flow,
    /// In requests that left the site, by app.
    pub apps: BTreeMap<AppName, ByteCount>,
    /// By server and app.
    pub money: BTreeMap<(SiteName, AppName), Money>,
    /// What the answers of this node and its peers would have cost at the server that they are compared with.
    pub saved: Money,
}

impl Spent {
    /// What payload cost on its way to members.
    pub fn carried(&self, prices: &LinkPrices) -> Money {
        let links = Link::ALL.iter().zip(&self.links).map(|(link, flow)| flow.cost(prices.of(*link)));
        links.fold(self.relayed.cost(prices.relay), Money::plus)
    }

    /// Payload that left the site, in requests and answers.
    pub fn out_of_site(&self) -> ByteCount {
        let flows = Link::ALL.iter().zip(&self.links).filter(|(link, _)| link.leaves_the_site());
        ByteCount(flows.map(|(_, flow)| flow.requests.0.saturating_add(flow.answers.0)).fold(0, u64::saturating_add))
    }

    /// Spent at a server by all apps.
    pub fn at(&self, server: &SiteName) -> Money {
        let there = self.money.iter().filter(|((site, _), _)| site == server);
        there.map(|(_, money)| *money).fold(Money::default(), Money::plus)
    }
}

/// What people are shown of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpendingView {
    /// What is allowed.
    pub budgets: Budgets,
    /// This node's share of what may leave the site.
    pub share: Option<ByteCount>,
    /// What is spent, what is on its way out among it.
    pub spent: Spent,
}

#[cfg(test)]
mod tests;
