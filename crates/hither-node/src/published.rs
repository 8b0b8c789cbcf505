//! Policies that the founder publishes: the authority log says which holds for whom, and the texts go from member to member.
//!
//! What must stay true: a text counts by its digest alone, whoever gave it; a policy that does not load, or fails its own
//! tests, is not put in force, and the one before it stays; a node that follows lives by nothing else for long, whatever its
//! file says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use hither_api::door::policy::{NewPublication, Publications};
use hither_api::door::{CommandDone, CommandError};
use hither_types::authority::{Change, Publication, PublishedPolicy, Range};
use hither_types::id::{Digest, NodeId};
use hither_types::message::{PeerMessage, PolicyWord};
use hither_wire::limits::MAX_POLICY;
use hither_wire::versions::WITH_POLICIES;
use tokio::time::Instant;

use crate::commands::{Law, read_policy};
use crate::config::Follow;
use crate::driver::Driver;
use crate::limits::{POLICY_ASK_AGAIN, POLICY_GIVEN_EVERY, PROPOSAL_SAID_MIN};
use crate::mesh::standing::{only_the_founder, refuse};

#[cfg(test)]
mod tests;

/// How every warning about published policies begins; those that hold no longer are taken back.
const WARNED: &str = "published-policy: ";

/// How the warning begins that a text is not kept.
const UNKEPT: &str = "the text of a policy cannot be kept in";

/// The texts of policies: those that were in force here, for whoever asks later what a digest in the ledger stands for, and
/// those that were published or proposed, for this node and others.
pub(crate) struct Texts {
    dir: PathBuf,
    /// Which are here, of those that were looked for: the loop does not ask the disk each time.
    held: BTreeSet<Digest>,
    /// Who was asked for one, and when.
    asked: BTreeMap<Digest, (NodeId, Instant)>,
    /// Who waits for one that is not here yet.
    waiting: BTreeMap<Digest, BTreeSet<NodeId>>,
    /// When each member was given the last.
    given: BTreeMap<NodeId, Instant>,
}

impl Texts {
    pub(crate) fn new(dir: PathBuf) -> Self {
        let (held, asked, waiting, given) = Default::default();
        Self { dir, held, asked, waiting, given }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}.toml"))
    }

    /// The text with this digest, if it is here and whole.
    fn get(&mut self, digest: Digest) -> Option<String> {
        let text = std::fs::read_to_string(self.path(digest)).ok().filter(|text| digest_of(text) == digest);
        // Somebody may have removed it: then it is asked for again.
        if text.is_none() {
            self.held.remove(&digest);
        }
        text
    }

    fn holds(&mut self, digest: Digest) -> bool {
        if !self.held.contains(&digest) && self.get(digest).is_some() {
            self.held.insert(digest);
        }
        self.held.contains(&digest)
    }

    fn keep(&mut self, text: &str) -> std::io::Result<()> {
        let digest = digest_of(text);
        if !self.holds(digest) {
            std::fs::create_dir_all(&self.dir)?;
            crate::home::write_private(&self.path(digest), text.as_bytes())?;
            self.held.insert(digest);
        }
        Ok(())
    }

    /// Whom to ask for a text now, if anybody: each of those who may have it in turn.
    fn ask(&mut self, digest: Digest, peers: &[NodeId], now: Instant) -> Option<NodeId> {
        let last = self.asked.get(&digest);
        if last.is_some_and(|(_, at)| now.duration_since(*at) < POLICY_ASK_AGAIN) {
            return None;
        }
        let after = |peer: &&NodeId| last.is_none_or(|(asked, _)| *peer > asked);
        let peer = *peers.iter().find(after).or(peers.first())?;
        self.asked.insert(digest, (peer, now));
        Some(peer)
    }

    /// Whether a member may be given a text now.
    fn may_give(&mut self, to: NodeId, now: Instant) -> bool {
        self.given.retain(|_, at| now.duration_since(*at) < POLICY_GIVEN_EVERY);
        match self.given.contains_key(&to) {
            true => false,
            false => self.given.insert(to, now).is_none(),
        }
    }

    /// The files whose names begin so.
    fn beginning_with(&self, begins: &str) -> Vec<Digest> {
        let names = std::fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let digests = names.filter_map(|name| Digest::parse(name.to_str()?.strip_suffix(".toml")?).ok());
        digests.filter(|digest| digest.to_string().starts_with(begins)).collect()
    }
}

