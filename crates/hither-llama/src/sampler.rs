//! Which token comes next. The random number is a function of the seed and of the place in the answer, so that a
//! stream that goes on elsewhere draws the number that it would have drawn here.

#[cfg(test)]
mod tests;

/// How tokens are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampler {
    /// 0 is greedy.
    pub(crate) temperature: f32,
    /// Keep the likeliest tokens whose chances add up to this; 1 keeps all.
    pub(crate) top_p: f32,
    /// Keep the likeliest tokens; 0 keeps all.
    pub(crate) top_k: u32,
    /// Keep tokens at least this share as likely as the likeliest; 0 keeps all.
    pub(crate) min_p: f32,
    /// With one seed the draw at one place is the same.
    pub(crate) seed: u64,
}

impl Sampler {
    /// Draws a token for a place in the answer. `None`: the model gave no number that can be compared.
    pub(crate) fn draw(&self, logits: &[f32], place: u32) -> Option<u32> {
        let best = greedy(logits)?;
        if self.temperature <= 0. {
            return Some(best);
        }
        let highest = f64::from(logits[best as usize]);
        let temperature = f64::from(self.temperature);
        let weigh = |logit: f32| ((f64::from(logit) - highest) / temperature).exp();
        let weighed = logits.iter().enumerate().map(|(id, logit)| (id as u32, weigh(*logit)));
        let mut candidates: Vec<(u32, f64)> = weighed.filter(|(_, weight)| *weight > 0.).collect();
        if self.min_p > 0. {
            // The likeliest weighs one.
            candidates.retain(|(_, weight)| *weight >= f64::from(self.min_p.min(1.)));
        }
        if self.top_k > 0 && (self.top_k as usize) < candidates.len() {
            candidates.select_nth_unstable_by(self.top_k as usize - 1, by_weight);
            candidates.truncate(self.top_k as usize);
        }
        if self.top_p < 1. {
            keep_nucleus(&mut candidates, f64::from(self.top_p.max(0.)));
        }
        // One order, whatever the selections above did to it.
        candidates.sort_unstable_by_key(|(id, _)| *id);
        let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = fraction(self.seed, place) * total;
        for (id, weight) in &candidates {
            left -= weight;
            if left < 0. {
                return Some(*id);
            }
        }
        // Rounding may leave a crumb: it belongs to the last candidate.
        candidates.last().map(|(id, _)| *id)
    }
}

/// The logarithms of the chances of some tokens, and of the `count` likeliest of all, likeliest first.
pub(crate) fn log_chances(logits: &[f32], said: u32, count: usize) -> (f32, Vec<(u32, f32)>) {
    let highest = logits.iter().copied().filter(|logit| logit.is_finite()).fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|logit| f64::from(*logit - highest).exp()).filter(|w| w.is_finite()).sum();
    let log = |logit: f32| (f64::from(logit - highest) - total.ln()) as f32;
    let mut all: Vec<(u32, f64)> = (0u32..)
        .zip(logits)
        .filter(|(_, logit)| logit.is_finite())
        .map(|(id, logit)| (id, f64::from(*logit)))
        .collect();
    if count < all.len() && count > 0 {
        all.select_nth_unstable_by(count - 1, by_weight);
    }
    all.truncate(count);
    all.sort_unstable_by(by_weight);
    let likeliest = all.into_iter().map(|(id, logit)| (id, log(logit as f32))).collect();
    (logits.get(said as usize).map_or(f32::NEG_INFINITY, |logit| log(*logit)), likeliest)
}

/// The likeliest token; the lowest id of several.
fn greedy(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (id, logit) in logits.iter().enumerate() {
        if logit.is_finite() && best.is_none_or(|(_, highest)| *logit > highest) {
            best = Some((id as u32, *logit));
        }
    }
    best.map(|(id, _)| id)
}

/// Likeliest first; the lower id of two alike.
fn by_weight(a: &(u32, f64), b: &(u32, f64)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Keeps the likeliest candidates whose chances reach `share`, at least one.
fn keep_nucleus(candidates: &mut Vec<(u32, f64)>, share: f64) {
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    // Candidates below this have less than the rest of the share among them all, so none is in the nucleus. It spares
    // the sorting of a whole vocabulary.
    let floor = (1. - share) * total / candidates.len() as f64;
    let highest = candidates.iter().map(|(_, weight)| *weight).fold(0., f64::max);
    candidates.retain(|(_, weight)| *weight >= floor.min(highest));
    candidates.sort_unstable_by(by_weight);
    let mut sum = 0.;
    let reached = candidates.iter().position(|(_, weight)| {
        sum += weight;
        sum >= share * total
    });
    candidates.truncate(reached.map_or(candidates.len(), |last| last + 1));
}

/// A number from 0 up to 1 for a place under a seed: SplitMix64, entered at that place.
fn fraction(seed: u64, place: u32) -> f64 {
    let state = mix(seed).wrapping_add((u64::from(place) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (mix(state) >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(value: u64) -> u64 {
    let z = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
