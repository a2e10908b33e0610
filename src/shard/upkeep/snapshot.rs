//! A shard's part in snapshots: it gives its topics in portions that take no turn long, and restores them after a
//! restart.

use crate::command::TopicImage;
use crate::hub::ImagePlace;
use crate::limits::SNAPSHOT_STEP_MS;
use crate::mailbox::{Portion, SnapshotNumber};
use crate::shard::Shard;
use crate::time::MonoTime;

/// A snapshot in progress.
#[derive(Debug)]
pub(in crate::shard) struct Taking {
    number: SnapshotNumber,
    /// The place to continue from; `None` once all topics are in portions.
    next: Option<ImagePlace>,
    /// A portion that found no room yet.
    waiting: Option<Portion>,
    next_step: MonoTime,
}

impl Taking {
    pub fn next_step(&self) -> MonoTime {
        self.next_step
    }
}

impl Shard {
    /// Begins a snapshot. An unfinished one is given up: the writer has given it up too.
    pub(in crate::shard) fn begin_snapshot(&mut self, number: u64) {
        let number = SnapshotNumber::Running(number);
        self.upkeep.taking =
            Some(Taking { number, next: Some(ImagePlace::default()), waiting: None, next_step: self.now });
    }

    /// Hands over the next portion, if it is time for one and there is room.
    pub(in crate::shard) fn step_snapshot(&mut self) {
        let Some(mut taking) = self.upkeep.taking.take() else { return };
        if self.now >= taking.next_step
            && let Some(lane) = &self.settings.snapshots
        {
            let portion = taking.waiting.take().or_else(|| self.portion(&mut taking));
            taking.waiting = portion.and_then(|portion| lane.offer(portion));
            taking.next_step = self.now.plus_millis(SNAPSHOT_STEP_MS);
            if taking.waiting.is_none() && taking.next.is_none() {
                return;
            }
        }
        self.upkeep.taking = Some(taking);
    }

    /// Hands over all topics for the snapshot at the end of an orderly shutdown; waits for the writer.
    pub fn hand_over_last_snapshot(&mut self) {
        let Some(lane) = self.settings.snapshots.take() else { return };
        let next = Some(ImagePlace::default());
        let mut taking = Taking { number: SnapshotNumber::Last, next, waiting: None, next_step: self.now };
        while taking.next.is_some() {
            self.portion(&mut taking).into_iter().for_each(|portion| lane.send(portion));
        }
    }

    /// The next portion; `None` if it has no whole topic yet.
    fn portion(&self, taking: &mut Taking) -> Option<Portion> {
        let (topics, next) = self.hub.images(taking.next.take()?);
        let is_last = next.is_none();
        taking.next = next;
        if topics.is_empty() && !is_last {
            return None;
        }
        let (shard, number, time) = (self.settings.shard, taking.number, self.now);
        let epoch_seed = self.hub.epoch_seed();
        Some(Portion { shard, number, time, epoch_seed, topics, is_last })
    }

    /// Restores topics that have their home here, before the first turn. Returns the number of topics without room.
    /// `epoch_seed` is that of a run that ended in order.
    pub fn restore(
        &mut self,
        now: MonoTime,
        topics: Vec<TopicImage>,
        is_clean: bool,
        epoch_seed: Option<u64>,
    ) -> usize {
        (self.now, self.upkeep.snapshot_time) = (now, now);
        epoch_seed.into_iter().filter(|_| is_clean).for_each(|epoch_seed| self.hub.keep_epochs(epoch_seed));
        topics.into_iter().filter_map(|image| (!self.hub.restore(now, image, is_clean)).then_some(())).count()
    }

    /// Seconds since the last snapshot, or since the start.
    pub(in crate::shard) fn snapshot_age_s(&self) -> u64 {
        let tells = self.settings.snapshots.is_some() && self.settings.shard.0 == 0;
        if tells { self.now.since(self.upkeep.snapshot_time).as_secs() } else { 0 }
    }

    /// Notes the result of a snapshot. Only the first shard counts them.
    pub(in crate::shard) fn note_snapshot(&mut self, is_written: bool) {
        if self.settings.shard.0 == 0 {
            if is_written {
                self.metrics.snapshots += 1;
                self.upkeep.snapshot_time = self.now;
            } else {
                self.metrics.snapshot_errors += 1;
            }
        }
    }
}
