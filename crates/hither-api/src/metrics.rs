//! What is counted at the door, and the totals of the node, in Prometheus' text form.
//!
//! What must stay true: the number of series is bounded, whatever a client sends.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use hither_types::request::Quality;
use hither_types::view::{PresenceView, View};
use hyper::{Method, StatusCode};

use crate::callers::{Callers, Counts};
use crate::door::Door;
use crate::limits::METRIC_MODELS;
use crate::oip::Statistics;
use crate::respond;
use crate::routes::App;
use crate::serving::Serving;

#[cfg(test)]
mod tests;

/// The upper edges of the buckets, in seconds: from a local decision to a long answer.
const EDGES: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The counters of one node, whichever listener counted.
pub(crate) struct Metrics(Mutex<Tables>, Statistics);

#[derive(Default)]
struct Tables {
    responses: BTreeMap<(String, String, u16), u64>,
    heads: BTreeMap<String, Histogram>,
    models: BTreeMap<String, Inferences>,
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; EDGES.len()],
    count: u64,
    sum: Duration,
}

#[derive(Default)]
struct Inferences {
    success: u64,
    failure: u64,
    duration: Duration,
    stepped_down: u64,
}

impl Tables {
    /// The row of a model; those past the bound share one.
    fn model(&mut self, name: &str) -> &mut Inferences {
        let room = self.models.len() < METRIC_MODELS || self.models.contains_key(name);
        self.models.entry(if room { name.to_owned() } else { "other".to_owned() }).or_default()
    }
}

type Known = Vec<(Weak<dyn Door>, Weak<Metrics>)>;

/// Both listeners of a node are started apart and count together.
static KNOWN: Mutex<Known> = Mutex::new(Vec::new());

impl Metrics {
    /// The counters of the node behind a door.
    pub(crate) fn of(door: &Arc<dyn Door>) -> Arc<Self> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(door, metrics)| door.strong_count() > 0 && metrics.strong_count() > 0);
        let same = |other: &Weak<dyn Door>| std::ptr::addr_eq(other.as_ptr(), Arc::as_ptr(door));
        if let Some(found) = known.iter().find(|(other, _)| same(other)).and_then(|(_, metrics)| metrics.upgrade()) {
            return found;
        }
        let made = Arc::new(Self(Mutex::new(Tables::default()), Statistics::default()));
        known.push((Arc::downgrade(door), Arc::downgrade(&made)));
        made
    }

    /// What is counted of each model as its protocol wants it.
    pub(crate) fn statistics(&self) -> &Statistics {
        &self.1
    }

    /// Counts a response once its head is known; of a stream, that is the time to the first token.
    pub(crate) fn responded(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let method = if is_usual(method) { method.as_str() } else { "other" };
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *tables.responses.entry((route.to_owned(), method.to_owned(), status.as_u16())).or_default() += 1;
        let histogram = tables.heads.entry(route.to_owned()).or_default();
        histogram.count += 1;
        histogram.sum += took;
        if let Some(at) = EDGES.iter().position(|edge| took.as_secs_f64() <= *edge) {
            histogram.buckets[at] += 1;
        }
    }

    /// Counts a call of a model that the catalog has.
    pub(crate) fn inferred(&self, model: &str, status: u16, took: Duration) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = tables.model(model);
        if status < 400 {
            row.success += 1;
            row.duration += took;
        } else {
            row.failure += 1;
        }
    }

    /// Counts an answer by a smaller model, once its head is known.
    pub(crate) fn answered(&self, serving: &Serving) {
        match serving.quality() {
            Quality::Exact => {}
            Quality::Family => {
                let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                tables.model(serving.asked().name.as_str()).stepped_down += 1;
            }
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        head(out, "hither_http_responses_total", "counter", "Responses by route, method and status.")?;
        for ((route, method, status), count) in &tables.responses {
            writeln!(
                out,
                "hither_http_responses_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}} {count}"
            )?;
        }
        let name = "hither_http_response_head_seconds";
        head(out, name, "histogram", "Time until the head of the response; of a stream, until its first token.")?;
        for (route, histogram) in &tables.heads {
            let mut below = 0;
            for (edge, count) in EDGES.iter().zip(histogram.buckets) {
                below += count;
                writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"{edge}\"}} {below}")?;
            }
            writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {}", histogram.count)?;
            writeln!(out, "{name}_sum{{route=\"{route}\"}} {}", histogram.sum.as_secs_f64())?;
            writeln!(out, "{name}_count{{route=\"{route}\"}} {}", histogram.count)?;
        }
        type Row = (&'static str, &'static str, fn(&Inferences) -> u64);
        let rows: [Row; 3] = [
            ("nv_inference_request_success", "Calls of a model that were answered.", |row| row.success),
            ("nv_inference_request_failure", "Calls of a model that were refused or failed.", |row| row.failure),
            (
                "nv_inference_request_duration_us",
                "Time in answered calls; of a stream, until its first token.",
                |row| row.duration.as_micros() as u64,
            ),
        ];
        for (name, help, value) in rows {
            head(out, name, "counter", help)?;
            for (model, row) in &tables.models {
                writeln!(out, "{name}{{model=\"{model}\",version=\"1\"}} {}", value(row))?;
            }
        }
        let (name, help) = ("hither_stepped_down_total", "Answers by a smaller model than the one that was asked for.");
        head(out, name, "counter", help)?;
        for (model, row) in &tables.models {
            writeln!(out, "{name}{{model=\"{model}\"}} {}", row.stepped_down)?;
        }
        Ok(())
    }
}

