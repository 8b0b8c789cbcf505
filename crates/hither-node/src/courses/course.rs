//! The course of one file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hither_core::Partner;
use hither_core::distribution::{Bits, Deed, Distribution, Sign, chunk_bytes};
use hither_swarm::{ChunkAsked, Fault, FetchError, Half, PartError};
use hither_types::id::{Digest, NodeId};
use hither_types::message::ChunkWord;
use hither_types::time::Timestamp;
use hither_types::view::CourseView;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{CourseAsk, CourseEnd, Cue, Fetch, Hands};
use crate::limits::{
    COURSE_BEGINS, COURSE_FAR, COURSE_LOOK, COURSE_LOOK_FIRST, COURSE_MEETS, COURSE_MOST, COURSE_NEAR, COURSE_STALLS,
};

/// A file and its chunks.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl File {
    fn chunks(self) -> u32 {
        u32::try_from(self.size.div_ceil(chunk_bytes(self.size))).unwrap_or(u32::MAX)
    }

    fn part(self, chunk: u32) -> Range<u64> {
        let step = chunk_bytes(self.size);
        let start = u64::from(chunk) * step;
        start..(start + step).min(self.size)
    }

    /// The chunk that is this part of the file.
    fn chunk(self, part: &Range<u64>) -> Option<u32> {
        let chunk = u32::try_from(part.start / chunk_bytes(self.size)).ok()?;
        (chunk < self.chunks() && self.part(chunk) == *part).then_some(chunk)
    }
}

/// What came of the work of its hands.
#[derive(Debug)]
pub(super) enum News {
    /// The first bytes of a chunk have come.
    Begun { from: NodeId, chunk: u32 },
    /// A chunk came, was verified and written.
    Arrived { from: NodeId, chunk: u32 },
    /// It did not come.
    Failed { from: NodeId, chunk: u32, fault: Fault },
    /// It came, and could not be written.
    NotWritten { from: NodeId, chunk: u32, error: PartError },
    /// A chunk went to a partner, or did not.
    Given { to: NodeId, offered: u32, whole: bool },
    /// All that was here is a whole file now, or is not.
    Whole(Result<(), FetchError>),
}

/// Who takes part.
#[derive(Debug)]
struct Known {
    near: bool,
    gives: bool,
    takes: bool,
    /// Over which of its connections it speaks.
    session: Option<u64>,
    /// What it said that it has. What was given to it may not have been read yet.
    said: Bits,
}

/// Whoever waits for the file.
#[derive(Debug)]
struct Wanted {
    fetch: Fetch,
    /// When something came last.
    fed: Arc<AtomicU64>,
    begun: Instant,
    given: BTreeMap<NodeId, u64>,
}

/// One file on its way.
#[derive(Debug)]
pub(super) struct Course {
    file: File,
    mind: Distribution,
    /// Where chunks are written and read; `None` if the file was here in full.
    half: Option<Half>,
    partners: BTreeMap<NodeId, Known>,
    sharers: BTreeSet<NodeId>,
    /// Whose copy is not what it should be.
    banned: BTreeSet<NodeId>,
    wanted: Option<Wanted>,
    fetches: BTreeMap<(NodeId, u32), AbortHandle>,
    /// Who has come for a chunk that is on its way here itself.
    waiting: BTreeMap<(NodeId, u32), (u32, ChunkAsked)>,
    /// Somebody was greeted, and could not be, or left.
    tried: bool,
    /// Who is no partner any more.
    parted: Vec<NodeId>,
    look_at: Instant,
}

impl Course {
    /// A file that is here, for others.
    pub(super) fn of_giver(file: File, hands: &Hands) -> Self {
        Self::new(file, Bits::full(file.chunks()), None, hands)
    }

