//! A door with a script behind it: for the tests of this crate, and for work on the dashboard without a mesh.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hither_api::batches::BatchStore;
use hither_api::callers::{Access, AppEntry, Callers, Key, KeyId, Limits, SECRET_BYTES};
use hither_api::door::policy::{PolicyInForce, Publications};
use hither_api::door::{
    Answer, AppCommand, AppDone, Command, CommandDone, CommandError, Door, InviteStage, InviteState, Pinged, Reception,
    Referrer, Reply, Route, Submission, Summary, Until,
};
use hither_api::errors::{Code, Problem};
use hither_api::jobs::JobStore;
use hither_api::trainings::TrainingStore;
use hither_engine::work::{FinishReason, Piece};
use hither_types::authority::{
    AuthorityView, Change, Issuer, Proposal, Publication, PublishedPolicy, Quorum, Range, Scope,
};
use hither_types::filter::{DataKind, Findings};
use hither_types::id::{AppName, Attempt, Digest, MeshId, ModelName, NodeId, Operator, RequestId, RuleId, SiteName};
use hither_types::label::{DataClass, Label};
use hither_types::law::{Denial, FailedField, LawAction, NearMiss, Then, Verdict, WhatIf, Whose};
use hither_types::member::{Member, Relay, RelayUse, Role, Roles};
use hither_types::message::ModelStage;
use hither_types::model::{Datatype, Device, Manifest, ModelFormat, ModelIo, TensorSpec};
use hither_types::near::Evidence;
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::refusal::{DeniedPlace, Refusal};
use hither_types::request::Cost;
use hither_types::rollout::{Rollout, RolloutView, Tally};
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::{ByteCount, Micros, Millijoules, Milliwatts};
use hither_types::version::Program;
use hither_types::view::{
    ChunkCell, CoursePartner, CourseView, Egress, Explanation, LanView, ModelView, NodeView, PresenceView, ReachView,
    RelayState, RelayView, RequestState, RequestView, Step, Totals, View, Wire, WireFlow, WireWords,
};
use tokio::sync::{mpsc, watch};

// Named, since an example of this crate has this file, too.
#[path = "fake/example.rs"]
mod example;

pub(crate) use example::example;
use example::{member, name, place, publication, rule, site};

/// The user that the node runs as.
pub(crate) const OWNER: u32 = 1000;

/// What is behind the door for one request.
pub(crate) type Script = dyn Fn(&Submission) -> Result<Vec<Answer>, Refusal> + Send + Sync;

/// The door.
pub(crate) struct FakeDoor {
    view: watch::Sender<Arc<View>>,
    script: Box<Script>,
    /// Envelopes, patiences and payloads, as they came.
    pub(crate) submissions: Mutex<Vec<Submission>>,
    /// Commands, as they came.
    pub(crate) commands: Mutex<Vec<String>>,
    /// Who may call; what is asked about apps is done here alone, on no disk.
    pub(crate) callers: Arc<Callers>,
    apps: Mutex<Vec<AppEntry>>,
    /// How many clients left before the end of their answer.
    pub(crate) left: watch::Sender<u32>,
    /// Whether answers go on after the script, without an end.
    pub(crate) endless: bool,
    /// After so many answers, the rest waits for a word.
    pub(crate) pause: Option<(usize, watch::Receiver<bool>)>,
    /// Where jobs are kept.
    pub(crate) jobs: Option<Arc<dyn JobStore>>,
    /// Where files are kept.
    pub(crate) batches: Option<Arc<dyn BatchStore>>,
    /// Where trainings are.
    pub(crate) trainings: Option<Arc<dyn TrainingStore>>,
    next: AtomicU64,
}

