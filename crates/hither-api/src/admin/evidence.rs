//! What the assurance of a member rests on.

use hither_types::near::{Anchored, Evidence, Weight, bound_km};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// What the assurance of a member rests on, as the node that answers judges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Evidence"))]
pub struct EvidenceDto {
    /// What its certificate states: `claimed` or `vouched`.
    pub certificate: String,
    /// Who signed it: its key; absent if that is not known, and at nodes of earlier versions.
    #[serde(default)]
    pub certificate_by: Option<String>,
    /// Why the certificate supports nothing, if the policy of the node that answers wants newer ones: then the member is
    /// `claimed`, whatever the certificate states. Absent at nodes of earlier versions.
    #[serde(default)]
    pub outdated: Option<OutdatedDto>,
    /// The longest round trip that counts as near.
    pub near_us: u64,
    /// What other members measured and signed, by key. Two that weigh `near` make the member near.
    pub samples: Vec<SampleDto>,
}

/// A certificate that is older than a policy wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OutdatedCertificate"))]
pub struct OutdatedDto {
    /// When it was made, in milliseconds since 1970; that may be in the future, by the clock of the node that answers.
    pub certified_unix_ms: u64,
    /// How many hours ago that may be (`certified_within_hours` of the policy).
    pub certified_within_hours: u32,
    /// The same in words.
    pub words: String,
}

/// The smallest round trip to a member that another one measured within an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RoundTripSample"))]
pub struct SampleDto {
    /// Who measured and signed it: its key.
    pub anchor: String,
    /// Its site; absent if it is no member any more.
    pub site: Option<String>,
    /// The round trip.
    pub rtt_us: u64,
    /// How far the machine can be at most, in kilometres: 100 for each millisecond.
    pub bound_km: u64,
    /// What the round trip was before, if it grew by more than a network does.
    pub before_us: Option<u64>,
    /// How old it is; absent if it is from the future.
    pub age_us: Option<u64>,
    /// Whether it counts: `near`, `far`, `moved`, `old` (or of an earlier start, or of before the key moved), or `no_anchor`
    /// (whoever signed it is no vouched member of that country).
    pub weight: String,
}

impl From<&Evidence> for EvidenceDto {
    fn from(evidence: &Evidence) -> Self {
        Self {
            certificate: super::assurance_word(evidence.vouched).to_owned(),
            certificate_by: evidence.by.map(|node| node.to_string()),
            outdated: evidence.outdated.map(|outdated| OutdatedDto {
                certified_unix_ms: outdated.made.0,
                certified_within_hours: outdated.within.0,
                words: outdated.to_string(),
            }),
            near_us: evidence.limit.0,
            samples: evidence.samples.iter().map(SampleDto::from).collect(),
        }
    }
}

impl From<&Anchored> for SampleDto {
    fn from(sample: &Anchored) -> Self {
        let weight = match sample.weight {
            Weight::Near => "near",
            Weight::Far => "far",
            Weight::Moved => "moved",
            Weight::Old => "old",
            Weight::NoAnchor => "no_anchor",
        };
        Self {
            anchor: sample.anchor.to_string(),
            site: sample.site.as_ref().map(ToString::to_string),
            rtt_us: sample.rtt.0,
            bound_km: bound_km(sample.rtt),
            before_us: sample.before.map(|before| before.0),
            age_us: sample.age.map(|age| age.0),
            weight: weight.to_owned(),
        }
    }
}
