//! What goes wrong: planned faults, drawn faults, and their end.

use super::{Happening, World};
use crate::node::{Input, State};
use crate::scenario::Fault;

impl World<'_> {
    /// The storm of this seed: a part of the kinds, so that seeds differ in kind and not only in time.
    pub(super) fn brew(&mut self) {
        let Some(storm) = &self.scenario.storm else { return };
        self.gusts = storm.kinds.iter().filter(|_| self.storms.permille(600)).cloned().collect();
        if self.gusts.is_empty() {
            self.gusts = storm.kinds.clone();
        }
        let first = 2_000_000 + self.storms.waiting(storm.gap);
        self.queue.push(first, Happening::Gust);
    }

    /// Draws the next fault and the time of the one after it.
    pub(super) fn gust(&mut self) {
        let Some(storm) = &self.scenario.storm else { return };
        let calm = self.scenario.duration.saturating_sub(storm.quiet);
        if self.now >= calm {
            return;
        }
        let kind = self.storms.pick(&self.gusts).clone();
        let lasts = self.storms.between(storm.shortest, storm.longest);
        let fault = self.draw(&kind);
        self.faults.push(fault);
        let number = self.faults.len() - 1;
        self.begin(number);
        self.queue.push((self.now + lasts).min(calm), Happening::Undo(number));
        let next = self.now + self.storms.waiting(storm.gap).max(1000);
        self.queue.push(next, Happening::Gust);
    }

    fn draw(&mut self, kind: &str) -> Fault {
        let count = self.nodes.len();
        let one = self.storms.below(count as u64) as usize;
        match kind {
            "kill" => Fault::Kill(vec![one]),
            "freeze" => Fault::Freeze(vec![one]),
            "slow" => Fault::Slow(vec![one], 10),
            "cap" => {
                let (idle, cap) = (self.scenario.nodes[one].idle, self.scenario.nodes[one].cap);
                Fault::Cap(vec![one], self.storms.between(idle / 2, cap))
            }
            "disk-full" => Fault::DiskFull(vec![one]),
            "loss" => Fault::Loss(self.storms.between(10, 200) as u32),
            "engine-crash" => Fault::EngineCrash(vec![one]),
            "hang" => Fault::Hang(vec![one]),
            "mute" => Fault::Mute(vec![one]),
            _ => {
                let (mut from, mut to): (Vec<_>, Vec<_>) = (vec![one], Vec::new());
                let alone = self.storms.permille(500);
                for other in (0..count).filter(|other| *other != one) {
                    let with = !alone && self.storms.permille(500);
                    if with { from.push(other) } else { to.push(other) }
                }
                Fault::Cut { from, to, both: self.storms.permille(700) }
            }
        }
    }

    /// A fault begins.
    pub(super) fn begin(&mut self, number: usize) {
        let fault = self.faults[number].clone();
        self.observer.counts.add(&format!("fault_{}", fault.word()), 1);
        self.note_world(&format!("! {fault:?}"));
        match fault {
            Fault::Kill(nodes) => self.kill(&nodes),
            Fault::Freeze(nodes) => {
                for node in nodes.into_iter().filter(|node| self.nodes[*node].state == State::Up).collect::<Vec<_>>() {
                    self.nodes[node].state = State::Frozen;
                }
            }
            Fault::Slow(nodes, factor) => nodes.into_iter().for_each(|node| self.nodes[node].slow = factor),
            Fault::Cap(nodes, cap) => nodes.into_iter().for_each(|node| self.set_cap(node, cap)),
            Fault::DiskFull(nodes) => {
                for node in nodes {
                    self.nodes[node].disk.full += 1;
                    self.observer.disk_full(node);
                }
            }
            Fault::Cut { from, to, both } => {
                self.network.cut(&from, &to);
                if both {
                    self.network.cut(&to, &from);
                }
            }
            Fault::Loss(permille) => self.network.set_loss(permille.max(self.network.loss())),
            Fault::Law(nodes, policy) => nodes.into_iter().for_each(|node| self.set_law(node, policy)),
            Fault::EngineCrash(nodes) => {
                nodes.into_iter().for_each(|node| self.later(0, node, Input::Crash));
            }
            Fault::Hang(nodes) => nodes.into_iter().for_each(|node| self.nodes[node].hung += 1),
            Fault::Mute(nodes) => nodes.into_iter().for_each(|node| self.nodes[node].mute += 1),
        }
    }

    /// A fault ends.
    pub(super) fn undo(&mut self, number: usize) {
        let fault = self.faults[number].clone();
        self.note_world(&format!("! over: {fault:?}"));
        match fault {
            Fault::Kill(nodes) => {
                nodes.iter().for_each(|node| self.boot(*node));
                self.expect_back(nodes);
            }
            Fault::Freeze(nodes) => nodes.into_iter().for_each(|node| self.thaw(node)),
            Fault::Slow(nodes, _) => nodes.into_iter().for_each(|node| self.nodes[node].slow = 1),
            Fault::Cap(nodes, _) => {
                for node in nodes {
                    let cap = self.scenario.nodes[node].cap;
                    self.set_cap(node, cap);
                }
            }
            Fault::DiskFull(nodes) => nodes.into_iter().for_each(|node| self.nodes[node].disk.full -= 1),
            Fault::Cut { from, to, both } => {
                self.network.mend(&from, &to);
                if both {
                    self.network.mend(&to, &from);
                }
                let free = self.streams.release(self.now, &mut self.network);
                free.into_iter().for_each(|delivery| self.deliver(delivery));
            }
            Fault::Loss(_) => self.network.set_loss(self.scenario.network.loss_permille),
            Fault::Law(nodes, _) => {
                for node in nodes {
                    let policy = self.scenario.nodes[node].policy;
                    self.set_law(node, policy);
                }
            }
            Fault::EngineCrash(_) => {}
            Fault::Hang(nodes) => nodes.into_iter().for_each(|node| self.nodes[node].hung -= 1),
            Fault::Mute(nodes) => nodes.into_iter().for_each(|node| self.nodes[node].mute -= 1),
        }
    }

    fn kill(&mut self, nodes: &[usize]) {
        let alive: Vec<usize> = nodes.iter().copied().filter(|node| self.nodes[*node].state != State::Down).collect();
        alive.iter().for_each(|node| self.nodes[*node].forget());
        self.observer.died(self.now, &alive);
        self.expect_gone(&alive);
    }

    fn thaw(&mut self, node: usize) {
        if self.nodes[node].state != State::Frozen {
            return;
        }
        self.nodes[node].state = State::Up;
        self.nodes[node].thawed = self.now;
        for input in std::mem::take(&mut self.nodes[node].backlog) {
            self.later(0, node, input);
        }
    }

    fn set_cap(&mut self, node: usize, cap: u64) {
        self.nodes[node].cap = cap;
        if self.nodes[node].state != State::Down {
            self.later(0, node, Input::Cap(cap));
        }
    }

    fn set_law(&mut self, node: usize, policy: usize) {
        let policy = self.scenario.policies[policy].1.clone();
        self.nodes[node].policy = policy.clone();
        if self.nodes[node].state != State::Down {
            self.later(0, node, Input::Law(policy));
        }
    }
}
