//! The stage of the tests: four nodes with their law, events in, actions out as text.

use std::sync::Arc;

use hither_types::fact::Fact;
use hither_types::id::{AppName, Attempt, Digest, MeshId, ModelName, NodeId, Operator, RequestId, RuleId, SiteName};
use hither_types::id::{Task, Ticket};
use hither_types::incarnation::next_start;
use hither_types::label::{DataClass, Label};
use hither_types::law::{LawAction, Policy, Rule};
use hither_types::member::{Member, Role, Roles};
use hither_types::message::{Load, ModelPresence, ModelStage, Presence, Signal};
use hither_types::model::{Device, Golden, KnownAnswer, Manifest, ModelFormat, ModelIo, Question};
use hither_types::place::{Assurance, Jurisdiction, Region};
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope, Prefix, Priority, Quality, RequestKind};
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::{ByteCount, Micros, Millijoules, Milliwatts};
use hither_types::view::Step;

use crate::{Action, Config, Core, Event, LocalModel, PullPolicy, limits};

pub(crate) const MUNICH: NodeId = NodeId([1; 32]);
pub(crate) const PARIS: NodeId = NodeId([2; 32]);
pub(crate) const LYON: NodeId = NodeId([3; 32]);
pub(crate) const JAKARTA: NodeId = NodeId([4; 32]);
pub(crate) const FRAUD: Digest = Digest([1; 32]);
pub(crate) const CHAT: Digest = Digest([2; 32]);
/// A later version of the first; the node hears of it in the tests that need it.
pub(crate) const FRAUD_2: Digest = Digest([12; 32]);

/// The node under test, munich, which knows the three others and the two models.
pub(crate) struct Play {
    pub(crate) core: Core,
    script: Vec<(u64, Event)>,
    announcements: bool,
    held_up: bool,
    signals: bool,
    /// What became of what was read, at each start and each leave.
    pub(crate) prefixes: Vec<Prefix>,
}

/// Plays events at their milliseconds and compares every action, announcements aside, with the text.
#[track_caller]
pub(crate) fn check(script: Vec<(u64, Event)>, expected: &str) -> Play {
    Play::new(eea()).then(script).check(expected)
}

