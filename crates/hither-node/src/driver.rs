//! The loop: it waits for its inbox and for the mind's deadline, never for a hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};

use hither_api::door::{Answer, Command, CommandDone, CommandError};
use hither_core::membership::{Membership, Sign};
use hither_core::{Core, Event};
use hither_swarm::{AnswerStream, Swarm, SwarmEvent};
use hither_types::fact::Fact;
use hither_types::id::{Digest, NodeId, RequestId, Task};
use hither_types::law::Policy;
use hither_types::member::{Address, Member, MemberRecord};
use hither_types::message::{Ask, HelloReply, Start};
use hither_types::model::Manifest;
use hither_types::refusal::{Crash, Refusal};
use hither_types::request::Envelope;
use hither_types::time::Timestamp;
use hither_types::unit::Milliwatts;
use hither_types::view::{Egress, Explanation, View};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::apps::Apps;
use crate::canary::Canary;
use crate::clearing::{Clearings, Passage, Verdict};
use crate::clock::{Clocks, Jump};
use crate::config::NodeConfig;
use crate::courses::{CourseAsk, Courses};
use crate::crashes::Crashes;
use crate::doorman::{Clock, Facade, Leavers};
use crate::endpoints::Endpoints;
use crate::home::Home;
use crate::kernel::{Kernel, Reading};
use crate::limits::{ANSWERS_MAX, SETTLES, TAKEN_AT_ONCE, TELL_EVERY, VIEW_EVERY};
use crate::meetings::Meetings;
use crate::mesh::join::{JoinNews, Joining};
use crate::mesh::{Caller, Mesh};
use crate::models::Shelf;
use crate::near::moves::Moves;
use crate::near::{Distances, Measured};
use crate::pins::Pins;
use crate::proof::Unproven;
use crate::published::Texts;
use crate::records::Records;
use crate::rollouts::Versions;
use crate::run::core_config;
use crate::session::{AskSession, Session, Sessions};
use crate::spending::Till;
use crate::traces::{End, Traces};
use crate::trust::{Invites, wall_now};
use crate::twins::Twins;
use crate::witness::{WitnessNews, Witnesses};
use crate::workers::{ReadLoop, Worker};

/// What reaches the loop.
pub(crate) enum Inbound {
    /// Something for the mind.
    Event(Event),
    /// A request of a client.
    Submit {
        session: Arc<Session>,
        envelope: Envelope,
        deadline: Timestamp,
        affinity: Option<u64>,
        reference: Option<Digest>,
    },
    /// A worker is up.
    WorkerUp { digest: Digest, worker: Arc<Worker>, read_loop: Box<ReadLoop> },
    /// A model could not be opened, and why.
    LoadFailed { digest: Digest, text: String },
    /// A worker ended that was not told to, or was: with its number, for another may have its place already, and with how
    /// many jobs it left.
    WorkerLost { digest: Digest, number: u64, crash: Crash, jobs: usize },
    /// An open model was asked what the catalog knows the answers to.
    Proven { digest: Digest, number: u64, result: Result<(), Unproven> },
    /// A model's file is in the store, and what it is was found out; somebody waits to hear of it.
    Added { manifest: Manifest, reply: CommandReply },
    /// A fetch ended badly, and why.
    FetchFailed { digest: Digest, text: String },
    /// A fetch ended well.
    Fetched { digest: Digest, from: Option<NodeId> },
    /// Another member answered an introduction.
    Welcomed { from: NodeId, reply: Result<HelloReply, String> },
    /// A join of this node goes on, or has ended.
    Join(JoinNews),
    /// Somebody wants to know why.
    Explain { request: RequestId, reply: oneshot::Sender<Option<Explanation>> },
    /// A server outside the mesh is there.
    EndpointLives(NodeId),
    /// One said what its models take.
    EndpointDescribed(NodeId),
    /// What is known of one has changed: what it did before counts no more.
    EndpointChanged(NodeId),
    /// A filter has read what is to leave for such a server.
    Cleared { passage: Passage, verdict: Verdict },
    /// A later program with this node's key has left by now.
    Outlasted,
    /// The others had time to hear that this node leaves.
    Leave(CommandReply),
    /// Something about witnesses of ledgers.
    Witness(WitnessNews),
    /// How far a member is.
    Measured(Measured),
    /// Something that only the mind knows is asked on the way of a file.
    Course(CourseAsk),
    /// The wall clock of this machine jumped.
    ClockJumped(Jump),
    /// The counters of the kernel were read, or could not be.
    Kernel(Reading),
    /// Something for the record.
    Note(Fact),
    /// Something that an operator would act on.
    Warn(String),
    /// The same is over.
    WarnOver(String),
    /// An operator wants something.
    Command { command: Command, reply: CommandReply },
}

