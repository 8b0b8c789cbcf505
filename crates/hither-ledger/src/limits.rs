//! Bounds, each with its reason.

/// The longest line that a reader takes. A record has some twenty short fields; what is longer is not a record, and
/// nobody should have to hold it in memory to find that out.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// The most records that one `append` takes. A group is lost or kept as a whole, so it stays small.
pub const GROUP_RECORDS_MAX: usize = 1024;

/// The most bytes that a torn tail may have: what one group may be writing when the power goes. More is damage.
pub(crate) const TORN_BYTES_MAX: u64 = (GROUP_RECORDS_MAX * LINE_BYTES_MAX) as u64;

/// The largest integer in a record: RFC 8785 numbers are IEEE doubles, and beyond this they are not exact.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The largest checkpoint file that is read. Ours have about 250 bytes; notes with many cosignatures have a few thousand.
pub(crate) const NOTE_BYTES_MAX: u64 = 64 * 1024;

/// The longest text of a version, as `config.start` records it.
pub(crate) const VERSION_BYTES_MAX: usize = 63;

/// Bytes in the id of a build: linkers make 8 to 32.
pub(crate) const BUILD_BYTES_MAX: usize = 32;

/// The longest word for a kind that a newer program may have: it is shown and counted, so it stays short.
pub(crate) const KIND_BYTES_MAX: usize = 40;

/// The size at which a segment is closed, if no new day closed it before. Large enough that a year of a busy node is some
/// thousand files, small enough that one can be held in memory, and that deleting one does not keep a transfer waiting.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Places of a policy's lists that one record names; it says how many there are beside.
pub(crate) const BLOC_MOVES_MAX: usize = 200;

/// Rules that the record of an export names. One permits what most ledgers hold; a policy may have thousands.
pub(crate) const EXPORT_RULES_MAX: usize = 64;
