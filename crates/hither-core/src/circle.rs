//! The circle of a request: the nearest lawful members that hold its model. Asked of the law once for all requests of one
//! kind, and anew when the law, the members or what they hold changes. Before anything leaves, the law is asked again.

use std::sync::Arc;

use hither_types::id::{AppName, Digest, ModelName, NodeId, RuleId};
use hither_types::label::Label;
use hither_types::law::LawAction;
use hither_types::message::ModelStage;
use hither_types::refusal::DeniedPlace;
use hither_types::request::Envelope;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;
use hither_types::view::Step;

use crate::limits;
use crate::machine::Core;
use crate::peers::Peer;

/// What the law's answer hangs on: two requests of one kind are lawful at the same places.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    app: AppName,
    model: ModelName,
    label: Label,
    digest: Digest,
}

impl Kind {
    fn is_of(&self, envelope: &Envelope, digest: Digest) -> bool {
        let Envelope { app, model, label, .. } = envelope;
        let label = mutant!(CircleForgetsLabel) || self.label == *label;
        self.digest == digest && self.model == *model && self.app == *app && label
    }
}

/// The members that could serve requests of one kind.
#[derive(Debug, Default)]
pub(crate) struct Circle {
    /// Lawful members that have the model ready, nearest first.
    pub(crate) ready: Vec<(NodeId, RuleId)>,
    /// Lawful servers outside the mesh that have it.
    pub(crate) endpoints: Vec<(NodeId, RuleId)>,
    /// Lawful members that have its file and may open it, the nearest few.
    pub(crate) cold: Vec<(NodeId, RuleId)>,
    /// The beginnings of their keys: what a search reads lies close together.
    keys: Vec<u64>,
    /// How many lawful members hold the model, ready or not.
    pub(crate) lawful: u8,
    /// How many members hold it, lawful or not.
    pub(crate) considered: u8,
    /// Members that the law forbids, the first few.
    pub(crate) denied: Vec<DeniedPlace>,
    /// What a request takes at the quicker places, and how far the nearest is.
    pub(crate) quick: Option<(Micros, Micros)>,
    /// The first rule that forbade one.
    pub(crate) forbid: Option<RuleId>,
    /// What the explanation of a request says of all that.
    pub(crate) steps: Vec<Step>,
}

impl Circle {
    /// The permit under which a member may be asked.
    pub(crate) fn rule(&self, node: NodeId) -> Option<&RuleId> {
        let key = node.prefix();
        let same = self.keys.iter().zip(&self.ready).filter(|(known, _)| **known == key).map(|(_, member)| member);
        same.into_iter().find(|(there, _)| *there == node).map(|(_, rule)| rule)
    }
}

/// The circles in use.
#[derive(Debug, Default)]
pub(crate) struct Circles {
    known: Vec<(Kind, Arc<Circle>, Timestamp)>,
    /// What they were made from.
    version: u64,
}

impl Circles {
    /// The circle of a request, if one was drawn and still counts.
    pub(crate) fn of(&self, envelope: &Envelope, digest: Digest, version: u64) -> Option<Arc<Circle>> {
        let known = self.known.iter().filter(|_| self.version == version);
        let mut of_kind = known.filter(|(kind, ..)| mutant!(AnyCircleWillDo) || kind.is_of(envelope, digest));
        of_kind.next().map(|(_, circle, _)| Arc::clone(circle))
    }

    /// Most members of a circle seem to be silent: it is drawn anew among those who speak, unless it just was.
    pub(crate) fn doubt(&mut self, digest: Digest, now: Timestamp) {
        let lasts = |at: Timestamp| now.since(at) <= limits::CIRCLE_FOR_SILENT;
        self.known.retain(|(kind, _, at)| kind.digest != digest || lasts(*at));
    }

    /// The law changed.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}

impl Core {
    /// Whether a peer stands in another country.
    pub(crate) fn is_abroad(&self, peer: &Peer) -> bool {
        peer.member.jurisdiction.country() != self.me.jurisdiction.country()
    }

