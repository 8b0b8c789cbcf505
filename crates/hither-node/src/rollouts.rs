//! Versions of models that take over from others: what was published of them, by whom it was found bad, on disk and among
//! members. Whether a word counts is the mind's matter; who may say it, this module's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hither_api::door::{CommandDone, CommandError, NewRollout};
use hither_core::Event;
use hither_types::fact::Fact;
use hither_types::id::{ModelName, NodeId};
use hither_types::member::Signed;
use hither_types::message::PeerMessage;
use hither_types::model::{Manifest, ModelIo};
use hither_types::rollout::{Rollout, RolloutView, RolloutWord, Verdict};
use hither_wire::EncodeError;
use hither_wire::limits::MAX_ROLLOUT_SITES;

use crate::driver::Driver;
use crate::limits::{ROLLOUTS_MAX, VERDICTS_MAX};
use crate::mesh::pages;
use crate::models::unknown;
use crate::trust::{self, Seal, TrustError, wall_now};

/// What is known of versions: the last word about each name, and each member's verdict on it.
#[derive(Debug)]
pub(crate) struct Versions {
    path: PathBuf,
    rollouts: BTreeMap<ModelName, (Signed, Rollout)>,
    verdicts: BTreeMap<(ModelName, NodeId), (Signed, Verdict)>,
}

impl Versions {
    /// Reads them from disk. What is damaged or not believed is left out, with a warning.
    pub(crate) fn open(path: PathBuf) -> Self {
        let mut versions = Self { path, rollouts: BTreeMap::new(), verdicts: BTreeMap::new() };
        let pages = crate::home::read_messages(&versions.path).unwrap_or_else(|error| {
            tracing::warn!(path = %versions.path.display(), error, "what is known of versions is damaged; peers tell it anew");
            Vec::new()
        });
        let words = pages.into_iter().flat_map(|page| match page {
            PeerMessage::Rollouts(words) => words,
            _ => Vec::new(),
        });
        for signed in words {
            match check(&signed) {
                Ok(word) => drop(versions.put(signed, word, |_| true)),
                Err(error) => tracing::warn!(%error, "a word about versions is not believed"),
            }
        }
        versions
    }

    /// Takes a word in; `false` if it is known, older than what is known, about something else, or if there is no room. Whatever
    /// its number, it is newer than one whose publisher may publish no more, as `may` says.
    fn put(&mut self, signed: Signed, word: RolloutWord, may: impl Fn(NodeId) -> bool) -> bool {
        match word {
            RolloutWord::Begun(rollout) => {
                let known = self.rollouts.get(&rollout.name);
                let older = known.is_some_and(|(_, known)| !rollout.supersedes(known, may));
                if older || (known.is_none() && self.rollouts.len() >= ROLLOUTS_MAX) {
                    return false;
                }
                let (name, order) = (rollout.name.clone(), rollout.order());
                self.verdicts.retain(|(of, _), (_, verdict)| *of != name || verdict.order() == order);
                self.rollouts.insert(name, (signed, rollout));
                true
            }
            RolloutWord::Judged(verdict) => {
                let fits = self.rollouts.get(&verdict.name).is_some_and(|(_, known)| known.order() == verdict.order());
                let key = (verdict.name.clone(), verdict.by);
                let of_name = self.verdicts.keys().filter(|(name, _)| *name == verdict.name).count();
                let new = fits && of_name < VERDICTS_MAX && !self.verdicts.contains_key(&key);
                if new {
                    self.verdicts.insert(key, (signed, verdict));
                }
                new
            }
        }
    }

    /// This node belongs to another mesh now, where others publish.
    pub(crate) fn clear(&mut self) {
        self.rollouts.clear();
        self.verdicts.clear();
        self.write();
    }

    fn write(&self) {
        if let Err(error) = crate::home::write_messages(&self.path, &pages::of_rollouts(self.signed())) {
            tracing::warn!(path = %self.path.display(), %error, "what is known of versions cannot be written");
        }
    }

