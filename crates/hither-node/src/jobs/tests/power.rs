//! The power goes at each step of a job's life; files are cut at each length and changed at each byte; the disk is full.

use super::model::{Fate, Model};
use super::*;
use crate::limits::JOB_RESERVE_BYTES;

const SECRET: [u8; 32] = [9; 32];

fn opened(disk: &Model, hands: &Hands) -> (Jobs<Model>, Vec<String>) {
    let files = Files::new(disk.clone(), Seal::new(&SECRET));
    Jobs::load(files, JobBounds::default(), hands.clock()).unwrap()
}

/// What somebody was told before the power went.
#[derive(Debug, Default)]
struct Told {
    kept: Option<JobId>,
    answered: bool,
    removed: bool,
}

/// A whole life: handed in, tried in vain, tried again and answered, deleted. Ends where the power goes.
fn live(jobs: &Jobs<Model>, told: &mut Told) -> Result<(), JobError> {
    let id = jobs.submit(job("ship", "smollm2", 4, "life"))?.job.head.id;
    told.kept = Some(id);
    let first = taken(jobs);
    jobs.release(id, first.epoch, tried(503), Pause::Everyone(None));
    jobs.wake();
    let second = taken(jobs);
    assert_eq!((second.id, second.epoch), (id, 2));
    jobs.settle(id, second.epoch, End::Done(given("one")))?;
    told.answered = true;
    jobs.remove(&own("ship"), id)?;
    told.removed = true;
    Ok(())
}

/// The number of steps that change something, without a loss.
fn steps() -> usize {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let mut told = Told::default();
    let before = disk.steps();
    live(&jobs, &mut told).unwrap();
    assert!(told.removed && disk.files().is_empty());
    disk.steps() - before
}

#[test]
fn at_whichever_step_the_power_goes_what_was_told_stays_true() {
    let all = steps();
    assert!(all > 15, "{all} steps");
    for at in 0..=all {
        for lucky in [false, true] {
            let (disk, hands) = (Model::new(), Hands::at_noon());
            let (jobs, _) = opened(&disk, &hands);
            disk.fate(Fate::PowerAfter(disk.steps() + at));
            let mut told = Told::default();
            // Where the power goes a job may be out, with nothing that could be written of it.
            let _ = live(&jobs, &mut told);
            let after = disk.after_power(lucky);
            let (jobs, warnings) = opened(&after, &hands);
            let case = format!("step {at} of {all}, lucky {lucky}, told {told:?}");
            assert!(warnings.is_empty(), "{case}: {warnings:?}");
            assert!(after.files().keys().all(|name| !name.ends_with(".new")), "{case}: {:?}", after.files().keys());
            let heads = jobs.list(&own("ship"), None, 10);
            assert!(heads.len() <= 1, "{case}: {heads:?}");
            let Some(id) = told.kept else { continue };
            if told.removed {
                assert!(heads.is_empty(), "{case}: {heads:?}");
                continue;
            }
            let Some(head) = heads.first() else {
                // Deleting it was under way.
                assert!(told.answered, "{case}: an acknowledged job is gone");
                continue;
            };
            assert_eq!(head.id, id, "{case}");
            if told.answered {
                assert_eq!(head.status, Status::Done, "{case}");
            }
            finish(&jobs, id, &case);
        }
    }
}

/// Whatever state a job is in after a start, it gets one answer, and only one is on disk.
fn finish(jobs: &Jobs<Model>, id: JobId, case: &str) {
    if jobs.show(&own("ship"), id).unwrap().head.status == Status::Queued {
        let leased = taken(jobs);
        assert_eq!(leased.id, id, "{case}");
        jobs.settle(id, leased.epoch, End::Done(given("one"))).unwrap();
        let late = jobs.settle(id, leased.epoch, End::Done(given("two")));
        assert!(matches!(late, Err(JobError::Late { .. })), "{case}: {late:?}");
    }
    let job = jobs.show(&own("ship"), id).unwrap();
    assert_eq!((job.head.status, job.given), (Status::Done, Some(given("one"))), "{case}");
    let names: Vec<String> = jobs.files.disk().files().into_keys().collect();
    assert_eq!(names, [format!("{:032x}.end", id.0)], "{case}");
}

