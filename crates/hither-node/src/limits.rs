//! Every bound of the driver, with the reason for its number.

use std::time::Duration;

use hither_types::unit::Micros;

/// Events that wait for the loop. Past it the door answers "overloaded" and hands wait.
pub(crate) const INBOX_MAX: usize = 4096;

/// Events that the loop takes before it looks at anything else: some hundred microseconds of them.
pub(crate) const TAKEN_AT_ONCE: usize = 64;

/// Parts of an answer that wait for a slow client before it is given up: more than any context has tokens today.
pub(crate) const ANSWERS_MAX: usize = 4096;

/// Token ids kept per stream, to go on from: 128 KB.
pub(crate) const TOKENS_MAX: usize = 32 * 1024;

/// Facts that wait for the disk. Past it nothing leaves, which is what a stuck disk means.
pub(crate) const RECORDS_MAX: usize = 4096;

/// Facts written by one sync.
pub(crate) const RECORDS_BATCH_MAX: usize = 256;

/// How long a fact that nobody waits for may wait for others.
pub(crate) const RECORDS_DELAY: Duration = Duration::from_millis(100);

/// How often old records are looked for: the law counts days.
pub(crate) const RETENTION_LOOK: Duration = Duration::from_secs(86_400);

/// Open invites. A person hands each of them out.
pub(crate) const INVITES_MAX: usize = 256;

/// A peer expects a sign of life this often while it waits for an answer.
pub(crate) const BEAT: Duration = Duration::from_millis(250);

/// Pieces count as signs of life; the mind need not hear of more of them than this.
pub(crate) const BEAT_FROM_PIECES: Duration = Duration::from_millis(100);

/// Bytes of a prompt that count as its beginning: a system prompt of some hundred tokens, and cheap to hash.
pub(crate) const BEGINNING_MAX: usize = 2048;

/// The picture is replaced at most this often.
pub(crate) const VIEW_EVERY: Duration = Duration::from_millis(100);

/// A worker that has not opened its model by then is given up.
pub(crate) const LOAD_TIME: Duration = Duration::from_secs(120);

/// A worker that was told to end has this long before it is killed.
pub(crate) const STOP_TIME: Duration = Duration::from_secs(2);

/// A worker that has a job and says nothing for so long hangs, unless the configuration knows better. The longest step
/// is a part of a prompt, or one call of a tensor model.
pub(crate) const HANG_TIME: Duration = Duration::from_secs(30);

/// Rows that one call of a tensor model takes together: beyond it a batch gains nothing, and all wait for the last row.
pub(crate) const BATCH_MAX: u16 = 1024;

/// How long a request may wait for others to go with: longer, and the client waits more than it gains.
pub(crate) const BATCH_DELAY_MAX: Duration = Duration::from_secs(1);

/// Commands that wait for a worker whose socket is full.
pub(crate) const WORKER_BACKLOG_MAX: usize = 256;

/// Bytes read from a worker's socket at once: many tokens, or a tensor answer of the usual size.
pub(crate) const READ_CHUNK: usize = 64 << 10;

/// A frame from a worker: a tensor answer is the largest.
pub(crate) const WORKER_FRAME_MAX: usize = 256 << 20;

/// Other members that a node knows: as many as its mind weighs.
pub(crate) const MEMBERS_MAX: usize = hither_core::limits::MEMBERS_MAX;

/// Models in the catalog.
pub(crate) const CATALOG_MAX: usize = hither_core::limits::MANIFESTS_MAX;

/// Names with a rollout.
pub(crate) const ROLLOUTS_MAX: usize = hither_core::limits::ROLLOUTS_MAX;

/// Verdicts on one rollout that are kept and told: two decide, the rest is for whoever looks for the cause.
pub(crate) const VERDICTS_MAX: usize = 8;

/// How long after its start a node waits to hear from members before it says that nobody is there: a neighbour tells
/// everything as soon as there is a link, which takes some tenths of a second.
pub(crate) const SETTLES: Micros = Micros::from_millis(1_000);

/// How often a node looks at who belongs still, and tells its neighbours which start of it this is.
pub(crate) const TELL_EVERY: Duration = Duration::from_secs(5);

/// Pulses in a row that say that a neighbour knows something else, before it is told everything: news take a moment.
pub(crate) const APART_FOR: u32 = 3;

/// A neighbour that still knows something else is not told everything again before this.
pub(crate) const TELL_AGAIN: Duration = Duration::from_secs(5);

/// A hash of what this node knows is used for so long: neighbours compare it with theirs some times a second.
pub(crate) const HEADS_FOR: Duration = Duration::from_secs(1);

/// Records of one member that are remembered as passed on: its addresses change seldom.
pub(crate) const PASSED_ON_MAX: usize = 16;

