//! The bench: sees every action of both cores, judges those that name a place, and carries words and requests between
//! the cores and the members that only follow a script.

use std::sync::Arc;

use hither_core::{Action, Event};
use hither_types::id::{Attempt, Digest, NodeId, RequestId, RuleId, Task, Ticket};
use hither_types::law::{LawAction, Policy};
use hither_types::member::Member;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Envelope, Prefix};

use super::draw::{Kind, MODELS, Stock};
use super::oracle::{HOME, Matter, MayBe, Reading, Standing};
use super::report::{Breach, Decision, LawReport};
use crate::chance::Chance;

/// Verdicts that were not worked out yet.
const UNASKED: u32 = 1 << 30;

/// What of a request the law asks for, by number; the model is that of its envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct About {
    pub(super) kind: u8,
    pub(super) model: u8,
}

/// Something on its way to a core.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) to: usize,
    pub(super) about: About,
    pub(super) event: Event,
}

/// A copy of a request at a place, as far as its core has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) attempt: Attempt,
    pub(super) model: u8,
    pub(super) place: u8,
}

/// An egress that was written down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intent {
    pub(super) ticket: Ticket,
    pub(super) attempt: Attempt,
    pub(super) peer: u8,
    /// The permit that it names, as a bit.
    pub(super) rule: u32,
    /// Another copy was under way when it was written.
    pub(super) is_second: bool,
    pub(super) is_on_disk: bool,
}

/// A request that entered at a core.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) id: RequestId,
    pub(super) envelope: Envelope,
    pub(super) about: About,
    /// Where it is: at most two places, the second for want of an answer from the first.
    pub(super) at: Vec<At>,
    pub(super) intent: Option<Intent>,
    pub(super) offered: Option<(Attempt, u8)>,
    /// A peer's law said no, or the law or a certificate changed.
    pub(super) denied_there: bool,
}

impl Own {
    pub(super) fn new(id: RequestId, envelope: Envelope, about: About) -> Self {
        Self { id, envelope, about, at: Vec::new(), intent: None, offered: None, denied_there: false }
    }
}

/// A task of a peer at a core.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    pub(super) task: Task,
    pub(super) about: About,
    pub(super) reads: bool,
    pub(super) ticket: Ticket,
    pub(super) is_on_disk: bool,
    pub(super) is_accepted: bool,
}

/// What a core was told of the world.
#[derive(Debug)]
pub(super) struct Knowledge {
    /// The law in force.
    pub(super) policy: usize,
    /// The certificates that it knows, by member; `None` for one that does not belong.
    pub(super) profiles: Vec<Option<u8>>,
    /// The models that each member said to hold, and the number of that word.
    pub(super) holds: Vec<([bool; MODELS.len()], u64)>,
    pub(super) own: Vec<Own>,
    pub(super) guests: Vec<Guest>,
}

/// The question that a core has before it: an offer or a request of a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) task: Task,
    pub(super) about: About,
    pub(super) digest: Digest,
    /// Whether an engine reads a prompt of it, which may stay.
    pub(super) reads: bool,
}

/// The world of a round and its judge.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) stock: &'a Stock,
    pub(super) chance: Chance,
    pub(super) policies: Vec<Arc<Policy>>,
    readings: Vec<Reading>,
    pub(super) kinds: Vec<(Kind, Vec<MayBe>)>,
    /// Two certificates of each member: `2 * member`, and the one that may follow.
    pub(super) profiles: Vec<(Member, Standing)>,
    pub(super) known: [Knowledge; 2],
    pub(super) flights: Vec<Flight>,
    pub(super) before: Option<Before>,
    verdicts: Vec<u32>,
    pub(super) report: &'a mut LawReport,
    pub(super) step: u64,
    /// Requests and words have numbers of their own.
    pub(super) numbered: u64,
}

/// The model that a digest means; one that is in no catalog goes by the name that was asked for.
pub(super) fn runs_on(digest: Digest, asked: u8) -> u8 {
    match digest.0[0] {
        number @ 1..=3 => number - 1,
        _ => asked,
    }
}

pub(super) fn index_of(node: NodeId) -> u8 {
    node.0[0]
}

