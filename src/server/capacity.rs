//! The number of connections that fit: the configured number, or the open files less a reserve.

use crate::config::{Config, DriverChoice};
use crate::limits::{
    ACCEPT_PER_WAIT_MAX, DESCRIPTORS_RESERVED_MAX, DESCRIPTORS_SPARE, REFUSALS_MAX, RING_FILES_MAX, SHARDS_MAX,
};
use crate::shard::Seats;

/// The capacity of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    /// `connections_max` in effect.
    pub connections_max: u32,
    /// The seats of each shard.
    pub seats: Seats,
    /// The most connections that one wait accepts at one listener: they use descriptors before the shard sees them.
    pub accepts_per_wait: usize,
    /// Entries in the tables of each shard.
    pub places: u32,
}

impl Capacity {
    /// The capacity with `descriptors_max` descriptors, of which `open` are in use now. With io_uring each shard has
    /// a table of its own, as large as the process's may be.
    pub fn new(config: &Config, driver: DriverChoice, descriptors_max: u64, open: u64) -> Self {
        let shards = config.shards.clamp(1, SHARDS_MAX) as u64;
        let wanted = u64::from(config.limits.connections_max);
        // Two for each shard's driver.
        let of_process = descriptors_max.saturating_sub(open + 2 * shards + DESCRIPTORS_SPARE);
        let (tables, room) = match driver {
            DriverChoice::Uring => (shards, descriptors_max.min(RING_FILES_MAX.into()).max(1)),
            DriverChoice::Auto | DriverChoice::Epoll => (1, of_process.max(1)),
        };
        let shards_per_table = shards / tables;
        let per_table = room - (room / 8).clamp(1, DESCRIPTORS_RESERVED_MAX).min(room - 1);
        let connections_max = wanted.min(per_table * tables);
        let left = (room - connections_max.min(per_table)) / shards_per_table;
        let refusals = (left * 2 / 3).clamp(1, REFUSALS_MAX.into()) as u32;
        let listeners = config.listen.len().max(1) as u64;
        let accepts_per_wait = (left / 3 / listeners).clamp(1, ACCEPT_PER_WAIT_MAX as u64) as usize;
        let connections = u32::try_from(per_table).unwrap_or(u32::MAX);
        let connections_max = u32::try_from(connections_max).unwrap_or(u32::MAX);
        let places = connections_max.min(connections).saturating_add(2 * REFUSALS_MAX);
        Self { connections_max, seats: Seats { connections, refusals }, accepts_per_wait, places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    fn capacity(driver: DriverChoice, shards: usize, connections_max: u32, descriptors_max: u64) -> Capacity {
        let mut config = Config::resolve(RawConfig::default(), shards).expect("the defaults are valid");
        config.limits.connections_max = connections_max;
        Capacity::new(&config, driver, descriptors_max, 10)
    }

    #[test]
    fn what_fits_is_what_was_wanted() {
        for driver in [DriverChoice::Epoll, DriverChoice::Uring] {
            for shards in [1, 2, 16] {
                // The reserve that `fanwire doctor` and the unit file ask for.
                let capacity = capacity(driver, shards, 1_000_000, 1_000_128);
                assert_eq!(capacity.connections_max, 1_000_000, "{driver:?} {shards}");
            }
            let rich = capacity(driver, 2, 1_000, 1 << 20);
            assert_eq!((rich.connections_max, rich.seats.refusals), (1_000, REFUSALS_MAX));
            assert_eq!(rich.accepts_per_wait, ACCEPT_PER_WAIT_MAX);
        }
    }

    #[test]
    fn with_few_descriptors_there_is_a_reserve() {
        for (descriptors_max, shards) in [(0, 1), (16, 1), (40, 2), (120, 2), (1024, 2), (20_000, 8), (100_000, 128)] {
            let epoll = capacity(DriverChoice::Epoll, shards, 1_000_000, descriptors_max);
            let used = 10 + 2 * shards as u64 + DESCRIPTORS_SPARE;
            let past = (u64::from(epoll.seats.refusals) + epoll.accepts_per_wait as u64) * shards as u64;
            let total = used + u64::from(epoll.connections_max) + past;
            assert!(epoll.connections_max >= 1 && epoll.seats.refusals >= 1 && epoll.accepts_per_wait >= 1);
            // With fewer than about ten a shard nothing fits; the gateway runs anyway.
            let slack = 2 * shards as u64;
            assert!(descriptors_max < used + 20 || total <= descriptors_max + slack, "{total} of {descriptors_max}");
        }
        let epoll = capacity(DriverChoice::Epoll, 2, 1_000_000, 120);
        assert_eq!((epoll.connections_max, epoll.seats.refusals, epoll.accepts_per_wait), (86, 4, 2));
        let uring = capacity(DriverChoice::Uring, 2, 1_000_000, 120);
        assert_eq!((uring.connections_max, uring.seats.connections, uring.seats.refusals), (210, 105, 10));
    }
}
