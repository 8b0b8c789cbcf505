//! What the front door needs from whoever stands behind it. `hither-node` implements it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hither_engine::work::Piece;
use hither_types::authority::{Issuer, Quorum};
use hither_types::fact::Export;
use hither_types::filter::Findings;
use hither_types::id::{AppName, Attempt, Digest, ModelName, NodeId, Operator, RequestId, RuleId, SiteName};
use hither_types::label::Label;
use hither_types::law::Verdict;
use hither_types::member::{Member, Roles};
use hither_types::message::Comparison;
use hither_types::place::Jurisdiction;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope};
use hither_types::time::WallTime;
use hither_types::trace::TraceParent;
use hither_types::unit::{ByteCount, Micros, Milliwatts};
use hither_types::view::{Explanation, View};
use tokio::sync::{mpsc, watch};

use crate::batches::BatchStore;
use crate::callers::{AppEntry, Callers, Change, Key};
use crate::errors::{Code, Problem};
use crate::jobs::JobStore;
use crate::trainings::TrainingStore;

use policy::{NewPolicy, NewPublication, PolicyInForce, Publications};

mod ping;
pub mod policy;
mod referrer;

pub use ping::{PathTaken, Pinged};
pub use referrer::Referrer;

/// A boxed future, so that the trait can be an object.
pub type Reply<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A request on its way in.
pub struct Submission {
    /// Its label and the rest.
    pub envelope: Envelope,
    /// How long the client will wait.
    pub patience: Micros,
    /// The work, encoded by `hither-engine`.
    pub payload: Bytes,
    /// What it is, in the words of OpenTelemetry's conventions for generative AI (`gen_ai.operation.name`).
    pub operation: &'static str,
    /// The trace of the caller, if it brought one.
    pub trace: Option<TraceParent>,
    /// Whether the client takes the answer whole, so that its pieces need not come one by one.
    pub whole: bool,
    /// How the record refers to what the client sent, if its app has references.
    pub referrer: Option<Referrer>,
}

/// The other end of a request. Dropping it cancels the request everywhere.
pub struct Reception {
    /// The id of the request.
    pub request: RequestId,
    /// What comes back.
    pub answers: mpsc::Receiver<Answer>,
    /// Tells whoever is behind the door when it is dropped.
    pub leaving: Box<dyn Send + Sync>,
}

/// What comes back for a request.
#[derive(Debug)]
pub enum Answer {
    /// A place serves it; comes before the first piece of each attempt.
    Routed(Route),
    /// A part of the answer.
    Piece(Piece),
    /// Several at once, in their order.
    Together(Vec<Answer>),
    /// The end.
    Done(Summary),
    /// A "no". Nothing comes after it.
    Refused(Refusal),
    /// Every place failed, or the input is wrong. Nothing comes after it.
    Failed(Failure),
}

/// Where a request is served.
#[derive(Debug, Clone)]
pub struct Route {
    /// Which try.
    pub attempt: Attempt,
    /// Who serves it.
    pub served_by: Member,
    /// The rule that allows it.
    pub rule: RuleId,
    /// The model that answers, if it is a smaller one of the family than was asked for.
    pub instead: Option<ModelName>,
    /// The version that answers, if a rollout says that the name means one of another name.
    pub version: Option<ModelName>,
    /// What was masked before the request left for there.
    pub masked: Findings,
}

impl Route {
    /// The model that answers, if it is another than was asked for.
    pub fn ran(&self) -> Option<&ModelName> {
        self.instead.as_ref().or(self.version.as_ref())
    }
}

/// What is known at the end.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What the last attempt took.
    pub cost: Cost,
    /// How many attempts there were.
    pub attempts: u8,
    /// How often the stream went on elsewhere after tokens had been delivered.
    pub migrations: u8,
    /// Payload bytes that left this node for the request.
    pub egress: ByteCount,
}