    /// All of them as they are told: rollouts first, since a verdict on what is not known is left out.
    pub(crate) fn signed(&self) -> Vec<Signed> {
        let rollouts = self.rollouts.values().map(|(signed, _)| signed);
        rollouts.chain(self.verdicts.values().map(|(signed, _)| signed)).cloned().collect()
    }

    /// All of them as the mind takes them, in the same order.
    pub(crate) fn events(&self) -> Vec<Event> {
        let rollouts = self.rollouts.values().map(|(_, rollout)| Event::RolledOut(rollout.clone()));
        rollouts.chain(self.verdicts.values().map(|(_, verdict)| Event::Judged(verdict.clone()))).collect()
    }

    fn knows(&self, signed: &Signed) -> bool {
        self.rollouts.values().any(|(known, _)| known == signed)
            || self.verdicts.values().any(|(known, _)| known == signed)
    }
}

/// The word inside signed bytes; that whoever signed it may say it is for the caller to check.
fn check(signed: &Signed) -> Result<RolloutWord, TrustError> {
    trust::check(signed, Seal::Rollout)?;
    let word =
        hither_wire::decode_rollout_word(&signed.bytes).map_err(|error| TrustError::Malformed(error.to_string()))?;
    if word.signer() != signed.signer {
        return Err(TrustError::Signature);
    }
    Ok(word)
}

impl Driver {
    /// A member tells of versions.
    pub(crate) fn learn_rollouts(&mut self, from: NodeId, words: Vec<Signed>) {
        let new: Vec<Signed> = words.into_iter().filter(|signed| self.learn_rollout(from, signed)).collect();
        if !new.is_empty() {
            self.versions.write();
            self.spread_rollouts(Some(from), new);
        }
    }

    fn learn_rollout(&mut self, from: NodeId, signed: &Signed) -> bool {
        if self.versions.knows(signed) {
            return false;
        }
        let word = match check(signed) {
            Ok(word) => word,
            Err(error) => {
                tracing::warn!(peer = %from.short(), %error, "a word about versions is not believed");
                return false;
            }
        };
        let signer = word.signer();
        let may = match &word {
            RolloutWord::Begun(_) => self.is_told(signer),
            RolloutWord::Judged(_) => self.member(signer).is_some(),
        };
        if !may {
            tracing::warn!(peer = %from.short(), signer = %signer.short(), "a word about versions of somebody who may not say it is left out");
            return false;
        }
        self.take_rollout(signed.clone(), word)
    }

    /// Takes in a word that may be said; `false` if it is no news.
    fn take_rollout(&mut self, signed: Signed, word: RolloutWord) -> bool {
        let Self { versions, mesh, home, .. } = self;
        if !versions.put(signed, word.clone(), |publisher| mesh.publishes(publisher, &home.me)) {
            return false;
        }
        match word {
            RolloutWord::Begun(rollout) => {
                let Rollout { name, revision, share, publisher, .. } = &rollout;
                let to = self.shelf.name(rollout.to);
                tracing::info!(%name, revision, to, share, publisher = %publisher.short(), "a rollout");
                self.record(None, Fact::RolledOut(rollout.clone()));
                self.feed(Event::RolledOut(rollout));
            }
            RolloutWord::Judged(verdict) => {
                let Verdict { name, revision, by, fault, .. } = &verdict;
                tracing::warn!(%name, revision, by = %by.short(), ?fault, "a member found a new version bad");
                self.record(None, Fact::Judged(verdict.clone()));
                self.feed(Event::Judged(verdict));
            }
        }
        true
    }

    fn spread_rollouts(&mut self, from: Option<NodeId>, words: Vec<Signed>) {
        for page in pages::of_rollouts(words) {
            self.spread(from, page);
        }
    }

    /// The words about names that others take: what they leave out is not told.
    pub(crate) fn told_rollouts(&self) -> Vec<Signed> {
        let told = self.versions.rollouts.values().filter(|(_, rollout)| self.is_told(rollout.publisher));
        told.map(|(signed, _)| signed.clone()).collect()
    }