impl<'a> Bench<'a> {
    pub(super) fn new(stock: &'a Stock, report: &'a mut LawReport, mut chance: Chance) -> Self {
        let members = if chance.permille(250) { chance.between(2, 16) } else { chance.between(2, 6) } as u8;
        let profiles: Vec<(Member, Standing)> = (0..2 * members)
            .map(|profile| {
                let member = stock.member(profile / 2, &mut chance);
                let standing = Standing::of(&member, &stock.atlas);
                (member, standing)
            })
            .collect();
        let kinds: Vec<(Kind, Vec<MayBe>)> = (0..chance.between(2, 5))
            .map(|number| {
                let home = profiles[(number % 2 * 2) as usize].0.jurisdiction;
                let kind = stock.kind(home, &mut chance);
                let subjects = kind.label.subjects.iter().map(|code| stock.atlas.may_be(*code)).collect();
                (kind, subjects)
            })
            .collect();
        let first = stock.policy(0, &mut chance);
        let (second, third) = (stock.amended(&first, 1, &mut chance), stock.policy(2, &mut chance));
        let policies: Vec<Arc<Policy>> = [first, second, third].into_iter().map(Arc::new).collect();
        let readings: Vec<Reading> = policies.iter().map(|policy| Reading::of(policy, &stock.atlas)).collect();
        let asked = policies.len() * kinds.len() * MODELS.len() * profiles.len() * profiles.len();
        let mut knowledge = || Knowledge {
            policy: chance.below(2) as usize,
            profiles: (0..members).map(|member| Some(2 * member)).collect(),
            holds: vec![([false; MODELS.len()], 0); usize::from(members)],
            own: Vec::new(),
            guests: Vec::new(),
        };
        let known = [knowledge(), knowledge()];
        Self {
            stock,
            policies,
            readings,
            kinds,
            profiles,
            known,
            flights: Vec::new(),
            before: None,
            verdicts: vec![UNASKED; asked],
            report,
            step: 0,
            numbered: 0,
            chance,
        }
    }

    pub(super) fn members(&self) -> u8 {
        self.known[0].profiles.len() as u8
    }

    pub(super) fn breach(&mut self, core: usize, breach: Breach, what: impl FnOnce() -> String) {
        let (seed, round, step) = (self.report.seed, self.report.rounds, self.step);
        self.report
            .breach(breach, || format!("{breach:?}, seed {seed}, round {round}, step {step}, core {core}: {}", what()));
    }

    /// The permits under which a core, by the law in force there and what it was told of the two, may let a request of
    /// one member be processed at another; none if that is not lawful.
    pub(super) fn lawful(&mut self, core: usize, about: About, origin: u8, target: u8) -> u32 {
        let known = &self.known[core];
        let profile = |member: u8| known.profiles.get(usize::from(member)).copied().flatten();
        let (Some(from), Some(to)) = (profile(origin), profile(target)) else { return 0 };
        let (policy, count) = (known.policy, self.profiles.len());
        let question = (policy * self.kinds.len() + usize::from(about.kind)) * MODELS.len() + usize::from(about.model);
        let question = (question * count + usize::from(from)) * count + usize::from(to);
        if self.verdicts[question] == UNASKED {
            let (kind, subjects) = &self.kinds[usize::from(about.kind)];
            let model = &self.stock.models[usize::from(about.model)];
            let matter = Matter { action: LawAction::Infer, app: &kind.app, model, label: &kind.label, subjects };
            let standing = |profile: u8| &self.profiles[usize::from(profile)].1;
            let permits = self.readings[policy].permits(&matter, standing(from), standing(to), origin == target);
            self.verdicts[question] = permits;
            self.report.verdicts += 1;
            self.report.lawful += u64::from(permits != 0);
        }
        self.verdicts[question]
    }

    /// Whether what is read of a request may stay at a place, by the law of one of the two cores.
    pub(super) fn may_stay(&self, core: usize, about: About, origin: u8, target: u8) -> bool {
        let known = &self.known[core];
        let profile = |member: u8| known.profiles.get(usize::from(member)).copied().flatten();
        let (Some(from), Some(to)) = (profile(origin), profile(target)) else { return false };
        let (kind, subjects) = &self.kinds[usize::from(about.kind)];
        let model = &self.stock.models[usize::from(about.model)];
        let matter = Matter { action: LawAction::Cache, app: &kind.app, model, label: &kind.label, subjects };
        let standing = |profile: u8| &self.profiles[usize::from(profile)].1;
        let permits = self.readings[known.policy].permits(&matter, standing(from), standing(to), origin == target);
        permits != 0
    }

    /// The permit with this id, as a bit.
    pub(super) fn permit(&self, rule: &RuleId) -> u32 {
        match self.stock.position(rule) {
            Some(position) => 1 << position,
            None if rule.as_str() == "local" => HOME,
            None => 0,
        }
    }

    pub(super) fn own_of(&self, core: usize, id: RequestId) -> Option<usize> {
        self.known[core].own.iter().position(|own| own.id == id)
    }

    pub(super) fn guest_of(&self, core: usize, task: Task) -> Option<usize> {
        self.known[core].guests.iter().position(|guest| guest.task == task)
    }

