//! The counters of a shard, and their text for Prometheus.
//!
//! Counters are plain numbers of their shard; the shard that serves `/metrics` asks the others for copies. Nothing
//! here is shared and nothing is atomic. Tests: beside the code.

mod process;
mod text;

pub use process::{ProcessMetrics, ProcessUsage};
pub use text::render;

use crate::close::CloseReason;

/// The counters and gauges of one shard. Totals count since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardMetrics {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused at the limit of connections.
    pub refused: u64,
    /// Live connections that speak HTTP.
    pub http_connections: u64,
    /// Live connections that speak WebSocket.
    pub websocket_connections: u64,
    /// Live connections that read server-sent events.
    pub event_connections: u64,
    /// Live connections that read lines.
    pub line_connections: u64,
    /// Live connections with a poll that waits; they count as HTTP too.
    pub poll_connections: u64,
    /// HTTP requests answered, upgrades included.
    pub requests: u64,
    /// Opening handshakes completed.
    pub handshakes: u64,
    /// Messages received on WebSockets.
    pub messages_received: u64,
    /// Publications numbered by this shard.
    pub publications: u64,
    /// Messages handed to readers.
    pub deliveries: u64,
    /// Bytes received.
    pub received_len: u64,
    /// Bytes that the kernel took.
    pub sent_len: u64,
    /// Connections ended, by [`CloseReason`].
    pub closes: [u64; CloseReason::ALL.len()],
    /// Topics that have their home here.
    pub topics: u64,
    /// Patterns that anybody reads; every shard knows all.
    pub patterns: u64,
    /// Subscriptions of this shard's connections.
    pub subscriptions: u64,
    /// Payload bytes of last values.
    pub retained_len: u64,
    /// Bytes that wait in outboxes.
    pub outbox_len: u64,
    /// Payload bytes that readers in mode `latest` or `drop_oldest` have not got yet.
    pub lag_len: u64,
    /// Publications that such readers skipped.
    pub skipped: u64,
    /// By how many bytes compression made frames to readers shorter.
    pub compression_saved_len: u64,
    /// Shared compression streams, by topic and dialect.
    pub compression_streams: u64,
    /// How often history was let go because of `retained_len_max`.
    pub shed_histories: u64,
    /// How often a last value was let go for the same reason, with everything else of its topic.
    pub shed_last_values: u64,
    /// TLS handshakes that made a new session.
    pub tls_full: u64,
    /// TLS handshakes that resumed an earlier session.
    pub tls_resumed: u64,
    /// TLS handshakes and sessions that failed.
    pub tls_failed: u64,
    /// Failed TLS handshakes and sessions that the peer ended with an alert.
    pub tls_alerts: u64,
    /// Certificates loaded while running; only the first shard counts them.
    pub tls_reloads: u64,
    /// Certificates that could not be loaded; only the first shard counts them.
    pub tls_reload_failures: u64,
    /// When the first certificate expires, in seconds since 1970; 0 without TLS.
    pub tls_expires_s: u64,
    /// Repeats of a publication with the same message id; they were not published again.
    pub duplicates: u64,
    /// Message ids remembered.
    pub message_ids: u64,
    /// Snapshots written; the first shard counts those of all.
    pub snapshots: u64,
    /// Snapshots that could not be written; the first shard counts those of all.
    pub snapshot_errors: u64,
    /// Seconds since the last snapshot, or since the start; the first shard has the number.
    pub snapshot_age_s: u64,
    /// Bytes held, by [`MemoryClass`].
    pub memory: [u64; MemoryClass::ALL.len()],
    /// How often some were let go because of `memory_len_max`, by [`MemoryClass`].
    pub shed: [u64; MemoryClass::ALL.len()],
    /// Pooled blocks in use.
    pub blocks_in_use: u64,
    /// Mails that wait.
    pub mailbox_depth: u64,
    /// How long turns took, from the first completion of the kernel to the next wait.
    pub turns: TurnTimes,
    /// The longest of them, in microseconds.
    pub turn_longest_us: u64,
    /// Turns in which some work was put off to the next.
    pub turns_spent: u64,
    /// The most that a turn has cost, in units of its budget.
    pub turn_charge_max: u64,
    /// The most that one item of a turn has cost: a receive, a mail, or a step of the work that was put off.
    pub item_charge_max: u64,
}

impl ShardMetrics {
    /// Counts an end.
    pub fn count_close(&mut self, reason: CloseReason) {
        self.closes[reason.index()] += 1;
    }
}

/// The purposes for which a shard holds bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryClass {
    LastValues,
    /// Histories, without the last values in them.
    History,
    /// Bytes that wait for readers.
    Outboxes,
    /// Publications for readers in mode `drop_oldest` or `latest`, and for subscriptions under way.
    Lag,
    /// Unfinished messages and requests.
    Reassembly,
    /// Message ids remembered.
    MessageIds,
    /// The windows of shared compression streams.
    Streams,
    /// Earlier messages of peers that their next compressed messages may refer to.
    Windows,
    /// Mail to other shards that they have not taken.
    Mail,
    /// Topics that have their home here, beside what is kept of them.
    Topics,
}

impl MemoryClass {
    /// Each of them, by discriminant.
    pub const ALL: [Self; 10] = [
        Self::LastValues,
        Self::History,
        Self::Outboxes,
        Self::Lag,
        Self::Reassembly,
        Self::MessageIds,
        Self::Streams,
        Self::Windows,
        Self::Mail,
        Self::Topics,
    ];

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::LastValues => "last_values",
            Self::History => "history",
            Self::Outboxes => "outboxes",
            Self::Lag => "lag",
            Self::Reassembly => "reassembly",
            Self::MessageIds => "message_ids",
            Self::Streams => "streams",
            Self::Windows => "windows",
            Self::Mail => "mail",
            Self::Topics => "topics",
        }
    }
}

/// A histogram of turn times with fixed bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnTimes {
    counts: [u64; TURN_BOUNDS_US.len() + 1],
    sum_nanos: u64,
}

impl TurnTimes {
    /// Counts a turn.
    pub fn record(&mut self, nanos: u64) {
        let bucket = TURN_BOUNDS_US.iter().position(|bound| nanos <= bound * 1_000).unwrap_or(TURN_BOUNDS_US.len());
        self.counts[bucket] += 1;
        self.sum_nanos += nanos;
    }

    /// Turns counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }

    /// Upper bounds in seconds and counts of each bucket; the last bound is infinite.
    fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = TURN_BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }
}

/// Upper bounds of the turn-time buckets, in microseconds.
const TURN_BOUNDS_US: [u64; 12] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 50_000, 250_000, 1_000_000];
