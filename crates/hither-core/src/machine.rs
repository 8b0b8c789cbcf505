//! The state machine: what comes in goes to the part that owns it, what comes out stands in one list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use hither_types::fact::{Fact, Subject};
use hither_types::id::{Attempt, Digest, ModelName, NodeId, RequestId, RuleId, Task, Ticket};
use hither_types::law::Policy;
use hither_types::member::{Member, Role};
use hither_types::refusal::Failure;
use hither_types::request::Envelope;
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Milliwatts};
use hither_types::view::Step;

use crate::affinity::Affinities;
use crate::budget::Budget;
use crate::catalog::Catalog;
use crate::circle::Circles;
use crate::endpoint::Outside;
use crate::endpoint::bars::Bars;
use crate::event::{Action, Config, Event, PullPolicy};
use crate::expiry::Calendar;
use crate::hedge::Hedging;
use crate::hosted::{Ended, Hosted, Kept};
use crate::ladder::Ladder;
use crate::limits;
use crate::luck::Luck;
use crate::memory::Memory;
use crate::near::Distances;
use crate::peers::Peers;
use crate::policy::Law;
use crate::pool::Pool;
use crate::power::Power;
use crate::presence::Herald;
use crate::random::Random;
use crate::request::Request;
use crate::rollout::Rollouts;
use crate::scheduler::{Job, Scheduler};
use crate::spending::Spending;
use crate::steal::{Begged, Hungry};
use crate::stock::Stock;
use crate::timers::{Timer, Timers};
use crate::trace::Trace;

#[cfg(test)]
mod tests;

/// Who waits for a write to the ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiter {
    /// A request that entered here, before it leaves.
    Own(RequestId),
    /// A second copy of such a request, before it leaves.
    Hedge(RequestId),
    /// A task of a peer, before it is accepted.
    Peer(Task),
}

/// The mind of one node.
#[derive(Debug)]
pub struct Core {
    pub(crate) me: Member,
    pub(crate) law: Law,
    pub(crate) incarnation: u64,
    pub(crate) pull: PullPolicy,
    pub(crate) draining: bool,
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    pub(crate) announce_every: Micros,
    pub(crate) peers: Peers,
    pub(crate) distances: Distances,
    /// Which of the peers are servers outside the mesh.
    pub(crate) endpoints: BTreeMap<NodeId, Outside>,
    pub(crate) bars: Bars,
    pub(crate) circles: Circles,
    pub(crate) pool: Pool,
    pub(crate) hungry: Hungry,
    /// Slots that are kept for what peers may send, by the number of the word that asked for it.
    pub(crate) begged: BTreeMap<u32, Begged>,
    /// Offers of peers that were accepted, each with whether a slot is kept for it.
    pub(crate) kept: BTreeMap<Task, Kept>,
    pub(crate) luck: Luck,
    pub(crate) retries: Budget,
    pub(crate) hedging: Hedging,
    pub(crate) affinities: Affinities,
    pub(crate) ladder: Ladder,
    /// Numbers words that are answered.
    pub(crate) numbers: u32,
    pub(crate) catalog: Catalog,
    /// What time of day it is, for entries of the catalog that end.
    pub(crate) calendar: Calendar,
    pub(crate) spending: Spending,
    pub(crate) rollouts: Rollouts,
    pub(crate) memory: Memory,
    /// Cold models that work waits for, while there is no room for them.
    pub(crate) thirsty: BTreeSet<Digest>,
    /// Open models that somebody wants closed, while others use them.
    pub(crate) closing: BTreeSet<Digest>,
    /// What this node needs to decide which models it holds, if it does.
    pub(crate) stock: Option<Box<Stock>>,
    /// Models that stay here, by name.
    pub(crate) pins: BTreeSet<ModelName>,
    pub(crate) scheduler: Scheduler,
    pub(crate) timers: Timers,
    pub(crate) trace: Trace,
    pub(crate) herald: Herald,
    pub(crate) requests: BTreeMap<RequestId, Request>,
    pub(crate) hosted: BTreeMap<Task, Hosted>,
    pub(crate) ended: Ended,
    pub(crate) tickets: BTreeMap<Ticket, Waiter>,
    /// Whether the last egress that was to be recorded was not.
    pub(crate) unwritten: bool,
    /// What an operator would act on and nothing else shows, newest last; bounded.
    pub(crate) complaints: VecDeque<String>,
    next_ticket: u64,
    /// The request whose turn it was to be checked.
    checked: RequestId,
    out: Vec<Action>,
}

