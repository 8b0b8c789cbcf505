//! What the engine does at most in one step, with the reason for each number.

/// Tokens of a block. A prompt is read in whole blocks from its beginning on, each in a step of its own, and its end
/// in small steps ([`STEP`]), whatever else the engine does. For from 64 tokens on the library computes attention by
/// another path: half as fast again (98 against 140 tokens per second on one core), and its sums round differently than
/// those of single tokens. Because the places alone decide which path reads a token, a stream that goes on elsewhere,
/// where prompt and answer so far are read anew, says the same (where the weights are of a kind whose products do not
/// depend on the batch, as Q4_1 is here).
pub(crate) const BLOCK: usize = 64;

/// Tokens in one small step, of all conversations together: the library's path for single tokens, see [`BLOCK`].
pub(crate) const STEP: usize = BLOCK - 1;

/// Tokens of prompts in a small step in which some conversation is producing: each of them waits for the whole step.
pub(crate) const PREFILL_BESIDE_DECODE: usize = 32;

/// Tokens in one call of the library. More makes it abort the process, so nothing may ever exceed it.
pub(crate) const BATCH: u32 = 512;

/// Conversations at once: each needs a token of every batch, and far fewer make sense on one machine.
pub(crate) const SLOTS: u16 = 64;

/// Instructions of a chat template for one conversation: it comes with the model, so it is not trusted. A long
/// conversation needs a few hundred per turn.
pub(crate) const TEMPLATE_FUEL: u64 = 2_000_000;

/// Tokens of prompts in a step beside many conversations that produce, however many those are: a new one begins, too.
pub(crate) const PREFILL_LEAST: usize = 8;

/// Bytes of a JSON schema or a pattern. The largest schemas in use have about a hundred thousand.
pub(crate) const FORMAT_BYTES: usize = 256 << 10;

/// Work on a schema or a pattern before the first token, about 20 ms of it. All conversations wait for it.
pub(crate) const FORMAT_FUEL: u64 = 1_000_000;

/// States of a schema or a pattern on its way, of up to two kilobytes each.
pub(crate) const FORMAT_STATES: usize = 50_000;

/// Symbols of a schema or a pattern.
pub(crate) const FORMAT_SIZE: usize = 200_000;

/// Characters of a library's reason that a client is told.
pub(crate) const REASON_CHARACTERS: usize = 300;

/// Bytes of a chat template that is rendered at all; the longest in use have thirty thousand.
pub(crate) const TEMPLATE_BYTES: usize = 1 << 20;

/// Depth of nested calls in a chat template.
pub(crate) const TEMPLATE_DEPTH: usize = 100;

/// Bytes that a chat template may make of a conversation, above those of the conversation itself.
pub(crate) const RENDERED_BYTES: usize = 8 << 20;

/// Tokens kept for the answer when a prompt has to be shortened and the request does not say how many it wants.
pub(crate) const ANSWER_ROOM: u32 = 256;

/// Tokens of one text of which a vector is made: what models for vectors take, and it bounds their memory.
pub(crate) const EMBED_TOKENS: u32 = 2048;

/// Texts in all calls for vectors that wait.
pub(crate) const CALL_BYTES: usize = 256 << 10;
