//! What the kernel writes, read.

use super::*;

const STAT: &str =
    "cpu  100 0 50 700 50 10 20 70 9 9\ncpu0 50 0 25 350 25 5 10 35 9 9\ncpu1 50 0 25 350 25 5 10 35 9 9\nintr 5\n";

#[test]
fn a_machine_has_processors_that_are_idle_for_a_part_of_the_time() {
    let times = Times::of_machine(STAT).unwrap();
    assert_eq!((times.all, times.idle, times.processors), (1000, 750, 2));
    let used = Times { nodes: 100, ..times }.since(&Times::default());
    assert_eq!((&used.json()["busy"], &used.json()["nodes"]), (&json!(0.5), &json!(0.2)));
    assert!(Times::of_machine("nothing").is_none());
}

#[test]
fn a_process_is_read_whatever_it_is_called() {
    let process = Process::parse("17 (a (b) c) S 4 17 17 0 -1 0 1 0 0 0 30 12 0 0 20 0 1 0").unwrap();
    assert_eq!((process.parent, process.ticks), (4, 42));
    assert!(Process::parse("17").is_none());
}

#[test]
fn this_machine_can_be_read() {
    let times = Times::read(&[]).unwrap();
    assert!(times.processors > 0 && times.all >= times.idle && times.nodes == 0);
}
