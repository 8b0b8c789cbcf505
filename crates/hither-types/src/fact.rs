//! What the ledger is told. Facts carry labels, sizes and digests, never content.

use crate::filter::Findings;
use crate::id::{AppName, Attempt, Digest, ModelName, NodeId, Operator, Purpose, RequestId, RuleId, SiteName, Tag};
use crate::kernel::{KernelCount, KernelFault};
use crate::label::DataClass;
use crate::law::BlocMove;
use crate::member::Member;
use crate::place::{Assurance, Jurisdiction, PlaceKind};
use crate::rollout::{Rollout, Verdict};
use crate::time::{Day, WallTime};
use crate::unit::{ByteCount, Micros, Millijoules};

/// What a ledger calls a budget that denied a request: no rule of a policy has this id.
pub const BUDGET_RULE: &str = "egress-budget";

/// The app and the model of a request that nobody made, which is put to the law as a test: no app has this name.
pub const CANARY: &str = "canary";

/// The label of a request as it was decided on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The request.
    pub request: RequestId,
    /// Which try; 0 when the fact is about the request as a whole.
    pub attempt: Attempt,
    /// The app.
    pub app: AppName,
    /// The model that was asked for.
    pub model: ModelName,
    /// The model that ran, or was to run, if it is another: the law was asked about that one.
    pub ran: Option<Ran>,
    /// The class of its data.
    pub class: DataClass,
    /// Marks on its data.
    pub tags: Vec<Tag>,
    /// The jurisdictions of the people concerned.
    pub subjects: Vec<Jurisdiction>,
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// The policy in force.
    pub policy: Digest,
}

/// A model that runs in the place of another: a smaller one of its family, or a version of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ran {
    /// Its name.
    pub model: ModelName,
    /// Its digest.
    pub digest: Digest,
}

/// The other end of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Counterpart {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Who runs it.
    pub operator: Operator,
    /// Which states can compel them; `None` is "unknown", an empty list is "nobody".
    pub control: Option<Vec<Jurisdiction>>,
    /// What it is to the node that writes.
    pub kind: PlaceKind,
    /// How well its jurisdiction is supported.
    pub assurance: Assurance,
}

impl Counterpart {
    /// A member, or a server outside the mesh, as the ledger names it.
    pub fn of(member: &Member, kind: PlaceKind) -> Self {
        Self {
            node: member.node,
            site: member.site.clone(),
            jurisdiction: member.jurisdiction,
            operator: member.operator.clone(),
            control: member.control.clone(),
            kind,
            assurance: member.assurance,
        }
    }
}

/// What payload leaves by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Permit {
    /// The rule that permits it.
    pub rule: RuleId,
    /// The policy that the rule is of.
    pub policy: Digest,
}

/// A third place that payload passed as ciphertext on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Passed {
    /// The node that runs the relay.
    pub relay: NodeId,
    /// Its site and where it stands, if it is a member that is known.
    pub place: Option<(SiteName, Jurisdiction)>,
}

/// What a filter did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterVerdict {
    /// Placeholders stand in the place of what was found.
    Masked,
    /// Nothing of the request leaves.
    Blocked,
}

/// A ledger that somebody outside the mesh is given a copy of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Export {
    /// Where they are, as whoever hands it over says.
    pub to: Jurisdiction,
    /// Who they are, if that was said.
    pub operator: Option<Operator>,
    /// How many records its checkpoint covered; the copy holds those that came since as well, this fact among them.
    pub records: u64,
    /// Their Merkle root, SHA-256 as RFC 6962 has it.
    pub root: Digest,
    /// The rules that permit it: sorted, one for each kind of request at least; none if it has no record of any.
    pub rules: Vec<RuleId>,
    /// The policy that they are of.
    pub policy: Digest,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Answered.
    Answered,
    /// Refused, or failed everywhere.
    Refused,
    /// The client left.
    Cancelled,
}

