//! Every bound of the mind, with the reason for its number.
//!
//! Long because whoever changes one number has to see the others.

use hither_types::unit::{ByteCount, MicroHertz, Micros};

/// Three beats of 250 ms missed: what SIGKILL, SIGSTOP and a cut cable look like from outside.
pub const SILENCE: Micros = Micros::from_millis(750);

/// A clock of an attempt that is read this late was read by a node that was itself held up: what the peer said is
/// waiting behind the tick, and gets one more beat to be heard.
pub const HELD_UP: Micros = Micros::from_millis(250);

/// An engine may take this long for one step before a live peer counts as stuck; a slow prefill batch fits.
pub const STUCK_MIN: Micros = Micros::from_millis(2_000);

/// Beats without progress for this many service times count as stuck, as long as nothing is known of the pace.
pub const STUCK_SERVICES: u64 = 3;

/// Beats without progress for this many of the longest pauses that an attempt made so far count as stuck: a stream tells
/// its pace, and need not be waited for as long as a whole answer.
pub const STUCK_PAUSES: u64 = 3;

/// … once it made so many steps. Fewer may be those of the prompt, which is read at another pace.
pub const PACED_FROM: u32 = 4;

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

/// The first time it is this, where others see to it that its silence is noticed.
pub const COOL_FIRST: Micros = Micros::from_millis(1_000);

/// … up to this.
pub const COOL_MAX: Micros = Micros::from_millis(30_000);

/// Failures in a row after which a server outside the mesh is left alone: one may be the request's own fault.
pub const BAR_FAILURES: u8 = 3;

/// … for this long; each further failure doubles it.
pub const BAR_MIN: Micros = Micros::from_millis(1_000);

/// … up to this.
pub const BAR_MAX: Micros = Micros::from_millis(60_000);

/// One that does not take the key of this node is left alone at once, and for long: only a person can change that.
pub const BAR_KEY_MIN: Micros = Micros::from_millis(60_000);

/// … up to this.
pub const BAR_KEY_MAX: Micros = Micros::from_millis(3_600_000);

/// Presences heard since a failure that forgive it; the first may have been on its way when the peer fell silent.
pub const FORGIVING_PRESENCES: u64 = 2;

/// Important changes are told at once, and not more often than this.
pub const ANNOUNCE_GAP: Micros = Micros::from_millis(20);

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

/// From this many slots on, a tenth of them is kept for critical requests; one of four would be a quarter of the work.
pub const RESERVE_FROM: u16 = 10;

/// The shortest time that a refused client is told to wait: less is a retry storm.
pub const RETRY_AFTER_MIN: Micros = Micros::from_millis(100);

/// The longest.
pub const RETRY_AFTER_MAX: Micros = Micros::from_millis(60_000);

/// Places listed in a refusal by law, as its type says.
pub const DENIED_MAX: usize = 8;

/// Steps kept of one request; three attempts over eight places fit.
pub const STEPS_MAX: usize = 64;

/// Requests in the list of recent ones, as its type says.
pub const RECENT_MAX: usize = 20;

/// Tasks of peers remembered after their end, so that a late copy is not run again.
pub const ENDED_MAX: usize = 4_096;

/// … and for how long.
pub const ENDED_FOR: Micros = Micros::from_millis(60_000);

/// Lawful members that a request is placed among: with 64 of them a free slot is nearly always known (Erlang C), and with
/// 128 it is no better.
pub const CIRCLE_MAX: usize = 64;

/// … of which so many are the nearest; the rest are spread over all that are further away.
pub const CIRCLE_NEAR: usize = 48;

/// A circle is drawn anew after this long at the latest: distances change.
pub const CIRCLE_FOR: Micros = Micros::from_millis(30_000);

/// … or after this, if nobody had said how quick it is.
pub const CIRCLE_FOR_NOW: Micros = Micros::from_millis(1_000);

/// … or after this, if those of it that were drawn for a probe all owe an answer: time for some more to be asked.
pub const CIRCLE_FOR_SILENT: Micros = Micros::from_millis(250);

/// Kinds of requests whose circles are kept; one more is drawn when it is needed.
pub const CIRCLES_MAX: usize = 32;

/// Members of a circle that an explanation names.
pub const STEPS_OF_CIRCLE: usize = 16;

/// Fresh words kept of one model, as Prequal does.
pub const POOL_MAX: usize = 16;

/// Models with fresh words.
pub const POOLS_MAX: usize = 64;

/// A word counts for this long.
pub const WORD_FOR: Micros = Micros::from_millis(1_000);

