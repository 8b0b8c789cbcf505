//! Models on their way to where they are asked for: [`hither_core::placement`] on every node, one stream of requests, and
//! nothing else of the mesh. Beside it the same requests under an [`oracle`] that knows them all.
//!
//! A request goes to the node with its model and a free slot from which the answer comes first, and waits if there is none:
//! how routing finds such a node is measured elsewhere. Nodes hear of each other 5 s late; a model that is fetched takes the time that
//! a file takes from the nearest holder's line, and that its engine takes to open it.

use std::collections::VecDeque;

use hither_core::placement::{Demand, Planner, Step};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Eighths, Micros};

use crate::chance::Chance;
use crate::queue::Queue;

mod oracle;
mod seen;
#[cfg(test)]
mod tests;
mod town;

use oracle::{Oracle, WINDOW};
use seen::{Seen, Word};
pub(crate) use town::{Crowd, Setting};
use town::{FASTEST, Request, SECOND, Town, Trace, at};

/// How old the news of others is, in seconds.
const LATE: u64 = 5;
/// How often a node decides and tells, in seconds.
const EVERY: u64 = 5;
/// How long a request waits before it is refused, in seconds.
const PATIENCE: u64 = 10;
/// The seconds of one slice of the figures.
pub(crate) const SLICE: u64 = 10;

/// Who places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Every node for itself.
    Planned,
    /// Somebody who knows what will come.
    Oracle,
    /// Nobody: what was there at first stays.
    Still,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Served without waiting for anything.
    pub(crate) at_once: u64,
    /// Had to wait, though a copy was open somewhere.
    pub(crate) for_slot: u64,
    /// Had to wait, for there was no copy that the law allowed.
    pub(crate) for_load: u64,
    /// Waited in vain.
    pub(crate) refused: u64,
    /// Microseconds that answers took, waiting and way included.
    pub(crate) took: u64,
    /// … of which the way.
    pub(crate) way: u64,
    pub(crate) evictions: u64,
    /// Evictions of a copy that was the only one in its jurisdiction.
    pub(crate) last: u64,
    /// Decisions that found no room for what should have come.
    pub(crate) no_room: u64,
    /// Requests, and those served at once, by slices of [`SLICE`], from the beginning.
    pub(crate) slices: Vec<(u64, u64)>,
    /// Models that were fetched, by slices.
    pub(crate) moves: Vec<u64>,
    /// What fetched models took to come and be opened, in microseconds, and how many there were.
    pub(crate) loads: (u64, u64),
    /// Copies at the end, and the most that there might be of models of the usual size.
    pub(crate) copies: u64,
    pub(crate) places: u64,
}

#[derive(Debug)]
enum What {
    Ended { node: usize, model: usize },
    Loaded { node: usize, model: usize },
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    request: Request,
    until: u64,
}

/// A node, as it is.
#[derive(Debug)]
struct Body {
    planner: Planner,
    demand: Demand,
    busy: u32,
    /// What is open here, and how many slots are busy with it.
    held: Vec<(u16, u32)>,
    coming: Vec<u16>,
    /// Busy slots on an average, in thousandths.
    mean: u64,
}

/// Many nodes and their models.
pub(crate) struct Placing {
    setting: Setting,
    mode: Mode,
    town: Town,
    bodies: Vec<Body>,
    /// Who has a model open, by model and site.
    open: Vec<Vec<Vec<usize>>>,
    /// How many have it open.
    count: Vec<u32>,
    waiting: Vec<VecDeque<Waiting>>,
    seen: Vec<Seen>,
    /// What was told and is not heard yet.
    words: VecDeque<(u64, usize, Word)>,
    /// How many requests waited for each model, by the second; the oldest is what is heard now.
    waited: VecDeque<Vec<u32>>,
    queue: Queue<What>,
    now: u64,
    outcome: Outcome,
}

/// Runs a setting; `hour` is told of each hour that begins.
pub(crate) fn run(setting: &Setting, mode: Mode, hour: impl Fn(u64)) -> Outcome {
    Placing::new(setting, mode).run(hour)
}

