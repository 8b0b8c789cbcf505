//! Files and batches: the power goes at each step of a batch's life, and each line is in its output or among its errors
//! once; what is not the app's own, not in its form, too much or over is refused.

use std::collections::{BTreeMap, BTreeSet};

use hither_api::batches::{
    BatchId, BatchStatus, BatchStore, Desk, FileEnd, FileId, FilePurpose, KeptError, Moved, NewBatch, NewFile, turn,
};

use super::model::{Fate, Model};
use super::*;

const SECRET: [u8; 32] = [9; 32];
const CHAT: &str = "/v1/chat/completions";

fn bounded(disk: &Model, hands: &Hands, bounds: JobBounds) -> (Arc<Jobs<Model>>, Vec<String>) {
    let files = Files::new(disk.clone(), Seal::new(&SECRET));
    let (jobs, warnings) = Jobs::load(files, bounds, hands.clock()).unwrap();
    (Arc::new(jobs), warnings)
}

fn opened(disk: &Model, hands: &Hands) -> (Arc<Jobs<Model>>, Vec<String>) {
    bounded(disk, hands, JobBounds::default())
}

fn line(number: u32) -> String {
    format!(
        "{{\"custom_id\":\"line-{number}\",\"method\":\"POST\",\"url\":\"{CHAT}\",\
         \"body\":{{\"model\":\"smollm2\",\"messages\":[],\"seed\":{number},\"user\":\"{CANARY}\"}}}}\n"
    )
}

fn text(lines: u32) -> String {
    (0..lines).map(line).collect()
}

/// Sends a file in two parts that meet within a line.
fn send(jobs: &Arc<Jobs<Model>>, name: &str, text: &str) -> Result<FileId, KeptError> {
    let new = NewFile { app: app(name), class: DataClass::Internal };
    let mut upload = Arc::clone(jobs).create(new)?;
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    upload.part(first)?;
    upload.part(second)?;
    Ok(upload.finish(FileEnd { name: "lines.jsonl".to_owned(), purpose: FilePurpose::Batch, keep_ms: 24 * HOUR })?.id)
}

fn content(jobs: &Jobs<Model>, name: &str, id: FileId) -> String {
    let head = jobs.file(&app(name), id).unwrap();
    let parts: Vec<Bytes> = (0..head.parts).map(|number| jobs.part(id, number).unwrap()).collect();
    let whole = parts.concat();
    assert_eq!(whole.len() as u64, head.bytes);
    String::from_utf8(whole).unwrap()
}

fn new_batch(name: &str, input: FileId) -> NewBatch {
    NewBatch {
        app: app(name),
        input,
        endpoint: CHAT.to_owned(),
        window: "2h".to_owned(),
        deadline: WallTime(NOON + 2 * HOUR),
        class: DataClass::Internal,
        headers: vec![("x-hither-class".to_owned(), "internal".to_owned())],
        metadata: None,
        keep_ms: 24 * HOUR,
    }
}

/// The lines whose answers are on disk.
type Answered = BTreeSet<u32>;

