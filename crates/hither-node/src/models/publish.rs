//! Entries of the catalog: those that this node signs, the first of a model and later ones that replace it, and those that
//! come from members.

use hither_api::door::{CommandDone, CommandError, Until};
use hither_core::Event;
use hither_types::fact::Fact;
use hither_types::id::{Digest, ModelName, NodeId};
use hither_types::member::Signed;
use hither_types::message::PeerMessage;
use hither_types::model::Manifest;
use hither_types::time::WallTime;

use super::unknown;
use crate::clock::span;
use crate::driver::Driver;
use crate::trust::{self, Seal, wall_after, wall_now};

#[cfg(test)]
mod tests;

impl Driver {
    /// Takes in an entry that may be believed, and tells the others of it; `false` if it is no news.
    pub(crate) fn take_entry(&mut self, signed: Signed, manifest: Manifest, from: Option<NodeId>) -> bool {
        let known = self.shelf.manifest(manifest.digest).map(|known| known.revision);
        let Self { shelf, mesh, home, .. } = self;
        if !shelf.put(signed.clone(), manifest.clone(), |publisher| mesh.publishes(publisher, &home.me)) {
            let revision = manifest.revision;
            tracing::debug!(model = %manifest.name, revision, known, "an entry that is no newer than the known one is left out");
            return false;
        }
        let (name, revision, publisher) = (&manifest.name, manifest.revision, manifest.publisher);
        if known.is_some() {
            tracing::info!(model = %name, revision, publisher = %publisher.short(), "the entry of a model was replaced");
        }
        let Manifest { name: model, digest, expires, .. } = manifest.clone();
        self.record(None, Fact::Published { model, digest, revision, publisher, expires });
        self.feed(Event::Catalogued(manifest));
        if self.is_told(publisher) {
            self.spread(from, PeerMessage::Catalog(vec![signed]));
        }
        true
    }

    /// A model's file is in the store, and what it is was found out. Its entry is signed, unless the catalog has one that says
    /// the same.
    pub(crate) fn added(&mut self, found: Manifest) -> Result<CommandDone, CommandError> {
        let digest = found.digest;
        let done = self.catalogue(found);
        if done.is_err() && !self.shelf.has(digest) {
            // It has no entry that speaks of it, or none that may be used here.
            let swarm = self.swarm.clone();
            self.hands.spawn(async move {
                let _ = swarm.remove(digest).await;
            });
        }
        done
    }

    fn catalogue(&mut self, found: Manifest) -> Result<CommandDone, CommandError> {
        let digest = found.digest;
        if self.taken(&found.name).is_some_and(|other| other != digest) {
            let text = format!("another model of this mesh is called {} already", found.name);
            return Err(refusal("E0432", text, "choose another --name"));
        }
        let entry = match self.shelf.manifest(digest) {
            None => Some(found),
            Some(known) => added_again(known, found, self.is_orphaned(known), wall_now())?,
        };
        if let Some(entry) = entry {
            if entry.revision > 0 {
                self.may_publish("the entry that others have would stay")?;
            }
            self.sign_entry(entry)?;
        }
        let Some(manifest) = self.shelf.manifest(digest).cloned() else { return Err(too_many()) };
        self.added_here(&manifest);
        Ok(CommandDone::ModelAdded(manifest))
    }

    fn added_here(&mut self, manifest: &Manifest) {
        if !self.is_told(manifest.publisher) {
            self.warn_once(
                "role-publish: the certificate of this node has no role publish: models that are added here answer here \
                 alone, and others do not hear of them"
                    .to_owned(),
            );
        }
        let digest = manifest.digest;
        self.shelf.here.insert(digest);
        let (model, size) = (manifest.name.clone(), manifest.size);
        self.record(None, Fact::ModelAdmitted { model, digest, size, from: None });
        self.feed(Event::ModelStored(digest));
    }

    /// An operator lets this node sign a model's entry, with another end or none.
    pub(crate) fn publish(&mut self, name: &ModelName, until: Until) -> Result<CommandDone, CommandError> {
        let known = match until {
            Until::AsBefore => self.usable(name)?,
            Until::For(_) | Until::NoEnd => self.named(name).ok_or_else(|| unknown(name))?,
        };
        let expires = match until {
            Until::AsBefore => known.expires,
            Until::For(span) => Some(wall_after(wall_now(), span)),
            Until::NoEnd => None,
        };
        let entry = Manifest { expires, ..renewed(known, self.is_orphaned(known))? };
        self.may_publish("others would not take the entry")?;
        let revision = entry.revision;
        self.sign_entry(entry)?;
        Ok(CommandDone::Published { revision, expires })
    }

