//! Order, keys, bounds, ends: on a directory of this machine.

use std::path::Path;

use super::*;

const SMALL: JobBounds = JobBounds { max: 4, max_bytes: 8_000, keep_ms: 24 * HOUR, app_share: 50 };

fn at(dir: &Path, bounds: JobBounds, hands: &Hands) -> Jobs {
    let secret = secret(&dir.join("jobs.key")).unwrap();
    let files = Files::new(Folder::open(&dir.join("jobs")).unwrap(), Seal::new(&secret));
    let (jobs, warnings) = Jobs::load(files, bounds, hands.clock()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    jobs
}

/// The files of jobs, without the space that is set aside.
fn names(dir: &Path) -> Vec<String> {
    let mut names = Folder::open(&dir.join("jobs")).unwrap().names().unwrap();
    names.retain(|name| name != files::RESERVE);
    names
}

fn lab() -> (tempfile::TempDir, Hands, Jobs) {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at_noon());
    let jobs = at(dir.path(), JobBounds::default(), &hands);
    (dir, hands, jobs)
}

#[test]
fn the_earliest_deadline_goes_first_then_the_oldest() {
    let (_dir, _, jobs) = lab();
    let hours = [5, 3, 4, 3];
    let ids: Vec<JobId> = hours
        .iter()
        .enumerate()
        .map(|(at, hours)| jobs.submit(job("ship", "m", *hours, &format!("{at}"))).unwrap().job.head.id)
        .collect();
    let order: Vec<JobId> = (0..4).map(|_| taken(&jobs).id).collect();
    assert_eq!(order, [ids[1], ids[3], ids[2], ids[0]]);
    waits(&jobs);
}

#[test]
fn what_nobody_can_serve_holds_back_its_like_alone_and_longer_each_time() {
    let (_dir, hands, jobs) = lab();
    let hit = jobs.submit(job("ship", "big", 2, "hit")).unwrap().job.head.id;
    jobs.submit(job("ship", "big", 3, "like it")).unwrap();
    let other = jobs.submit(job("ship", "small", 4, "other")).unwrap().job.head.id;
    let leased = taken(&jobs);
    assert_eq!(leased.id, hit);
    jobs.release(hit, leased.epoch, tried(503), Pause::Everyone(None));
    assert_eq!(taken(&jobs).id, other);
    assert_eq!(waits(&jobs), 1_000);
    let head = jobs.show(&own("ship"), hit).unwrap().head;
    assert_eq!((head.status, head.attempts, head.last.unwrap().status), (Status::Queued, 1, 503));
    for wait in [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        hands.later(60_000);
        let leased = taken(&jobs);
        jobs.release(leased.id, leased.epoch, tried(503), Pause::Everyone(None));
        assert_eq!(waits(&jobs), wait);
    }
    hands.later(60_000);
    let leased = taken(&jobs);
    jobs.release(leased.id, leased.epoch, tried(429), Pause::Everyone(Some(Duration::from_secs(90))));
    assert_eq!(jobs.show(&own("ship"), hit).unwrap().head.next.unwrap().0, hands.clock()().0 + 90_000);
    jobs.wake();
    assert_eq!(taken(&jobs).id, hit, "somebody came who may serve it");
}

#[test]
fn a_strike_holds_back_one_job_and_outlives_a_start() {
    let (dir, hands, jobs) = lab();
    let hit = jobs.submit(job("ship", "m", 2, "hit")).unwrap().job.head.id;
    let like = jobs.submit(job("ship", "m", 3, "like it")).unwrap().job.head.id;
    let leased = taken(&jobs);
    jobs.release(hit, leased.epoch, tried(451), Pause::Strike);
    assert_eq!(taken(&jobs).id, like);
    assert_eq!(waits(&jobs), 5_000);
    drop(jobs);
    let jobs = at(dir.path(), JobBounds::default(), &hands);
    let again = taken(&jobs);
    assert_eq!((again.id, again.strikes, again.epoch), (hit, 1, 2));
}

