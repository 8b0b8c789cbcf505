//! The operator's interface as JSON: one set of structs for the node that writes it and the command line that reads it.
//!
//! Times are durations (`age_us`), because the clock of the view is known to nobody but its node. Identifiers and
//! names are text here and nowhere behind this boundary.
//!
//! Long because the structs of one interface lie together, each field with its meaning.

use std::collections::BTreeMap;

use hither_types::member::Member;
use hither_types::message::ModelStage;
use hither_types::model::{Manifest, ModelIo, TensorSpec};
use hither_types::place::Assurance;
use hither_types::time::Timestamp;
use hither_types::view::{Explanation, ModelView, NodeView, PresenceView, RequestState, RequestView, Totals, View};
use serde::{Deserialize, Serialize};

use crate::errors::Problem;
use crate::explain;
use crate::what_if::WhatIfDto;

mod apps;
mod asked;
mod authority;
mod courses;
mod evidence;
mod exports;
mod joining;
mod ping;
mod policies;
mod problem;
mod reach;
mod rollouts;
mod spending;

pub use apps::{AddAppDto, AppDto, AppKeyDto, ChangeDto};
pub use asked::{
    AddModelDto, DoneDto, GoldenDto, IsolateDto, NewRolloutDto, PowerDto, PublishDto, RemoveModelDto, SignedFileDto,
};
pub use authority::{AuthorityDto, IssuerDto, ProposalDto, QuorumDto};
pub use courses::{CourseDto, CoursePartnerDto};
pub use evidence::{EvidenceDto, SampleDto};
pub use exports::ExportDto;
pub use joining::{InviteDto, InviteStageDto, InviteStateDto, InvitedDto, JoinDto, TicketDto, WordsDto};
pub use ping::{PathDto, PingDto, PongDto, RelayDto};
pub use policies::{NewPolicyDto, NewPublicationDto, PoliciesDto, PolicyDto, PolicyTextDto, PublicationDto};
pub use problem::ProblemDto;
pub use reach::{CarriesDto, KnownRelayDto, MulticastDto, MulticastStateDto, ReachDto, RelayStateDto};
pub use rollouts::{RolloutDto, RolloutStateDto, TallyDto};
pub use spending::{AppMoneyDto, AppSpendingDto, LinkDto, ServerSpendingDto, SpendingDto};

/// The whole picture: `GET /hither/v1/view`, and each event of `GET /hither/v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "View"))]
pub struct ViewDto {
    /// The state of the mesh in one or two sentences.
    pub summary: String,
    /// This node.
    pub me: MemberDto,
    /// All members, this node first.
    pub nodes: Vec<NodeDto>,
    /// The catalog.
    pub models: Vec<ModelDto>,
    /// The last requests that entered here, newest first.
    pub recent: Vec<RequestDto>,
    /// Totals since the start.
    pub totals: TotalsDto,
    /// The digest of the policy in force.
    pub policy: String,
    /// Things an operator would act on.
    pub warnings: Vec<String>,
    /// The version of the program.
    pub version: String,
    /// How this node and others reach one another; absent from nodes of earlier versions.
    #[serde(default)]
    pub reach: Option<ReachDto>,
    /// Versions that take over from others, or did last; none at nodes of earlier versions.
    #[serde(default)]
    pub rollouts: Vec<RolloutDto>,
    /// Files on their way to this node or, from it, to others; none at nodes of earlier versions.
    #[serde(default)]
    pub courses: Vec<CourseDto>,
    /// What left this node today, and what may; absent from nodes of earlier versions.
    #[serde(default)]
    pub spending: Option<SpendingDto>,
}

/// One member, as its certificate states it; how well it is known where it stands, as the node that answers judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Member"))]
pub struct MemberDto {
    /// Its key, 64 hexadecimal digits.
    pub node: String,
    /// Its mesh, 64 hexadecimal digits.
    pub mesh: String,
    /// Its site.
    pub site: String,
    /// Where it stands.
    pub jurisdiction: String,
    /// Which states can compel its operator; absent if unknown.
    pub control: Option<Vec<String>>,
    /// Who runs it.
    pub operator: String,
    /// `claimed`, `vouched`, `near` or `hardware`.
    pub assurance: String,
    /// When the certificate ends, in milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// What it may do: some of `serve`, `request`, `relay` and `publish`.
    pub roles: Vec<String>,
}

/// Whether a member is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Presence"))]
#[serde(rename_all = "snake_case")]
pub enum PresenceDto {
    /// The node that answers.
    Here,
    /// Heard lately.
    Present,
    /// Not heard for a while.
    Gone,
}

