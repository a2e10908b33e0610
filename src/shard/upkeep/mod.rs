//! What a shard does for itself: memory, snapshots, what changes while it runs, the shutdown.
//!
//! Tests: `tests/shard_limits/`, `tests/snapshot.rs`.

pub(in crate::shard) mod drain;
pub(in crate::shard) mod live;
pub(in crate::shard) mod memory;
pub(in crate::shard) mod release;
pub(in crate::shard) mod snapshot;

use crate::time::MonoTime;
use drain::Drain;
use live::Change;
use memory::Survey;
use release::Release;
use snapshot::Taking;

/// What a shard does for itself, and when.
#[derive(Debug)]
pub(in crate::shard) struct Upkeep {
    pub drain: Option<Drain>,
    pub taking: Option<Taking>,
    /// When the last snapshot was written, or the shard began.
    pub snapshot_time: MonoTime,
    /// When it is next looked at how much is held.
    pub memory_look: MonoTime,
    /// Bytes that may be added before the next look; what comes past them waits for it.
    pub grown_len_max: usize,
    /// Whether nothing was added between the last two looks, so that none is needed before something is.
    pub is_calm: bool,
    /// When free memory goes back to the kernel.
    pub release: Release,
    /// That look, while it is under way.
    pub survey: Option<Survey>,
    /// What holds from now on, while connections and topics are still brought up to date.
    pub change: Option<Change>,
    /// Jitter.
    pub rng: fastrand::Rng,
}

impl Upkeep {
    /// Nothing under way.
    pub fn new(seed: u64) -> Self {
        Self {
            drain: None,
            taking: None,
            snapshot_time: MonoTime::ZERO,
            memory_look: MonoTime::ZERO,
            is_calm: false,
            release: Release::default(),
            grown_len_max: usize::MAX,
            survey: None,
            change: None,
            rng: fastrand::Rng::with_seed(seed),
        }
    }
}
