//! How a node and others reach one another, as JSON.

use hither_types::member::RelayUse;
use hither_types::view::{LanView, ReachView, RelayState, RelayView};
use serde::{Deserialize, Serialize};

/// How this node and others reach one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Reach"))]
pub struct ReachDto {
    /// Its addresses on the networks of its machine.
    pub addresses: Vec<String>,
    /// How relays see it from outside; nothing that its machine has itself, and nothing that its operator advertises.
    pub outside: Vec<String>,
    /// Whether members are looked for on its own networks.
    pub multicast: MulticastDto,
    /// The relays that it knows.
    pub relays: Vec<KnownRelayDto>,
}

/// Whether members are looked for on a node's own networks, by multicast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Multicast"))]
pub struct MulticastDto {
    /// Whether it is done, or why not.
    pub state: MulticastStateDto,
    /// The addresses of the networks on which it is done.
    pub on: Vec<String>,
    /// What went wrong, if something did.
    pub reason: Option<String>,
}

/// Whether members are looked for, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MulticastState"))]
#[serde(rename_all = "snake_case")]
pub enum MulticastStateDto {
    /// The node announces itself and hears others.
    Runs,
    /// There is no other member to look for.
    Alone,
    /// The configuration says no.
    Off,
    /// The mesh listens on no network: on loopback alone, or the machine has none at the moment.
    NoNetwork,
    /// The node is cut off by a drill.
    Isolated,
    /// It cannot; `reason` says why.
    Failed,
}

/// A relay that a node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "KnownRelay"))]
pub struct KnownRelayDto {
    /// The key of the node that runs it.
    pub node: String,
    /// The way to it.
    pub address: String,
    /// Its site; absent if it is no member.
    pub site: Option<String>,
    /// Where it stands; absent if it is no member.
    pub jurisdiction: Option<String>,
    /// What may go over it.
    pub carries: CarriesDto,
    /// Whether it is used.
    pub state: RelayStateDto,
    /// What the last try to connect to it came to, if it failed.
    pub reason: Option<String>,
}

/// What may go over a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Carries"))]
#[serde(rename_all = "snake_case")]
pub enum CarriesDto {
    /// Everything that goes between members.
    Everything,
    /// Hellos alone: it is no member, or the law lets nothing else over it.
    Hellos,
}

/// Whether a relay is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RelayState"))]
#[serde(rename_all = "snake_case")]
pub enum RelayStateDto {
    /// The node keeps a connection to it, over which others reach it.
    Home,
    /// There is no connection to it.
    Unreachable,
    /// Another one is used.
    Spare,
}

impl From<&ReachView> for ReachDto {
    fn from(reach: &ReachView) -> Self {
        Self {
            addresses: reach.addresses.iter().map(ToString::to_string).collect(),
            outside: reach.outside.iter().map(ToString::to_string).collect(),
            multicast: MulticastDto::from(&reach.lan),
            relays: reach.relays.iter().map(KnownRelayDto::from).collect(),
        }
    }
}

impl From<&LanView> for MulticastDto {
    fn from(lan: &LanView) -> Self {
        let plain = |state| Self { state, on: Vec::new(), reason: None };
        match lan {
            LanView::Runs(on) => {
                Self { on: on.iter().map(ToString::to_string).collect(), ..plain(MulticastStateDto::Runs) }
            }
            LanView::Alone => plain(MulticastStateDto::Alone),
            LanView::Unwanted => plain(MulticastStateDto::Off),
            LanView::NoNetwork => plain(MulticastStateDto::NoNetwork),
            LanView::Isolated => plain(MulticastStateDto::Isolated),
            LanView::Failed(why) => Self { reason: Some(why.clone()), ..plain(MulticastStateDto::Failed) },
        }
    }
}

impl From<&RelayView> for KnownRelayDto {
    fn from(known: &RelayView) -> Self {
        let (state, reason) = match &known.state {
            RelayState::Home => (RelayStateDto::Home, None),
            RelayState::Unreachable(why) => (RelayStateDto::Unreachable, why.clone()),
            RelayState::Spare => (RelayStateDto::Spare, None),
        };
        Self {
            node: known.relay.node.to_string(),
            address: known.relay.address.to_string(),
            site: known.by.as_ref().map(|member| member.site.to_string()),
            jurisdiction: known.by.as_ref().map(|member| member.jurisdiction.to_string()),
            carries: match known.used_for {
                RelayUse::Everything => CarriesDto::Everything,
                RelayUse::Hellos => CarriesDto::Hellos,
            },
            state,
            reason,
        }
    }
}
