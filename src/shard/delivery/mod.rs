//! One turn's publications on their way to their readers: runs, their encodings, and what is compressed.
//!
//! Tests: beside the code, `tests/simulator/`.

pub(in crate::shard) mod compression;
pub(in crate::shard) mod encoded;
pub(in crate::shard) mod fanout;
pub(in crate::shard) mod windows;
