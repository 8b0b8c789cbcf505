//! What is counted at the door, and the totals of the node, as a scraper reads them.
//!
//! What must stay true: the number of series is bounded, whatever a client sends; to count a request takes one lock and,
//! once its model was seen, no memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use hither_types::request::Quality;
use hyper::header::{HeaderValue, VARY};
use hyper::{HeaderMap, Method};

use crate::door::Door;
use crate::idempotency::Kept;
use crate::limits::METRIC_MODELS;
use crate::oip::VERSION;
use crate::oip::statistics::{Counted, Statistics};
use crate::respond;
use crate::routes::App;
use crate::serving::Serving;

mod histogram;
mod page;
mod picture;
mod speech;
#[cfg(test)]
pub(crate) mod tests;

use histogram::{HEAD, Histogram};
use page::{Form, Kind, Page};
pub(crate) use speech::Course;
use speech::Operation;

/// The counters of one node, whichever listener counted.
#[derive(Default)]
pub(crate) struct Metrics {
    tables: Mutex<Tables>,
    statistics: Statistics,
}

#[derive(Default)]
struct Tables {
    routes: BTreeMap<String, OfRoute>,
    refusals: BTreeMap<String, u64>,
    models: BTreeMap<String, OfModel>,
}

struct OfRoute {
    responses: BTreeMap<(&'static str, u16), u64>,
    heads: Histogram,
}

#[derive(Default)]
struct OfModel {
    success: u64,
    failure: u64,
    duration: Duration,
    stepped_down: u64,
    operations: BTreeMap<&'static str, Operation>,
}

/// The row of a name. It is copied only if there is none.
fn row<'a, T>(table: &'a mut BTreeMap<String, T>, name: &str, new: impl FnOnce() -> T) -> &'a mut T {
    if !table.contains_key(name) {
        table.insert(name.to_owned(), new());
    }
    table.get_mut(name).expect("it was just looked for, and made if it was not there")
}

impl Tables {
    /// The row of a model; those past the bound share one.
    fn model(&mut self, name: &str) -> &mut OfModel {
        let room = self.models.len() < METRIC_MODELS || self.models.contains_key(name);
        row(&mut self.models, if room { name } else { "other" }, OfModel::default)
    }
}

type Known = Vec<(Weak<dyn Door>, Weak<Metrics>, Weak<Kept>)>;

/// Both listeners of a node are started apart and count together.
static KNOWN: Mutex<Known> = Mutex::new(Vec::new());

impl Metrics {
    /// The counters of the node behind a door, and the answers that it keeps.
    pub(crate) fn of(door: &Arc<dyn Door>) -> (Arc<Self>, Arc<Kept>) {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(door, metrics, _)| door.strong_count() > 0 && metrics.strong_count() > 0);
        let same = |other: &Weak<dyn Door>| std::ptr::addr_eq(other.as_ptr(), Arc::as_ptr(door));
        let found = known.iter().find(|(other, ..)| same(other));
        if let Some(found) = found.and_then(|(_, metrics, kept)| Some((metrics.upgrade()?, kept.upgrade()?))) {
            return found;
        }
        let (metrics, kept) = (Arc::new(Self::default()), Arc::new(Kept::default()));
        known.push((Arc::downgrade(door), Arc::downgrade(&metrics), Arc::downgrade(&kept)));
        (metrics, kept)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is counted of each model as its protocol wants it.
    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Counts a response once its head is known; of a stream, that is the time to the first token.
    pub(crate) fn responded(&self, method: &Method, route: &str, response: &Response, took: Duration) {
        let code = response.headers().get(respond::CODE).and_then(|code| code.to_str().ok());
        let mut tables = self.tables();
        if let Some(code) = code {
            *row(&mut tables.refusals, code, u64::default) += 1;
        }
        let new = || OfRoute { responses: BTreeMap::new(), heads: Histogram::new(HEAD) };
        let of_route = row(&mut tables.routes, route, new);
        *of_route.responses.entry((word(method), response.status().as_u16())).or_default() += 1;
        of_route.heads.add(took.as_secs_f64());
    }

    /// Counts a call of a model that the catalog has.
    pub(crate) fn inferred(&self, model: &str, status: u16, took: Duration) {
        let mut tables = self.tables();
        let of_model = tables.model(model);
        if status < 400 {
            of_model.success += 1;
            of_model.duration += took;
        } else {
            of_model.failure += 1;
        }
    }

