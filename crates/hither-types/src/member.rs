//! Who belongs. Whether a member is present at the moment is another matter.

use std::fmt;
use std::net::SocketAddr;

use crate::id::{MeshId, NodeId, Operator, ParseIdError, SiteName};
use crate::place::{Assurance, Jurisdiction, PlaceFacts};
use crate::time::{DAY_MS, WallTime};
use crate::unit::{Hours, Micros};

/// A certificate's life, in days: it ends so long after it was made.
pub const CERTIFICATE_DAYS: u64 = 30;

/// A certificate may be from the future by so much, in milliseconds: clocks of members differ.
const CERTIFIED_AHEAD_MS: u64 = 600_000;

/// A member of the mesh, as its certificate states.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its key.
    pub node: NodeId,
    /// Its mesh.
    pub mesh: MeshId,
    /// Its site.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Which states can compel its operator.
    pub control: Option<Vec<Jurisdiction>>,
    /// Who runs it.
    pub operator: Operator,
    /// How well the jurisdiction is supported.
    pub assurance: Assurance,
    /// When the certificate ends.
    pub expires: WallTime,
    /// What it may do.
    pub roles: Roles,
}

impl Member {
    /// When the certificate was made: it says its end, and all hold equally long.
    pub fn certified(&self) -> WallTime {
        WallTime(self.expires.0.saturating_sub(CERTIFICATE_DAYS * DAY_MS))
    }

    /// What is wrong with the age of the certificate at a moment, if it supports no assurance by a policy that wants it to be
    /// made anew so often.
    ///
    /// One that was made in the future, by more than clocks differ, is not new: else one that ends late would be new for long.
    pub fn outdated(&self, within: Option<Hours>, now: WallTime) -> Option<Outdated> {
        let (within, made) = (within?, self.certified());
        (self.is_ahead(now) || now.since(made) > within.micros()).then_some(Outdated { made, now, within })
    }

    /// Whether the certificate was made in the future, by more than clocks differ.
    pub fn is_ahead(&self, now: WallTime) -> bool {
        self.certified().0 > now.0.saturating_add(CERTIFIED_AHEAD_MS)
    }

    /// Whether a certificate is believed rather than another one of the same member: the later one is, unless a clock that was
    /// ahead made it.
    pub fn is_newer_than(&self, other: &Self, now: WallTime) -> bool {
        (!self.is_ahead(now), self.expires) > (!other.is_ahead(now), other.expires)
    }

    /// The facts that the law asks for at a moment: claimed, if the certificate is older than the policy wants.
    pub fn place_at(&self, within: Option<Hours>, now: WallTime) -> PlaceFacts {
        match self.outdated(within, now) {
            Some(_) => PlaceFacts { assurance: Assurance::Claimed, ..self.place() },
            None => self.place(),
        }
    }

    /// The facts that the law asks for.
    pub fn place(&self) -> PlaceFacts {
        PlaceFacts {
            node: Some(self.node),
            site: Some(self.site.clone()),
            jurisdiction: self.jurisdiction,
            control: self.control.clone(),
            operator: self.operator.clone(),
            assurance: self.assurance,
        }
    }
}

/// A certificate that supports no assurance, since the policy wants newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outdated {
    /// When it was made.
    pub made: WallTime,
    /// When that was found.
    pub now: WallTime,
    /// How long ago the policy lets that be.
    pub within: Hours,
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, before) = (self.now.since(self.made), self.made.since(self.now));
        match before {
            Micros(0) => write!(f, "its certificate was made more than {} h ago", after.0 / Hours(1).micros().0)?,
            Micros(ahead) => {
                write!(f, "its certificate was made {} min from now by the clock here", ahead / 60_000_000)?
            }
        }
        write!(f, ", and the policy here wants one of the last {} h (certified_within_hours)", self.within.0)
    }
}

/// One thing that a member may do. Who lets others in is no role: the authority log says that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Answer requests of other members.
    Serve,
    /// Ask other members.
    Request,
    /// Pass ciphertext on between members.
    Relay,
    /// Put models into the catalog.
    Publish,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Serve, Self::Request, Self::Relay, Self::Publish];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Request => "request",
            Self::Relay => "relay",
            Self::Publish => "publish",
        }
    }

    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| ParseIdError::new("serve, request, relay or publish", text))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a member may do: some roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// All roles: what a certificate gives that says nothing of them.
    pub const ALL: Self = Self(0b1111);

    /// These roles and no others.
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | 1 << role as u8))
    }

    /// As bits, the first role lowest.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Reads bits; nothing for a role that this program does not know.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits & !Self::ALL.0 == 0).then_some(Self(bits))
    }

    /// Whether one is among them.
    pub fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Whether others has all of them.
    pub fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Role::as_str).collect();
        f.write_str(&names.join(","))
    }
}

/// Bytes with the key that signed them. What is inside is decoded by `hither-wire` after the signature was checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signed {
    /// The signed bytes.
    pub bytes: Vec<u8>,
    /// The Ed25519 key that signed them.
    pub signer: NodeId,
    /// The signature.
    pub signature: [u8; 64],
}

/// What may go over a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelayUse {
    /// Hellos alone: it is not known yet where the relay stands, or the law does not let payloads over it.
    Hellos,
    /// Everything that goes between members.
    Everything,
}

/// A relay: a node that passes ciphertext on between nodes that cannot reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relay {
    /// The node that runs it. It proves this key whenever somebody connects, and its certificate says where it stands.
    pub node: NodeId,
    /// Where it listens: TCP for what it passes on, UDP of the same number for telling others how they look from outside.
    pub address: SocketAddr,
}

/// A way to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// Packets go to it.
    Direct(SocketAddr),
    /// Packets go over a relay. Among the addresses of the node that runs the relay, it says that there is one.
    Relayed(Relay),
}

impl Address {
    /// The address, if packets go to it without a relay.
    pub fn direct(self) -> Option<SocketAddr> {
        match self {
            Self::Direct(address) => Some(address),
            Self::Relayed(_) => None,
        }
    }

    /// The relay, if packets go over one.
    pub fn relay(self) -> Option<Relay> {
        match self {
            Self::Direct(_) => None,
            Self::Relayed(relay) => Some(relay),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Direct(address)
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.address)
    }
}

impl std::str::FromStr for Relay {
    type Err = ParseIdError;

    /// Reads `KEY@IP:PORT`.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::new("a relay as its node prints it: KEY@IP:PORT", text);
        let (node, address) = text.split_once('@').ok_or_else(wrong)?;
        Ok(Self { node: NodeId::parse(node).map_err(|_| wrong())?, address: address.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(address) => write!(f, "{address}"),
            Self::Relayed(relay) => write!(f, "relay {} at {}", relay.node.short(), relay.address),
        }
    }
}

/// A member's certificate and where it was last reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberRecord {
    /// The certificate; inside is a [`Member`].
    pub certificate: Signed,
    /// Addresses, best first.
    pub addresses: Vec<Address>,
}