/// Where the answer to a command goes.
pub(crate) type CommandReply = oneshot::Sender<Result<CommandDone, CommandError>>;

/// The driver: the mind, its hands, and what the hands hold.
pub(crate) struct Driver {
    pub(crate) config: NodeConfig,
    pub(crate) home: Home,
    pub(crate) core: Core,
    pub(crate) membership: Membership,
    pub(crate) clock: Clock,
    pub(crate) policy: Arc<Policy>,
    pub(crate) policy_text: String,
    pub(crate) cap: Milliwatts,
    pub(crate) incarnation: u64,
    pub(crate) swarm: Swarm,
    pub(crate) courses: Courses,
    pub(crate) endpoints: Endpoints,
    pub(crate) clearings: Clearings,
    pub(crate) mesh: Mesh,
    pub(crate) invites: Invites,
    /// Who came with them.
    pub(crate) meetings: Meetings,
    /// The last join of this node.
    pub(crate) joining: Option<Joining>,
    pub(crate) shelf: Shelf,
    pub(crate) versions: Versions,
    /// Models that stay here.
    pub(crate) pins: Pins,
    pub(crate) records: Records,
    pub(crate) inbox: mpsc::Sender<Inbound>,
    pub(crate) sessions: Sessions,
    pub(crate) apps: Arc<Apps>,
    /// By what the records of requests refer to what was asked, until they have ended.
    pub(crate) referred: BTreeMap<RequestId, Digest>,
    pub(crate) asks: BTreeMap<Task, Arc<AskSession>>,
    pub(crate) forwards: BTreeMap<Task, AbortHandle>,
    pub(crate) workers: BTreeMap<Digest, Arc<Worker>>,
    pub(crate) hands: JoinSet<()>,
    /// Events that carrying out an action gave rise to.
    pub(crate) echoes: VecDeque<Event>,
    pub(crate) view: watch::Sender<Arc<View>>,
    pub(crate) facade: Arc<RwLock<Facade>>,
    /// What an operator would act on, by the model that it is about; what is about none stays until it is said to be over.
    pub(crate) warnings: BTreeSet<(Option<Digest>, String)>,
    /// The crashes of the last minutes, by model.
    pub(crate) crashes: Crashes,
    pub(crate) draining: bool,
    pub(crate) twins: Twins,
    pub(crate) clocks: Clocks,
    pub(crate) distances: Distances,
    /// What is remembered of members whose keys moved.
    pub(crate) moves: Moves,
    /// The later program with this node's key that it found last.
    pub(crate) outlasted: Option<Start>,
    /// An earlier program runs with this node's key: this one serves nobody.
    pub(crate) gave_way: bool,
    /// This node said that it leaves the mesh, and waits until the others have heard it.
    pub(crate) leaving: bool,
    pub(crate) traces: Arc<Traces>,
    /// What left for each peer, as the ledger counts it.
    pub(crate) egress: BTreeMap<NodeId, Egress>,
    pub(crate) till: Till,
    pub(crate) witnesses: Witnesses,
    pub(crate) texts: Texts,
    pub(crate) kernel: Option<Kernel>,
    pub(crate) canary: Canary,
}