fn is_usual(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH]
        .contains(method)
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn write_view(view: &View, out: &mut String) -> std::fmt::Result {
    let totals = &view.totals;
    let rows: [(&str, &str, u64); 9] = [
        ("hither_requests_total", "Requests that entered this node.", totals.requests),
        ("hither_requests_answered_total", "Requests answered.", totals.answered),
        ("hither_requests_refused_by_law_total", "Requests refused by law.", totals.refused_by_law),
        ("hither_requests_refused_otherwise_total", "Requests refused otherwise, or failed.", totals.refused_otherwise),
        ("hither_requests_migrated_total", "Requests that went on elsewhere after a place failed.", totals.migrated),
        ("hither_requests_served_for_peers_total", "Requests of peers served here.", totals.served_for_peers),
        ("hither_egress_request_bytes_total", "Payload bytes that left with requests.", totals.egress_requests.0),
        ("hither_egress_answer_bytes_total", "Payload bytes that left with answers.", totals.egress_answers.0),
        ("hither_energy_millijoules_total", "Energy used by inference.", totals.energy.0),
    ];
    for (name, help, value) in rows {
        head(out, name, "counter", help)?;
        writeln!(out, "{name} {value}")?;
    }
    let there = view.nodes.iter().filter(|node| !matches!(node.presence, PresenceView::Gone(_))).count();
    let me = view.nodes.iter().find(|node| node.member.node == view.me.node);
    let busy: u64 = me.iter().flat_map(|node| &node.models).map(|model| u64::from(model.busy)).sum();
    let queued: u64 = me.iter().flat_map(|node| &node.models).map(|model| u64::from(model.queued)).sum();
    let gauges: [(&str, &str, f64); 6] = [
        ("hither_members", "Members of the mesh.", view.nodes.len() as f64),
        ("hither_members_present", "Members that are there.", there as f64),
        ("hither_slots_busy", "Requests that run at this node.", busy as f64),
        ("hither_requests_queued", "Requests that wait at this node.", queued as f64),
        ("hither_power_watts", "Power in use at this node.", me.map_or(0.0, |node| node.power.watts())),
        ("hither_power_cap_watts", "The power cap of this node.", me.map_or(0.0, |node| node.cap.watts())),
    ];
    for (name, help, value) in gauges {
        head(out, name, "gauge", help)?;
        writeln!(out, "{name} {value}")?;
    }
    Ok(())
}

/// As many series as the operator made apps, whatever a client sends.
fn write_apps(callers: &Callers, out: &mut String) -> std::fmt::Result {
    let counts = callers.counts();
    type Row = (&'static str, &'static str, &'static str, fn(&Counts) -> u64);
    let rows: [Row; 4] = [
        ("hither_app_requests_total", "counter", "Requests of an app that were let in.", |app| app.requests),
        ("hither_app_limited_total", "counter", "Requests of an app that its limits kept out.", |app| app.limited),
        ("hither_app_tokens_total", "counter", "Tokens of an app, prompts and answers.", |app| app.tokens),
        ("hither_app_requests_running", "gauge", "Requests of an app under way.", |app| app.running.into()),
    ];
    for (name, kind, help, value) in rows {
        head(out, name, kind, help)?;
        for (app, counts) in &counts {
            writeln!(out, "{name}{{app=\"{app}\"}} {}", value(counts))?;
        }
    }
    Ok(())
}

/// `GET /metrics`.
pub(crate) async fn scrape(State(app): State<App>) -> Response {
    let mut out = String::new();
    let written = write_view(&app.door.view().borrow(), &mut out)
        .and_then(|()| write_apps(&app.callers, &mut out))
        .and_then(|()| app.metrics.write(&mut out));
    written.expect("writing to a string cannot fail");
    respond::text("text/plain; version=0.0.4; charset=utf-8", out)
}