#[test]
fn a_job_that_ran_when_the_power_went_waits_again_and_counts_on() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let id = jobs.submit(job("ship", "smollm2", 4, "x")).unwrap().job.head.id;
    let before = taken(&jobs);
    let (jobs, _) = opened(&disk.after_power(false), &hands);
    let head = jobs.show(&own("ship"), id).unwrap().head;
    assert_eq!((head.status, head.attempts), (Status::Queued, 1));
    let again = taken(&jobs);
    assert_eq!((again.epoch, again.ask), (before.epoch + 1, before.ask));
}

#[test]
fn a_file_cut_or_changed_anywhere_is_put_aside_by_name_and_the_others_live() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let other = jobs.submit(job("ship", "smollm2", 5, "other")).unwrap().job.head.id;
    let hit = jobs.submit(job("ship", "smollm2", 4, "hit")).unwrap().job.head.id;
    let name = format!("{:032x}.job", hit.0);
    let whole = disk.files()[&name].clone();
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let flipped = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    let longer = std::iter::once([whole.clone(), vec![0]].concat());
    let mut seen = 0;
    for damaged in cut.chain(flipped).chain(longer) {
        let disk = disk.after_power(false);
        disk.replace(&name, damaged);
        let (jobs, warnings) = opened(&disk, &hands);
        assert!(warnings.len() == 1 && warnings[0].contains(&name), "{warnings:?}");
        let ids: Vec<JobId> = jobs.list(&Whose::Everyone, None, 10).iter().map(|head| head.id).collect();
        assert_eq!(ids, [other]);
        assert_eq!(taken(&jobs).id, other);
        assert!(disk.files().contains_key(&format!("{name}.damaged")));
        seen += 1;
    }
    assert_eq!(seen, 2 * whole.len() + 1);
}

#[test]
fn a_file_in_the_place_of_another_does_not_open() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let one = jobs.submit(job("ship", "smollm2", 4, "one")).unwrap().job.head.id;
    let two = jobs.submit(job("ship", "smollm2", 4, "two")).unwrap().job.head.id;
    let of = |id: JobId| format!("{:032x}.job", id.0);
    let swapped = disk.files()[&of(one)].clone();
    disk.replace(&of(two), swapped);
    let (jobs, warnings) = opened(&disk, &hands);
    assert!(warnings[0].contains(&of(two)), "{warnings:?}");
    assert_eq!(jobs.list(&Whose::Everyone, None, 10).len(), 1);
}

#[test]
fn a_damaged_result_is_put_aside_and_a_damaged_count_costs_the_count_alone() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let id = jobs.submit(job("ship", "smollm2", 4, "x")).unwrap().job.head.id;
    let leased = taken(&jobs);
    let run = format!("{:032x}.run", id.0);
    disk.replace(&run, vec![1, 2, 3]);
    let (again, warnings) = opened(&disk, &hands);
    assert!(warnings[0].contains(&run) && warnings[0].contains("the job goes on"), "{warnings:?}");
    assert_eq!(taken(&again).epoch, 1);
    jobs.settle(id, leased.epoch, End::Done(given("x"))).unwrap();
    let end = format!("{:032x}.end", id.0);
    let mut bytes = disk.files()[&end].clone();
    *bytes.last_mut().unwrap() ^= 1;
    disk.replace(&end, bytes);
    let (jobs, warnings) = opened(&disk, &hands);
    let lost = |text: &String| text.contains(&end) && text.contains("its result is lost");
    assert!(warnings.iter().any(lost), "{warnings:?}");
    assert!(matches!(jobs.show(&own("ship"), id), Err(JobError::Unknown(_))));
    let (_, warnings) = opened(&disk, &hands);
    assert!(warnings.iter().any(|text| text.contains(&end) && text.contains("put aside")), "{warnings:?}");
}

