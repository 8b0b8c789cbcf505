//! The fields of a JSON body, each read alone, so that an error names it. `null` is absent.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::errors::{Code, Problem};

/// The fields of a body, not yet read.
pub(crate) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Splits a body into its fields.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|error| Problem::new(Code::Malformed, format!("the body is not a JSON object: {error}")))
    }

    /// The fields of a field that is an object itself; none if it is absent.
    pub(crate) fn inside(&self, name: &'static str) -> Result<Self, Problem> {
        Ok(Self(self.get(name)?.unwrap_or_default()))
    }

    /// A field, read as what it should be.
    pub(crate) fn get<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(raw.get())
            .map_err(|error| Problem::new(Code::Malformed, format!("{name}: {error}")).param(name))
    }

    /// A field that has to be there.
    pub(crate) fn need<T: Deserialize<'a>>(&self, name: &'static str) -> Result<T, Problem> {
        self.get(name)?.ok_or_else(|| Problem::new(Code::Malformed, format!("{name} is missing")).param(name))
    }

    /// A field as it was written.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|raw| raw.get() != "null")
    }

    /// The names of the fields, in their order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Refuses fields that nobody looks at.
    pub(crate) fn refuse_unknown(&self, known: &[&[&str]]) -> Result<(), Problem> {
        let is_known = |name: &&str| known.iter().any(|known| known.contains(name));
        let Some(unknown) = self.names().into_iter().find(|name| !is_known(name)) else { return Ok(()) };
        let said: String = unknown.chars().take(40).collect();
        Err(Problem::new(Code::Unsupported, format!("{said}: there is no such field"))
            .help("leave it out; nothing that changes the meaning is dropped silently")
            .param(said))
    }

    /// A number within bounds.
    pub(crate) fn number(&self, name: &'static str, least: f64, most: f64) -> Result<Option<f64>, Problem> {
        match self.get::<f64>(name)? {
            Some(number) if !(least..=most).contains(&number) => {
                Err(wrong(name, format!("it is {number}, and takes {least} to {most}")))
            }
            number => Ok(number),
        }
    }
}

/// A field that changes the meaning of an answer and is not offered.
pub(crate) fn unsupported(name: &'static str, why: impl Into<String>) -> Problem {
    Problem::new(Code::Unsupported, format!("{name}: {}", why.into()))
        .help("leave it out; nothing that changes the meaning is dropped silently")
        .param(name)
}

/// A field with a value that is not allowed.
pub(crate) fn wrong(name: &'static str, text: impl Into<String>) -> Problem {
    Problem::new(Code::OutOfRange, format!("{name}: {}", text.into())).param(name)
}

/// What a client wrote, short enough to be quoted in an error.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}