/// What the loop listens to.
pub(crate) struct Ears {
    pub(crate) inbox: mpsc::Receiver<Inbound>,
    pub(crate) swarm: mpsc::Receiver<SwarmEvent>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) leavers: Arc<Leavers>,
}

impl Driver {
    /// Runs until told to stop, and then until what runs has ended or its time is up.
    pub(crate) async fn run(&mut self, mut ears: Ears) {
        self.work(&mut ears).await;
        // What came after the last look is answered, too: its client holds the other end, and would wait for ever.
        ears.inbox.close();
        while let Ok(inbound) = ears.inbox.try_recv() {
            if let Inbound::Submit { session, .. } = inbound {
                self.sessions.insert(session.request, session);
            }
        }
        self.drop_sessions();
        self.till.close(&self.core.spending().spent);
    }

    async fn work(&mut self, ears: &mut Ears) {
        let mut show_at: Option<Instant> = None;
        let mut tell = tokio::time::interval(TELL_EVERY);
        let mut drained_by: Option<Instant> = None;
        loop {
            let deadline = self.core.deadline().map(|at| self.instant(at));
            let watched = Some(self.instant(self.membership.deadline()));
            tokio::select! {
                biased;
                // First, so that nothing that keeps the loop busy keeps the node from ending.
                _ = ears.stop.changed(), if !self.draining => {
                    self.draining = true;
                    drained_by = Some(Instant::now() + crate::limits::DRAIN_TIME);
                    self.feed(Event::Draining);
                }
                () = until(drained_by) => return,
                inbound = ears.inbox.recv() => match inbound {
                    Some(inbound) => {
                        self.take(inbound);
                        // What came meanwhile is taken along, so that workers are told of it together.
                        for _ in 1..TAKEN_AT_ONCE {
                            let Ok(inbound) = ears.inbox.try_recv() else { break };
                            self.take(inbound);
                        }
                    }
                    None => return,
                },
                () = until(deadline) => self.feed(Event::Tick),
                () = until(watched) => self.sign(Sign::Tick),
                event = ears.swarm.recv() => match event {
                    Some(event) => self.heard(event),
                    None => return,
                },
                () = until(show_at) => { show_at = None; self.show(); continue },
                _ = tell.tick() => self.look_around(),
                gone = ears.leavers.next() => {
                    // What they had asked came before they left.
                    while let Ok(inbound) = ears.inbox.try_recv() {
                        self.take(inbound);
                    }
                    for request in gone {
                        self.feed(Event::ClientGone(request));
                        if let Some(session) = self.end_session(request) {
                            self.end_trace(&session.trace, request, End::Left);
                        }
                    }
                }
                Some(_) = self.hands.join_next() => continue,
            }
            self.flush();
            if self.draining && self.sessions.is_empty() && self.asks.is_empty() {
                return;
            }
            show_at.get_or_insert_with(|| Instant::now() + VIEW_EVERY);
        }
    }

    fn instant(&self, at: Timestamp) -> Instant {
        Instant::from_std(self.clock.0 + std::time::Duration::from_micros(at.0))
    }

    /// Gives the mind an event, carries out what it wants, and goes on with what that gave rise to.
    pub(crate) fn feed(&mut self, event: Event) {
        self.echoes.push_back(event);
        while let Some(event) = self.echoes.pop_front() {
            if let Event::Failed { task, .. } = event {
                self.give_up(task);
                // Nothing comes of that attempt any more.
                if task.origin == self.home.me.node
                    && self.sessions.get(&task.request).is_some_and(|session| !session.has_begun())
                {
                    self.hand_over(Event::Unanswered(task.request));
                }
            }
            self.hand_over(event);
        }
    }

    fn hand_over(&mut self, event: Event) {
        let now = self.clock.now();
        let actions: Vec<_> = self.core.handle(event, now).collect();
        for action in actions {
            self.carry_out(action);
        }
    }

