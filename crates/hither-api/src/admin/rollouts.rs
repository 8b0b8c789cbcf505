//! Versions that take over from others, as JSON.

use hither_types::rollout::{RolledBack, Rollout, RolloutFault, RolloutView, Tally};
use hither_types::view::View;
use serde::{Deserialize, Serialize};

/// How a rollout stands, as one node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rollout"))]
pub struct RolloutDto {
    /// The name that people ask for.
    pub name: String,
    /// Grows with each word about the name.
    pub revision: u64,
    /// The old version; the beginning of its digest if it is not in the catalog.
    pub from: String,
    /// The new version, likewise.
    pub to: String,
    /// The share of the requests that the new version answers where it takes part, 0 to 1; 0 if it was taken back.
    pub share: f64,
    /// The sites that take part; all if there are none.
    pub sites: Vec<String>,
    /// The share of the requests that may fail beyond those that fail with the old version.
    pub tolerance: f64,
    /// The key of the member that published it.
    pub publisher: String,
    /// How it stands.
    pub state: RolloutStateDto,
    /// Why this node went back to the old version; absent if it did not.
    pub reason: Option<String>,
    /// What requests of this node met with the old version.
    pub old: TallyDto,
    /// … and with the new one.
    pub new: TallyDto,
    /// Requests of this node that the old version answered because no place had the new one open.
    pub unready: u64,
    /// Keys of the members that found the new version bad.
    pub against: Vec<String>,
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RolloutState"))]
#[serde(rename_all = "snake_case")]
pub enum RolloutStateDto {
    /// Some requests are the new version's, or those of some sites.
    Running,
    /// All requests are the new version's.
    Whole,
    /// An operator went back to the old version.
    TakenBack,
    /// This node went back to the old version by itself.
    WentBack,
}

/// Requests of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "VersionRequests"))]
pub struct TallyDto {
    /// How many it was given; of many the later ones count more.
    pub tried: u32,
    /// In how many of them its engine failed.
    pub failed: u32,
}

impl From<Tally> for TallyDto {
    fn from(Tally { tried, failed }: Tally) -> Self {
        Self { tried, failed }
    }
}

impl RolloutDto {
    /// All of a view.
    pub(super) fn all(view: &View) -> Vec<Self> {
        view.rollouts.iter().map(|rollout| Self::of(rollout, view)).collect()
    }

    fn of(standing: &RolloutView, view: &View) -> Self {
        let named = |digest| {
            let found = view.models.iter().find(|model| model.digest == digest);
            found.map_or_else(|| digest.short(), |model| model.name.to_string())
        };
        let Rollout { name, revision, from, to, share, sites, tolerance, publisher, .. } = &standing.rollout;
        let thousandths = |number: u16| f64::from(number) / f64::from(Rollout::WHOLE);
        Self {
            name: name.to_string(),
            revision: *revision,
            from: named(*from),
            to: named(*to),
            share: thousandths(*share),
            sites: sites.iter().map(ToString::to_string).collect(),
            tolerance: thousandths(*tolerance),
            publisher: publisher.to_string(),
            state: match () {
                () if standing.back.is_some() => RolloutStateDto::WentBack,
                () if *share == 0 => RolloutStateDto::TakenBack,
                () if standing.rollout.is_whole() => RolloutStateDto::Whole,
                () => RolloutStateDto::Running,
            },
            reason: standing.back.map(reason),
            old: standing.old.into(),
            new: standing.new.into(),
            unready: standing.unready,
            against: standing.against.iter().map(ToString::to_string).collect(),
        }
    }
}

fn reason(back: RolledBack) -> String {
    match back {
        RolledBack::Found(RolloutFault::Failures { tried, failed }) => {
            format!("its engine failed in {failed} of {tried} requests of this node")
        }
        RolledBack::Found(RolloutFault::WrongAnswer) => "it gave another answer here than the catalog knows".to_owned(),
        RolledBack::Told(members) => format!("{members} other members found it bad"),
    }
}