impl FakeDoor {
    /// A door with a script, before the example mesh.
    pub(crate) fn new(script: impl Fn(&Submission) -> Result<Vec<Answer>, Refusal> + Send + Sync + 'static) -> Self {
        Self {
            view: watch::Sender::new(Arc::new(example())),
            script: Box::new(script),
            submissions: Mutex::default(),
            commands: Mutex::default(),
            callers: Arc::new(Callers::new(Access::default(), [7; 32], OWNER)),
            apps: Mutex::default(),
            left: watch::Sender::new(0),
            endless: false,
            pause: None,
            jobs: None,
            batches: None,
            trainings: None,
            next: AtomicU64::new(0),
        }
    }

    /// The same, before callers as a configuration wants them.
    pub(crate) fn guarded(mut self, access: Access) -> Self {
        self.callers = Arc::new(Callers::new(access, [7; 32], OWNER));
        self
    }

    /// Takes an app in, and gives its key.
    pub(crate) fn add_app(&self, name: &str, uid: Option<u32>, limits: Limits) -> String {
        let mut apps = self.apps.lock().unwrap();
        let key = self.key();
        let entry = AppEntry::new(AppName::parse(name).unwrap(), self.callers.mark(&key), limits);
        apps.push(AppEntry { uid, ..entry });
        self.callers.replace(&apps);
        key.reveal().to_owned()
    }

    fn key(&self) -> Key {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Key::new(KeyId(0xabcd_0000 + number as u32), [0xa5 ^ number as u8; SECRET_BYTES])
    }

    fn change(&self, command: AppCommand) -> Result<AppDone, CommandError> {
        let mut apps = self.apps.lock().unwrap();
        let absent = || CommandError { code: "E0161", message: "no such app".to_owned(), help: String::new() };
        let find = |apps: &[AppEntry], name: &AppName| apps.iter().position(|app| app.name == *name).ok_or_else(absent);
        let (entry, key) = match command {
            AppCommand::Add { name, change } => {
                let (key, limits) = (self.key(), Limits::default());
                let mut entry = AppEntry::new(name, self.callers.mark(&key), limits);
                change.apply(&mut entry);
                apps.push(entry.clone());
                (entry, Some(key))
            }
            AppCommand::Limit { name, change } => {
                let at = find(&apps, &name)?;
                change.apply(&mut apps[at]);
                (apps[at].clone(), None)
            }
            AppCommand::Rotate(name) => {
                let (at, key) = (find(&apps, &name)?, self.key());
                apps[at].key = self.callers.mark(&key);
                (apps[at].clone(), Some(key))
            }
            AppCommand::Shred(name) => {
                let at = find(&apps, &name)?;
                (apps[at].clone(), None)
            }
            AppCommand::Remove(name) => {
                let at = find(&apps, &name)?;
                (apps.remove(at), None)
            }
        };
        self.callers.replace(&apps);
        Ok(AppDone { entry, key })
    }

    /// Forgets all that was handed in, asked and changed, so that the next request is the first.
    pub(crate) fn forget(&self) {
        self.submissions.lock().unwrap().clear();
        self.commands.lock().unwrap().clear();
        self.apps.lock().unwrap().clear();
        self.callers.replace(&[]);
        self.next.store(0, Ordering::Relaxed);
    }

    /// Replaces the picture.
    pub(crate) fn show(&self, view: View) {
        self.view.send_replace(Arc::new(view));
    }
}

impl Door for FakeDoor {
    fn submit(&self, submission: Submission) -> Result<Reception, Refusal> {
        let answers = (self.script)(&submission)?;
        self.submissions.lock().unwrap().push(submission);
        let request = RequestId(
            0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(self.next.fetch_add(1, Ordering::Relaxed)),
        );
        let (sender, receiver) = mpsc::channel(4);
        let left = self.left.clone();
        let (endless, mut pause) = (self.endless, self.pause.clone());
        tokio::spawn(async move {
            for (at, answer) in answers.into_iter().enumerate() {
                if let Some((_, go)) = pause.as_mut().filter(|(after, _)| *after == at) {
                    go.wait_for(|go| *go).await.unwrap();
                }
                if sender.send(answer).await.is_err() {
                    left.send_modify(|left| *left += 1);
                    return;
                }
            }
            if endless {
                sender.closed().await;
                left.send_modify(|left| *left += 1);
            }
        });
        Ok(Reception { request, answers: receiver, leaving: Box::new(()) })
    }

