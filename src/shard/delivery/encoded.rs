//! Runs as bytes: each encoded once for each encoding, when its first reader needs it. The short runs of topics that
//! patterns cover stand next to each other in blocks, so that a reader of many topics gets one reference for what they
//! say in a turn and not one for each topic.

use std::sync::Arc;

use super::compression::{Compressor, Form};
use super::fanout::Run;
use crate::buf::Segment;
use crate::command::{Outbound, Publication};
use crate::dialect::Dialect;
use crate::limits::{RUN_BLOCK_LEN, SHORT_RUN_LEN_MAX};
use crate::shard::Shard;
use crate::transport::{sse, stream, websocket};

/// How a reader is told things: a transport and a dialect. All readers of one encoding and one [`Form`] get the same
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(in crate::shard) enum Encoding {
    /// WebSocket frames, the bare feed.
    Raw,
    /// WebSocket frames, JSON.
    Json,
    /// WebSocket frames that go back to their sender.
    Echo,
    /// Server-sent events of one topic, each with its position.
    Events,
    /// Server-sent events whose position is the reader's own, in front of them, or that have none.
    BareEvents,
    /// Lines of JSON.
    Lines,
    /// Lines of JSON, a chunk each.
    Chunks,
}

impl Encoding {
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Raw => Dialect::Raw,
            Self::Json | Self::Events | Self::BareEvents | Self::Lines | Self::Chunks => Dialect::Json,
            Self::Echo => Dialect::Echo,
        }
    }

    /// Appends one publication, the same bytes for every reader.
    pub fn push(self, publication: &Publication, message: &mut Vec<u8>, out: &mut Vec<u8>) {
        match self {
            Self::Raw | Self::Json | Self::Echo => {
                websocket::frame_with(message, out, |message| self.dialect().encode_push(publication, message));
            }
            Self::Events => sse::push_with_id(publication, out),
            Self::BareEvents => sse::push(publication, out),
            Self::Lines | Self::Chunks => {
                message.clear();
                self.dialect().encode_push(publication, message);
                self.line(message, out);
            }
        }
    }

    /// Appends what is not a publication; nothing where there is no way to say it.
    pub fn say(self, outbound: &Outbound<'_>, message: &mut Vec<u8>, out: &mut Vec<u8>) {
        match self {
            Self::Raw | Self::Json | Self::Echo => {
                websocket::frame_unless_empty(message, out, |message| {
                    self.dialect().encode_outbound(outbound, message)
                });
            }
            Self::Events | Self::BareEvents | Self::Lines | Self::Chunks => {
                message.clear();
                self.dialect().encode_outbound(outbound, message);
                if self.is_events() { sse::say(outbound, message, out) } else { self.line(message, out) }
            }
        }
    }

    /// Appends what says nothing, for a reader over HTTP.
    pub fn beat(self, out: &mut Vec<u8>) {
        if self.is_events() { out.extend_from_slice(sse::HEARTBEAT) } else { self.line(b"", out) }
    }

    /// Appends what ends a response in order.
    pub fn end(self, out: &mut Vec<u8>) {
        if self == Self::Chunks {
            out.extend_from_slice(stream::LAST_CHUNK);
        }
    }

    pub fn is_events(self) -> bool {
        matches!(self, Self::Events | Self::BareEvents)
    }

    fn line(self, message: &[u8], out: &mut Vec<u8>) {
        if self == Self::Chunks { stream::chunk(message, out) } else { stream::line(message, out) }
    }
}

/// A run in one encoding: the frames of all its publications, and where each ends.
#[derive(Debug)]
pub(in crate::shard) struct Encoded {
    pub segment: Segment,
    pub ends: Vec<u32>,
    /// By how many bytes it is shorter than it would be uncompressed, up to the end of each publication; empty if it
    /// is not compressed.
    pub saved: Vec<u32>,
}

impl Encoded {
    fn plain(segment: Segment, ends: Vec<u32>) -> Self {
        Self { segment, ends, saved: Vec::new() }
    }

    /// By how many bytes it is shorter, its first publications left out.
    pub fn saved_from(&self, first: usize) -> u64 {
        let up_to = |end: Option<usize>| end.and_then(|end| self.saved.get(end)).copied().unwrap_or(0);
        u64::from(up_to(self.saved.len().checked_sub(1)) - up_to(first.checked_sub(1)))
    }
}

/// The encodings of one run.
#[derive(Debug, Default)]
pub(in crate::shard) struct Encodings {
    plain: [Option<Encoded>; ENCODINGS.len()],
    /// Few, and none at all where nobody takes compressed messages.
    compressed: Vec<(Encoding, Form, Encoded)>,
}

impl Encodings {
    pub fn encode(
        &mut self,
        encoding: Encoding,
        form: Form,
        run: &Run,
        message: &mut Vec<u8>,
        compressor: &mut Compressor,
    ) -> &Encoded {
        if form == Form::Plain {
            return self.encode_plain(encoding, &run.publications, message);
        }
        let is_it = |row: &(Encoding, Form, Encoded)| (row.0, row.1) == (encoding, form);
        if !self.compressed.iter().any(is_it) {
            if let Form::Alone(window) = form {
                let encoded = compressor.encode_alone(encoding, window, &run.publications, message);
                let encoded = encoded.unwrap_or_else(|| {
                    let plain = self.encode_plain(encoding, &run.publications, message);
                    Encoded::plain(plain.segment.clone(), plain.ends.clone())
                });
                self.compressed.push((encoding, form, encoded));
            } else {
                let (following, joining) = compressor.encode_stream(run.topic, encoding, &run.publications, message);
                self.compressed.push((encoding, Form::Stream, following));
                self.compressed.push((encoding, Form::Joining, joining));
            }
        }
        let row = self.compressed.iter().find(|row| is_it(row));
        &row.expect("it was there or was made").2
    }

    fn encode_plain(
        &mut self,
        encoding: Encoding,
        publications: &[Arc<Publication>],
        message: &mut Vec<u8>,
    ) -> &Encoded {
        self.plain[encoding as usize].get_or_insert_with(|| {
            let mut bytes = Vec::new();
            let ends = encode_run(encoding, publications, message, &mut bytes);
            Encoded::plain(Segment::from(bytes), ends)
        })
    }

    /// Whether anybody got the run by its topic's stream.
    pub fn has_stream(&self, encoding: Encoding) -> bool {
        self.compressed.iter().any(|row| (row.0, row.1) == (encoding, Form::Stream))
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
    pub(in crate::shard) fn encode_short_runs(&mut self, runs: &[Run]) -> Vec<Encodings> {
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
        encodings[index].plain[Encoding::Json as usize] = Some(Encoded::plain(segment, ends));
    }
}

/// By discriminant.
pub(in crate::shard) const ENCODINGS: [Encoding; 7] = [
    Encoding::Raw,
    Encoding::Json,
    Encoding::Echo,
    Encoding::Events,
    Encoding::BareEvents,
    Encoding::Lines,
    Encoding::Chunks,
];
