//! What the engine does at most in one step, with the reason for each number.

/// Tokens of prompts in a step in which no conversation is producing. From 64 on the library computes attention by
/// another path, whose sums round differently than those of single tokens: a stream that goes on elsewhere, and reads
/// at once what was produced one by one, would then drift away. Below, it says the same (where the weights are of a
/// kind whose products do not depend on the batch, as Q4_1 is here). Reading is no slower: 119 against 100 tokens per
/// second with chunks of 48 and 128 on one core. Progress shows, and a cancel is obeyed, within half a second.
pub(crate) const PREFILL_ALONE: usize = 48;

/// Tokens of prompts in a step in which some conversation is producing: each of them waits for the whole step.
pub(crate) const PREFILL_BESIDE_DECODE: usize = 32;

/// Tokens in one call of the library. More makes it abort the process, so nothing may ever exceed it.
pub(crate) const BATCH: u32 = 512;

/// Conversations at once: each needs a token of every batch, and far fewer make sense on one machine.
pub(crate) const SLOTS: u16 = 64;

/// Instructions of a chat template for one conversation: it comes with the model, so it is not trusted. A long
/// conversation needs a few hundred per turn.
pub(crate) const TEMPLATE_FUEL: u64 = 2_000_000;
