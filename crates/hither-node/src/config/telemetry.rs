//! `[telemetry]`: where spans go, and where whoever takes them stands.

use hither_types::id::{Operator, ParseIdError};
use hither_types::place::Jurisdiction;
use serde::Deserialize;

use super::endpoint::{Elsewhere, base};

/// Where spans go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The address of an OpenTelemetry collector that takes OTLP over gRPC, such as `http://127.0.0.1:4317`.
    pub otlp: String,
    /// The share of requests that are recorded if their caller brought no trace, from 0 to 1.
    pub share: f64,
    /// Where the collector stands.
    pub place: CollectorPlace,
}

/// Where a collector stands, for the law to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectorPlace {
    /// On this machine.
    Here,
    /// Where the file says.
    Elsewhere(Elsewhere),
    /// On another machine, and nobody says where.
    Unknown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TelemetrySection {
    otlp: Option<String>,
    share: Option<f64>,
    jurisdiction: Option<String>,
    operator: Option<String>,
    control: Option<Vec<String>>,
}

impl TelemetrySection {
    fn says_more_than_where(&self) -> bool {
        self.share.is_some() || self.jurisdiction.is_some() || self.operator.is_some() || self.control.is_some()
    }
}

/// Why the section cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The share is none.
    #[error("[telemetry] share is {0}, and must be from 0 to 1")]
    Share(f64),
    /// It is not said where spans go.
    #[error(
        "[telemetry] says how many spans go, or to whom, but nothing says where: add otlp = \"http://127.0.0.1:4317\""
    )]
    Nowhere,
    /// A word is not what it should be.
    #[error("[telemetry] {field} is wrong")]
    Word {
        /// Which word.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: ParseIdError,
    },
    /// Where the collector stands is said by halves.
    #[error(
        "[telemetry] says only a part of what the law asks about the collector: add jurisdiction = \"DE\" and operator = \"…\""
    )]
    Half,
    /// The address is not one of plain gRPC.
    #[error(
        "[telemetry] otlp is {0:?}, and must begin with http:// and name a host: spans go unencrypted, to a collector on this machine or site"
    )]
    Address(String),
}

pub(super) fn telemetry(section: TelemetrySection) -> Result<Option<Telemetry>, TelemetryError> {
    let share = section.share.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&share) {
        return Err(TelemetryError::Share(share));
    }
    let says_more = section.says_more_than_where();
    let TelemetrySection { otlp, jurisdiction, operator, control, share: _ } = section;
    match otlp {
        None if says_more => Err(TelemetryError::Nowhere),
        None => Ok(None),
        Some(otlp) => match base(&otlp).filter(|_| otlp.starts_with("http://")) {
            Some((_, is_here)) => {
                let said = Said { jurisdiction, operator, control };
                Ok(Some(Telemetry { otlp, share, place: said.place(is_here)? }))
            }
            None => Err(TelemetryError::Address(otlp)),
        },
    }
}

/// What the section says of where the collector stands.
struct Said {
    jurisdiction: Option<String>,
    operator: Option<String>,
    control: Option<Vec<String>>,
}

impl Said {
    /// An address of this machine of which no place is said is this machine; a tunnel may lead elsewhere, and then the file
    /// says where.
    fn place(self, is_here: bool) -> Result<CollectorPlace, TelemetryError> {
        let word = |field| move |source| TelemetryError::Word { field, source };
        match (self.jurisdiction, self.operator) {
            (None, None) if self.control.is_none() => {
                Ok(if is_here { CollectorPlace::Here } else { CollectorPlace::Unknown })
            }
            (Some(jurisdiction), Some(operator)) => {
                let control = self.control.map(|all| all.iter().map(|code| Jurisdiction::parse(code)).collect());
                Ok(CollectorPlace::Elsewhere(Elsewhere {
                    jurisdiction: Jurisdiction::parse(&jurisdiction).map_err(word("jurisdiction"))?,
                    operator: Operator::parse(&operator).map_err(word("operator"))?,
                    control: control.transpose().map_err(word("control"))?,
                }))
            }
            _ => Err(TelemetryError::Half),
        }
    }
}

#[cfg(test)]
mod tests;
