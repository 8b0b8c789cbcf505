//! Slots, watts, and the order of the queue.

use hither_types::id::Task;
use hither_types::model::Device;
use hither_types::request::{Cost, Priority};
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Milliwatts};

use super::{Hold, Job, Scheduler, Waiting};
use crate::LocalModel;
use crate::power::Power;
use crate::tests::{CHAT, FRAUD, own};

/// 10 W idle; `fraud` takes 10 W a slot, `chat` 50 W.
fn scheduler(cap_watts: u64) -> Scheduler {
    let mut scheduler = Scheduler::new(Power::new(Milliwatts::from_watts(cap_watts), Milliwatts::from_watts(10)));
    let model = |digest, slots, watts| LocalModel {
        digest,
        slots,
        slot_power: Milliwatts::from_watts(watts),
        memory: None,
        device: Device::Cpu,
    };
    scheduler.ready(model(FRAUD, 3, 10));
    scheduler.ready(model(CHAT, 2, 50));
    scheduler
}

fn work(task: Task, digest: hither_types::id::Digest, priority: Priority) -> Waiting {
    Waiting { job: Job::Own(task.request), digest, priority, not_before: Timestamp(0) }
}

fn start(scheduler: &mut Scheduler, request: u128, digest: hither_types::id::Digest, priority: Priority) {
    let task = own(request, 1);
    scheduler.start(task, work(task, digest, priority), Timestamp(0));
}

#[test]
fn the_slots_of_a_model_shrink_as_others_use_the_watts() {
    let mut scheduler = scheduler(80);
    assert_eq!((scheduler.slots(FRAUD), scheduler.slots(CHAT)), (3, 1));
    start(&mut scheduler, 1, CHAT, Priority::Normal);
    assert_eq!((scheduler.slots(FRAUD), scheduler.slots(CHAT)), (2, 1));
    start(&mut scheduler, 2, FRAUD, Priority::Normal);
    start(&mut scheduler, 3, FRAUD, Priority::Normal);
    assert_eq!(scheduler.hold(FRAUD, Priority::Critical), Some(Hold::Power));
    assert_eq!(scheduler.power().now(), Milliwatts::from_watts(80));
}

#[test]
fn a_lower_priority_does_not_take_the_watts_that_a_higher_one_waits_for() {
    let mut scheduler = scheduler(80);
    start(&mut scheduler, 1, CHAT, Priority::Normal);
    scheduler.enqueue(work(own(2, 1), CHAT, Priority::Critical));
    scheduler.enqueue(work(own(3, 1), FRAUD, Priority::Normal));
    assert_eq!(scheduler.next_start(Timestamp(0)), None);
    scheduler.end(own(1, 1), Timestamp(1));
    assert_eq!(scheduler.next_start(Timestamp(0)).map(|next| next.job), Some(Job::Own(own(2, 1).request)));
}

#[test]
fn another_model_overtakes_one_whose_slots_are_full() {
    let mut scheduler = scheduler(1000);
    start(&mut scheduler, 1, CHAT, Priority::Normal);
    start(&mut scheduler, 2, CHAT, Priority::Normal);
    scheduler.enqueue(work(own(3, 1), CHAT, Priority::Normal));
    scheduler.enqueue(work(own(4, 1), FRAUD, Priority::Normal));
    assert_eq!(scheduler.next_start(Timestamp(0)).map(|next| next.job), Some(Job::Own(own(4, 1).request)));
}

#[test]
fn a_cap_of_nothing_is_a_wait_without_end() {
    let mut scheduler = scheduler(100);
    scheduler.set_cap(Milliwatts(0));
    assert_eq!(scheduler.wait(FRAUD, Priority::Normal, Timestamp(0)), None);
    assert_eq!(scheduler.slots(FRAUD), 0);
}

#[test]
fn the_wait_follows_what_answers_took() {
    let mut scheduler = scheduler(1000);
    for request in 1..=3 {
        start(&mut scheduler, request, FRAUD, Priority::Normal);
    }
    scheduler.observe(FRAUD, Cost { prefill: Micros(100), decode: Micros(500), ..Cost::default() });
    assert_eq!(scheduler.wait(FRAUD, Priority::Normal, Timestamp(0)), Some(Micros(200)));
    scheduler.enqueue(work(own(4, 1), FRAUD, Priority::Normal));
    assert_eq!(scheduler.wait(FRAUD, Priority::Normal, Timestamp(0)), Some(Micros(400)));
    assert_eq!(scheduler.wait(FRAUD, Priority::Critical, Timestamp(0)), Some(Micros(200)));
}

#[test]
fn energy_is_the_power_of_a_slot_over_its_busy_time() {
    let mut scheduler = scheduler(1000);
    start(&mut scheduler, 1, CHAT, Priority::Normal);
    let (_, energy) = scheduler.end(own(1, 1), Timestamp(2_000_000)).unwrap();
    assert_eq!(energy.0, 100_000);
    assert_eq!(scheduler.power().now(), Milliwatts::from_watts(10));
}

#[test]
fn what_waits_for_watts_waits_less_where_peers_take_it() {
    let mut scheduler = scheduler(60);
    scheduler.observe(CHAT, Cost { decode: Micros::from_millis(1000), ..Cost::default() });
    start(&mut scheduler, 1, CHAT, Priority::Normal);
    (2..=9).for_each(|request| {
        scheduler.enqueue(work(own(request, 1), FRAUD, Priority::Normal));
    });
    assert_eq!(scheduler.hold(FRAUD, Priority::Normal), Some(Hold::Power));
    let wait = |scheduler: &Scheduler, at| scheduler.wait(FRAUD, Priority::Normal, Timestamp(at));
    assert_eq!(wait(&scheduler, 0), Some(Micros::from_millis(9_000)));
    for (request, at) in [(2, 10_000), (3, 20_000)] {
        scheduler.dequeue(Job::Own(own(request, 1).request));
        scheduler.drained(FRAUD, Timestamp(at));
    }
    assert_eq!(wait(&scheduler, 20_000), Some(Micros::from_millis(70)));
}
