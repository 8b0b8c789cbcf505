//! What people are shown: a picture of the node and its mesh at one moment.

use std::net::{IpAddr, SocketAddr};

use crate::filter::Findings;
use crate::id::{AppName, Digest, ModelName, NodeId, RequestId, RuleId, SiteName};
use crate::label::DataClass;
use crate::law::{Denial, LawAction, WhatIf};
use crate::member::{Address, Member, Relay, RelayUse};
use crate::message::ModelStage;
use crate::model::{Device, Manifest};
use crate::near::Evidence;
use crate::refusal::{Failure, Refusal};
use crate::request::Prefix;
use crate::rollout::RolloutView;
use crate::spending::SpendingView;
use crate::time::Timestamp;
use crate::unit::{ByteCount, Micros, Millijoules, Milliwatts};
use crate::version::Program;

/// The whole picture, replaced as one.
#[derive(Debug, Clone)]
pub struct View {
    /// This node.
    pub me: Member,
    /// When the picture was taken, on this node's clock.
    pub at: Timestamp,
    /// All members, this node first.
    pub nodes: Vec<NodeView>,
    /// The catalog.
    pub models: Vec<Manifest>,
    /// Models whose entry has ended, by digest, in order.
    pub expired: Vec<Digest>,
    /// The last requests that entered here, newest first; at most 20.
    pub recent: Vec<RequestView>,
    /// Totals since the start.
    pub totals: Totals,
    /// The policy in force.
    pub policy: Digest,
    /// Things an operator would act on, in one sentence each.
    pub warnings: Vec<String>,
    /// How this node and others reach one another.
    pub reach: ReachView,
    /// Versions that take over from others, or did last.
    pub rollouts: Vec<RolloutView>,
    /// Files on their way to this node or, from it, to others; a moment old.
    pub courses: Vec<CourseView>,
    /// What left this node today, and what may.
    pub spending: SpendingView,
}

/// A file on its way, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourseView {
    /// Which.
    pub digest: Digest,
    /// How many chunks it has.
    pub chunks: u32,
    /// How many of them are here, verified.
    pub here: u32,
    /// How many are on their way here.
    pub coming: u32,
    /// How many are neither, and a partner has them.
    pub elsewhere: u32,
    /// The file from its beginning to its end, in cells of as many chunks each; the last may have fewer.
    pub cells: Vec<ChunkCell>,
    /// Who takes part besides, by key.
    pub partners: Vec<CoursePartner>,
}

/// How far some chunks that follow one another are: as far as the one that is farthest from being here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkCell {
    /// No partner has it, as far as is known.
    Nowhere,
    /// A partner has it.
    Elsewhere,
    /// It is on its way here.
    Coming,
    /// It is here, verified.
    Here,
}

/// Somebody who takes part in a file's way to many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoursePartner {
    /// Who.
    pub node: NodeId,
    /// Whether it is at this node's site.
    pub near: bool,
    /// How many chunks it has, as far as is known.
    pub chunks: u32,
}

/// How this node and others reach one another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReachView {
    /// Its addresses on the networks of its machine.
    pub addresses: Vec<SocketAddr>,
    /// How relays see it from outside; nothing that its machine has itself, and nothing that its operator advertises.
    pub outside: Vec<SocketAddr>,
    /// Whether members are looked for on its own networks.
    pub lan: LanView,
    /// The relays that it knows.
    pub relays: Vec<RelayView>,
}

/// Whether members are looked for on a node's own networks, by multicast.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LanView {
    /// There is no other member to look for.
    #[default]
    Alone,
    /// It announces itself and hears others, at these addresses.
    Runs(Vec<IpAddr>),
    /// The configuration says no.
    Unwanted,
    /// The mesh listens on no network: on loopback alone, or the machine has none at the moment.
    NoNetwork,
    /// This node is cut off by a drill.
    Isolated,
    /// It cannot; why.
    Failed(String),
}

/// A relay that a node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayView {
    /// Which, and the way to it.
    pub relay: Relay,
    /// The member that runs it; none if it is no member's.
    pub by: Option<Member>,
    /// What may go over it.
    pub used_for: RelayUse,
    /// Whether it is used.
    pub state: RelayState,
}

