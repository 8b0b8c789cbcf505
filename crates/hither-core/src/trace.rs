//! What people may ask about afterwards: the steps of the last requests, and the totals.

use std::collections::{BTreeMap, VecDeque};

use hither_types::id::RequestId;
use hither_types::label::Label;
use hither_types::request::Envelope;
use hither_types::time::Timestamp;
use hither_types::view::{Explanation, RequestState, RequestView, Step, Totals};

use crate::limits;

#[derive(Debug)]
struct Entry {
    view: RequestView,
    label: Label,
    entered_here: bool,
    steps: Vec<(Timestamp, Step)>,
}

/// The memory of requests; bounded, the oldest goes first.
#[derive(Debug)]
pub(crate) struct Trace {
    most: usize,
    /// In boxes: what moves when one comes or goes is small.
    entries: BTreeMap<RequestId, Box<Entry>>,
    order: VecDeque<RequestId>,
    pub(crate) totals: Totals,
}

impl Trace {
    /// A memory of so many requests.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, entries: BTreeMap::new(), order: VecDeque::new(), totals: Totals::default() }
    }

    /// A request came; `entered_here` tells those of this node's clients from those of peers.
    pub(crate) fn open(&mut self, request: RequestId, envelope: &Envelope, entered_here: bool, now: Timestamp) {
        if self.most == 0 || self.entries.contains_key(&request) {
            return;
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        let view = RequestView {
            request,
            app: envelope.app.clone(),
            model: envelope.model.clone(),
            class: envelope.label.class,
            at: now,
            route: Vec::new(),
            state: RequestState::Open,
        };
        let entry = Entry { view, label: envelope.label.clone(), entered_here, steps: Vec::new() };
        self.entries.insert(request, Box::new(entry));
        self.order.push_back(request);
    }

    /// Something happened to a request.
    pub(crate) fn step(&mut self, request: RequestId, step: Step, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&request) else { return };
        if let Step::Started { site, .. } = &step {
            entry.view.route.push(site.clone());
        }
        // The end of a story matters more than its middle.
        entry.steps.truncate(limits::STEPS_MAX - 1);
        entry.steps.push((now, step));
    }

    /// How a request stands now.
    pub(crate) fn state(&mut self, request: RequestId, state: RequestState) {
        if let Some(entry) = self.entries.get_mut(&request) {
            entry.view.state = state;
        }
    }

    /// The last requests that entered here, newest first.
    pub(crate) fn recent(&self) -> Vec<RequestView> {
        let entries = self.order.iter().rev().filter_map(|request| self.entries.get(request));
        entries.filter(|entry| entry.entered_here).take(limits::RECENT_MAX).map(|entry| entry.view.clone()).collect()
    }

    /// The label of a request.
    pub(crate) fn label(&self, request: RequestId) -> Option<&Label> {
        self.entries.get(&request).map(|entry| &entry.label)
    }

    /// Why a request went where it went.
    pub(crate) fn explain(&self, request: RequestId) -> Option<Explanation> {
        let entry = self.entries.get(&request)?;
        Some(Explanation { request: entry.view.clone(), label: in_words(&entry.label), steps: entry.steps.clone() })
    }
}

/// The label as a policy would write it.
fn in_words(label: &Label) -> String {
    let mut words = format!("class = {}", label.class);
    let mut list = |name: &str, items: Vec<String>| {
        if !items.is_empty() {
            words.push_str(&format!(", {name} = [{}]", items.join(", ")));
        }
    };
    list("tags", label.tags.iter().map(ToString::to_string).collect());
    list("subjects", label.subjects.iter().map(ToString::to_string).collect());
    if let Some(purpose) = &label.purpose {
        words.push_str(&format!(", purpose = {purpose}"));
    }
    words
}
