//! Servers outside the mesh that are left alone for a while: they failed several times in a row, or do not take the key of
//! this node. Each time one fails again it is left alone for longer; after each pause one request shows what has changed.
//!
//! That such a server shows life is no reason to ask it: this one knows of answers alone.

use std::collections::BTreeMap;

use hither_types::id::{Digest, NodeId, RequestId};
use hither_types::member::Member;
use hither_types::refusal::{Bar, Failure, Refusal};
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::circle::Circle;
use crate::limits;
use crate::machine::Core;
use crate::peers::Peer;
use crate::request::{Phase, Request};

#[cfg(test)]
mod tests;

/// The servers that failed lately, each as a whole or for one model. No larger than the configuration: a server that never
/// failed has no entry.
#[derive(Debug, Default)]
pub(crate) struct Bars(BTreeMap<(NodeId, Option<Digest>), Breaker>);

/// What is known of one of them.
#[derive(Debug, Clone, Copy)]
struct Breaker {
    why: Bar,
    /// In a row.
    failures: u8,
    /// How often it was left alone since it last answered.
    pauses: u8,
    until: Timestamp,
}

impl Breaker {
    fn new(why: Bar) -> Self {
        Self { why, failures: 0, pauses: 0, until: Timestamp(0) }
    }

    /// What was sent at a moment failed; how long it is left alone now, if a pause begins.
    fn failed(&mut self, why: Bar, sent: Timestamp, now: Timestamp) -> Option<Micros> {
        // What left before the pause was over is a part of the failure that began it.
        if self.pauses > 0 && sent < self.until {
            return None;
        }
        self.why = why;
        self.failures = self.failures.saturating_add(1);
        let (enough, least, most) = match why {
            Bar::Key(_) => (1, limits::BAR_KEY_MIN, limits::BAR_KEY_MAX),
            Bar::NoModel => (1, limits::BAR_MIN, limits::BAR_MAX),
            Bar::Failing => (limits::BAR_FAILURES, limits::BAR_MIN, limits::BAR_MAX),
        };
        if self.failures < enough {
            return None;
        }
        let span = Micros(least.0.saturating_mul(1 << self.pauses.min(16)).min(most.0));
        self.pauses = self.pauses.saturating_add(1);
        self.until = now.after(span);
        Some(span)
    }
}

impl Bars {
    /// Those that stand between this node and a model of a server.
    fn of(&self, node: NodeId, digest: Digest) -> impl Iterator<Item = (Option<Digest>, &Breaker)> {
        let keys = [(node, None), (node, Some(digest))].into_iter();
        let known = keys.filter_map(|key| Some((key.1, self.0.get(&key)?)));
        known.filter(|(_, breaker)| breaker.pauses > 0)
    }
}

/// What a key is refused for: 403 may be said of one model alone.
fn subject(why: Bar, digest: Option<Digest>) -> Option<Digest> {
    match why {
        Bar::Key(403) | Bar::NoModel => digest,
        Bar::Key(_) | Bar::Failing => None,
    }
}

impl Core {
    /// An attempt failed: if a server outside the mesh did it, it may be left alone for a while. Gives the failure back, with
    /// the time until it is asked again.
    pub(crate) fn bar(&mut self, id: RequestId, node: Option<NodeId>, failure: Failure, sent: Timestamp) -> Failure {
        let Some(node) = node.filter(|node| self.is_endpoint(*node)) else { return failure };
        let why = match &failure {
            Failure::Declined(Refusal::Barred { why, .. }) => *why,
            Failure::Engine(_) | Failure::Unreachable | Failure::Severed(_) => Bar::Failing,
            Failure::BadInput(_)
            | Failure::Declined(_)
            | Failure::EngineLost
            | Failure::EngineCrashed(_)
            | Failure::Silent
            | Failure::Stuck => return failure,
        };
        let digest = subject(why, self.requests.get(&id).and_then(|request| request.digest));
        let breaker = self.bars.0.entry((node, digest)).or_insert_with(|| Breaker::new(why));
        let pause = breaker.failed(why, sent, self.now);
        let again = self.now.until(breaker.until);
        if let Some(pause) = pause {
            self.tell_bar(node, digest, why, pause);
        }
        match failure {
            Failure::Declined(Refusal::Barred { site, why, .. }) => {
                Failure::Declined(Refusal::Barred { site, why, again })
            }
            other => other,
        }
    }

