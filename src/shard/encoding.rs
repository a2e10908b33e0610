//! Runs as frames: each encoded once for each dialect, when its first reader needs it. The short runs of topics that
//! patterns cover stand next to each other in blocks, so that a reader of many topics gets one reference for what they
//! say in a turn and not one for each topic.

use std::sync::Arc;

use super::Shard;
use super::fanout::Run;
use crate::buf::Segment;
use crate::command::Publication;
use crate::dialect::Dialect;
use crate::limits::{RUN_BLOCK_LEN, SHORT_RUN_LEN_MAX};
use crate::transport::websocket;

/// A run in one dialect: the frames of all its publications, and where each ends.
#[derive(Debug)]
pub(super) struct Encoded {
    pub segment: Segment,
    pub ends: Vec<u32>,
}

/// The encodings of one run.
#[derive(Debug, Default)]
pub(super) struct Encodings([Option<Encoded>; DIALECTS.len()]);

impl Encodings {
    pub fn encode(&mut self, dialect: Dialect, publications: &[Arc<Publication>], message: &mut Vec<u8>) -> &Encoded {
        self.0[dialect as usize].get_or_insert_with(|| {
            let mut bytes = Vec::new();
            let ends = encode_frames(dialect, publications, message, &mut bytes);
            Encoded { segment: Segment::from(bytes), ends }
        })
    }
}

/// Appends the frames; returns where each ends, from the start of the first.
fn encode_frames(
    dialect: Dialect,
    publications: &[Arc<Publication>],
    message: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Vec<u32> {
    let start = bytes.len();
    let ends = publications.iter().map(|publication| {
        websocket::frame_with(message, bytes, |message| dialect.encode_push(publication, message));
        (bytes.len() - start) as u32
    });
    ends.collect()
}

impl Shard {
    /// The encodings of a turn's runs, by run: those of short runs that patterns cover are made, the others are not
    /// yet.
    pub(super) fn encode_short_runs(&mut self, runs: &[Run]) -> Vec<Encodings> {
        let mut encodings: Vec<Encodings> = runs.iter().map(|_| Encodings::default()).collect();
        let (mut bytes, mut parts) = (Vec::new(), Vec::new());
        for (index, run) in runs.iter().enumerate() {
            if runs.len() == 1 || run.len > SHORT_RUN_LEN_MAX || !self.hub.is_read_by_pattern(run.topic) {
                continue;
            }
            let start = bytes.len();
            // Only this dialect has patterns.
            parts.push((index, start, encode_frames(Dialect::Json, &run.publications, &mut self.message, &mut bytes)));
            if bytes.len() >= RUN_BLOCK_LEN {
                cut(&mut bytes, &mut parts, &mut encodings);
            }
        }
        cut(&mut bytes, &mut parts, &mut encodings);
        encodings
    }
}

/// Makes a block of `bytes` and gives each of the runs in it its part.
fn cut(bytes: &mut Vec<u8>, parts: &mut Vec<(usize, usize, Vec<u32>)>, encodings: &mut [Encodings]) {
    if parts.is_empty() {
        return;
    }
    let block = Segment::from(std::mem::take(bytes));
    for (index, start, ends) in parts.drain(..) {
        let len = ends.last().map_or(0, |&end| end as usize);
        let segment = block.slice(start..start + len);
        encodings[index].0[Dialect::Json as usize] = Some(Encoded { segment, ends });
    }
}

/// By discriminant.
pub(super) const DIALECTS: [Dialect; 3] = [Dialect::Raw, Dialect::Json, Dialect::Echo];
