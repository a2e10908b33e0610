//! What a shard does for itself: memory, snapshots, the shutdown.
//!
//! Tests: `tests/shard_limits/`, `tests/snapshot.rs`.

pub(in crate::shard) mod drain;
pub(in crate::shard) mod memory;
pub(in crate::shard) mod snapshot;
