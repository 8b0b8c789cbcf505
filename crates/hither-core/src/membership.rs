//! Who is there: each node is watched by a few neighbours, and what they see is passed on from neighbour to neighbour.
//!
//! The nodes of a site stand in a few orders as on rings, and each watches the next and the one before on every ring (the
//! K-ring monitoring overlay of Rapid, Suresh et al., USENIX ATC 2018). The gateways of all sites do the same among
//! themselves. So a node keeps a handful of links, however large the mesh is; random probing, as in SWIM, would need a
//! connection to each member, whose signs of life alone cost more than all that is said here.
//!
//! What must stay true:
//! - Words on one node are ordered by (incarnation, sequence, gone): whoever has heard the same words believes the same, in
//!   whatever order they came. Only the node itself makes a newer word, so a wrong "gone" is refuted by whom it is about.
//! - One neighbour alone declares nobody gone, unless nobody else could.
//! - Nothing is said while nothing changes, but for the pulses of the standing links.
//! - A member is never forgotten because it is silent: who belongs is the certificates' matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hither_types::id::{NodeId, SiteName};
use hither_types::message::{PeerMessage, Presence, Pulse, Rumour};
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::limits;

mod members;
mod neighbours;
mod pending;
#[cfg(test)]
mod tests;
mod watch;
mod word;

use members::{Members, Node};
use neighbours::Places;
use pending::Pending;
use watch::Watch;

/// What happened.
#[derive(Debug, Clone)]
pub enum Sign {
    /// Somebody belongs.
    Added {
        /// Who.
        node: NodeId,
        /// Its site.
        site: SiteName,
    },
    /// Somebody does not belong any more.
    Removed(NodeId),
    /// There is a link to a member.
    LinkUp(NodeId),
    /// There is none any more.
    LinkDown(NodeId),
    /// A link that was wanted could not be made.
    Unreachable(NodeId),
    /// A member told of itself.
    Told {
        /// Who.
        from: NodeId,
        /// What.
        presence: Arc<Presence>,
    },
    /// A neighbour called or answered.
    Pulse {
        /// Who.
        from: NodeId,
        /// What.
        pulse: Pulse,
    },
    /// A neighbour told of others.
    Rumours {
        /// Who.
        from: NodeId,
        /// What.
        rumours: Vec<Rumour>,
    },
    /// How long a packet takes there and back, over a link that is up.
    RoundTrip {
        /// To whom.
        node: NodeId,
        /// How long.
        rtt: Micros,
    },
    /// This node has something to tell of itself.
    Own(Presence),
    /// The number of this node's start grew: somebody else spoke with its key.
    Reborn(u64),
    /// The deadline has come.
    Tick,
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Keep links to these members, and to no others for their own sake.
    Keep(Vec<NodeId>),
    /// Say something to a member to whom there is a link.
    Say {
        /// To whom.
        to: NodeId,
        /// What.
        message: PeerMessage,
    },
    /// A member is there, and said this.
    There {
        /// Who.
        node: NodeId,
        /// What.
        presence: Arc<Presence>,
    },
    /// A member is not there, or cannot be reached.
    Silent(NodeId),
}

/// Where a node stands among those who may speak for its site: those with the least numbers do.
pub fn rank(node: NodeId, site: &SiteName) -> u64 {
    Places::of(node, site).rank
}

/// Who is there, as one node sees it.
#[derive(Debug)]
pub struct Membership {
    me: NodeId,
    places: Places,
    incarnation: u64,
    sequence: u64,
    own: Option<Arc<Presence>>,
    now: Timestamp,
    started: Timestamp,
    nodes: Members,
    linked: BTreeSet<NodeId>,
    watches: BTreeMap<NodeId, Watch>,
    wanted: BTreeSet<NodeId>,
    /// Nodes of this site that other sites were shown.
    delegates: BTreeSet<NodeId>,
    gateway: bool,
    /// No neighbour is heard.
    alone: bool,
    /// When neighbours are to be chosen anew.
    choose_at: Option<Timestamp>,
    chosen: Option<Timestamp>,
    pulse_at: Timestamp,
    pending: Pending,
    doubted: BTreeSet<NodeId>,
    /// When those who are doubted were judged last, and when they will be.
    judged: Timestamp,
    judge_at: Option<Timestamp>,
    /// When nodes fell lately.
    fallen: Vec<Timestamp>,
    heads: u64,
    /// Doubts and deaths that neighbours are told of, all that one sign brought in one message.
    spreading: BTreeMap<NodeId, Vec<Rumour>>,
    out: Vec<Deed>,
}

