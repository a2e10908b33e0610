//! When free memory goes back to the kernel: once much of it was needed and is needed no more. While it is busy a shard
//! keeps what it will need again.

use crate::dialect::Scratch;
use crate::limits::{RELEASE_INTERVAL_MS, RELEASE_LEN_MIN};
use crate::shard::Shard;
use crate::time::MonoTime;

/// The memory needed since the last return to the kernel.
#[derive(Debug, Default)]
pub(in crate::shard) struct Release {
    /// The most that was held at a look.
    held_max: u64,
    /// The most that came in between two looks.
    grown_max: usize,
    /// When it last went back.
    at: MonoTime,
    is_wanted: bool,
}

impl Release {
    /// Notes what is held at a look, and what has come since the one before. Returns whether something could go back.
    fn note(&mut self, now: MonoTime, held: u64, grown: usize) -> bool {
        self.held_max = self.held_max.max(held);
        self.grown_max = self.grown_max.max(grown);
        let has_fallen = self.held_max - held >= (self.held_max / 4).max(RELEASE_LEN_MIN as u64);
        let has_calmed = self.grown_max >= RELEASE_LEN_MIN && grown < self.grown_max / CALM_PART;
        let could = has_fallen || has_calmed;
        if could && now >= self.at.plus_millis(RELEASE_INTERVAL_MS) {
            *self = Self { held_max: held, grown_max: grown, at: now, is_wanted: true };
        }
        could
    }
}

impl Shard {
    /// Notes what is held at a look, and what has come since the one before. Returns whether the next look matters
    /// although nothing comes.
    pub(super) fn note_release(&mut self, held: u64, grown: usize) -> bool {
        let could = self.upkeep.release.note(self.now, held, grown);
        if self.upkeep.release.is_wanted {
            self.release_spare();
            return false;
        }
        could
    }

    /// Gives what is kept for reuse back to the allocator.
    fn release_spare(&mut self) {
        self.links.pool.release_spare();
        self.links.outboxes.release_spare();
        self.links.decoders.shrink_to_fit();
        self.sessions.tickets.shrink_to_fit();
        self.sessions.lags.shrink_to_fit();
        self.sessions.pendings.shrink_to_fit();
        self.requests.exchanges.shrink_to_fit();
        self.requests.scratch = Scratch::default();
        self.delivery.message = Vec::new();
        self.delivery.runs.spare = Vec::new();
        self.delivery.runs.runs.shrink_to_fit();
        self.outgoing.shrink_to_fit();
        self.ops.shrink_to_fit();
    }

    /// Whether free memory is to go back to the kernel now.
    pub(in crate::shard) fn takes_release(&mut self) -> bool {
        std::mem::take(&mut self.upkeep.release.is_wanted)
    }
}

/// A shard is calm when less than this part comes in of what has come in at its busiest.
const CALM_PART: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_once_when_less_is_held_or_less_comes_and_not_while_it_is_busy() {
        let at = |ms| MonoTime::ZERO.plus_millis(RELEASE_INTERVAL_MS + ms);
        let mut release = Release::default();
        let mut wants = |ms, held, grown| {
            release.note(at(ms), held, grown);
            std::mem::take(&mut release.is_wanted)
        };
        const LEN: u64 = RELEASE_LEN_MIN as u64;
        assert!(!wants(0, 8 * LEN, 1_000) && !wants(100, 7 * LEN, 1_000), "as much is held as before");
        assert!(wants(200, 4 * LEN, 1_000), "less is held");
        assert!(!wants(300, 0, 0), "not again so soon");
        assert!(wants(RELEASE_INTERVAL_MS + 200, 0, 0) && !wants(2 * RELEASE_INTERVAL_MS + 200, 0, 0), "but once more");
        let busy = 8 * RELEASE_LEN_MIN;
        assert!((3..100).all(|n| !wants(n * RELEASE_INTERVAL_MS, 0, busy)), "what comes is needed again");
        assert!(wants(100 * RELEASE_INTERVAL_MS, 0, busy / 100));
    }
}
