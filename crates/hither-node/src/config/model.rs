//! The `[model.NAME]` sections of the configuration: what is different for one model.

use std::collections::BTreeMap;
use std::time::Duration;

use hither_types::id::{ModelName, ParseIdError};
use hither_types::model::DeviceChoice;
use serde::{Deserialize, Deserializer};

use crate::limits::{BATCH_DELAY_MAX, BATCH_MAX};

#[cfg(test)]
mod tests;

/// What the file says, by the name of the model.
pub(crate) type ModelSections = BTreeMap<String, ModelSection>;

/// What the file says of one model.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModelSection {
    device: Option<DeviceWord>,
    max_batch: Option<u16>,
    max_delay_ms: Option<u32>,
}

/// A device as a configuration names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeviceWord(pub(crate) DeviceChoice);

impl<'de> Deserialize<'de> for DeviceWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let choice = DeviceChoice::parse(&word);
        let unknown = || serde::de::Error::unknown_variant(&word, &["auto", "cpu", "gpu", "npu"]);
        choice.map(Self).ok_or_else(unknown)
    }
}

/// How one model is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelConfig {
    /// The device that is wanted; that of all models if none is named.
    pub device: Option<DeviceChoice>,
    /// Rows of tensors that one call takes together at most, from several requests; below 2, each request is on its own.
    pub max_batch: u16,
    /// How long a request waits for others to go with.
    pub max_delay: Duration,
}

/// Why what is said of a model cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No model can be called so.
    #[error("[model.{name:?}] is not about a model")]
    Name {
        /// What was written.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ParseIdError,
    },
    /// A batch would be too large.
    #[error("model {model} has max_batch = {found}, and {BATCH_MAX} is the most")]
    Batch {
        /// The model.
        model: ModelName,
        /// What was written.
        found: u16,
    },
    /// Requests would wait too long.
    #[error("model {model} has max_delay_ms = {found}, and {most} is the most", most = BATCH_DELAY_MAX.as_millis())]
    Delay {
        /// The model.
        model: ModelName,
        /// What was written.
        found: u32,
    },
    /// There is a delay and nothing to wait for.
    #[error("model {0} has max_delay_ms and no max_batch of 2 or more: there is nothing to wait for")]
    DelayAlone(ModelName),
}

/// Checks the sections.
pub(crate) fn models(sections: ModelSections) -> Result<BTreeMap<ModelName, ModelConfig>, ModelError> {
    let mut models = BTreeMap::new();
    for (name, section) in sections {
        let model = ModelName::parse(&name).map_err(|source| ModelError::Name { name, source })?;
        let max_batch = section.max_batch.unwrap_or(1).max(1);
        if max_batch > BATCH_MAX {
            return Err(ModelError::Batch { model, found: max_batch });
        }
        if section.max_delay_ms.is_some() && max_batch < 2 {
            return Err(ModelError::DelayAlone(model));
        }
        let delay_ms = section.max_delay_ms.unwrap_or(2);
        let max_delay = Duration::from_millis(delay_ms.into());
        if max_delay > BATCH_DELAY_MAX {
            return Err(ModelError::Delay { model, found: delay_ms });
        }
        let device = section.device.map(|word| word.0);
        models.insert(model, ModelConfig { device, max_batch, max_delay });
    }
    Ok(models)
}
