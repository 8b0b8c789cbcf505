//! Every bound of the front door, with the reason for its number.

use std::time::Duration;

/// The largest body, before and after decompression: a tensor of 16 million single floats.
pub(crate) const BODY_BYTES: usize = 64 << 20;

/// Bodies that may be in memory at once, in bytes: so that many large bodies cannot exhaust the machine.
pub(crate) const BODIES_BYTES: usize = 512 << 20;

/// How long a client may take to send its body.
pub(crate) const BODY_READ: Duration = Duration::from_secs(60);

/// How long a client may take from the first byte of a request's head to the last, and to say anything at all.
pub(crate) const HEAD_READ: Duration = Duration::from_secs(10);

/// How long a connection may idle between requests: longer than the pools of common clients keep theirs (Node 5 s,
/// httpx 5 s, aiohttp 15 s; Go's 90 s notice when it ends).
pub(crate) const IDLE: Duration = Duration::from_secs(75);

/// Requests at once in one connection of HTTP/2.
pub(crate) const STREAMS: u32 = 256;

/// Bytes that a client of HTTP/2 may send of one request before the node has taken them. The protocol's 64 KiB make a
/// tensor of megabytes wait for a round trip every 64 KiB.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;

/// The same for all requests of a connection together.
pub(crate) const CONNECTION_WINDOW: u32 = 4 << 20;

/// The read buffer of a connection: a head longer than this is refused.
pub(crate) const HEAD_BYTES: usize = 64 << 10;

/// Headers in one request.
pub(crate) const HEADERS: usize = 100;

/// Connections of one listener at once; more wait in the kernel's queue. An idle one takes some 10 kB.
pub(crate) const CONNECTIONS: usize = 16_384;

/// How long a handshake of TCP that has begun may take to end once the node stops: a round trip to a client nearby.
pub(crate) const HALF_OPEN: Duration = Duration::from_millis(50);

/// How long a client that has connected may take to say something once the node stops: whoever asks at once may still have
/// to wait for a processor.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long open requests may take to end when the node stops.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// How deep JSON may nest. The parser's own limit is 128, and it does not hold for values that are skipped.
pub(crate) const JSON_DEPTH: usize = 100;

/// How long a client waits if it does not say.
pub(crate) const PATIENCE_MS: u64 = 120_000;

/// The longest that a client may wait.
pub(crate) const PATIENCE_MAX_MS: u64 = 3_600_000;

/// Tags or subjects in one label: more are a mistake, and each is weighed by every rule.
pub(crate) const LABEL_ITEMS: usize = 16;

/// Turns of one conversation.
pub(crate) const MESSAGES: usize = 4096;

/// Bytes of a salt that a client brings: enough for any hash, and nothing to fill memory with.
pub(crate) const SALT_BYTES: usize = 256;

/// Stop strings of one request, as the protocol says.
pub(crate) const STOPS: usize = 4;

/// Texts of one answer, over all its prompts, as the protocol says of one prompt.
pub(crate) const CHOICES: usize = 128;

/// Fields without effect that an answer names: more would not help whoever reads them.
pub(crate) const IGNORED_NAMES: usize = 32;

/// Inputs and outputs of one tensor request.
pub(crate) const TENSORS: usize = 256;

/// The least time between two events of the view.
pub(crate) const VIEW_EVERY: Duration = Duration::from_millis(500);

/// After this long without a change the view is told again, so that a dead connection is noticed.
pub(crate) const VIEW_SILENCE: Duration = Duration::from_secs(10);

/// Model names that metrics count apart; the rest are counted together.
pub(crate) const METRIC_MODELS: usize = 256;

/// Bytes of what makes an app known beside its key, a name in a certificate or a value in a token: as much as a DNS name,
/// an e-mail address or the identity of a workload has.
pub(crate) const LINK_BYTES: usize = 255;

/// Keys of one issuer: some publish a dozen while they change them.
pub(crate) const TOKEN_KEYS: usize = 64;

