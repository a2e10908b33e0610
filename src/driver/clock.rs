//! Clocks and entropy: the only place where either is read. (A part; to be replaced by the whole.)

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock, in milliseconds since 1970. It may jump; for stamps that people read, never for deadlines.
#[must_use]
pub fn wall_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// A seed that nobody can guess, from the operating system, for the composition root alone: every other seed of the
/// process is derived from one that can be written down.
#[must_use]
pub fn entropy_seed() -> u64 {
    // The standard library keys this hasher from the system's random source and cannot fail, not even with every
    // descriptor in use.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(wall_millis());
    hasher.finish()
}
