//! A line in miniature: packets that wait for one another, and windows that look at how long.

use super::*;

const PACKET: u64 = 1_200;

/// How long the queue is when the line drops packets, which is when CUBIC has enough.
const DROPS: Duration = Duration::from_millis(50);

/// The way without a queue.
const WAY: Duration = Duration::from_millis(10);

/// A line, in bytes a second, that windows share; what does not fit waits.
struct Line {
    rate: f64,
    now: Instant,
    windows: Vec<Window>,
}

impl Line {
    fn new(rate: f64, windows: usize) -> Self {
        let now = Instant::now();
        Self { rate, now, windows: (0..windows).map(|_| Window::new(now)).collect() }
    }

    /// What each would have if it did not give way.
    fn others(&self) -> u64 {
        (self.rate * (WAY + DROPS).as_secs_f64()) as u64 / self.windows.len() as u64
    }

    fn sizes(&self) -> Vec<u64> {
        self.windows.iter().map(|window| window.of(self.others(), PACKET)).collect()
    }

    /// Lets so many round trips pass, beside so many bytes of others in the queue: how long the queue was at last, and which
    /// part of the line ours had.
    fn pass(&mut self, trips: usize, others: f64) -> (Duration, f64) {
        let mut last = (Duration::ZERO, 0.0);
        for _ in 0..trips {
            let ours: f64 = self.sizes().iter().map(|size| *size as f64).sum();
            let fits = self.rate * WAY.as_secs_f64();
            let queue = Duration::from_secs_f64((ours + others - fits).max(0.0) / self.rate);
            let rtt = WAY + queue;
            last = (queue, ours / (self.rate * rtt.as_secs_f64()));
            // In ten pieces, as acknowledgements come.
            let (sizes, others) = (self.sizes(), self.others());
            for _ in 0..10 {
                self.now += rtt / 10;
                for (window, size) in self.windows.iter_mut().zip(&sizes) {
                    window.acked(self.now, size / 10, (rtt, WAY), (others, PACKET));
                }
            }
        }
        last
    }

    /// As after a slow start that filled the queue.
    fn full(rate: f64, windows: usize) -> Self {
        let mut line = Self::new(rate, windows);
        line.now += WAY;
        for window in &mut line.windows {
            window.shortest.learn(line.now, (WAY, WAY));
            window.bytes = Some((rate * (WAY + DROPS).as_secs_f64()) as u64 / windows as u64);
        }
        line
    }
}

#[test]
fn a_free_line_is_filled_and_its_queue_stays_short() {
    for windows in [1, 2, 4] {
        for rate in [1e6, 12.5e6, 125e6] {
            let mut line = Line::full(rate, windows);
            line.pass(400, 0.0);
            for _ in 0..50 {
                let (queue, share) = line.pass(1, 0.0);
                assert!(queue <= TARGET * 3 / 2, "{windows} at {rate}: {queue:?}");
                assert!(share > 0.95, "{windows} at {rate}: {share}");
            }
        }
    }
}

#[test]
fn nothing_is_held_back_before_a_queue_was_too_long() {
    let mut line = Line::new(12.5e6, 1);
    let others = line.others();
    line.windows[0].shortest.learn(line.now, (WAY, WAY));
    for _ in 0..100 {
        line.now += WAY;
        line.windows[0].acked(line.now, 10 * PACKET, (WAY + TARGET, WAY), (others, PACKET));
    }
    assert_eq!(line.sizes(), [others]);
    line.windows[0].acked(line.now, 10 * PACKET, (WAY + TARGET * 2, WAY), (others, PACKET));
    assert_eq!(line.sizes(), [others / 2]);
}

#[test]
fn whoever_fills_the_queue_gets_the_line_and_gives_it_back() {
    let rate = 12.5e6;
    let mut line = Line::full(rate, 2);
    line.pass(200, 0.0);
    let full = rate * DROPS.as_secs_f64();
    let (_, share) = line.pass(20, full);
    assert!(share < 0.25, "{share}");
    assert_eq!(line.sizes(), [line.others() / LEFT; 2], "some of it is left");
    let least = Window { bytes: Some(0), ..line.windows[0].clone() };
    assert_eq!(least.of(PACKET * 5, PACKET), PACKETS_MIN * PACKET, "and two packets at least");
    let (queue, share) = line.pass(60, 0.0);
    assert!(share > 0.9 && queue <= TARGET * 3 / 2, "{share} {queue:?}");
}

