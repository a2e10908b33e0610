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
    /// Whether the last of `publications` is kept as the last value.
    pub has_last: bool,
    /// The oldest first, without a gap, the last being the topic's newest; or none.
    pub publications: Vec<Arc<Publication>>,
}