    /// A file that is wanted here.
    pub(super) fn of_taker(fetch: Fetch, half: Half, missing: &[Range<u64>], hands: &Hands) -> Self {
        let file = File { digest: fetch.digest, size: fetch.size.0 };
        let mut have = Bits::full(file.chunks());
        missing.iter().filter_map(|part| file.chunk(part)).for_each(|chunk| have.remove(chunk));
        let complete = have.is_full();
        let mut course = Self::new(file, have, Some(half), hands);
        let now = Instant::now();
        course.wanted =
            Some(Wanted { fetch, fed: Arc::new(AtomicU64::new(hands.now().0)), begun: now, given: BTreeMap::new() });
        course.show();
        if complete {
            course.finish(hands);
        }
        course
    }

    fn new(file: File, have: Bits, half: Option<Half>, hands: &Hands) -> Self {
        let seed = hands.me.prefix() ^ file.digest.prefix();
        Self {
            file,
            mind: Distribution::new(hands.me, have, seed, hands.now()),
            half,
            partners: BTreeMap::new(),
            sharers: BTreeSet::new(),
            banned: BTreeSet::new(),
            wanted: None,
            fetches: BTreeMap::new(),
            waiting: BTreeMap::new(),
            tried: false,
            parted: Vec::new(),
            look_at: Instant::now(),
        }
    }

    pub(super) fn digest(&self) -> Digest {
        self.file.digest
    }

    /// How far it is, for a person.
    pub(super) fn picture(&self) -> CourseView {
        self.mind.picture(self.file.digest)
    }

