//! The mesh of the placement study, and what is asked of it: nodes at sites in jurisdictions, models and how popular they
//! are, and one stream of requests that is the same for everybody who places.

use hither_types::id::{Digest, NodeId};

use crate::chance::{Chance, bytes32, mix};
use crate::quantile;

/// Microseconds of a second.
pub(super) const SECOND: u64 = 1_000_000;

/// Bytes a second between sites, and within one: as in the study of files on their way to many.
const FAR: u64 = 12_500_000;
const NEAR: u64 = 125_000_000;
/// Bytes a second from the disk into an engine.
const OPEN: u64 = 500_000_000;
/// A file on its way to many takes this much longer than over a line of its own, in per cent.
const SWARM_PERCENT: u64 = 115;

/// How fast nodes compute: 4 is usual, and as many are usual as are not.
const SPEEDS: [u64; 4] = [2, 4, 4, FASTEST];
pub(super) const FASTEST: u64 = 8;

/// The load over a day, in per cent of its mean, by the hour.
const DAY: [u64; 24] =
    [60, 55, 50, 50, 52, 58, 70, 88, 108, 124, 136, 142, 144, 142, 140, 138, 136, 132, 126, 118, 106, 92, 78, 66];

/// Requests of one model that come for a while beside all others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    /// When it begins and ends, in seconds; it grows over its first minute.
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// Its model, by its place in the order of popularity.
    pub(crate) rank: usize,
    /// Its requests, in per cent of the mean of all others.
    pub(crate) percent: u64,
}

/// What is run.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Sites of each jurisdiction.
    pub(crate) sites: Vec<usize>,
    /// Nodes of a site.
    pub(crate) nodes: usize,
    pub(crate) models: usize,
    /// Models that the memory of a usual node holds.
    pub(crate) held: u64,
    /// Busy slots over the day, in per cent.
    pub(crate) load: u64,
    /// Whether the load follows the hours of a day.
    pub(crate) cycle: bool,
    /// Seconds that are run, and seconds before anything counts.
    pub(crate) seconds: u64,
    pub(crate) warm: u64,
    pub(crate) crowd: Option<Crowd>,
    /// When the most wanted model becomes the least wanted, and so on, in seconds.
    pub(crate) flip: Option<u64>,
    pub(crate) seed: u64,
}

/// A node, as it was built.
#[derive(Debug, Clone, Copy)]
pub(super) struct House {
    pub(super) id: NodeId,
    pub(super) site: usize,
    pub(super) jurisdiction: usize,
    /// 4 is usual.
    pub(super) speed: u64,
    pub(super) slots: u32,
    pub(super) memory: u64,
}

/// A model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    /// What a request takes on a usual node, on an average.
    pub(super) service: u64,
    /// The jurisdictions whose nodes may hold it, as bits.
    pub(super) allowed: u32,
}

/// What does not change.
#[derive(Debug)]
pub(super) struct Town {
    pub(super) houses: Vec<House>,
    /// The jurisdiction of each site.
    pub(super) sites: Vec<usize>,
    /// In the order of their digests.
    pub(super) models: Vec<Model>,
    /// For each site, all sites, the nearest first, with one way in microseconds.
    pub(super) near: Vec<Vec<(usize, u64)>>,
    /// Models by popularity.
    pub(super) ranks: Vec<usize>,
    /// Sums of shares by popularity, of 2³².
    shares: Vec<u64>,
    /// Nodes of a site.
    pub(super) size: usize,
}

/// A number with its place in a list in its last bytes.
fn numbered(seed: u64, at: usize) -> [u8; 32] {
    let mut bytes = bytes32(mix(seed) ^ at as u64);
    bytes[28..].copy_from_slice(&(at as u32).to_be_bytes());
    bytes
}

/// The place in its list.
pub(super) fn at(bytes: &[u8; 32]) -> usize {
    u32::from_be_bytes([bytes[28], bytes[29], bytes[30], bytes[31]]) as usize
}

/// The tenth root, by Newton's method: sums, products and quotients only.
fn tenth_root(x: f64) -> f64 {
    (0..60).fold(x.max(1.0), |root: f64, _| {
        let ninth = (0..9).fold(1.0, |power, _| power * root);
        root - (root - x / ninth) / 10.0
    })
}