impl Play {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::with(policy, PullPolicy::Manual)
    }

    pub(crate) fn with(policy: Policy, pull: PullPolicy) -> Self {
        Self::of(policy, pull, Vec::new(), None)
    }

    /// A node that waits for a second after its start to hear from members.
    pub(crate) fn settling() -> Self {
        let mut play = Self::new(eea());
        play.core.peers.settled = Timestamp(1_000_000);
        play
    }

    pub(crate) fn with_ladder(policy: Policy, ladder: Vec<Vec<ModelName>>) -> Self {
        Self::of(policy, PullPolicy::Manual, ladder, None)
    }

    /// Models may use 100 MiB, and either takes 60; the answer of fraud to one question is known.
    pub(crate) fn cramped() -> Self {
        Self::of(eea(), PullPolicy::Manual, Vec::new(), Some(ByteCount(100 << 20)))
    }

    /// … and the node decides itself which it holds.
    pub(crate) fn cramped_and_automatic() -> Self {
        Self::of(eea(), PullPolicy::Automatic, Vec::new(), Some(ByteCount(100 << 20)))
    }

    fn of(policy: Policy, pull: PullPolicy, ladder: Vec<Vec<ModelName>>, memory: Option<ByteCount>) -> Self {
        let core = Core::new(Config {
            me: member(MUNICH),
            policy: Arc::new(policy),
            seed: 7,
            incarnation: 1,
            cap: Milliwatts::from_watts(100),
            idle: Milliwatts::from_watts(10),
            pull,
            memory,
            ladder,
            announce_every: Micros::from_millis(500),
            traces: 1_000,
            settled: Timestamp(0),
            near: limits::NEAR_RTT,
        });
        let (script, prefixes) = (Vec::new(), Vec::new());
        let mut play = Self { core, script, announcements: false, held_up: false, signals: false, prefixes };
        for node in [PARIS, LYON, JAKARTA] {
            play.step(0, Event::MemberAdded(member(node)));
        }
        for digest in [FRAUD, CHAT] {
            let mut manifest = manifest(digest);
            if memory.is_some() {
                manifest.memory = ByteCount(60 << 20);
                let answer = KnownAnswer::Begins("yes".to_owned());
                let golden = Golden { question: Question::Given(vec![1]), answer };
                manifest.golden = if digest == FRAUD { vec![golden] } else { Vec::new() };
            }
            play.step(0, Event::Catalogued(manifest));
        }
        play
    }

    pub(crate) fn then(mut self, script: Vec<(u64, Event)>) -> Self {
        self.script.extend(script);
        self
    }

    pub(crate) fn telling(mut self) -> Self {
        self.announcements = true;
        self
    }

    /// The words by which places are found are shown, and only the script answers them.
    pub(crate) fn with_signals(mut self) -> Self {
        self.signals = true;
        self
    }

    /// The node is held up: no tick comes but those of the script.
    pub(crate) fn held_up(mut self) -> Self {
        self.held_up = true;
        self
    }

    /// Plays what only sets the stage.
    pub(crate) fn quietly(mut self) -> Self {
        self.play();
        self
    }

    /// Whether a line is said that has this in it.
    pub(crate) fn says(mut self, part: &str) -> bool {
        self.play().iter().any(|line| line.contains(part))
    }

    /// Of what is said, what begins with one of these verbs.
    pub(crate) fn only(&mut self, verbs: &[&str]) -> Vec<String> {
        let verb =
            |line: &String| line.split_once(": ").is_some_and(|(_, said)| verbs.iter().any(|v| said.starts_with(v)));
        self.play().into_iter().filter(verb).collect()
    }

    #[track_caller]
    pub(crate) fn check(mut self, expected: &str) -> Self {
        let said = self.play();
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        assert!(said == expected, "said:\n{}\n\nexpected:\n{}\n", said.join("\n"), expected.join("\n"));
        self
    }

    fn play(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        for (at, event) in std::mem::take(&mut self.script) {
            while let Some(due) = self.core.deadline().filter(|due| !self.held_up && due.0 <= at * 1000) {
                said.extend(self.step_at(due, Event::Tick));
                assert!(self.core.deadline() > Some(due), "a tick at {due:?} handles all that is due");
            }
            said.extend(self.step(at, event));
        }
        said
    }

    pub(crate) fn step(&mut self, at: u64, event: Event) -> Vec<String> {
        self.step_at(Timestamp(at * 1000), event)
    }

    /// Peers say yes to offers at once, unless the script speaks for them.
    fn step_at(&mut self, at: Timestamp, event: Event) -> Vec<String> {
        let (announcements, signals) = (self.announcements, self.signals);
        let actions: Vec<Action> = self.core.handle(event, at).collect();
        let mut lines = Vec::new();
        for action in actions {
            if let Action::Run { prefix, .. } | Action::Forward { prefix, .. } = &action {
                self.prefixes.push(*prefix);
            }
            let offer = match &action {
                Action::Tell { peer, signal: Signal::Offer { request, attempt, .. } } if !signals => {
                    let load =
                        Load { slots: 0, busy: 0, queued: 0, wait: Micros(0), urgent: Micros(0), service: Micros(0) };
                    Some((*peer, Signal::Accept { request: *request, attempt: *attempt, load }))
                }
                _ => None,
            };
            if signals || !matches!(action, Action::Tell { .. }) {
                lines.extend(line(action, announcements).map(|line| format!("{}: {line}", at.0 / 1000)));
            }
            if let Some((from, signal)) = offer {
                lines.extend(self.step_at(at, Event::Told { from, signal }));
            }
        }
        lines
    }

    pub(crate) fn steps(&self, request: u128) -> String {
        let explanation = self.core.explain(RequestId(request)).unwrap();
        explanation
            .steps
            .iter()
            .map(|(at, step)| format!("{}: {}", at.0 / 1000, step_text(step)))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

pub(crate) fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

fn region(codes: &[&str]) -> Region {
    Region {
        written: codes.iter().map(|c| (*c).to_owned()).collect(),
        members: codes.iter().map(|c| place(c)).collect(),
    }
}

fn rule(id: &str, action: LawAction, within: &[&str]) -> Rule {
    Rule {
        id: RuleId::parse(id).unwrap(),
        actions: vec![action],
        classes: vec![],
        tags: vec![],
        apps: vec![],
        models: vec![],
        purposes: vec![],
        origin: Some(region(within)),
        origin_not: None,
        target: Some(region(within)),
        target_not: None,
        not_control: vec![],
        assurance: None,
        same_operator: None,
    }
}

fn policy(digest: u8, permits: Vec<Rule>, forbids: Vec<Rule>) -> Policy {
    Policy { permits, forbids, ..Policy::closed(Digest([digest; 32])) }
}

/// Requests stay in Germany and France; so do models.
pub(crate) fn eea() -> Policy {
    policy(
        1,
        vec![rule("eea", LawAction::Infer, &["DE", "FR"]), rule("weights", LawAction::Replicate, &["DE", "FR"])],
        vec![],
    )
}

/// Nothing leaves, and no model comes.
pub(crate) fn nothing() -> Policy {
    policy(2, vec![], vec![])
}

/// As [`eea`], and no model `fraud` on German machines, home or not.
pub(crate) fn no_fraud_in_germany() -> Policy {
    let mut forbid = rule("ban", LawAction::Infer, &["DE"]);
    forbid.origin = None;
    forbid.models = vec![name(FRAUD)];
    policy(3, eea().permits, vec![forbid])
}

pub(crate) fn member(node: NodeId) -> Member {
    let jurisdiction = place(match node {
        MUNICH => "DE-BY",
        JAKARTA => "ID",
        _ => "FR",
    });
    Member {
        node,
        mesh: MeshId([9; 32]),
        site: SiteName::parse(site(node)).unwrap(),
        jurisdiction,
        control: None,
        operator: Operator::parse("acme").unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(0),
        roles: Roles::ALL,
    }
}

fn site(node: NodeId) -> &'static str {
    match node {
        MUNICH => "munich",
        PARIS => "paris",
        LYON => "lyon",
        JAKARTA => "jakarta",
        _ => "nowhere",
    }
}

