//! Answers that keep to a form: a JSON schema, a pattern, or the layout of a call. What cannot be said next is masked
//! before a token is drawn.
//!
//! In Rust and with budgets: a schema comes from a client, and the library's own grammars end the process on some.

use std::sync::Arc;

use hither_engine::work::Format;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::limits::{FORMAT_BYTES, FORMAT_FUEL, FORMAT_SIZE, FORMAT_STATES, REASON_CHARACTERS};

#[cfg(test)]
mod tests;

/// What makes constraints for one vocabulary.
pub(crate) struct Constraints {
    factory: ParserFactory,
}

impl Constraints {
    /// For the vocabulary of a model.
    pub(crate) fn new(model: &LlamaModel) -> Result<Self, String> {
        Self::for_vocabulary(vocabulary(model))
    }

    fn for_vocabulary(vocabulary: TokEnv) -> Result<Self, String> {
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let factory = ParserFactory::new(&vocabulary, InferenceCapabilities::default(), &slices);
        let mut factory = factory.map_err(|error| format!("no forms for this vocabulary: {}", reason(&error)))?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.initial_lexer_fuel = FORMAT_FUEL;
        limits.max_lexer_states = FORMAT_STATES;
        limits.max_grammar_size = FORMAT_SIZE;
        limits.verbose_errors = false;
        Ok(Self { factory })
    }

    /// The constraint of a format; `None` for free text. The error is a text for the client.
    pub(crate) fn of(&self, format: &Format) -> Result<Option<Constraint>, String> {
        let grammar = match format {
            Format::Text => return Ok(None),
            Format::Json => TopLevelGrammar::from_json_schema(compact(json!({ "type": "object" }))),
            Format::Schema(schema) => TopLevelGrammar::from_json_schema(compact(parse_schema(schema)?)),
            Format::Pattern(pattern) if pattern.len() > FORMAT_BYTES => return Err(too_long("pattern", pattern)),
            Format::Pattern(pattern) => TopLevelGrammar::from_regex(pattern),
        };
        let what = if matches!(format, Format::Pattern(_)) { "pattern" } else { "JSON schema" };
        self.begin(grammar).map(Some).map_err(|why| format!("the {what} cannot be kept to: {why}"))
    }

    /// A constraint by a grammar of our own.
    pub(crate) fn lark(&self, grammar: String) -> Result<Constraint, String> {
        self.begin(TopLevelGrammar::from_lark(grammar)).map_err(|why| format!("the tools cannot be called: {why}"))
    }

    fn begin(&self, grammar: TopLevelGrammar) -> Result<Constraint, String> {
        let mut matcher = Matcher::new(self.factory.create_parser(grammar));
        // Finds at once what would otherwise be found after the prompt has been read.
        let mask = matcher.compute_mask_or_eos();
        mask.map_err(|error| reason(&error))?;
        Ok(Constraint { matcher })
    }
}

/// A form on its way through an answer.
pub(crate) struct Constraint {
    matcher: Matcher,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Constraint(..)")
    }
}

impl Constraint {
    /// Makes what may not come next impossible.
    pub(crate) fn mask(&mut self, logits: &mut [f32]) -> Result<(), String> {
        let mask = self.matcher.compute_mask_or_eos().map_err(|error| reason(&error))?;
        for (id, logit) in logits.iter_mut().enumerate() {
            if !(id < mask.len() && mask.get(id)) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Takes a token of the answer.
    pub(crate) fn take(&mut self, id: u32) -> Result<(), String> {
        self.matcher.consume_token(id).map_err(|error| reason(&error))
    }

    /// Whether the form is complete and nothing can follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

/// The schema of a client.
pub(crate) fn parse_schema(schema: &str) -> Result<Value, String> {
    if schema.len() > FORMAT_BYTES {
        return Err(too_long("JSON schema", schema));
    }
    let value: Value = serde_json::from_str(schema).map_err(|error| format!("the JSON schema is not JSON: {error}"))?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err("a JSON schema is an object".to_owned()),
    }
}

/// JSON with one blank after commas and colons, and no other blanks: a small model would go on with them for ever.
pub(crate) fn compact(mut schema: Value) -> Value {
    if let Value::Object(fields) = &mut schema {
        let layout = json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " });
        fields.insert("x-guidance".to_owned(), layout);
    }
    schema
}

fn too_long(what: &str, text: &str) -> String {
    format!("the {what} has {} bytes, and {FORMAT_BYTES} are taken", text.len())
}

/// The reason in one line. The library repeats what it was given, and adds a trace if it panicked.
fn reason(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| *line != "<backtrace>");
    let short: Vec<&str> = lines.filter(|line| !line.is_empty() && line.len() <= REASON_CHARACTERS / 2).collect();
    match short.is_empty() {
        true => "it is too long or too deep".to_owned(),
        false => short.join(" ").chars().take(REASON_CHARACTERS).collect(),
    }
}

/// The vocabulary as the constraints know it: special tokens are marked, so that no text can be one.
fn vocabulary(model: &LlamaModel) -> TokEnv {
    let vocab = model.vocab();
    let special = |id| {
        let text = vocab.token_to_piece(LlamaToken(id), true, None);
        if text.is_empty() { text } else { [&[TokTrie::SPECIAL_TOKEN_MARKER], text.as_slice()].concat() }
    };
    let word = |id| {
        let text = vocab.token_to_piece(LlamaToken(id), false, None);
        if text.is_empty() || vocab.is_eog(LlamaToken(id)) { special(id) } else { text }
    };
    let words: Vec<Vec<u8>> = (0..model.n_vocab()).map(word).collect();
    let mut ends: Vec<u32> =
        (0..model.n_vocab()).filter(|id| vocab.is_eog(LlamaToken(*id))).map(i32::cast_unsigned).collect();
    let eos = vocab.eos().0;
    if let Some(at) = ends.iter().position(|id| *id == eos.cast_unsigned()) {
        ends.swap(0, at);
    }
    let first = ends.first().copied().unwrap_or(0);
    let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, first), &words);
    let trie = if ends.is_empty() { trie } else { trie.with_eos_tokens(&ends) };
    Arc::new(ApproximateTokEnv::new(trie))
}
