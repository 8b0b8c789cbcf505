//! The counters of a kernel, read at the start, every hour and at the end of a node, beside what its ledger says left.
//!
//! The node needs no rights for it: whoever has them writes a file, or lends it one command. What must stay true: what
//! could not be read is on the record as that, and never as a number.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hither_types::fact::{Counterpart, Fact, Outcome, Subject};
use hither_types::id::{Attempt, NodeId, RequestId};
use hither_types::kernel::{KernelFault, KernelSpan};
use hither_types::unit::ByteCount;
use tokio::sync::mpsc;

use crate::driver::{Driver, Inbound};
use crate::home::write_private;
use crate::limits::{KERNEL_FILE_WAIT, KERNEL_LAG, KERNEL_LAST_READING, KERNEL_UNDER_WAY};
use crate::trust::wall_now;

mod book;
mod counters;
#[cfg(test)]
mod tests;

use book::Book;
use counters::{Counters, Freshness, Unread};

/// The file of the last reading.
const LAST: &str = "kernel-counters";

/// Where the counters come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file that somebody with the right to read them writes.
    File(PathBuf),
    /// A program, and its words.
    Command(Vec<String>),
}

/// What the configuration says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KernelConfig {
    pub(crate) source: Source,
    pub(crate) every: Duration,
}

/// One reading, and what had arrived by the ledger before it was taken; none if that is not known.
#[derive(Debug)]
pub(crate) struct Reading {
    counters: Result<Counters, Unread>,
    sent: Option<u64>,
}

/// What is wrong, as an operator is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Leak,
    Short,
    Unread,
    Reset,
}

/// Which way payload goes: out with a request, or back with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Request,
    Answer,
}

/// Payload that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Leaving {
    to: NodeId,
    request: RequestId,
    attempt: Attempt,
    way: Way,
}

impl Leaving {
    fn of(subject: &Subject, to: &Counterpart, way: Way) -> Self {
        Self { to: to.node, request: subject.request, attempt: subject.attempt, way }
    }
}

/// The counters of a node that has some.
pub(crate) struct Kernel {
    config: KernelConfig,
    file: PathBuf,
    book: Book,
    /// Payload that arrived at members since the start, by the facts of the ledger.
    sent: Arc<AtomicU64>,
    /// In which span between readings that began to leave which has not ended.
    under_way: BTreeMap<Leaving, u64>,
    /// The first of those in which that began which arrived since the last reading.
    began: u64,
    told: BTreeMap<Alarm, String>,
}

impl Kernel {
    pub(crate) fn open(config: KernelConfig, data_dir: &std::path::Path) -> Self {
        let file = data_dir.join(LAST);
        // As many readings as begin within the time that the transport takes.
        let lag = KERNEL_LAG.as_millis().div_ceil(config.every.as_millis().max(1));
        let lag = usize::try_from(lag).unwrap_or(usize::MAX);
        // A file that cannot be read is no reading: the next one says that it is the first.
        let book = Book::open(std::fs::read_to_string(&file).ok().as_deref(), lag);
        Self {
            config,
            file,
            book,
            sent: Arc::default(),
            under_way: BTreeMap::new(),
            began: u64::MAX,
            told: BTreeMap::new(),
        }
    }

    /// Payload that arrived passed the kernel; what broke off may have, and is not compared.
    pub(crate) fn note(&mut self, fact: &Fact, is_member: impl Fn(NodeId) -> bool) {
        if let Fact::EgressIntent { subject, to, .. } = fact {
            self.begins(Leaving::of(subject, to, Way::Request));
        } else if let Fact::IngressAccepted { subject, from, .. } = fact {
            self.begins(Leaving::of(subject, from, Way::Answer));
        } else if let Fact::EgressSettled { subject, to, bytes, outcome, over, .. } = fact {
            // What passes a relay goes to the address of that, which the rules have by hand, and count by no name.
            let has_passed = *outcome == Outcome::Answered && over.is_none() && is_member(to.node);
            self.ends(&Leaving::of(subject, to, Way::Request), has_passed.then_some(*bytes));
        } else if let Fact::AnswerSent { subject, to, bytes, outcome, over } = fact {
            let has_passed = *outcome == Outcome::Answered && over.is_none() && is_member(to.node);
            self.ends(&Leaving::of(subject, to, Way::Answer), has_passed.then_some(*bytes));
        }
    }

    fn begins(&mut self, leaving: Leaving) {
        if self.under_way.len() < KERNEL_UNDER_WAY {
            self.under_way.insert(leaving, self.book.number());
        }
    }

    fn ends(&mut self, leaving: &Leaving, passed: Option<ByteCount>) {
        // Of what is not known any more it is not known when it began.
        let began = self.under_way.remove(leaving).unwrap_or(0);
        if let Some(bytes) = passed {
            self.began = self.began.min(began);
            self.sent.fetch_add(bytes.0, Ordering::Relaxed);
        }
    }