pub(crate) fn name(digest: Digest) -> ModelName {
    let name = match digest {
        FRAUD => "fraud",
        FRAUD_2 => "fraud:2",
        _ => "chat",
    };
    ModelName::parse(name).unwrap()
}

pub(crate) fn manifest(digest: Digest) -> Manifest {
    Manifest {
        name: name(digest),
        digest,
        sha256: [0; 32],
        size: ByteCount(1),
        format: ModelFormat::Stub,
        licence: String::new(),
        io: ModelIo::Language { context_tokens: 2048 },
        memory: ByteCount(0),
        golden: Vec::new(),
        publisher: PARIS,
        revision: 0,
        expires: None,
        signed_by: String::new(),
    }
}

pub(crate) fn envelope(digest: Digest) -> Envelope {
    Envelope {
        app: AppName::parse("app").unwrap(),
        model: name(digest),
        label: Label { class: DataClass::Personal, tags: vec![], subjects: vec![place("DE")], purpose: None },
        kind: RequestKind::Generate,
        size: ByteCount(1000),
        priority: Priority::Normal,
        prefer: None,
        quality: Quality::Exact,
    }
}

/// A request for a model, with ten seconds.
pub(crate) fn submitted(at: u64, request: u128, digest: Digest) -> (u64, Event) {
    with(at, request, envelope(digest))
}

pub(crate) fn with(at: u64, request: u128, envelope: Envelope) -> (u64, Event) {
    let deadline = Timestamp((at + 10_000) * 1000);
    (at, Event::Submitted { request: RequestId(request), envelope, deadline, affinity: None })
}

pub(crate) fn prefers(digest: Digest, node: NodeId) -> Envelope {
    Envelope { prefer: Some(member(node).site), ..envelope(digest) }
}

pub(crate) fn critical(digest: Digest) -> Envelope {
    Envelope { priority: Priority::Critical, ..envelope(digest) }
}

pub(crate) fn low(digest: Digest) -> Envelope {
    Envelope { priority: Priority::Low, ..envelope(digest) }
}

/// A member has a certificate with these roles from now on.
pub(crate) fn may(at: u64, node: NodeId, roles: &[Role]) -> (u64, Event) {
    (at, Event::MemberAdded(Member { roles: Roles::of(roles.iter().copied()), ..member(node) }))
}

/// A task of this node.
pub(crate) fn own(request: u128, attempt: u8) -> Task {
    Task { origin: MUNICH, request: RequestId(request), attempt: Attempt(attempt) }
}

/// A task of a peer.
pub(crate) fn of(origin: NodeId, request: u128) -> Task {
    Task { origin, request: RequestId(request), attempt: Attempt(1) }
}

pub(crate) fn asked(at: u64, task: Task, digest: Digest) -> (u64, Event) {
    (at, Event::Asked { task, digest, envelope: envelope(digest), remaining: Micros::from_millis(10_000) })
}