#[test]
fn one_result_is_committed_and_only_under_the_last_attempt() {
    let (_dir, _, jobs) = lab();
    let id = jobs.submit(job("ship", "m", 2, "x")).unwrap().job.head.id;
    let first = taken(&jobs);
    jobs.release(id, first.epoch, tried(504), Pause::Strike);
    let late = jobs.settle(id, first.epoch, End::Done(given("late")));
    assert!(matches!(late, Err(JobError::Late { epoch: 1, .. })), "{late:?}");
    assert!(!jobs.holds(id, first.epoch));
    jobs.index().put_back(id, |entry| entry.not_before = WallTime(0));
    let second = taken(&jobs);
    assert!(jobs.holds(id, second.epoch));
    jobs.release(id, first.epoch, tried(504), Pause::Strike);
    assert!(jobs.holds(id, second.epoch), "a late release changes nothing");
    jobs.settle(id, second.epoch, End::Done(given("the one"))).unwrap();
    for epoch in [first.epoch, second.epoch, second.epoch + 1] {
        assert!(jobs.settle(id, epoch, End::Failed(given("another"))).is_err());
    }
    let done = jobs.show(&own("ship"), id).unwrap();
    assert_eq!((done.head.status, done.given), (Status::Done, Some(given("the one"))));
    assert_eq!((done.head.attempts, done.metadata.as_deref()), (2, Some("{\"ticket\":7}")));
}

#[test]
fn of_many_threads_each_job_is_given_to_one() {
    let (_dir, _, jobs) = lab();
    for at in 0..40 {
        jobs.submit(job("ship", "m", 2, &format!("{at}"))).unwrap();
    }
    let jobs = Arc::new(jobs);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let jobs = Arc::clone(&jobs);
            std::thread::spawn(move || {
                let mut done = Vec::new();
                while let Next::Run(leased) = jobs.lease() {
                    jobs.settle(leased.id, leased.epoch, End::Done(given("x"))).unwrap();
                    done.push(leased.id);
                }
                done
            })
        })
        .collect();
    let mut all: Vec<JobId> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
}

#[test]
fn the_same_key_is_the_same_job_and_another_body_is_refused() {
    let (dir, hands, jobs) = lab();
    let named = |key: &str, text: &str| NewJob { key: Some(key.to_owned()), ..job("ship", "m", 2, text) };
    let first = jobs.submit(named("k1", "a")).unwrap();
    let id = first.job.head.id;
    assert!(!first.joined);
    let check = |jobs: &Jobs| {
        let again = jobs.submit(named("k1", "a")).unwrap();
        assert_eq!((again.joined, again.job.head.id), (true, id));
        let other = jobs.submit(named("k1", "b"));
        assert!(matches!(&other, Err(JobError::KeyReused(named)) if *named == id), "{other:?}");
    };
    check(&jobs);
    let elsewhere = jobs.submit(NewJob { app: app("drone"), ..named("k1", "b") }).unwrap();
    assert!(!elsewhere.joined, "a key means something to one app alone");
    let louder = NewJob { ask: Ask { headers: Vec::new(), ..named("k1", "a").ask }, ..named("k1", "a") };
    assert!(matches!(jobs.submit(louder), Err(JobError::KeyReused(_))), "the label is a part of it");
    jobs.cancel(&own("ship"), id).unwrap();
    check(&jobs);
    drop(jobs);
    let jobs = at(dir.path(), JobBounds::default(), &hands);
    check(&jobs);
    jobs.remove(&own("ship"), id).unwrap();
    assert!(!jobs.submit(named("k1", "b")).unwrap().joined, "a deleted job leaves its key free");
}

#[test]
fn without_a_key_the_same_submission_joins_what_lives_or_was_answered() {
    let (_dir, hands, jobs) = lab();
    let submit = || jobs.submit(job("ship", "m", 2, "same")).unwrap();
    let first = submit();
    assert_eq!((submit().joined, submit().job.head.id), (true, first.job.head.id));
    jobs.cancel(&own("ship"), first.job.head.id).unwrap();
    let second = submit();
    assert!(!second.joined, "one that was taken back is asked again");
    let leased = taken(&jobs);
    jobs.settle(leased.id, leased.epoch, End::Done(given("x"))).unwrap();
    let third = submit();
    assert_eq!((third.joined, third.job.head.id, third.job.given), (true, second.job.head.id, Some(given("x"))));
    hands.later(25 * HOUR);
    waits(&jobs);
    assert!(!submit().joined, "its result was kept long enough");
}

#[test]
fn an_app_sees_its_own_jobs_alone_and_an_operator_all() {
    let (_dir, _, jobs) = lab();
    let ship = jobs.submit(job("ship", "m", 2, "x")).unwrap().job.head.id;
    let drone = jobs.submit(job("drone", "m", 2, "x")).unwrap().job.head.id;
    assert!(matches!(jobs.show(&own("drone"), ship), Err(JobError::Unknown(_))));
    assert!(matches!(jobs.cancel(&own("drone"), ship), Err(JobError::Unknown(_))));
    assert!(matches!(jobs.remove(&own("drone"), ship), Err(JobError::Unknown(_))));
    let ids = |whose: &Whose, after, most| -> Vec<JobId> {
        jobs.list(whose, after, most).iter().map(|head| head.id).collect()
    };
    assert_eq!(ids(&own("drone"), None, 9), [drone]);
    assert_eq!(ids(&Whose::Everyone, None, 9), [drone, ship]);
    assert_eq!(ids(&Whose::Everyone, None, 1), [drone]);
    assert_eq!(ids(&Whose::Everyone, Some(drone), 9), [ship]);
}

