//! The runs of a turn: each holds the publications of one topic.

use std::collections::HashMap;
use std::sync::Arc;

use crate::buf::Segment;
use crate::command::{Publication, SessionIndex};
use crate::hub::TopicId;
use crate::shard::session::encoding::EncodingId;

/// The runs of this turn.
#[derive(Debug, Default)]
pub(in crate::shard) struct Runs {
    pub runs: Vec<Run>,
    /// Payload bytes of all runs.
    pub len: usize,
    /// Readers that joined in this turn a topic that has a run: the offset up to which they have everything.
    pub joined: HashMap<(SessionIndex, TopicId), u64>,
    /// Emptied lists of publications.
    pub spare: Vec<Vec<Arc<Publication>>>,
    /// Readers of the run that get it through their outboxes.
    pub others: Vec<SessionIndex>,
    /// By arena place: the last run that listed the connection, where more than one list can name it.
    pub stamps: Vec<u32>,
    pub stamp: u32,
    /// Messages that this turn encoded for readers with a rate: by publication, encoding and the count skipped before
    /// it.
    pub alone: HashMap<(usize, EncodingId, u64), Segment>,
}

/// The publications of one topic in one turn, or a part of them.
#[derive(Debug)]
pub(in crate::shard) struct Run {
    pub topic: TopicId,
    pub publications: Vec<Arc<Publication>>,
    /// Payload bytes.
    pub len: usize,
    /// The topic says more than one run this turn, so that its readers get them in order through their outboxes.
    pub is_part: bool,
}
