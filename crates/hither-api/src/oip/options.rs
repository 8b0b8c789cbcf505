//! Parameters of a request: what types they may have, and those that this server understands.

use std::collections::BTreeMap;
use std::fmt;

use hither_types::request::Priority;
use hither_types::unit::Micros;
use hyper::HeaderMap;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::errors::{Code, Problem};
use crate::labels::Asked;
use crate::limits::PATIENCE_MAX_MS;

#[cfg(test)]
mod tests;

/// The value of a parameter: text, a number or a truth, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// True or false.
    Flag(bool),
    /// A number without a sign or a fraction.
    Whole(u64),
    /// Text.
    Text(String),
    /// Another number.
    Other,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or a boolean as the value of a parameter")
            }
            fn visit_bool<E: Error>(self, flag: bool) -> Result<Scalar, E> {
                Ok(Scalar::Flag(flag))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Whole(number))
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(One)
    }
}

/// Parameters by name.
pub(crate) type Parameters = BTreeMap<String, Scalar>;

/// A parameter that is true or false, if it is there.
pub(crate) fn flag(parameters: &Parameters, name: &str) -> Result<Option<bool>, Problem> {
    match parameters.get(name) {
        None => Ok(None),
        Some(Scalar::Flag(flag)) => Ok(Some(*flag)),
        Some(_) => Err(malformed(format!("parameter {name} is neither true nor false")).param("parameters")),
    }
}

/// A parameter that counts something, if it is there.
pub(crate) fn whole(parameters: &Parameters, name: &str) -> Result<Option<u64>, Problem> {
    match parameters.get(name) {
        None => Ok(None),
        Some(Scalar::Whole(number)) => Ok(Some(*number)),
        Some(_) => Err(malformed(format!("parameter {name} is not a whole number of 0 or more")).param("parameters")),
    }
}

/// Refuses what would change the meaning of a request and is not offered.
pub(crate) fn unsupported(parameters: &Parameters, names: &[&str], of: &str) -> Result<(), Problem> {
    match names.iter().find(|name| parameters.contains_key(**name)) {
        None => Ok(()),
        Some(name) => {
            let text = format!("{of:?} asks for {name}, which this node does not offer");
            Err(Problem::new(Code::Unsupported, text).help("send the elements in the request itself"))
        }
    }
}

fn malformed(text: impl Into<String>) -> Problem {
    Problem::new(Code::Malformed, text)
}

/// What the parameters of a request say of how it is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Options {
    priority: Option<Priority>,
    timeout: Option<Micros>,
}

impl Options {
    /// Reads them.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, Problem> {
        let nothing = |name: &str, value: &Scalar| match value {
            Scalar::Flag(flag) => !flag && name != "sequence_id",
            Scalar::Whole(number) => *number == 0 && name == "sequence_id",
            Scalar::Text(text) => text.is_empty() && name == "sequence_id",
            Scalar::Other => false,
        };
        let of_a_sequence = ["sequence_id", "sequence_start", "sequence_end"]
            .into_iter()
            .find(|name| parameters.get(*name).is_some_and(|value| !nothing(name, value)));
        if let Some(name) = of_a_sequence {
            let text =
                format!("the request has {name}, and no model of this node keeps a state from request to request");
            return Err(Problem::new(Code::Unsupported, text).help("leave it out").param(name));
        }
        Ok(Self {
            // 1 is the highest, and there are three.
            priority: match whole(parameters, "priority")? {
                None | Some(0) => None,
                Some(1) => Some(Priority::Critical),
                Some(2) => Some(Priority::Normal),
                Some(_) => Some(Priority::Low),
            },
            timeout: whole(parameters, "timeout")?.filter(|timeout| *timeout > 0).map(Micros),
        })
    }

    /// Joins them with what the headers say, and with the deadline that the protocol itself carries.
    pub(crate) fn apply(self, headers: &HeaderMap, asked: &mut Asked, deadline: Option<Micros>) -> Result<(), Problem> {
        if let Some(priority) = self.priority {
            if headers.contains_key("x-hither-priority") && priority != asked.priority {
                let text = "the parameter priority and the header x-hither-priority say different things";
                return Err(malformed(text).help("send one of them").param("priority"));
            }
            asked.priority = priority;
        }
        if let Some(shorter) = self.timeout.into_iter().chain(deadline).min() {
            // Without a header of its own, a client may wait longer than it would if it said nothing.
            let said = headers.contains_key("x-hither-timeout-ms").then_some(asked.patience);
            asked.patience = said.unwrap_or(Micros::from_millis(PATIENCE_MAX_MS)).min(shorter);
        }
        Ok(())
    }
}
