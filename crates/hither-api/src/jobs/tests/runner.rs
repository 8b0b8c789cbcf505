//! What becomes of jobs: an answer, a refusal for good, another try.

use hither_engine::work::FinishReason;
use hither_types::message::ModelStage;
use hither_types::refusal::{Failure, InputFault, Refusal};
use hither_types::request::Priority;
use hither_types::unit::{Micros, Milliwatts};
use tokio::task::JoinHandle;

use super::*;
use crate::door::{Answer, Submission};
use crate::jobs::run::{Verdict, verdict};
use crate::jobs::{Given, run_jobs};
use crate::tests::fake::{done, end, example, routed, tokens, unlawful};

type Answers = Result<Vec<Answer>, Refusal>;

fn speaks(_: &Submission) -> Answers {
    Ok(vec![routed(), tokens(0, &[10], "Hello"), end(FinishReason::Stop, "!"), done()])
}

/// A node that runs jobs, with one handed in.
async fn runs(door: FakeDoor) -> (Lab, Arc<Kept>, JobId, JoinHandle<()>) {
    let (lab, kept) = lab_of(door, Listener::Tcp, Kept::default());
    let runner = tokio::spawn(run_jobs(Arc::clone(&lab.door) as _, lab.stop.subscribe()));
    let came = lab.send("POST /v1/jobs\nx-hither-purpose: triage", chat("")).await;
    let id = JobId::parse(came.json()["id"].as_str().unwrap()).unwrap();
    (lab, kept, id, runner)
}

async fn until(kept: &Kept, what: impl Fn(&State) -> bool) {
    let mut changed = kept.changed();
    while !what(&kept.state()) {
        tokio::time::timeout(Duration::from_secs(3600), changed.changed()).await.expect("it comes").unwrap();
    }
}

async fn ended(kept: &Kept, id: JobId) -> Job {
    until(kept, |state| state.jobs[&id].1.head.status.is_end()).await;
    kept.job(id)
}

#[tokio::test]
async fn a_job_is_answered_as_its_path_answers() {
    let (lab, kept, id, runner) = runs(FakeDoor::new(speaks)).await;
    let job = ended(&kept, id).await;
    let given = job.given.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&given.body).unwrap();
    assert_eq!((job.head.status, given.status), (Status::Done, 200));
    assert_eq!(body["choices"][0]["message"]["content"], "Hello!");
    assert_eq!(
        (given.header("x-hither-served-by"), given.header("x-hither-rule")),
        (Some("munich"), Some("eea-personal"))
    );
    let submissions = std::mem::take(&mut *lab.door.submissions.lock().unwrap());
    let envelope = &submissions[0].envelope;
    assert_eq!((envelope.priority, envelope.app.as_str()), (Priority::Low, "anonymous"));
    assert_eq!(envelope.label.purpose.as_ref().unwrap().as_str(), "triage");
    assert!(submissions[0].patience <= Micros::from_millis(3_600_000));
    lab.stop.send(true).unwrap();
    runner.await.unwrap();
}

#[tokio::test]
async fn what_passes_is_waited_for_and_what_stays_wrong_is_final() {
    let refusals: [(fn() -> Refusal, u16); 4] = [
        (|| Refusal::NoCapacity { tried: 0 }, 503),
        (|| Refusal::Overloaded { retry_after: Micros(7_000_000) }, 429),
        (|| Refusal::NoPower { cap: Milliwatts(1) }, 503),
        (|| Refusal::DeadlinePassed, 504),
    ];
    for (refusal, status) in refusals {
        let tries = std::sync::atomic::AtomicU32::new(0);
        let door = FakeDoor::new(move |submission| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0..5 => Err(refusal()),
            _ => speaks(submission),
        });
        let (_lab, kept, id, _runner) = runs(door).await;
        let job = ended(&kept, id).await;
        assert_eq!((job.head.status, job.head.attempts), (Status::Done, 6), "{:?}", refusal());
        let state = kept.state();
        assert!(state.released.iter().all(|(tried, _)| tried.status == status), "{:?}", state.released);
        let named = status == 429;
        let wait = Some(Duration::from_secs(7)).filter(|_| named);
        assert!(
            state.released.iter().all(|(_, pause)| matches!(pause, Pause::Everyone(said) if !named || *said == wait))
        );
    }
    let wrong = || Ok(vec![Answer::Failed(Failure::BadInput(InputFault::Other("it is wrong".to_owned())))]);
    let (_lab, kept, id, _runner) = runs(FakeDoor::new(move |_| wrong())).await;
    let job = ended(&kept, id).await;
    assert_eq!((job.head.status, job.head.attempts, job.given.unwrap().status), (Status::Failed, 1, 400));
}

