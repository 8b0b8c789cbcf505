//! The counters that a scenario may state bounds for.

/// Each counter with what it counts.
pub(crate) const COUNTERS: &[(&str, &str)] = &[
    ("requests", "requests that entered"),
    ("answered", "requests answered"),
    ("refused_by_law", "requests refused by law"),
    ("refused_otherwise", "requests refused for another reason"),
    ("failed", "requests that failed everywhere"),
    ("cancelled", "requests whose client left"),
    ("lost_with_origin", "requests whose own node died"),
    ("forwarded", "attempts at a peer"),
    ("ran_at_home", "attempts at the node of entry"),
    ("retried", "requests with more than one attempt"),
    ("migrated", "requests answered by a later attempt than the first"),
    ("resumed", "streams with tokens from more than one attempt"),
    ("declined", "attempts that the target refused"),
    ("preempted", "running tasks stopped to keep the power cap"),
    ("pulled", "models fetched from a peer"),
    ("loaded", "models opened in a worker"),
    ("evicted", "models closed for another one that needed their memory"),
    ("tokens", "tokens delivered"),
    ("stale_frames", "frames of an older attempt, discarded"),
    ("record_failed", "facts that could not be written"),
    ("intents", "egress intents on disk"),
    ("promises_late", "tasks that a peer accepted and started later than it was thought to"),
    ("too_late", "requests that ended at their deadline"),
    ("critical_unanswered", "critical requests that were not answered"),
    ("signals", "words between nodes on the way to a place"),
    ("offers", "requests offered to a peer"),
    ("offers_rejected", "offers that the peer rejected"),
    ("stepped_down", "attempts on a smaller model of the family"),
    ("steals", "waiting requests given to a peer with a free slot"),
    ("hedges", "attempts that began beside another"),
    ("messages_lost", "small talk that got lost"),
    ("answered_in_calm", "requests answered of those that came 5 s or more after the last fault was over"),
    ("refused_in_calm", "… refused, not by law"),
    ("failed_in_calm", "… that failed everywhere"),
    ("gap_p99_ms", "99th percentile of the pause in a stream that went on elsewhere"),
    ("gap_max_ms", "longest pause in a stream that went on elsewhere"),
    ("latency_p50_ms", "median time to the end of an answer"),
    ("latency_p99_ms", "99th percentile of the time to the end of an answer"),
    ("critical_p99_ms", "… of critical requests"),
    ("refusal_max_ms", "longest time until a refusal by law or overload"),
];

/// Whether scenarios may speak of it. Faults are counted as `fault_` and their word.
pub(crate) fn is_counter(name: &str) -> bool {
    COUNTERS.iter().any(|(known, _)| *known == name) || name.strip_prefix("fault_").is_some_and(is_fault)
}

/// The kinds of faults.
pub(crate) const FAULTS: &[&str] =
    &["kill", "freeze", "slow", "cap", "disk-full", "cut", "loss", "law", "engine-crash", "hang", "mute"];

fn is_fault(word: &str) -> bool {
    FAULTS.contains(&word)
}
