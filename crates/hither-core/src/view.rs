//! The picture of the node and its mesh that people are shown.

use hither_types::id::{Digest, ModelName};
use hither_types::message::{ModelPresence, ModelStage};
use hither_types::rollout::{RolledBack, RolloutView};
use hither_types::time::Timestamp;
use hither_types::unit::ByteCount;
use hither_types::view::{Egress, ModelView, NodeView, PresenceView, ReachView, View};

use crate::catalog::Stage;
use crate::machine::Core;
use crate::peers::Peer;

impl Core {
    /// The whole picture at one moment. Members that were not heard lately stay in it, with the time since.
    pub fn view(&self, now: Timestamp) -> View {
        let mut nodes = vec![self.view_here(now)];
        nodes.extend(self.peers.iter().map(|peer| NodeView {
            evidence: self.evidence(peer.member.node),
            ..view_peer(peer, self.peers.is_present(peer, now), now)
        }));
        View {
            me: self.me.clone(),
            at: now,
            nodes,
            models: self.catalog.manifests().cloned().collect(),
            expired: self.catalog.expired().collect(),
            recent: self.trace.recent(),
            totals: self.trace.totals,
            policy: self.law.policy().digest,
            warnings: self.warnings(),
            reach: ReachView::default(),
            rollouts: self.rollouts.view(),
            courses: Vec::new(),
            spending: self.spending(),
        }
    }

    /// The model that a name means where no new version takes over.
    pub fn resolve(&self, name: &ModelName) -> Option<Digest> {
        self.catalog.resolve(name)
    }

    /// How each rollout stands, by name.
    pub fn rollouts(&self) -> Vec<RolloutView> {
        self.rollouts.view()
    }

    fn view_here(&self, now: Timestamp) -> NodeView {
        let locals = self.catalog.locals().filter_map(|(digest, local)| {
            let stage = local.stage.announced()?;
            Some(ModelView {
                digest,
                stage,
                memory: self.memory.bytes(digest),
                note: self.note_of(digest, local.stage, now),
                why: self.why(digest).to_owned(),
                device: self.scheduler.device(digest),
                engine: String::new(),
                fetched: local.fetched,
                slots: self.scheduler.slots(digest),
                busy: self.scheduler.busy(digest),
                queued: self.scheduler.queued(digest),
            })
        });
        NodeView {
            member: self.me.clone(),
            presence: PresenceView::Here,
            rtt: None,
            models: locals.collect(),
            power: self.scheduler.power().now(),
            cap: self.scheduler.power().cap(),
            egress: Egress::default(),
            program: None,
            addresses: Vec::new(),
            policy: Some(self.law.policy().digest),
            evidence: self.evidence(self.me.node),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.complaints.iter().cloned().collect();
        warnings.extend(self.moved_warnings());
        warnings.extend(self.outdated_warning());
        let name = |digest| self.catalog.manifest(digest).map(|manifest| manifest.name.to_string());
        for (digest, local) in self.catalog.locals() {
            let name = name(digest).unwrap_or_else(|| digest.short());
            if self.catalog.has_expired(digest) && local.stage.is_held() {
                warnings.push(format!(
                    "model {name} is not used any more: its entry in the catalog has expired. hither models publish {name} \
                     --valid-for 90d, at a member that may publish, or hither models rm {name}"
                ));
            } else if local.stage == Stage::Quarantined {
                let times = crate::limits::LOSSES_MAX;
                warnings.push(format!(
                    "model {name} is in quarantine here: its engine was lost {times} times within ten minutes. It is \
                     tried again when the first loss is ten minutes ago, or at once: hither models pull {name}"
                ));
            }
            if local.stage == Stage::Refuted {
                warnings.push(format!(
                    "model {name} gave other answers here than its publisher's engine, and is not offered: \
                     hither models pull {name} tries it again"
                ));
            }
            let slots = self.scheduler.slots_without_power(digest);
            if slots > 0 && self.scheduler.slots(digest) == 0 {
                let cap = self.scheduler.power().cap().watts();
                warnings.push(format!("model {name} is ready, and the power cap of {cap} W leaves it no slot"));
            }
        }
        for RolloutView { rollout, back, .. } in self.rollouts.view() {
            let Some(back) = back else { continue };
            let (name, to) = (&rollout.name, self.name_of(rollout.to));
            let why = match back {
                RolledBack::Found(_) => "it failed here".to_owned(),
                RolledBack::Told(members) => format!("{members} members found it bad"),
            };
            warnings.push(format!(
                "this node went back from {to} to the version of {name} before, since {why}: hither models rollout {name} says \
                 more"
            ));
        }
        for (name, count) in self.catalog.conflicts() {
            warnings
                .push(format!("{count} members published different models as {name}; that of the smallest key counts"));
        }
        warnings
    }
}

fn view_peer(peer: &Peer, present: bool, now: Timestamp) -> NodeView {
    let presence = match peer.heard() {
        Some(_) if present => PresenceView::Present,
        heard => PresenceView::Gone(heard.map(|heard| now.since(heard))),
    };
    let said = peer.presence();
    NodeView {
        member: peer.member.clone(),
        presence,
        rtt: peer.rtt(),
        models: said.map_or_else(Vec::new, |said| said.models.iter().map(view_model).collect()),
        power: said.map(|said| said.power).unwrap_or_default(),
        cap: said.map(|said| said.cap).unwrap_or_default(),
        // Bytes are counted, and programs known, by whoever talks to them.
        egress: Egress::default(),
        program: None,
        addresses: Vec::new(),
        policy: said.map(|said| said.policy),
        evidence: None,
    }
}

fn view_model(model: &ModelPresence) -> ModelView {
    let ModelPresence { digest, stage, device, slots, busy, queued, .. } = *model;
    let device = (stage == ModelStage::Ready).then_some(device);
    let (fetched, memory) = (ByteCount(0), ByteCount(0));
    let [engine, note, why] = [const { String::new() }; 3];
    ModelView { digest, stage, device, engine, fetched, slots, busy, queued, memory, note, why }
}