#[test]
fn a_job_that_is_taken_back_or_overdue_ends_and_its_attempt_counts_no_more() {
    let (dir, hands, jobs) = lab();
    let back = jobs.submit(job("ship", "m", 2, "back")).unwrap().job.head.id;
    let late = jobs.submit(job("ship", "m", 3, "late")).unwrap().job.head.id;
    let (one, two) = (taken(&jobs), taken(&jobs));
    assert!(matches!(jobs.remove(&own("ship"), back), Err(JobError::NotEnded { .. })));
    assert_eq!(jobs.cancel(&own("ship"), back).unwrap().status, Status::Cancelled);
    assert!(!jobs.holds(back, one.epoch) && jobs.settle(back, one.epoch, End::Done(given("x"))).is_err());
    assert!(matches!(jobs.cancel(&own("ship"), back), Err(JobError::Ended { .. })));
    hands.later(3 * HOUR);
    waits(&jobs);
    assert!(!jobs.holds(late, two.epoch) && jobs.settle(late, two.epoch, End::Done(given("x"))).is_err());
    let jobs = at(dir.path(), JobBounds::default(), &hands);
    let status = |id| jobs.show(&own("ship"), id).unwrap().head.status;
    assert_eq!((status(back), status(late)), (Status::Cancelled, Status::Expired));
    hands.later(24 * HOUR);
    waits(&jobs);
    assert!(jobs.list(&Whose::Everyone, None, 9).is_empty());
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_full_store_refuses_and_what_ended_without_an_answer_makes_room() {
    let (dir, hands) = (tempfile::tempdir().unwrap(), Hands::at_noon());
    let jobs = at(dir.path(), SMALL, &hands);
    let submit = |name: &str, text: &str| jobs.submit(job(name, "m", 2, text)).map(|taken| taken.job.head.id);
    let first = submit("ship", "1").unwrap();
    submit("ship", "2").unwrap();
    let full = submit("ship", "3").unwrap_err();
    assert!(matches!(&full, JobError::Full(text) if text.contains("app ship has 2 jobs")), "{full}");
    submit("drone", "1").unwrap();
    jobs.cancel(&own("ship"), first).unwrap();
    submit("ship", "3").unwrap();
    assert!(matches!(jobs.show(&own("ship"), first), Err(JobError::Unknown(_))), "it made room");
    submit("drone", "2").unwrap();
    let full = submit("buoy", "1").unwrap_err();
    assert!(matches!(&full, JobError::Full(text) if text.contains("the node keeps 4 jobs")), "{full}");
    let leased = taken(&jobs);
    jobs.settle(leased.id, leased.epoch, End::Done(given("x"))).unwrap();
    assert!(submit("buoy", "1").is_err(), "an answer is kept until its time is over");
    assert_eq!(jobs.list(&Whose::Everyone, None, 9).len(), 4);
    let large = job("ship", "m", 2, &"x".repeat(9_000));
    assert!(matches!(jobs.submit(large), Err(JobError::Full(_))));
}

#[test]
fn nothing_of_it_is_readable_on_disk_and_nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _, jobs) = lab();
    let new = NewJob { metadata: Some(format!("{{\"note\":\"{CANARY}\"}}")), ..job("ship", "m", 2, "x") };
    jobs.submit(new).unwrap();
    jobs.submit(job("ship", "m", 3, "y")).unwrap();
    let leased = taken(&jobs);
    jobs.settle(leased.id, leased.epoch, End::Done(given("x"))).unwrap();
    let leased = taken(&jobs);
    let tried = Tried { message: CANARY.to_owned(), ..tried(503) };
    jobs.release(leased.id, leased.epoch, tried, Pause::Strike);
    let mut seen = Vec::new();
    for name in names(dir.path()) {
        let path = dir.path().join("jobs").join(name);
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "{}", path.display());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        seen.push(path.extension().unwrap().to_str().unwrap().to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["end", "job", "run"]);
    let key = std::fs::metadata(dir.path().join("jobs.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_key_file_that_is_no_key_stops_the_jobs_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("jobs.key"), "short").unwrap();
    let error = open(dir.path(), JobBounds::default()).err().unwrap();
    assert!(error.to_string().contains("jobs.key is damaged"), "{error}");
}