    /// Tells a neighbour all that is known of versions: it may have been away.
    pub(crate) fn tell_rollouts(&self, peer: NodeId) {
        let verdicts = self.versions.verdicts.values().filter(|(_, verdict)| self.is_told(verdict.publisher));
        let mut words = self.told_rollouts();
        words.extend(verdicts.map(|(signed, _)| signed.clone()));
        if !words.is_empty() {
            pages::of_rollouts(words).into_iter().for_each(|page| self.swarm.send(peer, page));
        }
    }

    /// Signs a word of this node, takes it in, and tells it; `false` if there is no room for it.
    fn say_rollout(&mut self, word: RolloutWord) -> Result<bool, EncodeError> {
        let bytes = hither_wire::encode_rollout_word(&word)?;
        let signed = trust::sign(&self.home.key, Seal::Rollout, bytes);
        let taken = self.take_rollout(signed.clone(), word);
        if taken {
            self.versions.write();
            self.spread_rollouts(None, vec![signed]);
        }
        Ok(taken)
    }

    /// What an operator lets happen to a version.
    fn begin(&mut self, rollout: Rollout) -> Result<(), CommandError> {
        let text = match self.say_rollout(RolloutWord::Begun(rollout)) {
            Ok(true) => return Ok(()),
            Ok(false) => format!("{ROLLOUTS_MAX} names have a rollout, which is as many as there can be"),
            Err(error) => format!("this rollout cannot be told: {error}"),
        };
        Err(refusal("E0447", text, ""))
    }

