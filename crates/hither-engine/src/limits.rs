//! What this crate accepts at most, with the reason for each number.

/// Bytes of one frame between a node and its worker. A batch of 32 colour pictures of 640×640 in single precision
/// has 157 MB and is refused; eight of them (39 MB) pass. A damaged length must not make us allocate gigabytes.
pub const MAX_FRAME: usize = 64 << 20;

/// Tensors in one call: far above any real model, far below what would make a table of them heavy.
pub const MAX_TENSORS: usize = 1024;

/// Dimensions of one tensor: ONNX Runtime itself takes fewer.
pub const MAX_RANK: usize = 16;

/// Turns of one conversation: at two tokens each they would fill a context of 8192.
pub const MAX_MESSAGES: usize = 4096;

/// Stop strings of one request, as the OpenAI API has it.
pub const MAX_STOPS: usize = 4;

/// Tokens in one piece or one resumed stream: the longest context that is common today.
pub const MAX_TOKEN_IDS: usize = 1 << 17;

/// Bytes read from the socket at once. Larger costs memory in every worker, smaller costs system calls.
pub const READ_CHUNK: usize = 64 << 10;

/// Characters of a name that came from a client and is quoted in an error.
pub const MAX_QUOTED: usize = 80;
