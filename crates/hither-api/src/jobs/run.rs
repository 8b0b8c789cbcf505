//! Runs jobs: a few at once, through the same router as any request, and decides what an answer means for the job.
//!
//! What must stay true: an answer or a final refusal ends the job, under the attempt that got it; everything else puts it
//! back. A node that stops ends no job.
//!
//! What is final: a request that is wrong stays wrong. Nobody who can serve it, no power, no time within this attempt, an
//! unknown model: that passes, and the job waits for it until its deadline. A refusal by law and a failed engine are
//! final when they repeat: right after a start the peers that the law allows may not have been heard yet, and an engine
//! may have failed over another request; but a law that says no three times says no, and a request that fails three
//! engines is not given a fourth.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use hither_types::message::ModelStage;
use hither_types::view::{PresenceView, View};
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use hyper::{HeaderMap, Method};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

use super::forms::said;
use super::submission::{may_rest, model_of};
use super::{Ask, End, Given, JobError, JobStore, Leased, Next, Pause, Tried, wall_now};
use crate::callers::{Caller, Callers};
use crate::door::Door;
use crate::errors::{Code, Problem};
use crate::labels;
use crate::limits::{BODY_BYTES, DRAIN, JOB_STRIKES, JOBS_AT_ONCE, JOBS_WAKE_EVERY, PATIENCE_MAX_MS};
use crate::respond::Form;
use crate::routes;
use crate::serve::stopped;

/// The way in for what was let in before.
#[derive(Clone)]
struct Inside {
    router: Router,
    callers: Arc<Callers>,
    door: Arc<dyn Door>,
}

/// What an answer means for its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the answer.
    Answer,
    /// It stays a no.
    Final,
    /// It may be another next time.
    Again(Pause),
}

/// Runs the jobs of the node behind a door until `stop` says true, then lets those end that run.
pub async fn run_jobs(door: Arc<dyn Door>, mut stop: watch::Receiver<bool>) {
    // Without a store there is nothing to run; whoever hands a job in is told why.
    let Ok(store) = door.jobs() else { return };
    let router = routes::inside(Arc::clone(&door), stop.clone());
    let inside = Inside { router, callers: door.callers(), door: Arc::clone(&door) };
    let (mut view, mut changed) = (door.view(), store.changed());
    let mut seen = outlook(&view.borrow_and_update());
    let mut look = tokio::time::interval(JOBS_WAKE_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    loop {
        changed.mark_unchanged();
        let wait = loop {
            if running.len() >= JOBS_AT_ONCE {
                break Duration::MAX;
            }
            match lease(&store).await {
                Some(Next::Run(leased)) => {
                    running.spawn(attempt(inside.clone(), Arc::clone(&store), *leased, stop.clone()))
                }
                Some(Next::Wait(wait)) => break wait,
                None => return,
            };
        };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(ended) = running.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "a job was not tried to its end; it is tried again when the node starts");
                }
            }
            told = changed.changed() => if told.is_err() { break },
            _ = look.tick() => {
                if differs(&mut view, &mut seen) {
                    store.wake();
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
    let ended = timeout(DRAIN, async { while running.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        debug!(jobs = running.len(), "jobs are cut off; they are tried again when the node starts");
    }
}

/// On a thread that may wait for a disk. `None`: the program is ending.
async fn lease(store: &Arc<dyn JobStore>) -> Option<Next> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || store.lease()).await.ok()
}

/// Whether another answer may be had than before: a node or a model came or went, or the law changed.
fn differs(view: &mut watch::Receiver<Arc<View>>, seen: &mut u64) -> bool {
    // Closed: the node is ending, and says so by `stop`.
    if !view.has_changed().unwrap_or(false) {
        return false;
    }
    let now = outlook(&view.borrow_and_update());
    std::mem::replace(seen, now) != now
}