/// One member and what it last said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Node"))]
pub struct NodeDto {
    /// Who.
    pub member: MemberDto,
    /// Whether it is there.
    pub presence: PresenceDto,
    /// How long it has been gone; absent if it is there or was never heard.
    pub gone_us: Option<u64>,
    /// The round trip, if measured.
    pub rtt_us: Option<u64>,
    /// What it holds.
    pub models: Vec<HeldDto>,
    /// Power in use, in milliwatts.
    pub power_mw: u64,
    /// The cap in force, in milliwatts.
    pub cap_mw: u64,
    /// The version of the program that it runs, as it said when it was last linked; absent before that.
    pub program: Option<String>,
    /// Where it can be reached without a relay, as far as the node that answers knows; none from nodes of earlier versions.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// BLAKE3 of the text of the policy that it lives by, as it says; absent before it was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What its assurance rests on; absent for servers outside the mesh, and at nodes of earlier versions.
    #[serde(default)]
    pub evidence: Option<EvidenceDto>,
}

/// How far a model is at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ModelStage"))]
#[serde(rename_all = "snake_case")]
pub enum StageDto {
    /// The file is being fetched.
    Fetching,
    /// The file is here, and no engine has it.
    Stored,
    /// Loaded and tested.
    Ready,
    /// The file is here, and its engine crashed too often: it is left alone for a while.
    Quarantined,
}

/// A model at a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "HeldModel"))]
pub struct HeldDto {
    /// Its digest.
    pub digest: String,
    /// Its name; absent if the catalog does not have it.
    pub name: Option<String>,
    /// How far it is.
    pub stage: StageDto,
    /// What it runs on: `cpu`, `gpu` or `npu`; absent unless it is ready.
    #[serde(default)]
    pub device: Option<String>,
    /// The engine in words, at the node that answers; empty for the models of others.
    #[serde(default)]
    pub engine: String,
    /// Bytes fetched so far.
    pub fetched: u64,
    /// The size of the file; absent if the catalog does not have it.
    pub size: Option<u64>,
    /// How many may run at once.
    pub slots: u16,
    /// How many run.
    pub busy: u16,
    /// How many wait.
    pub queued: u16,
    /// What it takes of this node's memory in bytes; 0 if it is not open, or at another node.
    #[serde(default)]
    pub memory: u64,
    /// What else there is to say: how long it has been loading, why it is not. Empty at other nodes.
    #[serde(default)]
    pub note: String,
    /// Why it is here: `pinned`, `pulled by hand`, `asked for here`, or `owner` with the reason that the node found. Empty at
    /// other nodes, and where nobody knows any more.
    #[serde(default)]
    pub why: String,
}

/// A model in the catalog: `GET /hither/v1/models`, and the answer to adding one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Model"))]
pub struct ModelDto {
    /// What people call it.
    pub name: String,
    /// BLAKE3 of the file, 64 hexadecimal digits.
    pub digest: String,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// The size of the file in bytes.
    pub size: u64,
    /// `onnx`, `gguf` or `stub`.
    pub format: String,
    /// The SPDX licence expression; empty if unknown.
    pub licence: String,
    /// What goes in and what comes out.
    pub io: IoDto,
    /// What it took of its publisher's memory in bytes; 0 if that is not known.
    #[serde(default)]
    pub memory: u64,
    /// Questions whose answers are known: a node offers the model only while its engine gives them.
    #[serde(default)]
    pub known_answers: usize,
    /// The key of the member that published it.
    pub publisher: String,
    /// Grows each time its entry is signed anew.
    #[serde(default)]
    pub revision: u64,
    /// When it must not be used any more, in milliseconds since 1970; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ms: Option<u64>,
    /// Whether that moment has come, by the clock of the node that answers.
    #[serde(default)]
    pub expired: bool,
    /// Who signed its files, as whoever added it checked; empty if nothing was checked.
    #[serde(default)]
    pub signed_by: String,
}

impl ModelDto {
    /// A model of the catalog in a picture.
    pub(crate) fn of(manifest: &Manifest, view: &View) -> Self {
        Self { expired: view.expired.binary_search(&manifest.digest).is_ok(), ..Self::from(manifest) }
    }
}

/// What a model does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ModelIo"))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IoDto {
    /// Tensors in, tensors out.
    Tensors {
        /// Inputs.
        inputs: Vec<TensorDto>,
        /// Outputs.
        outputs: Vec<TensorDto>,
    },
    /// Text in, text out.
    Language {
        /// Prompt and answer together may have this many tokens.
        context_tokens: u32,
    },
}

/// An input or output, as the Open Inference Protocol writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "TensorMetadata"))]
pub struct TensorDto {
    /// Its name.
    pub name: String,
    /// Its element type, in capitals.
    pub datatype: String,
    /// Its dimensions; -1 is one that a request chooses.
    pub shape: Vec<i64>,
}