impl Core {
    /// A node that knows nobody and holds nothing.
    pub fn new(config: Config) -> Self {
        let (settled, near) = (config.settled, config.near);
        let Config { me, policy, seed, incarnation, cap, idle, pull, memory, ladder, announce_every, traces, .. } =
            config;
        let distances = Distances::new(near, &me);
        let mut timers = Timers::default();
        let stock = (pull == PullPolicy::Automatic).then(|| {
            timers.set(Timer::Stock, Timestamp(0).after(limits::PLACE_EVERY));
            Box::new(Stock::new(me.node, memory))
        });
        let mut catalog = Catalog::default();
        catalog.set_publisher(me.node, me.roles.has(Role::Publish));
        Self {
            me,
            law: Law::new(policy),
            incarnation,
            pull,
            draining: false,
            now: Timestamp(0),
            random: Random::new(seed),
            announce_every,
            peers: Peers::new(announce_every, settled),
            distances,
            endpoints: BTreeMap::new(),
            bars: Bars::default(),
            circles: Circles::default(),
            pool: Pool::default(),
            hungry: Hungry::default(),
            begged: BTreeMap::new(),
            kept: BTreeMap::new(),
            luck: Luck::default(),
            retries: Budget::new(limits::RETRY_PERCENT),
            hedging: Hedging::default(),
            affinities: Affinities::default(),
            ladder: Ladder::new(ladder),
            numbers: 0,
            catalog,
            calendar: Calendar::default(),
            spending: Spending::default(),
            rollouts: Rollouts::default(),
            memory: Memory::new(memory),
            thirsty: BTreeSet::new(),
            closing: BTreeSet::new(),
            stock,
            pins: BTreeSet::new(),
            scheduler: Scheduler::new(Power::new(cap, idle)),
            timers,
            trace: Trace::new(traces),
            herald: Herald::default(),
            requests: BTreeMap::new(),
            hosted: BTreeMap::new(),
            ended: Ended::default(),
            tickets: BTreeMap::new(),
            unwritten: false,
            complaints: VecDeque::new(),
            next_ticket: 0,
            checked: RequestId(0),
            out: Vec::new(),
        }
    }

