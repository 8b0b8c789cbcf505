//! Files on their way to many: one course a file, each driven by a mind of its own ([`hither_core::distribution`]).
//!
//! It runs beside the loop of the driver, for words about chunks are many and no request waits for one. What the law says,
//! and who takes part, it asks the driver: who anew every two seconds, the law again before each chunk that is given.
//!
//! Whoever fetches greets its partners: members that have the file or fetch it, all of its site and a few elsewhere. Whoever
//! has a file takes part as long as somebody does who lacks some of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use hither_core::Partner;
use hither_swarm::{ChunkAsked, ChunkEvent, FetchError, Half, Swarm};
use hither_types::id::{Digest, NodeId};
use hither_types::message::{ChunkTalk, ChunkWord};
use hither_types::time::Timestamp;
use hither_types::unit::ByteCount;
use hither_types::view::CourseView;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::driver::Inbound;
use crate::limits::{COURSE_DRAWN, COURSE_LINES, COURSE_STRANGERS, COURSE_WORDS};

mod course;
#[cfg(test)]
mod tests;

use course::{Course, File, News};

/// What the driver is asked.
pub(crate) enum CourseAsk {
    /// Who has a file or fetches it.
    Partners { digest: Digest, reply: oneshot::Sender<Vec<Partner>> },
    /// A member speaks of a file.
    Meet { digest: Digest, node: NodeId, reply: oneshot::Sender<Option<Meeting>> },
    /// A member has come for some of a file: whether the law lets a copy go there.
    MayCopy { digest: Digest, to: NodeId, reply: oneshot::Sender<bool> },
}

/// Who speaks of a file, and what is known of that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meeting {
    pub(crate) partner: Partner,
    pub(crate) size: ByteCount,
    /// Whether the file is here in full.
    pub(crate) here: bool,
}

/// How a course ended without the file.
#[derive(Debug)]
pub(crate) enum CourseEnd {
    /// Nobody gives anything in this way.
    Alone,
    /// This node itself cannot go on.
    Here(FetchError),
}

/// A file is wanted.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) digest: Digest,
    pub(crate) size: ByteCount,
    /// Bytes that are here and verified.
    pub(crate) progress: watch::Sender<u64>,
    /// The member that gave most.
    pub(crate) done: oneshot::Sender<Result<Option<NodeId>, CourseEnd>>,
}

/// What there is of a file, and which parts of it are missing; `None` if it is here in full.
type Opened = Result<Option<(Half, Vec<Range<u64>>)>, FetchError>;

/// What reaches the courses.
enum Cue {
    Fetch(Fetch),
    /// What there is of a file was opened.
    Opened {
        fetch: Fetch,
        opened: Opened,
    },
    Partners {
        digest: Digest,
        partners: Vec<Partner>,
    },
    Met {
        digest: Digest,
        node: NodeId,
        meeting: Option<Meeting>,
    },
    Of {
        digest: Digest,
        news: News,
    },
}

/// How the driver speaks to the courses.
#[derive(Debug, Clone)]
pub(crate) struct Courses {
    cues: mpsc::UnboundedSender<Cue>,
    pictures: watch::Receiver<Vec<CourseView>>,
}

impl Courses {
    /// Starts them. They end with the last handle, or the swarm.
    pub(crate) fn start(
        me: NodeId,
        swarm: Swarm,
        events: mpsc::Receiver<ChunkEvent>,
        inbox: mpsc::Sender<Inbound>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (cues, heard) = mpsc::unbounded_channel();
        let lines = [(); 2].map(|()| Arc::new(Semaphore::new(COURSE_LINES)));
        let hands = Hands { me, swarm, inbox, cues: cues.downgrade(), lines, begun: Instant::now() };
        let (seen, pictures) = watch::channel(Vec::new());
        let (courses, strangers, picture_at) = (BTreeMap::new(), BTreeMap::new(), Instant::now());
        let stage = Stage { hands, courses, strangers, pictures: seen, picture_at };
        (Self { cues, pictures }, stage.run(heard, events))
    }

