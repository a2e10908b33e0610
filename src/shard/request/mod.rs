//! HTTP requests and what they wait for: answers, batches, streams, polls.
//!
//! Tests: `tests/shard_limits/`, `tests/conformance/`.

pub(in crate::shard) mod batch;
pub(in crate::shard) mod date;
pub(in crate::shard) mod exchanges;
pub(in crate::shard) mod follow;
pub(in crate::shard) mod poll;
