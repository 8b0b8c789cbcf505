//! What the engine does at most in one step, with the reason for each number.

/// Tokens of prompts in a step in which no conversation is producing: large enough for the library's fast matrix
/// kernels, small enough that progress shows and a cancel is obeyed within a second on a slow core.
pub(crate) const PREFILL_ALONE: usize = 128;

/// Tokens of prompts in a step in which some conversation is producing: each of them waits for the whole step.
pub(crate) const PREFILL_BESIDE_DECODE: usize = 32;

/// Tokens in one call of the library. More makes it abort the process, so nothing may ever exceed it.
pub(crate) const BATCH: u32 = 512;

/// Conversations at once: each needs a token of every batch, and far fewer make sense on one machine.
pub(crate) const SLOTS: u16 = 64;

/// Instructions of a chat template for one conversation: it comes with the model, so it is not trusted. A long
/// conversation needs a few hundred per turn.
pub(crate) const TEMPLATE_FUEL: u64 = 2_000_000;