/// … and for so many requests.
pub const WORD_USES: u8 = 3;

/// A word loses worth with age: so much of cost for each second.
pub const WORD_AGE_COST: Micros = Micros::from_millis(20);

/// What a member tells of itself is believed for this long when nothing fresher is known.
pub const GOSSIP_FOR: Micros = Micros::from_millis(1_500);

/// Peers probed for one request that finds no free place at once.
pub const PROBES: usize = 2;

/// Members that are drawn for each probe; the most promising of them is asked.
pub const PROBE_DRAWS: usize = 3;

/// While requests wait here, peers are probed this often.
pub const SEEK_EVERY: Micros = Micros::from_millis(50);

/// A request that may start here waits for a much faster place for at most this share of what it would gain, in per cent,
/// times the share that the gain is of the time it takes here.
pub const HOLD_SHARE_PERCENT: u64 = 30;

/// … and never longer than this.
pub const HOLD_MAX: Micros = Micros::from_millis(250);

/// A place elsewhere has to be better than a free slot here by this share of the service time here, in per cent.
pub const BIAS_PERCENT: u64 = 30;

/// An offer that is not answered within this and a round trip is taken for a no.
pub const OFFER_FOR: Micros = Micros::from_millis(150);

/// Offers that a peer leaves without an answer before it is taken for silent: a word may get lost.
pub const OFFERS_UNHEARD: u8 = 2;

/// Offers that may be refused in a row before a request waits here for its turn.
pub const REJECTS_MAX: u8 = 2;

/// A slot is kept for an accepted offer for this long: a round trip across the world, and a slow disk.
pub const KEPT_FOR: Micros = Micros::from_millis(1_000);

/// An offer is accepted if the wait is at most this longer than promised …
pub const PROMISE_SLACK: Micros = Micros::from_millis(50);

/// … or by this share of it, in per cent.
pub const PROMISE_SLACK_PERCENT: u64 = 25;

/// Peers remembered that have work waiting.
pub const HUNGRY_MAX: usize = 16;

/// … and for how long.
pub const HUNGRY_FOR: Micros = Micros::from_millis(1_000);

/// Tries to steal for one free slot before it stays free.
pub const STEALS_MAX: u8 = 3;

/// A peer that had nothing to steal is left alone for this long; each further time doubles it.
pub const STEAL_BACKOFF_MIN: Micros = Micros::from_millis(20);

/// … up to this.
pub const STEAL_BACKOFF_MAX: Micros = Micros::from_millis(500);

/// Probes or offers without an answer that count as silence.
pub const UNANSWERED_MAX: u8 = 3;

/// What a peer takes is believed as seen from so many answers on.
pub const LEARNED_FROM: u32 = 4;

/// Samples that a mean remembers.
pub const MEAN_OVER: u32 = 32;

/// A member is present if it was heard within five announcements.
pub const PRESENT_FOR_ANNOUNCEMENTS: u64 = 5;

/// From so many members on, a slot that gets free or busy is not told to all: there are probes for that.
pub const TELL_SLOTS_BELOW: usize = 17;

/// Of the places of a circle, one in so many is quicker than what counts as quick.
pub const QUICK_SHARE: usize = 4;

/// A peer that spoke so lately is not probed again.
pub const PROBE_AGAIN: Micros = Micros::from_millis(50);

/// A peer that had no room, and knows that work waits here, is not probed again for this long.
pub const NOTE_FOR: Micros = Micros::from_millis(500);

/// Requests at the head of the queue that are looked at when a peer has room.
pub const HAND_OVER_LOOKS: usize = 64;

/// A slot is kept for stolen work for this long and a round trip: the victim writes its ledger first.
pub const BEGGED_FOR: Micros = Micros::from_millis(300);

/// How often it pays to look for a faster place, in a thousand, before anything is known.
pub const LUCK_AT_FIRST: u32 = 500;

/// Below this it is tried only now and then …
pub const LUCK_LOW: u32 = 60;

/// … once in so many times.
pub const LUCK_RETRY: usize = 16;

/// Where requests whose prompts begin alike went last; more conversations than a node serves at once.
pub const AFFINITIES_MAX: usize = 1_024;

/// Work that takes less than this here is never worth a look at other places.
pub const LONG: Micros = Micros::from_millis(50);

/// Shorter waits for a faster place are not worth the bother.
pub const HOLD_MIN: Micros = Micros::from_millis(2);

/// A request that finds no place by hearsay looks around for this long and a round trip before it is refused.
pub const LOOK_AROUND: Micros = Micros::from_millis(30);