impl Placing {
    fn new(setting: &Setting, mode: Mode) -> Self {
        let town = Town::new(setting);
        let body = |house: &town::House| Body {
            planner: Planner::new(house.id, Some(ByteCount(house.memory))),
            demand: Demand::default(),
            busy: 0,
            held: Vec::new(),
            coming: Vec::new(),
            mean: 0,
        };
        let bodies = town.houses.iter().map(body).collect();
        let models = town.models.len();
        let seen = (0..setting.sites.len()).map(|jurisdiction| Seen::new(&town, jurisdiction)).collect();
        let mut placing = Self {
            setting: setting.clone(),
            mode,
            bodies,
            open: vec![vec![Vec::new(); town.sites.len()]; models],
            count: vec![0; models],
            waiting: vec![VecDeque::new(); models],
            seen,
            words: VecDeque::new(),
            waited: VecDeque::new(),
            queue: Queue::new(),
            now: 0,
            outcome: Outcome::default(),
            town,
        };
        let slices = setting.seconds.div_ceil(SLICE) as usize;
        (placing.outcome.slices, placing.outcome.moves) = (vec![(0, 0); slices], vec![0; slices]);
        if mode != Mode::Oracle {
            placing.begin();
        }
        placing
    }

    /// Puts one copy of each model into each jurisdiction that may have it, and has room for it.
    fn begin(&mut self) {
        let mut chance = Chance::new(self.setting.seed, 0xbe61);
        for model in 0..self.town.models.len() {
            let bytes = self.town.models[model].bytes;
            for jurisdiction in 0..self.setting.sites.len() {
                if !self.town.is_allowed(model, jurisdiction) {
                    continue;
                }
                let nodes = (0..self.bodies.len()).filter(|node| self.town.houses[*node].jurisdiction == jurisdiction);
                let used = |node: usize| -> u64 {
                    self.bodies[node].held.iter().map(|(held, _)| self.town.models[usize::from(*held)].bytes).sum()
                };
                let fits = |node: &usize| used(*node) + bytes <= self.town.houses[*node].memory;
                let nodes: Vec<usize> = nodes.filter(fits).collect();
                if !nodes.is_empty() {
                    self.opens(*chance.pick(&nodes), model);
                }
            }
        }
    }

    fn run(mut self, hour: impl Fn(u64)) -> Outcome {
        let mut trace = Trace::new(&self.setting, &self.town);
        let mut oracle = (self.mode == Mode::Oracle).then(|| Oracle::new(&self.setting, &self.town));
        let mut next = trace.next(&self.town);
        for second in 0..self.setting.seconds {
            if second % 3600 == 0 {
                hour(second / 3600);
            }
            if let Some(oracle) = oracle.as_mut().filter(|_| second % WINDOW == 0) {
                let plan = oracle.plan(&self.town);
                self.adopt(plan);
            }
            let end = (second + 1) * SECOND;
            while next.at < end {
                self.happen(next.at);
                self.now = next.at;
                self.comes(next);
                next = trace.next(&self.town);
            }
            self.happen(end);
            self.now = end;
            self.give_up();
            if self.mode == Mode::Planned {
                self.decide(second);
            }
        }
        let mean = self.town.models.iter().map(|model| model.bytes).sum::<u64>() / self.town.models.len() as u64;
        self.outcome.places = self.town.houses.iter().map(|house| house.memory / mean).sum();
        self.outcome.copies = self.bodies.iter().map(|body| body.held.len() as u64).sum();
        self.outcome
    }

    /// What was going to happen until a time.
    fn happen(&mut self, until: u64) {
        while let Some((at, what)) = self.queue.pop() {
            if at > until {
                return self.queue.push(at, what);
            }
            self.now = at;
            match what {
                What::Ended { node, model } => {
                    let body = &mut self.bodies[node];
                    body.busy -= 1;
                    if let Some((_, busy)) = body.held.iter_mut().find(|(held, _)| usize::from(*held) == model) {
                        *busy = busy.saturating_sub(1);
                    }
                    self.next_at(node);
                }
                What::Loaded { node, model } => {
                    self.bodies[node].coming.retain(|coming| usize::from(*coming) != model);
                    self.opens(node, model);
                    while self.next_at(node) {}
                }
            }
        }
    }

    fn counts(&self) -> bool {
        self.now >= self.setting.warm * SECOND
    }

