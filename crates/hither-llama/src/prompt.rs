//! From what a client sent to the tokens that a model reads, and what is left out if they are too many.

use hither_engine::work::{ChatMessage, GenerateWork, Overflow, Prompt, Tool};
use hither_types::refusal::InputFault;
use llama_cpp_2::model::LlamaModel;

use crate::limits::ANSWER_ROOM;
use crate::template::Template;

/// A prompt as the model reads it.
pub(crate) struct Read {
    /// Its tokens.
    pub(crate) tokens: Vec<i32>,
    /// Tokens of the whole that were left out.
    pub(crate) dropped: u32,
}

/// What reads prompts for one model.
pub(crate) struct PromptReader<'a> {
    pub(crate) model: &'a LlamaModel,
    pub(crate) template: Option<&'a Template>,
    /// Prompt and answer together.
    pub(crate) context_tokens: u32,
}

impl PromptReader<'_> {
    /// Reads a prompt, and shortens it if that is needed and allowed.
    pub(crate) fn read(&self, work: &GenerateWork, tools: &[&Tool]) -> Result<Read, InputFault> {
        let whole = match &work.prompt {
            Prompt::Chat(messages) => self.chat(messages, tools)?,
            Prompt::Text(text) => self.tokenize(text),
            Prompt::Tokens(ids) => self.known(ids)?,
        };
        if whole.is_empty() {
            return Err(InputFault::Other("the prompt is empty".to_owned()));
        }
        let prompt_tokens = u32::try_from(whole.len()).unwrap_or(u32::MAX);
        if prompt_tokens < self.context_tokens {
            return Ok(Read { tokens: whole, dropped: 0 });
        }
        let overflow = InputFault::ContextOverflow { prompt_tokens, context_tokens: self.context_tokens };
        if work.overflow == Overflow::Refuse {
            return Err(overflow);
        }
        let wanted = work.max_tokens.unwrap_or(ANSWER_ROOM).min(self.context_tokens / 2);
        let room = self.context_tokens.saturating_sub(wanted.max(1)) as usize;
        let tokens = match &work.prompt {
            Prompt::Chat(messages) => self.shorter_chat(messages, tools, room)?,
            Prompt::Text(_) | Prompt::Tokens(_) => Some(self.shorter_text(&whole, room)),
        };
        let tokens = tokens.filter(|tokens| !tokens.is_empty()).ok_or(overflow)?;
        let dropped = prompt_tokens.saturating_sub(tokens.len() as u32);
        Ok(Read { tokens, dropped })
    }

    /// Reads a text of which a vector is made.
    pub(crate) fn read_plain(&self, prompt: &Prompt) -> Result<Vec<i32>, InputFault> {
        let tokens = match prompt {
            Prompt::Text(text) => self.tokenize(text),
            Prompt::Tokens(ids) => self.known(ids)?,
            Prompt::Chat(_) => return Err(InputFault::Other("a vector is made of a text, not of a chat".to_owned())),
        };
        match tokens.is_empty() {
            true => Err(InputFault::Other("a text is empty".to_owned())),
            false => Ok(tokens),
        }
    }

    /// Ids of the vocabulary, as a client or a resumed stream gives them.
    pub(crate) fn known(&self, ids: &[u32]) -> Result<Vec<i32>, InputFault> {
        let known = |id: &u32| i32::try_from(*id).ok().filter(|id| *id < self.model.n_vocab()).ok_or(*id);
        ids.iter()
            .map(known)
            .collect::<Result<_, _>>()
            .map_err(|id| InputFault::Other(format!("the model has no token {id}: it has {}", self.model.n_vocab())))
    }

    fn chat(&self, messages: &[ChatMessage], tools: &[&Tool]) -> Result<Vec<i32>, InputFault> {
        let template = self.template.ok_or_else(|| {
            let text = "the model has no chat template: it completes text, so send a prompt to /v1/completions";
            InputFault::Other(text.to_owned())
        })?;
        template.render(messages, tools).map(|text| self.tokenize(&text)).map_err(InputFault::Other)
    }

    /// The longest end of a conversation that fits, with the system's first turn before it. `None`: not even the last
    /// turn does.
    fn shorter_chat(
        &self,
        messages: &[ChatMessage],
        tools: &[&Tool],
        room: usize,
    ) -> Result<Option<Vec<i32>>, InputFault> {
        let (system, turns) = match messages.split_first() {
            Some((first, rest)) if first.role == "system" => (Some(first), rest),
            _ => (None, messages),
        };
        // What a user said begins an end that templates take; the answer of a tool without its call does not.
        let starts: Vec<usize> = (1..turns.len()).filter(|at| turns[*at].role == "user").collect();
        let (mut low, mut high) = (0, starts.len());
        let mut found = None;
        while low < high {
            let middle = (low + high) / 2;
            let kept: Vec<ChatMessage> = system.into_iter().chain(&turns[starts[middle]..]).cloned().collect();
            let tokens = self.chat(&kept, tools)?;
            if tokens.len() <= room {
                found = Some(tokens);
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(found)
    }

    /// The end of a text, after the token that begins every text.
    fn shorter_text(&self, whole: &[i32], room: usize) -> Vec<i32> {
        let bos = self.model.vocab().bos().0;
        let first = whole.first().copied().filter(|first| *first == bos);
        let kept = room.saturating_sub(usize::from(first.is_some()));
        first.into_iter().chain(whole[whole.len() - kept.min(whole.len())..].iter().copied()).collect()
    }

    fn tokenize(&self, text: &str) -> Vec<i32> {
        let vocab = self.model.vocab();
        let mut tokens: Vec<i32> = vocab.tokenize(text.as_bytes(), true, true).iter().map(|token| token.0).collect();
        // Some templates begin with the token that the tokeniser adds by itself.
        let bos = vocab.bos().0;
        if tokens.len() > 1 && tokens[..2] == [bos, bos] {
            tokens.remove(0);
        }
        tokens
    }
}
