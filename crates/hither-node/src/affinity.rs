//! What requests that begin alike have in common: a number, so that the mind can send them where the beginning of their
//! prompt has been read already.
//!
//! What must stay true: the number tells nothing of the prompt. Its key is drawn at the start of the program and never
//! leaves it, so that equal numbers of two starts, or of two nodes, mean nothing.

use blake3::Hasher;
use hither_engine::work::{Prompt, Work};
use hither_types::request::{Envelope, RequestKind};

use crate::limits::BEGINNING_MAX;

#[cfg(test)]
mod tests;

/// The key of one start of the program.
pub(crate) struct Salt([u8; 32]);

impl Salt {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        Self(crate::home::random())
    }

    /// The number of a request; `None` where there is no beginning that a place could have read.
    pub(crate) fn affinity(&self, envelope: &Envelope, payload: &[u8]) -> Option<u64> {
        match envelope.kind {
            RequestKind::Infer | RequestKind::Train => return None,
            RequestKind::Generate => {}
        }
        let Ok(Work::Generate(work)) = Work::decode(payload) else { return None };
        let mut beginning = Beginning { hasher: Hasher::new_keyed(&self.0), room: BEGINNING_MAX };
        beginning.name(envelope.app.as_str());
        beginning.name(envelope.model.as_str());
        match &work.prompt {
            Prompt::Text(text) => beginning.say("text", text),
            Prompt::Tokens(ids) => {
                for id in ids.iter().take(BEGINNING_MAX) {
                    beginning.hasher.update(&id.to_le_bytes());
                }
            }
            Prompt::Chat(messages) => {
                for message in messages {
                    beginning.say(&message.role, &message.content);
                    if message.role == "user" {
                        break;
                    }
                }
            }
        }
        beginning.hasher.finalize().as_bytes().first_chunk().map(|number| u64::from_le_bytes(*number))
    }
}

/// What has been said so far, up to a bound.
struct Beginning {
    hasher: Hasher,
    room: usize,
}

impl Beginning {
    fn name(&mut self, name: &str) {
        self.hasher.update(name.as_bytes()).update(&[0]);
    }

    /// Takes a turn in. What is past the bound makes no difference, nor does its length.
    fn say(&mut self, role: &str, text: &str) {
        if self.room == 0 {
            return;
        }
        let taken = &text.as_bytes()[..text.len().min(self.room)];
        self.room -= taken.len();
        self.hasher.update(role.as_bytes()).update(&[0]).update(taken).update(&[0]);
    }
}