    fn take(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Event(Event::AskerGone(task)) => {
                self.feed(Event::AskerGone(task));
                if let Some(ask) = self.asks.remove(&task) {
                    self.end_trace(&ask.trace, task.request, End::Left);
                }
            }
            Inbound::Event(event) => self.feed(event),
            Inbound::Submit { session, .. } if self.gave_way => {
                session.end();
                // Whoever asked may have left.
                let _ = session.say(Answer::Refused(Refusal::KeyInUse));
            }
            Inbound::Submit { session, mut envelope, deadline, affinity, reference } => {
                let request = session.request;
                self.referred.extend(reference.map(|reference| (request, reference)));
                envelope.prefer = envelope.prefer.or_else(|| self.belongs_to(&envelope.app));
                self.sessions.insert(request, session);
                self.feed(Event::Submitted { request, envelope, deadline, affinity });
            }
            Inbound::WorkerUp { digest, worker, read_loop } => {
                self.load_ended(digest);
                self.worker_up(digest, worker, *read_loop);
            }
            Inbound::LoadFailed { digest, text } => {
                self.load_ended(digest);
                self.warn(Some(digest), text);
                self.feed(Event::LoadFailed(digest));
            }
            Inbound::FetchFailed { digest, text } => {
                self.warn(Some(digest), text);
                self.feed(Event::FetchFailed(digest));
            }
            Inbound::WorkerLost { digest, number, crash, jobs } => self.worker_lost(digest, number, crash, jobs),
            Inbound::Proven { digest, number, result } => self.proven(digest, number, result),
            Inbound::Added { manifest, reply } => {
                let done = self.added(manifest);
                self.show();
                // Whoever asked may have left.
                let _ = reply.send(done);
            }
            Inbound::Fetched { digest, from } => self.fetched(digest, from),
            Inbound::Welcomed { from, reply } => self.welcomed(from, reply),
            Inbound::Join(news) => self.join_news(news),
            Inbound::Explain { request, reply } => {
                // Whoever asked may have left.
                let _ = reply.send(self.core.explain(request));
            }
            Inbound::EndpointLives(node) => self.endpoint_lives(node),
            Inbound::EndpointDescribed(node) => self.endpoint_described(node),
            Inbound::EndpointChanged(node) => self.endpoint_changed(node),
            Inbound::Cleared { passage, verdict } => self.cleared(passage, verdict),
            Inbound::Outlasted => self.rise_above(self.incarnation),
            Inbound::Leave(reply) => self.left(reply),
            Inbound::Course(ask) => self.asked_on_the_way(ask),
            Inbound::ClockJumped(jump) => self.clock_jumped(jump),
            Inbound::Witness(news) => self.witness_news(news),
            Inbound::Kernel(reading) => self.kernel_read(reading),
            Inbound::Measured(measured) => self.distance_measured(measured),
            Inbound::Note(fact) => self.record(None, fact),
            Inbound::Warn(text) => self.warn(None, text),
            Inbound::WarnOver(text) => self.warnings.retain(|known| known.0.is_some() || known.1 != text),
            Inbound::Command { command, reply } => self.command(command, reply),
        }
    }

    fn heard(&mut self, event: SwarmEvent) {
        match event {
            SwarmEvent::Message { from, message } => self.peer_said(from, message),
            SwarmEvent::Asked { from, ask, answer } => self.asked(from, ask, answer),
            SwarmEvent::Hello { from, from_address: _, speaks, hello, reply } => {
                let answer = self.hello(Caller { node: from, speaks }, hello);
                reply.reply(answer);
            }
            SwarmEvent::Guest { node, pass, reply } => self.guest(node, pass.as_deref(), reply),
            SwarmEvent::HomeRelays(relays) => self.home_relays(relays),
            SwarmEvent::LinkUp(peer) => self.link_up(peer),
            SwarmEvent::LinkDown(peer) => self.link_down(peer),
            SwarmEvent::Unreachable(peer) => self.unreachable(peer),
            SwarmEvent::Apart { peer, reason } => {
                let site = self.member(peer).map(|member| member.site.to_string()).unwrap_or_default();
                self.warn_once(format!("{} {site} cannot be talked to: {reason}", peer.short()));
            }
            SwarmEvent::RoundTrip { peer, rtt } => {
                self.sign(Sign::RoundTrip { node: peer, rtt });
                self.feed(Event::RoundTrip { peer, rtt });
            }
        }
    }

    fn asked(&mut self, from: NodeId, ask: Ask, answer: AnswerStream) {
        let task = Task { origin: from, request: ask.request, attempt: ask.attempt };
        if self.asks.contains_key(&task) {
            tracing::warn!(request = %task.request, peer = %from.short(), "a peer asked the same thing twice");
            return;
        }
        let (frames, receiver) = mpsc::channel(ANSWERS_MAX);
        let session = Arc::new(AskSession {
            payload: ask.payload,
            resume: ask.resume,
            frames,
            progress: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            relay: answer.relay().map(|relay| relay.node),
            trace: self.traces.of_peer(&ask.envelope, ask.trace, self.member(from).as_ref()),
        });
        self.asks.insert(task, Arc::clone(&session));
        self.hands.spawn(crate::forward::answer_peer(answer, task, session, receiver, self.inbox.clone()));
        self.feed(Event::Asked { task, digest: ask.digest, envelope: ask.envelope, remaining: ask.remaining });
    }

    /// Makes the mind anew: after a start, and when this node has joined another mesh.
    pub(crate) fn wake(&mut self) {
        let mut config = core_config(&self.config, &self.home.me, &self.policy, self.incarnation, self.cap);
        config.settled = self.clock.now().after(SETTLES);
        let (spent, moves) = (self.till.spent(self.core.spending().spent), self.moves.kept());
        self.core = Core::new(config);
        self.feed(Event::Budgets(Box::new(self.config.budgets.clone())));
        self.feed(Event::SpentBefore(Box::new(spent)));
        let me = &self.home.me;
        self.membership = Membership::new(me.node, &me.site, self.incarnation, self.clock.now());
        for member in self.mesh.members() {
            self.member_added(member);
        }
        self.feed(Event::TimeOfDay(wall_now()));
        self.feed(Event::MovedBefore(moves));
        for manifest in self.shelf.manifests() {
            self.feed(Event::Catalogued(manifest));
        }
        self.feed(Event::PinsChanged(self.pins.all()));
        for digest in self.shelf.stored() {
            self.feed(Event::ModelStored(digest));
        }
        for event in self.versions.events() {
            self.feed(event);
        }
        self.tell_of_endpoints();
        self.recall_distances();
        self.show();
    }

    /// Answers every open request of a client with "stopping": the mind that knew them is gone.
    pub(crate) fn drop_sessions(&mut self) {
        self.referred.clear();
        for session in std::mem::take(&mut self.sessions).into_values() {
            session.end();
            // A client whose channel is full finds it closed.
            let _ = session.say(Answer::Refused(Refusal::Stopping));
        }
        self.asks.clear();
        for forward in std::mem::take(&mut self.forwards).into_values() {
            forward.abort();
        }
    }

    /// The record of this node, as other members are told.
    pub(crate) fn own_record(&self) -> MemberRecord {
        MemberRecord { certificate: self.home.certificate.clone(), addresses: self.addresses() }
    }

    /// Where others reach this node, as it tells them.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        crate::mesh::told(&self.config.mesh_advertise, &self.told_relays(), &self.swarm.addresses())
    }

    /// A member or a server outside the mesh, this node included.
    pub(crate) fn member(&self, node: NodeId) -> Option<Member> {
        if node == self.home.me.node {
            return Some(self.home.me.clone());
        }
        let outside = || self.endpoints.get(&node).map(|server| server.member(node, &self.home.me));
        self.mesh.member(node).or_else(outside)
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