/// Answers what is leased, each third line with a refusal that is final. Whether there was something. A line whose answer
/// is on disk is not asked again.
fn answer(jobs: &Jobs<Model>, answered: &mut Answered) -> bool {
    let Next::Run(leased) = jobs.lease() else { return false };
    let body = String::from_utf8(leased.ask.body.to_vec()).unwrap();
    let seed = body.split("\"seed\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    let number: u32 = seed.parse().unwrap();
    assert!(!answered.contains(&number), "line {number} is asked again");
    let is_wrong = number % 3 == 2;
    let answer = Given { status: if is_wrong { 400 } else { 200 }, ..given(&format!("of {seed}")) };
    let end = if is_wrong { End::Failed(answer) } else { End::Done(answer) };
    let is_kept = jobs.settle(leased.id, leased.epoch, end).is_ok();
    if is_kept {
        answered.insert(number);
    }
    is_kept
}

/// Works until the batch has ended, or nothing moves any more.
fn work(jobs: &Jobs<Model>, id: BatchId, answered: &mut Answered) -> Result<(), KeptError> {
    let mut desk = Desk::default();
    loop {
        match turn(jobs, id, &mut desk)? {
            Moved::Ended => return Ok(()),
            Moved::More => {}
            Moved::Waits if answer(jobs, answered) => while answer(jobs, answered) {},
            Moved::Waits => return Ok(()),
        }
    }
}

/// What came of each line, by its name: whether it is an answer, and its text.
fn outcome(jobs: &Jobs<Model>, name: &str, id: BatchId) -> BTreeMap<String, (bool, String)> {
    let batch = jobs.batch(&app(name), id).unwrap();
    let mut found = BTreeMap::new();
    for (file, written, is_answer) in
        [(batch.output, batch.progress.output, true), (batch.errors, batch.progress.errors, false)]
    {
        if written.parts == 0 {
            continue;
        }
        for line in content(jobs, name, file).lines() {
            let custom_id = line.split("\"custom_id\":\"").nth(1).unwrap().split('"').next().unwrap();
            let twice = found.insert(custom_id.to_owned(), (is_answer, line.to_owned()));
            assert!(twice.is_none(), "{custom_id} is there twice");
        }
    }
    found
}

/// Each line once, with its own answer.
fn check(jobs: &Jobs<Model>, id: BatchId, lines: u32, case: &str) {
    let batch = jobs.batch(&app("ship"), id).unwrap();
    assert_eq!(batch.progress.status(), BatchStatus::Completed, "{case}");
    let found = outcome(jobs, "ship", id);
    assert_eq!(found.len(), lines as usize, "{case}");
    for number in 0..lines {
        let (is_answer, text) = &found[&format!("line-{number}")];
        assert_eq!(*is_answer, number % 3 != 2, "{case}: {text}");
        assert!(text.contains(&format!("{CANARY} of {number}\"")), "{case}: {text}");
    }
    let wrong = (0..lines).filter(|number| number % 3 == 2).count() as u32;
    assert_eq!((batch.progress.completed, batch.progress.failed), (lines - wrong, wrong), "{case}");
    let left: Vec<String> = jobs.files.disk().files().into_keys().collect();
    let is_needless = |name: &&String| [".job", ".run", ".end", ".new"].iter().any(|end| name.ends_with(end));
    assert_eq!(left.iter().filter(is_needless).count(), 0, "{case}: {left:?}");
}

#[derive(Debug, Default)]
struct Told {
    file: Option<FileId>,
    batch: Option<BatchId>,
    answered: Answered,
    ended: bool,
}

/// A whole life. Ends where the power goes.
fn live(jobs: &Arc<Jobs<Model>>, lines: u32, told: &mut Told) -> Result<(), KeptError> {
    let file = send(jobs, "ship", &text(lines))?;
    told.file = Some(file);
    let id = jobs.begin(new_batch("ship", file))?.id;
    told.batch = Some(id);
    work(jobs, id, &mut told.answered)?;
    told.ended = jobs.batch(&app("ship"), id)?.progress.status().is_end();
    Ok(())
}

fn power_goes(lines: u32, stride: usize) {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let (mut told, before) = (Told::default(), disk.steps());
    live(&jobs, lines, &mut told).unwrap();
    let all = disk.steps() - before;
    assert!(told.ended && all > 10 * lines as usize, "{told:?}, {all} steps");
    check(&jobs, told.batch.unwrap(), lines, "without a loss");
    for at in (0..=all).step_by(stride) {
        for lucky in [false, true] {
            let (disk, hands) = (Model::new(), Hands::at_noon());
            let (jobs, _) = opened(&disk, &hands);
            disk.fate(Fate::PowerAfter(disk.steps() + at));
            let mut told = Told::default();
            // Where the power goes whatever was begun is left.
            let _ = live(&jobs, lines, &mut told);
            let after = disk.after_power(lucky);
            let (jobs, warnings) = opened(&after, &hands);
            let case = format!("step {at} of {all}, lucky {lucky}, told {told:?}");
            assert!(warnings.is_empty(), "{case}: {warnings:?}");
            if let Some(file) = told.file {
                assert_eq!(content(&jobs, "ship", file), text(lines), "{case}");
            }
            let batches = jobs.batches(&app("ship"), None, 9);
            assert!(batches.len() <= 1, "{case}");
            let Some(id) = told.batch.or(batches.first().map(|batch| batch.id)) else {
                let parts = after.files().into_keys().filter(|name| name.ends_with(".part")).count();
                let files = jobs.files(&app("ship"), None, 9).len();
                assert_eq!(parts, 2 * files, "{case}: parts of nothing are left");
                continue;
            };
            if told.ended {
                assert!(jobs.batch(&app("ship"), id).unwrap().progress.status().is_end(), "{case}");
            }
            work(&jobs, id, &mut told.answered).unwrap();
            // What is needless and was left by a loss of power is swept.
            while !matches!(jobs.lease(), Next::Wait(wait) if !wait.is_zero()) {}
            check(&jobs, id, lines, &case);
        }
    }
}

#[test]
fn at_whichever_step_the_power_goes_each_line_is_written_once() {
    power_goes(4, 1);
}

#[test]
fn so_it_is_where_a_batch_is_written_in_several_parts() {
    power_goes(70, 23);
}

#[test]
fn nothing_of_a_file_or_a_batch_is_readable_on_the_disk() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let mut told = Told::default();
    live(&jobs, 70, &mut told).unwrap();
    let files = disk.files();
    assert!(files.len() >= 6, "{:?}", files.keys());
    for (name, bytes) in files {
        let holds = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(!holds(CANARY) && !holds("line-1"), "{name}");
    }
}

