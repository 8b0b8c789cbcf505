//! Every bound of the mind, with the reason for its number.

use hither_types::unit::Micros;

/// Three beats of 250 ms missed: what SIGKILL, SIGSTOP and a cut cable look like from outside.
pub const SILENCE: Micros = Micros::from_millis(750);

/// A clock of an attempt that is read this late was read by a node that was itself held up: what the peer said is
/// waiting behind the tick, and gets one more beat to be heard.
pub const HELD_UP: Micros = Micros::from_millis(250);

/// An engine may take this long for one step before a live peer counts as stuck; a slow prefill batch fits.
pub const STUCK_MIN: Micros = Micros::from_millis(2_000);

/// Beats without progress for this many service times count as stuck.
pub const STUCK_SERVICES: u64 = 3;

/// Tries at one request, whatever happens: a request that failed at three places is likely the cause itself.
pub const ATTEMPTS_MAX: u8 = 3;

/// Times that an engine of this node may be lost under one request. The second loss is a hint that the request did it.
pub const LOSSES_HERE_MAX: u8 = 2;

/// A queue may hold a request for at most this share of its time left, in per cent. More, and overload collapses.
pub const QUEUE_SHARE_PERCENT: u64 = 20;

/// A request of a peer waits at most this long here: half of what makes its origin think that it is stuck.
pub const QUEUE_FOR_PEER: Micros = Micros::from_millis(1_000);

/// Requests waiting for a slot, all models together. Time bounds the queue first; this bounds the memory.
pub const QUEUE_MAX: usize = 1_024;

/// Requests waiting for one model that is not loaded yet: nobody can predict that wait, so few may try.
pub const WAITING_FOR_MODEL_MAX: usize = 64;

/// Requests that entered here and have not ended.
pub const OPEN_MAX: usize = 4_096;

/// Requests of peers that have not ended.
pub const HOSTED_MAX: usize = 4_096;

/// A peer that declined a model is not asked for it again before this.
pub const DECLINED_FOR: Micros = Micros::from_millis(1_000);

/// A peer that fell silent is left alone for this long; each further time doubles it.
pub const COOL_MIN: Micros = Micros::from_millis(2_000);

/// … up to this.
pub const COOL_MAX: Micros = Micros::from_millis(30_000);

/// Presences heard since a failure that forgive it; the first may have been on its way when the peer fell silent.
pub const FORGIVING_PRESENCES: u64 = 2;

/// How often a node tells of itself.
pub const ANNOUNCE_EVERY: Micros = Micros::from_millis(500);

/// Important changes are told at once, and not more often than this.
pub const ANNOUNCE_GAP: Micros = Micros::from_millis(20);

/// A member is present if it was heard within five announcements.
pub const PRESENT_FOR: Micros = Micros::from_millis(2_500);

/// Members that a node knows: one group of the size that a flat mesh was measured with, four times over.
pub const MEMBERS_MAX: usize = 1_024;

/// Models in one presence, as its type says.
pub const PRESENCE_MODELS_MAX: usize = 64;

/// Entries of the catalog.
pub const MANIFESTS_MAX: usize = 1_024;

/// Losses of one model within [`LOSS_WINDOW`] that put it into quarantine here.
pub const LOSSES_MAX: usize = 3;

/// The window in which losses count, and thus the longest quarantine.
pub const LOSS_WINDOW: Micros = Micros::from_millis(600_000);

/// The wait before a lost model is loaded again; each further loss in the window doubles it.
pub const RELOAD_MIN: Micros = Micros::from_millis(250);

/// After the engine was lost under a task, nothing starts on the model for this long, unless it is ready anew: the loss
/// of the whole worker is about to be told.
pub const DISTRUST: Micros = Micros::from_millis(1_000);

/// The wait before a failed fetch is tried again; each further failure doubles it.
pub const REFETCH_MIN: Micros = Micros::from_millis(1_000);

/// … up to this.
pub const REFETCH_MAX: Micros = Micros::from_millis(60_000);

/// Fetches of one model that may fail in a row before somebody has to ask for it again.
pub const FETCHES_MAX: u8 = 6;

/// Providers named in one fetch: more than these do not make it faster.
pub const PROVIDERS_MAX: usize = 8;

/// What a service takes if nobody has measured it yet. Only ratios of it decide anything.
pub const SERVICE_GUESS: Micros = Micros::from_millis(200);

/// From this many slots on, a tenth of them is kept for critical requests; fewer cannot spare one.
pub const RESERVE_FROM: u16 = 4;

/// The shortest time that a refused client is told to wait: less is a retry storm.
pub const RETRY_AFTER_MIN: Micros = Micros::from_millis(100);

/// The longest.
pub const RETRY_AFTER_MAX: Micros = Micros::from_millis(60_000);

/// Places listed in a refusal by law, as its type says.
pub const DENIED_MAX: usize = 8;

/// Requests that can be explained.
pub const TRACES_MAX: usize = 1_000;

/// Steps kept of one request; three attempts over eight places fit.
pub const STEPS_MAX: usize = 64;

/// Requests in the list of recent ones, as its type says.
pub const RECENT_MAX: usize = 20;

/// Tasks of peers remembered after their end, so that a late copy is not run again.
pub const ENDED_MAX: usize = 4_096;

/// … and for how long.
pub const ENDED_FOR: Micros = Micros::from_millis(60_000);