/// Members that are looked at when none spoke lately.
pub const GOSSIP_DRAWS: usize = 4;

/// A request of the lowest priority takes a smaller model rather than to wait for more than this share of its time left,
/// in per cent …
pub const LADDER_LOW_PERCENT: u64 = 5;

/// … and a normal one for more than this. Below the cap of the queue, so that there is room for what stepped down.
pub const LADDER_NORMAL_PERCENT: u64 = 10;

/// Second tries of one model in a hundred first ones, after a refusal or a failure of the engine.
pub const RETRY_PERCENT: u32 = 10;

/// Tokens of a budget before anything was asked: a node that is asked little may try again too.
pub const BUDGET_AT_FIRST: u32 = 3;

/// The most tokens that a budget saves up.
pub const BUDGET_MAX: u32 = 10;

/// Second copies of late requests of one model in a hundred that were sent to a peer.
pub const HEDGE_PERCENT: u32 = 5;

/// Times of answers from peers that say what is late. Of 64, four slow ones are the 95th percentile, and the copies that
/// come later for that make it slower still.
pub const HEDGE_SAMPLES: usize = 128;

/// … and fewer than these say nothing: the 95th percentile of them would be the slowest.
pub const HEDGE_SAMPLES_MIN: usize = 20;

/// A request is late when it takes longer than the 95th percentile by this share of it, in per cent. One in twenty passes
/// the percentile on any day and is about to be answered: second copies of those would use up what the budget has.
pub const HEDGE_SLACK_PERCENT: u64 = 10;

/// Nothing counts as late before this: a second copy costs a record on the disk of each side.
pub const HEDGE_MIN: Micros = Micros::from_millis(50);

/// When nobody is known to be free for a second copy, it is looked for once more after this.
pub const HEDGE_AGAIN: Micros = Micros::from_millis(100);

/// Looks for a place for a second copy of one request.
pub const HEDGE_LOOKS: u8 = 2;

/// What the process around a model takes in memory, where the publisher of the model did not say what the two take.
pub const WORKER_MEMORY: ByteCount = ByteCount(64 << 20);

/// A model that nobody used for this long leaves for one that is answered elsewhere: about what a load is worth.
pub const WARM_FOR: Micros = Micros::from_millis(60_000);

/// Members of a circle that have only the file of a model: one of them is asked to open it.
pub const COLD_MAX: usize = 8;

/// How soon a request that waits for a load elsewhere asks again.
pub const LOAD_LOOK: Micros = Micros::from_millis(2_000);

/// … that waits for a slot where the model was opened for it.
pub const LOAD_LOOK_FULL: Micros = Micros::from_millis(500);

/// How long it is at most before the end of a catalog entry is looked at again: some ends are centuries away, and clocks are
/// set.
pub const EXPIRY_LOOK: Micros = Micros(3_600_000_000);

/// How often a model is asked what the catalog knows the answers to, and for how long one is left alone that failed.
pub const PROVE_EVERY: Micros = Micros::from_millis(3_600_000);

/// How far a member is taken to be to whom there is no link, if there is none to others of its site either.
pub const FAR_GUESS: Micros = Micros::from_millis(30);

/// How often neighbours call each other. Six links at this pace cost about 700 B/s each way on the wire.
pub const PULSE: Micros = Micros::from_millis(1_000);

/// How long after a standstill a round trip is not believed to be longer than before: the transport takes the time that
/// packets lay unread for the way, and forgets it over some dozens of acknowledgements.
pub const ROUND_TRIP_SETTLES: Micros = Micros::from_millis(15_000);

/// A neighbour that was not heard, or did not hear us, for this long is doubted: two pulses are missing, and a fifth of
/// a second is left for the way.
pub const UNHEARD: Micros = Micros::from_millis(2_200);

/// … and this many round trips more: what is lost is sent again after somewhat more than one, and after twice that if it
/// is lost again (RFC 9002, section 6.2).
pub const UNHEARD_ROUND_TRIPS: u64 = 4;

/// … or for up to this long, on a link that is far or often slow.
pub const UNHEARD_MAX: Micros = Micros::from_millis(6_000);

/// A doubted node has this long to say that it is there.
pub const DOUBT_FOR: Micros = Micros::from_millis(800);

/// Neighbours that must doubt a node before it counts as gone: one may be cut off from it alone.
pub const DOUBTS: usize = 2;

/// Those who are doubted are judged at most once in this time: that is a look at each of them.
pub const JUDGE_GAP: Micros = Micros::from_millis(50);