    /// Fetches a file.
    pub(crate) fn fetch(&self, fetch: Fetch) {
        // They end when the node does; whoever waits finds out by the other end of `done`.
        let _ = self.cues.send(Cue::Fetch(fetch));
    }

    /// How far each file is, as it was a moment ago.
    pub(crate) fn seen(&self) -> Vec<CourseView> {
        self.pictures.borrow().clone()
    }
}

/// What all courses use.
#[derive(Debug, Clone)]
struct Hands {
    me: NodeId,
    swarm: Swarm,
    inbox: mpsc::Sender<Inbound>,
    cues: mpsc::WeakUnboundedSender<Cue>,
    /// One chunk after the other goes over a line: far, and near.
    lines: [Arc<Semaphore>; 2],
    begun: Instant,
}

impl Hands {
    fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Timestamp {
        let passed = instant.saturating_duration_since(self.begun);
        Timestamp(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.begun + Duration::from_micros(at.0)
    }

    fn cue(&self, cue: Cue) {
        if let Some(cues) = self.cues.upgrade() {
            // It fails only when the courses have ended.
            let _ = cues.send(cue);
        }
    }

    fn tell(&self, digest: Digest, news: News) {
        self.cue(Cue::Of { digest, news });
    }

    fn say(&self, to: NodeId, digest: Digest, word: ChunkWord) {
        self.swarm.say_chunk(to, ChunkTalk { digest, word });
    }

    /// Asks the driver; `None` if the node is stopping.
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> CourseAsk) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Inbound::Course(ask(reply))).await.ok()?;
        answer.await.ok()
    }
}

/// Words of somebody who is not known yet.
type Unheard = Vec<(u64, ChunkWord)>;

struct Stage {
    hands: Hands,
    courses: BTreeMap<Digest, Course>,
    /// Who spoke of a file and is being looked up.
    strangers: BTreeMap<(NodeId, Digest), Unheard>,
    /// What a person is shown, and when it is drawn next.
    pictures: watch::Sender<Vec<CourseView>>,
    picture_at: Instant,
}

impl Stage {
    async fn run(mut self, mut cues: mpsc::UnboundedReceiver<Cue>, mut events: mpsc::Receiver<ChunkEvent>) {
        loop {
            let next = self.courses.values().map(|course| course.deadline(&self.hands)).min();
            tokio::select! {
                cue = cues.recv() => match cue {
                    Some(cue) => self.take(cue),
                    None => return,
                },
                event = events.recv() => match event {
                    Some(event) => self.heard(event),
                    None => return,
                },
                () = until(next) => {}
            }
            self.look();
        }
    }

    fn take(&mut self, cue: Cue) {
        match cue {
            Cue::Fetch(fetch) => self.fetch(fetch),
            Cue::Opened { fetch, opened } => self.opened(fetch, opened),
            Cue::Partners { digest, partners } => {
                if let Some(course) = self.courses.get_mut(&digest) {
                    course.partners_are(&partners, &self.hands);
                }
            }
            Cue::Met { digest, node, meeting } => self.met(digest, node, meeting),
            Cue::Of { digest, news } => {
                if let Some(course) = self.courses.get_mut(&digest) {
                    course.news(news, &self.hands);
                }
            }
        }
    }

    fn fetch(&self, fetch: Fetch) {
        let hands = self.hands.clone();
        tokio::spawn(async move {
            let step = hither_core::distribution::chunk_bytes(fetch.size.0);
            let opened = hands.swarm.begin(fetch.digest, fetch.size, step).await;
            hands.cue(Cue::Opened { fetch, opened });
        });
    }

    fn opened(&mut self, fetch: Fetch, opened: Opened) {
        let answer = match opened {
            Ok(Some((half, missing))) => {
                let course = Course::of_taker(fetch, half, &missing, &self.hands);
                self.courses.insert(course.digest(), course);
                return;
            }
            Ok(None) => {
                fetch.progress.send_replace(fetch.size.0);
                Ok(None)
            }
            Err(error) => Err(CourseEnd::Here(error)),
        };
        // Whoever asked may have left.
        let _ = fetch.done.send(answer);
    }

