//! What models there are, how far each is at this node, and when to load or fetch it again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hither_types::id::{Digest, ModelName, NodeId};
use hither_types::message::ModelStage;
use hither_types::model::{Manifest, OUTSIDE};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};

use crate::limits;
use crate::placement::Why;

/// How far a model is at this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not here, and not coming.
    #[default]
    Absent,
    /// Asked for; no provider is known, or the next try is not due.
    Wanted,
    /// On its way.
    Fetching,
    /// The file is here; it will be loaded when it is catalogued or its back-off ends.
    Stored,
    /// A worker is opening it.
    Loading,
    /// Ready to run.
    Ready,
    /// Lost too often; left alone for a while.
    Quarantined,
    /// The file is here, and there was no room in memory for it: it is loaded when it is asked for.
    Cold,
    /// Its engine gave other answers than the catalog knows; left alone for a while.
    Refuted,
}

impl Stage {
    /// What others are told; `None` if there is nothing to tell.
    pub(crate) fn announced(self) -> Option<ModelStage> {
        match self {
            Self::Absent | Self::Wanted => None,
            Self::Fetching => Some(ModelStage::Fetching),
            Self::Stored | Self::Loading | Self::Cold => Some(ModelStage::Stored),
            Self::Ready => Some(ModelStage::Ready),
            Self::Quarantined | Self::Refuted => Some(ModelStage::Quarantined),
        }
    }

    /// Whether a request may hope that it will be ready here soon.
    pub(crate) fn is_coming(self) -> bool {
        match self {
            Self::Wanted | Self::Fetching | Self::Stored | Self::Loading => true,
            Self::Absent | Self::Ready | Self::Quarantined | Self::Cold | Self::Refuted => false,
        }
    }

    /// Whether its engine is not to be had, though the file is here.
    pub(crate) fn is_broken(self) -> bool {
        matches!(self, Self::Quarantined | Self::Refuted)
    }

    /// Whether the file is here, and nothing is wrong with its engine.
    pub(crate) fn is_whole(self) -> bool {
        self.is_held() && !self.is_broken()
    }

    /// Whether the file is here.
    pub(crate) fn is_held(self) -> bool {
        match self {
            Self::Stored | Self::Loading | Self::Ready | Self::Quarantined | Self::Cold | Self::Refuted => true,
            Self::Absent | Self::Wanted | Self::Fetching => false,
        }
    }
}

/// Why a model is at this node, or comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was here when the node started, or was added here.
    #[default]
    Unknown,
    /// An operator fetched it.
    Pulled,
    /// A request for it was answered elsewhere.
    Asked,
    /// This node decided so, with its neighbours.
    Placed(Why),
}

/// A model at this node.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub(crate) stage: Stage,
    pub(crate) reason: Reason,
    pub(crate) fetched: ByteCount,
    pub(crate) fetch_failures: u8,
    /// What its engine took in memory when it was open here last.
    pub(crate) memory: Option<ByteCount>,
    losses: VecDeque<Timestamp>,
}

impl Local {
    /// Notes a loss. Says when loading again makes sense, and whether it is quarantine until then.
    pub(crate) fn lose(&mut self, now: Timestamp) -> (Stage, Timestamp) {
        self.losses.push_back(now);
        while self.losses.front().is_some_and(|first| now.since(*first) > limits::LOSS_WINDOW)
            || self.losses.len() > limits::LOSSES_MAX
        {
            self.losses.pop_front();
        }
        let count = self.losses.len();
        if count >= limits::LOSSES_MAX {
            let first = self.losses.front().copied().unwrap_or(now);
            return (Stage::Quarantined, first.after(limits::LOSS_WINDOW));
        }
        (Stage::Stored, now.after(Micros(limits::RELOAD_MIN.0 << (count - 1))))
    }

    /// An operator says that what made it crash is over.
    pub(crate) fn pardon(&mut self) {
        self.losses.clear();
        self.stage = Stage::Stored;
    }

    /// Notes a failed fetch. Says when to try again; `None` if it is given up.
    pub(crate) fn fetch_failed(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.fetched = ByteCount(0);
        self.fetch_failures = self.fetch_failures.saturating_add(1);
        if self.fetch_failures >= limits::FETCHES_MAX {
            return None;
        }
        let span = (limits::REFETCH_MIN.0 << (self.fetch_failures - 1)).min(limits::REFETCH_MAX.0);
        Some(now.after(Micros(span)))
    }
}

/// The catalog, and the models of this node.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    manifests: BTreeMap<Digest, Manifest>,
    /// A publisher's newer entry of a name replaces its older one. Of several publishers who may publish the smallest key
    /// counts: every node comes to the same model without asking, in whatever order it heard of them.
    names: BTreeMap<ModelName, BTreeMap<NodeId, Digest>>,
    /// Members who may publish.
    publishers: BTreeSet<NodeId>,
    local: BTreeMap<Digest, Local>,
    /// Models whose entry has ended.
    expired: BTreeSet<Digest>,
    /// Grows whenever something may have changed at this node.
    version: u64,
}