/// Doubts of one node that are kept and passed on. Whoever passes on this many has told enough for all to judge; those beyond
/// what is needed are for doubters who leave. When a site is lost, each gateway of all others doubts each of its nodes.
pub const DOUBTS_MAX: usize = 4;

/// A node that refuted a doubt is not doubted again by the same neighbour before this: a cut between the two alone must
/// not make a rumour each second.
pub const DOUBT_AGAIN: Micros = Micros::from_millis(10_000);

/// If more than this share of those who are there would be gone at once, in per cent …
pub const FALLEN_PERCENT: usize = 10;

/// … and more than this many, each gets as long again to say that it is there: a cut looks like many deaths.
pub const FALLEN_MIN: usize = 3;

/// Those who fell within this time fell at once.
pub const FALLEN_IN: Micros = Micros::from_millis(2_000);

/// The orders in which the nodes of a site stand as on rings; each watches the next on every ring. Three keep the mesh
/// whole, and its diameter small, at thousands of nodes (K-ring expander of Rapid, Suresh et al., ATC 2018).
pub const RINGS: usize = 3;

/// Nodes of a site that talk to other sites. Two, so that one may die unnoticed.
pub const GATEWAYS: usize = 2;

/// How long a node takes members that it never heard for being there, after its start.
pub const STRANGERS_FOR: Micros = Micros::from_millis(5_000);

/// A member that could not be reached is left aside for this long in the choice of neighbours.
pub const UNREACHED_FOR: Micros = Micros::from_millis(10_000);

/// Pulses in a row whose sender has heard something else, before it is told everything: words are on their way for less.
pub const WORDS_APART: u32 = 3;

/// Neighbours are chosen anew at most this often: many words come at once.
pub const CHOOSE_GAP: Micros = Micros::from_millis(100);

/// A word of one node is passed on at most this often within its site …
pub const RELAY_GAP: Micros = Micros::from_millis(1_000);

/// … and between sites. Routing bears words of 30 s (docs/figures/gossip.md).
pub const RELAY_GAP_FAR: Micros = Micros::from_millis(5_000);

/// Rumours in one message, as its type says.
pub const RUMOURS_MAX: usize = 64;

/// A site of at most this many shows all its nodes to the others; a larger one its gateways and …
pub const SHOWN_WHOLE: usize = 8;

/// … this many holders of each model.
pub const SHOWN_PER_MODEL: usize = 3;

/// Pulses that come so much later than they were due were held up here, and nobody else is to blame.
pub const PULSE_LATE: Micros = Micros::from_millis(700);

/// Chunks of a file that are on their way to a node at once: more is offered than a line can carry now and then, and what is
/// declined for that costs the giver a round trip.
pub const CHUNKS_TAKEN: usize = 24;

/// … from one partner: whoever promises and does not give shall not keep the others out. More than one gives at once
/// ([`CHUNKS_GIVEN`]), for what was given still has to be checked and written here while the next is offered; what is declined
/// then costs the giver a rest.
pub const CHUNKS_TAKEN_OF_ONE: usize = 8;

/// Chunks that a node gives at once, within its site and to others. Two keep its line busy; the third covers the way there
/// and back of an offer.
pub const CHUNKS_GIVEN: usize = 3;

/// Chunks that an offer names.
pub const CHUNKS_NAMED: usize = 8;

/// Ranges of chunks that one word tells of.
pub const CHUNK_RANGES: usize = 1024;

/// In how many cells at most a person is shown how far a file is.
pub const CHUNK_CELLS: usize = 256;

/// How long a chunk is taken to need before one has come.
pub const CHUNK_TAKES: Micros = Micros::from_millis(100);

/// How many times as long as others a chunk may take before it is fetched from a second partner, too.
pub const CHUNK_LATE: u64 = 4;

/// How long a chunk is taken to need at most, however often none came.
pub const CHUNK_TAKES_MOST: Micros = Micros::from_millis(60_000);

/// How long a chunk may take to begin before it is given up: whoever promises and does not give is not waited for. A slow
/// line that is not known to be one yet shows itself, for each time the wait is longer.
pub const CHUNK_STALLS: Micros = Micros::from_millis(5_000);

/// … and how many times as long as others, on lines on which that is more.
pub const CHUNK_STALLED: u64 = 16;

/// How many times that it may take to come whole once it has begun; the driver notices by itself that nothing comes any more.
pub const CHUNK_TRICKLES: u64 = 8;

/// How often the time is doubled in which nothing is taken of a partner that does not keep its word, at most.
pub const CHUNK_SHUNS_DOUBLE: u32 = 8;