#[test]
fn apps_see_their_own_and_lines_are_no_jobs_of_theirs() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let file = send(&jobs, "ship", &text(3)).unwrap();
    let id = jobs.begin(new_batch("ship", file)).unwrap().id;
    let mut desk = Desk::default();
    while turn(&*jobs, id, &mut desk).unwrap() == Moved::More {}
    assert!(jobs.files(&app("shore"), None, 9).is_empty() && jobs.batches(&app("shore"), None, 9).is_empty());
    assert!(matches!(jobs.file(&app("shore"), file), Err(KeptError::UnknownFile(_))));
    assert!(matches!(jobs.delete(&app("shore"), file), Err(KeptError::UnknownFile(_))));
    assert!(matches!(jobs.batch(&app("shore"), id), Err(KeptError::UnknownBatch(_))));
    assert!(matches!(jobs.take_back(&app("shore"), id), Err(KeptError::UnknownBatch(_))));
    assert!(matches!(jobs.begin(new_batch("shore", file)), Err(KeptError::UnknownFile(_))));
    assert!(matches!(jobs.delete(&app("ship"), file), Err(KeptError::InUse { .. })));
    assert!(jobs.list(&own("ship"), None, 9).is_empty());
    let all = jobs.list(&Whose::Everyone, None, 9);
    assert_eq!(all.len(), 3);
    assert!(matches!(jobs.cancel(&own("ship"), all[0].id), Err(JobError::Unknown(_))));
}

#[test]
fn wrong_lines_fail_the_batch_by_their_numbers_and_none_is_asked() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let wrong = [line(0), "\n".to_owned(), "nonsense\n".to_owned(), line(1), line(0)].concat();
    let file = send(&jobs, "ship", &wrong).unwrap();
    let id = jobs.begin(new_batch("ship", file)).unwrap().id;
    work(&jobs, id, &mut Answered::new()).unwrap();
    let (jobs, _) = opened(&disk.after_power(false), &hands);
    let progress = jobs.batch(&app("ship"), id).unwrap().progress;
    let faults: Vec<_> = progress.faults.iter().map(|fault| (fault.line, &*fault.code)).collect();
    assert_eq!(progress.status(), BatchStatus::Failed);
    assert_eq!(faults, [(Some(3), "invalid_json_line"), (Some(5), "duplicate_custom_id")]);
    assert!(jobs.list(&Whose::Everyone, None, 9).is_empty());
    let empty = send(&jobs, "ship", "\n \n").unwrap();
    let id = jobs.begin(new_batch("ship", empty)).unwrap().id;
    work(&jobs, id, &mut Answered::new()).unwrap();
    assert_eq!(jobs.batch(&app("ship"), id).unwrap().progress.faults[0].code, "empty_file");
}

