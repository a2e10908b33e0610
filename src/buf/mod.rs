//! Bytes that outlive a call: shared [`Segment`]s on their way out, pooled blocks on their way in.
//!
//! A segment is a reference to encoded bytes, never a copy of them: every reader of a publication holds the same
//! block. Tests: beside the code.

mod pool;
mod segment;

pub use pool::BlockPool;
pub use segment::Segment;
