//! Bounds of what a shard does in one step when what may change while running has changed.

/// How late a deadline may come to its turn, in milliseconds: so much longer the time for a pong holds that was said before a
/// change.
pub const DEADLINE_LATE_MS: u64 = 1_000;

/// Rules that a shard looks at in one step because they have changed: each topic that is there is held against them. Time:
/// about 1 ms.
pub const RULE_LOOKS_PER_STEP: usize = 16 * 1024;

/// Topics that it holds against them in one step, however few the rules are: they lie in no cache.
pub const RULE_TOPICS_PER_STEP: usize = 4096;

/// Connections that it looks at in one step because what may change has changed.
pub const LIVE_PLACES_PER_STEP: u32 = 4096;

/// Between two such steps, in milliseconds: a million topics and connections take a second.
pub const LIVE_STEP_MS: u64 = 4;