#[tokio::test]
async fn a_law_that_says_no_three_times_says_no() {
    let (lab, kept, id, _runner) = runs(FakeDoor::new(|_| Err(unlawful()))).await;
    let job = ended(&kept, id).await;
    assert_eq!((job.head.status, job.head.attempts), (Status::Failed, 3));
    let result = lab.send(&format!("GET /v1/jobs/{id}/result"), "").await;
    assert_eq!((result.status, result.json()["error"]["rule"].as_str()), (451, Some("id-bank")));
    let told = lab.send(&format!("GET /v1/jobs/{id}"), "").await.json();
    assert_eq!((told["problem"]["status"].as_u64(), told["problem"]["code"].as_str()), (Some(451), Some("E0301")));
}

#[tokio::test]
async fn a_job_that_fails_engines_is_not_given_to_a_fourth() {
    let failed = || Ok(vec![routed(), Answer::Failed(Failure::Engine("it fell over".to_owned()))]);
    let (_lab, kept, id, _runner) = runs(FakeDoor::new(move |_| failed())).await;
    let job = ended(&kept, id).await;
    assert_eq!((job.head.status, job.head.attempts, job.given.unwrap().status), (Status::Failed, 3, 500));
}

#[tokio::test]
async fn a_job_that_is_taken_back_while_it_runs_cancels_its_request() {
    let (asked, mut was_asked) = watch::channel(false);
    let mut door = FakeDoor::new(move |_| {
        asked.send_replace(true);
        Ok(vec![routed()])
    });
    door.endless = true;
    let mut left = door.left.subscribe();
    let (lab, kept, id, _runner) = runs(door).await;
    was_asked.wait_for(|asked| *asked).await.unwrap();
    assert_eq!(lab.send(&format!("POST /v1/jobs/{id}/cancel"), "").await.status, 200);
    left.wait_for(|left| *left == 1).await.unwrap();
    assert_eq!(kept.job(id).head.status, Status::Cancelled);
}