impl Membership {
    /// A node that knows nobody yet. The incarnation grows with each start.
    pub fn new(me: NodeId, site: &SiteName, incarnation: u64, now: Timestamp) -> Self {
        Self {
            me,
            places: Places::of(me, site),
            incarnation,
            sequence: 0,
            own: None,
            now,
            started: now,
            nodes: Members::default(),
            linked: BTreeSet::new(),
            watches: BTreeMap::new(),
            wanted: BTreeSet::new(),
            delegates: BTreeSet::new(),
            gateway: false,
            alone: false,
            choose_at: None,
            chosen: None,
            // Not all at once after a power cut.
            pulse_at: now.after(Micros(me.prefix() % limits::PULSE.0)),
            pending: Pending::default(),
            doubted: BTreeSet::new(),
            judged: Timestamp(0),
            judge_at: None,
            fallen: Vec::new(),
            heads: 0,
            spreading: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// What this node knows, as neighbours are told with each pulse from now on.
    pub fn knows(&mut self, heads: u64) {
        self.heads = heads;
    }

    /// Takes in what happened and says what shall be done, in order. Time never goes backwards.
    pub fn handle(&mut self, sign: Sign, now: Timestamp) -> std::vec::Drain<'_, Deed> {
        let late = now.since(self.pulse_at) > limits::PULSE_LATE && !self.watches.is_empty();
        self.now = self.now.max(now);
        if late {
            // This node itself stood still: what the others said meanwhile is waiting behind this.
            self.excuse_all();
        }
        self.take(sign);
        self.look_at_watches();
        self.pulse();
        self.judge_if_due();
        self.choose_if_due();
        self.relay();
        self.say_spreading();
        self.out.drain(..)
    }

    /// When [`Sign::Tick`] is due next, if nothing else happens: later than the last sign that was handled.
    pub fn deadline(&self) -> Timestamp {
        let watches = self.watches.values().filter_map(Watch::deadline);
        let others = watches.chain(self.pending.first()).chain(self.judge_at).chain(self.choose_at);
        others.fold(self.pulse_at, Timestamp::min)
    }

    /// Members that are there, as this node believes.
    pub fn there(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.all().filter(|(_, node)| node.is_there()).map(|(id, _)| id)
    }

    /// Whether a member is there, as this node believes.
    pub fn is_there(&self, node: NodeId) -> bool {
        self.nodes.get(node).is_some_and(Node::is_there)
    }

    /// Whether this node talks to other sites.
    pub fn is_gateway(&self) -> bool {
        self.gateway
    }

    /// The members to which this node wants a link.
    pub fn neighbours(&self) -> impl Iterator<Item = NodeId> {
        self.wanted.iter().copied()
    }

    fn take(&mut self, sign: Sign) {
        match sign {
            Sign::Added { node, site } => self.added(node, &site),
            Sign::Removed(node) => self.removed(node),
            Sign::LinkUp(node) => self.link_up(node),
            Sign::LinkDown(node) => self.link_down(node),
            Sign::Unreachable(node) => self.unreachable(node),
            Sign::Told { from, presence } => {
                self.heard_directly(from);
                self.said(from, from, presence);
            }
            Sign::Pulse { from, pulse } => self.pulsed(from, pulse),
            Sign::Rumours { from, rumours } => {
                self.heard_directly(from);
                for rumour in rumours {
                    self.rumour(from, rumour);
                }
            }
            Sign::RoundTrip { node, rtt } => self.measured(node, rtt),
            Sign::Own(presence) => self.tell_own(presence),
            Sign::Reborn(incarnation) => self.reborn(incarnation),
            Sign::Tick => {}
        }
    }

    fn added(&mut self, node: NodeId, site: &SiteName) {
        if node == self.me {
            return;
        }
        self.nodes.add(node, Places::of(node, site));
        self.choose_soon();
    }

    fn removed(&mut self, node: NodeId) {
        self.nodes.remove(node);
        self.linked.remove(&node);
        self.watches.remove(&node);
        self.pending.drop(node);
        self.doubted.remove(&node);
        self.delegates.remove(&node);
        for (_, other) in self.nodes.all_mut() {
            other.doubts.retain(|by| *by != node);
        }
        self.choose_soon();
    }

    fn say(&mut self, to: NodeId, message: PeerMessage) {
        self.out.push(Deed::Say { to, message });
    }

    /// Tells the driver whether a member is there, if that changed or there is a newer word.
    fn show(&mut self, id: NodeId, news: bool) {
        let reachable = self.is_reachable(id);
        let Some(node) = self.nodes.get_mut(id) else { return };
        let there = node.is_there() && reachable;
        match (&node.said, there) {
            (Some(said), true) if news || !node.shown => {
                node.shown = true;
                self.out.push(Deed::There { node: id, presence: Arc::clone(said) });
            }
            (_, false) if node.shown => {
                node.shown = false;
                self.out.push(Deed::Silent(id));
            }
            _ => {}
        }
    }

    /// Whether this node itself has no reason to think that a member cannot be reached.
    fn is_reachable(&self, id: NodeId) -> bool {
        let watched = self.watches.get(&id).is_none_or(|watch| watch.is_live());
        let avoided = self.nodes.get(id).is_some_and(|node| self.now < node.avoided);
        watched && !avoided && !self.alone
    }
}