impl Catalog {
    /// Takes in an entry; `false` if there is no room. One that is known already, or older than the known one, changes nothing,
    /// however late it is told again; unless the known one is of somebody who may publish no more.
    pub(crate) fn add(&mut self, manifest: Manifest) -> bool {
        if let Some(known) = self.manifests.get_mut(&manifest.digest) {
            if manifest.supersedes(known, |publisher| self.publishers.contains(&publisher)) {
                let publishers = self.names.entry(manifest.name.clone()).or_default();
                if publishers.get(&known.publisher) == Some(&known.digest) {
                    publishers.remove(&known.publisher);
                }
                publishers.insert(manifest.publisher, manifest.digest);
                *known = manifest;
            }
            return true;
        }
        if self.manifests.len() >= limits::MANIFESTS_MAX {
            return false;
        }
        let publishers = self.names.entry(manifest.name.clone()).or_default();
        publishers.insert(manifest.publisher, manifest.digest);
        self.manifests.insert(manifest.digest, manifest);
        true
    }

    /// The model that a name means. One of somebody who may publish no more gives way to another's.
    pub(crate) fn resolve(&self, name: &ModelName) -> Option<Digest> {
        let named = self.names.get(name)?;
        let first = named.iter().find(|(publisher, _)| self.publishers.contains(publisher));
        first.or_else(|| named.first_key_value()).map(|(_, digest)| *digest)
    }

    /// Whether somebody may publish.
    pub(crate) fn may_publish(&self, node: NodeId) -> bool {
        self.publishers.contains(&node)
    }

    /// Notes whether somebody may publish.
    pub(crate) fn set_publisher(&mut self, node: NodeId, may: bool) {
        let changed = match may {
            true => self.publishers.insert(node),
            false => self.publishers.remove(&node),
        };
        self.version += u64::from(changed);
    }

    /// An entry.
    pub(crate) fn manifest(&self, digest: Digest) -> Option<&Manifest> {
        self.manifests.get(&digest)
    }

    /// All entries, by digest.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }

    /// Whether a model's entry has ended.
    pub(crate) fn has_expired(&self, digest: Digest) -> bool {
        self.expired.contains(&digest)
    }

    /// Models whose entry has ended, by digest.
    pub(crate) fn expired(&self) -> impl Iterator<Item = Digest> {
        self.expired.iter().copied()
    }

    /// Notes whether a model's entry has ended. Says whether that is news.
    pub(crate) fn set_expired(&mut self, digest: Digest, ended: bool) -> bool {
        let news = match ended {
            true => self.expired.insert(digest),
            false => self.expired.remove(&digest),
        };
        self.version += u64::from(news);
        news
    }

    /// Names that several publishers use for different models. What servers outside the mesh call so is none: whatever a
    /// member publishes counts before it, as before what was published by whoever may do so no more.
    pub(crate) fn conflicts(&self) -> impl Iterator<Item = (&ModelName, usize)> {
        let count = |named: &BTreeMap<NodeId, Digest>| {
            let may = named.keys().filter(|key| self.publishers.contains(key)).count();
            if may > 0 { may } else { named.keys().filter(|key| **key != OUTSIDE).count() }
        };
        self.names.iter().map(move |(name, named)| (name, count(named))).filter(|(_, count)| *count > 1)
    }

    /// How far a model is here.
    pub(crate) fn stage(&self, digest: Digest) -> Stage {
        self.local.get(&digest).map_or(Stage::Absent, |local| local.stage)
    }

    /// Why a model is here, or comes.
    pub(crate) fn reason(&self, digest: Digest) -> Reason {
        self.local.get(&digest).map_or(Reason::Unknown, |local| local.reason)
    }

    /// What a model's engine took in memory when it was open here last.
    pub(crate) fn measured(&self, digest: Digest) -> Option<ByteCount> {
        self.local.get(&digest).and_then(|local| local.memory)
    }

    /// Grows whenever something may have changed at this node.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// A model at this node, to change it.
    pub(crate) fn local_mut(&mut self, digest: Digest) -> &mut Local {
        self.version += 1;
        self.local.entry(digest).or_default()
    }

    /// The models of this node, by digest.
    pub(crate) fn locals(&self) -> impl Iterator<Item = (Digest, &Local)> {
        self.local.iter().map(|(digest, local)| (*digest, local))
    }

    /// A model's file is gone.
    pub(crate) fn forget(&mut self, digest: Digest) {
        self.version += 1;
        self.local.remove(&digest);
    }
}