    /// A request enters at its door.
    fn comes(&mut self, request: Request) {
        let counts = self.counts();
        let slice = (self.now / (SLICE * SECOND)) as usize;
        self.outcome.requests += u64::from(counts);
        self.outcome.slices[slice].0 += 1;
        self.bodies[request.door].demand.ask(self.town.models[request.model].digest);
        if let Some((node, way)) = self.free(request) {
            self.outcome.at_once += u64::from(counts);
            self.outcome.slices[slice].1 += 1;
            return self.start(request, node, way);
        }
        let lawful = if request.home {
            let jurisdiction = self.town.houses[request.door].jurisdiction;
            self.open[request.model]
                .iter()
                .zip(&self.town.sites)
                .any(|(open, of)| *of == jurisdiction && !open.is_empty())
        } else {
            self.count[request.model] > 0
        };
        let waits = if lawful { &mut self.outcome.for_slot } else { &mut self.outcome.for_load };
        *waits += u64::from(counts);
        self.waiting[request.model].push_back(Waiting { request, until: self.now + PATIENCE * SECOND });
    }

    /// The lawful node with a free slot from which the answer comes first, and the way there and back.
    fn free(&self, request: Request) -> Option<(usize, u64)> {
        let door = self.town.houses[request.door];
        let (open, service) = (&self.open[request.model], self.town.models[request.model].service);
        let mut best: Option<(u64, usize, u64)> = None;
        for (site, way) in &self.town.near[door.site] {
            // Whoever is further away than what would take too long at the fastest node is too far, as are all after it.
            if best.is_some_and(|(cost, ..)| 2 * way + service * 4 / FASTEST > cost) {
                break;
            }
            if request.home && self.town.sites[*site] != door.jurisdiction {
                continue;
            }
            let free = open[*site].iter().filter(|node| self.bodies[**node].busy < self.town.houses[**node].slots);
            let all = free.map(|node| (2 * way + service * 4 / self.town.houses[*node].speed, *node, 2 * way));
            best = best.into_iter().chain(all).min();
        }
        best.map(|(_, node, way)| (node, way))
    }

    /// A request starts at a node.
    fn start(&mut self, request: Request, node: usize, way: u64) {
        let (house, digest) = (self.town.houses[node], self.town.models[request.model].digest);
        let body = &mut self.bodies[node];
        body.busy += 1;
        if let Some((_, busy)) = body.held.iter_mut().find(|(held, _)| usize::from(*held) == request.model) {
            *busy += 1;
        }
        if self.mode == Mode::Planned {
            body.planner.used(digest);
            // What comes from elsewhere enters this neighbourhood here.
            if self.town.houses[request.door].jurisdiction != house.jurisdiction {
                body.demand.ask(digest);
            }
        }
        let work = request.work * 4 / house.speed;
        let waited = self.now - request.at;
        if self.counts() {
            self.outcome.took += waited + way + work;
            self.outcome.way += way;
        }
        self.queue.push(self.now + work.max(1), What::Ended { node, model: request.model });
    }

    /// A slot is free at a node: the request that waits longest for one of its models starts. Says whether one did.
    fn next_at(&mut self, node: usize) -> bool {
        let (house, body) = (self.town.houses[node], &self.bodies[node]);
        if body.busy >= house.slots {
            return false;
        }
        let lawful = |waiting: &Waiting| {
            !waiting.request.home || self.town.houses[waiting.request.door].jurisdiction == house.jurisdiction
        };
        let first = |(model, _): &(u16, u32)| {
            let queue = &self.waiting[usize::from(*model)];
            let place = queue.iter().position(lawful)?;
            Some((queue[place].request.at, *model, place))
        };
        let Some((_, model, place)) = body.held.iter().filter_map(first).min() else { return false };
        let Some(waiting) = self.waiting[usize::from(model)].remove(place) else { return false };
        let site = self.town.houses[waiting.request.door].site;
        let way = self.town.near[site].iter().find(|(site, _)| *site == house.site).map_or(0, |(_, way)| 2 * way);
        self.start(waiting.request, node, way);
        true
    }

    /// Those who waited too long leave.
    fn give_up(&mut self) {
        for queue in &mut self.waiting {
            while queue.front().is_some_and(|waiting| waiting.until <= self.now) {
                queue.pop_front();
                self.outcome.refused += u64::from(self.now >= self.setting.warm * SECOND);
            }
        }
    }

    /// A model is open at a node from now on.
    fn opens(&mut self, node: usize, model: usize) {
        let (house, of) = (self.town.houses[node], self.town.models[model]);
        assert!(self.town.is_allowed(model, house.jurisdiction), "the licence lets nobody there hold it");
        self.open[model][house.site].push(node);
        self.count[model] += 1;
        let body = &mut self.bodies[node];
        body.held.push((model as u16, 0));
        let reload = Micros(self.town.load(model, false));
        body.planner.came(of.digest, ByteCount(of.bytes), reload, Timestamp(self.now));
        let used: u64 = body.held.iter().map(|(held, _)| self.town.models[usize::from(*held)].bytes).sum();
        assert!(used <= house.memory, "{used} bytes in {}", house.memory);
    }

