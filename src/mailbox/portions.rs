//! Portions of a snapshot on their way from the shards to the thread that writes it.

use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};

use crate::command::{ShardId, TopicImage};
use crate::limits::SNAPSHOT_PORTIONS_MAX;
use crate::time::MonoTime;

/// Some topics of one shard.
#[derive(Debug)]
pub struct Portion {
    /// The shard of the topics.
    pub shard: ShardId,
    /// Of which snapshot.
    pub number: SnapshotNumber,
    /// When the topics were like this.
    pub time: MonoTime,
    /// The seed of the epochs of the shard's topics without publications.
    pub epoch_seed: u64,
    pub topics: Vec<TopicImage>,
    /// Whether the shard has no more.
    pub is_last: bool,
}

/// Which snapshot a portion is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotNumber {
    /// One of those that are asked for now and then.
    Running(u64),
    /// The one at the end of an orderly shutdown.
    Last,
}

/// A shard's end of the one lane of portions. It is touched for snapshots only, never for a message.
#[derive(Clone, Debug)]
pub struct PortionLane(SyncSender<Portion>);

impl PortionLane {
    /// The lane: its sending end, for every shard, and the receiving one. It ends with the last sending end.
    #[must_use]
    pub fn new() -> (Self, Receiver<Portion>) {
        let (sender, receiver) = mpsc::sync_channel(SNAPSHOT_PORTIONS_MAX);
        (Self(sender), receiver)
    }

    /// Sends a portion; gives it back if the lane is full. If nobody writes any more, it is dropped.
    #[must_use]
    pub fn offer(&self, portion: Portion) -> Option<Portion> {
        match self.0.try_send(portion) {
            Err(TrySendError::Full(portion)) => Some(portion),
            Ok(()) | Err(TrySendError::Disconnected(_)) => None,
        }
    }

    /// Sends a portion and waits until there is room; for a shard that has shut down.
    pub fn send(&self, portion: Portion) {
        // If nobody writes any more, it is dropped.
        let _ = self.0.send(portion);
    }
}
