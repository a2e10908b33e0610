//! Clocks and entropy: the only place where either is read.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::limits::AGE_MAX_MS;
use crate::time::MonoTime;

/// The monotonic clock. It begins with [`AGE_MAX_MS`], so that what a snapshot brings has its age. Every copy counts from one start for the whole process, so that times compare across shards.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Clock {
    start: Instant,
}

impl Clock {
    /// The process's clock; the first call starts it.
    pub(in crate::driver) fn new() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        Self { start: *START.get_or_init(Instant::now) }
    }

    /// The time now.
    pub(in crate::driver) fn now(self) -> MonoTime {
        let nanos = self.start.elapsed().as_nanos();
        MonoTime::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).plus_millis(AGE_MAX_MS)
    }

    /// How long from now until `time`; zero if it has passed.
    pub(in crate::driver) fn until(self, time: MonoTime) -> Duration {
        time.since(self.now())
    }
}

/// The monotonic clock's time, for the composition root; shards get it from their drivers.
#[must_use]
pub fn monotonic_now() -> MonoTime {
    Clock::new().now()
}

/// The wall clock, in milliseconds since 1970. It may jump; for stamps that people read, never for deadlines.
#[must_use]
pub fn wall_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// A seed that cannot be guessed, from the operating system, for the composition root alone: every other seed of the
/// process is derived from one that can be written down.
#[must_use]
pub fn entropy_seed() -> u64 {
    // The standard library keys this hasher from the system's random source and cannot fail, not even with every
    // descriptor in use.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(wall_millis());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_two_threads_count_from_one_start() {
        let before = Clock::new().now();
        let other = std::thread::spawn(|| Clock::new().now()).join().expect("the thread only reads a clock");
        let after = Clock::new().now();
        assert!(before <= other && other <= after, "{before:?} {other:?} {after:?}");
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(entropy_seed(), entropy_seed());
    }
}
