//! What nodes tell each other besides requests: presences, and words on the way to a place.

use hither_core::Action;
use hither_types::id::NodeId;
use hither_types::law::Verdict;
use hither_types::message::{Presence, Signal};

use super::Observer;
use crate::measure::Word;

impl Observer {
    /// A node tells all of itself: never what is older than what it told before, also after a restart.
    pub(super) fn announces(&mut self, at: u64, node: usize, presence: &Presence) {
        self.measure.announced(at);
        let told = (presence.incarnation, presence.sequence);
        let before = std::mem::replace(&mut self.nodes[node].told, told);
        self.at_rest(at, node, presence);
        if told <= before {
            self.breach("I9", at, node, format!("it tells of itself as {told:?}, after {before:?}"));
        }
    }

    /// A node says a word to a peer. Only an offer speaks of a request; whoever has a free slot may say so to all.
    pub(super) fn tells(&mut self, at: u64, node: usize, peer: NodeId, signal: &Signal) {
        let word = match signal {
            Signal::Offer { .. } => Word::Offer,
            Signal::Reject { .. } => Word::Reject,
            Signal::Steal { .. } => Word::Steal,
            Signal::Probe { .. } | Signal::State { .. } | Signal::Accept { .. } | Signal::Nothing { .. } => Word::Other,
        };
        self.measure.said(at, word);
        let Signal::Offer { request, attempt, envelope, promised, .. } = signal else { return };
        let Some(&target) = self.index.get(&peer) else {
            return self.breach("I3", at, node, format!("{request} is offered to who is not a member"));
        };
        let Some(watch) = self.requests.get_mut(request) else {
            return self.breach("I2", at, node, format!("{request} is offered, and no client asked"));
        };
        watch.promised = Some((*attempt, promised.0));
        let (same, origin, over) = (watch.envelope == *envelope, watch.origin, watch.deadline < at);
        if !same {
            self.breach("I10", at, node, format!("the envelope of {request} changed before it was offered"));
        }
        if origin != node || target == node {
            self.breach("I5", at, node, format!("{request} is offered by who is not its origin, or to itself"));
        }
        if over {
            self.breach("I6", at, node, format!("{request} is offered after its deadline"));
        }
        let policy = self.nodes[node].policy.clone();
        if let Verdict::Denied(denial) = self.verdict(&policy, envelope, node, target) {
            self.breach("I3", at, node, format!("{request} is offered to an unlawful place: {denial:?}"));
        }
    }

    /// What a node does when it is asked for a request that waits there: something, unless nothing does.
    pub(crate) fn asked_to_give(&mut self, at: u64, actions: &[Action]) {
        let nothing = |action: &Action| matches!(action, Action::Tell { signal: Signal::Nothing { .. }, .. });
        if !actions.is_empty() && !actions.iter().any(nothing) {
            self.measure.said(at, Word::Stolen);
        }
    }
}
