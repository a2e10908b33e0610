//! The limits that the configuration sets.

use std::time::Duration;

use super::SILENCE_MIN_MS;

/// The limits that a configuration sets, already validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live connections in the process. The next one's upgrade is answered with 503.
    pub connections_max: u32,
    /// Live connections from one address; 0 for no limit. The next one is answered with 429.
    pub connections_per_ip_max: u32,
    /// Topics and patterns that one connection may follow.
    pub topics_per_connection_max: u32,
    /// Topics alive in the process. A new one past it is refused with `overloaded`.
    pub topics_max: u32,
    /// Payload bytes of one message, whole or reassembled. A longer one closes with 1009, or is a 413.
    pub message_len_max: u32,
    /// Bytes that wait for one reader in `queue` mode. Past it the reader is closed with 1013.
    pub outbox_len_max: u32,
    /// Bytes a second that one reader gets at most, frames and answers included; 0 for no limit. What does not fit
    /// waits as for any slow reader.
    pub reader_bandwidth_max: u32,
    /// Payload bytes of all last values together, in the process. Past it a topic's value is delivered, not kept.
    pub retained_len_max: u64,
    /// Bytes of histories, outboxes, lags and unfinished messages together, in the process; 0 for no limit. Past it the
    /// largest are let go.
    pub memory_len_max: u64,
    /// How long a message id is remembered, in milliseconds; 0 for not at all.
    pub message_id_ttl_ms: u64,
    /// From accepting to a complete opening handshake or request head, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// For the whole of a request body or of a WebSocket message, and for a reader to take something of an answer, in
    /// milliseconds.
    pub body_timeout_ms: u64,
    /// Between two requests on one keep-alive connection, in milliseconds.
    pub http_idle_timeout_ms: u64,
    /// From the last sign of life to a ping, in milliseconds; each is jittered by up to a tenth.
    pub ping_interval_ms: u64,
    /// From a ping to the close of a connection that shows no sign of life, in milliseconds.
    pub ping_timeout_ms: u64,
    /// For the peer to answer a close frame and to read what is queued, in milliseconds.
    pub close_timeout_ms: u64,
    /// For the whole shutdown, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Limits {
    /// How long a peer's kernel may acknowledge nothing before our kernel gives the peer up. It is as long as a
    /// WebSocket may stay silent: a reader over HTTP cannot be asked for a pong.
    #[must_use]
    pub fn silence_max(&self) -> Duration {
        Duration::from_millis((self.ping_interval_ms + self.ping_timeout_ms).max(SILENCE_MIN_MS))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            connections_per_ip_max: 0,
            topics_per_connection_max: 1024,
            topics_max: 4_000_000,
            message_len_max: 1024 * 1024,
            outbox_len_max: 1024 * 1024,
            reader_bandwidth_max: 0,
            retained_len_max: 1024 * 1024 * 1024,
            memory_len_max: 0,
            message_id_ttl_ms: 300_000,
            handshake_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            http_idle_timeout_ms: 75_000,
            ping_interval_ms: 30_000,
            ping_timeout_ms: 10_000,
            close_timeout_ms: 2_000,
            drain_timeout_ms: 10_000,
        }
    }
}
