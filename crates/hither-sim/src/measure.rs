//! What a run measures: a line for each request of the measuring window, and sums.

use hither_types::request::Priority;

use crate::counts::Counts;
use crate::figures::{Figures, Second, Slice};

#[cfg(test)]
mod tests;

/// How a request ended, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Finished,
    Refused,
    Failed,
}

/// A word between nodes, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Offer,
    Reject,
    Steal,
    /// Not a word: a request was given to who asked for one.
    Stolen,
    Other,
}

/// A request that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) submitted: u64,
    pub(crate) place: usize,
    pub(crate) priority: Priority,
    pub(crate) ending: Ending,
}

/// A request of the log.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// When it ended, in milliseconds.
    end: u32,
    /// In microseconds; an hour fits.
    latency: u32,
    place: u32,
    priority: Priority,
    ending: Ending,
}

/// Sums and the log.
#[derive(Debug, Default)]
pub(crate) struct Measure {
    from: u64,
    to: u64,
    log: Vec<Line>,
    slices: Vec<(u64, u64)>,
    /// Time of busy slots within the window.
    busy: u64,
    requests: u64,
    lost: u64,
    words: u64,
    announcements: u64,
    /// Of the whole run, for bounds.
    offers: u64,
    rejects: u64,
    steals: u64,
    stolen: u64,
    hedges: u64,
    all_words: u64,
}

impl Measure {
    /// Says which requests are measured: those that enter from then on, and work until then.
    pub(crate) fn set_window(&mut self, from: u64, to: u64) {
        (self.from, self.to) = (from, to);
    }

    /// Says which parts of the run are looked at for themselves.
    pub(crate) fn set_slices(&mut self, slices: Vec<(u64, u64)>) {
        self.slices = slices;
    }

    fn within(&self, at: u64) -> u64 {
        u64::from((self.from..self.to).contains(&at))
    }

    pub(crate) fn enters(&mut self, at: u64) {
        self.requests += self.within(at);
    }

    pub(crate) fn lost(&mut self, at: u64) {
        self.lost += self.within(at);
    }

    pub(crate) fn announced(&mut self, at: u64) {
        self.announcements += self.within(at);
    }

    /// A slot was busy.
    pub(crate) fn ran(&mut self, since: u64, until: u64) {
        self.busy += until.min(self.to).saturating_sub(since.max(self.from));
    }

    /// A word was said.
    pub(crate) fn said(&mut self, at: u64, word: Word) {
        let sum = match word {
            Word::Offer => &mut self.offers,
            Word::Reject => &mut self.rejects,
            Word::Steal => &mut self.steals,
            Word::Stolen => return self.stolen += 1,
            Word::Other => &mut self.all_words,
        };
        *sum += 1;
        self.all_words += u64::from(word != Word::Other);
        self.words += self.within(at);
    }

    /// An attempt began, beside another or not.
    pub(crate) fn began(&mut self, beside: bool) {
        self.hedges += u64::from(beside);
    }

    /// A request ended.
    pub(crate) fn ended(&mut self, at: u64, sample: Sample) {
        let Sample { submitted, place, priority, ending } = sample;
        if submitted >= self.from {
            let latency = (at - submitted).min(u64::from(u32::MAX)) as u32;
            let end = (at / 1000).min(u64::from(u32::MAX)) as u32;
            self.log.push(Line { end, latency, place: place as u32, priority, ending });
        }
    }

    /// Latencies of the answered, sorted.
    fn latencies(&self, of: impl Fn(&Line) -> bool) -> Vec<u32> {
        let answered = self.log.iter().filter(|line| line.ending == Ending::Finished && of(line));
        let mut latencies: Vec<u32> = answered.map(|line| line.latency).collect();
        latencies.sort_unstable();
        latencies
    }

    /// The latency below which so many of a thousand answers stay, in microseconds.
    pub(crate) fn latency(&self, permille: usize) -> u64 {
        of_thousand(&self.latencies(|_| true), permille)
    }

    /// … of critical requests.
    pub(crate) fn critical(&self, permille: usize) -> u64 {
        of_thousand(&self.latencies(|line| line.priority == Priority::Critical), permille)
    }

    /// Adds what scenarios may state bounds for.
    pub(crate) fn count_into(&self, counts: &mut Counts) {
        let sums = [
            ("signals", self.all_words),
            ("offers", self.offers),
            ("offers_rejected", self.rejects),
            ("steals", self.stolen),
            ("hedges", self.hedges),
        ];
        sums.iter().filter(|(_, sum)| *sum > 0).for_each(|(name, sum)| counts.add(name, *sum));
    }

