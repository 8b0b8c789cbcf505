//! What nodes say to one another. `hither-wire` turns it into bytes and back.
//!
//! Long because all that is said stands together.

use std::ops::Range;
use std::sync::Arc;

use crate::id::{Attempt, Digest, MeshId, NodeId, Operator, RequestId, SiteName};
use crate::member::{Address, MemberRecord, Roles, Signed};
use crate::model::Device;
use crate::place::Jurisdiction;
use crate::refusal::{Failure, Refusal};
use crate::request::{Cost, Envelope};
use crate::time::WallTime;
use crate::trace::TraceParent;
use crate::unit::{ByteCount, Eighths, MicroHertz, Micros, Milliwatts};
use crate::witness::WitnessWord;

/// How far a model is at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelStage {
    /// The file is being fetched.
    Fetching,
    /// The file is here, and no engine has it.
    Stored,
    /// Loaded and tested.
    Ready,
    /// The file is here, and its engine crashed too often: it is left alone for a while.
    Quarantined,
}

/// What a node says of one model it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelPresence {
    /// The model.
    pub digest: Digest,
    /// How far it is.
    pub stage: ModelStage,
    /// What it runs on once it is ready; the CPU until then.
    pub device: Device,
    /// How many requests it may run at once, power considered.
    pub slots: u16,
    /// How many run.
    pub busy: u16,
    /// How many wait.
    pub queued: u16,
    /// The mean time at the engine, as measured there; zero if unknown.
    pub service: Micros,
}

/// What a node has left for one more model; as a node tells it, coarse, so that it seldom changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Room {
    /// What models may use of its memory in all.
    pub memory: ByteCount,
    /// The share of that which one more model could have: what is free, and what would leave for it.
    pub free: Eighths,
    /// The share of its power for inference that is not in use, on an average.
    pub power: Eighths,
    /// How fast it computes: 4 for a usual machine, twice as much for one that is twice as fast.
    pub speed: u8,
}

/// What a node says of itself, twice a second.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Presence {
    /// Grows with each start of the node: [`crate::incarnation`].
    pub incarnation: u64,
    /// Grows with each presence of one incarnation; an older one is ignored.
    pub sequence: u64,
    /// The models it holds; at most 64.
    pub models: Vec<ModelPresence>,
    /// Power in use.
    pub power: Milliwatts,
    /// The cap in force.
    pub cap: Milliwatts,
    /// The policy in force.
    pub policy: Digest,
    /// What others need to know to decide with it which models go where; nothing if it does not take part in that.
    pub placing: Option<Placing>,
}

/// What a node tells those with whom it decides which models go where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Placing {
    /// What it has left for one more model.
    pub room: Room,
    /// How often models are asked for that count at this node, the most wanted 32, by digest.
    pub demand: Vec<(Digest, MicroHertz)>,
}

/// How busy a place is with one model, by its own fresh word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Load {
    /// Requests that it can run at once, power considered; 0 if it has no engine for it.
    pub slots: u16,
    /// Requests that run.
    pub busy: u16,
    /// Requests that wait there.
    pub queued: u16,
    /// Predicted wait of one more.
    pub wait: Micros,
    /// … if it is critical, and goes before all that is not.
    pub urgent: Micros,
    /// Mean service time; zero if unknown.
    pub service: Micros,
}

/// Finding a place for a request: labels and counts, never a payload. Each may be lost; nobody waits for one for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Signal {
    /// How busy are you with a model? So many of mine wait for a slot.
    Probe {
        /// Comes back in the answer.
        number: u32,
        /// The model.
        digest: Digest,
        /// Requests for it that wait at the sender.
        queued: u16,
    },
    /// The answer to a probe.
    State {
        /// That of the probe.
        number: u32,
        /// The model.
        digest: Digest,
        /// How busy.
        load: Load,
    },
    /// May I send you this? The payload comes only after a yes.
    Offer {
        /// The request.
        request: RequestId,
        /// Which try.
        attempt: Attempt,
        /// The model that it shall run on.
        digest: Digest,
        /// What travels with it.
        envelope: Envelope,
        /// Time left.
        remaining: Micros,
        /// The wait that the sender believes in.
        promised: Micros,
    },
    /// Yes: a slot is kept for it for a moment.
    Accept {
        /// The request.
        request: RequestId,
        /// Which try.
        attempt: Attempt,
        /// How busy.
        load: Load,
    },
    /// No, with the reason.
    Reject {
        /// The request.
        request: RequestId,
        /// Which try.
        attempt: Attempt,
        /// Why.
        refusal: Refusal,
        /// How busy.
        load: Load,
    },
    /// I have a free slot for a model: send me one that waits at your place.
    Steal {
        /// Comes back in the answer.
        number: u32,
        /// The number of the probe that this answers; 0 if none.
        answers: u32,
        /// The model.
        digest: Digest,
        /// How busy, the slot that is kept for it included.
        load: Load,
    },
    /// Nothing waits here that you may run.
    Nothing {
        /// That of the word that is answered.
        number: u32,
        /// The model.
        digest: Digest,
    },
}