/// Whether a relay is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayState {
    /// The node keeps a connection to it, over which others reach it.
    Home,
    /// It was chosen, and there is no connection to it; why, if a try has failed.
    Unreachable(Option<String>),
    /// Another one is used.
    Spare,
}

/// One member.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Who.
    pub member: Member,
    /// Whether it was heard within the last moments.
    pub presence: PresenceView,
    /// The round trip, if measured.
    pub rtt: Option<Micros>,
    /// What it holds.
    pub models: Vec<ModelView>,
    /// Power in use.
    pub power: Milliwatts,
    /// The cap in force.
    pub cap: Milliwatts,
    /// What left this node for it.
    pub egress: Egress,
    /// Which program it runs, as it said on its link; nothing before there was one.
    pub program: Option<Program>,
    /// Where it can be reached, as far as this node knows; at this node itself, what it tells others.
    pub addresses: Vec<Address>,
    /// The policy that it lives by, as it says; nothing before it was heard.
    pub policy: Option<Digest>,
    /// What its assurance rests on; nothing for servers outside the mesh.
    pub evidence: Option<Evidence>,
}

/// What left this node for another, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// Bytes of payload with requests.
    pub requests: ByteCount,
    /// Bytes of payload with answers.
    pub answers: ByteCount,
    /// Of both, what passed a relay.
    pub relayed: ByteCount,
    /// What was masked before it left.
    pub masked: Findings,
    /// What was found in requests of which nothing left.
    pub blocked: Findings,
    /// How many requests were kept from it by its filter.
    pub withheld: u64,
}

/// Whether a member is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceView {
    /// This node itself.
    Here,
    /// Heard lately.
    Present,
    /// Not heard for this long; `None` if never.
    Gone(Option<Micros>),
}

/// A model at a node.
#[derive(Debug, Clone)]
pub struct ModelView {
    /// Its digest; the name is in the catalog.
    pub digest: Digest,
    /// How far it is.
    pub stage: ModelStage,
    /// What it runs on; only of one that is ready.
    pub device: Option<Device>,
    /// The engine in words, at this node; empty for those of others.
    pub engine: String,
    /// Bytes fetched so far, while fetching.
    pub fetched: ByteCount,
    /// How many may run at once.
    pub slots: u16,
    /// How many run.
    pub busy: u16,
    /// How many wait.
    pub queued: u16,
    /// What it takes of this node's memory; zero if it is not open, or at another node.
    pub memory: ByteCount,
    /// What else a person would want to know: how long it has been loading, why it is not. Empty at other nodes.
    pub note: String,
    /// Why it is here; empty at other nodes, and where nobody knows any more.
    pub why: String,
}

/// One request in a list.
#[derive(Debug, Clone)]
pub struct RequestView {
    /// The request.
    pub request: RequestId,
    /// The app.
    pub app: AppName,
    /// The model.
    pub model: ModelName,
    /// The class of its data.
    pub class: DataClass,
    /// When it came.
    pub at: Timestamp,
    /// Where it ran or runs, in order.
    pub route: Vec<SiteName>,
    /// How it stands.
    pub state: RequestState,
}

/// How a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestState {
    /// Waiting or running.
    Open,
    /// Answered after this long.
    Answered(Micros),
    /// Refused.
    Refused(Refusal),
    /// Failed everywhere.
    Failed(Failure),
    /// The client left.
    Cancelled,
}

/// Totals since the node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that entered here.
    pub requests: u64,
    /// … answered.
    pub answered: u64,
    /// … refused by law.
    pub refused_by_law: u64,
    /// … refused for another reason, or failed.
    pub refused_otherwise: u64,
    /// … that went on elsewhere after a place failed.
    pub migrated: u64,
    /// Requests of peers served here.
    pub served_for_peers: u64,
    /// Payload bytes that left this node with requests.
    pub egress_requests: ByteCount,
    /// Payload bytes that left this node with answers.
    pub egress_answers: ByteCount,
    /// Energy used by inference.
    pub energy: Millijoules,
    /// Requests that waited here and were taken by a peer with a free slot.
    pub stolen: u64,
    /// Offers to peers that were refused.
    pub rejected: u64,
    /// Requests that a smaller model of the family took.
    pub stepped_down: u64,
    /// Second copies of requests that were late at their place.
    pub hedged: u64,
    /// Models that this node fetched by its own decision.
    pub placed: u64,
    /// Models that made way for others here.
    pub evicted: u64,
    /// Requests whose spans the law kept from the collector.
    pub traces_withheld: u64,
}

