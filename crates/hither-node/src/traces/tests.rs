//! Which spans a request leaves, and how they hang together.

use std::sync::Arc;

use hither_types::id::{AppName, Digest, MeshId, NodeId, Operator, RuleId, SiteName};
use hither_types::label::{DataClass, Label};
use hither_types::member::Roles;
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::request::{Priority, Quality, RequestKind};
use hither_types::time::WallTime;
use hither_types::unit::{ByteCount, Micros};
use opentelemetry_sdk::error::OTelSdkResult;

use super::*;
use crate::config::telemetry::CollectorPlace;

/// Keeps what is handed over.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Kept {
    pub(super) fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(super) fn member(number: u8, site: &str) -> Member {
    Member {
        node: NodeId([number; 32]),
        mesh: MeshId([7; 32]),
        site: SiteName::parse(site).unwrap(),
        jurisdiction: Jurisdiction::parse("FR").unwrap(),
        control: None,
        operator: Operator::parse("acme").unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(0),
        roles: Roles::ALL,
    }
}

fn node(number: u8, share: f64) -> (Traces, Kept) {
    let kept = Kept::default();
    let telemetry = Telemetry { otlp: "http://127.0.0.1:4317".to_owned(), share, place: CollectorPlace::Here };
    (Traces::to(Box::new(kept.clone()), &telemetry, &member(number, "paris")), kept)
}

/// A law under which what is known of a request may be seen where it is.
fn law() -> Policy {
    Policy::closed(Digest([0; 32]))
}

fn end(traces: &Traces, trace: &Trace, end: End<'_>) {
    assert_eq!(traces.end(&law(), trace, RequestId(1), end), None);
}

pub(super) fn envelope() -> Envelope {
    Envelope {
        app: AppName::parse("triage").unwrap(),
        model: ModelName::parse("fraud").unwrap(),
        label: Label { class: DataClass::Internal, tags: vec![], subjects: vec![], purpose: None },
        kind: RequestKind::Infer,
        size: ByteCount(4),
        priority: Priority::Normal,
        prefer: None,
        quality: Quality::Exact,
    }
}

fn route(attempt: u8, served_by: Member) -> Route {
    Route {
        attempt: Attempt(attempt),
        served_by,
        rule: RuleId::parse("local").unwrap(),
        instead: None,
        version: None,
        masked: Default::default(),
    }
}

const CALLER: TraceParent = TraceParent { trace: 7, span: 9, sampled: true };
const COST: Cost = Cost {
    queued: Micros(10),
    prefill: Micros(20),
    decode: Micros(30),
    prompt_tokens: 5,
    output_tokens: 6,
    answer: ByteCount(8),
    energy: hither_types::unit::Millijoules(0),
};

fn find<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}: {spans:?}"))
}

fn says(span: &SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|found| found.value.to_string())
}

#[test]
fn a_request_its_attempts_its_peer_and_their_engines_are_one_trace() {
    let ((paris, at_paris), (munich, at_munich)) = (node(1, 1.0), node(2, 1.0));
    let trace = paris.of_client("infer", &envelope(), Some(CALLER));
    trace.begin(Attempt(1));
    trace.route(&route(1, member(2, "munich")));
    let asked = munich.of_peer(&envelope(), trace.onwards(Attempt(1)), Some(&member(1, "paris")));
    end(&munich, &asked, End::Answered(&COST));
    trace.give_up(Attempt(1));
    trace.begin(Attempt(2));
    trace.route(&route(2, member(1, "paris")));
    end(&paris, &trace, End::Answered(&COST));

    let (here, there) = (at_paris.take(), at_munich.take());
    assert_eq!((here.len(), there.len()), (4, 2), "{here:?} {there:?}");
    for span in here.iter().chain(&there) {
        assert_eq!(span.span_context.trace_id(), TraceId::from_bytes(7_u128.to_be_bytes()), "{span:?}");
        assert!(span.start_time <= span.end_time);
    }
    let (whole, first, second) = (find(&here, "infer fraud"), find(&here, "attempt 1"), find(&here, "attempt 2"));
    assert_eq!(whole.parent_span_id, SpanId::from_bytes(9_u64.to_be_bytes()));
    assert!(whole.parent_span_is_remote && whole.span_kind == SpanKind::Server && whole.status == Status::Ok);
    assert_eq!(says(whole, name::INPUT_TOKENS).as_deref(), Some("5"));
    assert_eq!(says(whole, name::APP).as_deref(), Some("triage"));
    for attempt in [first, second] {
        assert_eq!(attempt.parent_span_id, whole.span_context.span_id());
    }
    assert_eq!((&first.span_kind, &second.span_kind), (&SpanKind::Client, &SpanKind::Internal));
    assert_eq!((says(first, name::SITE).as_deref(), &first.status), (Some("munich"), &Status::error("given up")));
    assert_eq!(find(&here, "engine fraud").parent_span_id, second.span_context.span_id());
    let served = find(&there, "serve fraud");
    assert_eq!(served.parent_span_id, first.span_context.span_id());
    assert_eq!(find(&there, "engine fraud").parent_span_id, served.span_context.span_id());
}

#[test]
fn how_a_request_ended_is_one_word() {
    let (paris, kept) = node(1, 1.0);
    let refusal = Refusal::Overloaded { retry_after: Micros(1) };
    for (ended, wanted) in [
        (End::Refused(&refusal), "Overloaded"),
        (End::Failed(&Failure::EngineLost), "EngineLost"),
        (End::Failed(&Failure::Engine("of a payload: zebra".into())), "Engine"),
        (End::Left, "ClientGone"),
    ] {
        let trace = paris.of_client("chat", &envelope(), None);
        end(&paris, &trace, ended);
        let spans = kept.take();
        assert_eq!(spans.len(), 1);
        assert_eq!(says(&spans[0], name::ERROR).as_deref(), Some(wanted));
        assert!(!format!("{spans:?}").contains("zebra"), "{spans:?}");
        assert_eq!((spans[0].parent_span_id, spans[0].parent_span_is_remote), (SpanId::INVALID, false));
    }
}

#[test]
fn who_began_a_trace_decides_whether_it_is_recorded() {
    let ((all, kept), (none, kept_none)) = (node(1, 1.0), node(2, 0.0));
    let quiet = TraceParent { sampled: false, ..CALLER };
    let trace = all.of_client("chat", &envelope(), Some(quiet));
    assert_eq!(trace.onwards(Attempt(1)), Some(quiet));
    end(&all, &trace, End::Left);
    // A peer that was told of no trace begins none.
    end(&all, &all.of_peer(&envelope(), None, None), End::Left);
    end(&none, &none.of_client("chat", &envelope(), None), End::Left);
    assert!(kept.take().is_empty() && kept_none.take().is_empty());
    end(&none, &none.of_client("chat", &envelope(), Some(CALLER)), End::Left);
    assert_eq!(kept_none.take().len(), 1);
}

#[test]
fn without_a_collector_the_trace_of_the_caller_goes_on() {
    let traces = Traces::start(None, &member(1, "paris")).unwrap();
    let trace = traces.of_client("chat", &envelope(), Some(CALLER));
    trace.begin(Attempt(1));
    assert_eq!(trace.onwards(Attempt(1)), Some(CALLER));
    end(&traces, &trace, End::Left);
}
