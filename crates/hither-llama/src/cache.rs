//! What was read of one prompt serves another that begins alike, if both belong to one scope.
//!
//! What must stay true: nothing is taken from another scope, nor from a conversation without one. How soon an answer
//! begins would tell the one app what the other has asked.

use hither_engine::work::CacheScope;

#[cfg(test)]
mod tests;

/// What a slot holds in the library's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    /// A conversation goes on in it.
    pub(crate) is_busy: bool,
    /// Who may take from it.
    pub(crate) scope: Option<CacheScope>,
    /// The tokens that the library has read of it.
    pub(crate) tokens: &'a [i32],
    /// When it was used last, by a count that only grows.
    pub(crate) used: u64,
}

/// Where a conversation goes and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The slot. Whatever it holds is forgotten, but for what is taken from it itself.
    pub(crate) slot: usize,
    /// The slot to take from; may be the same.
    pub(crate) from: Option<usize>,
    /// Tokens to take.
    pub(crate) common: usize,
}

/// Plans for a prompt. `None`: all slots are busy.
pub(crate) fn plan(slots: &[Held<'_>], scope: Option<CacheScope>, prompt: &[i32]) -> Option<Plan> {
    // One token must be read anew: what comes next is computed from it.
    let takes = |held: &Held<'_>| {
        let is_open = scope.is_some() && held.scope == scope;
        let most = prompt.len().saturating_sub(1);
        if is_open { common(held.tokens, prompt).min(most) } else { 0 }
    };
    let best = (0..slots.len()).map(|slot| (takes(&slots[slot]), slot)).max_by_key(|(common, slot)| {
        // Of two alike the one that is idle, so that it need not be copied.
        (*common, !slots[*slot].is_busy)
    });
    let best = best.filter(|(common, _)| *common > 0);
    let idle = |slot: &usize| !slots[*slot].is_busy;
    if let Some((common, slot)) = best
        && idle(&slot)
        // The rest of it is lost: only where little is, or where there is no other slot.
        && (common * 2 >= slots[slot].tokens.len() || (0..slots.len()).filter(idle).count() == 1)
    {
        return Some(Plan { slot, from: Some(slot), common });
    }
    let source = best.map(|(_, slot)| slot);
    let free = (0..slots.len()).filter(idle).filter(|slot| Some(*slot) != source);
    let slot = free.min_by_key(|slot| (!slots[*slot].tokens.is_empty(), slots[*slot].used))?;
    Some(Plan { slot, from: source, common: best.map_or(0, |(common, _)| common) })
}

fn common(held: &[i32], prompt: &[i32]) -> usize {
    held.iter().zip(prompt).take_while(|(a, b)| a == b).count()
}