    fn heard(&mut self, event: ChunkEvent) {
        match event {
            ChunkEvent::Said { from, session, talk: ChunkTalk { digest, word } } => {
                match self.courses.get_mut(&digest) {
                    Some(course) if course.knows(from) => course.said(from, session, word, &self.hands),
                    _ => self.stranger(from, session, digest, word),
                }
            }
            ChunkEvent::Left { from, session } => {
                self.strangers.retain(|(node, _), words| {
                    words.retain(|(of, _)| *node != from || *of != session);
                    !words.is_empty()
                });
                for course in self.courses.values_mut() {
                    course.left(from, session, &self.hands);
                }
            }
            ChunkEvent::Unheard { to, error } => {
                if let Some(error) = error {
                    tracing::debug!(peer = %to.short(), %error, "not met on the way of a file");
                }
                for course in self.courses.values_mut() {
                    course.gone(to, &self.hands);
                }
            }
            ChunkEvent::Asked(asked) => self.asked(asked),
            ChunkEvent::Copying { to, digest, may } => {
                let hands = self.hands.clone();
                tokio::spawn(async move {
                    let lawful = hands.ask(|reply| CourseAsk::MayCopy { digest, to, reply }).await;
                    // Whoever asked may have left.
                    let _ = may.send(lawful.unwrap_or(false));
                });
            }
        }
    }

    fn asked(&mut self, asked: ChunkAsked) {
        // Dropping it refuses: nothing was offered.
        if let Some(course) = self.courses.get_mut(&asked.digest) {
            course.asked(asked, &self.hands);
        }
    }

    /// Somebody speaks of a file who was not met on its way: whether the law lets it take part is for the driver.
    fn stranger(&mut self, from: NodeId, session: u64, digest: Digest, word: ChunkWord) {
        if let Some(words) = self.strangers.get_mut(&(from, digest)) {
            // Whoever says more before it is known says it in vain; its chunks are told again by what is fetched.
            if words.len() < COURSE_WORDS {
                words.push((session, word));
            }
            return;
        }
        if self.strangers.len() >= COURSE_STRANGERS {
            tracing::debug!(peer = %from.short(), "too many strangers on the way of files");
            return;
        }
        self.strangers.insert((from, digest), vec![(session, word)]);
        let hands = self.hands.clone();
        tokio::spawn(async move {
            let meeting = hands.ask(|reply| CourseAsk::Meet { digest, node: from, reply }).await;
            hands.cue(Cue::Met { digest, node: from, meeting: meeting.flatten() });
        });
    }

    fn met(&mut self, digest: Digest, node: NodeId, meeting: Option<Meeting>) {
        let Some(words) = self.strangers.remove(&(node, digest)) else { return };
        let Some(Meeting { partner, size, here }) = meeting else { return };
        if here && !self.courses.contains_key(&digest) {
            let file = File { digest, size: size.0 };
            self.courses.insert(digest, Course::of_giver(file, &self.hands));
        }
        let Some(course) = self.courses.get_mut(&digest).filter(|course| course.has_room()) else { return };
        course.meet(partner, &self.hands);
        for (session, word) in words {
            course.said(node, session, word, &self.hands);
        }
    }

    /// Ends what is over, and says nothing more to whom nobody has anything to say.
    fn look(&mut self) {
        let mut parted = Vec::new();
        self.courses.retain(|_, course| {
            course.look(&self.hands);
            parted.append(&mut course.take_parted());
            !course.is_over()
        });
        parted.retain(|node| self.courses.values().all(|course| !course.knows(*node)));
        parted.into_iter().for_each(|node| self.hands.swarm.hush(node));
        self.draw();
    }

    /// Draws how far each file is, if that is due, or if one has begun or ended.
    fn draw(&mut self) {
        let now = Instant::now();
        let known = self.pictures.borrow().len();
        if self.courses.len() == known && (known == 0 || now < self.picture_at) {
            return;
        }
        self.picture_at = now + COURSE_DRAWN;
        self.pictures.send_replace(self.courses.values().map(Course::picture).collect());
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
