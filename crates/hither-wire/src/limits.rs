//! How much of anything a node says or hears. Every number is held when encoding and again when decoding.

/// The largest form of all: an ask with its payload, or a piece of an answer. It holds a batch of 4 million 32-bit
/// numbers, or some hours of typing; larger work is split by its caller.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// The largest small talk: 256 members with certificates and addresses take a quarter of it.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// The largest hello. It comes from strangers, so it is the smallest that a certificate with addresses fits.
pub const MAX_HELLO: usize = 4 * 1024;

/// The largest answer to a hello: all members and the whole catalog.
pub const MAX_HELLO_REPLY: usize = 4 * 1024 * 1024;

/// The inside of a certificate: names of 63 bytes and some countries.
pub const MAX_MEMBER: usize = 1024;

/// The inside of a model's entry in the catalog: 256 tensors with long names.
pub const MAX_MANIFEST: usize = 64 * 1024;

/// The inside of a ticket: short enough to paste. An usual one takes 200 bytes, one with as many relays as addresses may
/// be five times that.
pub const MAX_INVITE: usize = 1280;

/// Addresses of one node: more interfaces than that are virtual.
pub const MAX_ADDRESSES: usize = 16;

/// States that can compel one operator.
pub const MAX_CONTROL: usize = 16;

/// Marks on the data of one request.
pub const MAX_TAGS: usize = 16;

/// Jurisdictions of the people concerned by one request: every country there is would not fit a form.
pub const MAX_SUBJECTS: usize = 64;

/// Members in one message. A larger mesh sends several.
pub const MAX_MEMBERS: usize = 256;

/// Entries of the catalog in one message. A larger catalog sends several.
pub const MAX_CATALOG: usize = 256;

/// Words about versions in one message. More go in several.
pub const MAX_ROLLOUTS: usize = 256;

/// The inside of a word about versions: as many sites as it may name, with long names.
pub const MAX_ROLLOUT: usize = 8 * 1024;

/// Sites that one rollout names.
pub const MAX_ROLLOUT_SITES: usize = 64;

/// Entries of the authority log: who is appointed, dismissed or revoked in the life of a mesh. With signatures they take
/// a quarter of a message.
pub const MAX_AUTHORITY: usize = 1024;

/// The inside of an entry of the authority log: a certificate with its signature is the largest thing in one.
pub const MAX_AUTHORITY_ENTRY: usize = 2048;

/// The inside of a proof of a start: two challenges, a moment and a number.
pub const MAX_START_PROOF: usize = 128;

/// Ranges of chunks in one word: whoever has more pieces of a file than that says several.
pub const MAX_RANGES: usize = 1024;

/// Chunks that one offer names.
pub const MAX_OFFERED: usize = 8;

/// A word about chunks: as many ranges as there may be, each of two numbers of five bytes.
pub const MAX_CHUNK_TALK: usize = 12 * 1024;

/// Jurisdictions that one issuer may let others in from.
pub const MAX_WITHIN: usize = 64;

/// Operators whose nodes one issuer may let in: with the jurisdictions they fill most of an entry.
pub const MAX_OPERATORS: usize = 16;

/// Approvers of one mesh: people who can be asked.
pub const MAX_APPROVERS: usize = 16;

/// Approvals that one change may need: more signatures would not fit an entry.
pub const MAX_QUORUM: usize = 8;

/// Bytes of the text of a policy that is published: a thousand rules without comments, and a quarter of a message.
pub const MAX_POLICY: usize = 256 * 1024;

/// Models in one presence: it is passed on by each node of a site, so they stay below 3 kB.
pub const MAX_PRESENT_MODELS: usize = 64;

/// Models whose demand one node tells of: with the models that it holds they take 4 kB.
pub const MAX_DEMANDS: usize = 32;

/// Rumours in one message: with the longest presences they take a quarter of one.
pub const MAX_RUMOURS: usize = 64;

/// Bytes of a checkpoint with its signature, and of the line of a witness: each has some 300.
pub const MAX_NOTE: usize = 1024;

/// Hashes of a growth: two for each bit of a size.
pub const MAX_GROWTH: usize = 126;

/// Members that one report of round trips is about: each is measured by a few others, drawn evenly.
pub const MAX_NEAR_SAMPLES: usize = 32;

/// The longest round trip in a report, in microseconds: nobody waits for an answer so long, and numbers that are no times
/// would go from here into records, where they may be too large to be written.
pub const MAX_NEAR_RTT: u64 = 60_000_000;

/// The inside of a report of round trips: as many samples as it may have, each with some 70 bytes.
pub const MAX_NEAR_REPORT: usize = 4 * 1024;

/// Reports of round trips in one message: with signatures the longest take half of it.
pub const MAX_NEAR: usize = 128;

/// Token ids to go on from: the longest context of the models that we know.
pub const MAX_RESUME: usize = 128 * 1024;

/// Places in one refusal.
pub const MAX_DENIED: usize = 8;

/// Failed fields of one near miss: rules have 13 fields.
pub const MAX_FAILED_FIELDS: usize = 16;

/// Inputs, or outputs, of one model.
pub const MAX_TENSORS: usize = 256;

/// Questions with known answers of one model; together with the rest they fit [`MAX_MANIFEST`].
pub const MAX_GOLDEN: usize = 16;

/// Dimensions of one tensor.
pub const MAX_DIMENSIONS: usize = 16;

/// Bytes of a tensor's name or a licence: more is refused.
pub const MAX_NAME: usize = 256;

/// Bytes of a sentence for a person: more is cut off with an ellipsis by the sender, and refused by the receiver.
pub const MAX_TEXT: usize = 1024;