/// A model with so many slots of 30 W each is ready here.
pub(crate) fn ready(at: u64, digest: Digest, slots: u16) -> (u64, Event) {
    let slot_power = Milliwatts::from_watts(30);
    (at, Event::ModelReady(LocalModel { digest, slots, slot_power, memory: None, device: Device::Cpu }))
}

/// A peer says that it has a model ready, with so many of four slots busy.
pub(crate) fn heard(at: u64, from: NodeId, digest: Digest, busy: u16) -> (u64, Event) {
    said(
        at,
        from,
        ModelPresence {
            digest,
            stage: ModelStage::Ready,
            device: Device::Cpu,
            slots: 4,
            busy,
            queued: 0,
            service: Micros(0),
        },
    )
}

/// A peer says something of one model; its sequence is the time.
pub(crate) fn said(at: u64, from: NodeId, model: ModelPresence) -> (u64, Event) {
    let presence = std::sync::Arc::new(Presence {
        incarnation: 1,
        sequence: at + 1,
        models: vec![model],
        power: Milliwatts(0),
        cap: Milliwatts(0),
        policy: Digest([1; 32]),
        placing: None,
    });
    (at, Event::Presence { from, presence })
}

/// A peer that was started anew says that it has a model ready, and nothing to do.
pub(crate) fn restarted(at: u64, from: NodeId, digest: Digest) -> (u64, Event) {
    let (at, mut event) = heard(at, from, digest, 0);
    if let Event::Presence { presence, .. } = &mut event {
        let presence = std::sync::Arc::make_mut(presence);
        (presence.incarnation, presence.sequence) = (next_start(presence.incarnation), 1);
    }
    (at, event)
}

pub(crate) fn recorded(at: u64, ticket: u64) -> (u64, Event) {
    (at, Event::Recorded(Ticket(ticket)))
}

pub(crate) fn beat(at: u64, task: Task, progress: u64) -> (u64, Event) {
    (at, Event::Beat { task, progress })
}

/// The end of a task: 200 ms at the engine, 50 bytes.
pub(crate) fn done(at: u64, task: Task) -> (u64, Event) {
    let decode = Micros::from_millis(200);
    (at, Event::Done { task, cost: Cost { decode, answer: ByteCount(50), ..Cost::default() } })
}

pub(crate) fn failed(at: u64, task: Task, failure: Failure) -> (u64, Event) {
    (at, Event::Failed { task, failure })
}

pub(crate) fn cap(at: u64, watts: u64) -> (u64, Event) {
    (at, Event::CapChanged(Milliwatts::from_watts(watts)))
}

/// A word of a peer.
pub(crate) fn told(at: u64, from: NodeId, signal: Signal) -> (u64, Event) {
    (at, Event::Told { from, signal })
}

/// So many of so many slots are busy.
pub(crate) fn load(busy: u16, slots: u16) -> Load {
    let wait = if busy < slots { 0 } else { 100_000 };
    Load { slots, busy, queued: 0, wait: Micros(wait), urgent: Micros(wait), service: Micros::from_millis(200) }
}

/// A peer offers to send its request 50.
pub(crate) fn offered(at: u64, from: NodeId, digest: Digest, promised_ms: u64) -> (u64, Event) {
    let (request, attempt) = (RequestId(50), Attempt(1));
    let (remaining, promised) = (Micros::from_millis(10_000), Micros::from_millis(promised_ms));
    told(at, from, Signal::Offer { request, attempt, digest, envelope: envelope(digest), remaining, promised })
}

pub(crate) fn law(at: u64, policy: Policy) -> (u64, Event) {
    (at, Event::PolicyChanged(Arc::new(policy)))
}

/// Time passes.
pub(crate) fn until(at: u64) -> (u64, Event) {
    (at, Event::Tick)
}

fn task_text(task: Task) -> String {
    let origin = if task.origin == MUNICH { String::new() } else { format!("{}:", site(task.origin)) };
    format!("{origin}{}/{}", task.request.0, task.attempt.0)
}