/// What an operator asks of the node. Only over the Unix socket.
#[derive(Debug)]
pub enum Command {
    /// Take a model file into the store and publish it.
    AddModel(AddModel),
    /// Fetch a model of the catalog.
    PullModel(ModelName),
    /// Close a model that is open here, as soon as nobody uses it; its file stays.
    CloseModel(ModelName),
    /// Keep a model on this node, whatever else needs its room.
    PinModel(ModelName),
    /// Do so no longer.
    UnpinModel(ModelName),
    /// Take a model's file off this node's disk.
    RemoveModel {
        /// Which.
        name: ModelName,
        /// Also if nobody else who is present has it.
        last: bool,
    },
    /// Sign a model's entry in the catalog anew, as this node.
    Publish {
        /// Which.
        name: ModelName,
        /// How long it may be used.
        until: Until,
    },
    /// Let a new version of a model take over from an old one.
    RollOut(NewRollout),
    /// Go back to the version before.
    RollBack(ModelName),
    /// Ask a model that is open here what the catalog knows the answers to.
    VerifyModel(ModelName),
    /// Make an invite for one new member.
    Invite(Invitation),
    /// Tell what has become of an invite of this node, by its name.
    InviteState([u8; 16]),
    /// Let in the node that shows these words: a person read them from its screen.
    Confirm {
        /// As they were typed.
        words: String,
    },
    /// Join a mesh.
    Join {
        /// The ticket, as printed by an invite.
        ticket: String,
    },
    /// Tell how far the last join of this node is.
    JoinState,
    /// Leave the mesh for good.
    Leave,
    /// Tell what the authority log says.
    Authority,
    /// End the membership of a node for good.
    Revoke(NodeId),
    /// Let a member let others in.
    Appoint(Issuer),
    /// Take that back.
    Dismiss(NodeId),
    /// Say whom the founder needs for appointments and dismissals.
    Quorum(Quorum),
    /// Approve a proposal, by the beginning of its id.
    Approve(String),
    /// Measure round trips to a member.
    Ping {
        /// Which.
        node: NodeId,
        /// How many.
        count: u32,
    },
    /// Ask peers to sign the checkpoint of this node's ledger, now.
    AskWitnesses,
    /// Put on the record that somebody gets a copy of this node's ledger: done when it is on the disk.
    RecordExport(Export),
    /// Change the power cap.
    SetCap(Milliwatts),
    /// Cut the node off from all peers, or heal it: a drill, allowed only where the configuration says so.
    Isolate(bool),
    /// Read the policy file again.
    ReloadPolicy,
    /// Tell the policy in force.
    Policy,
    /// Put another policy in force, and write it to where the node reads its policy.
    ApplyPolicy(NewPolicy),
    /// Have the nodes of a range live by a policy.
    PublishPolicy(NewPublication),
    /// Tell which policies were published, and who lives by which.
    Policies,
    /// Tell the text of a policy that was published or proposed, or was in force here once, by the beginning of its digest.
    PolicyText(String),
}

/// A new version that is to take over from an old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRollout {
    /// The name that people ask for.
    pub name: ModelName,
    /// The new version.
    pub to: ModelName,
    /// How many requests of a thousand it answers.
    pub share: u16,
    /// At which sites; none means all.
    pub sites: Vec<SiteName>,
    /// How many requests of a thousand more than with the old version may fail.
    pub tolerance: u16,
}

/// What an invite is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The site of the new member.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Who runs it, if not whoever runs this node.
    pub operator: Option<Operator>,
    /// What it may do.
    pub roles: Roles,
    /// What becomes of words that people can compare.
    pub comparison: Comparison,
    /// How long the invite holds.
    pub lifetime: Micros,
}

/// How far an invite is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteStage {
    /// Nobody has come with it.
    Open,
    /// A node is here, and gets its certificate in a moment.
    Met,
    /// A node is here, and its words have to be typed.
    Waiting,
    /// A node was let in.
    Joined,
    /// It was used before this node was started anew, or by a program that knows no words.
    Used,
    /// Its time is over.
    Expired,
}

/// What has become of an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteState {
    /// How far it is.
    pub stage: InviteStage,
    /// Who came with it.
    pub node: Option<NodeId>,
    /// The words to compare with those on its screen, unless they have to be typed from there.
    pub words: Option<String>,
}

/// How long a model may be used, as an entry that is signed anew says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// As long as the entry said before.
    AsBefore,
    /// So long from now on.
    For(Micros),
    /// For ever.
    NoEnd,
}

/// A model to take in.
#[derive(Debug)]
pub struct AddModel {
    /// The file.
    pub path: PathBuf,
    /// What people call it.
    pub name: ModelName,
    /// The SPDX licence expression; empty if unknown.
    pub licence: String,
    /// Known answers; if there are none, those that the engine gives here count.
    pub golden: Vec<hither_types::model::Golden>,
    /// How long from now on it may be used; none: for ever, or as long as the catalog says already.
    pub valid_for: Option<Micros>,
    /// Who signed its files, as whoever asks checked, if anybody did.
    pub signed: Option<SignedFile>,
}

/// A signature of a publisher that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFile {
    /// Who signed: the method, and the key's SHA-256 or the certificate's subject; at most 256 bytes, none of control.
    pub by: String,
    /// BLAKE3 of the file that was checked: the node takes no other.
    pub digest: Digest,
}

