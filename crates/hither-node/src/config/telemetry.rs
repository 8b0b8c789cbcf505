//! `[telemetry]`: where spans go.

use serde::Deserialize;

/// Where spans go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The address of an OpenTelemetry collector that takes OTLP over gRPC, such as `http://127.0.0.1:4317`.
    pub otlp: String,
    /// The share of requests that are recorded if their caller brought no trace, from 0 to 1.
    pub share: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TelemetrySection {
    otlp: Option<String>,
    share: Option<f64>,
}

/// Why the section cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The share is none.
    #[error("[telemetry] share is {0}, and must be from 0 to 1")]
    Share(f64),
    /// It is not said where spans go.
    #[error("[telemetry] share says how many spans go, but nothing says where: add otlp = \"http://127.0.0.1:4317\"")]
    Nowhere,
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
    match section.otlp {
        None if section.share.is_some() => Err(TelemetryError::Nowhere),
        None => Ok(None),
        Some(otlp) if otlp.strip_prefix("http://").is_some_and(|host| !host.is_empty()) => {
            Ok(Some(Telemetry { otlp, share }))
        }
        Some(otlp) => Err(TelemetryError::Address(otlp)),
    }
}

#[cfg(test)]
mod tests;
