//! One socket with what it speaks: accepted, wrapped in an edge, read from, sent to, timed and ended.
//!
//! A link never knows a topic. Tests: beside the code, `tests/shard_limits/`, `tests/tls/`.

pub(in crate::shard) mod accept;
pub(in crate::shard) mod arena;
pub(in crate::shard) mod conn;
pub(in crate::shard) mod deadlines;
pub(in crate::shard) mod edge;
pub(in crate::shard) mod ending;
pub(in crate::shard) mod inbound;
pub(in crate::shard) mod outbox;
pub(in crate::shard) mod put_off;
pub(in crate::shard) mod seats;
pub(in crate::shard) mod tls;