/// What decides who could serve something: who is there, with which models, under which law and cap.
fn outlook(view: &View) -> u64 {
    let mut hasher = DefaultHasher::new();
    view.policy.hash(&mut hasher);
    for manifest in &view.models {
        (manifest.name.as_str(), manifest.digest).hash(&mut hasher);
    }
    for node in &view.nodes {
        let there = !matches!(node.presence, PresenceView::Gone(_));
        (node.member.node, there, node.cap.0).hash(&mut hasher);
        for held in &node.models {
            // A model that is loaded answers those that were told to wait while it was not.
            let stage: u8 = match held.stage {
                ModelStage::Stored => 1,
                ModelStage::Ready => 2,
                ModelStage::Fetching | ModelStage::Quarantined => 0,
            };
            (held.digest, stage).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Tries a job once and says what came of it.
async fn attempt(inside: Inside, store: Arc<dyn JobStore>, leased: Leased, stop: watch::Receiver<bool>) {
    let (id, epoch) = (leased.id, leased.epoch);
    let mut changed = store.changed();
    let given = tokio::select! {
        given = send(inside, &leased) => given,
        // Its app took it back. What was begun for it ends as for any client that leaves.
        () = taken_back(&mut changed, &*store, &leased) => return,
    };
    let verdict = verdict(&given, leased.strikes);
    if *stop.borrow() && verdict != Verdict::Answer {
        // The node ends and so does whatever it had begun; that says nothing of the job.
        return;
    }
    let settled = tokio::task::spawn_blocking(move || match verdict {
        Verdict::Answer => store.settle(id, epoch, End::Done(given)),
        Verdict::Final => store.settle(id, epoch, End::Failed(given)),
        Verdict::Again(pause) => {
            store.release(id, epoch, tried(&given), pause);
            Ok(())
        }
    });
    match settled.await {
        Ok(Ok(())) => {}
        Ok(Err(JobError::Late { .. })) => debug!(job = %id, epoch, "a late result is not counted"),
        Ok(Err(error)) => warn!(job = %id, %error, "a result cannot be kept; the job is tried again"),
        Err(error) => warn!(job = %id, %error, "a result is lost; the job is tried again when the node starts"),
    }
}

async fn taken_back(changed: &mut watch::Receiver<u64>, store: &dyn JobStore, leased: &Leased) {
    while store.holds(leased.id, leased.epoch) {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Asks, and reads the whole answer.
async fn send(Inside { router, callers, door }: Inside, leased: &Leased) -> Given {
    let Some(caller) = callers.named(&leased.app) else {
        let text = format!("the job was handed in by app {}, which is no app of this node any more", leased.app);
        return refused(leased, &Problem::new(Code::NotAllowed, text).help("hither apps ls"));
    };
    let request = match request(leased) {
        Ok(mut request) => {
            if let Err(problem) = may_still_rest(&*door, &caller, &request, &leased.ask) {
                return refused(leased, &problem);
            }
            request.extensions_mut().insert(caller);
            request
        }
        Err(error) => {
            let text = format!("the job cannot be asked as it was kept: {error}");
            return refused(leased, &Problem::new(Code::Malformed, text));
        }
    };
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(collected) => {
            Given { status: parts.status.as_u16(), headers: kept(&parts.headers), body: collected.to_bytes() }
        }
        Err(error) => {
            let text = format!("the answer is not kept: {error} (at most {BODY_BYTES} bytes)");
            refused(leased, &Problem::new(Code::TooLarge, text))
        }
    }
}

/// The law may be another one than when the job was handed in: what it does not let rest here any more is not kept.
fn may_still_rest(door: &dyn Door, caller: &Caller, request: &Request, ask: &Ask) -> Result<(), Problem> {
    let label = labels::label(request.headers(), caller, door)?;
    may_rest(door, caller.name(), model_of(ask).as_ref(), &label)
}

fn request(leased: &Leased) -> Result<Request, hyper::http::Error> {
    let left = leased.deadline.0.saturating_sub(wall_now().0).clamp(1, PATIENCE_MAX_MS);
    let mut request =
        Request::builder().method(Method::POST).uri(&leased.ask.url).header(CONTENT_TYPE, "application/json");
    let mut patience = left;
    for (name, value) in &leased.ask.headers {
        if name == "x-hither-timeout-ms" {
            patience = value.trim().parse().map_or(left, |own: u64| own.min(left));
        } else {
            request = request.header(name, value);
        }
    }
    request.header("x-hither-timeout-ms", patience).body(Body::from(leased.ask.body.clone()))
}

/// What of the headers belongs to the answer.
fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    const KEPT: [HeaderName; 4] = [
        CONTENT_TYPE,
        RETRY_AFTER,
        HeaderName::from_static("server-timing"),
        HeaderName::from_static("inference-header-content-length"),
    ];
    let belongs = |name: &HeaderName| KEPT.contains(name) || name.as_str().starts_with("x-hither-");
    let text = |(name, value): (&HeaderName, &hyper::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter(|(name, _)| belongs(name)).filter_map(text).collect()
}

fn refused(leased: &Leased, problem: &Problem) -> Given {
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-hither-code".to_owned(), problem.code.clone()),
    ];
    let body = Form::of(&leased.ask.url, &HeaderMap::new()).body(problem);
    Given { status: problem.status, headers, body: Bytes::from(body) }
}

/// What an answer means.
pub(super) fn verdict(given: &Given, strikes: u32) -> Verdict {
    let (code, _) = said(given);
    let is = |known: Code| code == known.as_str();
    let strike = if strikes + 1 >= JOB_STRIKES { Verdict::Final } else { Verdict::Again(Pause::Strike) };
    let wait = given.header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    match given.status {
        200..=299 => Verdict::Answer,
        // Somebody may add it.
        404 if is(Code::UnknownModel) => Verdict::Again(Pause::Everyone(None)),
        // Its entry may be published anew.
        410 if is(Code::ModelExpired) => Verdict::Again(Pause::Everyone(None)),
        // In quarantine: that ends by itself.
        500 if is(Code::ModelBroken) => Verdict::Again(Pause::Everyone(None)),
        // Of one app or one server: to others it may be open, so they do not wait for the next day with it.
        429 if is(Code::BudgetSpent) => Verdict::Again(Pause::Everyone(None)),
        503 if is(Code::Barred) => Verdict::Again(Pause::Everyone(None)),
        // It lies on this disk, and must not.
        451 if is(Code::NotKeptByLaw) => Verdict::Final,
        451 | 500 => strike,
        408 | 429 | 502..=504 => Verdict::Again(Pause::Everyone(wait)),
        _ => Verdict::Final,
    }
}

fn tried(given: &Given) -> Tried {
    let (code, message) = said(given);
    let request = given.header("x-hither-request").map(str::to_owned);
    Tried { at: wall_now(), status: given.status, code, message, request }
}