impl Town {
    pub(super) fn new(setting: &Setting) -> Self {
        let mut chance = Chance::new(setting.seed, 0x70_11);
        let sites: Vec<usize> =
            setting.sites.iter().enumerate().flat_map(|(jurisdiction, count)| vec![jurisdiction; *count]).collect();
        let models = models(setting, &mut chance);
        let mean = models.iter().map(|model| model.bytes).sum::<u64>() / models.len() as u64;
        let houses = (0..sites.len() * setting.nodes).map(|index| {
            let site = index / setting.nodes;
            let speed = *chance.pick(&SPEEDS);
            // From half to one and a half of what a usual one has.
            let memory = mean * setting.held * chance.between(50, 150) / 100;
            let id = NodeId(numbered(setting.seed ^ 0x0de, index));
            House { id, site, jurisdiction: sites[site], speed, slots: 4, memory }
        });
        let houses = houses.collect();
        let places: Vec<(u64, u64)> = sites
            .iter()
            .map(|jurisdiction| {
                // Sites of a country lie near one another.
                let (x, y) = (*jurisdiction as u64 % 3 * 1000, *jurisdiction as u64 / 3 * 1000);
                (x + chance.below(900), y + chance.below(900))
            })
            .collect();
        let near = places.iter().map(|place| nearest(*place, &places)).collect();
        // Popularity by Zipf's law with the exponent 0.9: x^0.9 = x ÷ x^0.1.
        let weights: Vec<f64> = (1..=models.len()).map(|rank| tenth_root(rank as f64) / rank as f64).collect();
        let all: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let shares = weights.iter().map(|weight| {
            sum += weight;
            (sum / all * 4_294_967_296.0) as u64
        });
        let shares = shares.collect();
        let mut ranks: Vec<usize> = (0..models.len()).collect();
        for index in (1..ranks.len()).rev() {
            ranks.swap(index, chance.below(index as u64 + 1) as usize);
        }
        Self { houses, sites, models, near, ranks, shares, size: setting.nodes }
    }

    /// What a model takes to come to a node, from within its site or from another, and to be opened.
    pub(super) fn load(&self, model: usize, is_near: bool) -> u64 {
        let bytes = self.models[model].bytes;
        let line = if is_near { NEAR } else { FAR };
        bytes * SWARM_PERCENT / 100 * SECOND / line + bytes * SECOND / OPEN
    }

    /// The nodes of a site.
    pub(super) fn of_site(&self, site: usize) -> std::ops::Range<usize> {
        site * self.size..(site + 1) * self.size
    }

    /// Whether the nodes of a jurisdiction may hold a model.
    pub(super) fn is_allowed(&self, model: usize, jurisdiction: usize) -> bool {
        self.models[model].allowed & (1 << jurisdiction) != 0
    }

    /// Requests that all slots together could answer in 1000 s.
    fn capacity(&self) -> u64 {
        let slots: u64 = self.houses.iter().map(|house| u64::from(house.slots) * house.speed).sum();
        let mut before = 0;
        let service = self.ranks.iter().zip(&self.shares).map(|(model, sum)| {
            let share = sum - before;
            before = *sum;
            u128::from(share) * u128::from(self.models[*model].service)
        });
        let mean = (service.sum::<u128>() >> 32) as u64;
        slots * SECOND * 1000 / (4 * mean.max(1))
    }
}

fn models(setting: &Setting, chance: &mut Chance) -> Vec<Model> {
    let mut digests: Vec<[u8; 32]> = (0..setting.models).map(|at| numbered(setting.seed ^ 0xd16, at)).collect();
    digests.sort_unstable();
    let all = (1 << setting.sites.len()) - 1;
    let of = |(at, mut digest): (usize, [u8; 32])| {
        digest[28..].copy_from_slice(&(at as u32).to_be_bytes());
        // From 1 to 7 GB; a larger one takes longer, too.
        let bytes = chance.between(1_000, 7_000) * 1_000_000;
        let service = bytes / 1_000_000 * 1_500;
        // The licence of one in five says where it may be held: half of the jurisdictions.
        let licensed = chance.permille(200) && setting.sites.len() > 1;
        let half = (0..setting.sites.len()).filter(|at| (at + bytes as usize / 1_000_000).is_multiple_of(2));
        let allowed = if licensed { half.fold(0, |bits, at| bits | 1 << at) } else { all };
        Model { digest: Digest(digest), bytes, service, allowed }
    };
    digests.into_iter().enumerate().map(of).collect()
}

