//! What is known of the other members: what they last said, how far they are, and how they did.
//!
//! A member is never forgotten because it is silent: who belongs is the certificates' matter, who is present is ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use hither_types::id::{Digest, NodeId, SiteName};
use hither_types::member::Member;
use hither_types::message::{ModelPresence, ModelStage, Presence};
use hither_types::place::Assurance;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::limits;
use crate::mean::Mean;
use crate::random::Random;

mod distance;

/// One other member.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) member: Member,
    presence: Option<Arc<Presence>>,
    heard: Option<Timestamp>,
    /// Whether others see to it that its silence is noticed, and then whether it is there.
    stands: Option<bool>,
    rtt: Option<Micros>,
    /// How far it is taken to be while that was not measured.
    guess: Micros,
    strikes: u32,
    cool_until: Timestamp,
    forgiven_from: Option<u64>,
    /// Until when it is not asked for work, and how long that was.
    spared: (Timestamp, Micros),
    /// What this node knows of it and models, from its own dealings.
    known: Vec<Known>,
    /// A probe or an offer that it has not answered yet.
    asked: Option<(u32, Timestamp)>,
    unanswered: u8,
}

/// What this node knows of a peer and one model. Most peers are asked for one or two.
#[derive(Debug, Clone, Copy)]
struct Known {
    digest: Digest,
    /// What an answer took there as this node saw it, the way aside.
    learned: Mean,
    /// What it said last, to this node alone, of what a request takes there; zero if nothing.
    said: Micros,
    /// Until when it is not asked for the model; zero if it never declined it.
    declined_until: Timestamp,
    /// Requests sent there since it last told of itself, and when the last was.
    sent: u32,
    sent_at: Timestamp,
}

impl Known {
    fn new(digest: Digest) -> Self {
        let (said, declined_until) = (Micros(0), Timestamp(0));
        Self { digest, learned: Mean::default(), said, declined_until, sent: 0, sent_at: Timestamp(0) }
    }
}

impl Peer {
    fn new(member: Member) -> Self {
        Self {
            member,
            presence: None,
            heard: None,
            stands: None,
            rtt: None,
            guess: Micros(0),
            strikes: 0,
            cool_until: Timestamp(0),
            forgiven_from: None,
            spared: (Timestamp(0), Micros(0)),
            known: Vec::new(),
            asked: None,
            unanswered: 0,
        }
    }

    fn known(&self, digest: Digest) -> Option<&Known> {
        self.known.iter().find(|known| known.digest == digest)
    }

    /// What is known of it and a model, to be changed. The list is bounded: one that it does not hold makes room.
    fn known_mut(&mut self, digest: Digest) -> &mut Known {
        if let Some(index) = self.known.iter().position(|known| known.digest == digest) {
            return &mut self.known[index];
        }
        if self.known.len() >= limits::PRESENCE_MODELS_MAX {
            let unheld = self.known.iter().position(|known| self.model(known.digest).is_none());
            self.known.remove(unheld.unwrap_or(0));
        }
        // One more, and not four: there are many peers.
        self.known.reserve_exact(1);
        self.known.push(Known::new(digest));
        self.known.last_mut().expect("it was put there")
    }

    /// What it said of a model.
    pub(crate) fn model(&self, digest: Digest) -> Option<&ModelPresence> {
        self.presence.as_ref()?.models.iter().find(|model| model.digest == digest)
    }

    /// How far a model is there, if its file is there.
    pub(crate) fn holding(&self, digest: Digest) -> Option<&ModelPresence> {
        self.model(digest).filter(|model| match model.stage {
            ModelStage::Stored | ModelStage::Ready | ModelStage::Quarantined => true,
            ModelStage::Fetching => false,
        })
    }

