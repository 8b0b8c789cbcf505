//! What a run is made of: models, nodes, links, load, faults, and what must have been seen at the end.
//!
//! The text form is in `scenario/form.rs`; what stands here was checked, names resolved to indices.

use std::sync::Arc;

use hither_types::id::{AppName, ModelName, Operator, SiteName};
use hither_types::label::Label;
use hither_types::law::Policy;
use hither_types::place::Jurisdiction;
use hither_types::request::{Priority, Quality, RequestKind};

use crate::mesh::Mesh;

mod fault;
mod form;
mod lay;
mod load;
mod names;

#[cfg(test)]
mod tests;

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The file cannot be read.
    #[error("scenario {path} cannot be read; `ls scenarios` shows those that come with the source")]
    Unreadable {
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is not TOML, or has a field that scenarios do not have.
    #[error("the scenario is not in the form of scenarios")]
    Form(#[from] Box<toml::de::Error>),
    /// A policy inside is not one.
    #[error("policy {name:?} of the scenario does not parse: {reason}")]
    Policy {
        /// Its name in the scenario.
        name: String,
        /// What the reader of policies said.
        reason: String,
    },
    /// A value inside makes no sense.
    #[error("in {place}: {reason}")]
    Value {
        /// Which part of the scenario.
        place: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// More or fewer nodes are asked for than can be.
    #[error("the scenario names {named} nodes, so ask for {named} to {most} with --nodes, not {asked}")]
    Nodes {
        /// Nodes in the file.
        named: usize,
        /// The bound.
        most: usize,
        /// What was asked.
        asked: u32,
    },
    /// More or fewer nodes are asked for than a topology can make.
    #[error("the scenario makes its nodes, so ask for {least} to {most} with --nodes, not {asked}")]
    Made {
        /// The least.
        least: usize,
        /// The bound.
        most: usize,
        /// What was asked.
        asked: u32,
    },
}

/// A scenario, checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, in one sentence.
    pub about: String,
    /// How long load and faults go on, in microseconds.
    pub duration: u64,
    /// The models.
    pub models: Vec<ModelPlan>,
    /// Parts of the run that are looked at for themselves, each from and to, in microseconds.
    pub slices: Vec<(u64, u64)>,
    /// Families of models, each from the largest member to the smallest.
    pub ladder: Vec<Vec<ModelName>>,
    /// The nodes.
    pub nodes: Vec<NodePlan>,
    /// The policies, by name.
    pub policies: Vec<(String, Arc<Policy>)>,
    /// What every link is like.
    pub network: NetworkPlan,
    /// Links that are otherwise.
    pub links: Vec<LinkPlan>,
    /// How nodes are made from the seed, instead of named.
    pub topology: Option<TopologyPlan>,
    /// How long a fact takes to be durable, in microseconds.
    pub sync: u64,
    /// Streams of requests.
    pub loads: Vec<LoadPlan>,
    /// What goes wrong, and when.
    pub faults: Vec<FaultPlan>,
    /// Faults that the seed draws.
    pub storm: Option<StormPlan>,
    /// Counters that must reach at least this: a run that exercised nothing is a failure.
    pub sometimes: Vec<(String, u64)>,
    /// Counters that must not pass this.
    pub at_most: Vec<(String, u64)>,
    /// The mesh of a topology, once it was laid out.
    pub(crate) mesh: Option<Arc<Mesh>>,
}

/// A mesh that is made from the seed.
#[derive(Debug, Clone)]
pub struct TopologyPlan {
    /// How many nodes.
    pub nodes: usize,
    /// Nodes of a site.
    pub per_site: usize,
    /// Requests that a node runs at once.
    pub slots: u16,
    /// Speeds in a thousandth of the usual, each with its share in per cent.
    pub speeds: Vec<(u32, u32)>,
    /// Round trip in a site, in microseconds.
    pub site_rtt: u64,
    /// Round trip between two sites that are next to each other, in microseconds.
    pub rtt_min: u64,
    /// Round trip between opposite corners, in microseconds.
    pub rtt_max: u64,
    /// Where sites stand, in blocks.
    pub jurisdictions: Vec<Jurisdiction>,
    /// Whether some nodes are asked much more than others (lognormal, sigma 1).
    pub demand_sigma: bool,
    /// How many of its nearest members a node is introduced to.
    pub near: usize,
    /// How many members further away know a node, and it them.
    pub far: usize,
    /// How often a node tells of itself, in microseconds.
    pub gossip: u64,
    /// How long after a node died or came back the members that know it are told, in microseconds.
    pub membership: u64,
    /// The power cap of a node in milliwatts.
    pub cap: u64,
    /// The power of a node without inference in milliwatts.
    pub idle: u64,
    /// The policy of all.
    pub policy: usize,
}

/// A model and how its engine behaves.
#[derive(Debug, Clone)]
pub struct ModelPlan {
    /// Its name.
    pub name: ModelName,
    /// Tensors or tokens.
    pub kind: RequestKind,
    /// The size of its file in bytes.
    pub size: u64,
    /// What it takes in memory once it is open, in bytes; zero if its manifest does not say.
    pub memory: u64,
    /// How many requests one engine runs at once.
    pub slots: u16,
    /// Power of a busy slot in milliwatts.
    pub slot_power: u64,
    /// Time to open it, in microseconds.
    pub load: u64,
    /// Time until the first token, or of the whole call, in microseconds.
    pub prefill: u64,
    /// Time of each token, in microseconds.
    pub token: u64,
    /// What it takes of work that the trace of arrivals sets, in a thousandth.
    pub cost: u64,
}

/// A node.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Its name in the scenario.
    pub name: String,
    /// Its site.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Which states can compel its operator.
    pub control: Option<Vec<Jurisdiction>>,
    /// Who runs it.
    pub operator: Operator,
    /// The models on its disk at the start.
    pub holds: Vec<usize>,
    /// Its power cap in milliwatts.
    pub cap: u64,
    /// Its power without inference in milliwatts.
    pub idle: u64,
    /// What models may use of its memory, in bytes.
    pub memory: Option<u64>,
    /// Whether it fetches what is asked for.
    pub pull: bool,
    /// Its policy.
    pub policy: usize,
}

