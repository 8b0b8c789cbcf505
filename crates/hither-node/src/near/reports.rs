//! Reports of round trips: which of them are believed, kept and told on.
//!
//! What must stay true: nothing is kept or told on before its signature was checked, and of each signer no more than it can have
//! signed meanwhile; what comes a second time goes no further.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hither_core::Event;
use hither_core::limits::NEAR_FOR;
use hither_types::id::{MeshId, NodeId};
use hither_types::member::Signed;
use hither_types::message::PeerMessage;
use hither_types::near::NearReport;
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::Micros;

use super::Distances;
use crate::driver::Driver;
use crate::limits::{NEAR_BURST, NEAR_GAP_MS, NEAR_TOLD};
use crate::trust::{self, Seal, TrustError, clock_grace, wall_after, wall_now};

#[cfg(test)]
mod tests;

/// The newest report of a member.
#[derive(Debug)]
pub(super) struct Known {
    /// When it was signed.
    pub(super) at: WallTime,
    pub(super) signed: Signed,
    /// Whether it says of anybody that its key answers from farther than before.
    tells_of_move: bool,
}

/// Who hears reports, and when.
struct Hearer<'a> {
    me: NodeId,
    mesh: MeshId,
    is_member: &'a dyn Fn(NodeId) -> bool,
    now: Timestamp,
    wall: WallTime,
}

impl Distances {
    /// Whether there is room for one more report of a signer, which then is taken. By the dates of what it signs alone, it
    /// could tell all that fit into two hours at once.
    pub(super) fn has_room(&mut self, by: NodeId, now: Timestamp) -> bool {
        let used = self.heard.get(&by).map_or(now, |used| (*used).max(now));
        if used.since(now) >= Micros::from_millis(NEAR_BURST * NEAR_GAP_MS) {
            return false;
        }
        self.heard.insert(by, used.after(Micros::from_millis(NEAR_GAP_MS)));
        true
    }

    /// Whether a report is newer than what is known of its signer, and not signed so soon after that one that telling it on
    /// would be a flood.
    pub(super) fn is_news(&self, by: NodeId, at: WallTime) -> bool {
        self.reports.get(&by).is_none_or(|known| at.0 >= known.at.0.saturating_add(NEAR_GAP_MS))
    }

    /// What a member is told when there is a link to it: what it signed itself before its start, and what counts still. In a
    /// large mesh that is not all: those first that say that a key moved, then what this node signed, and some by chance. Each
    /// neighbour draws others, and what none of them tells is signed anew within the hour.
    fn page_for(&self, peer: NodeId, me: NodeId, wall: WallTime) -> Option<PeerMessage> {
        let counts = |known: &Known| wall <= wall_after(known.at, NEAR_FOR);
        let own = self.reports.get_key_value(&peer);
        let mut of_moves: Vec<_> =
            self.reports.iter().filter(|(_, known)| known.tells_of_move && counts(known)).collect();
        of_moves.sort_by_key(|(_, known)| Reverse(known.at));
        let mut others: Vec<_> = self.reports.iter().filter(|(_, known)| counts(known)).collect();
        if others.len() > NEAR_TOLD {
            others.sort_by_cached_key(|(signer, _)| {
                (**signer != me, *blake3::hash(&[me.0, signer.0].concat()).as_bytes())
            });
        }
        let mut told = BTreeMap::new();
        for (signer, known) in own.into_iter().chain(of_moves.into_iter().take(NEAR_TOLD / 2)).chain(others) {
            if told.len() >= NEAR_TOLD {
                break;
            }
            told.insert(*signer, known);
        }
        let page: Vec<Signed> = told.into_values().map(|known| known.signed.clone()).collect();
        (!page.is_empty()).then_some(PeerMessage::Near(page))
    }

    /// Takes in what a member tells. Gives what is news, and what is wrong with that which is not believed.
    fn hear(&mut self, mut reports: Vec<Signed>, hearer: &Hearer) -> (Vec<(NearReport, Signed)>, Vec<TrustError>) {
        let (mut news, mut unbelieved) = (Vec::new(), Vec::new());
        // With the newest first, the others of its signer are no news any more.
        reports.sort_by_cached_key(|signed| {
            Reverse(hither_wire::decode_near_report(&signed.bytes).map_or(WallTime(0), |report| report.at))
        });
        for signed in reports {
            if self.reports.get(&signed.signer).is_some_and(|known| known.signed == signed) {
                continue;
            }
            match self.believed(&signed, hearer) {
                Ok(Some(report)) if self.has_room(signed.signer, hearer.now) => {
                    self.keep(hearer.me, &report, &signed);
                    news.push((report, signed));
                }
                Ok(_) => {}
                Err(error) => unbelieved.push(error),
            }
        }
        (news, unbelieved)
    }

    /// A report that is news, and its signature fits.
    fn believed(&self, signed: &Signed, hearer: &Hearer) -> Result<Option<NearReport>, TrustError> {
        let report =
            hither_wire::decode_near_report(&signed.bytes).map_err(|error| TrustError::Malformed(error.to_string()))?;
        // What this node signed before its start tells where members were, however old it is, and nothing once it has signed.
        let is_due = match signed.signer == hearer.me {
            true => self.signed.is_none(),
            false => (hearer.is_member)(signed.signer) && hearer.wall <= wall_after(report.at, NEAR_FOR),
        };
        // One from the future would stand in the way of all that come before that.
        let is_now = report.at <= clock_grace(hearer.wall);
        if !is_due || !is_now || !self.is_news(signed.signer, report.at) {
            return Ok(None);
        }
        fits(signed, &report, hearer.mesh).map(|()| Some(report))
    }

    /// Keeps a report for those who do not know it yet.
    pub(super) fn keep(&mut self, me: NodeId, report: &NearReport, signed: &Signed) {
        let tells_of_move = report.samples.iter().any(|sample| sample.before.is_some());
        self.reports.insert(signed.signer, Known { at: report.at, signed: signed.clone(), tells_of_move });
        if signed.signer == me && self.signed.is_none() {
            self.recall(&report.samples);
        }
    }
}

/// Whether a signature is that of a report for this mesh.
pub(super) fn fits(signed: &Signed, report: &NearReport, mesh: MeshId) -> Result<(), TrustError> {
    trust::check(signed, Seal::Near)?;
    if report.mesh == mesh { Ok(()) } else { Err(TrustError::Mesh) }
}

impl Driver {
    /// There is a link to a member: it is told what others measured, in one message, and measured itself.
    pub(crate) fn tell_distances(&mut self, peer: NodeId) {
        if let Some(page) = self.distances.page_for(peer, self.home.me.node, wall_now()) {
            self.swarm.send(peer, page);
        }
        self.distances.relinked(peer, self.clock.now());
    }

    /// A member tells what it, or others, measured.
    pub(crate) fn heard_distances(&mut self, from: NodeId, reports: Vec<Signed>) {
        let is_member = |node| self.mesh.member(node).is_some();
        let hearer = Hearer {
            me: self.home.me.node,
            mesh: self.home.me.mesh,
            is_member: &is_member,
            now: self.clock.now(),
            wall: wall_now(),
        };
        let (news, unbelieved) = self.distances.hear(reports, &hearer);
        for error in unbelieved {
            tracing::warn!(peer = %from.short(), %error, "a report of round trips is not believed");
        }
        if news.is_empty() {
            return;
        }
        let mut told = Vec::with_capacity(news.len());
        for (report, signed) in news {
            self.feed(Event::Near { by: signed.signer, samples: report.samples });
            told.push(signed);
        }
        self.spread(Some(from), PeerMessage::Near(told));
    }
}
