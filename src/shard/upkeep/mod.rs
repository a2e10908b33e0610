//! The upkeep of a shard: memory, snapshots, live changes, the shutdown.
//!
//! Tests: `tests/shard_limits/`, `tests/snapshot.rs`.

pub(in crate::shard) mod drain;
pub(in crate::shard) mod live;
pub(in crate::shard) mod memory;
pub(in crate::shard) mod release;
pub(in crate::shard) mod snapshot;
pub(in crate::shard) mod tally;

use crate::time::MonoTime;
use drain::Drain;
use live::Change;
use memory::Survey;
use release::Release;
use snapshot::Taking;
use tally::Tally;

/// The upkeep of a shard.
#[derive(Debug)]
pub(in crate::shard) struct Upkeep {
    pub drain: Option<Drain>,
    pub taking: Option<Taking>,
    /// The time of the last snapshot, or of the shard's start.
    pub snapshot_time: MonoTime,
    /// The time of the next memory survey.
    pub memory_look: MonoTime,
    /// Bytes that may be added before the next survey; more input waits for it.
    pub grown_len_max: usize,
    /// Whether nothing was added between the last two surveys, so that none is needed before something is.
    pub is_calm: bool,
    /// The return of free memory to the kernel.
    pub release: Release,
    /// The current survey.
    pub survey: Option<Survey>,
    /// The change of the live configuration that connections and topics are being updated for.
    pub change: Option<Change>,
    /// The sums for scrapes of the metrics.
    pub tally: Tally,
    /// The generator of jitter.
    pub rng: fastrand::Rng,
}

impl Upkeep {
    /// No work under way.
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
            tally: Tally::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }
}