    /// Counts an answer by a smaller model, once its head is known.
    pub(crate) fn answered(&self, serving: &Serving) {
        match serving.quality() {
            Quality::Exact => {}
            Quality::Family => self.tables().model(serving.asked().name.as_str()).stepped_down += 1,
        }
    }

    fn operation(&self, model: &str, operation: &'static str, count: impl FnOnce(&mut Operation)) {
        let mut tables = self.tables();
        count(tables.model(model).operations.entry(operation).or_insert_with(Operation::new));
    }

    fn write(&self, page: &mut Page) {
        let tables = self.tables();
        page.family("hither_http_responses_total", Kind::Counter, "Responses by route, method and status.");
        for (route, of_route) in &tables.routes {
            for ((method, status), count) in &of_route.responses {
                page.sample(&[("route", route), ("method", method), ("status", status)], count);
            }
        }
        let help = "Time until the head of the response; of a stream, until its first token.";
        page.family("hither_http_response_head_seconds", Kind::Histogram, help);
        for (route, of_route) in &tables.routes {
            of_route.heads.write(page, &[("route", route)]);
        }
        page.family("hither_refusals_total", Kind::Counter, "Requests refused or failed, by the code of the answer.");
        for (code, count) in &tables.refusals {
            page.sample(&[("code", code)], count);
        }
        let help = "Answers by a smaller model than the one that was asked for.";
        page.family("hither_stepped_down_total", Kind::Counter, help);
        for (model, of_model) in &tables.models {
            page.sample(&[("model", model)], of_model.stepped_down);
        }
        type Row = (&'static str, &'static str, fn(&OfModel) -> u64);
        let rows: [Row; 3] = [
            ("nv_inference_request_success", "Calls of a model that were answered.", |of_model| of_model.success),
            ("nv_inference_request_failure", "Calls of a model that were refused or failed.", |of_model| {
                of_model.failure
            }),
            (
                "nv_inference_request_duration_us",
                "Time in answered calls; of a stream, until its first token.",
                |of_model| of_model.duration.as_micros() as u64,
            ),
        ];
        for (name, help, value) in rows {
            page.family(name, Kind::Counter, help);
            for (model, of_model) in &tables.models {
                page.sample(&[("model", model), ("version", &VERSION)], value(of_model));
            }
        }
        let models = tables.models.iter();
        let operations = models.flat_map(|(model, of_model)| {
            of_model.operations.iter().map(move |(operation, counted)| (model.as_str(), *operation, counted))
        });
        speech::write(page, &operations.collect());
    }
}

/// What Triton counts of the calls that were handed in.
fn write_statistics(page: &mut Page, statistics: &Statistics) {
    let all = statistics.all();
    type Row = (&'static str, &'static str, fn(&Counted) -> u64);
    let rows: [Row; 6] = [
        ("nv_inference_count", "Rows of answered calls.", |counted| counted.inferences),
        ("nv_inference_exec_count", "Answered calls.", |counted| counted.success.count),
        ("nv_inference_queue_duration_us", "Time that answered calls waited for an engine.", |counted| {
            counted.queue.ns / 1000
        }),
        ("nv_inference_compute_input_duration_us", "Time in taking answered calls in.", |counted| {
            counted.input.ns / 1000
        }),
        ("nv_inference_compute_infer_duration_us", "Time of engines in answered calls.", |counted| {
            counted.infer.ns / 1000
        }),
        ("nv_inference_compute_output_duration_us", "Time in giving outputs back, with the way there.", |counted| {
            counted.output.ns / 1000
        }),
    ];
    for (name, help, value) in rows {
        page.family(name, Kind::Counter, help);
        for (model, counted) in &all {
            page.sample(&[("model", model), ("version", &VERSION)], value(counted));
        }
    }
}

/// A method as it is counted: a client can make any up.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// `GET /metrics`.
pub(crate) async fn scrape(State(app): State<App>, headers: HeaderMap) -> Response {
    let form = Form::accepted(&headers);
    let mut page = Page::new(form);
    picture::write(&mut page, &app.door.view().borrow());
    picture::write_wire(&mut page, &app.door.wire());
    picture::write_apps(&mut page, &app.callers);
    app.metrics.write(&mut page);
    write_statistics(&mut page, app.metrics.statistics());
    let mut response = respond::text(form.content_type(), page.finish());
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}