/// How a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RequestState"))]
#[serde(rename_all = "snake_case")]
pub enum StateDto {
    /// Waiting or running.
    Open,
    /// Answered.
    Answered,
    /// Refused.
    Refused,
    /// Failed everywhere.
    Failed,
    /// The client left.
    Cancelled,
}

/// One request in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Request"))]
pub struct RequestDto {
    /// The request, a UUID.
    pub request: String,
    /// The app.
    pub app: String,
    /// The model.
    pub model: String,
    /// The class of its data.
    pub class: String,
    /// How long ago it came; zero inside an [`ExplanationDto`].
    pub age_us: u64,
    /// The sites where it ran or runs, in order.
    pub route: Vec<String>,
    /// How it stands.
    pub state: StateDto,
    /// How long the answer took, once answered.
    pub took_us: Option<u64>,
    /// What went wrong, if refused or failed.
    pub problem: Option<Problem>,
}

/// Totals since the node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Totals"))]
pub struct TotalsDto {
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
    /// Payload bytes that left with requests.
    pub egress_requests: u64,
    /// Payload bytes that left with answers.
    pub egress_answers: u64,
    /// Energy used by inference, in millijoules.
    pub energy_mj: u64,
}

/// Why a request went where it went: `GET /hither/v1/requests/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Explanation"))]
pub struct ExplanationDto {
    /// The request in short.
    pub request: RequestDto,
    /// The rest of the label, in the policy's words.
    pub label: String,
    /// What happened, in order.
    pub steps: Vec<StepDto>,
}

/// One step in the life of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Step"))]
pub struct StepDto {
    /// How long after the arrival.
    pub after_us: u64,
    /// `arrived`, `permitted`, `denied`, `passed_over`, `chosen`, `queued`, `recorded`, `started`, `attempt_failed`,
    /// `fetch_begun`, `answered`, `refused`, `cancelled` or `served_for`.
    pub kind: String,
    /// The place, where there is one.
    pub site: Option<String>,
    /// The rule, where there is one.
    pub rule: Option<String>,
    /// The step as a sentence for a person.
    pub text: String,
    /// Of a place that the law left out: every single change that would open it, by the law in force when this is asked, or
    /// leave only a forbid in the way. None if the law says something else of the place by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub what_ifs: Vec<WhatIfDto>,
}

impl From<&Member> for MemberDto {
    fn from(member: &Member) -> Self {
        Self {
            node: member.node.to_string(),
            mesh: member.mesh.to_string(),
            site: member.site.to_string(),
            jurisdiction: member.jurisdiction.to_string(),
            control: member.control.as_ref().map(|states| states.iter().map(ToString::to_string).collect()),
            operator: member.operator.to_string(),
            assurance: assurance_word(member.assurance).to_owned(),
            expires_unix_ms: member.expires.0,
            roles: member.roles.iter().map(|role| role.to_string()).collect(),
        }
    }
}

fn assurance_word(assurance: Assurance) -> &'static str {
    match assurance {
        Assurance::Claimed => "claimed",
        Assurance::Vouched => "vouched",
        Assurance::Near => "near",
        Assurance::Hardware => "hardware",
    }
}

impl From<&TensorSpec> for TensorDto {
    fn from(spec: &TensorSpec) -> Self {
        let dimension = |size: &Option<u64>| size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
        Self {
            name: spec.name.clone(),
            datatype: spec.datatype.as_str().to_owned(),
            shape: spec.shape.iter().map(dimension).collect(),
        }
    }
}

impl From<&Manifest> for ModelDto {
    fn from(manifest: &Manifest) -> Self {
        let io = match &manifest.io {
            ModelIo::Tensors { inputs, outputs } => IoDto::Tensors {
                inputs: inputs.iter().map(TensorDto::from).collect(),
                outputs: outputs.iter().map(TensorDto::from).collect(),
            },
            ModelIo::Language { context_tokens } => IoDto::Language { context_tokens: *context_tokens },
        };
        Self {
            name: manifest.name.to_string(),
            digest: manifest.digest.to_string(),
            sha256: hither_types::id::Digest(manifest.sha256).to_string(),
            size: manifest.size.0,
            format: manifest.format.as_str().to_owned(),
            licence: manifest.licence.clone(),
            io,
            memory: manifest.memory.0,
            known_answers: manifest.golden.len(),
            publisher: manifest.publisher.to_string(),
            revision: manifest.revision,
            expires_unix_ms: manifest.expires.map(|end| end.0),
            // What was just published has not ended.
            expired: false,
            signed_by: manifest.signed_by.clone(),
        }
    }
}