#[tokio::test]
async fn a_few_run_at_once_and_the_rest_waits() {
    let (go, pause) = watch::channel(false);
    let mut door = FakeDoor::new(speaks);
    door.pause = Some((1, pause));
    let (lab, kept, _, _runner) = runs(door).await;
    for at in 0..9 {
        lab.send("POST /v1/jobs", chat(&format!(r#","metadata":{{"at":{at}}}"#))).await;
    }
    let running = |state: &State| state.jobs.values().filter(|(_, job)| job.head.status == Status::Running).count();
    until(&kept, |state| running(state) == 4).await;
    go.send(true).unwrap();
    let all_done = |state: &State| {
        assert!(running(state) <= 4);
        state.jobs.values().all(|(_, job)| job.head.status == Status::Done)
    };
    until(&kept, all_done).await;
    assert_eq!(kept.state().jobs.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_are_woken_when_the_mesh_changes_and_not_otherwise() {
    let (lab, kept, id, _runner) = runs(FakeDoor::new(speaks)).await;
    ended(&kept, id).await;
    let mut view = example();
    view.totals.requests += 1;
    lab.door.show(view.clone());
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(kept.state().woken, 0, "a count is no reason");
    view.nodes[1].presence = hither_types::view::PresenceView::Gone(None);
    lab.door.show(view.clone());
    until(&kept, |state| state.woken == 1).await;
    view.models.pop();
    lab.door.show(view.clone());
    until(&kept, |state| state.woken == 2).await;
    // A file that came is tried while it is loaded, and answers when it is ready.
    view.nodes[0].models[0].stage = ModelStage::Ready;
    lab.door.show(view.clone());
    tokio::time::advance(Duration::from_secs(2)).await;
    let before = kept.state().woken;
    for (woken, stage) in [(1, ModelStage::Fetching), (2, ModelStage::Stored), (3, ModelStage::Ready)] {
        let woken = before + woken;
        view.nodes[0].models[0].stage = stage;
        lab.door.show(view.clone());
        until(&kept, |state| state.woken == woken).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_ends_no_job() {
    let (go, pause) = watch::channel(false);
    let mut door = FakeDoor::new(|_| Ok(vec![routed(), Answer::Refused(Refusal::Stopping)]));
    door.pause = Some((1, pause));
    let (lab, kept, id, runner) = runs(door).await;
    until(&kept, |state| state.jobs[&id].1.head.status == Status::Running).await;
    lab.stop.send(true).unwrap();
    go.send(true).unwrap();
    runner.await.unwrap();
    assert!(kept.state().released.is_empty());
    assert_eq!(kept.job(id).head.status, Status::Running, "as it was: at the next start it waits again");
}

#[test]
fn each_answer_has_one_meaning() {
    let given = |status: u16, code: &str| {
        let body = format!(r#"{{"error":{{"message":"m","code":"c","hither_code":"{code}"}}}}"#);
        Given { status, headers: Vec::new(), body: body.into() }
    };
    let everyone = Verdict::Again(Pause::Everyone(None));
    let strike = Verdict::Again(Pause::Strike);
    for (status, code, first, third) in [
        (200, "", Verdict::Answer, Verdict::Answer),
        (400, "E0601", Verdict::Final, Verdict::Final),
        (400, "E0303", Verdict::Final, Verdict::Final),
        (403, "E0117", Verdict::Final, Verdict::Final),
        (404, "E0401", everyone, everyone),
        (404, "E0402", Verdict::Final, Verdict::Final),
        (408, "E0609", everyone, everyone),
        (410, "E0411", everyone, everyone),
        (410, "E0000", Verdict::Final, Verdict::Final),
        (413, "E0606", Verdict::Final, Verdict::Final),
        (422, "E0000", Verdict::Final, Verdict::Final),
        (429, "E0501", everyone, everyone),
        (451, "E0301", strike, Verdict::Final),
        (500, "E0405", everyone, everyone),
        (500, "E0508", strike, Verdict::Final),
        (503, "E0503", everyone, everyone),
        (503, "E0512", everyone, everyone),
        (504, "E0504", everyone, everyone),
    ] {
        assert_eq!(
            (verdict(&given(status, code), 0), verdict(&given(status, code), 2)),
            (first, third),
            "{status} {code}"
        );
    }
    let barred = Given { headers: vec![("retry-after".to_owned(), "3600".to_owned())], ..given(503, "E0512") };
    assert_eq!(verdict(&barred, 0), everyone, "of one server, and it may come back before");
    let inference = Given {
        status: 404,
        headers: Vec::new(),
        body: bytes::Bytes::from_static(b"{\"error\":\"nobody has it [E0401]\",\"code\":\"E0401\"}"),
    };
    assert_eq!(verdict(&inference, 0), everyone);
    let ollama = Given {
        status: 404,
        headers: vec![("x-hither-code".to_owned(), "E0401".to_owned())],
        body: bytes::Bytes::from_static(b"{\"error\":\"nobody has it [E0401]\"}"),
    };
    assert_eq!(verdict(&ollama, 0), everyone);
}
