//! Runs as bytes: each encoded once for each encoding, when its first reader needs it. The short runs of topics that
//! patterns cover stand next to each other in blocks, so that a reader of many topics gets one reference for what they
//! say in a turn and not one for each topic.

use std::sync::Arc;

use super::Shard;
use super::fanout::Run;
use crate::buf::Segment;
use crate::command::{Outbound, Publication};
use crate::dialect::Dialect;
use crate::limits::{RUN_BLOCK_LEN, SHORT_RUN_LEN_MAX};
use crate::transport::websocket;

/// How a reader is told things: a transport and a dialect. All readers of one encoding get the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Encoding {
    /// WebSocket frames, the bare feed.
    Raw,
    /// WebSocket frames, JSON.
    Json,
    /// WebSocket frames that go back to their sender.
    Echo,
}

impl Encoding {
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Raw => Dialect::Raw,
            Self::Json => Dialect::Json,
            Self::Echo => Dialect::Echo,
        }
    }

    /// Appends one publication, the same bytes for every reader.
    pub fn push(self, publication: &Publication, message: &mut Vec<u8>, out: &mut Vec<u8>) {
        websocket::frame_with(message, out, |message| self.dialect().encode_push(publication, message));
    }

    /// Appends what is not a publication; nothing where there is no way to say it.
    pub fn say(self, outbound: &Outbound<'_>, message: &mut Vec<u8>, out: &mut Vec<u8>) {
        websocket::frame_unless_empty(message, out, |message| self.dialect().encode_outbound(outbound, message));
    }
}

/// A run in one encoding: the frames of all its publications, and where each ends.
#[derive(Debug)]
pub(super) struct Encoded {
    pub segment: Segment,
    pub ends: Vec<u32>,
}

/// The encodings of one run.
#[derive(Debug, Default)]
pub(super) struct Encodings([Option<Encoded>; ENCODINGS.len()]);

impl Encodings {
    pub fn encode(&mut self, encoding: Encoding, publications: &[Arc<Publication>], message: &mut Vec<u8>) -> &Encoded {
        self.0[encoding as usize].get_or_insert_with(|| {
            let mut bytes = Vec::new();
            let ends = encode_run(encoding, publications, message, &mut bytes);
            Encoded { segment: Segment::from(bytes), ends }
        })
    }
}

/// Appends the publications; returns where each ends, from the start of the first.
fn encode_run(
    encoding: Encoding,
    publications: &[Arc<Publication>],
    message: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Vec<u32> {
    let start = bytes.len();
    let ends = publications.iter().map(|publication| {
        encoding.push(publication, message, bytes);
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
            // Only this encoding has patterns.
            parts.push((index, start, encode_run(Encoding::Json, &run.publications, &mut self.message, &mut bytes)));
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
        encodings[index].0[Encoding::Json as usize] = Some(Encoded { segment, ends });
    }
}

/// By discriminant.
pub(super) const ENCODINGS: [Encoding; 3] = [Encoding::Raw, Encoding::Json, Encoding::Echo];
