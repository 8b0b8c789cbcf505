//! The queue of a link, on a clock that the tests turn.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What leaves until a moment: when, and the first byte.
fn drain(queue: &mut Queue, until: Duration) -> Vec<(Duration, u8)> {
    let mut left = Vec::new();
    while let Some(due) = queue.due().filter(|due| *due <= until) {
        left.push((due, queue.take(due).unwrap()[0]));
    }
    left
}

/// A thousand packets, one each millisecond, through a link.
fn thousand(seed: u64, shape: Shape) -> (Vec<(Duration, u8)>, Counts) {
    let mut queue = Queue::new(seed, shape);
    for number in 0..1000_u64 {
        queue.offer(Duration::from_millis(number), &[number as u8; 100]);
    }
    let left = drain(&mut queue, 100 * SECOND);
    (left, queue.counts)
}

#[test]
fn a_packet_leaves_after_the_delay_and_not_before() {
    let mut queue = Queue::new(1, Shape::delay_ms(40));
    queue.offer(SECOND, &[7]);
    assert_eq!(queue.due(), Some(Duration::from_millis(1040)));
    assert_eq!(queue.take(Duration::from_micros(1_039_999)), None);
    assert_eq!(queue.take(Duration::from_millis(1040)), Some(vec![7]));
    assert_eq!(queue.due(), None);
}

#[test]
fn losses_are_as_many_as_asked_and_the_same_for_a_seed() {
    let shape = Shape { loss_ppm: 50_000, ..Shape::default() };
    let (left, counts) = thousand(7, shape);
    assert_eq!((left.clone(), counts), thousand(7, shape));
    assert_ne!(left, thousand(8, shape).0);
    assert_eq!(counts.passed + counts.lost, 1000);
    assert!((30..=70).contains(&counts.lost), "{counts:?}");
    assert_eq!(thousand(7, Shape::default()).1.lost, 0);
    assert_eq!(thousand(7, Shape { loss_ppm: 1_000_000, ..shape }).1.lost, 1000);
}

#[test]
fn a_packets_luck_does_not_depend_on_what_is_done_with_others() {
    let shape = Shape { loss_ppm: 200_000, ..Shape::default() };
    let lost = |cut: bool| {
        let mut queue = Queue::new(3, Shape { cut, ..shape });
        queue.offer(SECOND, &[0]);
        queue.shape.cut = false;
        (1..200_u8).for_each(|number| queue.offer(SECOND, &[number]));
        drain(&mut queue, 9 * SECOND)
            .into_iter()
            .map(|(_, number)| number)
            .filter(|number| *number > 0)
            .collect::<Vec<_>>()
    };
    assert_eq!(lost(true), lost(false));
}

#[test]
fn the_rate_bounds_what_leaves_in_a_second_and_a_full_buffer_drops() {
    let shape = Shape { bits_per_s: Some(80_000), delay: Duration::ZERO, ..Shape::default() };
    let mut queue = Queue::new(1, shape);
    // Ten thousand bytes pass in a second: 100 packets of 100 bytes, and 20 wait in the buffer.
    for number in 0..1000_u64 {
        queue.offer(Duration::from_millis(number), &[0; 100]);
    }
    let left = drain(&mut queue, SECOND);
    assert!((99..=101).contains(&left.len()), "{}", left.len());
    assert!(left.windows(2).all(|pair| pair[1].0 - pair[0].0 == Duration::from_millis(10)));
    let rest = drain(&mut queue, 9 * SECOND).len();
    assert!((19..=22).contains(&rest), "{rest}");
    assert_eq!(queue.counts.dropped, 1000 - left.len() as u64 - rest as u64);
}

#[test]
fn jitter_keeps_the_order_unless_told_otherwise() {
    let shape = Shape { jitter: Duration::from_millis(20), ..Shape::default() };
    let ordered = |left: &[(Duration, u8)]| left.windows(2).all(|pair| pair[1].1 == pair[0].1.wrapping_add(1));
    let (kept, _) = thousand(5, shape);
    assert!(kept.len() == 1000 && ordered(&kept));
    let (mixed, _) = thousand(5, Shape { reorder: true, ..shape });
    assert!(mixed.len() == 1000 && !ordered(&mixed));
    let late = |(number, (due, _)): (u64, &(Duration, u8))| *due - Duration::from_millis(number);
    let spread: Vec<Duration> = (0..).zip(&kept).map(late).collect();
    assert!(spread.iter().all(|late| (5..=25).contains(&late.as_millis())), "{spread:?}");
}

#[test]
fn a_cut_link_and_a_narrow_one_pass_nothing_that_they_should_not() {
    let mut queue = Queue::new(1, Shape { swallow_above: 1280, ..Shape::default() });
    queue.offer(SECOND, &[1; 1281]);
    queue.offer(SECOND, &[2; 1280]);
    queue.shape.cut = true;
    queue.offer(SECOND, &[3; 10]);
    queue.shape.cut = false;
    queue.offer(SECOND, &[4; 10]);
    let left: Vec<u8> = drain(&mut queue, 9 * SECOND).into_iter().map(|(_, first)| first).collect();
    assert_eq!((left, queue.counts.dropped), (vec![2, 4], 2));
}
