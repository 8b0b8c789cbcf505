//! What comes to a node, turned into events for its mind: sockets, disk, engine, fetches.

use std::sync::Arc;

use hither_core::{Event, LocalModel};
use hither_types::fact::Fact;
use hither_types::id::{Task, Ticket};
use hither_types::message::{Frame, PeerMessage, Presence};
use hither_types::model::Device;
use hither_types::refusal::Failure;
use hither_types::request::Cost;
use hither_types::unit::{ByteCount, Micros, Milliwatts};

use super::World;
use super::hands::{BEAT, CHUNK};
use crate::codec;
use crate::node::{Input, Parcel, Served, State};
use crate::observer::token;
use crate::streams::{End, IDLE};

/// A round trip is measured anew after this time, in microseconds.
const MEASURE: u64 = 5_000_000;
/// A provider that gives nothing for so many chunks is left, 2 s.
const MOST_STALLS: u32 = 20;

impl World<'_> {
    pub(super) fn take_in(&mut self, node: usize, input: Input) {
        match input {
            Input::Event(event) => self.feed(node, *event),
            Input::Tick(number) => self.ring(node, number),
            Input::Presence { from, presence } => self.hear_of(node, from as usize, presence),
            Input::Message { from, bytes } => self.hear(node, from as usize, &bytes),
            Input::Parcel(sent) => self.unpack(node, sent.0, sent.1),
            Input::Synced(synced) => self.synced(node, synced.0, &synced.1),
            Input::Step(step) => self.step(node, step.0, step.1),
            Input::Beat(task) => self.beat(node, *task),
            Input::Opened(model) => self.opened(node, model),
            Input::Chunk(chunk) => self.chunk(node, chunk.0, chunk.1),
            Input::Submit { load, work } => self.submit(node, load as usize, work),
            Input::Leave(request) => self.leave(node, *request),
            Input::Cap(cap) => {
                self.observer.cap(node, cap);
                self.feed(node, Event::CapChanged(Milliwatts(cap)));
            }
            Input::Law(policy) => {
                self.observer.law(node, policy.clone());
                self.feed(node, Event::PolicyChanged(policy));
                self.observer.law_holds(self.now, node);
            }
            Input::Crash => self.crash_engine(node),
        }
    }

    fn hear(&mut self, node: usize, from: usize, bytes: &[u8]) {
        match codec::read_message(bytes) {
            Ok(PeerMessage::Signal(_)) if self.nodes[node].mute > 0 => {}
            Ok(PeerMessage::Signal(signal)) => {
                let from = self.nodes[from].member.node;
                self.feed(node, Event::Told { from, signal });
            }
            Ok(other) => self.observer.driver_breach(self.now, node, format!("{other:?} was not sent")),
            Err(error) => self.observer.driver_breach(self.now, node, format!("bytes of a signal: {error}")),
        }
    }

    fn hear_of(&mut self, node: usize, from: usize, presence: Arc<Presence>) {
        let id = self.nodes[from].member.node;
        if self.circles.is_none() {
            let measured = self.nodes[node].measured.get(&from).copied();
            if measured.is_none_or(|at| self.now - at > MEASURE) {
                self.nodes[node].measured.insert(from, self.now);
                let rtt = Micros(self.network.round_trip(node, from));
                self.feed(node, Event::RoundTrip { peer: id, rtt });
            }
        }
        self.feed(node, Event::Presence { from: id, presence });
    }

    fn unpack(&mut self, node: usize, task: Task, parcel: Parcel) {
        let Some(end) = self.streams.end(task, node).filter(|end| self.is_open(task, *end)) else {
            if matches!(parcel, Parcel::Frame(_)) {
                self.observer.counts.add("stale_frames", 1);
            }
            return;
        };
        match parcel {
            Parcel::Ask(bytes) => self.asked(node, task, &bytes),
            Parcel::Reset => {
                self.streams.close(task, end);
                match end {
                    End::Origin => {
                        self.observer.attempt_over(task);
                        self.feed(node, Event::Failed { task, failure: Failure::Unreachable });
                    }
                    End::Target => self.asker_gone(node, task),
                }
            }
            Parcel::Frame(bytes) => {
                let target = self.streams.of(task).map(|stream| stream.nodes[1]);
                if target.is_some_and(|target| !self.network.is_cut(node, target))
                    && let Some(stream) = self.streams.of(task)
                {
                    stream.acked = self.now;
                }
                match codec::read_frame(&bytes) {
                    Ok(frame) => self.framed(node, task, frame),
                    Err(error) => self.observer.driver_breach(self.now, node, format!("bytes of a frame: {error}")),
                }
            }
        }
    }

    fn asked(&mut self, node: usize, task: Task, bytes: &[u8]) {
        let ask = match codec::read_ask(bytes) {
            Ok(ask) => ask,
            Err(error) => return self.observer.driver_breach(self.now, node, format!("bytes of an ask: {error}")),
        };
        let start_by = self.now + ask.remaining.0;
        self.observer.asked(self.now, node, task, &ask.envelope, start_by);
        let served = Served { payload: ask.payload, resume: ask.resume.len() as u32, accepted: false };
        self.nodes[node].served.insert(task, served);
        self.feed(node, Event::Asked { task, digest: ask.digest, envelope: ask.envelope, remaining: ask.remaining });
    }

    fn asker_gone(&mut self, node: usize, task: Task) {
        if self.nodes[node].served.remove(&task).is_some() {
            self.feed(node, Event::AskerGone(task));
            self.observer.answer_over(self.now, node, task);
        }
    }

    /// A frame from the place that serves an own request.
    fn framed(&mut self, node: usize, task: Task, frame: Frame) {
        match frame {
            Frame::Accepted => self.feed(node, Event::Beat { task, progress: 0 }),
            Frame::Beat { progress } => self.feed(node, Event::Beat { task, progress }),
            Frame::Piece(bytes) => match codec::read_piece(&bytes) {
                Some((first, ids)) => {
                    if !self.pass_on(node, task, first, &ids) {
                        self.lose(node, task);
                    }
                }
                None => self.observer.driver_breach(self.now, node, "bytes of a piece".to_owned()),
            },
            Frame::Done(cost) => {
                self.observer.attempt_over(task);
                self.streams.close(task, End::Origin);
                self.feed(node, Event::Done { task, cost });
            }
            Frame::Declined(refusal) => {
                self.observer.attempt_over(task);
                self.observer.said_no(task);
                self.streams.close(task, End::Origin);
                self.feed(node, Event::Failed { task, failure: Failure::Declined(refusal) });
            }
            Frame::Failed(failure) => {
                self.observer.attempt_over(task);
                if matches!(failure, Failure::Declined(_) | Failure::Engine(_)) {
                    self.observer.said_no(task);
                }
                self.streams.close(task, End::Origin);
                self.feed(node, Event::Failed { task, failure });
            }
        }
    }

    fn synced(&mut self, node: usize, ticket: Option<Ticket>, fact: &Fact) {
        if self.nodes[node].disk.full > 0 {
            self.observer.counts.add("record_failed", 1);
            if let Some(ticket) = ticket {
                self.feed(node, Event::RecordFailed(ticket));
            }
            return;
        }
        self.nodes[node].disk.facts += 1;
        self.observer.durable(node, fact);
        if let Some(ticket) = ticket {
            self.feed(node, Event::Recorded(ticket));
        }
    }

    /// An engine advances by one token, or by a whole call.
    fn step(&mut self, node: usize, task: Task, id: u64) {
        let hung = self.nodes[node].hung > 0;
        let Some(run) = self.nodes[node].runs.get_mut(&task).filter(|run| run.id == id) else { return };
        if hung {
            return self.later(CHUNK, node, Input::Step(Box::new((task, id))));
        }
        let (model, fresh) = (run.model, run.next < run.total);
        let next = run.next;
        run.steps += 1;
        run.next += u32::from(fresh);
        let (over, began, resumed) = (run.next >= run.total, run.began, run.resumed);
        let produced = run.next - resumed;
        if fresh {
            let ids = [token(task.request, next)];
            if self.nodes[node].member.node == task.origin {
                if !self.pass_on(node, task, next, &ids) {
                    self.nodes[node].runs.remove(&task);
                    self.observer.engine_free(self.now, node, task);
                    return self.lose(node, task);
                }
            } else if self.nodes[node].served.contains_key(&task) {
                self.answer(node, task, &Frame::Piece(codec::piece(next, &ids)));
            }
        }
        if !over {
            let time = self.engine_time(node, self.scenario.models[model].token);
            return self.later(time, node, Input::Step(Box::new((task, id))));
        }
        self.nodes[node].runs.remove(&task);
        self.observer.engine_free(self.now, node, task);
        let busy = Micros(self.now - began);
        let cost = Cost {
            prefill: busy,
            prompt_tokens: 16,
            output_tokens: produced,
            answer: ByteCount(4 * u64::from(produced)),
            energy: Milliwatts(self.scenario.models[model].slot_power).over(busy),
            ..Cost::default()
        };
        self.feed(node, Event::Done { task, cost });
    }

    /// Life from a task: to the own mind, and to the peer that asked.
    fn beat(&mut self, node: usize, task: Task) {
        let here = &mut self.nodes[node];
        let advances = here.hung == 0;
        let progress = here.runs.get_mut(&task).map(|run| {
            run.steps += u64::from(run.is_timed && advances);
            run.steps
        });
        let accepted = here.served.get(&task).is_some_and(|served| served.accepted);
        if progress.is_none() && !accepted {
            self.nodes[node].beating.remove(&task);
            return;
        }
        self.later(BEAT, node, Input::Beat(Box::new(task)));
        let acked = self.streams.of(task).map(|stream| stream.acked);
        if accepted && acked.is_none_or(|acked| self.now - acked > IDLE) {
            self.send(task, End::Origin, Parcel::Reset);
            self.streams.close(task, End::Target);
            return self.asker_gone(node, task);
        }
        if accepted {
            self.answer(node, task, &Frame::Beat { progress: progress.unwrap_or(0) });
        }
        if let Some(progress) = progress {
            self.feed(node, Event::Beat { task, progress });
        }
    }

    fn opened(&mut self, node: usize, model: usize) {
        // It may have been closed meanwhile, and opened anew.
        if self.nodes[node].opens.get(&model).is_none_or(|due| *due > self.now) {
            return;
        }
        self.nodes[node].opens.remove(&model);
        let plan = &self.scenario.models[model];
        let digest = self.manifests[model].digest;
        let slots = self.nodes[node].slots.unwrap_or(plan.slots);
        let slot_power = Milliwatts(plan.slot_power);
        let local = LocalModel { digest, slots, slot_power, memory: None, device: Device::Cpu };
        self.nodes[node].loaded.insert(model);
        self.observer.ready(node, local);
        self.feed(node, Event::ModelReady(local));
    }

    /// The worker dies: every task on it fails, then its models are gone.
    fn crash_engine(&mut self, node: usize) {
        let loaded = std::mem::take(&mut self.nodes[node].loaded);
        let runs = std::mem::take(&mut self.nodes[node].runs);
        for task in runs.into_keys() {
            self.observer.engine_free(self.now, node, task);
            self.feed(node, Event::Failed { task, failure: Failure::EngineLost });
        }
        for model in loaded {
            let digest = self.manifests[model].digest;
            self.observer.model_lost(node, digest);
            self.feed(node, Event::ModelLost(digest));
        }
    }

    /// A tenth of a second of a fetch.
    fn chunk(&mut self, node: usize, model: usize, id: u64) {
        let size = self.scenario.models[model].size;
        let share = self.scenario.network.rate / 10;
        let Some(fetch) = self.nodes[node].fetches.get(&model).filter(|fetch| fetch.id == id) else { return };
        let Some(&provider) = fetch.providers.front() else {
            return self.fetch_failed(node, model);
        };
        if self.nodes[node].disk.full > 0 {
            return self.fetch_failed(node, model);
        }
        let there = &self.nodes[provider];
        let gives = there.state == State::Up
            && there.disk.stored.contains(&model)
            && !self.network.is_cut(provider, node)
            && !self.network.is_cut(node, provider);
        let Some(fetch) = self.nodes[node].fetches.get_mut(&model) else { return };
        if gives {
            fetch.stalled = 0;
            fetch.bytes = (fetch.bytes + share).min(size);
        } else {
            fetch.stalled += 1;
            if fetch.stalled >= MOST_STALLS {
                fetch.stalled = 0;
                fetch.providers.pop_front();
            }
        }
        let bytes = fetch.bytes;
        let digest = self.manifests[model].digest;
        if bytes >= size {
            self.nodes[node].fetches.remove(&model);
            self.nodes[node].disk.stored.insert(model);
            self.observer.stored(node, digest);
            self.observer.counts.add("pulled", 1);
            return self.feed(node, Event::ModelStored(digest));
        }
        self.later(CHUNK, node, Input::Chunk(Box::new((model, id))));
        if gives {
            self.feed(node, Event::FetchProgress { digest, bytes: ByteCount(bytes) });
        }
    }

    fn fetch_failed(&mut self, node: usize, model: usize) {
        self.nodes[node].fetches.remove(&model);
        self.feed(node, Event::FetchFailed(self.manifests[model].digest));
    }
}
