//! What this crate accepts at most, with the reason for each number.

use std::time::Duration;

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

/// Biases of one request: OpenAI's own clients send at most a few hundred.
pub const MAX_BIASES: usize = 1024;

/// Tools of one request, as the OpenAI API has it.
pub const MAX_TOOLS: usize = 128;

/// Calls of tools in one turn or one piece: no model makes that many at once.
pub const MAX_CALLS: usize = 128;

/// Likeliest tokens that are told of at each place, as the OpenAI API has it.
pub const MAX_CHANCES: usize = 20;

/// Texts in one call for vectors, as the OpenAI API has it.
pub const MAX_EMBED: usize = 2048;

/// Examples in one training: OpenAI's own service takes files of tens of thousands.
pub const MAX_EXAMPLES: usize = 1 << 18;

/// Tokens in one piece or one resumed stream: the longest context that is common today.
pub const MAX_TOKEN_IDS: usize = 1 << 17;

/// Bytes read from the socket at once. Larger costs memory in every worker, smaller costs system calls.
pub const READ_CHUNK: usize = 64 << 10;

/// Characters of a name that came from a client and is quoted in an error.
pub const MAX_QUOTED: usize = 80;

/// Tensors of a GGUF file. The largest models in use, with hundreds of experts and adapters beside, have a few thousand.
pub const GGUF_TENSORS: u64 = 65_536;

/// Keys of a GGUF file: files in use have some dozens.
pub const GGUF_KEYS: u64 = 65_536;

/// Bytes of one key, and of the names in which engines look for others.
pub const GGUF_KEY_BYTES: u64 = 256;

/// Bytes of the name of a tensor: engines have room for 64 with the zero at its end.
pub const GGUF_NAME_BYTES: u64 = 63;

/// Bytes of one text: the longest are chat templates, and precompiled maps of characters with a few hundred thousand.
pub const GGUF_STRING_BYTES: u64 = 16 << 20;

/// Elements of one list: the longest are the merges of large vocabularies, half a million.
pub const GGUF_ARRAY: u64 = 1 << 22;

/// Bytes before the tensors. The largest vocabularies take some twenty megabytes.
pub const GGUF_HEADER_BYTES: u64 = 256 << 20;

/// Layers: the library's own tables have so many rows.
pub const GGUF_LAYERS: u64 = 512;

/// Parts of one split GGUF file. The largest published have below a hundred, and all are open at once.
pub const GGUF_PARTS: usize = 512;

/// Bytes of an ONNX file: the format's own bound, which its parsers hold, too.
pub const ONNX_FILE_BYTES: u64 = i32::MAX as u64;

/// Messages inside messages of an ONNX file. A graph in a graph takes three; parsers of the format stop at a hundred.
pub const ONNX_DEPTH: u32 = 64;

/// Messages in an ONNX file, each of which costs a parser far more memory than its two bytes here. The largest exports
/// in use have some hundred thousand nodes, with ten messages each for attributes and shapes.
pub const ONNX_MESSAGES: u64 = 4 << 20;

/// Texts in an ONNX file, bounded for the same reason: the largest lists are classes and vocabularies.
pub const ONNX_TEXTS: u64 = 8 << 20;

/// Bytes of a name in an ONNX file. Exporters write paths through nested modules, of some hundreds.
pub const ONNX_NAME_BYTES: u64 = 64 << 10;

/// Operator sets that one ONNX file or function may import: files in use have two or three.
pub const ONNX_OPSETS: usize = 64;

/// The newest form of ONNX files that makes sense. Today's is 14, and one comes each year or so.
pub const ONNX_IR: u64 = 64;

/// The newest version of an operator set that makes sense. Today's is 28.
pub const ONNX_OPSET: u64 = 1024;

/// Files beside an ONNX file that have data of its tensors. Exporters write one, and older ones one for each tensor: some
/// hundreds in what is below the bound of the format.
pub const ONNX_FILES: usize = 1024;

/// Tensors of an ONNX file whose data are in files beside it. The largest exports in use have some thousands.
pub const ONNX_OUTSIDE: u64 = 65_536;

/// Words that say where the data of one tensor are: four are known.
pub const ONNX_PLACE: u64 = 8;

/// Bytes of the name of a file beside an ONNX file: file systems take 255.
pub const ONNX_FILE_NAME: usize = 255;

/// How long a worker steps before it sends what came of it and looks for commands. To send and to wake the node costs
/// some ten microseconds, as much as a small tensor model takes; a step of a language model takes longer than this.
pub(crate) const BURST: Duration = Duration::from_micros(150);
