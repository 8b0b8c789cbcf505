//! What the node shows people, as numbers: totals, links, slots, watts, apps.

use hither_types::view::{NodeView, PresenceView, View, Wire, WireFlow};

use super::page::{Kind, Label, Page};
use crate::callers::{Callers, Counts};
use crate::oip::VERSION;

/// The totals and the state of the node and its mesh.
pub(super) fn write(page: &mut Page, view: &View) {
    let totals = &view.totals;
    let rows: [(&str, &str, u64); 14] = [
        ("hither_requests_total", "Requests that entered this node.", totals.requests),
        ("hither_requests_answered_total", "Requests answered.", totals.answered),
        ("hither_requests_refused_by_law_total", "Requests refused by law.", totals.refused_by_law),
        ("hither_requests_refused_otherwise_total", "Requests refused otherwise, or failed.", totals.refused_otherwise),
        ("hither_requests_migrated_total", "Requests that went on elsewhere after a place failed.", totals.migrated),
        ("hither_requests_served_for_peers_total", "Requests of peers served here.", totals.served_for_peers),
        ("hither_requests_taken_by_peers_total", "Requests that waited here until a peer took them.", totals.stolen),
        ("hither_requests_hedged_total", "Second copies of requests that were late at their place.", totals.hedged),
        ("hither_offers_refused_total", "Offers to peers that they refused.", totals.rejected),
        ("hither_models_placed_total", "Models that this node fetched by its own decision.", totals.placed),
        ("hither_models_evicted_total", "Models that made way for others at this node.", totals.evicted),
        ("hither_egress_request_bytes_total", "Payload bytes that left with requests.", totals.egress_requests.0),
        ("hither_egress_answer_bytes_total", "Payload bytes that left with answers.", totals.egress_answers.0),
        (
            "hither_traces_withheld_total",
            "Requests whose spans the law kept from the collector.",
            totals.traces_withheld,
        ),
    ];
    for (name, help, value) in rows {
        page.family(name, Kind::Counter, help).sample(&[], value);
    }
    let energy = totals.energy.0 as f64 / 1000.0;
    page.family("hither_energy_joules_total", Kind::Counter, "Energy used by inference.").sample(&[], energy);
    links(page, view);
    let there = view.nodes.iter().filter(|node| is_there(node)).count();
    let me = view.nodes.iter().find(|node| node.member.node == view.me.node);
    let models = || me.iter().flat_map(|node| &node.models);
    let sum = |part: fn(&hither_types::view::ModelView) -> u16| models().map(|held| u64::from(part(held))).sum::<u64>();
    let gauges: [(&str, &str, f64); 7] = [
        ("hither_members", "Members of the mesh.", view.nodes.len() as f64),
        ("hither_members_present", "Members that are there.", there as f64),
        ("hither_slots", "Requests that can run at this node at once.", sum(|held| held.slots) as f64),
        ("hither_slots_busy", "Requests that run at this node.", sum(|held| held.busy) as f64),
        ("hither_requests_queued", "Requests that wait at this node.", sum(|held| held.queued) as f64),
        ("hither_power_watts", "Power in use at this node.", me.map_or(0.0, |node| node.power.watts())),
        ("hither_power_cap_watts", "The power cap of this node.", me.map_or(0.0, |node| node.cap.watts())),
    ];
    for (name, help, value) in gauges {
        page.family(name, Kind::Gauge, help).sample(&[], value);
    }
    page.family("nv_inference_pending_request_count", Kind::Gauge, "Requests that wait at this node, by model.");
    for held in models() {
        if let Some(model) = view.models.iter().find(|model| model.digest == held.digest) {
            page.sample(&[("model", &model.name), ("version", &VERSION)], held.queued);
        }
    }
    let build: [Label<'_>; 3] =
        [("version", &env!("CARGO_PKG_VERSION")), ("site", &view.me.site), ("jurisdiction", &view.me.jurisdiction)];
    page.family("hither_node_info", Kind::Gauge, "Which program this is, and where it stands.").sample(&build, 1);
}

fn is_there(node: &NodeView) -> bool {
    !matches!(node.presence, PresenceView::Gone(_))
}

/// One row for each other member, of whom there are as many as were invited.
fn links(page: &mut Page, view: &View) {
    let others = || view.nodes.iter().filter(|node| node.member.node != view.me.node);
    page.family(
        "hither_link_egress_bytes_total",
        Kind::Counter,
        "Payload bytes that left this node, by peer and kind.",
    );
    for NodeView { member, egress, .. } in others() {
        let node = member.node.short();
        for (kind, bytes) in [("request", egress.requests), ("answer", egress.answers)] {
            let labels: [Label<'_>; 4] =
                [("node", &node), ("site", &member.site), ("jurisdiction", &member.jurisdiction), ("kind", &kind)];
            page.sample(&labels, bytes.0);
        }
    }
    page.family(
        "hither_link_relayed_bytes_total",
        Kind::Counter,
        "Of the payload bytes that left for a peer, those that passed a relay.",
    );
    for NodeView { member, egress, .. } in others() {
        let node = member.node.short();
        let labels: [Label<'_>; 3] = [("node", &node), ("site", &member.site), ("jurisdiction", &member.jurisdiction)];
        page.sample(&labels, egress.relayed.0);
    }
    filtered(page, view);
    type Row = (&'static str, &'static str, fn(&NodeView) -> Option<f64>);
    let rows: [Row; 2] = [
        ("hither_link_up", "Whether a peer was heard within the last moments.", |node| {
            Some(f64::from(u8::from(is_there(node))))
        }),
        ("hither_link_rtt_seconds", "The round trip to a peer, once it is measured.", |node| {
            node.rtt.map(|rtt| rtt.millis() / 1000.0)
        }),
    ];
    for (name, help, value) in rows {
        page.family(name, Kind::Gauge, help);
        for node in others() {
            if let Some(value) = value(node) {
                page.sample(&[("node", &node.member.node.short()), ("site", &node.member.site)], value);
            }
        }
    }
}

/// A row for each kind that was found: there are as many as kinds.
fn filtered(page: &mut Page, view: &View) {
    let help = "What filters found in requests before they left for a server outside the mesh, by what became of it.";
    page.family("hither_link_filtered_total", Kind::Counter, help);
    for NodeView { member, egress, .. } in &view.nodes {
        for (action, findings) in [("mask", &egress.masked), ("block", &egress.blocked)] {
            for (kind, count) in &findings.0 {
                let labels: [Label<'_>; 3] = [("site", &member.site), ("kind", kind), ("action", &action)];
                page.sample(&labels, *count);
            }
        }
    }
    let help = "Requests of which a filter let nothing leave for a server outside the mesh.";
    page.family("hither_link_withheld_total", Kind::Counter, help);
    for NodeView { member, egress, .. } in view.nodes.iter().filter(|node| node.egress.withheld > 0) {
        page.sample(&[("site", &member.site)], egress.withheld);
    }
}

/// What went between this node and others: a few kinds, whoever they are.
pub(super) fn write_wire(page: &mut Page, wire: &Wire) {
    page.family("hither_connections", Kind::Gauge, "Open connections with other nodes, by what they are for.");
    for (kind, flow) in &wire.flows {
        page.sample(&[("kind", kind)], flow.open);
    }
    let help = "Connections over which this node sends files that give way to requests just now.";
    page.family("hither_connections_giving_way", Kind::Gauge, help);
    for (kind, flow) in wire.flows.iter().filter(|(_, flow)| flow.giving_way > 0) {
        page.sample(&[("kind", kind)], flow.giving_way);
    }
    type Row = (&'static str, &'static str, [(&'static str, fn(&WireFlow) -> u64); 2]);
    let rows: [Row; 2] = [
        (
            "hither_wire_bytes_total",
            "Bytes of UDP payload between this node and others.",
            [("sent", |flow| flow.sent.0), ("received", |flow| flow.received.0)],
        ),
        (
            "hither_wire_datagrams_total",
            "UDP datagrams between this node and others.",
            [("sent", |flow| flow.datagrams_sent), ("received", |flow| flow.datagrams_received)],
        ),
    ];
    for (name, help, directions) in rows {
        page.family(name, Kind::Counter, help);
        for (kind, flow) in &wire.flows {
            for (direction, value) in &directions {
                page.sample(&[("kind", kind), ("direction", direction)], value(flow));
            }
        }
    }
    page.family("hither_talk_bytes_total", Kind::Counter, "Bytes of small talk that were said, by what it is about.");
    for (about, words) in &wire.words {
        page.sample(&[("about", about)], words.bytes.0);
    }
    page.family("hither_talk_messages_total", Kind::Counter, "Messages of small talk, by what they are about.");
    for (about, words) in &wire.words {
        page.sample(&[("about", about)], words.messages);
    }
}

/// As many series as the operator made apps, whatever a client sends.
pub(super) fn write_apps(page: &mut Page, callers: &Callers) {
    let counts = callers.counts();
    type Row = (&'static str, Kind, &'static str, fn(&Counts) -> u64);
    let rows: [Row; 4] = [
        ("hither_app_requests_total", Kind::Counter, "Requests of an app that were let in.", |app| app.requests),
        ("hither_app_limited_total", Kind::Counter, "Requests of an app that its limits kept out.", |app| app.limited),
        ("hither_app_tokens_total", Kind::Counter, "Tokens of an app, prompts and answers.", |app| app.tokens),
        ("hither_app_requests_running", Kind::Gauge, "Requests of an app under way.", |app| app.running.into()),
    ];
    for (name, kind, help, value) in rows {
        page.family(name, kind, help);
        for (app, counts) in &counts {
            page.sample(&[("app", app)], value(counts));
        }
    }
}