fn digest_of(text: &str) -> Digest {
    Digest(*blake3::hash(text.as_bytes()).as_bytes())
}

/// What is said to whoever would have this node live by another policy than the published one.
pub(crate) fn bound(published: PublishedPolicy) -> CommandError {
    let PublishedPolicy { digest, version } = published;
    let text = format!(
        "the policy stays as it was: this node lives by the one that the founder of the mesh published for it, version \
         {version}, b3:{}",
        digest.short()
    );
    let help = "hither policy publish FILE, at the founder; or write [law] follow = \"nobody\" into hither.toml, start the \
                node again, and apply it then";
    refuse("E0315", &text, help)
}

impl Driver {
    /// Keeps the text of the policy in force.
    pub(crate) fn keep_policy_text(&mut self) {
        let text = self.policy_text.clone();
        self.keep_text(&text);
    }

    fn keep_text(&mut self, text: &str) {
        let kept = self.texts.keep(text);
        self.warnings.retain(|(_, known)| kept.is_err() || !known.starts_with(UNKEPT));
        if let Err(error) = kept {
            let path = self.texts.dir.display();
            self.warn_once(format!("{UNKEPT} {path}: {error}"));
        }
    }

    /// Why this node does not live by what is published for it; nothing if it does.
    fn stands_apart(&self) -> Option<String> {
        let founder = match self.home.is_founder() {
            true => Some(self.home.me.operator.clone()),
            false => self.mesh.member(self.home.authority.founder).map(|founder| founder.operator),
        };
        match (self.config.follow, founder) {
            (Follow::Mesh, _) => None,
            (Follow::Nobody, _) => Some("[law] follow is \"nobody\" in its hither.toml".to_owned()),
            (Follow::Operator, None) => Some("the founder of the mesh is not known here yet".to_owned()),
            (Follow::Operator, Some(operator)) if operator == self.home.me.operator => None,
            (Follow::Operator, Some(operator)) => Some(format!(
                "{operator} runs the founder, and {} this node; [law] follow = \"mesh\" in its hither.toml would have it \
                 follow",
                self.home.me.operator
            )),
        }
    }

    /// The published policy that this node has to live by.
    pub(crate) fn bound_to(&self) -> Option<PublishedPolicy> {
        let published = self.home.authority.policy_for(&self.home.me)?;
        self.stands_apart().is_none().then_some(published)
    }

    /// The texts that somebody in the mesh lives by, or is asked to approve.
    fn texts_of_the_log(&self) -> BTreeSet<Digest> {
        let proposals = self.home.authority.proposed().into_iter().filter_map(|proposal| match proposal.change {
            Change::Publish(publication) => Some(publication),
            Change::Appoint(_) | Change::Dismiss { .. } | Change::Quorum(_) => None,
        });
        let published = self.home.authority.publications().iter().cloned();
        published.chain(proposals).filter_map(|publication| Some(publication.policy?.digest)).collect()
    }

    /// Asks for the texts that are missing, and lives by the one that is for this node.
    pub(crate) fn follow_published(&mut self) {
        let wanted = self.texts_of_the_log();
        self.texts.asked.retain(|digest, _| wanted.contains(digest));
        self.texts.waiting.retain(|digest, _| wanted.contains(digest));
        let missing: Vec<Digest> = wanted.into_iter().filter(|digest| !self.texts.holds(*digest)).collect();
        if !missing.is_empty() {
            let reads = |peer: &NodeId| self.swarm.speaks(*peer) >= WITH_POLICIES;
            let peers: Vec<NodeId> = self.mesh.linked().into_iter().filter(reads).collect();
            for digest in missing {
                if let Some(peer) = self.texts.ask(digest, &peers, Instant::now()) {
                    self.swarm.send(peer, PeerMessage::Policy(PolicyWord::Wanted(digest)));
                }
            }
        }
        self.live_by_published();
    }

