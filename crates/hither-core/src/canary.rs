//! A request that nobody made, put to the law now and then: is what must stay here still kept here, on this machine, by
//! this policy, among these members?
//!
//! It has no payload and goes nowhere. What must stay true: it is judged by the gate that requests pass, for every place that
//! the node knows, and a place that it might go to is on the record and told, not sent to.

use hither_types::fact::{CANARY, Counterpart, Fact};
use hither_types::id::{AppName, Attempt, ModelName, RequestId, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::place::PlaceKind;
use hither_types::request::{Envelope, Priority, Quality, RequestKind};
use hither_types::unit::ByteCount;

use crate::machine::Core;
use crate::router::Gate;

#[cfg(test)]
mod tests;

/// How the complaint begins.
const SANG: &str = "canary: ";

impl Core {
    /// Asks the law whether secret data of this place might go anywhere else. It must not.
    pub(crate) fn canary(&mut self, id: RequestId) {
        let envelope = self.canary_envelope();
        let subject = self.subject(id, Attempt(0), &envelope, None);
        let (mut considered, mut forbid, mut open) = (0_u8, None, Vec::new());
        let gate = Gate { law: &self.law, origin: &self.me };
        let asked = gate.request(&envelope, &envelope.model);
        for peer in self.peers.iter() {
            let kind = self.kind_of(peer.member.node);
            if kind == PlaceKind::Home {
                continue;
            }
            considered = considered.saturating_add(1);
            match asked.at(&peer.member, kind) {
                Ok(lawful) => open.push((Counterpart::of(&peer.member, kind), lawful.rule().clone())),
                Err(no) => forbid = forbid.or_else(|| no.forbid().cloned()),
            }
        }
        self.complaints.retain(|text| !text.starts_with(SANG));
        let Some((to, rule)) = open.first().cloned() else {
            return self.note(Fact::Denied { subject, rule: forbid, considered });
        };
        self.complain(format!(
            "{SANG}the policy would let data of class secret leave for {} ({}) by rule {rule}, and {} places in all. If that is \
             not meant: take secret out of the rule's class, and hither policy prove FILE \"secret from {} never leaves {}\"",
            to.site,
            to.jurisdiction,
            open.len(),
            self.me.jurisdiction,
            self.me.jurisdiction,
        ));
        self.note(Fact::CanaryPermitted { subject, to, rule });
    }

    fn canary_envelope(&self) -> Envelope {
        let label = Label {
            class: DataClass::Secret,
            tags: vec![Tag::parse(CANARY).expect("six letters are a tag")],
            subjects: vec![self.me.jurisdiction],
            purpose: None,
        };
        Envelope {
            app: AppName::parse(CANARY).expect("six letters are a name"),
            model: ModelName::parse(CANARY).expect("six letters are a name"),
            label,
            kind: RequestKind::Infer,
            size: ByteCount(0),
            priority: Priority::default(),
            prefer: None,
            quality: Quality::Exact,
        }
    }
}
