//! Questions that this shard asked, of others or of itself, and who waits for the answers. Every ticket is answered
//! exactly once by each shard it was sent to, whether or not the connection is still there.

use crate::command::{ConnId, OperationId, Pattern, Position, SessionId, Target, TopicName};
use crate::shard::Shard;

#[derive(Debug)]
pub(in crate::shard) enum Ticket {
    /// A target of a subscription.
    Join {
        session: SessionId,
        /// The operation within the connection's pending ones.
        operation: u32,
        /// The target within the operation.
        index: u32,
        target: Target,
        /// Whether the last values of a pattern are wanted.
        last: bool,
        /// Answers that are still to come: a pattern asks every shard.
        waits: usize,
    },
    /// More of the last values of a pattern's topics.
    Page { session: SessionId, pattern: Pattern },
    /// More of what a reader missed in a topic.
    Missed { session: SessionId, topic: TopicName, since: Position, until: u64 },
    /// A publication of the JSON dialect.
    Publish { session: SessionId, id: Option<OperationId>, topic: TopicName },
    /// The history of a topic, for the JSON dialect.
    History { session: SessionId, id: Option<OperationId>, topic: TopicName },
    /// The answer that a request for a detached session waits for.
    Carry { conn: ConnId },
    /// A part of what an HTTP request waits for.
    Http { conn: ConnId, part: u32 },
}

impl Shard {
    pub(in crate::shard) fn issue(&mut self, ticket: Ticket) -> u32 {
        self.sessions.tickets.insert(ticket) as u32
    }
}