/// An issuer vouches again for a member that it is linked with when its certificate has no longer than this.
pub(crate) const RENEW_DAYS: u64 = 20;

/// Certificates that are made anew in one look: all are told of each, over links that hold few words.
pub(crate) const RENEWED_AT_ONCE: usize = 16;

/// How often a member whose certificate grows old by its policy asks one of the issuers, in turn, at most: each time is a
/// connection, and an issuer may live by another policy. It asks as many times as this in the time that the policy gives, if that
/// is seldomer.
pub(crate) const RENEWAL_ASK: Duration = Duration::from_secs(60);
pub(crate) const RENEWAL_ASKS: u64 = 24;

/// How long after its certificate's end a member of the same site and operator is still taken for one, and how long an
/// issuer vouches for it again: a ship may be away that long.
pub(crate) const GRACE_DAYS: u64 = 90;

/// Starts of one member that are remembered, so that a key on two machines comes out, and on some more.
pub(crate) const STARTS_MAX: usize = 4;

/// How long a node that found an earlier one with its key stays in the mesh: so that the other hears of it, too.
pub(crate) const TWIN_FAREWELL: Duration = Duration::from_millis(500);

/// When a node that found a later one with its key tells members to begin anew with it: the other has left by then.
pub(crate) const TWIN_GONE: Duration = Duration::from_millis(1500);

/// How long a node that leaves its mesh stays, so that the others hear it.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// How often the wall clock is compared with the steady one.
pub(crate) const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// A wall clock that gains or loses more than this between two looks was set, or the machine slept: what keeps a clock
/// right moves it by half a millisecond in a second, and a leap second is one.
pub(crate) const CLOCK_JUMP_MS: u64 = 2_000;

/// Clocks of members may differ by this much, which no certificate is refused for.
pub(crate) const CLOCK_GRACE: Duration = Duration::from_secs(600);

/// How long running requests may take when the node is told to stop.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How long a crash of a worker is shown to the operator: as long as it counts towards a quarantine.
pub(crate) const CRASH_TOLD: Duration = Duration::from_secs(600);

/// Crashes of one model that are remembered for showing: a quarantine comes at three.
pub(crate) const CRASHES_MAX: usize = 8;

/// Apps of one node: an operator names each of them.
pub(crate) const APPS_MAX: usize = 1000;

/// Jobs that nobody can serve wait so long at first, and twice as long each time, in milliseconds.
pub(crate) const JOB_HOLD_FIRST_MS: u64 = 1_000;

/// The longest that they wait, if nothing changes: asking costs a decision and two small writes.
pub(crate) const JOB_HOLD_MAX_MS: u64 = 60_000;

/// The longest wait that a place may ask for: its clock, or ours, may be wrong.
pub(crate) const JOB_WAIT_NAMED_MAX_MS: u64 = 300_000;

/// A job that was refused by law, or failed an engine, waits so long at first: until a peer that was just found is
/// heard (a beat of the mesh is half a second).
pub(crate) const JOB_STRIKE_FIRST_MS: u64 = 5_000;

/// Jobs that are ended or forgotten in one step: each costs two syncs, and who hands a job in waits for them.
pub(crate) const JOBS_SWEPT_AT_ONCE: usize = 32;

/// How soon, and how late, it is looked at again whether a job is due: not at once, for what could not be done; and not
/// later than a wall clock that jumps would have it.
pub(crate) const JOBS_LOOK_AGAIN: std::ops::Range<Duration> = Duration::from_millis(50)..Duration::from_secs(60);

/// Space on disk that is set aside so that jobs can end when there is no other: a hundred short answers, or one long one.
pub(crate) const JOB_RESERVE_BYTES: usize = 1 << 20;

/// Servers outside the mesh that one node may ask: an operator names each of them.
pub(crate) const ENDPOINTS_MAX: usize = 32;

/// Requests at once at such a server, unless the configuration says otherwise.
pub(crate) const ENDPOINT_AT_ONCE: u16 = 64;

/// How often it is looked at whether a server that has work shows life: as often as a peer beats.
pub(crate) const ENDPOINT_PULSE: Duration = Duration::from_millis(250);

/// A server that has work, said nothing for a pulse and does not answer a probe for so long is taken for dead: three
/// pulses in all, as of a peer.
pub(crate) const ENDPOINT_PROBE: Duration = Duration::from_millis(500);

/// How often a server that is not there is tried again.
pub(crate) const ENDPOINT_RETRY: Duration = Duration::from_secs(1);

/// How often the mind is told that a server is there: as often as members tell of themselves.
pub(crate) const ENDPOINT_TELL: Duration = Duration::from_millis(500);

/// Batches of one app that have not ended: each reads its file anew at a start.
pub(crate) const BATCHES_OPEN: usize = 16;