    fn refer(&self, _: &AppName, body: Bytes) -> Reply<Option<Referrer>> {
        Box::pin(async move { Some(Referrer::new(move |_| Digest(blake3::hash(&body).into()))) })
    }

    fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    fn wire(&self) -> Wire {
        let flow = WireFlow { open: 2, sent: ByteCount(300), received: ByteCount(200), ..WireFlow::default() };
        let words = WireWords { messages: 4, bytes: ByteCount(500) };
        Wire { flows: vec![("talk", flow)], words: vec![("presence", words)] }
    }

    fn explain(&self, request: RequestId) -> Reply<Option<Explanation>> {
        let view = Arc::clone(&self.view.borrow());
        Box::pin(async move {
            let found = view.recent.iter().find(|recent| recent.request == request)?.clone();
            let at = found.at;
            let steps = vec![
                (at, Step::Arrived),
                (
                    at.after(Micros(40)),
                    Step::Permitted { site: site("munich"), action: LawAction::Infer, rule: rule("eea-personal") },
                ),
                (
                    at.after(Micros(41)),
                    Step::Denied {
                        site: site("jakarta"),
                        node: NodeId([3; 32]),
                        action: LawAction::Infer,
                        denial: denial(),
                        what_ifs: what_ifs(),
                    },
                ),
                (at.after(Micros(60)), Step::Chosen { site: site("munich"), predicted: Micros(380_000) }),
                (at.after(Micros(800)), Step::Recorded { bytes: ByteCount(1832), prefix: None }),
                (at.after(Micros(412_000)), Step::Answered { site: site("munich") }),
            ];
            Some(Explanation { request: found, label: "subjects FR, purpose triage".to_owned(), steps })
        })
    }