    fn live_by_published(&mut self) {
        let mut warnings: Vec<String> = self.not_in_force().into_iter().collect();
        if self.home.authority.has_published()
            && let Err(error) = self.find_older_programs()
        {
            warnings.push(format!("{}: {}", error.message, error.help));
        }
        let texts: Vec<String> = warnings.into_iter().map(|text| format!("{WARNED}{text}")).collect();
        self.warnings.retain(|(_, known)| !known.starts_with(WARNED) || texts.contains(known));
        texts.into_iter().for_each(|text| self.warn_once(text));
    }

    /// Puts what is published for this node in force; says why not if it is not.
    fn not_in_force(&mut self) -> Option<String> {
        match self.home.authority.policy_for(&self.home.me) {
            None => None,
            Some(published) if published.digest == self.policy.digest => None,
            Some(published) => {
                let name = format!("version {}, b3:{}", published.version, published.digest.short());
                match self.stands_apart() {
                    Some(why) => Some(format!(
                        "the founder of the mesh published a policy for this node, {name}, and it does not live by it: {why}. \
                         hither policy published {}",
                        published.digest.short()
                    )),
                    None => self.change_to(published).err().map(|why| {
                        format!(
                            "the policy that the founder of the mesh published for this node, {name}, is not in force here: \
                             {why}"
                        )
                    }),
                }
            }
        }
    }

    /// Puts a published policy in force, and into the file if that can be written; the text before it is kept.
    fn change_to(&mut self, published: PublishedPolicy) -> Result<(), String> {
        if !self.texts.holds(published.digest) {
            return Err("its text has not come here yet; members are asked for it every few seconds".to_owned());
        }
        let text = self.texts.get(published.digest).ok_or("its text cannot be read from the disk any more")?;
        let law: Law = read_policy(text)?;
        let path = self.config.policy.clone();
        let written = crate::home::replace(&path, law.text.as_bytes());
        tracing::info!(version = published.version, digest = %published.digest.short(), "a published policy is in force");
        self.put_in_force(law, Some(self.home.authority.founder));
        // It holds all the same, also after a start: its text is kept beside.
        if let Err(error) = written {
            let path = path.display();
            self.warn_once(format!(
                "{path} cannot be written, and says another policy than the published one: {error}"
            ));
        }
        Ok(())
    }

    /// A member wants a text, or gives one.
    pub(crate) fn heard_of_policies(&mut self, from: NodeId, word: PolicyWord) {
        match word {
            PolicyWord::Wanted(digest) if self.texts_of_the_log().contains(&digest) => {
                if self.texts.holds(digest) {
                    self.give_text(from, digest);
                } else {
                    self.texts.waiting.entry(digest).or_default().insert(from);
                }
            }
            // This node has not heard of it, or not any more; whoever asks does so again.
            PolicyWord::Wanted(_) => {}
            PolicyWord::Text(text) => {
                let digest = digest_of(&text);
                // What nobody asked for is not written to the disk.
                if self.texts.asked.remove(&digest).is_none() {
                    return;
                }
                self.keep_text(&text);
                for peer in self.texts.waiting.remove(&digest).unwrap_or_default() {
                    self.give_text(peer, digest);
                }
                self.follow_published();
            }
        }
    }

    fn give_text(&mut self, to: NodeId, digest: Digest) {
        if self.texts.may_give(to, Instant::now())
            && let Some(text) = self.texts.get(digest)
        {
            self.swarm.send(to, PeerMessage::Policy(PolicyWord::Text(text)));
        }
    }

    /// Has the nodes of a range live by a policy, or by none that was published.
    pub(crate) fn publish_policy(&mut self, new: NewPublication) -> Result<CommandDone, CommandError> {
        let NewPublication { text, range } = new;
        if !self.home.is_founder() {
            return Err(only_the_founder());
        }
        // Whom the first one cut off the next one cuts off no further.
        if !self.home.authority.has_published() {
            self.find_older_programs()?;
        }
        // What is taken back may be: it makes nothing worse, and may be in a hurry.
        if text.is_some() && !self.home.authority.has_room_for_policies() {
            return Err(refuse(
                "E0317",
                "three quarters of the authority log are full, and the rest is for revocations",
                "hither policy apply FILE, at each node; hither authority shows how many entries there are of 1024",
            ));
        }
        let policy = text.map(|text| self.publishable(text, &range)).transpose()?;
        let change = Change::Publish(Publication { policy, range });
        if !self.home.authority.makes_sense(&change) {
            return Err(match policy {
                None => refuse("E0317", "nothing is published for that range of nodes", "hither policy published"),
                Some(_) => refuse(
                    "E0317",
                    "policies for as many ranges of nodes are published as the mesh keeps",
                    "hither policy published; hither policy withdraw --within CODES",
                ),
            });
        }
        self.change(change)
    }