    /// What it last said.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.as_deref()
    }

    /// When it was last heard.
    pub(crate) fn heard(&self) -> Option<Timestamp> {
        self.heard
    }

    /// Whether what it said last is what it would say now, as far as anybody knows.
    pub(crate) fn is_current(&self) -> bool {
        self.stands == Some(true)
    }

    /// Whether it is left alone after it fell silent.
    pub(crate) fn is_cooling(&self, now: Timestamp) -> bool {
        now < self.cool_until
    }

    /// Until when it is not asked for a model, after it declined it.
    pub(crate) fn declined_until(&self, digest: Digest, now: Timestamp) -> Option<Timestamp> {
        self.known(digest).map(|known| known.declined_until).filter(|until| now < *until)
    }

    /// What a request takes there: as this node saw it, if it saw enough, else as the peer says itself.
    pub(crate) fn service(&self, digest: Digest) -> Option<Micros> {
        let known = self.known(digest);
        let learned = known.map(|known| known.learned).filter(|mean| mean.samples() >= limits::LEARNED_FROM);
        let said = || known.map(|known| known.said).filter(|said| *said > Micros(0));
        let told = || self.model(digest).map(|model| model.service).filter(|service| *service > Micros(0));
        learned.map(|mean| mean.value()).or_else(said).or_else(told)
    }

    /// Whether it is not asked for work at the moment: it had none.
    pub(crate) fn is_spared(&self, now: Timestamp) -> bool {
        now < self.spared.0
    }

    /// Whether it owes an answer, and not for so long that it will not come.
    pub(crate) fn is_asked(&self, now: Timestamp) -> bool {
        self.asked.is_some_and(|(_, at)| now.since(at) <= limits::SILENCE)
    }

    /// Whether it owes an answer for longer than an answer takes, and was not heard since.
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        let usual = limits::OFFER_FOR.0.saturating_add(self.far().0);
        self.asked.is_some_and(|(_, at)| now.since(at).0 > usual && self.heard.is_none_or(|heard| heard < at))
    }

    /// Requests sent there for a model since it last spoke: it has not counted them yet.
    ///
    /// Whose word stands until it changes has counted them after a while, or they ended before it could.
    pub(crate) fn sent(&self, digest: Digest, now: Timestamp) -> u64 {
        let counts = |known: &&Known| !self.is_current() || now.since(known.sent_at) <= limits::GOSSIP_FOR;
        self.known(digest).filter(counts).map_or(0, |known| u64::from(known.sent))
    }
}

/// All other members, by key.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Each with the beginning of its key, in order of keys: what a search reads lies close together.
    peers: Vec<(u64, Box<Peer>)>,
    /// Grows whenever a circle drawn before may be wrong: who belongs, what they hold, who is left alone.
    version: u64,
    /// How far a site is there and back, as it was measured to one of its members.
    sites: BTreeMap<SiteName, Micros>,
    /// A member counts as present for so long after it was heard.
    present_for: Micros,
    /// Until when words of members that were not heard yet are waited for.
    pub(crate) settled: Timestamp,
}

impl Peers {
    /// Nobody, yet.
    pub(crate) fn new(announce_every: Micros, settled: Timestamp) -> Self {
        let present_for = Micros(announce_every.0.saturating_mul(limits::PRESENT_FOR_ANNOUNCEMENTS));
        Self { peers: Vec::new(), version: 0, sites: BTreeMap::new(), present_for, settled }
    }

    /// Whether this node was started so lately that it has not heard from all members yet.
    pub(crate) fn are_settling(&self, now: Timestamp) -> bool {
        now < self.settled && self.iter().any(|peer| peer.heard().is_none())
    }

    /// Where a member stands, or would.
    ///
    /// Keys are spread evenly, as hashes are, so the search begins where the key ought to be (interpolation search) and
    /// goes on from neighbour to neighbour.
    fn index(&self, node: NodeId) -> Result<usize, usize> {
        let key = node.prefix();
        let guess = (u128::from(key) * self.peers.len() as u128) >> 64;
        let mut index = guess as usize;
        while index > 0 && self.peers[index - 1].0 >= key {
            index -= 1;
        }
        while self.peers.get(index).is_some_and(|(known, _)| *known < key) {
            index += 1;
        }
        // Two whose first eight bytes are alike stand in the order of the rest.
        while let Some((_, peer)) = self.peers.get(index).filter(|(known, _)| *known == key) {
            match peer.member.node.cmp(&node) {
                std::cmp::Ordering::Less => index += 1,
                std::cmp::Ordering::Equal => return Ok(index),
                std::cmp::Ordering::Greater => break,
            }
        }
        Err(index)
    }

