//! Spans of requests, for a collector that the operator names: from the client through this node to a peer and its
//! engine, in the form of OpenTelemetry. Without `[telemetry] otlp` nothing is recorded, and nothing is sent; the
//! caller's trace still goes on to peers, which may have a collector of their own.
//!
//! What must stay true: a span has no word of a payload, and a collector that is slow or gone costs spans, never a
//! request. Of a request whose metadata the law keeps from the collector's place nothing is handed over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use hither_api::door::Route;
use hither_types::id::{Attempt, ModelName, Operator, RequestId};
use hither_types::law::Policy;
use hither_types::member::Member;
use hither_types::place::Jurisdiction;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope};
use hither_types::trace::TraceParent;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanProcessor};

use crate::config::telemetry::Telemetry;
use crate::home::random;

pub(crate) use collector::KEPT_BACK;
use collector::{Collector, Matter};

mod collector;
#[cfg(test)]
mod tests;

/// Names of OpenTelemetry's conventions, which move: <https://github.com/open-telemetry/semantic-conventions-genai>.
mod name {
    pub(super) const OPERATION: &str = "gen_ai.operation.name";
    pub(super) const PROVIDER: &str = "gen_ai.provider.name";
    pub(super) const MODEL: &str = "gen_ai.request.model";
    pub(super) const MODEL_ANSWERED: &str = "gen_ai.response.model";
    pub(super) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    pub(super) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    pub(super) const ERROR: &str = "error.type";
    pub(super) const APP: &str = "hither.app";
    pub(super) const REQUEST: &str = "hither.request";
    pub(super) const ATTEMPT: &str = "hither.attempt";
    pub(super) const HERE: &str = "hither.here";
    pub(super) const SITE: &str = "hither.site";
    pub(super) const JURISDICTION: &str = "hither.jurisdiction";
    pub(super) const RULE: &str = "hither.rule";
}

/// Spans cannot be sent where the configuration says.
#[derive(Debug, thiserror::Error)]
#[error("spans cannot be sent to {endpoint}: {text}")]
pub struct TracesError {
    /// Where.
    pub endpoint: String,
    /// Why.
    pub text: String,
}

/// Where spans go, if anywhere.
pub(crate) struct Traces {
    /// This node as it is now: it changes when it joins a mesh.
    me: RwLock<Member>,
    out: Option<Out>,
}

struct Out {
    spans: Box<dyn SpanProcessor>,
    share: f64,
    collector: Collector,
}

/// What is known of one request until its spans are made. Empty if nobody asked for them.
#[derive(Default)]
pub(crate) struct Trace {
    /// What the caller brought, to be handed on if nothing is recorded here.
    brought: Option<TraceParent>,
    recorded: Option<Recorded>,
}

struct Recorded {
    /// The span of the request as this node sees it, and what caused it.
    span: TraceParent,
    caused_by: Option<u64>,
    /// A request of a peer, and not of a client.
    is_of_peer: bool,
    operation: &'static str,
    matter: Matter,
    here: String,
    begun: SystemTime,
    attempts: Mutex<BTreeMap<Attempt, Tried>>,
}

struct Tried {
    span: u64,
    begun: SystemTime,
    given_up: Option<SystemTime>,
    route: Option<Route>,
}