/// Keys that are tried upon a token that names none.
pub(crate) const TOKEN_KEYS_TRIED: usize = 8;

/// By how much the clock of an issuer may differ from that of this node.
pub(crate) const TOKEN_LEEWAY: Duration = Duration::from_secs(30);

/// What is read of an issuer's keys or description: a key has a kilobyte, its chain of certificates some more.
pub(crate) const ISSUER_BYTES: usize = 1 << 20;

/// How long an issuer may take to answer.
pub(crate) const ISSUER_TIME: Duration = Duration::from_secs(10);

/// Models or purposes of one app: people write them down.
pub(crate) const LIMIT_ITEMS: usize = 256;

/// The most that is read of the body of a request that is refused for its head: a question to a model has less.
pub(crate) const DISCARD_BYTES: usize = 64 << 10;

/// How long that may take: a client that was about to send it has sent it by then.
pub(crate) const DISCARD_READ: Duration = Duration::from_secs(1);

/// Batch sizes that the statistics of a model count apart; others share a row for each power of two.
pub(crate) const BATCH_SIZES: usize = 128;

/// An answer below this is not compressed: the head of the answer alone is longer.
pub(crate) const COMPRESS_FROM: usize = 1 << 10;

/// Requests of one stream that are served at once; answers keep their order.
pub(crate) const STREAM_AHEAD: usize = 8;

/// The farthest deadline of a job, in seconds: thirty days, as long as a certificate lives.
pub(crate) const JOB_SPAN_MAX_S: u64 = 30 * 86_400;

/// Bytes of an Idempotency-Key: enough for any UUID or hash.
pub(crate) const KEY_BYTES: usize = 255;

/// How long the answer to a request with a key is kept: longer than any client goes on trying.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(600);

/// How often what is older is looked for: how much longer it may lie in memory.
pub(crate) const KEPT_SWEEP: Duration = Duration::from_secs(60);

/// Keys at once; a new one is refused, for to forget an old one would let its request run twice.
pub(crate) const KEPT_KEYS: usize = 4096;

/// Of one app: a quarter, so that no app takes all.
pub(crate) const KEPT_KEYS_OF_APP: usize = 1024;

/// Bytes of all answers that are kept.
pub(crate) const KEPT_BYTES: usize = 64 << 20;

/// Bytes of one answer that is kept: some thousand vectors, or the longest text.
pub(crate) const KEPT_ANSWER_BYTES: usize = 4 << 20;

/// Bytes of a job's metadata: enough to find something again, and not to keep it here.
pub(crate) const JOB_METADATA_BYTES: usize = 4096;

/// Jobs tried at once: enough to keep an engine busy, and few beside what people wait for.
pub(crate) const JOBS_AT_ONCE: usize = 4;

/// Refusals by law, and failures of engines, after which a job is not tried again.
pub(crate) const JOB_STRIKES: u32 = 3;

/// Jobs in one answer, if the client does not say, and at most.
pub(crate) const JOBS_LISTED: usize = 100;
/// See there.
pub(crate) const JOBS_LISTED_MAX: usize = 1000;

/// How often it is looked at whether somebody came who could serve what nobody could.
pub(crate) const JOBS_WAKE_EVERY: Duration = Duration::from_millis(500);

/// How long a connection to a server outside the mesh may take to open: one that is there takes a round trip or three.
pub(crate) const ENDPOINT_CONNECT: Duration = Duration::from_millis(1500);

/// How long a connection to such a server is kept for the next request: shorter than what servers keep theirs for, so
/// that none is used that is just being closed.
pub(crate) const ENDPOINT_IDLE: Duration = Duration::from_secs(20);

/// Connections to one such server that are kept for the next request.
pub(crate) const ENDPOINT_IDLE_MAX: usize = 128;

/// Bytes of an error of such a server that are read; a thirty-second part of it is told, in characters.
pub(crate) const ENDPOINT_ERROR: usize = 8 << 10;

/// Bytes of one event of such a server's stream.
pub(crate) const ENDPOINT_EVENT: usize = 1 << 20;

