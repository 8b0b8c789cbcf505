//! The figures of a run, for tables and plots. Times are microseconds of virtual time.

/// What a run measured, of requests that entered within its window if not said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// The window opens.
    pub from: u64,
    /// The window closes: requests that entered before are still measured to their end.
    pub to: u64,
    /// Requests that entered.
    pub requests: u64,
    /// … that were answered.
    pub answered: u64,
    /// … that were refused.
    pub refused: u64,
    /// … that failed everywhere.
    pub failed: u64,
    /// Requests whose own node died within the window.
    pub lost_with_origin: u64,
    /// Answers within the window for each thousand seconds of it.
    pub goodput_milli: u64,
    /// Mean time to the end of an answer.
    pub latency_mean: u64,
    /// Median of it.
    pub latency_p50: u64,
    /// Its 99th percentile.
    pub latency_p99: u64,
    /// Its 99.9th percentile.
    pub latency_p999: u64,
    /// Its 99th percentile among critical requests.
    pub critical_p99: u64,
    /// Busy time of all slots, in a thousandth of the window.
    pub utilisation: u64,
    /// Nodes that answered or were the last to be tried.
    pub places: u64,
    /// Words between nodes on the way to a place.
    pub signals: u64,
    /// … for each thousand requests.
    pub signals_milli: u64,
    /// Times that some node told all who know it of itself.
    pub announcements: u64,
    /// Words that ask for a waiting request, of the whole run.
    pub steal_words: u64,
    /// … that got one.
    pub steals: u64,
    /// Attempts that began beside another of the same request, of the whole run.
    pub hedges: u64,
    /// Offers, of the whole run.
    pub offers: u64,
    /// … that were rejected.
    pub offers_rejected: u64,
    /// Events given to minds, of the whole run.
    pub events: u64,
    /// The window by seconds, and what came to its end later.
    pub series: Vec<Second>,
    /// Parts of the run that the scenario asks for, by when requests entered.
    pub slices: Vec<Slice>,
    /// Memory of the process for each node; no part of what makes two runs the same.
    pub memory: Memory,
}

/// One second of virtual time, by when requests ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Second {
    /// Which.
    pub second: u64,
    /// Requests answered.
    pub goodput: u64,
    /// Requests refused.
    pub refused: u64,
    /// Requests that failed everywhere.
    pub failed: u64,
    /// Median latency of those answered.
    pub p50: u64,
    /// 99th percentile of it.
    pub p99: u64,
}

/// What became of the requests that entered in a part of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slice {
    /// The part begins, in microseconds.
    pub from: u64,
    /// It ends.
    pub to: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests refused, also for their deadline.
    pub refused: u64,
    /// Requests that failed everywhere.
    pub failed: u64,
    /// Critical requests that were answered.
    pub critical: u64,
    /// Critical requests that were not.
    pub critical_lost: u64,
    /// Median latency of those answered, in microseconds.
    pub p50: u64,
    /// 99th percentile of it.
    pub p99: u64,
}

impl Slice {
    /// Requests that entered and whose origin lived to see their end.
    pub fn offered(&self) -> u64 {
        self.answered + self.refused + self.failed
    }
}

/// Bytes for each node, as the operating system counts them. It differs from run to run, and equals any other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory(pub Option<u64>);

impl PartialEq for Memory {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memory {}

impl Memory {
    /// What this process uses now, for each of so many nodes; nothing where `/proc` is not.
    pub(crate) fn of_process(nodes: usize) -> Self {
        let pages = std::fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|text| text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()));
        Self(pages.map(|pages| pages * 4096 / nodes.max(1) as u64))
    }
}