fn line(action: Action, announcements: bool) -> Option<String> {
    Some(match action {
        Action::Record { ticket, fact } => {
            let ticket = ticket.map_or(String::new(), |ticket| format!("#{}", ticket.0));
            format!("record{ticket} {}", fact_text(&fact))
        }
        Action::Run { task, digest, prefix: _ } => format!("run {} {}", task_text(task), name(digest)),
        Action::StopRun(task) => format!("stop {}", task_text(task)),
        Action::Forward { task, peer, remaining, .. } => {
            format!("forward {} to {}, {} ms left", task_text(task), site(peer), remaining.millis())
        }
        Action::Abandon { task, peer } => format!("abandon {} at {}", task_text(task), site(peer)),
        Action::Route { request, attempt, served_by, rule, instead, version } => {
            let instead = instead.map_or(String::new(), |model| format!(", {model} instead"));
            let version = version.map_or(String::new(), |model| format!(", version {model}"));
            format!("route {}/{} {} by {rule}{instead}{version}", request.0, attempt.0, site(served_by))
        }
        Action::Judge(verdict) => format!("judge {} {}: {:?}", verdict.name, verdict.revision, verdict.fault),
        Action::Finish { request, .. } => format!("finish {}", request.0),
        Action::Refuse { request, refusal } => format!("refuse {} {}", request.0, refusal_text(&refusal)),
        Action::Fail { request, failure } => format!("fail {} {}", request.0, failure_text(&failure)),
        Action::Accept(task) => format!("accept {}", task_text(task)),
        Action::FinishAsk { task, .. } => format!("finish {}", task_text(task)),
        Action::DeclineAsk { task, refusal } => format!("decline {} {}", task_text(task), refusal_text(&refusal)),
        Action::FailAsk { task, failure } => format!("fail {} {}", task_text(task), failure_text(&failure)),
        Action::Announce(presence) if announcements => announcement_text(&presence),
        Action::Announce(_) => return None,
        Action::Tell { peer, signal } => format!("tell {} {}", site(peer), signal_text(&signal)),
        Action::Fetch { manifest, providers } => {
            let providers: Vec<_> = providers.into_iter().map(site).collect();
            format!("fetch {} from {}", manifest.name, providers.join(", "))
        }
        Action::Load(digest) => format!("load {}", name(digest)),
        Action::Evict { digest, by } => format!("evict {} for {}", name(digest), name(by)),
        Action::Unload(digest) => format!("unload {}", name(digest)),
        Action::Prove(digest) => format!("prove {}", name(digest)),
    })
}

fn signal_text(signal: &Signal) -> String {
    match signal {
        Signal::Probe { digest, queued, .. } => format!("probe {} {queued} queued", name(*digest)),
        Signal::State { digest, load, .. } => format!("state {} {}", name(*digest), load_text(load)),
        Signal::Offer { request, attempt, .. } => format!("offer {}/{}", request.0, attempt.0),
        Signal::Accept { request, attempt, load } => format!("accept {}/{} {}", request.0, attempt.0, load_text(load)),
        Signal::Reject { request, attempt, refusal, .. } => {
            format!("reject {}/{} {}", request.0, attempt.0, refusal_text(refusal))
        }
        Signal::Steal { digest, load, .. } => format!("steal {} {}", name(*digest), load_text(load)),
        Signal::Nothing { digest, .. } => format!("nothing {}", name(*digest)),
    }
}

fn load_text(load: &Load) -> String {
    format!("{}/{}+{}", load.busy, load.slots, load.queued)
}

fn announcement_text(presence: &Presence) -> String {
    let models = presence.models.iter();
    let models = models.map(|m| format!(" {} {:?} {}/{}+{}", name(m.digest), m.stage, m.busy, m.slots, m.queued));
    format!("announce {}: {} W{}", presence.sequence, presence.cap.watts(), models.collect::<String>())
}

fn step_text(step: &Step) -> String {
    match step {
        Step::Permitted { site, action: LawAction::Infer, rule } => format!("{site} permitted by {rule}"),
        Step::Permitted { site, action, rule } => format!("{site} permitted {} by {rule}", action.as_str()),
        Step::Denied { site, action: LawAction::Infer, .. } => format!("{site} denied"),
        Step::Denied { site, action, .. } => format!("{site} denied {}", action.as_str()),
        Step::PassedOver { site, why } => format!("{site} passed over, {why}"),
        Step::Chosen { site, predicted } => format!("{site} chosen, {} ms", predicted.millis()),
        Step::Started { site, .. } => format!("started at {site}"),
        Step::AttemptFailed { site, failure } => format!("{site} failed, {}", failure_text(failure)),
        Step::ServedFor { node } => format!("served for {}", site(*node)),
        Step::Refused(refusal) => format!("refused, {}", refusal_text(refusal)),
        Step::FetchBegun { from } => format!("fetch from {from}"),
        Step::Answered { site } => format!("answered by {site}"),
        Step::Version { model, why } => format!("means {model}: {why}"),
        Step::SteppedDown { model } => format!("steps down to {model}"),
        Step::Hedged { site } => format!("hedged at {site}"),
        Step::Masked { site, findings } => format!("masked for {site}, {findings}"),
        Step::Recorded { bytes, .. } => format!("Recorded {{ bytes: {bytes:?} }}"),
        Step::Arrived | Step::Queued | Step::Cancelled => format!("{step:?}"),
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Overloaded { retry_after } => format!("Overloaded({} ms)", retry_after.millis()),
        Refusal::NoPower { cap } => format!("NoPower({} W)", cap.watts()),
        Refusal::Unlawful { denied, .. } => {
            let sites: Vec<_> = denied.iter().map(|denied| site(denied.node)).collect();
            format!("Unlawful({})", sites.join(", "))
        }
        Refusal::UnlawfulThere(_) => "UnlawfulThere".to_owned(),
        other => format!("{other:?}"),
    }
}

fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Declined(refusal) => format!("Declined({})", refusal_text(refusal)),
        other => format!("{other:?}"),
    }
}

fn fact_text(fact: &Fact) -> String {
    let of = |subject: &hither_types::fact::Subject| {
        let ran = subject.ran.as_ref().map_or_else(String::new, |ran| format!(" as {}", ran.model));
        format!("{}/{}{ran}", subject.request.0, subject.attempt.0)
    };
    match fact {
        Fact::Started { .. }
        | Fact::PolicyChanged { .. }
        | Fact::BlocsChanged { .. }
        | Fact::Joined(_)
        | Fact::Revoked(_)
        | Fact::Left(_)
        | Fact::ClockJumped { .. }
        | Fact::LossAccepted { .. }
        | Fact::KernelCounted(_)
        | Fact::KernelUnread(_)
        | Fact::FirstTransfer { .. }
        | Fact::EgressFiltered { .. }
        | Fact::ModelAdmitted { .. }
        | Fact::Published { .. }
        | Fact::RolledOut(_)
        | Fact::Judged(_)
        | Fact::Exported(_)
        | Fact::ReferencesDestroyed { .. } => {
            panic!("the driver's to write: {fact:?}")
        }
        Fact::Moved { member, by, rtt, before } => {
            format!("moved {} by {}: {} us, {} us before", member.site, site(*by), rtt.0, before.0)
        }
        Fact::Denied { subject, rule, considered } => {
            format!(
                "denied {}, rule {}, {considered} considered",
                of(subject),
                rule.as_ref().map_or("-", RuleId::as_str)
            )
        }
        Fact::CanaryPermitted { subject, to, rule } => {
            format!("canary {} may go to {} by {rule}", of(subject), to.site)
        }
        Fact::EgressIntent { subject, to, rule, rests, cache, bytes, reference: _ } => {
            let rests = rests.as_ref().map_or(String::new(), |rule| format!(", rests by {rule}"));
            let cache = cache.as_ref().map_or(String::new(), |rule| format!(", may stay by {rule}"));
            format!("intent {} to {} by {rule}{rests}{cache}, {bytes}", of(subject), to.site)
        }
        Fact::EgressSettled { subject, to, bytes, answer, outcome, left_by, over: _ } => {
            let by =
                left_by.as_ref().map_or_else(String::new, |by| format!(", left by {} of {}", by.rule, by.policy.0[0]));
            format!("settled {} to {}: {bytes}, {answer} back, {outcome:?}{by}", of(subject), to.site)
        }
        Fact::IngressAccepted { subject, from, rule, cache, bytes } => {
            let cache = cache.as_ref().map_or(String::new(), |rule| format!(", may stay by {rule}"));
            format!("ingress {} from {} by {rule}{cache}, {bytes}", of(subject), from.site)
        }
        Fact::AnswerSent { subject, to, bytes, outcome, over: _ } => {
            format!("answer {} to {}: {bytes}, {outcome:?}", of(subject), to.site)
        }
        Fact::IngressRefused { subject, from, rule } => {
            format!(
                "ingress refused {} from {}, rule {}",
                of(subject),
                from.site,
                rule.as_ref().map_or("-", RuleId::as_str)
            )
        }
        Fact::Ended { subject, served_by, outcome, attempts, energy, took: _, reference: _ } => {
            let by = served_by.map_or("nobody", site);
            let energy = if *energy == Millijoules(0) { String::new() } else { format!(", {} mJ", energy.0) };
            format!("ended {} {outcome:?} by {by} after {attempts}{energy}", of(subject))
        }
    }
}
