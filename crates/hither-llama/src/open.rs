//! From a file to an engine.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::LazyLock;

use hither_engine::gguf::{GgufFault, inspect};
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;

use crate::engine::{LlamaEngine, Opened};
use crate::limits::{BATCH, SLOTS};
use crate::template::Template;

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The library cannot be set up.
    #[error("llama.cpp cannot be set up: {0}")]
    Library(String),
    /// The file is not what it says, or more than is taken.
    #[error("the model file is refused")]
    Header(#[source] GgufFault),
    /// The library refuses the file.
    #[error("llama.cpp refuses the model: {0}")]
    Model(String),
    /// There is no memory for the conversations, or the model is of a kind that holds none.
    #[error("no room for {slots} conversations of {context_tokens} tokens: {reason}")]
    Context {
        /// Conversations at once.
        slots: u16,
        /// Tokens of each.
        context_tokens: u32,
        /// What the library said.
        reason: String,
    },
}

/// The library is set up once per process, whatever becomes of the models.
static BACKEND: LazyLock<Result<LlamaBackend, String>> = LazyLock::new(|| {
    let mut backend = LlamaBackend::init().map_err(|error| error.to_string())?;
    backend.void_logs();
    Ok(backend)
});

/// The devices that the library can compute on, each in a few words. Opens no model.
///
/// # Errors
///
/// The library cannot be set up.
pub fn devices() -> Result<Vec<String>, OpenError> {
    BACKEND.as_ref().map_err(|reason| OpenError::Library(reason.clone()))?;
    let devices = llama_cpp_2::list_llama_ggml_backend_devices();
    Ok(devices.iter().map(|device| format!("{} ({})", device.name, device.description)).collect())
}

/// Opens a model. Each of `slots` conversations may have `context_tokens` tokens, prompt and answer together, or as
/// many as the model was trained for if that is fewer.
pub fn open(model: &Path, threads: usize, context_tokens: u32, slots: u16) -> Result<LlamaEngine, OpenError> {
    let backend = BACKEND.as_ref().map_err(|reason| OpenError::Library(reason.clone()))?;
    let unreadable = |error: std::io::Error| OpenError::Model(format!("the file cannot be read: {error}"));
    let file = std::fs::File::open(model).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    // The library believes what a file says of itself, and logs what it refuses and returns no reason.
    inspect(file, length).map_err(OpenError::Header)?;
    let loaded = LlamaModel::load_from_file(backend, model, &LlamaModelParams::default());
    let loaded = loaded.map_err(|error| OpenError::Model(error.to_string()))?;
    // A worker has one model from its start to its end; the context borrows it.
    let loaded: &'static LlamaModel = Box::leak(Box::new(loaded));

    let slots = slots.clamp(1, SLOTS);
    let trained = loaded.n_ctx_train().max(1);
    let context_tokens = context_tokens.clamp(1, trained);
    let refused = |reason: String| OpenError::Context { slots, context_tokens, reason };
    let cells = context_tokens.checked_mul(u32::from(slots)).ok_or_else(|| refused("too many tokens".to_owned()))?;
    let threads = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
    let parameters = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(cells))
        .with_n_batch(BATCH)
        .with_n_seq_max(u32::from(slots))
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_kv_unified(true);
    let context = loaded.new_context(backend, parameters).map_err(|error| refused(error.to_string()))?;
    // The library makes its batch smaller when the context is small.
    let batch = LlamaBatch::new(context.n_batch() as usize, 1);
    let template = loaded.chat_template(None).ok().and_then(|template| template.to_string().ok());
    let template = template.map(|source| Template::new(source, loaded.vocab()));
    let opened = Opened { backend, model: loaded, context, template, context_tokens, threads };
    Ok(LlamaEngine::new(opened, batch, slots))
}
