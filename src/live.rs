//! What may change while the gateway runs, as one value. Every shard holds the same [`Live`]; another comes by mail and
//! takes its place between two turns, so that a turn sees one configuration.
//!
//! What depends on it is looked up through it. What is kept apart from it is brought up to date when it comes, a part in
//! each turn: the rules of topics that are there already, and what sessions and deadlines follow from it. Tests:
//! `tests/shard_limits/live.rs` and `tests/simulator/`.

use std::sync::Arc;

use crate::command::Compression;
use crate::hub::TopicRules;
use crate::limits::Limits;
use crate::transport::http::Access;

/// What may change while the gateway runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// What the configuration says of topics.
    pub rules: Arc<TopicRules>,
    /// Every bound that it sets. `connections_max` stays as it was at the start.
    pub limits: Limits,
    /// What it says of compression. The window stays as it was at the start.
    pub compression: CompressionSettings,
    /// By listener: what its clients may do. One that is not named has no bounds. Roles stay as they were at the start.
    pub access: Arc<[Access]>,
    /// The limits by their keys, in base units, as `/metrics` tells them.
    pub told_limits: Vec<(&'static str, f64)>,
}

/// The compression settings of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionSettings {
    /// For topics with no rule about it.
    pub default: Compression,
    /// Payload bytes of the shortest message that is compressed for itself.
    pub threshold: u32,
    /// `1..=9`, from fast to small; shared streams have `STREAM_LEVEL_MIN` at least.
    pub level: u8,
    /// The window of shared streams, in bits, `9..=15`.
    pub stream_window_bits: u8,
    /// Publications from one joining point of a shared stream to the next.
    pub join_every: u32,
}

impl Default for CompressionSettings {
    fn default() -> Self {
        Self { default: Compression::Message, threshold: 256, level: 1, stream_window_bits: 12, join_every: 20 }
    }
}

impl CompressionSettings {
    /// The compression of a topic.
    #[must_use]
    pub fn of(&self, rules: &TopicRules, topic: &str) -> Compression {
        rules.find(topic).compression.unwrap_or(self.default)
    }
}
