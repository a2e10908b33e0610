//! Settings of a shard for tests in which only its limits matter.

use std::sync::Arc;

use fanwire::command::ShardId;
use fanwire::limits::Limits;
use fanwire::live::Live;
use fanwire::mailbox::Admission;
use fanwire::shard::{EdgeSettings, Seats, Settings};

/// The key of topic names in these shards.
pub const HASH_KEY: (u64, u64) = (1, 2);

/// Settings of each of so many shards, which count their connections together.
pub fn settings(shards: usize, limits: &Limits) -> Vec<Settings> {
    let admission = Admission::new(limits.connections_max);
    let live = Arc::new(Live { limits: limits.clone(), ..Live::default() });
    let of = |index| Settings {
        shard: ShardId(index as u8),
        shards,
        has_engine: false,
        live: Arc::clone(&live),
        edge: EdgeSettings::default(),
        pages: Arc::default(),
        hash_key: HASH_KEY,
        seed: 3,
        admission: admission.clone(),
        seats: Seats::default(),
        process: Arc::default(),
        services: Arc::default(),
        log_peers: false,
        snapshots: None,
    };
    (0..shards).map(of).collect()
}