/// A sign of life between neighbours: one calls, the other answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pulse {
    /// Grows with each pulse of this link.
    pub number: u32,
    /// The highest number heard from the other end; 0 if none. Who is not echoed is not heard.
    pub echo: u32,
    /// Whether the sender watches the other end by its own choice.
    pub watches: bool,
    /// A hash of who belongs, which models there are and who said what of membership. Who knows otherwise tells it.
    pub heads: u64,
    /// A hash of who is there and in which start, as far as both ends should know the same.
    pub words: u64,
}

/// What members tell each other of third ones. Of two words on one node that with the greater incarnation and sequence
/// counts; of two with the same, "gone".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rumour {
    /// What a node said of itself.
    Said {
        /// The node.
        node: NodeId,
        /// Its word.
        presence: Arc<Presence>,
    },
    /// Nobody hears it any more; only a newer word of its own ends that.
    Gone {
        /// The node.
        node: NodeId,
        /// The incarnation of its last word.
        incarnation: u64,
        /// The sequence of its last word.
        sequence: u64,
    },
    /// One of those that watch it does not hear it.
    Doubt {
        /// The node.
        node: NodeId,
        /// The incarnation of its last word.
        incarnation: u64,
        /// The sequence of its last word.
        sequence: u64,
        /// Who does not hear it.
        by: NodeId,
    },
}

/// Small talk between members. Never carries payload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerMessage {
    /// Who speaks, and what it can do.
    Presence(Presence),
    /// Model entries; inside each is a [`crate::model::Manifest`].
    Catalog(Vec<Signed>),
    /// Other members and where they are.
    Members(Vec<MemberRecord>),
    /// A word on the way to a place for a request.
    Signal(Signal),
    /// The authority log; inside each is a [`crate::authority::AuthorityEntry`].
    Authority(Vec<Signed>),
    /// A sign of life.
    Pulse(Pulse),
    /// What was heard of others; at most 64.
    Rumours(Vec<Rumour>),
    /// Which start of its program speaks, and whether its key runs anywhere else.
    Start(StartWord),
    /// Versions of models that take over, and what was found of them: a [`crate::rollout::RolloutWord`] in each.
    Rollouts(Vec<Signed>),
    /// Something about witnesses of a ledger.
    Witness(WitnessWord),
    /// Something about the text of a published policy.
    Policy(PolicyWord),
    /// How far members are from others: a [`crate::near::NearReport`] in each.
    Near(Vec<Signed>),
}

/// How the text of a policy that the founder published gets from member to member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PolicyWord {
    /// The text with this digest is wanted here.
    Wanted(Digest),
    /// This is a text that was wanted.
    Text(String),
}

/// A start of a program: two of one key are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Start {
    /// When it was, by the clock of its machine.
    pub at: WallTime,
    /// Drawn by chance. Who signs it was alive after this start.
    pub challenge: [u8; 32],
    /// That of its presences.
    pub incarnation: u64,
}

/// How it comes out that a key runs on two machines at once. A member that hears two starts of one key passes the
/// challenge of each to the other; what comes back is signed with the key itself, so that no member can make it up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StartWord {
    /// This is who speaks.
    Mine {
        /// The start.
        start: Start,
        /// What its clock shows.
        now: WallTime,
    },
    /// Another start of your key drew this.
    Asked {
        /// The challenge of that start.
        challenge: [u8; 32],
    },
    /// Inside is a [`StartProof`], signed with the key that runs twice.
    Proved(Signed),
}

/// What a start signs to show that it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StartProof {
    /// The challenge that it answers: that of another start.
    pub answers: [u8; 32],
    /// The start that signs.
    pub start: Start,
}

/// What those who share a file say to each other about one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChunkTalk {
    /// The file.
    pub digest: Digest,
    /// What is said.
    pub word: ChunkWord,
}

/// A word about the chunks of a file on its way to many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ChunkWord {
    /// These chunks are here, too: from the first of each range up to and without the last.
    Have(Vec<Range<u32>>),
    /// The first of these chunks may be fetched now, else another of them, else any that is here, rarest first. At most 8.
    Offer(Vec<u32>),
    /// What was offered under this chunk's name is not wanted.
    Decline(u32),
    /// This chunk is on its way here.
    Coming(u32),
    /// It is not, or not soon enough.
    Lost(u32),
}

/// A request on its way to a peer: the head of a request stream.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    /// The request.
    pub request: RequestId,
    /// Which try.
    pub attempt: Attempt,
    /// The model that it shall run on: that of the envelope's name, or a smaller one of its family.
    pub digest: Digest,
    /// What the label and the rest say.
    pub envelope: Envelope,
    /// Time left until the deadline.
    pub remaining: Micros,
    /// Token ids already delivered to the client, to go on from.
    pub resume: Vec<u32>,
    /// The work, encoded by `hither-engine`.
    pub payload: Vec<u8>,
    /// Where the request stands in a trace, if it belongs to one.
    pub trace: Option<TraceParent>,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Ask({}, attempt {}, {} bytes {}, {} tokens resumed)",
            self.request,
            self.attempt.0,
            self.payload.len(),
            self.envelope.label.class,
            self.resume.len()
        )
    }
}