#[test]
fn a_full_disk_takes_no_job_leaves_nothing_and_loses_none() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let kept = jobs.submit(job("ship", "smollm2", 4, "kept")).unwrap().job.head.id;
    let before: Vec<String> = disk.files().into_keys().collect();
    disk.fate(Fate::Full);
    let refused = jobs.submit(job("ship", "smollm2", 4, "refused"));
    assert!(matches!(refused, Err(JobError::DiskFull(_))), "{refused:?}");
    assert_eq!(disk.files().into_keys().collect::<Vec<String>>(), before);
    // It runs; its answer cannot be kept, and it is told to nobody.
    let leased = taken(&jobs);
    let settled = jobs.settle(kept, leased.epoch, End::Done(given("x")));
    assert!(matches!(settled, Err(JobError::DiskFull(_))), "{settled:?}");
    assert_eq!(jobs.show(&own("ship"), kept).unwrap().head.status, Status::Queued);
    disk.fate(Fate::Fine);
    hands.later(61_000);
    let again = taken(&jobs);
    assert_eq!((again.id, again.epoch), (kept, 2));
    jobs.settle(kept, again.epoch, End::Done(given("x"))).unwrap();
    assert_eq!(jobs.show(&own("ship"), kept).unwrap().head.status, Status::Done);
}

#[test]
fn on_a_disk_that_is_full_to_the_last_byte_jobs_still_end() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    disk.fate(Fate::Room(JOB_RESERVE_BYTES + 60_000));
    let text = "x".repeat(5_000);
    let mut ids = Vec::new();
    let full = loop {
        match jobs.submit(job("ship", "smollm2", 4, &format!("{} {text}", ids.len()))) {
            Ok(taken) => ids.push(taken.job.head.id),
            Err(full) => break full,
        }
    };
    assert!(matches!(full, JobError::DiskFull(_)) && ids.len() > 8, "{full}");
    // To the last byte: even what is small does not fit beside the space set aside.
    let used: usize = disk.files().values().map(Vec::len).sum();
    disk.fate(Fate::Room(JOB_RESERVE_BYTES + used));
    assert_eq!(jobs.cancel(&own("ship"), ids[0]).unwrap().status, Status::Cancelled);
    for id in &ids[1..] {
        let leased = taken(&jobs);
        assert_eq!(leased.id, *id);
        jobs.settle(*id, leased.epoch, End::Done(given(&text))).unwrap();
    }
    // The ends took less than what they ended, so that space can be set aside again, and jobs be taken.
    ids.push(jobs.submit(job("ship", "smollm2", 4, "y")).unwrap().job.head.id);
    let (jobs, warnings) = opened(&disk.after_power(false), &hands);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(jobs.list(&own("ship"), None, 99).len(), ids.len());
}

#[test]
fn a_deadline_that_passes_on_a_full_disk_is_written_when_there_is_space() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    let id = jobs.submit(job("ship", "smollm2", 1, "x")).unwrap().job.head.id;
    disk.fate(Fate::Full);
    hands.later(HOUR);
    assert!(waits(&jobs) > 0, "it must not be tried after its deadline, nor at once again");
    disk.fate(Fate::Fine);
    assert!(waits(&jobs) > 0);
    assert_eq!(jobs.show(&own("ship"), id).unwrap().head.status, Status::Expired);
}

#[test]
fn another_key_opens_nothing_and_says_so_of_each() {
    let (disk, hands) = (Model::new(), Hands::at_noon());
    let (jobs, _) = opened(&disk, &hands);
    jobs.submit(job("ship", "smollm2", 4, "x")).unwrap();
    let files = Files::new(disk.clone(), Seal::new(&[1; 32]));
    let (jobs, warnings) = Jobs::load(files, JobBounds::default(), hands.clock()).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("another key"), "{warnings:?}");
    assert!(jobs.list(&Whose::Everyone, None, 10).is_empty());
}
