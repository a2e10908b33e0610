//! The part of the configuration that may change while the gateway runs, as one value. Every shard holds the same
//! [`Live`]. A new one arrives by mail and replaces it between two turns, so that each turn sees one configuration.
//!
//! Most code looks values up in it. State derived from it is updated when a new one arrives, a portion in each turn:
//! the rules of existing topics, and the sessions and deadlines that depend on it. Tests:
//! `tests/shard_limits/live.rs` and `tests/simulator/`.

use std::sync::Arc;

use crate::command::Compression;
use crate::hub::TopicRules;
use crate::limits::Limits;
use crate::transport::http::Access;

/// The configuration that may change while the gateway runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// The topic rules.
    pub rules: Arc<TopicRules>,
    /// The limits. `connections_max` keeps its value from the start.
    pub limits: Limits,
    /// The compression settings. The window keeps its value from the start.
    pub compression: CompressionSettings,
    /// The rights of clients, by listener. A listener without an entry has no restrictions. Roles keep their values
    /// from the start.
    pub access: Arc<[Access]>,
    /// The limits by their keys, in base units, for `/metrics`.
    pub told_limits: Vec<(&'static str, f64)>,
}

impl Live {
    /// The compression of a topic.
    #[must_use]
    pub fn compression_of(&self, topic: &str) -> Compression {
        self.rules.find(topic).compression.unwrap_or(self.compression.default)
    }
}

/// The compression settings of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionSettings {
    /// The compression of topics without a rule for it.
    pub default: Compression,
    /// The shortest payload, in bytes, that is compressed as a message of its own.
    pub threshold: u32,
    /// The level, `1..=9`, from fast to small; shared streams use at least `STREAM_LEVEL_MIN`.
    pub level: u8,
    /// The window of shared streams, in bits, `9..=15`.
    pub stream_window_bits: u8,
    /// Publications between two joining points of a shared stream.
    pub join_every: u32,
}

impl Default for CompressionSettings {
    fn default() -> Self {
        Self { default: Compression::Message, threshold: 256, level: 1, stream_window_bits: 12, join_every: 20 }
    }
}
