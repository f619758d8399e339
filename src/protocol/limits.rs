//! How much a peer may say. None of these can be negotiated.

/// Bytes before the magic that a chatty login shell may print.
pub const NOISE_BYTES: usize = 64 * 1024;
/// A Hello message.
pub const HELLO_BYTES: usize = 64 * 1024;
/// A control message.
pub const CONTROL_BYTES: usize = 1024 * 1024;
/// A data message.
pub const DATA_BYTES: usize = 256 * 1024;
/// A chunk of the (compressed) stream.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Window of the zstd stream, so the memory that decoding costs.
pub const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Entries of one tree.
pub const TREE_ENTRIES: usize = 4_000_000;
/// Exclude rules, encoded.
pub const RULES_BYTES: usize = 4 * 1024 * 1024;
/// Items in one list of a control message.
pub const LIST_ITEMS: usize = 16 * 1024;
/// A text for people: an error, a name.
pub const TEXT_BYTES: usize = 4096;
/// A place where something was left alone: any bytes, maybe too long for a path.
pub const PLACE_BYTES: usize = 8192;
/// Names, targets and words of a whole view, or of all changes that are asked for.
pub const TOLD_BYTES: usize = 1024 * 1024 * 1024;
/// Memory that a view may take where no setting says otherwise, in bytes: a tree of a million entries with long paths fits.
pub const VIEW_BYTES: usize = 256 * 1024 * 1024;
/// Signature of one file.
pub const SIGNATURE_BYTES: usize = 64 * 1024 * 1024;