/// Bytes of an answer of such a server that is one text: a thousand vectors.
pub(crate) const ENDPOINT_ANSWER: usize = 64 << 20;

/// Calls of tools in one answer of such a server.
pub(crate) const ENDPOINT_CALLS: usize = 64;

/// Bytes of an id, a status or a reason of such a server that are kept: its ids have some tens.
pub(crate) const ENDPOINT_ID: usize = 256;

/// Bytes of a file of examples that go to a server at once: each part that went is a sign of life, and over a slow line a
/// larger one would take longer than silence may.
pub(crate) const TRAINING_PART_BYTES: usize = 32 << 10;

/// Bytes of a file of examples that is handed over: it is in memory as a whole while its filter reads it, some four times.
pub(crate) const TRAINING_BYTES: u64 = 64 << 20;

/// Examples of one training, as many as work for engines has.
pub(crate) const TRAINING_EXAMPLES: usize = hither_engine::limits::MAX_EXAMPLES;

/// Bytes of what is said of a training beside its examples.
pub(crate) const TRAINING_OPTIONS_BYTES: usize = 16 << 10;

/// Bytes of the suffix of a trained model's name, as OpenAI has it.
pub(crate) const TRAINING_SUFFIX_BYTES: usize = 64;

/// Bytes of one file, as OpenAI has it; what an app may keep is often less.
pub(crate) const FILE_BYTES: u64 = 200 << 20;

/// Bytes of a file that are in memory at once, and lie in one file on the disk.
pub(crate) const FILE_PART_BYTES: usize = 1 << 20;

/// Bytes of a field beside the file.
pub(crate) const FILE_FIELD_BYTES: usize = 256;

/// Bytes of the name of a file: what file systems take.
pub(crate) const FILE_NAME_BYTES: usize = 255;

/// How long a file is kept, in seconds, at least: as OpenAI has it.
pub(crate) const FILE_KEEP_MIN_S: u64 = 3600;

/// The same at most, and if the client does not say: thirty days, as OpenAI has it.
pub(crate) const FILE_KEEP_MAX_S: u64 = 30 * 86_400;

/// Lines of one batch, as OpenAI has it.
pub(crate) const BATCH_LINES: u32 = 50_000;

/// Bytes of one line: a long conversation, and many of them beside the bodies of other requests.
pub(crate) const BATCH_LINE_BYTES: usize = 8 << 20;

/// Bytes of a custom_id: any name that a key or a path could have.
pub(crate) const BATCH_ID_BYTES: usize = 512;

/// Wrong lines that a batch names: more would not help whoever reads them.
pub(crate) const BATCH_FAULTS: usize = 100;

/// Lines of one batch that are jobs at once, from the first that lies in no file yet: so that no batch fills the store.
pub(crate) const BATCH_AHEAD: u32 = 512;

/// Lines whose answers are written together: each part costs two syncs.
pub(crate) const BATCH_PART_LINES: u32 = 64;

/// Bytes of a part after which no further line is added to it.
pub(crate) const BATCH_PART_BYTES: usize = 1 << 20;

/// How often it is looked at whether a deadline of a batch has passed.
pub(crate) const BATCH_LOOK: Duration = Duration::from_secs(1);

/// How soon a batch is tried again that the disk did not take or give.
pub(crate) const BATCH_AGAIN: Duration = Duration::from_secs(5);

/// Requests of a thousand that may fail with a new version beyond those that fail with the old one, if nobody says how many.
pub(crate) const ROLLOUT_TOLERANCE: u16 = 20;

/// The longest that a catalog entry holds, in seconds: a hundred years. Whoever wants more gives it no end.
pub(crate) const VALID_FOR_MAX_S: u64 = 100 * 366 * 86_400;

/// Bytes of the text that says who signed a model's files: as many as an entry takes.
pub(crate) const SIGNED_BY_BYTES: usize = 256;

/// Round trips that one ping measures: a person waits for them.
pub(crate) const PINGS_MAX: u32 = 100;
