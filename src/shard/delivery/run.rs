//! What a turn gathers: runs, each of what one topic says in it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::buf::Segment;
use crate::command::{Publication, SessionIndex};
use crate::hub::TopicId;
use crate::shard::session::encoding::EncodingId;

/// What is to be said this turn.
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
    /// What this turn was encoded for readers with a rate: by publication, encoding and what was skipped before it.
    pub alone: HashMap<(usize, EncodingId, u64), Segment>,
}

/// What one topic says in one turn, or a part of it.
#[derive(Debug)]
pub(in crate::shard) struct Run {
    pub topic: TopicId,
    pub publications: Vec<Arc<Publication>>,
    /// Payload bytes.
    pub len: usize,
    /// The topic says more than one run this turn, so that its readers get them in order through their outboxes.
    pub is_part: bool,
}
