//! Text of the command line into words; each error says what would be right.

use std::time::Duration;

use hither_types::id::{AppName, ModelName, Operator, Purpose, RequestId, SiteName};
use hither_types::label::DataClass;
use hither_types::member::Role;
use hither_types::place::Jurisdiction;

pub(super) fn site(text: &str) -> Result<SiteName, String> {
    SiteName::parse(text).map_err(|error| error.to_string())
}

pub(super) fn operator(text: &str) -> Result<Operator, String> {
    Operator::parse(text).map_err(|error| error.to_string())
}

pub(super) fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).map_err(|error| error.to_string())
}

pub(super) fn jurisdiction(text: &str) -> Result<Jurisdiction, String> {
    // Whether the code exists is asked here, where text enters, with a suggestion for the usual slips.
    hither_law::jurisdiction(text).map_err(|error| error.to_string())
}

pub(super) fn model(text: &str) -> Result<ModelName, String> {
    ModelName::parse(text).map_err(|error| error.to_string())
}

pub(super) fn app(text: &str) -> Result<AppName, String> {
    AppName::parse(text).map_err(|error| error.to_string())
}

pub(super) fn class(text: &str) -> Result<DataClass, String> {
    DataClass::parse(text).map_err(|error| error.to_string())
}

pub(super) fn purpose(text: &str) -> Result<Purpose, String> {
    Purpose::parse(text).map_err(|error| error.to_string())
}

pub(super) fn request(text: &str) -> Result<RequestId, String> {
    RequestId::parse(text).map_err(|error| error.to_string())
}

/// Reads `10%` or `0.1`: a share of one.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("expected a share such as 10% or 0.1, found {text:?}");
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number.trim_end(), 100.0));
    let share = number.parse::<f64>().map_err(|_| wrong())? / whole;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(wrong()) }
}

/// Reads `90s`, `15m`, `1h` or `7d`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a time such as 90s, 15m, 1h or 7d, found {text:?}");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match count.checked_mul(seconds) {
        Some(total) => Ok(Duration::from_secs(total)),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests;
