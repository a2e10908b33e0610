//! Live changes at random while the shards run.

use std::sync::Arc;

use fanwire::command::Compression;
use fanwire::driver::sim::Faults;
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::mailbox::Request;

use crate::world::World;

/// The rule of the topics that have one.
pub(super) fn rule(settings: TopicSettings) -> Arc<TopicRules> {
    Arc::new(TopicRules::new(vec![TopicRule { pattern: "t.>".parse().expect("a pattern"), settings }]))
}

impl World {
    /// Makes a live change that leaves each reader's messages the same.
    pub(super) fn change(&mut self) {
        let (rng, live) = (&mut self.rng, Arc::make_mut(&mut self.live));
        let history = rng.u32(0..30);
        self.auditor.note_history(history.into());
        let compression = [None, Some(Compression::Off), Some(Compression::Message), Some(Compression::Shared)];
        let settings = TopicSettings { history, compression: compression[rng.usize(0..4)], ..TopicSettings::default() };
        live.rules = rule(settings);
        live.compression.threshold = rng.u32(0..30);
        live.compression.level = rng.u8(1..=9);
        live.compression.join_every = rng.u32(1..12);
        live.limits.ping_interval_ms = rng.u64(1_000..60_000);
        live.limits.ping_timeout_ms = rng.u64(1_000..20_000);
        live.limits.reader_bandwidth_max = [0, 0, 50_000][rng.usize(0..3)];
        if self.run.faults != Faults::NONE {
            live.limits.outbox_len_max = 1 << rng.u32(9..14);
        }
        let live = Arc::clone(&self.live);
        // A shard that is far behind does not get this one.
        self.changed += u64::from(self.control.offer_all(|| Request::Live(Arc::clone(&live))));
    }
}