/// What came of a command.
#[derive(Debug, Clone)]
pub enum CommandDone {
    /// The model is in the store and the catalog.
    ModelAdded(hither_types::model::Manifest),
    /// Its entry was signed anew.
    Published {
        /// Of the entry.
        revision: u64,
        /// When it must not be used any more; none: never.
        expires: Option<WallTime>,
    },
    /// The fetch has begun or was not needed; progress is in the view.
    PullBegun,
    /// The file is gone from this disk.
    ModelRemoved {
        /// How many members that are present have it still.
        holders: usize,
    },
    /// A new version answers from now on.
    RolledOut {
        /// The old one.
        from: ModelName,
        /// The new one.
        to: ModelName,
        /// How many requests of a thousand.
        share: u16,
    },
    /// The old version answers again.
    RolledBack {
        /// The new one, which is left.
        from: String,
        /// The old one.
        to: String,
    },
    /// The model stays on this node from now on.
    Pinned {
        /// Whether its file is here already.
        here: bool,
    },
    /// It does so no longer.
    Unpinned,
    /// The model gave all answers that are known.
    Verified {
        /// How many.
        answers: usize,
    },
    /// The ticket.
    Invited {
        /// The text to give to the new member.
        ticket: String,
        /// The name of the invite.
        invite: [u8; 16],
    },
    /// What has become of an invite.
    Invite(InviteState),
    /// The node whose words were typed is let in when it asks again, in a second.
    Confirmed {
        /// Which.
        node: NodeId,
        /// Its site from now on.
        site: SiteName,
    },
    /// It is proposed, and in force once enough approvers say so.
    Proposed {
        /// Its id, by which they name it.
        id: [u8; 32],
        /// How many of them.
        needed: u8,
    },
    /// What the authority log says.
    Authority(hither_types::authority::AuthorityView),
    /// The policy in force.
    Policy(PolicyInForce),
    /// Which policies were published.
    Policies(Publications),
    /// The text of a policy.
    PolicyText(String),
    /// Round trips to a member.
    Pinged(Pinged),
    /// This node is a member now: of a mesh of one.
    Left(Member),
    /// How far a join is.
    Joining {
        /// The words to compare with those at the issuer, once they are known and if it knows any.
        words: Option<String>,
        /// What this node is now; nothing while it is not let in.
        member: Option<Member>,
    },
    /// Done.
    Done,
}

/// What an operator asks about apps. Only over the Unix socket.
#[derive(Debug)]
pub enum AppCommand {
    /// Take an app in and make its key.
    Add {
        /// What it is called.
        name: AppName,
        /// What is different from an app without limits.
        change: Change,
    },
    /// Change what an app may do; its key stays.
    Limit {
        /// Which.
        name: AppName,
        /// What changes.
        change: Change,
    },
    /// Make a new key; the old one is worth nothing from then on.
    Rotate(AppName),
    /// Forget an app and its key.
    Remove(AppName),
    /// Destroy the keys of an app's references.
    Shred(AppName),
}

/// What came of it.
#[derive(Debug)]
pub struct AppDone {
    /// The app as it is now, or was.
    pub entry: AppEntry,
    /// Its new key, if one was made: for the operator's eyes, once.
    pub key: Option<Key>,
}

/// Why a command was not carried out: one sentence each, with what to type next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// A stable code such as `E0207`.
    pub code: &'static str,
    /// What happened and why.
    pub message: String,
    /// What to type next; empty if there is nothing.
    pub help: String,
}

/// What the front door needs.
pub trait Door: Send + Sync + 'static {
    /// Hands a request in. Answers at once; `Overloaded` when the inbox is full.
    fn submit(&self, submission: Submission) -> Result<Reception, Refusal>;
    /// The picture of the node; changes several times a second.
    fn view(&self) -> watch::Receiver<Arc<View>>;
    /// Why a request went where it went, if it is still remembered.
    fn explain(&self, request: RequestId) -> Reply<Option<Explanation>>;
    /// What an operator asks.
    fn command(&self, command: Command) -> Reply<Result<CommandDone, CommandError>>;
    /// Who may call.
    fn callers(&self) -> Arc<Callers>;
    /// What an operator asks about apps. It holds for the next request.
    fn apps(&self, command: AppCommand) -> Reply<Result<AppDone, CommandError>>;
    /// What the law says of keeping a request of an app on the disk of this node (`enqueue`). `model`: if it is known.
    fn may_keep(&self, app: &AppName, model: Option<&ModelName>, label: &Label) -> Verdict;
    /// How records of requests of an app refer to a body. `None`: it is no app any more, or its key cannot be had, which an
    /// operator is told.
    fn refer(&self, app: &AppName, body: Bytes) -> Reply<Option<Referrer>>;
    /// The class of a request without a label, and the least that a label may say.
    fn unlabelled(&self) -> hither_types::label::DataClass;
    /// The node itself.
    fn me(&self) -> NodeId;
    /// What went over the connections to other nodes. Counted when it is asked for, since it looks at each of them.
    fn wire(&self) -> hither_types::view::Wire {
        hither_types::view::Wire::default()
    }
    /// Whoever keeps jobs, or why nobody does.
    fn jobs(&self) -> Result<Arc<dyn JobStore>, Problem> {
        Err(Problem::new(Code::JobsOff, "this node keeps no jobs")
            .help("send the request itself and wait for its answer"))
    }
    /// Whoever keeps files and batches, or why nobody does.
    fn batches(&self) -> Result<Arc<dyn BatchStore>, Problem> {
        Err(Problem::new(Code::JobsOff, "this node keeps no files and no batches")
            .help("send each request itself and wait for its answer"))
    }
    /// Whoever keeps a record of trainings that are handed over, or why nobody does.
    fn trainings(&self) -> Result<Arc<dyn TrainingStore>, Problem> {
        Err(Problem::new(Code::NotOffered, "this node hands no training over")
            .help("name an endpoint that trains: trains = [\"assistant\"] under [endpoint.NAME] in hither.toml"))
    }
}