    /// A server answered: nothing stands between this node and what was asked of it.
    pub(crate) fn unbar(&mut self, node: NodeId, digest: Digest) {
        for subject in [None, Some(digest)] {
            if self.bars.0.remove(&(node, subject)).is_some() {
                self.untell_bar(node, subject);
            }
        }
    }

    /// What was known of a server is over: its operator changed something.
    pub(crate) fn forget_bars(&mut self, server: &Member) {
        let subjects: Vec<_> = self.bars.0.keys().filter(|(node, _)| *node == server.node).copied().collect();
        for (node, subject) in subjects {
            self.bars.0.remove(&(node, subject));
            self.untell_bar(node, subject);
        }
    }

    /// Why a server is not asked for a model now.
    pub(crate) fn barred(&self, peer: &Peer, digest: Digest) -> Option<&'static str> {
        self.bars.of(peer.member.node, digest).find_map(|(subject, breaker)| {
            if self.now >= breaker.until {
                let tried = self.is_tried(peer.member.node, subject, breaker.until);
                return tried.then_some("another request shows whether it answers again");
            }
            Some(match breaker.why {
                Bar::Key(_) => "it refuses the key of this node",
                Bar::NoModel => "it said a moment ago that it has no such model",
                Bar::Failing => "it failed several times in a row",
            })
        })
    }

    /// Whether a request is there that shows what has changed since a pause was over.
    fn is_tried(&self, node: NodeId, subject: Option<Digest>, since: Timestamp) -> bool {
        let of_it = |request: &&Request| subject.is_none() || request.digest == subject;
        self.requests.values().filter(of_it).any(|request| match &request.phase {
            Phase::Offering(egress, _) => egress.lawful.node() == node,
            Phase::Remote(egress, watch) => egress.lawful.node() == node && watch.sent >= since,
            Phase::Placing | Phase::Queued | Phase::Here(_) => false,
        })
    }

    /// The refusal for a request for which there would be a server, if that were not left alone.
    pub(crate) fn bar_of(&self, request: &Request, digest: Digest, circle: &Circle) -> Option<Refusal> {
        let servers = circle.endpoints.iter().filter_map(|(node, _)| self.peers.get(*node));
        let mut servers = servers.filter(|peer| self.is_for(&request.envelope.app, &peer.member));
        servers.find_map(|peer| {
            let site = peer.member.site.clone();
            let (_, breaker) = self.bars.of(peer.member.node, digest).next()?;
            let again = self.now.until(breaker.until).max(limits::RETRY_AFTER_MIN);
            Some(Refusal::Barred { site, why: breaker.why, again })
        })
    }

    fn tell_bar(&mut self, node: NodeId, subject: Option<Digest>, why: Bar, pause: Micros) {
        self.untell_bar(node, subject);
        let Some(begin) = self.begin_of_bar(node, subject) else { return };
        let seconds = pause.0 / 1_000_000;
        let hint = match why {
            Bar::Key(_) => {
                "put the right key into the file that its key_file in hither.toml names: a changed file is read within a \
                 second, a changed hither.toml when the node starts again"
            }
            Bar::NoModel => "look at its url and models in hither.toml, and start the node again",
            Bar::Failing => "hither explain ID shows what it said, and its own log why",
        };
        self.complain(format!("{begin}{why}, and is asked again after {seconds} s; {hint}"));
    }

    fn untell_bar(&mut self, node: NodeId, subject: Option<Digest>) {
        if let Some(begin) = self.begin_of_bar(node, subject) {
            self.complaints.retain(|text| !text.starts_with(&begin));
        }
    }

    /// How the sentence for the operator begins.
    fn begin_of_bar(&self, node: NodeId, subject: Option<Digest>) -> Option<String> {
        let site = &self.peers.get(node)?.member.site;
        Some(match subject {
            None => format!("endpoint {site} is left alone: "),
            Some(digest) => format!("endpoint {site} is left alone with model {}: ", self.name_of(digest)),
        })
    }
}