/// What comes back on a request stream.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Frame {
    /// The request runs or waits there.
    Accepted,
    /// Due every 250 ms. The number grows only when the engine advances.
    Beat {
        /// Steps of the engine so far.
        progress: u64,
    },
    /// A part of the answer, encoded by `hither-engine`.
    Piece(Vec<u8>),
    /// The end, with what it took.
    Done(Cost),
    /// The place says no.
    Declined(Refusal),
    /// The place tried and failed.
    Failed(Failure),
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted => f.write_str("Accepted"),
            Self::Beat { progress } => write!(f, "Beat({progress})"),
            Self::Piece(bytes) => write!(f, "Piece({} bytes)", bytes.len()),
            Self::Done(cost) => write!(f, "Done({cost:?})"),
            Self::Declined(refusal) => write!(f, "Declined({refusal:?})"),
            Self::Failed(failure) => write!(f, "Failed({failure:?})"),
        }
    }
}

/// What a node says on a connection before it is known as a member.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Hello {
    /// It wants to become a member by an invite.
    Join {
        /// The mesh that the invite names.
        mesh: MeshId,
        /// The invite: the first 16 bytes of BLAKE3 of its secret.
        invite: [u8; 16],
        /// The keyed BLAKE3 hash of the joiner's own key under the invite's secret.
        proof: [u8; 32],
        /// Where it can be reached.
        addresses: Vec<Address>,
    },
    /// It is a member that the other may not have heard of yet.
    Introduce(MemberRecord),
    /// It wants to become a member, and words that people can compare on both screens. It draws a number for them, and
    /// says only its hash: whoever stands between the two cannot choose numbers that give the same words.
    Meet {
        /// The mesh that the invite names.
        mesh: MeshId,
        /// The invite: the first 16 bytes of BLAKE3 of its secret.
        invite: [u8; 16],
        /// The keyed BLAKE3 hash of the joiner's own key under the invite's secret.
        proof: [u8; 32],
        /// The hash of the number.
        commitment: [u8; 32],
    },
    /// It met the issuer, and shows its number.
    Reveal {
        /// The invite.
        invite: [u8; 16],
        /// The number.
        number: [u8; 32],
        /// Where it can be reached.
        addresses: Vec<Address>,
    },
}

/// The answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HelloReply {
    /// The joiner is a member now, or the member is known now.
    Welcome {
        /// The certificate: new for a joiner, the same for a member.
        certificate: Signed,
        /// The members that this node knows, itself included.
        members: Vec<MemberRecord>,
        /// The catalog.
        catalog: Vec<Signed>,
        /// The authority log.
        authority: Vec<Signed>,
    },
    /// No, and why, in one sentence for a person.
    Refused(String),
    /// The number of the issuer, for words that people can compare; the joiner shows its own now.
    Met([u8; 32]),
    /// A person at the issuer has not typed the words yet; the joiner asks again.
    Waiting,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Join { mesh, .. } => write!(f, "Join({mesh:?})"),
            Self::Introduce(record) => write!(f, "Introduce({:?})", record.addresses),
            Self::Meet { mesh, .. } => write!(f, "Meet({mesh:?})"),
            Self::Reveal { addresses, .. } => write!(f, "Reveal({addresses:?})"),
        }
    }
}

/// What becomes of the words of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Both screens show them; the joiner is let in without waiting for anybody.
    Shown,
    /// The joiner's screen shows them, and it is let in once a person has typed them at the issuer.
    Typed,
}

/// What an invite says: the inside of a ticket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Invite {
    /// The mesh.
    pub mesh: MeshId,
    /// Who made it, and will answer the joiner.
    pub issuer: NodeId,
    /// Where the issuer can be reached.
    pub addresses: Vec<Address>,
    /// Good for one use.
    pub secret: [u8; 16],
    /// The site that the joiner will be.
    pub site: SiteName,
    /// Where the joiner will stand.
    pub jurisdiction: Jurisdiction,
    /// When it ends.
    pub expires: WallTime,
    /// The issuer's signature by which relays among the addresses let the joiner on for its hello; none if there are none.
    pub pass: Option<[u8; 64]>,
    /// What becomes of words that people can compare; none in tickets of programs that know no words.
    pub comparison: Option<Comparison>,
    /// What the joiner may do as a member.
    pub roles: Roles,
    /// Who runs it, if not whoever runs the issuer.
    pub operator: Option<Operator>,
}

impl std::fmt::Debug for Invite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invite({} in {}, from {:?})", self.site, self.jurisdiction, self.issuer)
    }
}
