//! Lines of the trace, for people.

use hither_core::{Action, Event};

use super::World;

impl World<'_> {
    pub(super) fn note_event(&mut self, node: usize, event: &Event) {
        let often = match event {
            Event::Presence { .. }
            | Event::There { .. }
            | Event::Silent(_)
            | Event::Told { .. }
            | Event::RoundTrip { .. }
            | Event::Near { .. }
            | Event::MovedBefore(_)
            | Event::Tick
            | Event::Beat { .. }
            | Event::FetchProgress { .. }
            | Event::MemberAdded(_)
            | Event::EndpointAdded { .. }
            | Event::Catalogued(_)
            | Event::TimeOfDay(_)
            | Event::Canary(_)
            | Event::Relayed(_)
            | Event::Budgets(_)
            | Event::SpentBefore(_)
            | Event::RolledOut(_)
            | Event::Judged(_) => true,
            Event::Submitted { .. }
            | Event::ClientGone(_)
            | Event::Asked { .. }
            | Event::AskerGone(_)
            | Event::Recorded(_)
            | Event::RecordFailed(_)
            | Event::Done { .. }
            | Event::Unanswered(_)
            | Event::Failed { .. }
            | Event::MemberRemoved(_)
            | Event::ModelStored(_)
            | Event::ModelRemoved(_)
            | Event::FetchFailed(_)
            | Event::PullWanted(_)
            | Event::PinsChanged(_)
            | Event::CloseWanted(_)
            | Event::ModelReady(_)
            | Event::ModelLost(_)
            | Event::LoadFailed(_)
            | Event::ModelRefuted(_)
            | Event::CapChanged(_)
            | Event::PolicyChanged(_)
            | Event::Masked { .. }
            | Event::Draining => false,
        };
        if !often {
            self.trace.line(self.now, &self.nodes[node].name, &format!("> {event:?}"));
        }
    }

    pub(super) fn note_action(&mut self, node: usize, action: &Action) {
        if !matches!(action, Action::Announce(_)) {
            self.trace.line(self.now, &self.nodes[node].name, &format!("  < {action:?}"));
        }
    }

    /// Something happens to the world itself.
    pub(super) fn note_world(&mut self, text: &str) {
        let folded = crate::chance::of_name(text);
        self.trace.fold(self.now, usize::MAX, &folded);
        if self.trace.keeps(self.now) {
            self.trace.line(self.now, "world", text);
        }
    }

    /// Lines with the names of nodes in the place of their keys.
    pub(super) fn named(&self, mut lines: Vec<String>) -> Vec<String> {
        if lines.iter().any(|line| line.contains("NodeId(")) {
            for node in &self.nodes {
                let key = format!("{:?}", node.member.node);
                lines
                    .iter_mut()
                    .filter(|line| line.contains(&key))
                    .for_each(|line| *line = line.replace(&key, &node.name));
            }
        }
        lines
    }
}