#[test]
fn a_way_that_became_longer_is_known_after_ten_minutes() {
    let mut line = Line::full(12.5e6, 1);
    let (longer, others) = (WAY + TARGET * 2, line.others());
    let minutes = |line: &mut Line, minutes: u64| {
        for _ in 0..minutes * 60 {
            line.now += Duration::from_secs(1);
            line.windows[0].acked(line.now, PACKET, (longer, WAY), (others, PACKET));
        }
    };
    minutes(&mut line, 9);
    assert_eq!(line.sizes(), [others / LEFT], "it looks like a queue");
    minutes(&mut line, 3);
    assert!(line.sizes()[0] > others / LEFT, "{:?}", line.sizes());
    // Whoever said nothing for a day knows the way as it is now.
    line.now += Duration::from_secs(86_400);
    assert_eq!(line.windows[0].shortest.learn(line.now, (longer * 3, WAY)), longer * 3);
    let before = line.windows[0].shortest.since;
    line.windows[0].shortest.learn(line.now + Duration::from_secs(1), (longer, WAY));
    assert_eq!(line.windows[0].shortest.since, before);
}

#[test]
fn one_quick_packet_says_how_long_the_way_is_and_what_was_not_used_up_does_not_grow() {
    let mut line = Line::full(12.5e6, 1);
    let others = line.others();
    let mut window = Window { shortest: Shortest::new(line.now), ..line.windows.remove(0) };
    assert_eq!(window.shortest.learn(line.now, (WAY * 4, WAY)), WAY);
    let before = window.of(others, PACKET);
    line.now += WAY * 9;
    window.acked(line.now, 0, (WAY, WAY), (others, PACKET));
    assert_eq!(window.of(others, PACKET), before);
    window.acked(line.now, 0, (WAY + TARGET * 2, WAY), (others, PACKET));
    assert_eq!(window.of(others, PACKET), before / 2, "and shrinks all the same");
}

#[test]
fn a_loss_halves_the_window_once_for_a_round_trip() {
    let mut line = Line::full(12.5e6, 1);
    let (before, sent) = (line.sizes()[0], line.now);
    line.now += WAY;
    line.windows[0].lost(line.now, sent);
    line.windows[0].lost(line.now, sent);
    assert_eq!(line.sizes(), [before / 2]);
    let sent = line.now + Duration::from_millis(1);
    line.windows[0].lost(line.now + WAY, sent);
    assert_eq!(line.sizes(), [before / 4]);
}

#[test]
fn it_is_cubic_unless_it_gives_way_and_never_more_than_cubic() {
    let now = Instant::now();
    let polite = Arc::new(Factory(Requests::new())).build(now, PACKET as u16);
    let mut cubic = Arc::new(CubicConfig::default()).build(now, PACKET as u16);
    assert_eq!(polite.window(), cubic.window());
    let mut used = polite.clone_box().into_any().downcast::<Polite>().unwrap();
    used.window.bytes = Some(PACKET * 3);
    assert_eq!(used.window(), cubic.window());
    used.behind = true;
    assert_eq!((used.window(), used.metrics().congestion_window), (PACKET * 3, PACKET * 3));
    for _ in 0..3 {
        let later = now + Duration::from_secs(1);
        used.on_congestion_event(later, now, true, false, PACKET, 1);
        cubic.on_congestion_event(later, now, true, false, PACKET, 1);
        used.window.bytes = Some(u64::MAX);
        assert_eq!(used.window(), cubic.window());
    }
    // A copy is told, as a connection gives one.
    used.clone_box().into_any().downcast::<Polite>().unwrap().gives_way.store(true, Ordering::Relaxed);
    assert!(used.gives_way.load(Ordering::Relaxed));
}

#[test]
fn requests_are_under_way_until_a_second_after_the_last() {
    let requests = Requests::new();
    let now = Instant::now();
    assert!(!requests.are(now));
    let (one, other) = (requests.begin(), requests.begin());
    drop(one);
    assert!(requests.are(now + AFTER * 9), "one is under way");
    drop(other);
    assert!(requests.are(Instant::now()));
    assert!(!requests.are(Instant::now() + AFTER));
}