    /// What an operator is told of entries and rollouts whose publisher may publish no more. What this node published itself
    /// without the role, it is told of already.
    pub(crate) fn orphans(&self) -> Vec<String> {
        let may = |publisher| publisher == self.home.me.node || self.is_told(publisher);
        let is_meant = |model: &Manifest| self.core.resolve(&model.name) == Some(model.digest);
        self.shelf.orphans(may, is_meant).into_iter().chain(self.orphaned_rollout(may)).collect()
    }

    /// The model that has a name already. That of one that is orphaned is free: from then on it means what is added here.
    pub(crate) fn taken(&self, name: &ModelName) -> Option<Digest> {
        self.named(name).filter(|known| !self.is_orphaned(known)).map(|known| known.digest)
    }

    /// Whether an entry's publisher may publish no more, and this node may.
    pub(crate) fn is_orphaned(&self, known: &Manifest) -> bool {
        self.is_told(self.home.me.node) && !self.is_told(known.publisher)
    }

    /// Signs an entry as this node, and takes it in.
    fn sign_entry(&mut self, entry: Manifest) -> Result<(), CommandError> {
        let entry = Manifest { publisher: self.home.me.node, ..entry };
        let bytes = hither_wire::encode_manifest(&entry)
            .map_err(|error| refusal("E0436", format!("the model cannot be published: {error}"), ""))?;
        let signed = trust::sign(&self.home.key, Seal::Manifest, bytes);
        match self.take_entry(signed, entry, None) {
            true => Ok(()),
            false => Err(too_many()),
        }
    }

    /// A model by its name that may still be used.
    pub(crate) fn usable(&self, name: &ModelName) -> Result<&Manifest, CommandError> {
        let manifest = self.named(name).ok_or_else(|| unknown(name))?;
        ended(manifest, wall_now()).map_or(Ok(manifest), Err)
    }
}

/// The entry to sign for a model that is added where the catalog has it already; `None` if the known one says all of it, and is
/// not orphaned: others take entries of its publisher.
fn added_again(
    known: &Manifest,
    found: Manifest,
    orphaned: bool,
    now: WallTime,
) -> Result<Option<Manifest>, CommandError> {
    let Manifest { name, expires, signed_by, .. } = found;
    if name != known.name {
        let text = format!("this file is in the catalog already, as {}, and has one entry", known.name);
        return Err(refusal("E0432", text, &format!("hither models add FILE --name {}", known.name)));
    }
    if expires.is_none()
        && let Some(error) = ended(known, now)
    {
        return Err(error);
    }
    let expires = expires.or(known.expires);
    let signed_by = if signed_by.is_empty() { known.signed_by.clone() } else { signed_by };
    if !orphaned && (expires, &signed_by) == (known.expires, &known.signed_by) {
        return Ok(None);
    }
    Ok(Some(Manifest { expires, signed_by, ..renewed(known, orphaned)? }))
}

/// The next revision of an entry. One that is orphaned is replaced by any later one, and whoever left it may have written the
/// last number there is.
fn renewed(known: &Manifest, orphaned: bool) -> Result<Manifest, CommandError> {
    let revision = known.revision.checked_add(1).or(orphaned.then_some(1)).ok_or_else(|| {
        let text = format!("the entry of {} has the last revision that there can be", known.name);
        refusal("E0436", text, "add the model with another file: hither models add FILE --name NAME")
    })?;
    Ok(Manifest { revision, ..known.clone() })
}

/// What an operator is told of a model whose entry has ended.
fn ended(manifest: &Manifest, now: WallTime) -> Option<CommandError> {
    let end = manifest.expires.filter(|end| *end <= now)?;
    let (name, ago) = (&manifest.name, span(now.0.saturating_sub(end.0)));
    let text = format!("the entry of {name} in the catalog ended {ago} ago: the model is not to be used any more");
    let help = format!("hither models publish {name} --valid-for 90d, or --no-end, at a member that may publish");
    Some(refusal("E0411", text, &help))
}

fn too_many() -> CommandError {
    let text = "the catalog of this mesh has as many models as it can have".to_owned();
    refusal("E0436", text, "")
}

fn refusal(code: &'static str, message: String, help: &str) -> CommandError {
    CommandError { code, message, help: help.to_owned() }
}