/// All places, the nearest first, with the way there: 0.2 ms within a site, 10 µs a unit of the map beyond.
fn nearest(from: (u64, u64), places: &[(u64, u64)]) -> Vec<(usize, u64)> {
    let way =
        |to: (u64, u64)| if to == from { 200 } else { 1_000 + 10 * (from.0.abs_diff(to.0) + from.1.abs_diff(to.1)) };
    let mut all: Vec<(usize, u64)> = places.iter().enumerate().map(|(site, place)| (site, way(*place))).collect();
    all.sort_unstable_by_key(|(site, way)| (*way, *site));
    all
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) at: u64,
    /// The node that it enters.
    pub(super) door: usize,
    pub(super) model: usize,
    /// Whether it may be served in its own jurisdiction only.
    pub(super) home: bool,
    /// What it takes on a usual node.
    pub(super) work: u64,
}

/// The stream of requests.
#[derive(Debug)]
pub(super) struct Trace {
    setting: Setting,
    chance: Chance,
    now: u64,
    /// Requests in 1000 s, on an average.
    mean: u64,
}

impl Trace {
    pub(super) fn new(setting: &Setting, town: &Town) -> Self {
        let mean = town.capacity() * setting.load / 100;
        Self { setting: setting.clone(), chance: Chance::new(setting.seed, 0x7ace), now: 0, mean }
    }

    /// The share of the mean that comes at a time, in ten thousandths.
    fn level(&self, second: u64) -> u64 {
        if !self.setting.cycle {
            return 10_000;
        }
        let (hour, part) = (second / 3600 % 24, second % 3600);
        let (this, next) = (DAY[hour as usize], DAY[(hour as usize + 1) % 24]);
        (this * (3600 - part) + next * part) * 100 / 3600
    }

    /// What a crowd adds to that.
    fn crowd(&self, second: u64) -> u64 {
        let Some(crowd) = self.setting.crowd.filter(|crowd| (crowd.from..crowd.until).contains(&second)) else {
            return 0;
        };
        crowd.percent * 100 * (second - crowd.from + 1).min(60) / 60
    }

    /// The next request.
    pub(super) fn next(&mut self, town: &Town) -> Request {
        // No level is above 1.5 and the crowd's; what is drawn above the level of the time did not come.
        let most = 15_000 + self.setting.crowd.map_or(0, |crowd| crowd.percent * 100);
        loop {
            self.now += quantile::exponential(&mut self.chance, 1000 * SECOND * 10_000 / (self.mean * most).max(1));
            let second = self.now / SECOND;
            let (level, crowd) = (self.level(second), self.crowd(second));
            let drawn = self.chance.below(most);
            if drawn >= level + crowd {
                continue;
            }
            let rank = match self.setting.crowd {
                Some(crowd) if drawn >= level => crowd.rank,
                _ => self.rank(town, second),
            };
            let model = town.ranks[rank];
            let door = self.chance.below(town.houses.len() as u64) as usize;
            let home = self.chance.permille(100) && town.is_allowed(model, town.houses[door].jurisdiction);
            let work = quantile::lognormal_cv_1(&mut self.chance, town.models[model].service);
            return Request { at: self.now, door, model, home, work };
        }
    }

    fn rank(&mut self, town: &Town, second: u64) -> usize {
        let drawn = self.chance.below(1 << 32);
        let rank = town.shares.partition_point(|sum| *sum <= drawn).min(town.shares.len() - 1);
        match self.setting.flip {
            Some(flip) if second >= flip => town.shares.len() - 1 - rank,
            _ => rank,
        }
    }
}