    /// Whether a member takes part.
    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.partners.contains_key(&node)
    }

    /// Whether one more may take part.
    pub(super) fn has_room(&self) -> bool {
        self.partners.len() < COURSE_MOST
    }

    /// When [`Course::look`] is due.
    pub(super) fn deadline(&self, hands: &Hands) -> Instant {
        let mind = self.mind.deadline().map(|at| hands.instant(at));
        mind.into_iter().fold(self.look_at, Instant::min)
    }

    /// Nobody here wants it, and nobody elsewhere lacks any of it.
    pub(super) fn is_over(&self) -> bool {
        self.wanted.is_none() && self.partners.is_empty()
    }

    /// Who was a partner until a moment ago.
    pub(super) fn take_parted(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.parted)
    }

    /// Does what is due.
    pub(super) fn look(&mut self, hands: &Hands) {
        if self.mind.deadline().is_some_and(|at| at <= hands.now()) {
            self.feed(Sign::Tick, hands);
        }
        if self.mind.have().is_full() {
            let full = self.partners.iter().filter(|(_, known)| known.said.is_full()).map(|(node, _)| *node);
            full.collect::<Vec<_>>().into_iter().for_each(|node| self.gone(node, hands));
        }
        let now = Instant::now();
        let is_due = self.look_at <= now;
        if is_due {
            let begins = self.wanted.as_ref().is_some_and(|wanted| now - wanted.begun < COURSE_BEGINS);
            self.look_at = now + if begins { COURSE_LOOK_FIRST } else { COURSE_LOOK };
        }
        let Some(wanted) = &self.wanted else { return };
        let fed = Timestamp(wanted.fed.load(Ordering::Relaxed));
        let unmet = self.partners.values().all(|partner| partner.session.is_none() || !partner.gives);
        let in_vain = self.partners.is_empty() && self.tried || now - wanted.begun > COURSE_MEETS;
        if !self.mind.have().is_full() && (unmet && in_vain || now - hands.instant(fed) > COURSE_STALLS) {
            return self.end(Err(CourseEnd::Alone), hands);
        }
        if !is_due {
            return;
        }
        let (digest, hands) = (self.file.digest, hands.clone());
        tokio::spawn(async move {
            if let Some(partners) = hands.ask(|reply| CourseAsk::Partners { digest, reply }).await {
                hands.cue(Cue::Partners { digest, partners });
            }
        });
    }

    /// Who has the file or fetches it, nearest first.
    pub(super) fn partners_are(&mut self, all: &[Partner], hands: &Hands) {
        if self.wanted.is_none() {
            return;
        }
        let near: BTreeSet<NodeId> = all.iter().filter(|partner| partner.near).map(|partner| partner.node).collect();
        let left: Vec<NodeId> = self.sharers.difference(&near).copied().collect();
        for node in left {
            self.sharers.remove(&node);
            self.gone(node, hands);
        }
        for node in near {
            if self.sharers.insert(node) {
                self.feed(Sign::Sharer(node), hands);
            }
        }
        for partner in all {
            if let Some(known) = self.partners.get_mut(&partner.node) {
                (known.gives, known.takes) = (partner.gives, partner.takes);
            }
        }
        let some = |near: bool, most: usize| all.iter().filter(move |partner| partner.near == near).take(most);
        let some: Vec<Partner> = some(true, COURSE_NEAR).chain(some(false, COURSE_FAR)).copied().collect();
        some.into_iter().for_each(|partner| self.meet(partner, hands));
    }

    /// Somebody takes part from now on, and is told what is here.
    pub(super) fn meet(&mut self, partner: Partner, hands: &Hands) {
        let Partner { node, near, gives, takes } = partner;
        if self.knows(node) || self.banned.contains(&node) {
            return;
        }
        let said = Bits::new(self.file.chunks());
        self.partners.insert(node, Known { near, gives, takes, session: None, said });
        if self.mind.have().count() == 0 {
            // A greeting: it has nothing to tell yet.
            hands.say(node, self.file.digest, ChunkWord::Have(Vec::new()));
        }
        self.feed(Sign::Partner { node, near }, hands);
    }

    /// A partner said something.
    pub(super) fn said(&mut self, from: NodeId, session: u64, word: ChunkWord, hands: &Hands) {
        let Some(known) = self.partners.get_mut(&from) else { return };
        match known.session {
            None => known.session = Some(session),
            Some(of) if of == session => {}
            // It tells everything anew, and so does this node once it is met again.
            Some(_) => return self.gone(from, hands),
        }
        if let ChunkWord::Have(ranges) = &word {
            let most = known.said.most();
            ranges.iter().flat_map(|range| range.start..range.end.min(most)).for_each(|chunk| {
                known.said.insert(chunk);
            });
        }
        if let (ChunkWord::Offer(chunks), false) = (&word, known.gives) {
            let name = chunks.first().copied().unwrap_or_default();
            return hands.say(from, self.file.digest, ChunkWord::Decline(name));
        }
        self.feed(Sign::Said { from, word }, hands);
    }

    /// A connection of a partner ended.
    pub(super) fn left(&mut self, from: NodeId, session: u64, hands: &Hands) {
        if self.partners.get(&from).is_some_and(|known| known.session == Some(session)) {
            self.gone(from, hands);
        }
    }

    /// A partner takes no part any more.
    pub(super) fn gone(&mut self, node: NodeId, hands: &Hands) {
        if self.partners.remove(&node).is_none() && !self.sharers.contains(&node) {
            return;
        }
        self.parted.push(node);
        self.tried = true;
        self.waiting.retain(|(to, _), _| *to != node);
        self.feed(Sign::Gone(node), hands);
        let of_it: Vec<(NodeId, u32)> = self.fetches.keys().filter(|(from, _)| *from == node).copied().collect();
        of_it.iter().filter_map(|key| self.fetches.remove(key)).for_each(|fetch| fetch.abort());
        // It still has a turn at its site, until it is known to be gone from there.
        if self.sharers.contains(&node) {
            self.feed(Sign::Sharer(node), hands);
        }
    }

    /// Somebody has come for what it was offered.
    pub(super) fn asked(&mut self, asked: ChunkAsked, hands: &Hands) {
        let (by, offered) = (asked.from, asked.offered);
        let Some(chunk) = self.file.chunk(&asked.part).filter(|_| self.knows(by)) else { return };
        self.waiting.insert((by, offered), (chunk, asked));
        self.feed(Sign::Called { by, offered, chunk }, hands);
        self.give(hands);
    }

    /// Gives whoever waits for what is here.
    fn give(&mut self, hands: &Hands) {
        let have = self.mind.have();
        let ready: Vec<(NodeId, u32)> =
            self.waiting.iter().filter(|(_, (chunk, _))| have.has(*chunk)).map(|(key, _)| *key).collect();
        for (to, offered) in ready {
            let Some((_, asked)) = self.waiting.remove(&(to, offered)) else { continue };
            let near = self.partners.get(&to).is_some_and(|known| known.near);
            let (hands, half, digest) = (hands.clone(), self.half.clone(), self.file.digest);
            tokio::spawn(async move {
                let whole = given(&hands, near, half, asked).await;
                hands.tell(digest, News::Given { to, offered, whole });
            });
        }
    }

    pub(super) fn news(&mut self, news: News, hands: &Hands) {
        match news {
            News::Begun { from, chunk } => self.feed(Sign::Begun { from, chunk }, hands),
            News::Arrived { from, chunk } => {
                self.fetches.remove(&(from, chunk));
                let part = self.file.part(chunk);
                if let Some(wanted) = &mut self.wanted {
                    *wanted.given.entry(from).or_default() += part.end - part.start;
                }
                self.feed(Sign::Arrived { from, chunk }, hands);
                self.show();
                self.give(hands);
            }
            News::Failed { from, chunk, fault } => {
                tracing::debug!(peer = %from.short(), digest = %self.file.digest.short(), chunk, %fault, "a chunk did not come");
                self.fetches.remove(&(from, chunk));
                if matches!(fault, Fault::BadBytes | Fault::Rotten) {
                    self.ban(from, &fault.to_string(), hands);
                }
                self.feed(Sign::Failed { from, chunk }, hands);
            }
            News::NotWritten { from, chunk, error: PartError::Disk(error) } => {
                self.fetches.remove(&(from, chunk));
                self.feed(Sign::Failed { from, chunk }, hands);
                self.end(Err(CourseEnd::Here(error)), hands);
            }
            News::NotWritten { from, chunk, error } => {
                self.fetches.remove(&(from, chunk));
                self.ban(from, &error.to_string(), hands);
                self.feed(Sign::Failed { from, chunk }, hands);
            }
            News::Given { to, offered, whole } => self.feed(Sign::Given { to, offered, whole }, hands),
            News::Whole(Ok(())) => {
                let best = self
                    .wanted
                    .as_ref()
                    .and_then(|wanted| wanted.given.iter().max_by_key(|(_, bytes)| **bytes).map(|(node, _)| *node));
                self.end(Ok(best), hands);
            }
            News::Whole(Err(error)) => self.end(Err(CourseEnd::Here(error)), hands),
        }
    }

    /// Nothing of the file is taken any more from somebody whose copy is not what it should be.
    fn ban(&mut self, node: NodeId, why: &str, hands: &Hands) {
        tracing::warn!(peer = %node.short(), digest = %self.file.digest.short(), why, "provider dropped");
        self.banned.insert(node);
        self.gone(node, hands);
    }

    /// Answers whoever waits for the file. Without the file the course is over, and what is here stays on the disk.
    fn end(&mut self, answer: Result<Option<NodeId>, CourseEnd>, hands: &Hands) {
        let Some(wanted) = self.wanted.take() else { return };
        if answer.is_err() {
            for fetch in std::mem::take(&mut self.fetches).into_values() {
                fetch.abort();
            }
            let all: Vec<NodeId> = self.partners.keys().copied().collect();
            all.into_iter().for_each(|node| self.gone(node, hands));
            // Whoever hears of it may fetch the file in another way, which takes the right to write it.
            self.half = None;
        }
        // Whoever asked may have left.
        let _ = wanted.fetch.done.send(answer);
    }

    fn show(&self) {
        if let Some(wanted) = &self.wanted {
            let here = self.mind.have().iter().map(|chunk| self.file.part(chunk)).map(|part| part.end - part.start);
            wanted.fetch.progress.send_replace(here.sum());
        }
    }

    fn feed(&mut self, sign: Sign, hands: &Hands) {
        let mut signs = vec![sign];
        while let Some(sign) = signs.pop() {
            let deeds: Vec<Deed> = self.mind.handle(sign, hands.now()).collect();
            for deed in deeds {
                signs.extend(self.act(deed, hands));
            }
        }
    }

    /// Carries out a deed; what follows from it at once is given back.
    fn act(&mut self, deed: Deed, hands: &Hands) -> Option<Sign> {
        match deed {
            Deed::Say { to, word: ChunkWord::Offer(chunks) } if !self.partners.get(&to).is_some_and(|p| p.takes) => {
                let name = chunks.first().copied().unwrap_or_default();
                return Some(Sign::Said { from: to, word: ChunkWord::Decline(name) });
            }
            Deed::Say { to, word } => hands.say(to, self.file.digest, word),
            Deed::Fetch { from, offered, chunk } => self.fetch(from, offered, chunk, hands),
            Deed::Cancel { from, chunk } => {
                if let Some(fetch) = self.fetches.remove(&(from, chunk)) {
                    fetch.abort();
                }
            }
            Deed::Abandon { from, chunk } => {
                let digest = self.file.digest.short();
                tracing::info!(peer = %from.short(), %digest, chunk, "a chunk that was promised does not come; provider left");
                if let Some(fetch) = self.fetches.remove(&(from, chunk)) {
                    fetch.abort();
                }
            }
            Deed::Refuse { to, offered } => drop(self.waiting.remove(&(to, offered))),
            Deed::Complete => self.finish(hands),
        }
        None
    }

    fn fetch(&mut self, from: NodeId, offered: u32, chunk: u32, hands: &Hands) {
        let (Some(half), Some(wanted)) = (self.half.clone(), &self.wanted) else { return };
        let fed = wanted.fed.clone();
        let (digest, part, own) = (self.file.digest, self.file.part(chunk), hands.clone());
        let fetch = tokio::spawn(async move {
            let mut first = true;
            let came = || {
                fed.store(own.now().0, Ordering::Relaxed);
                if std::mem::take(&mut first) {
                    own.tell(digest, News::Begun { from, chunk });
                }
            };
            let news = match own.swarm.fetch_part(from, digest, part.clone(), offered, came).await {
                Err(fault) => News::Failed { from, chunk, fault },
                Ok(encoded) => match half.write(part, encoded).await {
                    Ok(()) => News::Arrived { from, chunk },
                    Err(error) => News::NotWritten { from, chunk, error },
                },
            };
            own.tell(digest, news);
        });
        self.fetches.insert((from, chunk), fetch.abort_handle());
    }

    fn finish(&self, hands: &Hands) {
        let Some(half) = self.half.clone() else { return };
        let (digest, hands) = (self.file.digest, hands.clone());
        tokio::spawn(async move {
            let whole = half.complete().await;
            hands.tell(digest, News::Whole(whole));
        });
    }
}

/// Gives a chunk once the line is free, if the law still lets it go then.
async fn given(hands: &Hands, near: bool, half: Option<Half>, asked: ChunkAsked) -> bool {
    let (digest, to, part) = (asked.digest, asked.from, asked.part.clone());
    let Ok(_line) = hands.lines[usize::from(near)].acquire().await else { return false };
    if hands.ask(|reply| CourseAsk::MayCopy { digest, to, reply }).await != Some(true) {
        return false;
    }
    let proved = match half {
        Some(half) => half.prove(part).await,
        None => hands.swarm.prove(digest, part).await,
    };
    match proved {
        Ok(encoded) => asked.give(encoded).await,
        Err(error) => {
            tracing::warn!(%digest, %error, "a chunk is not served");
            asked.refuse(error);
            false
        }
    }
}
