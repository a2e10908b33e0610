//! One subscriber: what it follows, what waits for it, what it missed, and how fast it wants to be told.
//!
//! A session never knows a socket. Tests: beside the code, `tests/shard_limits/`, `tests/simulator/`.

pub(in crate::shard) mod alarms;
pub(in crate::shard) mod catch_up;
pub(in crate::shard) mod join;
pub(in crate::shard) mod join_pattern;
pub(in crate::shard) mod lag;
pub(in crate::shard) mod pace;
pub(in crate::shard) mod presence;
pub(in crate::shard) mod publish;
pub(in crate::shard) mod subscription;
pub(in crate::shard) mod subscriptions;
pub(in crate::shard) mod tickets;