    /// A program that does not know these entries takes none of the founder's after them, and would not hear of revocations.
    fn find_older_programs(&self) -> Result<(), CommandError> {
        let older = |node: &NodeId| self.swarm.speaks(*node) < WITH_POLICIES;
        let sites: BTreeSet<String> = self
            .mesh
            .linked()
            .into_iter()
            .filter(older)
            .filter_map(|node| Some(self.mesh.member(node)?.site.to_string()))
            .collect();
        if sites.is_empty() {
            return Ok(());
        }
        let sites: Vec<String> = sites.into_iter().collect();
        let text = format!(
            "these sites run programs that do not read published policies, and would take no later entry of the authority \
             log: {}",
            sites.join(", ")
        );
        Err(refuse("E0316", &text, "update them; hither member ls shows who runs which program"))
    }

    /// Reads a policy that shall be published, and keeps its text for those who will ask.
    fn publishable(&mut self, text: String, range: &Range) -> Result<PublishedPolicy, CommandError> {
        if text.len() > MAX_POLICY {
            let text = format!("a policy of {} bytes is longer than the {MAX_POLICY} that members pass on", text.len());
            return Err(refuse("E0312", &text, "put what several rules have in common into one"));
        }
        let Law { policy, text } = read_policy(text)
            .map_err(|why| refuse("E0312", &format!("nothing is published: {why}"), "hither policy check FILE"))?;
        let newest = self.home.authority.publications().iter().filter(|held| held.range == *range);
        if let Some(held) = newest.filter_map(|held| held.policy).find(|held| held.version >= policy.version) {
            let text = format!(
                "nothing is published: version {}, b3:{}, is published for this range of nodes, and the new one has version {}",
                held.version,
                held.digest.short(),
                policy.version
            );
            return Err(refuse(
                "E0317",
                &text,
                &format!("write version = {} into the file", held.version.saturating_add(1)),
            ));
        }
        self.texts.keep(&text).map_err(|error| {
            let path = self.texts.dir.display();
            refuse("E0314", &format!("nothing is published: the text cannot be kept in {path}: {error}"), "df -h")
        })?;
        Ok(PublishedPolicy { digest: policy.digest, version: policy.version })
    }

    /// What was published, and what it is to this node.
    pub(crate) fn publications(&mut self) -> CommandDone {
        let texts = self.texts_of_the_log();
        CommandDone::Policies(Publications {
            apart: self.stands_apart(),
            here: self.home.authority.policy_for(&self.home.me).map(|published| published.digest),
            list: self.home.authority.publications().to_vec(),
            held: texts.into_iter().filter(|digest| self.texts.holds(*digest)).collect(),
            in_force: self.policy.digest,
        })
    }

    /// The text of a policy, by the beginning of its digest.
    pub(crate) fn policy_text_of(&mut self, begins: &str) -> Result<CommandDone, CommandError> {
        let begins = begins.strip_prefix("b3:").unwrap_or(begins).to_ascii_lowercase();
        let found = match begins.len() >= PROPOSAL_SAID_MIN {
            true => self.texts.beginning_with(&begins),
            false => Vec::new(),
        };
        let text = match found[..] {
            [digest] => self.texts.get(digest),
            _ => None,
        };
        text.map(CommandDone::PolicyText).ok_or_else(|| {
            let text = format!(
                "not one policy is kept here whose digest begins with {begins:?}; {PROPOSAL_SAID_MIN} letters or more are needed"
            );
            refuse("E0318", &text, "hither policy published; hither audit report --table law names those that were in force")
        })
    }
}
