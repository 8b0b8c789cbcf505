//! The picture of the node that people are shown, and what it warns them of.

use std::sync::Arc;

use hither_types::id::{Digest, NodeId, RequestId};
use hither_types::unit::ByteCount;
use hither_types::version::Program;
use hither_types::view::Egress;
use tokio::time::Instant;

use crate::driver::Driver;
use crate::traces::{End, KEPT_BACK, Trace};

impl Driver {
    /// Shows a warning in the picture and writes it to the log. A newer one about a model replaces the older.
    pub(crate) fn warn(&mut self, model: Option<Digest>, text: String) {
        tracing::error!("{text}");
        if model.is_some() {
            self.unwarn(model);
        }
        self.warnings.insert((model, text));
    }

    /// What was wrong with a model is over.
    pub(crate) fn unwarn(&mut self, model: Option<Digest>) {
        self.warnings.retain(|(about, _)| *about != model);
    }

    /// Hands the spans of a request over, if the law in force lets the collector see them.
    pub(crate) fn end_trace(&mut self, trace: &Trace, request: RequestId, end: End<'_>) {
        if let Some(told) = self.traces.end(&self.policy, trace, request, end) {
            self.warn(None, told);
        }
    }

    /// What the law before kept from the collector is news of the past.
    pub(crate) fn look_at_collector(&mut self) {
        self.traces.law_changed();
        self.warnings.retain(|(about, text)| about.is_some() || !text.starts_with(KEPT_BACK));
    }

    /// Puts a new picture in the place of the old one.
    pub(crate) fn show(&mut self) {
        let mut view = self.core.view(self.clock.now());
        view.reach = self.mesh.reach.view.clone();
        view.courses = self.courses.seen();
        view.warnings.extend(self.warnings.iter().map(|(_, text)| text.clone()));
        for model in view.nodes.iter_mut().take(1).flat_map(|here| &mut here.models) {
            model.engine =
                self.workers.get(&model.digest).map(|worker| worker.loaded.engine.clone()).unwrap_or_default();
        }
        view.warnings.extend(self.orphans());
        view.warnings.extend(self.crashes.warnings(Instant::now().into_std()));
        for node in &mut view.nodes {
            node.egress = self.egress.get(&node.member.node).cloned().unwrap_or_default();
            node.program = self.program(node.member.node);
            node.addresses = self.swarm.known(node.member.node);
            if let Some(evidence) = &mut node.evidence {
                evidence.by = match node.member.node == self.home.me.node {
                    true => Some(self.home.certificate.signer),
                    false => self.mesh.certifier(node.member.node),
                };
            }
            // A server outside the mesh lives by no policy.
            if self.endpoints.contains_key(&node.member.node) {
                node.policy = None;
            }
        }
        let sum = |of: fn(&Egress) -> u64| ByteCount(self.egress.values().map(of).sum());
        (view.totals.egress_requests, view.totals.egress_answers) = (sum(|to| to.requests.0), sum(|to| to.answers.0));
        view.totals.traces_withheld = self.traces.withheld();
        self.till.keep(&view.spending.spent);
        self.moves.keep(self.core.moves());
        self.view.send_replace(Arc::new(view));
    }

    /// Which program a member runs: this one here, and what it said of itself elsewhere.
    fn program(&self, node: NodeId) -> Option<Program> {
        match node == self.home.me.node {
            true => Program::parse(env!("CARGO_PKG_VERSION")),
            false => self.swarm.program(node),
        }
    }
}
