//! What the mind wants, carried out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hither_api::door::{Answer, Route};
use hither_core::membership::Sign;
use hither_core::{Action, Event};
use hither_engine::work::Work;
use hither_types::fact::{Fact, Outcome, Passed};
use hither_types::filter::Findings;
use hither_types::id::{Digest, NodeId, RequestId, Task, Ticket};
use hither_types::message::{Ask, Frame, PeerMessage};
use hither_types::refusal::Failure;
use hither_types::request::{Envelope, Prefix};
use hither_types::spending::Flow;
use hither_types::unit::{ByteCount, Micros};

use crate::driver::Driver;
use crate::traces::End;
use crate::workers::Sink;

impl Driver {
    /// Carries out one action. Nothing here waits.
    pub(crate) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Record { ticket, fact } => self.record(ticket, fact),
            Action::Run { task, digest, prefix } => self.run_here(task, digest, prefix),
            Action::StopRun(task) => {
                self.workers.values().for_each(|worker| worker.cancel(task));
                self.give_up(task);
            }
            Action::Forward { task, peer, digest, envelope, remaining, prefix } => {
                if !self.is_severed(task) && !self.forward_outside(task, peer, &envelope) {
                    self.forward(task, (peer, digest, prefix), envelope, remaining);
                }
            }
            Action::Abandon { task, peer: _ } => {
                if let Some(forward) = self.forwards.remove(&task) {
                    forward.abort();
                }
                self.give_up(task);
            }
            Action::Route { request, attempt, served_by, rule, instead, version } => {
                if let (Some(session), Some(served_by)) = (self.sessions.get(&request), self.member(served_by)) {
                    session.route(Route { attempt, served_by, rule, instead, version, masked: Findings::default() });
                }
            }
            Action::Finish { request, cost } => {
                if let Some(session) = self.end_session(request) {
                    self.end_trace(&session.trace, request, End::Answered(&cost));
                    let summary = session.summary(cost);
                    self.say(session, Answer::Done(summary));
                }
            }
            Action::Refuse { request, refusal } => {
                if let Some(session) = self.end_session(request) {
                    self.end_trace(&session.trace, request, End::Refused(&refusal));
                    self.say(session, Answer::Refused(refusal));
                }
            }
            Action::Fail { request, failure } => {
                if let Some(session) = self.end_session(request) {
                    self.end_trace(&session.trace, request, End::Failed(&failure));
                    self.say(session, Answer::Failed(failure));
                }
            }
            Action::Accept(task) => self.frame(task, Frame::Accepted),
            Action::FinishAsk { task, cost } => self.last_frame(task, Frame::Done(cost)),
            Action::DeclineAsk { task, refusal } => self.last_frame(task, Frame::Declined(refusal)),
            Action::FailAsk { task, failure } => self.last_frame(task, Frame::Failed(failure)),
            Action::Announce(presence) => {
                self.sign(Sign::Own(presence));
            }
            Action::Tell { peer, signal } if self.answer_for_endpoint(peer, &signal) => {}
            Action::Tell { peer, signal } => self.swarm.send(peer, PeerMessage::Signal(signal)),
            Action::Fetch { manifest, providers } => self.fetch(manifest, providers),
            Action::Load(digest) => self.load(digest),
            Action::Evict { digest, by } => self.evict(digest, by),
            Action::Unload(digest) => self.unload(digest),
            Action::Prove(digest) => self.prove(digest),
            Action::Judge(verdict) => self.judge(verdict),
        }
    }

    /// Writes a fact. What is to leave for a server outside the mesh is read by its filter first.
    pub(crate) fn record(&mut self, ticket: Option<Ticket>, mut fact: Fact) {
        self.count(&mut fact);
        if let Some(fact) = self.clear_first(ticket, fact) {
            self.write_down(ticket, fact);
        }
    }

    /// Writes a fact as it is; a ticket that cannot be written is told at once.
    pub(crate) fn write_down(&mut self, ticket: Option<Ticket>, fact: Fact) {
        // Neither requests nor, behind what was taken in, answers: it is as with a ledger that cannot be written.
        if let Fact::EgressIntent { .. } | Fact::IngressAccepted { .. } = &fact
            && let Some(ticket) = ticket
            && self.wants_witness().is_some()
        {
            return self.echoes.push_back(Event::RecordFailed(ticket));
        }
        // Of what a filter kept back nothing leaves.
        if let Fact::EgressIntent { to: other, bytes, .. } | Fact::IngressAccepted { from: other, bytes, .. } = &fact
            && bytes.0 > 0
        {
            self.records.note_transfer(self.home.me.jurisdiction, other.jurisdiction);
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.note(&fact, |node| !self.endpoints.contains_key(&node));
        }
        if !self.records.record(ticket, fact)
            && let Some(ticket) = ticket
        {
            self.echoes.push_back(Event::RecordFailed(ticket));
        }
    }

    /// Puts into a fact what only the hands know: the tokens to go on from leave with the payload, and an answer that
    /// broke off has no end to tell its size.
    fn count(&mut self, fact: &mut Fact) {
        match fact {
            Fact::Ended { subject, reference, .. } => *reference = self.referred.remove(&subject.request),
            Fact::EgressIntent { subject, to, cache, bytes, reference, .. } => {
                *reference = self.referred.get(&subject.request).copied();
                if let Some(session) = self.sessions.get(&subject.request) {
                    // A server outside the mesh is told of no scope at all.
                    let outside = self.endpoints.contains_key(&to.node);
                    let prefix = if outside { Prefix::Stays } else { Prefix::from(cache.as_ref()) };
                    *bytes = session.fix_outgoing(subject.attempt, prefix);
                }
            }
            Fact::EgressSettled { subject, to, bytes, answer, outcome, left_by, over } => {
                let Some(session) = self.sessions.get(&subject.request) else { return };
                if session.is_withheld(subject.attempt, to.node) {
                    (*bytes, *left_by) = (ByteCount(0), None);
                } else if bytes.0 > 0 {
                    *bytes = session.outgoing(subject.attempt).unwrap_or(*bytes);
                }
                if *outcome != Outcome::Answered {
                    *answer = session.answer_bytes(subject.attempt).unwrap_or(*answer);
                }
                if bytes.0 > 0
                    && let Some(relay) = session.relay(subject.attempt)
                {
                    *over = Some(self.passed(relay));
                    self.count_relayed(to.node, Flow { requests: *bytes, answers: ByteCount(0) });
                }
            }
            Fact::IngressAccepted { subject, from, bytes, .. } => {
                let task = Task { origin: from.node, request: subject.request, attempt: subject.attempt };
                if let Some(ask) = self.asks.get(&task) {
                    *bytes = ask.incoming();
                }
            }
            Fact::AnswerSent { subject, to, bytes, outcome, over } => {
                let task = Task { origin: to.node, request: subject.request, attempt: subject.attempt };
                if let Some(ask) = self.asks.get(&task)
                    && *outcome != Outcome::Answered
                {
                    *bytes = ByteCount(ask.sent.load(Ordering::Relaxed));
                }
                self.egress.entry(to.node).or_default().answers.0 += bytes.0;
                if let Some(relay) = self.asks.get(&task).and_then(|ask| ask.relay) {
                    *over = Some(self.passed(relay));
                    self.count_relayed(to.node, Flow { requests: ByteCount(0), answers: *bytes });
                }
            }
            Fact::Started { .. }
            | Fact::PolicyChanged { .. }
            | Fact::BlocsChanged { .. }
            | Fact::Joined(_)
            | Fact::Revoked(_)
            | Fact::Left(_)
            | Fact::Moved { .. }
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
            | Fact::Denied { .. }
            | Fact::CanaryPermitted { .. }
            | Fact::IngressRefused { .. }
            | Fact::Exported(_)
            | Fact::ReferencesDestroyed { .. } => {}
        }
    }

    /// A relay as the ledger names it.
    fn passed(&self, relay: NodeId) -> Passed {
        let place = self.member(relay).map(|member| (member.site, member.jurisdiction));
        Passed { relay, place }
    }

    /// Counts payload that passed a third place on its way to a peer, beside what it counts as by where it ends up.
    fn count_relayed(&mut self, to: NodeId, flow: Flow) {
        self.egress.entry(to).or_default().relayed.0 += flow.requests.0 + flow.answers.0;
        self.echoes.push_back(Event::Relayed(flow));
    }

    /// Pieces of an attempt at a request of this node are not wanted any more.
    pub(crate) fn give_up(&self, task: Task) {
        if task.origin == self.home.me.node
            && let Some(session) = self.sessions.get(&task.request)
        {
            session.give_up(task.attempt);
        }
    }

    /// Forgets a request that has ended; its channel closes once its last word is read.
    pub(crate) fn end_session(&mut self, request: RequestId) -> Option<Arc<crate::session::Session>> {
        let session = self.sessions.remove(&request)?;
        session.end();
        self.forwards.retain(|task, forward| {
            let keep = task.request != request;
            if !keep {
                forward.abort();
            }
            keep
        });
        Some(session)
    }

    fn say(&mut self, session: Arc<crate::session::Session>, answer: Answer) {
        if let Err(answer) = session.say(answer) {
            self.hands.spawn(async move { session.say_wait(*answer).await });
        }
    }

    /// An answer that began at a server outside the mesh cannot go on anywhere: the mind is told so.
    fn is_severed(&mut self, task: Task) -> bool {
        let own = task.origin == self.home.me.node;
        let severed = own && self.sessions.get(&task.request).is_some_and(|session| session.is_severed());
        if severed {
            let failure = Failure::Severed("it began at a server outside the mesh, which may not go on".to_owned());
            self.echoes.push_back(Event::Failed { task, failure });
        }
        severed
    }

    fn run_here(&mut self, task: Task, digest: Digest, prefix: Prefix) {
        if self.is_severed(task) {
            return;
        }
        let Some(worker) = self.workers.get(&digest) else {
            self.echoes.push_back(Event::Failed { task, failure: Failure::EngineLost });
            return;
        };
        if task.origin == self.home.me.node {
            let Some(session) = self.sessions.get(&task.request) else { return };
            let resume = session.begin(task.attempt);
            worker.run(task, Sink::Client(Arc::clone(session)), session.work(prefix), resume);
        } else {
            let Some(ask) = self.asks.get(&task) else { return };
            let bare = (prefix == Prefix::Goes).then(|| Work::without_scope(&ask.payload)).flatten();
            let work = bare.unwrap_or_else(|| ask.payload.clone());
            worker.run(task, Sink::Peer(Arc::clone(ask)), work, ask.resume.clone());
        }
    }

    /// Sends workers what was meant for them.
    pub(crate) fn flush(&mut self) {
        loop {
            let lost: Vec<Task> = self.workers.values().flat_map(|worker| worker.flush()).collect();
            if lost.is_empty() {
                return;
            }
            // The mind may try again at once, at another worker.
            for task in lost {
                self.feed(Event::Failed { task, failure: Failure::EngineLost });
            }
        }
    }

    fn forward(
        &mut self,
        task: Task,
        (peer, digest, prefix): (NodeId, Digest, Prefix),
        envelope: Envelope,
        remaining: Micros,
    ) {
        let Some(session) = self.sessions.get(&task.request) else { return };
        let resume = session.begin(task.attempt);
        let (payload, leaving) = session.leave(task.attempt, prefix);
        session.add_egress(leaving.0);
        self.egress.entry(peer).or_default().requests.0 += leaving.0;
        let trace = session.trace.onwards(task.attempt);
        let ask =
            Ask { request: task.request, attempt: task.attempt, digest, envelope, remaining, resume, payload, trace };
        let hand =
            crate::forward::ask_peer(self.swarm.clone(), peer, task, ask, Arc::clone(session), self.inbox.clone());
        let handle = self.hands.spawn(hand);
        self.forwards.insert(task, handle);
    }

    fn frame(&mut self, task: Task, frame: Frame) {
        if let Some(ask) = self.asks.get(&task)
            && let Err(tokio::sync::mpsc::error::TrySendError::Full(frame)) = ask.frames.try_send(frame)
        {
            let frames = ask.frames.clone();
            self.hands.spawn(async move {
                // A closed channel means that the asker left.
                let _ = frames.send(frame).await;
            });
        }
    }

    fn last_frame(&mut self, task: Task, frame: Frame) {
        if let Some(ask) = self.asks.get(&task).cloned() {
            let end = match &frame {
                Frame::Done(cost) => End::Answered(cost),
                Frame::Declined(refusal) => End::Refused(refusal),
                Frame::Failed(failure) => End::Failed(failure),
                Frame::Accepted | Frame::Beat { .. } | Frame::Piece(_) => End::Left,
            };
            self.end_trace(&ask.trace, task.request, end);
        }
        self.frame(task, frame);
        self.asks.remove(&task);
    }
}