    fn get_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        let index = self.index(node).ok()?;
        Some(&mut self.peers[index].1)
    }

    /// Grows whenever a circle drawn before may be wrong.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether a member was heard lately.
    pub(crate) fn is_present(&self, peer: &Peer, now: Timestamp) -> bool {
        peer.stands.unwrap_or_else(|| peer.heard.is_some_and(|heard| now.since(heard) <= self.present_for))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Somebody belongs, or its certificate changed; `false` if there is no room for it.
    pub(crate) fn add(&mut self, member: Member) -> bool {
        self.version += 1;
        match self.index(member.node) {
            Ok(index) => self.peers[index].1.member = member,
            Err(_) if self.peers.len() >= limits::MEMBERS_MAX => return false,
            Err(index) => self.peers.insert(index, (member.node.prefix(), Box::new(Peer::new(member)))),
        }
        true
    }

    /// It is known better, or less well, where a member stands; `false` if that is not so.
    pub(crate) fn assure(&mut self, node: NodeId, assurance: Assurance) -> bool {
        let Some(peer) = self.get_mut(node).filter(|peer| peer.member.assurance != assurance) else { return false };
        peer.member.assurance = assurance;
        self.version += 1;
        true
    }

    /// Somebody does not belong any more.
    pub(crate) fn remove(&mut self, node: NodeId) -> bool {
        self.version += 1;
        let Ok(index) = self.index(node) else { return false };
        let (_, peer) = self.peers.remove(index);
        self.forget_site(&peer.member.site);
        true
    }

    /// One member.
    pub(crate) fn get(&self, node: NodeId) -> Option<&Peer> {
        self.index(node).ok().map(|index| &*self.peers[index].1)
    }

    /// All of them, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().map(|(_, peer)| &**peer)
    }

    /// Whether there is anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Takes in what a member said of itself; `false` if it does not belong or said something newer before.
    pub(crate) fn hear(&mut self, from: NodeId, mut presence: Arc<Presence>, now: Timestamp) -> bool {
        let Some(peer) = self.get_mut(from) else { return false };
        let version = (presence.incarnation, presence.sequence);
        let anew = match &peer.presence {
            Some(known) if version <= (known.incarnation, known.sequence) => return false,
            Some(known) => presence.incarnation > known.incarnation,
            None => false,
        };
        if presence.models.len() > limits::PRESENCE_MODELS_MAX {
            Arc::make_mut(&mut presence).models.truncate(limits::PRESENCE_MODELS_MAX);
        }
        if anew {
            peer.forgiven_from = None;
            peer.strikes = 0;
            peer.cool_until = Timestamp(0);
            peer.known.iter_mut().for_each(|known| known.declined_until = Timestamp(0));
        } else if peer.forgiven_from.is_some_and(|from| presence.sequence >= from && !mutant!(SilentForEver)) {
            peer.forgiven_from = None;
            peer.cool_until = Timestamp(0);
        }
        let holds = |m: &ModelPresence| (m.digest, m.stage);
        let same = |known: &Presence| known.models.iter().map(holds).eq(presence.models.iter().map(holds));
        let news = peer.presence.as_ref().is_none_or(|known| !same(known));
        peer.known.iter_mut().for_each(|known| known.sent = 0);
        peer.presence = Some(presence);
        peer.heard = Some(now);
        self.version += u64::from(news);
        true
    }

    /// What a member has open by its newest word, and had not by the one before.
    pub(crate) fn opens(&self, from: NodeId, presence: &Presence) -> Vec<Digest> {
        let Some(peer) = self.get(from) else { return Vec::new() };
        let ready = presence.models.iter().filter(|model| model.stage == ModelStage::Ready);
        let before = |digest| peer.model(digest).is_some_and(|model| model.stage == ModelStage::Ready);
        ready.map(|model| model.digest).filter(|digest| !before(*digest)).collect()
    }

    /// What a member declined for want of an engine, it has one for now.
    pub(crate) fn undecline(&mut self, node: NodeId, digest: Digest) {
        if let Some(known) =
            self.get_mut(node).and_then(|peer| peer.known.iter_mut().find(|known| known.digest == digest))
        {
            known.declined_until = Timestamp(0);
        }
    }

    /// A probe or an offer goes to a member. One that owes two answers already is left alone for a while.
    pub(crate) fn asking(&mut self, node: NodeId, number: u32, now: Timestamp) {
        let Some(peer) = self.get_mut(node) else { return };
        // Answers to several questions are on their way at a time; one that is overdue is what counts.
        if peer.is_asked(now) {
            return;
        }
        let lost = peer.asked.replace((number, now)).is_some();
        peer.unanswered = if lost { peer.unanswered.saturating_add(1) } else { peer.unanswered };
        if peer.unanswered >= limits::UNANSWERED_MAX {
            peer.unanswered = 0;
            self.struck(node, now);
        }
    }

    /// A member answered a probe or an offer: the way there and back is measured.
    pub(crate) fn replied(&mut self, node: NodeId, number: u32, now: Timestamp) {
        let Some(peer) = self.get_mut(node) else { return };
        peer.unanswered = 0;
        if let Some((asked, at)) = peer.asked.take()
            && asked == number
        {
            self.timed(node, now.since(at));
        }
    }

    /// A member said what a request takes there.
    pub(crate) fn says(&mut self, node: NodeId, digest: Digest, service: Micros) {
        if let Some(peer) = self.get_mut(node)
            && service > Micros(0)
        {
            peer.known_mut(digest).said = service;
        }
    }

    /// A member answered a request: what that took, the way aside.
    pub(crate) fn learned(&mut self, node: NodeId, digest: Digest, took: Micros) {
        if let Some(peer) = self.get_mut(node) {
            peer.known_mut(digest).learned.add(took);
        }
    }

    /// A request was sent to a member.
    pub(crate) fn sent(&mut self, node: NodeId, digest: Digest, now: Timestamp) {
        if let Some(peer) = self.get_mut(node) {
            let counted = peer.is_current();
            let known = peer.known_mut(digest);
            if counted && now.since(known.sent_at) > limits::GOSSIP_FOR {
                known.sent = 0;
            }
            known.sent = known.sent.saturating_add(1);
            known.sent_at = now;
        }
    }

    /// A member answered: whatever it did before is forgiven.
    pub(crate) fn answered(&mut self, node: NodeId) {
        if let Some(peer) = self.get_mut(node) {
            peer.strikes = 0;
            peer.cool_until = Timestamp(0);
            peer.forgiven_from = None;
        }
    }

    /// A member fell silent under a request. It is left alone, longer each time. The first time, hearing it again
    /// afterwards is enough; a member that speaks and yet keeps failing is given time only.
    pub(crate) fn struck(&mut self, node: NodeId, now: Timestamp) {
        let Some(peer) = self.get_mut(node) else { return };
        // Requests that fail together are one failure.
        if peer.is_cooling(now) {
            return;
        }
        let span = limits::COOL_MIN.0.saturating_mul(1 << peer.strikes.min(8)).min(limits::COOL_MAX.0);
        // Whoever speaks only when there is news is not heard again; others are forgiven the first time when they are.
        let first = peer.strikes == 0 && peer.is_current();
        let span = if first { limits::COOL_FIRST.0 } else { span };
        let span = if mutant!(SilentForEver) { u64::MAX / 2 } else { span };
        peer.strikes = peer.strikes.saturating_add(1);
        peer.cool_until = now.after(Micros(span));
        let known = peer.presence.as_ref().map_or(0, |presence| presence.sequence);
        peer.forgiven_from = (peer.strikes == 1).then_some(known.saturating_add(limits::FORGIVING_PRESENCES));
        self.version += 1;
    }

    /// A member is alive, but its engine hangs: only time or an answer forgives that.
    pub(crate) fn stuck(&mut self, node: NodeId, now: Timestamp) {
        self.struck(node, now);
        if let Some(peer) = self.get_mut(node) {
            peer.forgiven_from = None;
        }
    }

    /// A member had no work to give: it is spared, longer each time, and not by all at the same moment.
    pub(crate) fn spare(&mut self, node: NodeId, now: Timestamp, random: &mut Random) {
        let Some(peer) = self.get_mut(node) else { return };
        let span = peer.spared.1.0.saturating_mul(2).clamp(limits::STEAL_BACKOFF_MIN.0, limits::STEAL_BACKOFF_MAX.0);
        let jitter = random.below(span as usize / 2 + 1) as u64;
        peer.spared = (now.after(Micros(span - span / 4 + jitter)), Micros(span));
    }

    /// A member had work to give.
    pub(crate) fn forgive(&mut self, node: NodeId) {
        if let Some(peer) = self.get_mut(node) {
            peer.spared = (Timestamp(0), Micros(0));
        }
    }

    /// A member has room for a model: that it declined before does not count any more.
    pub(crate) fn welcomes(&mut self, node: NodeId, digest: Digest) {
        if let Some(peer) = self.get_mut(node)
            && !mutant!(DeclinedForEver)
        {
            peer.known_mut(digest).declined_until = Timestamp(0);
        }
    }

    /// A member declined a model for want of room.
    pub(crate) fn declined(&mut self, node: NodeId, digest: Digest, now: Timestamp) {
        if let Some(peer) = self.get_mut(node) {
            let until = if mutant!(DeclinedForEver) { Timestamp(u64::MAX) } else { now.after(limits::DECLINED_FOR) };
            peer.known_mut(digest).declined_until = until;
        }
    }
}
