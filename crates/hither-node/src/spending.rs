//! What left and was spent today, kept over a start of the node: else a restart would begin the day anew.
//!
//! The file is written at most once a second, and when the node ends. What left in the last second before a node was killed is
//! in its ledger, and not in its budgets.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hither_types::id::{AppName, SiteName};
use hither_types::spending::{Flow, Link, Money, Spent};
use hither_types::unit::ByteCount;

use crate::home::write_private;
use crate::limits::SPENDING_EVERY;

#[cfg(test)]
mod tests;

/// The file of what was spent.
#[derive(Debug)]
pub(crate) struct Till {
    path: PathBuf,
    /// What is in it, or about to be.
    kept: Spent,
    at: Option<Instant>,
    /// Somebody is writing.
    busy: Arc<AtomicBool>,
}

impl Till {
    /// Reads the file. What cannot be read counts as nothing spent; the text that comes back says so.
    pub(crate) fn open(path: PathBuf) -> (Self, Option<String>) {
        let read = match std::fs::read_to_string(&path) {
            Ok(text) => read(&text).ok_or("it is not what this program writes".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Spent::default()),
            Err(error) => Err(error.to_string()),
        };
        let trouble = read
            .as_ref()
            .err()
            .map(|why| format!("{} cannot be read: {why}. Budgets of today begin with nothing spent", path.display()));
        (Self { path, kept: read.unwrap_or_default(), at: None, busy: Arc::default() }, trouble)
    }

    /// What was spent, as far as the mind or, after a start, the file knows.
    pub(crate) fn spent(&self, mind: Spent) -> Spent {
        if mind.day > 0 { mind } else { self.kept.clone() }
    }

    /// Writes what is new, soon. Nobody waits for it.
    pub(crate) fn keep(&mut self, spent: &Spent) {
        let early = self.at.is_some_and(|at| at.elapsed() < SPENDING_EVERY);
        if early || *spent == self.kept || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        (self.kept, self.at) = (spent.clone(), Some(Instant::now()));
        let (path, text, busy) = (self.path.clone(), write(spent), Arc::clone(&self.busy));
        tokio::task::spawn_blocking(move || {
            put(&path, &text);
            busy.store(false, Ordering::Release);
        });
    }

    /// Writes what is new, now: the node ends.
    pub(crate) fn close(&mut self, spent: &Spent) {
        // Whoever writes is done in a moment, and would put an older word over this one.
        let until = Instant::now() + SPENDING_EVERY;
        while self.busy.load(Ordering::Acquire) && Instant::now() < until {
            std::thread::yield_now();
        }
        if *spent != self.kept {
            put(&self.path, &write(spent));
        }
    }
}

fn put(path: &std::path::Path, text: &str) {
    if let Err(error) = write_private(path, text.as_bytes()) {
        tracing::warn!(%error, path = %path.display(), "what was spent today is not remembered over a restart");
    }
}

/// One thing a line; names have no spaces.
fn write(spent: &Spent) -> String {
    let Spent { day, links, relayed, apps, money, saved } = spent;
    let mut text = format!("day {day}\nsaved {}\n", saved.0);
    let lines = Link::ALL.iter().zip(links);
    // Writing to a string does not fail.
    for (link, flow) in lines {
        let _ = writeln!(text, "link {} {} {}", link.as_str(), flow.requests.0, flow.answers.0);
    }
    let _ = writeln!(text, "relayed {} {}", relayed.requests.0, relayed.answers.0);
    for (app, bytes) in apps {
        let _ = writeln!(text, "app {app} {}", bytes.0);
    }
    for ((server, app), money) in money {
        let _ = writeln!(text, "money {server} {app} {}", money.0);
    }
    text
}

fn read(text: &str) -> Option<Spent> {
    let mut spent = Spent::default();
    let number = |word: &str| word.parse::<u64>().ok();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["day", day] => spent.day = number(day)?,
            ["saved", saved] => spent.saved = Money(number(saved)?),
            ["link", link, requests, answers] => {
                let place = Link::ALL.iter().position(|known| known.as_str() == link)?;
                let (requests, answers) = (ByteCount(number(requests)?), ByteCount(number(answers)?));
                spent.links[place] = Flow { requests, answers };
            }
            ["relayed", requests, answers] => {
                spent.relayed = Flow { requests: ByteCount(number(requests)?), answers: ByteCount(number(answers)?) };
            }
            ["app", app, bytes] => {
                spent.apps.insert(AppName::parse(app).ok()?, ByteCount(number(bytes)?));
            }
            ["money", server, app, money] => {
                let key = (SiteName::parse(server).ok()?, AppName::parse(app).ok()?);
                spent.money.insert(key, Money(number(money)?));
            }
            _ => return None,
        }
    }
    Some(spent)
}