/// How a request ended.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    /// With an answer.
    Answered(&'a Cost),
    /// With a "no".
    Refused(&'a Refusal),
    /// Everybody failed.
    Failed(&'a Failure),
    /// Whoever asked did not wait.
    Left,
}

impl End<'_> {
    /// A word of few, as `error.type` wants it.
    fn error(self) -> Option<String> {
        let word =
            |debug: String| debug.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned();
        match self {
            Self::Answered(_) => None,
            Self::Refused(refusal) => Some(word(format!("{refusal:?}"))),
            Self::Failed(failure) => Some(word(format!("{failure:?}"))),
            Self::Left => Some("ClientGone".to_owned()),
        }
    }
}

impl Traces {
    /// Begins to send spans, if the configuration says where.
    ///
    /// # Errors
    ///
    /// The address is none that can be sent to. Whether anybody listens there is found out later, and logged.
    pub(crate) fn start(telemetry: Option<&Telemetry>, me: &Member) -> Result<Self, TracesError> {
        let Some(telemetry) = telemetry else { return Ok(Self::made(None, me)) };
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(&telemetry.otlp).build();
        let exporter =
            exporter.map_err(|error| TracesError { endpoint: telemetry.otlp.clone(), text: error.to_string() })?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_scheduled_delay(Duration::from_secs(1))
            .build();
        let spans = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Ok(Self::to(Box::new(spans), telemetry, me))
    }

    fn to(mut spans: Box<dyn SpanProcessor>, telemetry: &Telemetry, me: &Member) -> Self {
        let about = [
            KeyValue::new("service.instance.id", me.node.to_string()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ];
        let resource = Resource::builder_empty().with_service_name("hither").with_attributes(about).build();
        spans.set_resource(&resource);
        Self::made(Some(Out { spans, share: telemetry.share, collector: Collector::new(telemetry) }), me)
    }

    fn made(out: Option<Out>, me: &Member) -> Self {
        Self { me: RwLock::new(me.clone()), out }
    }

    /// This node has another site now.
    pub(crate) fn moved(&self, me: &Member) {
        *self.me.write().unwrap_or_else(PoisonError::into_inner) = me.clone();
    }

    /// What its operator should know of the collector before anything is sent.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.out.as_ref()?.collector.trouble()
    }

    /// Another law is in force: what it keeps back is told again.
    pub(crate) fn law_changed(&self) {
        if let Some(out) = &self.out {
            out.collector.law_changed();
        }
    }

    /// Of how many requests the law kept the spans back.
    pub(crate) fn withheld(&self) -> u64 {
        self.out.as_ref().map_or(0, |out| out.collector.withheld())
    }

    /// A request of a client begins.
    pub(crate) fn of_client(
        &self,
        operation: &'static str,
        envelope: &Envelope,
        brought: Option<TraceParent>,
    ) -> Trace {
        self.begin(operation, envelope, brought, Entered::Here)
    }

    /// A request of a peer begins; none if that is no member any more.
    pub(crate) fn of_peer(&self, envelope: &Envelope, brought: Option<TraceParent>, peer: Option<&Member>) -> Trace {
        self.begin("serve", envelope, brought, Entered::At(peer))
    }

    fn begin(
        &self,
        operation: &'static str,
        envelope: &Envelope,
        brought: Option<TraceParent>,
        entered: Entered<'_>,
    ) -> Trace {
        let is_of_peer = matches!(entered, Entered::At(_));
        let is_wanted = |out: &&Out| match brought {
            // Who began the trace has decided.
            Some(brought) => brought.sampled,
            None => !is_of_peer && share_of(random()) < out.share,
        };
        let recorded = self.out.as_ref().filter(is_wanted).map(|_| Recorded {
            span: TraceParent {
                trace: brought.map_or_else(|| u128::from_be_bytes(random()).max(1), |brought| brought.trace),
                span: new_span(),
                sampled: true,
            },
            caused_by: brought.map(|brought| brought.span),
            is_of_peer,
            operation,
            matter: Matter {
                app: envelope.app.clone(),
                model: envelope.model.clone(),
                label: envelope.label.clone(),
                entered: entered.place(),
            },
            here: self.me.read().unwrap_or_else(PoisonError::into_inner).site.to_string(),
            begun: SystemTime::now(),
            attempts: Mutex::default(),
        });
        Trace { brought, recorded }
    }

    /// A request ends: its spans are made and handed over if the law in force permits it, or dropped where too many wait (the
    /// library logs how many). Gives back what the operator has to be told of what the law keeps back, once.
    pub(crate) fn end(&self, law: &Policy, trace: &Trace, request: RequestId, end: End<'_>) -> Option<String> {
        let (Some(out), Some(recorded)) = (&self.out, &trace.recorded) else { return None };
        let me = self.me.read().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        let tried = recorded.attempts();
        let ran: Vec<ModelName> = tried.values().filter_map(|tried| tried.route.as_ref()?.ran().cloned()).collect();
        if let Err(told) = out.collector.admits((law, &*me), &recorded.matter, &ran) {
            return told;
        }
        let mut here = recorded.is_of_peer.then_some(recorded.span.span);
        for (attempt, tried) in tried.iter() {
            let route = tried.route.as_ref();
            let is_here = route.is_some_and(|route| route.served_by.node == me.node);
            if is_here && tried.given_up.is_none() {
                here = Some(tried.span);
            }
            out.spans.on_end(recorded.of_attempt(*attempt, tried, is_here, now));
        }
        let last = tried
            .values()
            .filter(|tried| tried.given_up.is_none())
            .filter_map(|tried| tried.route.as_ref())
            .next_back();
        if let (Some(parent), End::Answered(cost)) = (here, end) {
            out.spans.on_end(recorded.of_engine(parent, cost, now));
        }
        out.spans.on_end(recorded.whole(request, end, last, now));
        None
    }

    /// Sends what waits. Waits for a slow collector, so not for threads that others need.
    pub(crate) fn stop(&self) {
        if let Some(out) = &self.out
            && let Err(error) = out.spans.shutdown_with_timeout(Duration::from_secs(2))
        {
            tracing::warn!(%error, "the last spans did not reach their collector");
        }
    }
}

/// Where a request entered.
enum Entered<'a> {
    /// At this node.
    Here,
    /// At a peer; none if nobody knows it.
    At(Option<&'a Member>),
}

impl Entered<'_> {
    /// The place of a peer, and who runs it.
    fn place(&self) -> Option<(Jurisdiction, Option<Operator>)> {
        match self {
            Self::Here => None,
            Self::At(Some(peer)) => Some((peer.jurisdiction, Some(peer.operator.clone()))),
            Self::At(None) => Some((Jurisdiction::UNKNOWN, None)),
        }
    }
}