/// How long a batch is shown after its end, in milliseconds: as long as its files are kept at most.
pub(crate) const BATCH_KEEP_MS: u64 = 30 * 86_400_000;

/// How often it is looked at whether files of certificates or keys were renewed.
pub(crate) const FILES_LOOK: Duration = Duration::from_secs(5);

/// How often an issuer's keys are fetched anew: it publishes a new one longer before it signs with it.
pub(crate) const KEYS_FETCH: Duration = Duration::from_secs(900);

/// The least time between two fetches, whatever tokens say and however often it fails.
pub(crate) const KEYS_FETCH_LEAST: Duration = Duration::from_secs(60);

/// Relays that one file names: an operator writes each of them down.
pub(crate) const RELAYS_NAMED_MAX: usize = 8;

/// Relays that are used at once, counted by address: the transport measures the way to each of them.
pub(crate) const RELAYS_MAX: usize = 16;

/// Relays that a node says it is reached over: the transport keeps a connection to one.
pub(crate) const RELAYS_TOLD_MAX: usize = 4;

/// How long a relay that joins waits for the node that made the invite to come to it: that one looks again every 16 s.
pub(crate) const ISSUER_COMES: Duration = Duration::from_secs(45);

/// How long it waits between two looks.
pub(crate) const ISSUER_LOOK: Duration = Duration::from_millis(500);

/// Proposals that wait for approvers: more than people look through. The oldest makes way for another.
pub(crate) const PROPOSALS_MAX: usize = 16;

/// Policies that hold for different ranges of nodes at once: people have to keep them apart. Nobody takes an entry of the
/// authority log past it, so it may grow and not shrink.
pub(crate) const PUBLICATIONS_MAX: usize = 32;

/// The text of a published policy is wanted again, of another member, after so long.
pub(crate) const POLICY_ASK_AGAIN: Duration = Duration::from_secs(5);

/// Texts of policies that one member is given: no honest one wants more of them in a moment.
pub(crate) const POLICY_GIVEN_EVERY: Duration = Duration::from_millis(200);

/// Letters of a proposal's id that whoever approves it types at least.
pub(crate) const PROPOSAL_SAID_MIN: usize = 6;

/// A joiner whose words have to be typed asks again after so long.
pub(crate) const WORDS_LOOK: Duration = Duration::from_secs(1);

/// Chunks of files that go over a line at once, near and far: the second covers the way there and back of the first.
pub(crate) const COURSE_LINES: usize = 2;

/// Members of this site that a node greets when it fetches a file, and …
pub(crate) const COURSE_NEAR: usize = 24;

/// … members elsewhere: with eight each, a random graph hangs together.
pub(crate) const COURSE_FAR: usize = 8;

/// Members that take part in one course, greeted or come by themselves. Others find partners among these.
pub(crate) const COURSE_MOST: usize = 64;

/// How often people are shown how far files are.
pub(crate) const COURSE_DRAWN: Duration = Duration::from_millis(250);

/// How often whoever fetches a file looks who else has some of it.
pub(crate) const COURSE_LOOK: Duration = Duration::from_secs(2);

/// … and as long as it has only begun: until a node knows who else of its site fetches the file, it takes every chunk for its
/// own to bring there. Others hear of a fetch in some tenths of a second.
pub(crate) const COURSE_LOOK_FIRST: Duration = Duration::from_millis(100);

/// How long that is.
pub(crate) const COURSE_BEGINS: Duration = Duration::from_secs(4);

/// How long nobody may answer a greeting before the file is fetched in the way of earlier releases.
pub(crate) const COURSE_MEETS: Duration = Duration::from_secs(4);

/// How long nothing of a file may come before it is tried in that way.
pub(crate) const COURSE_STALLS: Duration = Duration::from_secs(20);

/// Members that are looked up at once since they spoke of a file, and words of each that wait for that.
pub(crate) const COURSE_STRANGERS: usize = 1024;
pub(crate) const COURSE_WORDS: usize = 64;

/// Models that an operator may pin to a node: as many as there may be in a catalog.
pub(crate) const PINS_MAX: usize = CATALOG_MAX;

/// Peers that are asked to sign the checkpoint of this node's ledger.
pub(crate) const WITNESSES: usize = 3;

/// Ledgers of others that this node looks at together.
pub(crate) const EXAMINED_AT_ONCE: usize = 16;

/// How often they are, and how soon after the start: by then others were heard.
pub(crate) const WITNESS_EVERY: Duration = Duration::from_secs(600);
pub(crate) const WITNESS_FIRST: Duration = Duration::from_secs(20);

/// How often they are where nothing leaves before one has signed.
pub(crate) const WITNESS_WANTED: Duration = Duration::from_secs(5);

