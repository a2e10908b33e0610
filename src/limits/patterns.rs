//! Bounds of patterns, and of the search for the last values of their topics.

/// Patterns with a reader, in the process; every shard keeps all of them.
pub const PATTERNS_MAX: usize = 64 * 1024;

/// Tokens of all these patterns together. Memory: each takes up to 1 KiB in each shard.
pub const PATTERN_TOKENS_MAX: usize = 256 * 1024;

/// Nodes of the patterns that a walk visits for one topic, whatever the topic is. A pattern that would take more beside
/// the others is refused. Time: 30 ns each, so 0.1 ms. Shards that take patterns in at the same time may reach it once each.
pub const PATTERN_VISITS_MAX: u32 = 4096;

/// Last values in one answer to a new reader of a pattern. The next is asked for when the reader has taken most of what
/// it got.
pub const PATTERN_PAGE_MAX: usize = 256;

/// Searches for last values that a shard answers in one turn, all by one pass over its topics; the others wait for the
/// next turn.
pub const SEARCHES_PER_TURN_MAX: usize = 64;

/// Visits that one step of such a pass has in any case; it has what the turn has left, if that is more. Then it answers
/// with what it has, and goes on when it is asked again.
pub const SEARCH_VISITS_MIN: u64 = 4096;

/// A topic with a last value counts as so many visits, beside those that it takes to match it: an estimate.
pub const SEARCHED_TOPIC_VISITS: u64 = 10;
