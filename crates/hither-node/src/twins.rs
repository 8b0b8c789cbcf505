//! One key on two machines: a data directory that was copied, or a disk image.
//!
//! Members hear both, by turns, and nothing on a connection tells them apart. So each start of a program draws a
//! challenge and says it. A member that hears two starts of one key passes the challenge of each to the other, and the
//! answer, signed with the key, back. Whoever holds such an answer knows that another program with its own key is alive:
//! after a mere restart the earlier start answers nothing any more, and no member can sign for it. The later of the two
//! leaves; the earlier goes on.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use hither_types::id::NodeId;
use hither_types::member::Signed;
use hither_types::message::{Start, StartProof, StartWord};
use hither_types::time::WallTime;

use crate::limits::STARTS_MAX;
use crate::trust::{self, Seal};

#[cfg(test)]
mod tests;

/// A start of a member, and the proof that another one was alive after it.
#[derive(Debug)]
struct Seen {
    start: Start,
    proof: Option<Signed>,
}

/// What this program knows of starts: its own, and those of the members that it hears.
#[derive(Debug)]
pub(crate) struct Twins {
    own: Start,
    seen: BTreeMap<NodeId, Vec<Seen>>,
}

/// What a word of a member leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// What is said to whoever spoke.
    pub(crate) replies: Vec<StartWord>,
    /// Another program with this node's own key is alive.
    pub(crate) twin: Option<Twin>,
    /// How far the clock of whoever spoke is ahead of ours, in milliseconds.
    pub(crate) ahead_ms: Option<i64>,
}

/// Another program with the key of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twin {
    /// It started before this one, which has to leave.
    Earlier(Start),
    /// It started after this one.
    Later(Start),
}

impl Twins {
    /// Of a program that started now.
    pub(crate) fn new(at: WallTime, incarnation: u64) -> Self {
        Self { own: Start { at, challenge: crate::home::random(), incarnation }, seen: BTreeMap::new() }
    }

    /// What is said to each member now and then.
    pub(crate) fn mine(&self, now: WallTime) -> StartWord {
        StartWord::Mine { start: self.own, now }
    }

    /// Takes in what a member says of starts.
    pub(crate) fn hear(&mut self, from: NodeId, word: StartWord, key: &SigningKey, wall: WallTime) -> Heard {
        match word {
            StartWord::Mine { start, now } => {
                let ahead_ms = i64::try_from(i128::from(now.0) - i128::from(wall.0)).ok();
                Heard { replies: self.told(from, start), twin: None, ahead_ms }
            }
            StartWord::Asked { challenge } if challenge == self.own.challenge => Heard::default(),
            StartWord::Asked { challenge } => {
                Heard { replies: vec![StartWord::Proved(self.answer(challenge, key))], ..Heard::default() }
            }
            StartWord::Proved(signed) => self.proved(from, signed, key),
        }
    }

    /// Signs that this start is alive after another one.
    fn answer(&self, challenge: [u8; 32], key: &SigningKey) -> Signed {
        let proof = StartProof { answers: challenge, start: self.own };
        let bytes = hither_wire::encode_start_proof(&proof).expect("a proof of a start has one size");
        trust::sign(key, Seal::Start, bytes)
    }

    /// A member names its start: it hears of others of its key, and is asked to answer them.
    fn told(&mut self, from: NodeId, start: Start) -> Vec<StartWord> {
        let seen = self.seen.entry(from).or_default();
        let known = seen.iter().position(|seen| seen.start == start);
        let this = known.map_or(Seen { start, proof: None }, |index| seen.remove(index));
        let asked = seen.iter().filter(|other| other.proof.is_none());
        let mut replies: Vec<_> = asked.map(|other| StartWord::Asked { challenge: other.start.challenge }).collect();
        replies.extend(this.proof.clone().map(StartWord::Proved));
        if seen.len() >= STARTS_MAX {
            seen.remove(0);
        }
        seen.push(this);
        replies
    }

    fn proved(&mut self, from: NodeId, signed: Signed, key: &SigningKey) -> Heard {
        let Ok(proof) = check(&signed) else { return Heard::default() };
        if signed.signer == trust::node_id(key) {
            // Its own answer to another start says nothing to it.
            if proof.answers != self.own.challenge || proof.start == self.own {
                return Heard::default();
            }
            let twin = if proof.start < self.own { Twin::Earlier(proof.start) } else { Twin::Later(proof.start) };
            // So that the other learns it, too, also if this one leaves.
            let replies = vec![StartWord::Proved(self.answer(proof.start.challenge, key))];
            return Heard { replies, twin: Some(twin), ahead_ms: None };
        }
        if signed.signer == from
            && let Some(seen) = self.seen.get_mut(&from)
            && let Some(answered) = seen.iter_mut().find(|seen| seen.start.challenge == proof.answers)
            && answered.start != proof.start
        {
            answered.proof = Some(signed);
        }
        Heard::default()
    }

    /// Forgets who is no member any more.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.seen.remove(&node);
    }
}

fn check(signed: &Signed) -> Result<StartProof, trust::TrustError> {
    trust::check(signed, Seal::Start)?;
    hither_wire::decode_start_proof(&signed.bytes).map_err(|error| trust::TrustError::Malformed(error.to_string()))
}