    /// … or is not.
    fn closes(&mut self, node: usize, model: usize) {
        let site = self.town.houses[node].site;
        self.open[model][site].retain(|open| *open != node);
        self.count[model] -= 1;
        self.bodies[node].held.retain(|(held, _)| usize::from(*held) != model);
    }

    /// The models stand as somebody planned, at once.
    fn adopt(&mut self, plan: Vec<Vec<u16>>) {
        for (node, models) in plan.into_iter().enumerate() {
            let before: Vec<u16> = self.bodies[node].held.iter().map(|(held, _)| *held).collect();
            for model in before.iter().filter(|held| !models.contains(held)) {
                self.closes(node, usize::from(*model));
            }
            for model in models.iter().filter(|model| !before.contains(model)) {
                self.opens(node, usize::from(*model));
            }
            while self.next_at(node) {}
        }
    }

    /// A second has passed: what was told is heard, and a fifth of the nodes decides.
    fn decide(&mut self, second: u64) {
        while let Some((_, node, word)) = self.words.pop_front_if(|(due, ..)| *due <= second) {
            self.seen[self.town.houses[node].jurisdiction].hear(&self.town, node, word);
        }
        self.waited.push_back(self.waiting.iter().map(|queue| queue.len() as u32).collect());
        if self.waited.len() > LATE as usize + 1 {
            self.waited.pop_front();
        }
        for seen in &mut self.seen {
            seen.sum_up(&self.town, &self.waited[0]);
        }
        for node in (0..self.bodies.len()).filter(|node| *node as u64 % EVERY == second % EVERY) {
            self.decide_at(node, second);
        }
    }

    fn decide_at(&mut self, node: usize, second: u64) {
        let (now, house) = (Timestamp(self.now), self.town.houses[node]);
        let body = &mut self.bodies[node];
        body.demand.pass(now);
        // A mean over a minute: what one more model could use of the power here.
        body.mean = (body.mean * 11 + u64::from(body.busy) * 1000) / 12;
        let view = self.seen[house.jurisdiction].by(&self.town, node, &body.held);
        let steps = body.planner.decide(&view, now);
        for step in steps {
            self.step(node, step);
        }
        let body = &mut self.bodies[node];
        let slots = u64::from(house.slots) * 1000;
        let power = Eighths::of(slots.saturating_sub(body.mean), slots);
        let free = house.slots - body.busy;
        let word = Word {
            held: body.held.iter().map(|(held, _)| *held).collect(),
            slots: body.held.iter().map(|(_, busy)| busy + free).collect(),
            coming: body.coming.clone(),
            demand: body.demand.told().into_iter().map(|(model, rate)| (at(&model.0) as u16, rate.0)).collect(),
            room: body.planner.room(power, house.speed as u8),
        };
        self.words.push_back((second + LATE, node, word));
    }

    fn step(&mut self, node: usize, step: Step) {
        let counts = self.counts();
        match step {
            Step::Fetch { model, .. } => {
                let model = at(&model.0);
                let is_near = self.town.houses[node].site;
                let load = self.town.load(model, !self.open[model][is_near].is_empty());
                // What comes at the same time shares the line.
                let load = load * (1 + self.bodies[node].coming.len() as u64);
                self.bodies[node].coming.push(model as u16);
                self.queue.push(self.now + load, What::Loaded { node, model });
                self.outcome.moves[((self.now - 1) / (SLICE * SECOND)) as usize] += 1;
                if counts {
                    self.outcome.loads = (self.outcome.loads.0 + load, self.outcome.loads.1 + 1);
                }
            }
            Step::Evict { model, .. } => {
                let model = at(&model.0);
                self.closes(node, model);
                self.outcome.evictions += u64::from(counts);
                let jurisdiction = self.town.houses[node].jurisdiction;
                let open = self.open[model].iter().zip(&self.town.sites);
                let others = open.filter(|(_, of)| **of == jurisdiction).map(|(open, _)| open.len()).sum::<usize>();
                // The warm-up counts, too.
                self.outcome.last += u64::from(others == 0);
            }
            Step::NoRoom { .. } => self.outcome.no_room += u64::from(counts),
        }
    }
}
