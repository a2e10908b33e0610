//! How a shard looks whether it holds more than its share of `memory_len_max`, and how much it lets go at a time.

/// Histories halved at a time because of `memory_len_max`; if that is not enough, more are halved the next time.
pub const HISTORIES_HALVED_MAX: u64 = 256;

/// How often a shard looks whether it holds more than its share of `memory_len_max`, in milliseconds.
pub const MEMORY_INTERVAL_MS: u64 = 100;

/// Bytes that may be added in a shard before it looks at once: a quarter of its share, at least the one and at most the
/// other. So much, and what one item brings, it may hold past its share.
pub const GROWN_LEN_MIN: u64 = 64 * 1024;

/// See [`GROWN_LEN_MIN`].
pub const GROWN_LEN_MAX: u64 = 8 * 1024 * 1024;

/// Bytes of a message already begun that a connection may keep while it closes because of `memory_len_max`; one with more
/// is reset.
pub const CLOSING_LEN_MAX: usize = 64 * 1024;

/// Connections that a shard looks at in one step of that, where so many are busy that it takes several.
pub const SURVEY_PLACES_MAX: u32 = 4096;

/// Between two such steps, in milliseconds: a million connections take a second.
pub const SURVEY_STEP_MS: u64 = 4;

/// The largest holders that a shard remembers in one look; the other holders are found the next time. Memory: twice as
/// many entries of 32 bytes, and only while it looks.
pub const HOLDINGS_MAX: usize = 4096;

/// Connections that are let go in one step because of `memory_len_max`.
pub const SHED_PER_STEP_MAX: usize = 256;

/// Message ids forgotten at a time because of `memory_len_max`.
pub const MESSAGE_IDS_SHED_MAX: usize = 64 * 1024;

/// The part of the memory there is that `memory_len_max` is without being set: a quarter.
pub const MEMORY_PARTS: u64 = 4;

/// The least value, also used if the host's memory is unknown.
pub const MEMORY_LEN_MIN: u64 = 64 * 1024 * 1024;

/// Bytes less that are held, or that came in between two looks and do so no more, for which free memory goes back to the
/// kernel.
pub const RELEASE_LEN_MIN: usize = 1024 * 1024;

/// Between two times that it does, in milliseconds: each takes up to some milliseconds, and what is needed again then has to
/// be asked for again.
pub const RELEASE_INTERVAL_MS: u64 = 5_000;