    fn command(&self, command: Command) -> Reply<Result<CommandDone, CommandError>> {
        self.commands.lock().unwrap().push(format!("{command:?}"));
        let view = Arc::clone(&self.view.borrow());
        let scope =
            Scope { within: vec![view.me.jurisdiction], operators: Vec::new(), roles: Roles::of([Role::Request]) };
        let issuer = Issuer { node: NodeId([3; 32]), scope };
        Box::pin(async move {
            match command {
                Command::AddModel(_) => Ok(CommandDone::ModelAdded(view.models[0].clone())),
                Command::PullModel(name) if view.models.iter().any(|model| model.name == name) => {
                    Ok(CommandDone::PullBegun)
                }
                Command::Publish { until, .. } => {
                    let expires = match until {
                        Until::For(span) => Some(WallTime(1_800_000_000_000 + span.0 / 1000)),
                        Until::AsBefore | Until::NoEnd => None,
                    };
                    Ok(CommandDone::Published { revision: 2, expires })
                }
                Command::RollOut(asked) => {
                    Ok(CommandDone::RolledOut { from: asked.name, to: asked.to, share: asked.share })
                }
                Command::RollBack(name) => {
                    Ok(CommandDone::RolledBack { from: format!("{name}:2"), to: name.to_string() })
                }
                Command::RemoveModel { last, .. } => Ok(CommandDone::ModelRemoved { holders: usize::from(!last) }),
                Command::PinModel(_) => Ok(CommandDone::Pinned { here: true }),
                Command::UnpinModel(_) => Ok(CommandDone::Unpinned),
                Command::VerifyModel(_) => Ok(CommandDone::Verified { answers: 3 }),
                Command::PullModel(name) => Err(CommandError {
                    code: "E0207",
                    message: format!("nobody in the mesh has a model called {name}"),
                    help: "hither models".to_owned(),
                }),
                Command::Invite(_) => Ok(CommandDone::Invited { ticket: "hither1abc".to_owned(), invite: [0xab; 16] }),
                Command::InviteState(_) => {
                    let words = Some("copper walnut piano lagoon".to_owned());
                    Ok(CommandDone::Invite(InviteState { stage: InviteStage::Joined, node: Some(view.me.node), words }))
                }
                Command::Confirm { .. } => {
                    Ok(CommandDone::Confirmed { node: view.me.node, site: view.me.site.clone() })
                }
                Command::Join { .. } | Command::JoinState => {
                    let words = Some("copper walnut piano lagoon".to_owned());
                    Ok(CommandDone::Joining { words, member: Some(view.me.clone()) })
                }
                Command::Leave => Ok(CommandDone::Left(view.me.clone())),
                Command::Quorum(quorum) => Ok(CommandDone::Proposed { id: [0xcd; 32], needed: quorum.needed }),
                Command::Authority => Ok(CommandDone::Authority(AuthorityView {
                    mesh: view.me.mesh,
                    founder: view.me.node,
                    issuers: vec![issuer.clone()],
                    revoked: vec![NodeId([4; 32])],
                    quorum: Quorum { needed: 1, approvers: vec![NodeId([5; 32])] },
                    proposals: vec![Proposal {
                        id: [0xcd; 32],
                        change: Change::Appoint(issuer),
                        approved: vec![NodeId([5; 32])],
                    }],
                    publications: vec![publication()],
                    entries: 3,
                })),
                Command::Ping { node, count } => Ok(CommandDone::Pinged(Pinged {
                    node,
                    took: (1..=u64::from(count)).map(|n| Micros(n * 1000)).collect(),
                    path: None,
                    seen_as: None,
                })),
                Command::Policy | Command::ApplyPolicy(_) => Ok(CommandDone::Policy(PolicyInForce {
                    digest: Digest([5; 32]),
                    version: 2,
                    text: "version = 2".to_owned(),
                    file: "/etc/hither/policy.toml".into(),
                })),
                Command::Policies => Ok(CommandDone::Policies(Publications {
                    apart: None,
                    here: Some(Digest([5; 32])),
                    list: vec![publication()],
                    held: vec![Digest([5; 32])],
                    in_force: Digest([5; 32]),
                })),
                Command::PolicyText(_) => Ok(CommandDone::PolicyText("version = 2".to_owned())),
                Command::CloseModel(_)
                | Command::PublishPolicy(_)
                | Command::SetCap(_)
                | Command::Isolate(_)
                | Command::AskWitnesses
                | Command::RecordExport(_)
                | Command::ReloadPolicy
                | Command::Revoke(_)
                | Command::Appoint(_)
                | Command::Approve(_)
                | Command::Dismiss(_) => Ok(CommandDone::Done),
            }
        })
    }

    fn callers(&self) -> Arc<Callers> {
        Arc::clone(&self.callers)
    }

    fn apps(&self, command: AppCommand) -> Reply<Result<AppDone, CommandError>> {
        let done = self.change(command);
        Box::pin(async move { done })
    }

    /// As the built-in rule has it, and by a permit for the purpose `kept`.
    fn may_keep(&self, _: &AppName, _: Option<&ModelName>, label: &Label) -> Verdict {
        let purpose = label.purpose.as_ref().map(|purpose| purpose.as_str());
        match (label.class <= DataClass::Personal, purpose) {
            (true, Some("forbidden")) => {
                let rule = RuleId::parse("nothing-rests").unwrap();
                Verdict::Denied(Denial::Forbidden { rule, nearest: None })
            }
            (true, _) => Verdict::Permitted(RuleId::parse("local").unwrap()),
            (false, Some("kept")) => Verdict::Permitted(RuleId::parse("may-rest").unwrap()),
            (false, _) => Verdict::Denied(Denial::NotPermitted { nearest: None }),
        }
    }

    fn unlabelled(&self) -> DataClass {
        DataClass::Internal
    }

    fn me(&self) -> NodeId {
        NodeId([1; 32])
    }