    /// Counts a decision and holds it against the law: what lets something happen has to be lawful, a no must not be.
    pub(super) fn decide(&mut self, core: usize, decision: Decision, about: About, task: Task, target: u8) {
        let origin = index_of(task.origin);
        let permits = self.lawful(core, about, origin, target);
        let is_yes = match decision {
            Decision::Refuse | Decision::Reject | Decision::Decline | Decision::Stop => false,
            Decision::RunAtHome
            | Decision::RunForPeer
            | Decision::Offer
            | Decision::Forward
            | Decision::Steal
            | Decision::Second
            | Decision::Welcome
            | Decision::Accept => true,
        };
        let places = u64::from(origin) << 8 | u64::from(target) << 16 | u64::from(task.attempt.0) << 24;
        let what = (task.request.0 as u64) << 32 | places | u64::from(about.kind) << 4 | u64::from(about.model);
        self.report.decided(decision, what);
        if is_yes != (permits != 0) {
            let law = self.known[core].policy;
            let breach = if is_yes { Breach::Place } else { Breach::Refusal };
            self.breach(core, breach, || {
                let word = if is_yes { "is not lawful" } else { "is lawful" };
                format!("{decision:?} of {task:?} about {about:?} at member {target}, which {word} by law {law}")
            });
        }
    }

    /// A core acts.
    pub(super) fn act(&mut self, core: usize, action: Action) {
        let me = NodeId([core as u8; 32]);
        match action {
            Action::Record { ticket, fact } => self.record(core, ticket, &fact),
            Action::Run { task, digest, prefix } => {
                self.run(core, task, digest);
                self.keeps(core, (task, digest), (index_of(task.origin), core as u8), prefix);
            }
            Action::StopRun(task) | Action::Abandon { task, .. } if task.origin == me => {
                if let Some(own) = self.own_of(core, task.request) {
                    self.known[core].own[own].at.retain(|at| at.attempt != task.attempt);
                }
                if let Action::Abandon { task, peer } = action {
                    self.fly(peer, About { kind: 0, model: 0 }, || Event::AskerGone(task));
                }
            }
            Action::StopRun(_) | Action::Abandon { .. } => {}
            Action::Forward { task, peer, digest, envelope, remaining, prefix } => {
                self.forward(core, task, peer, (digest, &envelope));
                if prefix == Prefix::Stays {
                    self.keeps(core, (task, digest), (core as u8, index_of(peer)), prefix);
                }
                if let Some(own) = self.own_of(core, task.request) {
                    let about = self.known[core].own[own].about;
                    self.fly(peer, about, || Event::Asked { task, digest, envelope, remaining });
                    self.serve_by_script(core, task, peer);
                }
            }
            Action::Route { request, attempt, served_by, rule, instead, version: _ } => {
                self.route(core, (request, attempt), served_by, &rule);
                self.report.stepped_down += u64::from(instead.is_some());
            }
            Action::Refuse { request, refusal } => self.refuse(core, request, &refusal),
            Action::Finish { request, .. } | Action::Fail { request, .. } => self.ended(core, request),
            Action::Accept(task) => self.accept(core, task),
            Action::FinishAsk { task, cost } => {
                self.known[core].guests.retain(|guest| guest.task != task);
                self.fly(task.origin, About { kind: 0, model: 0 }, || Event::Done { task, cost });
            }
            Action::DeclineAsk { task, refusal } => {
                if let Refusal::UnlawfulThere(_) = refusal {
                    self.answer(core, Decision::Decline, task);
                }
                self.leaves(core, task, Failure::Declined(refusal));
            }
            Action::FailAsk { task, failure } => {
                if let Failure::Declined(Refusal::UnlawfulThere(_)) = failure {
                    match self.guest_of(core, task).map(|guest| self.known[core].guests[guest].about) {
                        Some(about) => self.decide(core, Decision::Stop, about, task, core as u8),
                        None => self.breach(core, Breach::Paper, || format!("{task:?} is ended, and never began")),
                    }
                }
                self.leaves(core, task, failure);
            }
            Action::Announce(presence) => {
                let (from, presence) = (me, Arc::new(presence));
                self.fly(NodeId([1 - core as u8; 32]), About { kind: 0, model: 0 }, || Event::Presence {
                    from,
                    presence: Arc::clone(&presence),
                });
            }
            Action::Tell { peer, signal } => self.tell(core, peer, signal),
            Action::Fetch { .. }
            | Action::Evict { .. }
            | Action::Load(_)
            | Action::Unload(_)
            | Action::Prove(_)
            | Action::Judge(_) => {}
        }
    }

    /// Sends something to a member, if that is a core.
    pub(super) fn fly(&mut self, to: NodeId, about: About, event: impl FnOnce() -> Event) {
        let to = usize::from(index_of(to));
        if to < self.known.len() {
            self.flights.push(Flight { to, about, event: event() });
        }
    }

    pub(super) fn ended(&mut self, core: usize, request: RequestId) {
        self.known[core].own.retain(|own| own.id != request);
    }

    fn leaves(&mut self, core: usize, task: Task, failure: Failure) {
        self.known[core].guests.retain(|guest| guest.task != task);
        self.fly(task.origin, About { kind: 0, model: 0 }, || Event::Failed { task, failure });
    }
}