    /// The circle of a request.
    pub(crate) fn circle(&mut self, envelope: &Envelope, digest: Digest) -> Arc<Circle> {
        let now = self.now;
        if self.circles.version != self.peers.version() {
            self.circles.version = self.peers.version();
            self.circles.clear();
        }
        let known = self.circles.known.iter().find(|(kind, ..)| kind.is_of(envelope, digest));
        if let Some((_, circle, at)) = known {
            // One that was drawn before anybody said how quick it is does not last.
            let life = if circle.quick.is_some() { limits::CIRCLE_FOR } else { limits::CIRCLE_FOR_NOW };
            if now.since(*at) <= life {
                return Arc::clone(circle);
            }
        }
        let circle = Arc::new(self.draw_circle(envelope, digest));
        self.circles.known.retain(|(kind, ..)| !kind.is_of(envelope, digest));
        if self.circles.known.len() >= limits::CIRCLES_MAX {
            self.circles.known.remove(0);
        }
        let Envelope { app, model, label, .. } = envelope;
        let kind = Kind { app: app.clone(), model: model.clone(), label: label.clone(), digest };
        self.circles.known.push((kind, Arc::clone(&circle), now));
        circle
    }

    fn draw_circle(&self, envelope: &Envelope, digest: Digest) -> Circle {
        let mut circle = Circle::default();
        let (mut ready, mut cold) = (Vec::new(), Vec::new());
        let gate = self.gate_of(envelope, digest);
        for peer in self.peers.iter() {
            let Some(model) = peer.holding(digest) else { continue };
            let site = peer.member.site.clone();
            circle.considered = circle.considered.saturating_add(1);
            let step = match gate.at(&peer.member, self.kind_of(peer.member.node)) {
                Ok(lawful) => {
                    circle.lawful = circle.lawful.saturating_add(1);
                    if self.is_endpoint(peer.member.node) {
                        circle.endpoints.push((lawful.node(), lawful.rule().clone()));
                    }
                    let far = peer.far();
                    let silent = peer.is_cooling(self.now) || peer.is_overdue(self.now);
                    let list = match model.stage {
                        _ if self.is_endpoint(peer.member.node) => None,
                        ModelStage::Ready => Some(&mut ready),
                        ModelStage::Stored => Some(&mut cold),
                        ModelStage::Fetching | ModelStage::Quarantined => None,
                    };
                    if let Some(list) = list {
                        list.push((silent, far, lawful.node(), lawful.rule().clone()));
                    }
                    Step::Permitted { site, action: LawAction::Infer, rule: lawful.rule().clone() }
                }
                Err(no) => {
                    circle.forbid = circle.forbid.take().or_else(|| no.forbid().cloned());
                    // Words are made for those alone that somebody may read.
                    if circle.steps.len() >= limits::STEPS_OF_CIRCLE && circle.denied.len() >= limits::DENIED_MAX {
                        continue;
                    }
                    let (action, denial) = (no.action(), no.in_words());
                    let (node, jurisdiction) = (peer.member.node, peer.member.jurisdiction);
                    if circle.denied.len() < limits::DENIED_MAX {
                        circle.denied.push(DeniedPlace { node, jurisdiction, action, denial: denial.clone() });
                    }
                    Step::Denied { site, node, action, denial, what_ifs: Vec::new() }
                }
            };
            if circle.steps.len() < limits::STEPS_OF_CIRCLE {
                circle.steps.push(step);
            }
        }
        ready.sort_unstable_by_key(|(silent, far, node, _)| (*silent, *far, *node));
        thin_out(&mut ready);
        cold.sort_unstable_by_key(|(silent, far, node, _)| (*silent, *far, *node));
        cold.truncate(limits::COLD_MAX);
        circle.cold = cold.into_iter().map(|(.., node, rule)| (node, rule)).collect();
        let mut services: Vec<Micros> =
            ready.iter().filter_map(|(.., node, _)| self.peers.get(*node)?.service(digest)).collect();
        services.sort_unstable();
        let quick = services.get(services.len() / limits::QUICK_SHARE).copied();
        circle.quick = quick.zip(ready.first().map(|(_, far, ..)| *far));
        circle.keys = ready.iter().map(|(.., node, _)| node.prefix()).collect();
        circle.ready = ready.into_iter().map(|(.., node, rule)| (node, rule)).collect();
        circle
    }
}

/// Of a long list, nearest first, keeps the nearest and a few of all the others: what is too much for a neighbourhood
/// flows off to far ones.
fn thin_out<T>(list: &mut Vec<T>) {
    let far = list.len().saturating_sub(limits::CIRCLE_NEAR);
    if far <= limits::CIRCLE_MAX - limits::CIRCLE_NEAR {
        return;
    }
    let kept = limits::CIRCLE_MAX - limits::CIRCLE_NEAR;
    let others = list.split_off(limits::CIRCLE_NEAR);
    let is_kept = |index: usize| (index * kept) / far != ((index + 1) * kept) / far;
    list.extend(others.into_iter().enumerate().filter(|(index, _)| is_kept(*index)).map(|(_, other)| other));
}
