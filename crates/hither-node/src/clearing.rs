//! What is to leave for a server outside the mesh is read by its filter, before it goes on the record: the record has the
//! bytes that leave, and what was found.
//!
//! A long text takes a while to read, and the loop waits for no hand. So the intent is kept here until it was read, and
//! nothing leaves before it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hither_api::endpoint::{Cleared, Filter};
use hither_core::Event;
use hither_engine::work::Work;
use hither_types::fact::{Fact, FilterVerdict};
use hither_types::filter::{Findings, Withheld};
use hither_types::id::{Attempt, NodeId, RequestId, Ticket};

use crate::driver::{Driver, Inbound};

/// What a filter made of a request.
pub(crate) type Verdict = Result<Arc<Cleared>, Withheld>;

/// What no filter read although one should have.
pub(crate) const UNREAD: &str = "a text that was not read";

/// One attempt on its way to one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Passage {
    request: RequestId,
    attempt: Attempt,
    node: NodeId,
}

/// The intents that wait until they were read.
pub(crate) type Clearings = BTreeMap<Passage, (Option<Ticket>, Fact)>;

impl Driver {
    /// Keeps an intent until its payload was read. Gives back what can be written now.
    pub(crate) fn clear_first(&mut self, ticket: Option<Ticket>, fact: Fact) -> Option<Fact> {
        let (Fact::EgressIntent { subject, to, .. } | Fact::EgressSettled { subject, to, .. }) = &fact else {
            return Some(fact);
        };
        let passage = Passage { request: subject.request, attempt: subject.attempt, node: to.node };
        if let Fact::EgressSettled { .. } = &fact {
            // It was given up before it was read: that it was meant is on the record all the same.
            if let Some((ticket, intent)) = self.clearings.remove(&passage) {
                self.write_down(ticket, intent);
            }
            return Some(fact);
        }
        let filter = self.endpoints.get(&to.node).and_then(|server| server.filter().copied());
        let (Some(filter), Some(session)) = (filter, self.sessions.get(&passage.request)) else { return Some(fact) };
        let (payload, inbox) = (session.payload.clone(), self.inbox.clone());
        self.clearings.insert(passage, (ticket, fact));
        self.hands.spawn(async move {
            let verdict = read(Some(filter), payload).await;
            // A closed inbox means that the node is stopping.
            let _ = inbox.send(Inbound::Cleared { passage, verdict }).await;
        });
        None
    }

    /// A payload was read: what was found goes on the record, and then that it leaves.
    pub(crate) fn cleared(&mut self, passage: Passage, verdict: Verdict) {
        let Some((ticket, mut intent)) = self.clearings.remove(&passage) else { return };
        if let Fact::EgressIntent { subject, to, bytes, .. } = &mut intent {
            let (found, verdict_word) = match &verdict {
                Ok(cleared) => (cleared.masked().clone(), FilterVerdict::Masked),
                Err(Withheld::Found(found)) => (found.clone(), FilterVerdict::Blocked),
                Err(Withheld::Unreadable(_)) => (Findings::default(), FilterVerdict::Blocked),
            };
            if !found.is_empty() || verdict.is_err() {
                let (subject, to) = (subject.clone(), to.clone());
                let fact = Fact::EgressFiltered { subject, to, findings: found.clone(), verdict: verdict_word };
                self.write_down(None, fact);
                self.count_filtered(passage, &found, verdict_word);
            }
            if let Some(session) = self.sessions.get(&passage.request) {
                *bytes = session.fix_cleared(passage.attempt, passage.node, verdict);
            }
        }
        self.write_down(ticket, intent);
    }

    fn count_filtered(&mut self, passage: Passage, found: &Findings, verdict: FilterVerdict) {
        let egress = self.egress.entry(passage.node).or_default();
        match verdict {
            FilterVerdict::Masked => {
                egress.masked.add_all(found);
                if let Some(site) = self.endpoints.get(&passage.node).map(|server| server.site().clone()) {
                    let (request, findings) = (passage.request, found.clone());
                    self.feed(Event::Masked { request, site, findings });
                }
            }
            FilterVerdict::Blocked => {
                egress.blocked.add_all(found);
                egress.withheld += 1;
            }
        }
    }
}

/// Reads a payload where waiting does no harm.
pub(crate) async fn read(filter: Option<Filter>, payload: Bytes) -> Verdict {
    let work = move || {
        let work = Work::decode(&payload).map_err(|_| Withheld::Unreadable("damaged work"))?;
        Cleared::new(work, filter.as_ref()).map(Arc::new)
    };
    match filter {
        None => work(),
        // A thread that gave up read nothing.
        Some(_) => tokio::task::spawn_blocking(work).await.unwrap_or(Err(Withheld::Unreadable(UNREAD))),
    }
}