    /// Takes a reading in. Gives what goes on the record, and what is wrong now.
    fn take(&mut self, reading: Reading, is_last: bool) -> (Fact, BTreeMap<Alarm, String>) {
        let mut alarms = BTreeMap::new();
        let counters = match reading.counters {
            Ok(counters) => counters,
            Err(Unread { fault, text }) => {
                self.book.broke();
                // What was found before is not over because nobody can look.
                alarms = self.told.clone();
                alarms.remove(&Alarm::Reset);
                alarms.insert(Alarm::Unread, unread_text(fault, &text));
                return (Fact::KernelUnread(fault), alarms);
            }
        };
        let began = std::mem::replace(&mut self.began, u64::MAX);
        let count = self.book.take(wall_now(), counters, reading.sent, began);
        if counters.leak_packets > 0 {
            alarms.insert(Alarm::Leak, leak_text(counters.leak_packets));
        }
        match self.book.is_short() {
            Some(true) => drop(alarms.insert(Alarm::Short, SHORT.to_owned())),
            Some(false) => {}
            None => alarms.extend(self.told.get_key_value(&Alarm::Short).map(|(key, text)| (*key, text.clone()))),
        }
        if count.span == KernelSpan::Reset {
            alarms.insert(Alarm::Reset, RESET.to_owned());
        }
        if let Err(error) = write_private(&self.file, self.book.text(is_last && reading.sent.is_some()).as_bytes()) {
            tracing::warn!(%error, "the next start does not know this reading of the kernel's counters");
        }
        (Fact::KernelCounted(count), alarms)
    }
}

const SHORT: &str = "kernel-short: the kernel counted less than the payload that arrived by this node's ledger: packets leave \
                     by a way that these counters do not see, or the rules are for another user. hither audit report --table \
                     kernel says when; make the rules anew: hither policy firewall FILE --uid UID";

const RESET: &str = "kernel-reset: the kernel's counters hold less than at the last reading: the rules were loaded anew, or the \
                     machine was started. What they held is gone; hither audit report --table kernel says when";

fn leak_text(packets: u64) -> String {
    format!(
        "kernel-leak: the kernel stopped {packets} packets of this node to somebody outside its mesh. hither audit report --table \
         kernel says when; nft list table inet hither has the rules. Once the cause is known: nft -f FILE loads them with \
         counters at 0"
    )
}

fn unread_text(fault: KernelFault, text: &str) -> String {
    let next = match fault {
        KernelFault::Failed => {
            "look at file or command under [egress.kernel] in hither.toml, and at the rights of this user"
        }
        KernelFault::Malformed => "it must be what nft -j list counters table inet hither writes",
        KernelFault::Missing => "hither policy firewall FILE --uid UID makes the rules, nft -f FILE loads them",
        KernelFault::Stale => "look at the timer that writes it: systemctl list-timers",
    };
    format!("kernel-unread: the kernel's counters are not known: {text}; {next}")
}

/// Reads for as long as the node runs.
pub(crate) async fn watch(config: KernelConfig, sent: Arc<AtomicU64>, inbox: mpsc::Sender<Inbound>) {
    loop {
        // Before the counters are read: what is in it has passed them.
        let (before, since) = (sent.load(Ordering::Relaxed), SystemTime::now());
        let wait = KERNEL_FILE_WAIT.min(config.every);
        let counters = counters::read(&config.source, Freshness::After(since, wait)).await;
        if inbox.send(Inbound::Kernel(Reading { counters, sent: Some(before) })).await.is_err() {
            return;
        }
        tokio::time::sleep(config.every).await;
    }
}

impl Driver {
    /// Begins to read the counters, if there are some.
    pub(crate) fn watch_kernel(&mut self) {
        if let Some(kernel) = &self.kernel {
            let watch = watch(kernel.config.clone(), Arc::clone(&kernel.sent), self.inbox.clone());
            self.hands.spawn(watch);
        }
    }

    /// A reading of the counters.
    pub(crate) fn kernel_read(&mut self, reading: Reading) {
        self.kernel_taken(reading, false);
    }

    /// The last reading: the node ends, and nothing leaves any more. A file is taken as it is, for who writes it comes later;
    /// then nothing is compared.
    pub(crate) async fn read_kernel_last(&mut self) {
        let Some(kernel) = &self.kernel else { return };
        let (source, sent) = (kernel.config.source.clone(), kernel.sent.load(Ordering::Relaxed));
        let sent = matches!(source, Source::Command(_)).then_some(sent);
        let reading = counters::read(&source, Freshness::Any);
        // A node that is told to end does so, whatever a program beside it does.
        let counters = tokio::time::timeout(KERNEL_LAST_READING, reading).await.unwrap_or_else(|_| Err(Unread::late()));
        self.kernel_taken(Reading { counters, sent }, true);
    }

    fn kernel_taken(&mut self, reading: Reading, is_last: bool) {
        let Some(kernel) = &mut self.kernel else { return };
        let (fact, alarms) = kernel.take(reading, is_last);
        let before = std::mem::replace(&mut kernel.told, alarms.clone());
        self.record(None, fact);
        for text in before.into_values().filter(|text| !alarms.values().any(|now| now == text)) {
            self.warnings.remove(&(None, text));
        }
        alarms.into_values().for_each(|text| self.warn_once(text));
    }
}
