//! A topic as it is written to a snapshot.

use std::sync::Arc;

use super::{Position, Publication, TopicName};

/// Everything that is kept of one topic, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Its name.
    pub topic: TopicName,
    /// The position.
    pub position: Position,
    /// The positions at which earlier epochs ended without an orderly shutdown, the oldest first: at most
    /// `EPOCHS_KEPT`.
    pub previous: Vec<Position>,
    /// Its last value.
    pub last: LastImage,
    /// Its history, the oldest first: each names the one before it, and the last is the topic's newest; or none.
    pub publications: Vec<Arc<Publication>>,
}

/// The last value of a topic, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastImage {
    /// None is kept.
    None,
    /// The one of the history with this offset.
    Among(u64),
    /// One that the history does not have.
    Apart(Arc<Publication>),
}
