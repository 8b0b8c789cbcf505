//! A conversation becomes the text that the model was trained on: by the template in the model's own file.

use hither_engine::work::ChatMessage;
use llama_cpp_2::vocab::LlamaVocab;
use minijinja::{Environment, Error, ErrorKind, context};

use crate::limits::TEMPLATE_FUEL;

#[cfg(test)]
mod tests;

/// A chat template. It comes from a file that someone published, so it runs with a budget and can reach nothing.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    bos: String,
    eos: String,
}

impl Template {
    pub(crate) fn new(source: String, vocab: LlamaVocab<'_>) -> Self {
        let text = |token| vocab.text(token).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
        Self { source, bos: text(vocab.bos()), eos: text(vocab.eos()) }
    }

    /// Lays a conversation out and asks for the assistant's turn. The error is a text for the client.
    pub(crate) fn render(&self, messages: &[ChatMessage]) -> Result<String, String> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(TEMPLATE_FUEL));
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        let messages: Vec<_> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let values = context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        let rendered = environment.render_str(&self.source, values);
        rendered.map_err(|error| {
            let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            format!("the model's chat template refuses the conversation: {reason}")
        })
    }
}
