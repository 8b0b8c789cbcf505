//! Models that stay on this node, whatever else needs their room: those that the configuration names, and those that an operator
//! pinned, who are kept in a file of the data directory, a name a line.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hither_api::door::{CommandDone, CommandError};
use hither_core::Event;
use hither_types::id::ModelName;

use crate::driver::Driver;
use crate::home::write_private;
use crate::limits::PINS_MAX;

#[cfg(test)]
mod tests;

/// Which models stay.
#[derive(Debug)]
pub(crate) struct Pins {
    path: PathBuf,
    /// Those that the configuration names.
    configured: BTreeSet<ModelName>,
    /// Those that an operator pinned.
    kept: BTreeSet<ModelName>,
}

impl Pins {
    /// Reads the file. A line that is no name is left out; the text that comes back says so.
    pub(crate) fn open(path: PathBuf, configured: BTreeSet<ModelName>) -> (Self, Option<String>) {
        let (text, trouble) = match std::fs::read_to_string(&path) {
            Ok(text) => (text, None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (String::new(), None),
            Err(error) => (String::new(), Some(format!("{} cannot be read: {error}", path.display()))),
        };
        let named: Vec<_> = text.lines().filter(|line| !line.is_empty()).map(ModelName::parse).collect();
        let wrong = named.iter().filter(|name| name.is_err()).count();
        let trouble = trouble.or_else(|| {
            (wrong > 0).then(|| format!("{wrong} lines of {} are no names of models, and pin nothing", path.display()))
        });
        let kept = named.into_iter().flatten().take(PINS_MAX).collect();
        (Self { path, configured, kept }, trouble)
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeSet<ModelName> {
        self.configured.union(&self.kept).cloned().collect()
    }

    /// Whether a model stays.
    pub(crate) fn has(&self, name: &ModelName) -> bool {
        self.configured.contains(name) || self.kept.contains(name)
    }

    /// Adds one or takes one away; on disk first.
    fn set(&mut self, name: &ModelName, pinned: bool) -> Result<(), CommandError> {
        let refuse = |code, message: String, help: &str| CommandError { code, message, help: help.to_owned() };
        if !pinned && self.configured.contains(name) {
            let message = format!("hither.toml names {name} among the pinned models of this node");
            return Err(refuse("E0449", message, "take it out of pinned under [models], and start the node again"));
        }
        let mut kept = self.kept.clone();
        if pinned {
            kept.insert(name.clone());
        } else {
            kept.remove(name);
        }
        if kept.len() > PINS_MAX {
            return Err(refuse(
                "E0449",
                format!("{PINS_MAX} models are pinned here already"),
                "hither models unpin NAME",
            ));
        }
        let text: String = kept.iter().map(|name| format!("{name}\n")).collect();
        write_private(&self.path, text.as_bytes())
            .map_err(|error| refuse("E0903", format!("{} cannot be written: {error}", self.path.display()), "df -h"))?;
        self.kept = kept;
        Ok(())
    }
}

impl Driver {
    /// A model stays here from now on, or does so no longer.
    pub(crate) fn pin(&mut self, name: &ModelName, pinned: bool) -> Result<CommandDone, CommandError> {
        // What is pinned and unknown yet may be published tomorrow; a name that was mistyped would never be found.
        if pinned && self.named(name).is_none() {
            return Err(crate::models::unknown(name));
        }
        self.pins.set(name, pinned)?;
        tracing::info!(model = %name, pinned, "a model is pinned, or is not any longer");
        self.feed(Event::PinsChanged(self.pins.all()));
        let here = self.named(name).is_some_and(|manifest| self.shelf.has(manifest.digest));
        Ok(if pinned { CommandDone::Pinned { here } } else { CommandDone::Unpinned })
    }
}