#[test]
fn a_batch_taken_back_or_out_of_time_has_all_its_lines_too() {
    for (lines, is_late) in [(600, false), (600, true), (5, false), (5, true)] {
        let (disk, hands) = (Model::new(), Hands::at_noon());
        let (jobs, _) = opened(&disk, &hands);
        let file = send(&jobs, "ship", &text(lines)).unwrap();
        let id = jobs.begin(new_batch("ship", file)).unwrap().id;
        let mut desk = Desk::default();
        while turn(&*jobs, id, &mut desk).unwrap() == Moved::More {}
        // Two are answered, one runs, and of many the last are no jobs yet.
        let mut answered = Answered::new();
        assert!(answer(&jobs, &mut answered) && answer(&jobs, &mut answered));
        let _running = taken(&jobs);
        if is_late {
            hands.later(3 * HOUR);
            while matches!(jobs.lease(), Next::Wait(wait) if wait.is_zero()) {}
        } else {
            assert_eq!(jobs.take_back(&app("ship"), id).unwrap().progress.status(), BatchStatus::Cancelling);
        }
        let (jobs, _) = opened(&disk.after_power(false), &hands);
        while turn(&*jobs, id, &mut Desk::default()).unwrap() != Moved::Ended {
            let _swept = jobs.lease();
        }
        let end = if is_late { BatchStatus::Expired } else { BatchStatus::Cancelled };
        let batch = jobs.batch(&app("ship"), id).unwrap();
        assert_eq!(batch.progress.status(), end, "{lines}");
        let found = outcome(&jobs, "ship", id);
        assert_eq!(found.len(), lines as usize);
        assert_eq!(found.values().filter(|(is_answer, _)| *is_answer).count(), 2);
        let code = if is_late { "\"batch_expired\"" } else { "\"batch_cancelled\"" };
        assert!(found.values().all(|(is_answer, text)| *is_answer || text.contains(code)));
        assert!(matches!(jobs.take_back(&app("ship"), id), Err(KeptError::Ended { .. })));
    }
}

#[test]
fn a_full_store_takes_no_file_and_what_was_begun_of_it_is_gone() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let bounds = JobBounds { max_bytes: 8_000, app_share: 50, ..JobBounds::default() };
    let (jobs, _) = bounded(&disk, &hands, bounds);
    let kept = send(&jobs, "ship", &text(10)).unwrap();
    let full = send(&jobs, "ship", &text(30));
    assert!(matches!(full, Err(KeptError::Store(JobError::Full(_)))), "{full:?}");
    let names = || disk.files().into_keys().filter(|name| name.ends_with(".part")).count();
    assert_eq!(names(), 2);
    // Another app has its own share, and what is deleted is room again.
    send(&jobs, "shore", &text(10)).unwrap();
    jobs.delete(&app("ship"), kept).unwrap();
    send(&jobs, "ship", &text(15)).unwrap();
    assert_eq!(names(), 4);
}

#[test]
fn a_batch_larger_than_the_store_goes_through_it_a_piece_at_a_time() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let bounds = JobBounds { max: 24, app_share: 50, ..JobBounds::default() };
    let (jobs, _) = bounded(&disk, &hands, bounds);
    let file = send(&jobs, "ship", &text(100)).unwrap();
    let id = jobs.begin(new_batch("ship", file)).unwrap().id;
    work(&jobs, id, &mut Answered::new()).unwrap();
    check(&jobs, id, 100, "in pieces");
}

#[test]
fn files_expire_but_for_those_that_a_batch_reads() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let (used, free) = (send(&jobs, "ship", &text(2)).unwrap(), send(&jobs, "ship", &text(2)).unwrap());
    let new = NewBatch { deadline: WallTime(NOON + 48 * HOUR), ..new_batch("ship", used) };
    let id = jobs.begin(new).unwrap().id;
    hands.later(25 * HOUR);
    let _swept = jobs.lease();
    assert!(matches!(jobs.file(&app("ship"), free), Err(KeptError::UnknownFile(_))));
    work(&jobs, id, &mut Answered::new()).unwrap();
    check(&jobs, id, 2, "of a file that would have expired");
}