/// Spans that wait to be sent.
const QUEUE: usize = 8192;

/// A number from 0 to 1, drawn evenly.
fn share_of(bytes: [u8; 4]) -> f64 {
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

fn new_span() -> u64 {
    u64::from_be_bytes(random()).max(1)
}

impl Trace {
    /// An attempt begins.
    pub(crate) fn begin(&self, attempt: Attempt) {
        let Some(recorded) = &self.recorded else { return };
        recorded.attempts().entry(attempt).or_insert_with(Tried::now);
    }

    /// Where an attempt is served.
    pub(crate) fn route(&self, route: &Route) {
        let Some(recorded) = &self.recorded else { return };
        recorded.attempts().entry(route.attempt).or_insert_with(Tried::now).route = Some(route.clone());
    }

    /// An attempt failed, or another was quicker.
    pub(crate) fn give_up(&self, attempt: Attempt) {
        let Some(recorded) = &self.recorded else { return };
        if let Some(tried) = recorded.attempts().get_mut(&attempt) {
            tried.given_up.get_or_insert_with(SystemTime::now);
        }
    }

    /// What a peer is told with an attempt.
    pub(crate) fn onwards(&self, attempt: Attempt) -> Option<TraceParent> {
        let Some(recorded) = &self.recorded else { return self.brought };
        let span = recorded.attempts().get(&attempt).map_or(recorded.span.span, |tried| tried.span);
        Some(TraceParent { span, ..recorded.span })
    }
}

impl Tried {
    fn now() -> Self {
        Self { span: new_span(), begun: SystemTime::now(), given_up: None, route: None }
    }
}

impl Recorded {
    fn attempts(&self) -> MutexGuard<'_, BTreeMap<Attempt, Tried>> {
        // No step under this lock leaves the list half-changed.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_attempt(&self, attempt: Attempt, tried: &Tried, is_here: bool, now: SystemTime) -> SpanData {
        let mut attributes = vec![KeyValue::new(name::ATTEMPT, i64::from(attempt.0))];
        if let Some(route) = &tried.route {
            attributes.push(KeyValue::new(name::SITE, route.served_by.site.to_string()));
            attributes.push(KeyValue::new(name::JURISDICTION, route.served_by.jurisdiction.to_string()));
            attributes.push(KeyValue::new(name::RULE, route.rule.to_string()));
        }
        let status = match tried.given_up {
            Some(_) => Status::error("given up"),
            None => Status::Unset,
        };
        let (span, kind) = (Some(tried.span), if is_here { SpanKind::Internal } else { SpanKind::Client });
        let time = (tried.begun, tried.given_up.unwrap_or(now));
        self.data(span, Some(self.span.span), kind, format!("attempt {}", attempt.0), time, attributes, status)
    }

    /// What the worker said that it took: it has no way out by itself.
    fn of_engine(&self, parent: u64, cost: &Cost, now: SystemTime) -> SpanData {
        let micros = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
        let attributes = vec![
            KeyValue::new("hither.engine.queued_us", micros(cost.queued.0)),
            KeyValue::new("hither.engine.prefill_us", micros(cost.prefill.0)),
            KeyValue::new("hither.engine.decode_us", micros(cost.decode.0)),
        ];
        let took = Duration::from_micros(cost.queued.0 + cost.prefill.0 + cost.decode.0);
        let begun = now.checked_sub(took).unwrap_or(now).max(self.begun);
        self.data(
            None,
            Some(parent),
            SpanKind::Internal,
            format!("engine {}", self.matter.model),
            (begun, now),
            attributes,
            Status::Unset,
        )
    }

    fn whole(&self, request: RequestId, end: End<'_>, last: Option<&Route>, now: SystemTime) -> SpanData {
        let mut attributes = vec![
            KeyValue::new(name::PROVIDER, "hither"),
            KeyValue::new(name::MODEL, self.matter.model.to_string()),
            KeyValue::new(name::APP, self.matter.app.to_string()),
            KeyValue::new(name::REQUEST, request.to_string()),
        ];
        if !self.is_of_peer {
            let answered = last.and_then(Route::ran).unwrap_or(&self.matter.model);
            attributes.push(KeyValue::new(name::OPERATION, self.operation));
            attributes.push(KeyValue::new(name::MODEL_ANSWERED, answered.to_string()));
        }
        if let End::Answered(cost) = end
            && cost.prompt_tokens > 0
        {
            attributes.push(KeyValue::new(name::INPUT_TOKENS, i64::from(cost.prompt_tokens)));
            attributes.push(KeyValue::new(name::OUTPUT_TOKENS, i64::from(cost.output_tokens)));
        }
        let status = match end.error() {
            Some(error) => {
                attributes.push(KeyValue::new(name::ERROR, error.clone()));
                Status::error(error)
            }
            None => Status::Ok,
        };
        let span = Some(self.span.span);
        let name = format!("{} {}", self.operation, self.matter.model);
        self.data(span, self.caused_by, SpanKind::Server, name, (self.begun, now), attributes, status)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a span, in the one place where one is made")]
    fn data(
        &self,
        span: Option<u64>,
        parent: Option<u64>,
        span_kind: SpanKind,
        name: String,
        (start_time, end_time): (SystemTime, SystemTime),
        mut attributes: Vec<KeyValue>,
        status: Status,
    ) -> SpanData {
        attributes.push(KeyValue::new(name::HERE, self.here.clone()));
        let id = |span: u64| SpanId::from_bytes(span.to_be_bytes());
        let trace = TraceId::from_bytes(self.span.trace.to_be_bytes());
        let own = id(span.unwrap_or_else(new_span));
        SpanData {
            span_context: SpanContext::new(trace, own, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent.map_or(SpanId::INVALID, id),
            parent_span_is_remote: span == Some(self.span.span) && parent.is_some(),
            span_kind,
            name: name.into(),
            start_time,
            end_time,
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("hither").build(),
        }
    }
}
