//! What others do when asked for more than they can do (overload.md, section 2): one pool of slots, one queue, first
//! come, first served, clients with a timeout, and a pulse of load.
//!
//! Nothing is reordered and nothing that waits is taken out, so when an attempt starts is known when it comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::latency::Window;
use crate::mesh::Arrival;
use crate::queue::Queue;

/// Success counts in seconds of this many microseconds.
const SECOND: u64 = 1_000_000;

/// Recovery: so many of a thousand succeed, for so many seconds.
const RECOVERED_PERMILLE: u64 = 980;
const RECOVERED_SECONDS: usize = 5;

/// A retry budget holds what so many retries cost, at most.
const BUDGET_MAX: u64 = 100 * RETRY_COST;

/// What a retry costs, in thousandths of a request.
const RETRY_COST: u64 = 1000;

/// How clients and the pool behave. A client gives up when the deadline of an attempt has passed; the pool does not
/// learn of it, unless it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Clients try once.
    Once,
    /// Clients try so many times more.
    Retries(u32),
    /// The same, while all retries together are below so many per mille of the requests.
    Budget { retries: u32, permille: u64 },
    /// The pool refuses what would not be done in time if it took `service` microseconds, after the true wait.
    Fits { service: u64 },
    /// The pool refuses what would wait longer than so many per mille of its deadline, and stops what has passed it.
    Capped { permille: u64 },
}

/// What clients saw of a pulse.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    /// By the second in which requests came: how many, and how many of them were answered in time.
    pub seconds: Vec<(u64, u64)>,
    /// Of the requests of the pulse: answered in time, over what the pool can do in that time.
    pub goodput: f64,
    /// From the end of the pulse until 98 % succeed for 5 s, in seconds; none if not before the arrivals end.
    pub recovery: Option<u64>,
    /// Attempts over requests.
    pub amplification: f64,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Comes(Arrival),
    /// The client of an attempt gives up, after so many before it.
    GivesUp(Arrival, u32),
}

/// Sends arrivals that come in order of time to a pool of equal slots of speed 1000. The pulse is where goodput is
/// measured, and after which recovery is; that arrivals are more then is up to them.
pub(crate) fn run(manner: Manner, slots: usize, pulse: Window, mut arrivals: impl Iterator<Item = Arrival>) -> Course {
    let mut pool = Pool { manner, free: (0..slots).map(|_| Reverse(0)).collect(), budget: BUDGET_MAX };
    let mut events = Queue::new();
    let mut expect = |events: &mut Queue<Event>| {
        let next = arrivals.next();
        next.into_iter().for_each(|arrival| events.push(arrival.at, Event::Comes(arrival)));
    };
    let mut seconds: Vec<(u64, u64)> = Vec::new();
    let (mut attempts, mut requests, mut work) = (0_u64, 0_u64, 0_u128);
    expect(&mut events);
    while let Some((now, event)) = events.pop() {
        let (request, tried) = match event {
            Event::Comes(arrival) => {
                expect(&mut events);
                let second = (now / SECOND) as usize;
                seconds.resize(seconds.len().max(second + 1), (0, 0));
                seconds[second].0 += 1;
                requests += 1;
                work += u128::from(arrival.work);
                pool.earn();
                (arrival, 0)
            }
            Event::GivesUp(arrival, tried) if pool.tries_again(tried) => (arrival, tried + 1),
            Event::GivesUp(..) => continue,
        };
        attempts += 1;
        match pool.serve(now, &request) {
            End::InTime => seconds[(request.at / SECOND) as usize].1 += 1,
            End::Late => events.push(now + request.deadline, Event::GivesUp(request, tried)),
            End::Refused => {}
        }
    }
    let able = (pulse.to - pulse.from) as f64 * slots as f64 * requests.max(1) as f64 / work.max(1) as f64;
    let [from, to] = [pulse.from, pulse.to].map(|at| ((at / SECOND) as usize).min(seconds.len()));
    let good: u64 = seconds[from..to].iter().map(|(_, good)| good).sum();
    Course {
        goodput: good as f64 / able,
        recovery: recovery(&seconds[to..]),
        amplification: attempts as f64 / requests.max(1) as f64,
        seconds,
    }
}

#[derive(Debug)]
struct Pool {
    manner: Manner,
    /// When each slot is free.
    free: BinaryHeap<Reverse<u64>>,
    /// What retries may cost.
    budget: u64,
}

enum End {
    InTime,
    Late,
    Refused,
}

impl Pool {
    fn earn(&mut self) {
        if let Manner::Budget { permille, .. } = self.manner {
            self.budget = (self.budget + permille).min(BUDGET_MAX);
        }
    }

    fn tries_again(&mut self, tried: u32) -> bool {
        match self.manner {
            Manner::Once | Manner::Fits { .. } | Manner::Capped { .. } => false,
            Manner::Retries(retries) => tried < retries,
            Manner::Budget { retries, .. } => {
                let may = tried < retries && self.budget >= RETRY_COST;
                self.budget -= if may { RETRY_COST } else { 0 };
                may
            }
        }
    }

    /// What becomes of an attempt that comes now.
    fn serve(&mut self, now: u64, request: &Arrival) -> End {
        let Some(mut first) = self.free.peek_mut() else { return End::Refused };
        let start = first.0.max(now);
        let late = now + request.deadline;
        let end = match self.manner {
            Manner::Once | Manner::Retries(_) | Manner::Budget { .. } => start + request.work,
            Manner::Fits { service } if start + service < late => start + request.work,
            Manner::Capped { permille } if start - now <= request.deadline * permille / 1000 => {
                (start + request.work).min(late + 1)
            }
            Manner::Fits { .. } | Manner::Capped { .. } => return End::Refused,
        };
        *first = Reverse(end);
        if end <= late { End::InTime } else { End::Late }
    }
}

/// The first second from which so many succeed for so long. A second in which nothing came is no success.
fn recovery(seconds: &[(u64, u64)]) -> Option<u64> {
    let is_well = |stretch: &[(u64, u64)]| {
        let (came, good) = stretch.iter().fold((0, 0), |sum, second| (sum.0 + second.0, sum.1 + second.1));
        came > 0 && good * 1000 >= came * RECOVERED_PERMILLE
    };
    seconds.windows(RECOVERED_SECONDS).position(is_well).map(|second| second as u64)
}
