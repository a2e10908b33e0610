//! HTTP requests while they wait for their answers: batches, streams, polls.
//!
//! Tests: `tests/shard_limits/`, `tests/conformance/`.

pub(in crate::shard) mod batch;
pub(in crate::shard) mod carry;
pub(in crate::shard) mod date;
pub(in crate::shard) mod exchanges;
pub(in crate::shard) mod follow;
pub(in crate::shard) mod poll;
pub(in crate::shard) mod state;
pub(in crate::shard) mod topics;
pub(in crate::shard) mod waiting;

use slab::Slab;

use crate::command::ConnId;
use crate::dialect::Scratch;
use date::Dates;
use state::SharedValue;
use waiting::HttpSession;

/// Requests under way.
#[derive(Debug, Default)]
pub(in crate::shard) struct Requests {
    pub exchanges: Slab<HttpSession>,
    /// Polls that have something to be answered with.
    pub polls_ready: Vec<ConnId>,
    /// Links with a request that was answered in this turn.
    pub answered: Vec<ConnId>,
    /// Kept between messages so that it stops allocating.
    pub scratch: Scratch,
    /// A value that several answers share.
    pub shared: Option<SharedValue>,
    /// When responses are made.
    pub dates: Dates,
}
