//! What moves the chances of tokens before one is drawn: what was said, and what the client asked for.

use std::collections::{BTreeMap, BTreeSet};

use hither_engine::work::GenerateWork;

#[cfg(test)]
mod tests;

/// Penalties and biases, with what they depend on. A stream that goes on elsewhere counts the tokens delivered again.
#[derive(Debug)]
pub(crate) struct Penalties {
    frequency: f32,
    presence: f32,
    repetition: f32,
    bias: Vec<(u32, f32)>,
    /// How often the answer has said a token.
    said: BTreeMap<u32, u32>,
    /// Tokens of the prompt, if anything depends on them.
    read: BTreeSet<u32>,
}

impl Penalties {
    /// `None` if the request asks for none.
    pub(crate) fn new(work: &GenerateWork, prompt: &[i32]) -> Option<Self> {
        let GenerateWork { frequency_penalty, presence_penalty, repetition_penalty, logit_bias, .. } = work;
        if [*frequency_penalty, *presence_penalty] == [0., 0.] && *repetition_penalty == 1. && logit_bias.is_empty() {
            return None;
        }
        let read = match *repetition_penalty == 1. {
            true => BTreeSet::new(),
            false => prompt.iter().map(|id| *id as u32).collect(),
        };
        Some(Self {
            frequency: *frequency_penalty,
            presence: *presence_penalty,
            repetition: *repetition_penalty,
            bias: logit_bias.clone(),
            said: BTreeMap::new(),
            read,
        })
    }

    /// Counts a token of the answer.
    pub(crate) fn say(&mut self, id: u32) {
        *self.said.entry(id).or_default() += 1;
    }

    /// Moves the logits. Ids beyond the vocabulary are nobody's.
    pub(crate) fn apply(&self, logits: &mut [f32]) {
        if self.repetition != 1. {
            for id in self.said.keys().chain(self.read.iter().filter(|id| !self.said.contains_key(id))) {
                if let Some(logit) = logits.get_mut(*id as usize) {
                    *logit = if *logit > 0. { *logit / self.repetition } else { *logit * self.repetition };
                }
            }
        }
        for (id, count) in &self.said {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit -= self.frequency * *count as f32 + self.presence;
            }
        }
        for (id, bias) in &self.bias {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit += bias;
            }
        }
    }
}