    /// The figures of a run with so many slots.
    pub(crate) fn figures(&self, slots: u64, events: u64) -> Figures {
        let latencies = self.latencies(|_| true);
        let critical = self.latencies(|line| line.priority == Priority::Critical);
        let window = self.to.saturating_sub(self.from).max(1);
        let ended = |ending| self.log.iter().filter(|line| line.ending == ending).count() as u64;
        let within = |line: &&Line| line.ending == Ending::Finished && u64::from(line.end) * 1000 < self.to;
        let sum: u64 = latencies.iter().map(|latency| u64::from(*latency)).sum();
        let mut places: Vec<u32> = self.log.iter().map(|line| line.place).collect();
        places.sort_unstable();
        places.dedup();
        Figures {
            from: self.from,
            to: self.to,
            requests: self.requests,
            answered: latencies.len() as u64,
            refused: ended(Ending::Refused),
            failed: ended(Ending::Failed),
            lost_with_origin: self.lost,
            goodput_milli: (self.log.iter().filter(within).count() as u128 * 1_000_000_000 / u128::from(window)) as u64,
            latency_mean: sum / (latencies.len() as u64).max(1),
            latency_p50: of_thousand(&latencies, 500),
            latency_p99: of_thousand(&latencies, 990),
            latency_p999: of_thousand(&latencies, 999),
            critical_p99: of_thousand(&critical, 990),
            utilisation: (u128::from(self.busy) * 1000 / (u128::from(slots.max(1)) * u128::from(window))) as u64,
            places: places.len() as u64,
            signals: self.words,
            signals_milli: self.words * 1000 / self.requests.max(1),
            announcements: self.announcements,
            steal_words: self.steals,
            steals: self.stolen,
            hedges: self.hedges,
            offers: self.offers,
            offers_rejected: self.rejects,
            events,
            series: self.series(),
            slices: self.slices.iter().map(|(from, to)| self.slice(*from, *to)).collect(),
            memory: crate::figures::Memory::default(),
        }
    }

    fn slice(&self, from: u64, to: u64) -> Slice {
        let mut slice = Slice { from, to, ..Slice::default() };
        let mut latencies = Vec::new();
        let entered = |line: &&Line| {
            let at = (u64::from(line.end) * 1000).saturating_sub(u64::from(line.latency));
            (from..to).contains(&at)
        };
        for line in self.log.iter().filter(entered) {
            let critical = line.priority == Priority::Critical;
            match line.ending {
                Ending::Finished => {
                    slice.answered += 1;
                    slice.critical += u64::from(critical);
                    latencies.push(line.latency);
                }
                Ending::Refused => slice.refused += 1,
                Ending::Failed => slice.failed += 1,
            }
            slice.critical_lost += u64::from(critical && line.ending != Ending::Finished);
        }
        latencies.sort_unstable();
        (slice.p50, slice.p99) = (of_thousand(&latencies, 500), of_thousand(&latencies, 990));
        slice
    }

    fn series(&self) -> Vec<Second> {
        let first = self.from / 1_000_000;
        let last = self.log.iter().map(|line| u64::from(line.end) / 1000).max().unwrap_or(first).max(first);
        let mut by_second: Vec<(Second, Vec<u32>)> =
            (first..=last).map(|second| (Second { second, ..Second::default() }, Vec::new())).collect();
        for line in &self.log {
            let Some((second, latencies)) = by_second.get_mut((u64::from(line.end) / 1000 - first) as usize) else {
                continue;
            };
            match line.ending {
                Ending::Finished => {
                    second.goodput += 1;
                    latencies.push(line.latency);
                }
                Ending::Refused => second.refused += 1,
                Ending::Failed => second.failed += 1,
            }
        }
        let figures = by_second.into_iter().map(|(mut second, mut latencies)| {
            latencies.sort_unstable();
            second.p50 = of_thousand(&latencies, 500);
            second.p99 = of_thousand(&latencies, 990);
            second
        });
        figures.collect()
    }
}

/// The value below which so many of a thousand stay, of a sorted list.
fn of_thousand(sorted: &[u32], permille: usize) -> u64 {
    sorted.get(sorted.len().saturating_sub(1) * permille / 1000).copied().map_or(0, u64::from)
}