/// How long nothing may come before a node takes from elsewhere what is another's turn at its site.
pub const CHUNK_STARVES: Micros = Micros::from_millis(5_000);

/// How often the rest of a partner that declines is doubled, at most.
pub const CHUNK_RESTS_DOUBLE: u32 = 3;

/// How long an offer waits for the one to whom it is made.
pub const CHUNK_OFFER_WAITS: Micros = Micros::from_millis(2_000);

/// Names that are rolled out, or were; one word about each is kept.
pub const ROLLOUTS_MAX: usize = 1_024;

/// Failures of a new version below which nothing is concluded: one or two may be a machine's, not the model's.
pub const ROLLOUT_FAILURES_MIN: u32 = 3;

/// Members whose verdicts take a new version back everywhere. One alone may have a broken machine, or be broken into.
pub const VERDICTS: usize = 2;

/// Requests of a version after which the older half of them counts half, so that a version that goes bad late is found out.
pub const ROLLOUT_WINDOW: u32 = 10_000;

/// How often a node decides which models it should hold: as often as sites tell each other what changed.
pub const PLACE_EVERY: Micros = Micros::from_millis(5_000);

/// What one decision period adds to the mean of the demand, in ten thousandths: 1 − e^(−5 s / 30 s), so that the mean is one
/// over about half a minute.
pub const DEMAND_SHARE: u64 = 1_535;

/// A demand below this is none: it is reached a minute and three quarters after a single request.
pub const DEMAND_MIN: MicroHertz = MicroHertz(1_000);

/// Models whose demand a node tells of: the most wanted.
pub const DEMANDS_TOLD: usize = 32;

/// The share of its slots, in per cent, up to which a model's copies shall be busy; what is above it is for bursts and for
/// the time that one more copy takes to come.
pub const PLACE_PERCENT: u64 = 70;

/// Copies of a model that is asked for, so that one may be lost.
pub const COPIES_MIN: u32 = 2;

/// A predicted wait above half of what one more copy takes calls for one, and so does one above this: nobody's patience
/// grows with the size of a model.
pub const PRESSED_AT: Micros = Micros::from_millis(2_000);

/// … once so many decisions in a row have seen it.
pub const PRESSED_FOR: u8 = 3;

/// Models on their way to a node at once because it decided so: more of them share one line, and each comes later.
pub const PLACES_AT_ONCE: usize = 2;

/// A copy stays at least this long: what was just fetched has not had the time to be of use (ski rental).
pub const STAYS_FOR: Micros = Micros::from_millis(60_000);

/// Bytes a second at which a model is taken to come before one has: a line of 100 Mbit/s.
pub const FETCH_RATE: u64 = 12_500_000;

/// … and to be opened from a disk.
pub const OPEN_RATE: u64 = 500_000_000;

/// Apps that budgets tell apart in a day; the rest is counted together.
pub const SPENDERS_MAX: usize = 1_000;

/// Bytes of payload that are taken for a token of a prompt, where a price is guessed: few, so that it is rather too high.
pub const BYTES_OF_TOKEN: u64 = 3;

/// Tokens that are taken for an answer before it is there.
pub const TOKENS_OF_ANSWER: u64 = 512;

/// The longest round trip to an anchor with which a member counts as near it, unless the configuration knows better: 2500 km
/// at most. Members of one country are seldom farther apart over lines as homes have them, and no other continent is as near.
pub const NEAR_RTT: Micros = Micros::from_millis(25);

/// Anchors that it takes to say that a member is near, or that it moved: one alone may be wrong.
pub const NEAR_ANCHORS_LEAST: usize = 2;

/// Members that measure one member, if its country has as many: some of them may be gone, or far.
pub const NEAR_ANCHORS: usize = 8;

/// Members that one member measures: with draws by chance, four times as many as it is to be.
pub const NEAR_SAMPLES_MAX: usize = 32;

/// A sample counts for so long: it is signed anew each hour, and one hour may be missed.
pub const NEAR_FOR: Micros = Micros::from_millis(2 * 3_600_000);

/// The longest round trip that is written into a record: those who tell a longer one measured none.
pub const NEAR_RTT_MAX: Micros = Micros::from_millis(60_000);

/// That a member moved is on the record once in so long, and warned of for so long if nobody can measure it any more: a
/// thief who goes when it was found must not take the warning along, and one who comes and goes must not fill the ledger.
pub const NEAR_WARNED: Micros = Micros::from_millis(86_400_000);

/// A sample from the future counts if it is so by no more: clocks of members differ.
pub const NEAR_AHEAD_MS: u64 = 600_000;
