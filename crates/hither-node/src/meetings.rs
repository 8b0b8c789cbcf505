//! Joiners that met this node: whose invite it is, which words it shows, and whether a person has typed them.
//!
//! What must stay true: one joiner and one promise for each invite, or whoever holds a ticket could try again until the
//! words are those that it needs; and nobody whose words must be typed is let in before they were.

use std::collections::BTreeMap;

use hither_api::door::{InviteStage, InviteState};
use hither_types::id::NodeId;
use hither_types::message::{Comparison, Invite};
use hither_types::time::WallTime;

use crate::trust::{InviteError, Invites, Manner};
use crate::words::{Encounter, Words, commitment};

#[cfg(test)]
mod tests;

/// A day: afterwards nobody asks any more what became of an invite.
const KEPT_MS: u64 = 86_400_000;

/// Joiners that met this node since it started, by the name of the invite.
#[derive(Debug, Default)]
pub(crate) struct Meetings(BTreeMap<[u8; 16], Meeting>);

#[derive(Debug)]
struct Meeting {
    invite: Invite,
    joiner: NodeId,
    promised: [u8; 32],
    number: [u8; 32],
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has not shown its number.
    Met,
    /// Its words have to be typed.
    Waiting(Words),
    /// They were, or need not be.
    Welcome(Words),
    /// It has its certificate.
    Joined(Words),
}

/// What a joiner says when it meets the node that made its invite.
pub(crate) struct Knock {
    pub(crate) invite: [u8; 16],
    pub(crate) proof: [u8; 32],
    pub(crate) promised: [u8; 32],
    pub(crate) joiner: NodeId,
}

/// What comes of a number that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revealed {
    /// It may have its certificate.
    LetIn(Box<Invite>),
    /// Its words have to be typed first.
    Waiting,
}

impl Meetings {
    /// Somebody comes with an invite, which is used by that. The number of this node for their words.
    pub(crate) fn meet(&mut self, invites: &Invites, knock: &Knock, now: WallTime) -> Result<[u8; 32], InviteError> {
        self.0.retain(|_, meeting| meeting.invite.expires.0.saturating_add(KEPT_MS) >= now.0);
        let Knock { invite: name, proof, promised, joiner } = knock;
        if let Some(meeting) = self.0.get(name) {
            // The answer may have been lost: it comes again, and says the same.
            let again = meeting.joiner == *joiner && meeting.promised == *promised;
            return if again { Ok(meeting.number) } else { Err(InviteError::Used) };
        }
        let invite = invites.take(name, proof, *joiner, Manner::Met, now)?;
        let number = crate::home::random();
        let meeting = Meeting { invite, joiner: *joiner, promised: *promised, number, stage: Stage::Met };
        self.0.insert(*name, meeting);
        Ok(number)
    }

    /// The joiner shows its number, and asks again for as long as it waits.
    pub(crate) fn reveal(
        &mut self,
        name: &[u8; 16],
        number: [u8; 32],
        joiner: NodeId,
        now: WallTime,
    ) -> Result<Revealed, InviteError> {
        let Some(meeting) = self.0.get_mut(name).filter(|meeting| meeting.joiner == joiner) else {
            return Err(InviteError::NotMet);
        };
        if commitment(&number) != meeting.promised {
            return Err(InviteError::Promise);
        }
        if meeting.stage == Stage::Met {
            let encounter = Encounter {
                mesh: meeting.invite.mesh,
                invite: *name,
                issuer: meeting.invite.issuer,
                joiner,
                issuer_number: meeting.number,
                joiner_number: number,
            };
            let words = encounter.words();
            let typed = meeting.invite.comparison == Some(Comparison::Typed);
            meeting.stage = if typed { Stage::Waiting(words) } else { Stage::Welcome(words) };
        }
        match meeting.stage {
            Stage::Met | Stage::Waiting(_) if meeting.invite.expires < now => Err(InviteError::Expired),
            Stage::Met | Stage::Waiting(_) => Ok(Revealed::Waiting),
            Stage::Welcome(_) | Stage::Joined(_) => Ok(Revealed::LetIn(Box::new(meeting.invite.clone()))),
        }
    }

    /// A person typed words at this node: whoever waits with them may come in.
    pub(crate) fn confirm(&mut self, typed: Words, now: WallTime) -> Option<(NodeId, Invite)> {
        let waits = |meeting: &&mut Meeting| meeting.stage == Stage::Waiting(typed) && meeting.invite.expires >= now;
        let meeting = self.0.values_mut().find(waits)?;
        meeting.stage = Stage::Welcome(typed);
        Some((meeting.joiner, meeting.invite.clone()))
    }

    /// A joiner has its certificate.
    pub(crate) fn joined(&mut self, name: &[u8; 16]) {
        if let Some(meeting) = self.0.get_mut(name)
            && let Stage::Welcome(words) = meeting.stage
        {
            meeting.stage = Stage::Joined(words);
        }
    }

    /// What has become of an invite, for people. Words that have to be typed are not shown: they are read from the other
    /// screen, so that nobody says yes without looking.
    pub(crate) fn state(&self, invites: &Invites, name: &[u8; 16], now: WallTime) -> Option<InviteState> {
        let Some(meeting) = self.0.get(name) else {
            return invites.stage(name, now).map(|stage| InviteState { stage, node: None, words: None });
        };
        let shown = meeting.invite.comparison == Some(Comparison::Shown);
        let (stage, words) = match meeting.stage {
            Stage::Met | Stage::Waiting(_) if meeting.invite.expires < now => (InviteStage::Expired, None),
            Stage::Met => (InviteStage::Met, None),
            Stage::Waiting(_) => (InviteStage::Waiting, None),
            Stage::Welcome(words) => (InviteStage::Met, shown.then_some(words)),
            Stage::Joined(words) => (InviteStage::Joined, shown.then_some(words)),
        };
        Some(InviteState { stage, node: Some(meeting.joiner), words: words.map(|words| words.to_string()) })
    }
}