/// What every link is like.
#[derive(Debug, Clone, Copy)]
pub struct NetworkPlan {
    /// One way, in microseconds.
    pub delay: u64,
    /// Up to so much more, in microseconds.
    pub jitter: u64,
    /// Lost packets in a thousand.
    pub loss_permille: u32,
    /// How fast a model's file comes from one peer, in bytes per second.
    pub rate: u64,
}

/// A link that is unlike the others.
#[derive(Debug, Clone, Copy)]
pub struct LinkPlan {
    /// One end.
    pub a: usize,
    /// The other.
    pub b: usize,
    /// One way, in microseconds.
    pub delay: u64,
    /// Up to so much more, in microseconds.
    pub jitter: u64,
}

/// Requests of one kind: an open loop, or one at a given time.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where they enter; all nodes if empty.
    pub nodes: Vec<usize>,
    /// The app.
    pub app: AppName,
    /// The model's name, which need not exist.
    pub model: ModelName,
    /// Its place among the models, if it exists.
    pub known: Option<usize>,
    /// The label; subjects are empty for "the jurisdiction of the entry".
    pub label: Label,
    /// Tokens of each answer.
    pub tokens: u32,
    /// Bytes of each payload.
    pub size: u64,
    /// Time allowed, in microseconds.
    pub deadline: u64,
    /// How much it matters.
    pub priority: Priority,
    /// Whether a smaller model of the family will do.
    pub quality: Quality,
    /// The site that the caller would like best.
    pub prefer: Option<SiteName>,
    /// The client leaves after this, in microseconds.
    pub patience: Option<u64>,
    /// When they come.
    pub arrivals: Arrivals,
    /// Figures are of requests from then on, in microseconds.
    pub measure_from: u64,
}

/// When requests come.
#[derive(Debug, Clone, Copy)]
pub enum Arrivals {
    /// One at this time.
    Once(u64),
    /// At each node with this mean gap, between two times, all in microseconds.
    Open {
        /// Mean time between two at one node.
        gap: u64,
        /// First.
        from: u64,
        /// Last.
        to: u64,
    },
    /// At all nodes of a topology together, a share of what they can do. Times in microseconds.
    Share {
        /// Of the capacity at the start, in a thousandth.
        permille: u64,
        /// Mean work of a request at the usual speed.
        work: u64,
        /// How the work varies.
        service: Service,
        /// A time with more of them.
        pulse: Option<Pulse>,
        /// First.
        from: u64,
        /// Last.
        to: u64,
    },
}

/// How the work of requests varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Not at all.
    Fixed,
    /// Lognormal, with a deviation as large as the mean.
    Lognormal,
}

/// A flash crowd. Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// First.
    pub from: u64,
    /// Last.
    pub to: u64,
    /// How many times as many come.
    pub times: u64,
}