/// What went over the connections between this node and others since its start, closed ones and those of strangers
/// included: UDP payload, with acknowledgements and repeats, without the headers of UDP and IP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wire {
    /// By what a connection is for.
    pub flows: Vec<(&'static str, WireFlow)>,
    /// What small talk said, by what it is about: what left here, without what the transport adds.
    pub words: Vec<(&'static str, WireWords)>,
}

/// Connections of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireFlow {
    /// Those that are open.
    pub open: u64,
    /// Those of them over which this end sends files that give way to requests just now.
    pub giving_way: u64,
    /// Bytes sent.
    pub sent: ByteCount,
    /// Bytes received.
    pub received: ByteCount,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
}

/// Messages of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireWords {
    /// How many.
    pub messages: u64,
    /// Their bytes.
    pub bytes: ByteCount,
}

/// Why a request went where it went.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The request in short.
    pub request: RequestView,
    /// Whom its data concern, the purpose and the rest of the label, in the policy's words.
    pub label: String,
    /// What happened, in order.
    pub steps: Vec<(Timestamp, Step)>,
}

/// One step in the life of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It entered this node.
    Arrived,
    /// The law was asked about a place that holds the model.
    Permitted {
        /// The place.
        site: SiteName,
        /// What it may do there.
        action: LawAction,
        /// The permit.
        rule: RuleId,
    },
    /// The law was asked, and said no.
    Denied {
        /// The place.
        site: SiteName,
        /// Its node.
        node: NodeId,
        /// What it may not do there.
        action: LawAction,
        /// Why.
        denial: Denial,
        /// What else would have to be so. Worked out when somebody asks, by the law in force then; none if that says something
        /// else of the place by now.
        what_ifs: Vec<WhatIf>,
    },
    /// A lawful place was passed over.
    PassedOver {
        /// The place.
        site: SiteName,
        /// Why, in a few words.
        why: &'static str,
    },
    /// A place was chosen.
    Chosen {
        /// The place.
        site: SiteName,
        /// Predicted time until the answer.
        predicted: Micros,
    },
    /// It waits here for a slot.
    Queued,
    /// The egress is on the record.
    Recorded {
        /// Bytes of payload.
        bytes: ByteCount,
        /// What may become there of what an engine reads of it; of tensors, and outside the mesh, nobody asks.
        prefix: Option<Prefix>,
    },
    /// What was found in it was masked before it left.
    Masked {
        /// The place that it leaves for.
        site: SiteName,
        /// What was found.
        findings: Findings,
    },
    /// It was sent to, or started at, the chosen place.
    Started {
        /// The place.
        site: SiteName,
        /// What the model runs on there, if the place said.
        device: Option<Device>,
    },
    /// An attempt ended without an answer.
    AttemptFailed {
        /// The place.
        site: SiteName,
        /// Why.
        failure: Failure,
    },
    /// The model is being fetched so that the next request can be answered here.
    FetchBegun {
        /// Where from.
        from: SiteName,
    },
    /// Answered.
    Answered {
        /// The place.
        site: SiteName,
    },
    /// Refused.
    Refused(Refusal),
    /// The client left.
    Cancelled,
    /// The node that was asked to serve this did so for another.
    ServedFor {
        /// The origin.
        node: NodeId,
    },
    /// There was no room: a smaller model of the family takes it.
    SteppedDown {
        /// Which one.
        model: ModelName,
    },
    /// A rollout says that the name means this version for this request.
    Version {
        /// What it is called.
        model: ModelName,
        /// Why this one, in a few words.
        why: &'static str,
    },
    /// It is late there: a second copy goes elsewhere, and the first answer counts.
    Hedged {
        /// Where the second copy goes.
        site: SiteName,
    },
}