    /// Takes in one event and says what shall be done, in order. Time never goes backwards: an earlier `now` counts as
    /// the latest one.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> std::vec::Drain<'_, Action> {
        self.now = self.now.max(now);
        self.dispatch(event);
        self.start_waiting();
        self.close_idle();
        self.quench();
        self.tell_if_changed();
        self.check();
        self.out.drain(..)
    }

    /// When [`Event::Tick`] is due next, if nothing else happens.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Tasks that run here, in all.
    pub fn busy_slots(&self) -> usize {
        self.scheduler.busy_in_all()
    }

    /// Tasks that run here on one model, and how many may, power considered.
    pub fn slots(&self, digest: Digest) -> (u16, u16) {
        (self.scheduler.busy(digest), self.scheduler.slots(digest))
    }

    /// Power in use, by the model of the meter.
    pub fn power_now(&self) -> Milliwatts {
        self.scheduler.power().now()
    }

    /// The power cap in force.
    pub fn cap(&self) -> Milliwatts {
        self.scheduler.power().cap()
    }

    /// Tasks that run here, by key.
    pub fn running(&self) -> impl Iterator<Item = Task> {
        self.scheduler.tasks()
    }

    /// Requests that entered here and have not ended.
    pub fn open_requests(&self) -> impl Iterator<Item = RequestId> {
        self.requests.keys().copied()
    }

    /// Tasks of peers that have not ended here.
    pub fn hosted_tasks(&self) -> impl Iterator<Item = Task> {
        self.hosted.keys().copied()
    }

    /// Requests and tasks that wait here for a slot, a model or power.
    pub fn queued(&self) -> usize {
        self.scheduler.waiting_in_all()
    }

    /// This node's own identity.
    pub fn me(&self) -> &Member {
        &self.me
    }

    fn dispatch(&mut self, event: Event) {
        match event {
            Event::Submitted { request, envelope, deadline, affinity } => {
                self.submitted(request, envelope, deadline, affinity)
            }
            Event::ClientGone(request) => self.client_gone(request),
            Event::Asked { task, digest, envelope, remaining } => self.asked(task, digest, envelope, remaining),
            Event::AskerGone(task) => self.asker_gone(task),
            Event::Recorded(ticket) => match self.tickets.remove(&ticket) {
                Some(Waiter::Own(request)) => self.egress_recorded(request, ticket),
                Some(Waiter::Hedge(request)) => self.hedge_recorded(request, ticket),
                Some(Waiter::Peer(task)) => self.ingress_recorded(task),
                None => {}
            },
            Event::RecordFailed(ticket) => match self.tickets.remove(&ticket) {
                Some(Waiter::Own(request)) if mutant!(EgressFailureIgnored) => self.egress_recorded(request, ticket),
                Some(Waiter::Own(request)) => self.egress_not_recorded(request, ticket),
                Some(Waiter::Hedge(request)) => self.hedge_not_recorded(request),
                Some(Waiter::Peer(task)) if mutant!(IngressFailureIgnored) => self.ingress_recorded(task),
                Some(Waiter::Peer(task)) => self.ingress_not_recorded(task),
                None => {}
            },
            Event::Beat { task, progress } => self.beat(task, progress),
            Event::Done { task, cost } if task.origin == self.me.node => self.answered(task, cost),
            Event::Done { task, cost } => self.hosted_done(task, cost),
            Event::Unanswered(id) => self.unanswered(id),
            Event::Failed { task, failure } => self.failed(task, failure),
            Event::Presence { from, presence } => self.heard(from, presence),
            Event::There { node, presence } => {
                self.heard(node, presence);
                self.peers.stands(node, true);
            }
            Event::Silent(node) => self.peers.stands(node, false),
            Event::Told { from, signal } => self.told(from, signal),
            Event::RoundTrip { peer, rtt } => self.peers.measured(peer, rtt),
            Event::Near { by, samples } => self.near_told(by, samples),
            Event::MovedBefore(moves) => self.moved_before(moves),
            Event::MemberAdded(member) => self.member_added(member),
            Event::EndpointAdded { place, kind, trains } => self.endpoint_added(place, kind, trains),
            Event::MemberRemoved(node) => self.member_removed(node),
            Event::Catalogued(manifest) => self.catalogued(manifest),
            Event::TimeOfDay(wall) => self.day_told(wall),
            Event::Canary(id) => self.canary(id),
            Event::Budgets(budgets) => self.budgets_set(*budgets),
            Event::Relayed(flow) => self.count_relayed(flow),
            Event::SpentBefore(spent) => self.spent_before(*spent),
            Event::RolledOut(rollout) => self.rolled_out(rollout),
            Event::Judged(verdict) => self.judged(verdict),
            Event::ModelStored(digest) => self.model_stored(digest),
            Event::ModelRemoved(digest) => self.model_removed(digest),
            Event::FetchProgress { digest, bytes } => self.fetch_progress(digest, bytes),
            Event::FetchFailed(digest) => self.fetch_failed(digest),
            Event::PullWanted(digest) => self.pull_wanted(digest),
            Event::PinsChanged(pins) => self.pins_changed(pins),
            Event::CloseWanted(digest) => self.close_wanted(digest),
            Event::ModelReady(model) => self.model_ready(model),
            Event::ModelLost(digest) | Event::LoadFailed(digest) => self.model_lost(digest),
            Event::ModelRefuted(digest) => self.model_refuted(digest),
            Event::CapChanged(cap) => self.cap_changed(cap),
            Event::PolicyChanged(policy) => self.policy_changed(policy),
            Event::Draining => {
                (self.draining, self.herald.due) = (true, true);
                self.drop_hedges();
            }
            Event::Masked { request, site, findings } => {
                self.trace.step(request, Step::Masked { site, findings }, self.now);
            }
            Event::Tick => self.tick(),
        }
    }

    fn tick(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Deadline(request) => self.deadline_passed(request),
                Timer::Watch(request) => self.watch_due(request),
                Timer::Hedge(request) => self.hedge_due(request),
                Timer::Hosted(task) => self.hosted_too_late(task),
                Timer::Reload(digest) => self.reload(digest),
                Timer::Refetch(digest) => self.fetch(digest),
                Timer::Prove(digest) => self.prove(digest),
                Timer::Expire(digest) => self.look_at_end(digest),
                Timer::Trust(digest) => self.scheduler.trust(digest, true),
                Timer::Hold(request) => self.hold_over(request),
                Timer::Seek(digest) => self.seek(digest),
                Timer::Kept(task) => self.kept_over(task),
                Timer::Begged(number) => self.begged_over(number),
                // What is due is done after every event.
                Timer::Urgent => {}
                Timer::Stock => self.look_at_stock(),
                Timer::Announce => self.announce(),
            }
        }
    }

    /// A task failed at the place that serves it. If its engine was lost, the whole worker is probably about to be.
    fn failed(&mut self, task: Task, failure: Failure) {
        if matches!(failure, Failure::EngineLost | Failure::EngineCrashed(_))
            && let Some(digest) = self.scheduler.runs_on(task)
        {
            self.scheduler.trust(digest, false);
            self.timers.set(Timer::Trust(digest), self.now.after(limits::DISTRUST));
        }
        if task.origin == self.me.node {
            self.own_failed(task, failure);
            // What was told of this attempt says nothing of the next.
            if let Some(request) = self.requests.get_mut(&task.request) {
                request.unanswered = false;
            }
        } else {
            self.hosted_failed(task, failure);
        }
    }

    /// Starts what waits, as far as slots and power go.
    fn start_waiting(&mut self) {
        loop {
            while let Some(waiting) = self.scheduler.next_start(self.now) {
                match waiting.job {
                    Job::Own(request) => self.start_own(request),
                    Job::Peer(task) => {
                        self.scheduler.drained(waiting.digest, self.now);
                        self.start_hosted(task);
                    }
                }
            }
            if !self.frees_watts() {
                break;
            }
        }
        self.beg();
    }

    /// The cap changed: what exceeds it stops at once, the least important and youngest first; what waits looks for
    /// another place.
    fn cap_changed(&mut self, cap: Milliwatts) {
        let lowered = cap < self.scheduler.power().cap();
        self.scheduler.set_cap(cap);
        while let Some((task, job)) = self.scheduler.excess() {
            match job {
                Job::Own(request) => self.preempt_own(request),
                Job::Peer(_) => self.preempt_hosted(task),
            }
        }
        if lowered {
            self.reconsider_for_power();
        }
        self.announce();
    }

    /// The law changed: what it does not allow any more stops now, wherever it is.
    fn policy_changed(&mut self, policy: Arc<Policy>) {
        let before = self.law.policy().certified_within;
        self.law = Law::new(policy);
        self.assure_by_policy(before);
        if !mutant!(OldCirclesKept) {
            self.circles.clear();
        }
        self.judge_all_anew();
        self.herald.due = true;
    }

    /// What the law does not allow, as things are now, stops wherever it is.
    pub(crate) fn judge_all_anew(&mut self) {
        let requests: Vec<RequestId> = self.requests.keys().copied().collect();
        for request in requests {
            self.judge_anew(request);
        }
        let tasks: Vec<Task> = self.hosted.keys().copied().collect();
        for task in tasks {
            self.judge_hosted_anew(task);
        }
    }

    /// What must be true after every event. There may be many open requests: outside tests they are looked at in turn, one
    /// for each event.
    fn check(&mut self) {
        let every = cfg!(any(test, feature = "mutants"));
        let later = self.requests.range((Bound::Excluded(self.checked), Bound::Unbounded)).next();
        let turn = later.or_else(|| self.requests.first_key_value());
        debug_assert!(
            turn.is_none_or(|(id, request)| request.is_consistent(*id, &self.timers))
                && (!every || self.requests.iter().all(|(id, request)| request.is_consistent(*id, &self.timers))),
            "every open request has a deadline, and waits for something"
        );
        self.checked = turn.map_or(RequestId(0), |(id, _)| *id);
        debug_assert!(self.scheduler.excess().is_none(), "what runs keeps within the cap");
    }

    /// Says an action.
    pub(crate) fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    /// Writes a fact for which nobody waits.
    pub(crate) fn note(&mut self, fact: Fact) {
        self.act(Action::Record { ticket: None, fact });
    }

    /// Writes a fact for which somebody waits.
    pub(crate) fn note_first(&mut self, waiter: Waiter, fact: Fact) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.tickets.insert(ticket, waiter);
        self.act(Action::Record { ticket: Some(ticket), fact });
        ticket
    }

    /// Keeps a sentence for the operator.
    pub(crate) fn complain(&mut self, text: String) {
        if self.complaints.contains(&text) {
            return;
        }
        if self.complaints.len() >= limits::DENIED_MAX {
            self.complaints.pop_front();
        }
        self.complaints.push_back(text);
    }

    /// The label of a request as it is decided on now, and the model that it runs on.
    pub(crate) fn subject(
        &self,
        request: RequestId,
        attempt: Attempt,
        envelope: &Envelope,
        digest: Option<Digest>,
    ) -> Subject {
        Subject {
            request,
            attempt,
            app: envelope.app.clone(),
            model: envelope.model.clone(),
            ran: digest.and_then(|digest| self.ran(digest, envelope)),
            class: envelope.label.class,
            tags: envelope.label.tags.clone(),
            subjects: envelope.label.subjects.clone(),
            purpose: envelope.label.purpose.clone(),
            policy: self.law.policy().digest,
        }
    }
}

/// The forbid in a denial, if one matched.
pub(crate) fn forbid_of(denial: &hither_types::law::Denial) -> Option<RuleId> {
    match denial {
        hither_types::law::Denial::Forbidden { rule, .. } => Some(rule.clone()),
        hither_types::law::Denial::NotPermitted { .. } | hither_types::law::Denial::Role(_) => None,
    }
}