/// What goes wrong, and for how long.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    /// When, in microseconds.
    pub at: u64,
    /// How long; `None` is until the end. In microseconds.
    pub lasts: Option<u64>,
    /// What. Its nodes are those picked, once the scenario was laid out.
    pub fault: Fault,
    /// Which nodes.
    pub pick: Pick,
    /// Of a cut: nodes on the other side; all others if `None`.
    pub against: Option<Vec<usize>>,
}

/// Which nodes something happens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// These.
    Nodes(Vec<usize>),
    /// So many of a thousand, drawn by the seed.
    Share(u32),
    /// So many of a thousand sites, drawn by the seed, at least one.
    Sites(u32),
    /// One site.
    Site(SiteName),
    /// All that stand there.
    Jurisdiction(Jurisdiction),
}

/// One thing that goes wrong at some nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// kill -9: everything but the disk is lost. Undone by a restart.
    Kill(Vec<usize>),
    /// SIGSTOP: nothing is processed, inputs pile up. Undone by SIGCONT.
    Freeze(Vec<usize>),
    /// Engines, loading and disk are slower by this factor.
    Slow(Vec<usize>, u64),
    /// The power cap falls to this, in milliwatts.
    Cap(Vec<usize>, u64),
    /// No fact can be written.
    DiskFull(Vec<usize>),
    /// Nothing passes from the first to the second; with `both`, nor back.
    Cut {
        /// Senders.
        from: Vec<usize>,
        /// Receivers.
        to: Vec<usize>,
        /// Both ways.
        both: bool,
    },
    /// All links lose so many packets in a thousand.
    Loss(u32),
    /// The policy changes to this one.
    Law(Vec<usize>, usize),
    /// The worker dies: its tasks fail and its models must be loaded again.
    EngineCrash(Vec<usize>),
    /// Engines stop advancing, while their node goes on as if they did.
    Hang(Vec<usize>),
    /// They neither say nor hear words on the way to a place for a request, as nodes of an older version.
    Mute(Vec<usize>),
}

impl Fault {
    /// The word for it in scenarios and reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Freeze(_) => "freeze",
            Self::Slow(..) => "slow",
            Self::Cap(..) => "cap",
            Self::DiskFull(_) => "disk-full",
            Self::Cut { .. } => "cut",
            Self::Loss(_) => "loss",
            Self::Law(..) => "law",
            Self::EngineCrash(_) => "engine-crash",
            Self::Hang(_) => "hang",
            Self::Mute(_) => "mute",
        }
    }
}

/// Faults that the seed draws.
#[derive(Debug, Clone)]
pub struct StormPlan {
    /// Mean time between two, in microseconds.
    pub gap: u64,
    /// The kinds to draw from; each seed takes a part of them.
    pub kinds: Vec<String>,
    /// The shortest, in microseconds.
    pub shortest: u64,
    /// The longest, in microseconds.
    pub longest: u64,
    /// The time at the end without new ones, in microseconds.
    pub quiet: u64,
}

/// Each counter of a report with what it counts.
pub fn counter_texts() -> &'static [(&'static str, &'static str)] {
    names::COUNTERS
}

/// The most nodes of one run that are named; presence goes to all members, so the messages grow with the square.
pub const MOST_NODES: usize = 200;

/// The most nodes of a topology: the memory of one machine.
pub const MOST_MADE: usize = 20_000;

impl Scenario {
    /// Reads a scenario from its text.
    pub fn parse(text: &str) -> Result<Self, SimError> {
        form::read(text)
    }

    /// Reads a scenario from a file.
    pub fn load(path: &std::path::Path) -> Result<Self, SimError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SimError::Unreadable { path: path.display().to_string(), source })?;
        Self::parse(&text)
    }

    /// The same with more nodes: those named are repeated in order, under new names; a topology makes so many.
    pub fn with_nodes(&self, nodes: Option<u32>) -> Result<Self, SimError> {
        let mut scenario = self.clone();
        let Some(asked) = nodes else { return Ok(scenario) };
        if let Some(plan) = &mut scenario.topology {
            let least = plan.per_site;
            if !(least..=MOST_MADE).contains(&(asked as usize)) {
                return Err(SimError::Made { least, most: MOST_MADE, asked });
            }
            plan.nodes = asked as usize;
            return Ok(scenario);
        }
        let (wanted, named) = (asked as usize, self.nodes.len());
        if !(named..=MOST_NODES).contains(&wanted) {
            return Err(SimError::Nodes { named, most: MOST_NODES, asked });
        }
        for index in named..wanted {
            let mut node = self.nodes[index % named].clone();
            node.name = format!("{}-{}", node.name, index / named + 1);
            scenario.nodes.push(node);
        }
        Ok(scenario)
    }
}
