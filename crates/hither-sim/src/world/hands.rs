//! The hands of a node: each action of its mind carried out.

use std::sync::Arc;

use hither_core::{Action, Event};
use hither_types::fact::Fact;
use hither_types::id::{Digest, NodeId, Task, Ticket};
use hither_types::message::{Ask, Frame, PeerMessage, Presence, Signal};
use hither_types::model::Manifest;
use hither_types::refusal::Failure;
use hither_types::request::Envelope;
use hither_types::unit::Micros;

use super::World;
use crate::codec;
use crate::node::{Fetch, Input, Parcel, Run};
use crate::streams::End;

/// A beat is due this often, in microseconds.
pub(super) const BEAT: u64 = 250_000;
/// A fetch shows its progress this often, in microseconds.
pub(super) const CHUNK: u64 = 100_000;

impl World<'_> {
    pub(super) fn carry_out(&mut self, node: usize, action: Action) {
        match action {
            Action::Record { ticket, fact } => self.record(node, ticket, fact),
            Action::Run { task, digest, prefix: _ } => self.start(node, task, digest),
            Action::StopRun(task) => {
                self.nodes[node].runs.remove(&task);
                self.give_up(node, task);
            }
            Action::Forward { task, peer, digest, envelope, remaining, prefix: _ } => {
                self.forward(node, task, (peer, digest, remaining), envelope);
            }
            Action::Abandon { task, peer: _ } => {
                self.send(task, End::Target, Parcel::Reset);
                self.streams.close(task, End::Origin);
                self.give_up(node, task);
            }
            Action::Route { .. } => {}
            Action::Finish { request, .. } | Action::Refuse { request, .. } | Action::Fail { request, .. } => {
                self.nodes[node].own.remove(&request);
            }
            Action::Accept(task) => {
                if let Some(served) = self.nodes[node].served.get_mut(&task) {
                    served.accepted = true;
                    self.answer(node, task, &Frame::Accepted);
                    self.beat_on(node, task);
                }
            }
            Action::FinishAsk { task, cost } => self.last_answer(node, task, &Frame::Done(cost)),
            Action::DeclineAsk { task, refusal } => self.last_answer(node, task, &Frame::Declined(refusal)),
            Action::FailAsk { task, failure } => self.last_answer(node, task, &Frame::Failed(failure)),
            Action::Announce(presence) => self.announce(node, presence),
            Action::Tell { peer, signal } => self.tell(node, peer, signal),
            Action::Fetch { manifest, providers } => self.fetch(node, &manifest, &providers),
            Action::Load(digest) => {
                if let Some(model) = self.model(digest) {
                    let time = self.engine_time(node, self.scenario.models[model].load);
                    self.nodes[node].opens.insert(model, self.now + time);
                    self.later(time, node, Input::Opened(model));
                }
            }
            Action::Unload(digest) => {
                if let Some(model) = self.model(digest) {
                    self.nodes[node].loaded.remove(&model);
                    self.nodes[node].opens.remove(&model);
                }
            }
            // No node of this world decides itself what it holds: that is for `placing`.
            Action::Evict { .. } => {}
            // No engine of this world is wrong, and nothing is rolled out in it.
            Action::Prove(_) | Action::Judge(_) => {}
        }
    }

    fn give_up(&mut self, node: usize, task: Task) {
        let here = &mut self.nodes[node];
        if task.origin == here.member.node
            && let Some(own) = here.own.get_mut(&task.request)
        {
            own.give_up(task.attempt);
        }
    }

    fn record(&mut self, node: usize, ticket: Option<Ticket>, fact: Fact) {
        let time = self.scenario.sync * self.nodes[node].slow;
        let time = self.engines.between(time / 2, time * 2);
        // A ledger is one file: what was written first is on disk first.
        let at = (self.now + time).max(self.nodes[node].disk.synced);
        self.nodes[node].disk.synced = at;
        self.later(at - self.now, node, Input::Synced(Box::new((ticket, fact))));
    }

    /// A task starts on the engine, after the tokens that its client has.
    fn start(&mut self, node: usize, task: Task, digest: Digest) {
        let id = self.number();
        let here = &mut self.nodes[node];
        let known = match task.origin == here.member.node {
            true => here.own.get_mut(&task.request).map(|own| {
                own.begin(task.attempt);
                (codec::read_payload(&own.payload), own.log.len() as u32)
            }),
            false => here.served.get(&task).map(|served| (codec::read_payload(&served.payload), served.resume)),
        };
        let model = self.by_digest.get(&digest).copied();
        let (Some((Some(work), resumed)), Some(model)) = (known, model) else {
            let what = format!("{task:?} runs, and the driver has no payload for it");
            return self.observer.driver_breach(self.now, node, what);
        };
        if !self.nodes[node].loaded.contains(&model) {
            self.observer.engine_free(self.now, node, task);
            let event = Event::Failed { task, failure: Failure::EngineLost };
            return self.later(0, node, Input::Event(Box::new(event)));
        }
        let (total, micros) = (work.tokens, work.micros);
        let is_timed = micros > 0;
        let run = Run { id, model, next: resumed, resumed, total, is_timed, steps: 0, began: self.now };
        self.nodes[node].runs.insert(task, run);
        // What the trace of arrivals says a request takes, it takes, at the speed of this node.
        let time = match micros {
            0 => self.engine_time(node, self.scenario.models[model].prefill),
            micros => {
                let cost = self.scenario.models[model].cost;
                micros * cost * self.nodes[node].slow / self.nodes[node].speed
            }
        };
        self.later(time, node, Input::Step(Box::new((task, id))));
        self.beat_on(node, task);
    }

    /// Beats begin, unless they go on already.
    fn beat_on(&mut self, node: usize, task: Task) {
        if self.nodes[node].beating.insert(task) {
            self.later(BEAT, node, Input::Beat(Box::new(task)));
        }
    }

    fn forward(
        &mut self,
        node: usize,
        task: Task,
        (peer, digest, remaining): (NodeId, Digest, Micros),
        envelope: Envelope,
    ) {
        let Some(&target) = self.index.get(&peer) else { return };
        let Some(own) = self.nodes[node].own.get_mut(&task.request) else {
            let what = format!("{task:?} is forwarded, and the driver has no payload for it");
            return self.observer.driver_breach(self.now, node, what);
        };
        own.begin(task.attempt);
        let ask = Ask {
            request: task.request,
            attempt: task.attempt,
            digest,
            envelope,
            remaining,
            resume: own.log.clone(),
            payload: own.payload.clone(),
            trace: None,
        };
        match codec::ask(&ask) {
            Ok(bytes) => {
                let lives = [self.nodes[node].life, self.nodes[target].life];
                self.streams.open(self.now, task, [node, target], lives);
                self.send(task, End::Target, Parcel::Ask(bytes));
            }
            Err(error) => self.observer.driver_breach(self.now, node, format!("an ask has no bytes: {error}")),
        }
    }

    /// A frame of an answer leaves for the origin.
    pub(super) fn answer(&mut self, node: usize, task: Task, frame: &Frame) {
        if matches!(frame, Frame::Piece(_) | Frame::Done(_)) {
            self.observer.answer_leaves(self.now, node, task);
        }
        match codec::frame(frame) {
            Ok(bytes) => self.send(task, End::Origin, Parcel::Frame(bytes)),
            Err(error) => self.observer.driver_breach(self.now, node, format!("a frame has no bytes: {error}")),
        }
    }

    fn last_answer(&mut self, node: usize, task: Task, frame: &Frame) {
        if self.nodes[node].served.remove(&task).is_some() {
            self.answer(node, task, frame);
            self.streams.close(task, End::Target);
            self.observer.answer_over(self.now, node, task);
        }
    }

    fn tell(&mut self, node: usize, peer: NodeId, signal: Signal) {
        let Some(&to) = self.index.get(&peer) else { return };
        if self.nodes[node].mute > 0 {
            return;
        }
        let bytes = match codec::message(&PeerMessage::Signal(signal)) {
            Ok(bytes) => bytes.into_boxed_slice(),
            Err(error) => {
                return self.observer.driver_breach(self.now, node, format!("a signal has no bytes: {error}"));
            }
        };
        // A word goes over a stream of its own, as in the product: loss delays it, a cut loses it.
        if self.network.is_cut(node, to) {
            return self.observer.counts.add("messages_lost", 1);
        }
        let delay = self.network.stream(node, to);
        self.later(delay, to, Input::Message { from: node as u32, bytes });
    }

    /// What a node tells all of itself passes through the codec once, and not once for each that hears it.
    fn announce(&mut self, node: usize, presence: Presence) {
        let bytes = codec::message(&PeerMessage::Presence(presence));
        let presence = match bytes.and_then(|bytes| codec::read_message(&bytes)) {
            Ok(PeerMessage::Presence(presence)) => Arc::new(presence),
            other => return self.observer.driver_breach(self.now, node, format!("bytes of a presence: {other:?}")),
        };
        let circles = self.circles.take();
        match &circles {
            Some(circles) => circles.of(node).iter().for_each(|to| self.announce_to(node, *to as usize, &presence)),
            None => (0..self.nodes.len()).filter(|to| *to != node).for_each(|to| self.announce_to(node, to, &presence)),
        }
        self.circles = circles;
    }

    fn announce_to(&mut self, node: usize, to: usize, presence: &Arc<Presence>) {
        match self.network.datagram(node, to) {
            Some(delay) => self.later(delay, to, Input::Presence { from: node as u32, presence: presence.clone() }),
            None => self.observer.counts.add("messages_lost", 1),
        }
    }

    fn fetch(&mut self, node: usize, manifest: &Manifest, providers: &[NodeId]) {
        let Some(model) = self.model(manifest.digest) else { return };
        let providers = providers.iter().filter_map(|provider| self.index.get(provider).copied()).collect();
        let id = self.number();
        self.nodes[node].fetches.insert(model, Fetch { id, providers, bytes: 0, stalled: 0 });
        self.later(CHUNK, node, Input::Chunk(Box::new((model, id))));
    }
}