impl From<&Totals> for TotalsDto {
    fn from(totals: &Totals) -> Self {
        Self {
            requests: totals.requests,
            answered: totals.answered,
            refused_by_law: totals.refused_by_law,
            refused_otherwise: totals.refused_otherwise,
            migrated: totals.migrated,
            served_for_peers: totals.served_for_peers,
            egress_requests: totals.egress_requests.0,
            egress_answers: totals.egress_answers.0,
            energy_mj: totals.energy.0,
        }
    }
}

impl From<&View> for ViewDto {
    fn from(view: &View) -> Self {
        let catalog: BTreeMap<_, _> = view.models.iter().map(|manifest| (manifest.digest, manifest)).collect();
        let held = |model: &ModelView| {
            let manifest = catalog.get(&model.digest);
            HeldDto {
                digest: model.digest.to_string(),
                name: manifest.map(|manifest| manifest.name.to_string()),
                stage: match model.stage {
                    ModelStage::Fetching => StageDto::Fetching,
                    ModelStage::Stored => StageDto::Stored,
                    ModelStage::Ready => StageDto::Ready,
                    ModelStage::Quarantined => StageDto::Quarantined,
                },
                device: model.device.map(|device| device.as_str().to_owned()),
                engine: model.engine.clone(),
                fetched: model.fetched.0,
                size: manifest.map(|manifest| manifest.size.0),
                slots: model.slots,
                busy: model.busy,
                queued: model.queued,
                memory: model.memory.0,
                note: model.note.clone(),
                why: model.why.clone(),
            }
        };
        Self {
            summary: explain::summary(view),
            me: MemberDto::from(&view.me),
            nodes: view.nodes.iter().map(|node| node_dto(node, &held)).collect(),
            models: view.models.iter().map(|manifest| ModelDto::of(manifest, view)).collect(),
            recent: view.recent.iter().map(|request| request_dto(request, view.at)).collect(),
            totals: TotalsDto::from(&view.totals),
            policy: view.policy.to_string(),
            warnings: view.warnings.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reach: Some(ReachDto::from(&view.reach)),
            rollouts: RolloutDto::all(view),
            courses: CourseDto::all(view),
            spending: Some(SpendingDto::from(&view.spending)),
        }
    }
}

fn node_dto(node: &NodeView, held: &dyn Fn(&ModelView) -> HeldDto) -> NodeDto {
    let (presence, gone) = match node.presence {
        PresenceView::Here => (PresenceDto::Here, None),
        PresenceView::Present => (PresenceDto::Present, None),
        PresenceView::Gone(since) => (PresenceDto::Gone, since),
    };
    NodeDto {
        member: MemberDto::from(&node.member),
        presence,
        gone_us: gone.map(|span| span.0),
        rtt_us: node.rtt.map(|span| span.0),
        models: node.models.iter().map(held).collect(),
        power_mw: node.power.0,
        cap_mw: node.cap.0,
        program: node.program.as_ref().map(ToString::to_string),
        addresses: node
            .addresses
            .iter()
            .filter_map(|address| address.direct())
            .map(|address| address.to_string())
            .collect(),
        policy: node.policy.map(|policy| policy.to_string()),
        evidence: node.evidence.as_ref().map(EvidenceDto::from),
    }
}

fn request_dto(request: &RequestView, now: Timestamp) -> RequestDto {
    let (state, took, problem) = match &request.state {
        RequestState::Open => (StateDto::Open, None, None),
        RequestState::Answered(took) => (StateDto::Answered, Some(took.0), None),
        RequestState::Refused(refusal) => (StateDto::Refused, None, Some(Problem::from(refusal))),
        RequestState::Failed(failure) => (StateDto::Failed, None, Some(Problem::from(failure))),
        RequestState::Cancelled => (StateDto::Cancelled, None, None),
    };
    RequestDto {
        request: request.request.to_string(),
        app: request.app.to_string(),
        model: request.model.to_string(),
        class: request.class.to_string(),
        age_us: now.since(request.at).0,
        route: request.route.iter().map(ToString::to_string).collect(),
        state,
        took_us: took,
        problem,
    }
}

impl From<&Explanation> for ExplanationDto {
    fn from(explanation: &Explanation) -> Self {
        let arrived = explanation.request.at;
        Self {
            request: request_dto(&explanation.request, arrived),
            label: explanation.label.clone(),
            steps: explanation
                .steps
                .iter()
                .map(|(at, step)| StepDto {
                    after_us: at.since(arrived).0,
                    kind: explain::kind(step).to_owned(),
                    site: explain::site(step).map(ToString::to_string),
                    rule: explain::rule(step).map(ToString::to_string),
                    text: explain::text(step),
                    what_ifs: explain::what_ifs(step).iter().map(WhatIfDto::from).collect(),
                })
                .collect(),
        }
    }
}