/// How often the law is asked about a request that must stay here, and how soon after the start.
pub(crate) const CANARY_EVERY: Duration = Duration::from_secs(3_600);
pub(crate) const CANARY_FIRST: Duration = Duration::from_secs(60);

/// How often the counters of a kernel are read, unless the configuration says otherwise: an hour is short enough to find who
/// sent something, and adds two dozen records a day.
pub(crate) const KERNEL_EVERY_S: u64 = 3_600;

/// How long a reading waits for a file to be written that is newer than it: timers write once a minute or every five.
pub(crate) const KERNEL_FILE_WAIT: Duration = Duration::from_secs(900);

/// How often it looks whether that is so.
pub(crate) const KERNEL_LOOK: Duration = Duration::from_millis(500);

/// How long a program that reads counters may take: it asks the kernel one question.
pub(crate) const KERNEL_COMMAND: Duration = Duration::from_secs(10);

/// How long a node that ends waits for its last reading.
pub(crate) const KERNEL_LAST_READING: Duration = Duration::from_secs(2);

/// What such a program may say, in bytes: three counters take half a kilobyte, and a table of many has room.
pub(crate) const KERNEL_OUTPUT_MAX: u64 = 1 << 20;

/// Readings of the kernel's counters that are kept to compare payload with: more than an hour of them, which the longest request
/// takes, if they are read each second.
pub(crate) const KERNEL_ROW: usize = 4096;

/// After so long what was given to the transport has passed the kernel: a few megabytes over a slow line.
pub(crate) const KERNEL_LAG: Duration = Duration::from_secs(10);

/// Payload under way of which it is remembered when it began to leave: of more it is taken that it began with the first reading.
pub(crate) const KERNEL_UNDER_WAY: usize = 16_384;

/// Trainings of which a record is kept: a node hands over some a day, and looks back over months.
pub(crate) const TRAININGS_MAX: usize = 1000;

/// How long a server may take to say how far a training is: it looks it up.
pub(crate) const TRAINING_ASK: Duration = Duration::from_secs(30);

/// How often what was spent is written down at most.
pub(crate) const SPENDING_EVERY: Duration = Duration::from_secs(1);

/// Round trips of one measurement of how far a member is, of which the smallest counts: over in a second on another continent.
pub(crate) const NEAR_PINGS: u32 = 8;

/// Measurements under way together: each opens a connection.
pub(crate) const NEAR_AT_ONCE: usize = 4;

/// How often a member is measured, and how soon again if it did not answer, or from much farther than before.
pub(crate) const NEAR_EVERY: Micros = Micros::from_millis(600_000);
pub(crate) const NEAR_AGAIN: Micros = Micros::from_millis(4_000);

/// By how much a round trip grows that is not a network's doing: 5000 km, and more than a line that is busy all the time adds to
/// the best of many packets.
pub(crate) const NEAR_MOVED: Micros = Micros::from_millis(50);

/// If one is far, the others are measured at once unless they were within this: it may be the line of this node.
pub(crate) const NEAR_LATELY: Micros = Micros::from_millis(60_000);

/// How long one measurement may take, the connection included: those that do not answer must not keep the others waiting.
pub(crate) const NEAR_WAIT: Duration = Duration::from_secs(5);

/// How often in a row it has to have grown before that is said: some 32 round trips over 15 seconds. Who is silent so often
/// in a row is not where it was measured, as far as anybody knows.
pub(crate) const NEAR_TRIES: u32 = 4;

/// The smallest of so long is signed.
pub(crate) const NEAR_WINDOW: Micros = Micros::from_millis(3_600_000);

/// How long it is remembered where a member was before it moved.
pub(crate) const NEAR_REMEMBERED: Micros = Micros::from_millis(86_400_000);

/// What was measured is signed so often if it stays as it is, and at once if a round trip is shorter by this.
pub(crate) const NEAR_SIGNED: Micros = Micros::from_millis(3_600_000);
pub(crate) const NEAR_BETTER: Micros = Micros::from_millis(1);

/// Two reports of one member are apart by this, by its own clock: every member passes each of them on.
pub(crate) const NEAR_GAP_MS: u64 = 2_000;

/// By the clock here they are so, too, in the long run, and so many may come at once: those that were under way together.
pub(crate) const NEAR_BURST: u64 = 4;

/// How long it goes unwritten that a move which is warned of is still so: that is told every few seconds.
pub(crate) const MOVES_KEPT_MS: u64 = 600_000;

/// Reports that a member is told over a new link, in one message: some 60 kB, 200 at most. Up to so many members that is all of
/// them; of a thousand, a handful of neighbours tells enough that nearly everybody has the two anchors that it takes.
pub(crate) const NEAR_TOLD: usize = 128;