    /// The mind went back to an old version: all are told.
    pub(crate) fn judge(&mut self, verdict: Verdict) {
        let name = verdict.name.clone();
        match self.say_rollout(RolloutWord::Judged(verdict)) {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(%name, "this node went back from a new version, as {VERDICTS_MAX} members told before")
            }
            Err(error) => tracing::warn!(%name, %error, "what this node found of a new version is not told"),
        }
    }

    /// An operator lets a new version take over.
    pub(crate) fn roll_out(&mut self, asked: NewRollout) -> Result<CommandDone, CommandError> {
        let NewRollout { name, to, share, sites, tolerance } = asked;
        self.may_publish("others would not hear of a rollout")?;
        if sites.len() > MAX_ROLLOUT_SITES {
            let text = format!("{} sites are named, and a rollout names at most {MAX_ROLLOUT_SITES}", sites.len());
            return Err(refusal("E0447", text, "name none, for all sites, and a --share"));
        }
        let standing = self.rollout(&name);
        let new = self.usable(&to)?.clone();
        // One whose publisher may publish no more is said once more as it is, so that new members hear of it.
        let orphaned = standing.as_ref().map(|view| &view.rollout);
        let orphaned = orphaned.filter(|rollout| rollout.to == new.digest && !self.is_told(rollout.publisher));
        let old = match orphaned.and_then(|rollout| self.shelf.manifest(rollout.from)) {
            Some(old) => old.clone(),
            None => self.stable(&name, standing.as_ref())?.clone(),
        };
        if !new.name.is_version_of(&name) {
            let text = format!("{to} is no version of {name}: the name of one begins with {name}:");
            return Err(refusal("E0442", text, &format!("hither models add FILE --name {name}:2")));
        }
        if old.digest == new.digest {
            return Err(refusal(
                "E0443",
                format!("{name} means {to} already"),
                &format!("hither models rollout {name}"),
            ));
        }
        if let Some(difference) = difference(&old.io, &new.io) {
            let text = format!("{to} cannot answer what {name} is asked: {difference}");
            return Err(refusal("E0444", text, "publish it under another name, which applications ask for"));
        }
        let (from, to, revision) = (old.digest, new.digest, next(standing.as_ref()));
        let (publisher, at) = (self.home.me.node, wall_now());
        let rollout = Rollout { name, revision, from, to, share, sites, tolerance, publisher, at };
        self.begin(rollout)?;
        Ok(CommandDone::RolledOut { from: old.name, to: new.name, share })
    }

    /// An operator goes back to the version before.
    pub(crate) fn roll_back(&mut self, name: &ModelName) -> Result<CommandDone, CommandError> {
        self.may_publish("others would not hear of a rollout")?;
        if self.named(name).is_none() {
            return Err(unknown(name));
        }
        let standing = self.rollout(name);
        let Some(known) = standing.as_ref().map(|standing| &standing.rollout).filter(|rollout| rollout.share > 0)
        else {
            return Err(refusal("E0446", format!("no new version of {name} is being rolled out"), "hither models ls"));
        };
        let (publisher, at, revision) = (self.home.me.node, wall_now(), next(standing.as_ref()));
        let back = Rollout { share: 0, revision, publisher, at, ..known.clone() };
        let (from, to) = (self.shelf.name(back.to), self.shelf.name(back.from));
        self.begin(back)?;
        Ok(CommandDone::RolledBack { from, to })
    }

    /// Whether this node may publish; `else_what` says what comes of it otherwise.
    pub(crate) fn may_publish(&self, else_what: &str) -> Result<(), CommandError> {
        match self.is_told(self.home.me.node) {
            true => Ok(()),
            false => Err(refusal(
                "E0445",
                format!("the certificate of this node has no role publish: {else_what}"),
                "do it at a node that may publish: hither member ls",
            )),
        }
    }

    /// A warning about a rollout whose publisher may publish no more, as `may` says.
    pub(crate) fn orphaned_rollout(&self, may: impl Fn(NodeId) -> bool) -> Option<String> {
        let rollouts = self.versions.rollouts.values().map(|(_, rollout)| rollout);
        let Rollout { name, to, publisher, .. } =
            rollouts.into_iter().find(|rollout| rollout.share > 0 && !may(rollout.publisher))?;
        let (to, publisher) = (self.shelf.name(*to), publisher.short());
        Some(format!(
            "orphaned: that {name} means {to} was said by {publisher}, which is no member any more or may not publish: whoever \
             joins now does not hear of it. Type at a member that may publish: hither models rollout {name} {to}"
        ))
    }

    fn rollout(&self, name: &ModelName) -> Option<RolloutView> {
        self.core.rollouts().into_iter().find(|view| view.rollout.name == *name)
    }

    /// The version that counts as the old one: what took over last, or what the name meant first.
    fn stable(&self, name: &ModelName, standing: Option<&RolloutView>) -> Result<&Manifest, CommandError> {
        let digest = standing.map(|view| match view.rollout.is_whole() && view.back.is_none() {
            true => view.rollout.to,
            false => view.rollout.from,
        });
        let known = digest.and_then(|digest| self.shelf.manifest(digest));
        known.or_else(|| self.named(name)).ok_or_else(|| unknown(name))
    }
}

/// The next number of a word about a name. After the last there is none, and only a word of somebody who may publish no more
/// makes way for the first.
fn next(standing: Option<&RolloutView>) -> u64 {
    standing.map_or(1, |view| view.rollout.revision.checked_add(1).unwrap_or(1))
}

fn refusal(code: &'static str, message: String, help: &str) -> CommandError {
    CommandError { code, message, help: help.to_owned() }
}

/// What keeps a model from answering what another is asked; applications are not told that a version changed.
fn difference(old: &ModelIo, new: &ModelIo) -> Option<String> {
    match (old, new) {
        (ModelIo::Tensors { inputs, outputs }, ModelIo::Tensors { inputs: new_inputs, outputs: new_outputs }) => {
            if inputs != new_inputs {
                return Some("its inputs are not those of the old version".to_owned());
            }
            let missing = outputs.iter().find(|output| !new_outputs.contains(output))?;
            Some(format!("it has no output {} as the old version has", missing.name))
        }
        (ModelIo::Language { context_tokens }, ModelIo::Language { context_tokens: new_tokens }) => (new_tokens
            < context_tokens)
            .then(|| format!("it takes {new_tokens} tokens, and the old version takes {context_tokens}")),
        _ => Some("one takes text, and the other tensors".to_owned()),
    }
}

#[cfg(test)]
mod tests;