    fn jobs(&self) -> Result<Arc<dyn JobStore>, Problem> {
        self.jobs.clone().ok_or_else(|| Problem::new(Code::JobsOff, "this node keeps no jobs: its disk is read-only"))
    }

    fn batches(&self) -> Result<Arc<dyn BatchStore>, Problem> {
        self.batches.clone().ok_or_else(|| Problem::new(Code::JobsOff, "this node keeps no files and no batches"))
    }

    fn trainings(&self) -> Result<Arc<dyn TrainingStore>, Problem> {
        self.trainings.clone().ok_or_else(|| Problem::new(Code::NotOffered, "this node hands no training over"))
    }
}

/// Munich serves it.
pub(crate) fn routed() -> Answer {
    routed_to(None)
}

/// Munich serves it, by another model of the family.
pub(crate) fn stepped_down(model: &str) -> Answer {
    routed_to(Some(name(model)))
}

/// The first word of an answer by a server outside the mesh, before which addresses were masked.
pub(crate) fn masked() -> Answer {
    let Answer::Routed(route) = routed_to(None) else { unreachable!("it was just made") };
    Answer::Routed(Route { masked: Findings([(DataKind::Email, 2)].into()), ..route })
}

fn routed_to(instead: Option<ModelName>) -> Answer {
    let served_by = member(1, "munich", "DE-BY");
    Answer::Routed(Route {
        attempt: Attempt(1),
        served_by,
        rule: rule("eea-personal"),
        instead,
        version: None,
        masked: Default::default(),
    })
}

/// A part of a stream.
pub(crate) fn tokens(first: u32, ids: &[u32], text: &str) -> Answer {
    Answer::Piece(Piece::tokens(first, ids.to_vec(), text.to_owned()))
}

/// The last part of a stream.
pub(crate) fn end(reason: FinishReason, text: &str) -> Answer {
    Answer::Piece(Piece::end(reason, text.to_owned()))
}

/// The end of any answer.
pub(crate) fn done() -> Answer {
    Answer::Done(Summary {
        cost: Cost {
            queued: Micros(1_250),
            prefill: Micros(20_000),
            decode: Micros(300_001),
            prompt_tokens: 9,
            output_tokens: 3,
            answer: ByteCount(64),
            energy: Millijoules(2_500),
        },
        attempts: 1,
        migrations: 0,
        egress: ByteCount(1832),
    })
}

/// A denial with its nearest miss.
pub(crate) fn denial() -> Denial {
    let failed = vec![FailedField { field: "target", wanted: "[\"EEA\"]".to_owned(), found: "ID".to_owned() }];
    Denial::NotPermitted { nearest: Some(NearMiss { rule: rule("eea-personal"), failed }) }
}

/// A change that would open that, and one that leaves a forbid in the way.
fn what_ifs() -> Vec<WhatIf> {
    let eea = Then::Permitted(Some(rule("eea-personal")));
    let (now, instead, whose) = ("ID".to_owned(), vec!["[\"EEA\"]".to_owned()], Whose::Place);
    let target = WhatIf { fact: "target", now, instead, whose, then: eea };
    let instead = vec!["infer of personal data by app chat at ID".to_owned()];
    let (now, whose, then) = (String::new(), Whose::Policy, Then::Forbidden(rule("id-bank")));
    vec![target, WhatIf { fact: "permit", now, instead, whose, then }]
}

/// What jakarta says when the data of its people would leave.
pub(crate) fn unlawful() -> Refusal {
    let forbidden = Denial::Forbidden { rule: rule("id-bank"), nearest: None };
    Refusal::Unlawful {
        model: name("smollm2-135m"),
        class: DataClass::Personal,
        denied: vec![
            DeniedPlace {
                node: NodeId([1; 32]),
                jurisdiction: place("DE-BY"),
                action: LawAction::Infer,
                denial: forbidden,
            },
            DeniedPlace {
                node: NodeId([2; 32]),
                jurisdiction: place("FR"),
                action: LawAction::Infer,
                denial: denial(),
            },
        ],
    }
}
