//! Whom a node of a made mesh knows: a stand-in for membership, which tells of the dead and the returned after a while.
//!
//! A node knows its nearest members and some further away, each of them knows it, and nobody knows all.

use std::sync::Arc;

use hither_core::Event;
use hither_types::unit::Micros;

use super::{Happening, World};
use crate::chance::Chance;
use crate::mesh::Mesh;
use crate::node::{Input, State};
use crate::scenario::TopologyPlan;

/// Whom each node knows.
#[derive(Debug)]
pub(super) struct Circles {
    mesh: Arc<Mesh>,
    near: usize,
    /// Until others are told of a death or a return, in microseconds.
    delay: u64,
    known: Vec<Vec<u32>>,
    far: Vec<Vec<u32>>,
    /// Of whom it was told that they are gone.
    gone: Vec<bool>,
    /// Where the users of a dead node go, as long as nobody dies or comes back.
    heirs: Vec<Option<u32>>,
}

impl Circles {
    pub(super) fn new(plan: &TopologyPlan, mesh: Arc<Mesh>, seed: u64) -> Self {
        let count = mesh.spots.len();
        let mut chance = Chance::new(seed, 0xfa7);
        let (known, far) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        let (gone, heirs) = (vec![false; count], vec![None; count]);
        let mut circles = Self { mesh, near: plan.near, delay: plan.membership, known, far, gone, heirs };
        for node in 0..count {
            let near = circles.mesh.nearest(node, plan.near);
            near.into_iter().for_each(|other| {
                circles.join(node, other as usize);
            });
        }
        for node in 0..count {
            // Each draws half of them, and is drawn by as many.
            for _ in 0..plan.far / 2 {
                let other = chance.below(count as u64) as usize;
                if other != node && circles.join(node, other) {
                    circles.far[node].push(other as u32);
                    circles.far[other].push(node as u32);
                }
            }
        }
        circles
    }

    /// Whom a node knows.
    pub(super) fn of(&self, node: usize) -> &[u32] {
        &self.known[node]
    }

    /// Two nodes know each other from now on; `false` if they did.
    fn join(&mut self, a: usize, b: usize) -> bool {
        self.learn(a, b) | self.learn(b, a)
    }

    fn learn(&mut self, node: usize, other: usize) -> bool {
        let place = self.known[node].binary_search(&(other as u32));
        if let Err(place) = place {
            self.known[node].insert(place, other as u32);
        }
        place.is_err()
    }

    fn lose(&mut self, node: usize, other: usize) -> bool {
        let place = self.known[node].binary_search(&(other as u32));
        if let Ok(place) = place {
            self.known[node].remove(place);
        }
        place.is_ok()
    }

    /// Whom a node ought to know as things are.
    fn due(&self, node: usize) -> Vec<u32> {
        let mut due = self.mesh.nearest_of(node, self.near, |other| !self.gone[other]);
        due.extend(self.far[node].iter().filter(|other| !self.gone[**other as usize]));
        due
    }
}

impl World<'_> {
    /// A new process finds on its disk whom it knew.
    pub(super) fn introduce_circle(&mut self, node: usize) {
        let Some(circles) = &mut self.circles else { return };
        circles.heirs.fill(None);
        if circles.gone[node] {
            circles.due(node).into_iter().for_each(|other| {
                circles.learn(node, other as usize);
            });
        }
        for other in circles.of(node).to_vec() {
            let [added, measured] = self.introduction(node, other as usize);
            self.feed(node, added);
            self.feed(node, measured);
        }
    }

    fn introduction(&self, node: usize, other: usize) -> [Event; 2] {
        let member = self.nodes[other].member.clone();
        let peer = member.node;
        [Event::MemberAdded(member), Event::RoundTrip { peer, rtt: Micros(self.network.round_trip(node, other)) }]
    }

    /// Two nodes are introduced to each other, if they were not.
    fn bring_together(&mut self, a: usize, b: usize) {
        for (node, other) in [(a, b), (b, a)] {
            let fresh = self.circles.as_mut().is_some_and(|circles| circles.learn(node, other));
            if fresh && self.nodes[node].state != State::Down {
                for event in self.introduction(node, other) {
                    self.later(0, node, Input::Event(Box::new(event)));
                }
            }
        }
    }

    /// Some died: after a while that is known.
    pub(super) fn expect_gone(&mut self, nodes: &[usize]) {
        let Some(circles) = &mut self.circles else { return };
        circles.heirs.fill(None);
        let gone = nodes.iter().map(|node| (*node, self.nodes[*node].life)).collect();
        self.queue.push(self.now + circles.delay, Happening::Gone(gone));
    }

    /// Some came back: after a while that is known.
    pub(super) fn expect_back(&mut self, nodes: Vec<usize>) {
        if let Some(circles) = &self.circles {
            self.queue.push(self.now + circles.delay, Happening::Back(nodes.into_boxed_slice()));
        }
    }

    /// Those who knew the dead forget them, and get the next nearest who live.
    pub(super) fn tell_of_the_gone(&mut self, nodes: &[(usize, u64)]) {
        let gone: Vec<usize> =
            nodes.iter().filter(|(node, life)| self.nodes[*node].life == *life).map(|(node, _)| *node).collect();
        let Some(circles) = &mut self.circles else { return };
        gone.iter().for_each(|node| circles.gone[*node] = true);
        let mut bereft = Vec::new();
        for node in gone {
            let Some(circles) = &mut self.circles else { return };
            let key = self.nodes[node].member.node;
            let losing: Vec<usize> =
                std::mem::take(&mut circles.known[node]).into_iter().map(|other| other as usize).collect();
            for other in losing {
                let lost = self.circles.as_mut().is_some_and(|circles| circles.lose(other, node));
                if lost && self.nodes[other].state != State::Down {
                    self.later(0, other, Input::Event(Box::new(Event::MemberRemoved(key))));
                    bereft.push(other);
                }
            }
        }
        bereft.sort_unstable();
        bereft.dedup();
        self.fill(&bereft);
    }

    /// Those who knew the returned hear of them.
    pub(super) fn tell_of_the_returned(&mut self, nodes: &[usize]) {
        let Some(circles) = &mut self.circles else { return };
        let back: Vec<usize> = nodes
            .iter()
            .copied()
            .filter(|node| self.nodes[*node].state != State::Down && circles.gone[*node])
            .collect();
        back.iter().for_each(|node| circles.gone[*node] = false);
        self.fill(&back);
    }

    fn fill(&mut self, nodes: &[usize]) {
        for node in nodes {
            let due = self.circles.as_ref().map_or_else(Vec::new, |circles| circles.due(*node));
            due.into_iter().for_each(|other| self.bring_together(*node, other as usize));
            // Whom it found by itself when it started hears of it now.
            let known = self.circles.as_ref().map_or_else(Vec::new, |circles| circles.of(*node).to_vec());
            known.into_iter().for_each(|other| self.bring_together(*node, other as usize));
        }
    }

    /// Where somebody who wants to ask a node enters: there, or at the nearest that lives.
    pub(super) fn door(&mut self, node: usize) -> Option<usize> {
        if self.nodes[node].state != State::Down {
            return Some(node);
        }
        let circles = self.circles.as_mut()?;
        if circles.heirs[node].is_none() {
            let nodes = &self.nodes;
            let alive = |other: usize| nodes[other].state != State::Down;
            circles.heirs[node] = circles.mesh.nearest_of(node, 1, alive).first().copied();
        }
        circles.heirs[node].map(|heir| heir as usize)
    }
}