/// One thing that happened and stays on the record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The node started (`config.start`).
    Started {
        /// The policy in force.
        policy: Digest,
        /// The version of the program.
        version: String,
        /// The build of the program, as its linker named it (the note NT_GNU_BUILD_ID); nothing if it has none.
        build: Vec<u8>,
        /// The configuration file; absent if there is none.
        config: Option<Digest>,
        /// Where it stands.
        here: Counterpart,
    },
    /// The law changed (`policy.change`).
    PolicyChanged {
        /// The new policy.
        policy: Digest,
        /// Who published it in the authority log; `None`: it was put in force at this node.
        publisher: Option<NodeId>,
    },
    /// A day came on which lists of the policy have other members (`bloc.change`).
    BlocsChanged {
        /// The policy in force, as before.
        policy: Digest,
        /// The day by which it is read from here on.
        day: Day,
        /// Who came and went.
        moves: Vec<BlocMove>,
    },
    /// A member joined, or this node did (`member.join`).
    Joined(Counterpart),
    /// A member is none any more (`member.revoke`).
    Revoked(Counterpart),
    /// A member left for good, by its own word (`member.leave`).
    Left(Counterpart),
    /// The wall clock of this machine jumped against its steady one (`clock.jump`).
    ClockJumped {
        /// What it should have shown.
        expected: WallTime,
        /// What it showed.
        found: WallTime,
    },
    /// An operator owned up to a damaged ledger, and this one began in its place (`loss.accept`).
    LossAccepted {
        /// How many records its last checkpoint covers; 0 if that cannot be read any more.
        signed: u64,
        /// Their Merkle root, SHA-256 as RFC 6962 has it.
        root: Option<Digest>,
        /// SHA-256 of the file of its records as it was found.
        file: Digest,
    },
    /// The counters of a kernel were read (`kernel.counted`).
    KernelCounted(KernelCount),
    /// They could not be read (`kernel.unread`).
    KernelUnread(KernelFault),
    /// A model was admitted to the store (`model.admit`).
    ModelAdmitted {
        /// Its name.
        model: ModelName,
        /// Its digest.
        digest: Digest,
        /// Its size.
        size: ByteCount,
        /// Who it came from; `None` if from this machine.
        from: Option<NodeId>,
    },
    /// An entry of the catalog was taken in: a model's first, or one that replaces it (`model.publish`).
    Published {
        /// The model's name.
        model: ModelName,
        /// Its digest.
        digest: Digest,
        /// Which of its entries, from 0.
        revision: u64,
        /// Who signed the entry.
        publisher: NodeId,
        /// When the entry ends; `None` if it does not.
        expires: Option<WallTime>,
    },
    /// A member let a new version of a model take over, or took it back (`model.rollout`).
    RolledOut(Rollout),
    /// A member found a new version bad (`model.judged`).
    Judged(Verdict),
    /// Members measured that a member answers from much farther than before: its key is used elsewhere (`member.moved`).
    Moved {
        /// The member.
        member: Counterpart,
        /// One of those that measured it.
        by: NodeId,
        /// The smallest round trip to it now.
        rtt: Micros,
        /// … and before.
        before: Micros,
    },
    /// A request was refused by law (`deny`).
    Denied {
        /// The request.
        subject: Subject,
        /// The forbid that matched, if one did.
        rule: Option<RuleId>,
        /// The places considered.
        considered: u8,
    },
    /// The law would let a request out that must stay: it was asked about one, without payload (`canary.permit`).
    CanaryPermitted {
        /// The request that nobody made.
        subject: Subject,
        /// Where it might go, or the first of several places.
        to: Counterpart,
        /// The rule that permits it.
        rule: RuleId,
    },
    /// Payload is about to leave (`egress.intent`). Durable before the first byte.
    EgressIntent {
        /// The request.
        subject: Subject,
        /// Where to.
        to: Counterpart,
        /// The permit.
        rule: RuleId,
        /// The permit for its resting there, if it is meant to: examples to train with.
        rests: Option<RuleId>,
        /// The permit by which what an engine reads of it may stay in its memory there, for the next that begins alike.
        cache: Option<RuleId>,
        /// Bytes of payload.
        bytes: ByteCount,
        /// The keyed reference to what was asked, if its app has them.
        reference: Option<Digest>,
    },
    /// Payload is about to leave for a country to which none left before (`first_transfer`): some laws count from it.
    FirstTransfer {
        /// The country that it leaves.
        left: Jurisdiction,
        /// The country that it goes to.
        to: Jurisdiction,
    },
    /// A filter found something in a request before it left for a server outside the mesh (`egress.filtered`).
    EgressFiltered {
        /// The request.
        subject: Subject,
        /// Where it was to go.
        to: Counterpart,
        /// What was found; nothing, if a part of it could not be read.
        findings: Findings,
        /// Whether it left with placeholders, or nothing of it did.
        verdict: FilterVerdict,
    },
    /// What became of it (`egress.settled`).
    EgressSettled {
        /// The request.
        subject: Subject,
        /// Where it went.
        to: Counterpart,
        /// Bytes of payload that were given to the transport: zero or all.
        bytes: ByteCount,
        /// Bytes of the answer that came back.
        answer: ByteCount,
        /// How this attempt ended.
        outcome: Outcome,
        /// What it left by, if the law changed after its intent was written and another rule or policy held by then.
        left_by: Option<Permit>,
        /// The relay that it passed, if it did.
        over: Option<Passed>,
    },
    /// Payload from a peer was accepted (`ingress.accept`). Durable before the first byte of the answer leaves, and
    /// the permission for that answer: the same permit, read backwards.
    IngressAccepted {
        /// The request.
        subject: Subject,
        /// Where it came from.
        from: Counterpart,
        /// The permit.
        rule: RuleId,
        /// Bytes of payload.
        bytes: ByteCount,
        /// The permit by which what an engine reads of it may stay in its memory here, for the next that begins alike.
        cache: Option<RuleId>,
    },
    /// The answer to a peer ended (`egress.answer`).
    AnswerSent {
        /// The request.
        subject: Subject,
        /// Where it went.
        to: Counterpart,
        /// Bytes of the answer that were given to the transport.
        bytes: ByteCount,
        /// How it ended.
        outcome: Outcome,
        /// The relay that it passed, if it did.
        over: Option<Passed>,
    },
    /// Payload from a peer was refused (`ingress.refuse`).
    IngressRefused {
        /// The request.
        subject: Subject,
        /// Where it came from.
        from: Counterpart,
        /// The forbid that matched, if the law refused it.
        rule: Option<RuleId>,
    },
    /// A request that entered here ended (`request.end`).
    Ended {
        /// The request.
        subject: Subject,
        /// Who served it; `None` if nobody.
        served_by: Option<NodeId>,
        /// How it ended.
        outcome: Outcome,
        /// How many attempts it took.
        attempts: u8,
        /// Energy at this node.
        energy: Millijoules,
        /// From when it entered to its end.
        took: Micros,
        /// The keyed reference to what was asked, if its app has them.
        reference: Option<Digest>,
    },
    /// A copy of this ledger is about to be handed to somebody (`export`). Durable before they have it.
    Exported(Export),
    /// The keys of an app's references were destroyed (`reference.destroy`): what those days' records refer to cannot be found
    /// out any more.
    ReferencesDestroyed {
        /// The app.
        app: AppName,
        /// The first day whose key it was.
        first: Day,
        /// The last.
        last: Day,
        /// Whose `[retention]` wanted it; `None`: an operator did.
        policy: Option<Digest>,
    },
}
