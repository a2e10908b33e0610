//! Runs as bytes: each encoded once for each encoding, when its first reader needs it. The short runs of topics that
//! patterns cover stand next to each other in blocks, so that a reader of many topics gets one reference for what they
//! say in a turn and not one for each topic.

use std::sync::Arc;

use super::compression::{Compressor, Form};
use super::encoded::Encoded;
use super::run::Run;
use crate::buf::Segment;
use crate::command::Publication;
use crate::limits::{RUN_BLOCK_LEN, SHORT_RUN_LEN_MAX};
use crate::shard::Shard;
use crate::shard::session::encoding::EncodingId;

/// The encodings of one run.
#[derive(Debug, Default)]
pub(in crate::shard) struct Encodings {
    /// Few: one for each encoding and form that a reader of the run has.
    rows: Vec<(EncodingId, Form, Encoded)>,
}

impl Encodings {
    pub fn encode(
        &mut self,
        encoding: EncodingId,
        form: Form,
        run: &Run,
        message: &mut Vec<u8>,
        compressor: &mut Compressor,
    ) -> &Encoded {
        let made = self.find(encoding, form);
        let place = made.unwrap_or_else(|| self.make(encoding, form, run, message, compressor));
        &self.rows[place].2
    }

    fn find(&self, encoding: EncodingId, form: Form) -> Option<usize> {
        self.rows.iter().position(|row| (row.0, row.1) == (encoding, form))
    }

    /// Makes a row, or two that belong together; returns the place of the one that was asked for.
    fn make(
        &mut self,
        encoding: EncodingId,
        form: Form,
        run: &Run,
        message: &mut Vec<u8>,
        compressor: &mut Compressor,
    ) -> usize {
        let encoded = match form {
            Form::Plain => {
                let mut bytes = Vec::new();
                let ends = encode_run(encoding, &run.publications, message, &mut bytes);
                Encoded::plain(Segment::from(bytes), ends)
            }
            Form::Alone(window) => {
                let alone = compressor.encode_alone(encoding, window, &run.publications, message);
                alone.unwrap_or_else(|| {
                    let plain = self.encode(encoding, Form::Plain, run, message, compressor);
                    Encoded::plain(plain.segment.clone(), plain.ends.clone())
                })
            }
            Form::Stream | Form::Joining => {
                let (following, joining) = compressor.encode_stream(run.topic, encoding, &run.publications, message);
                let place = self.rows.len();
                self.rows.extend([(encoding, Form::Stream, following), (encoding, Form::Joining, joining)]);
                return place + usize::from(form == Form::Joining);
            }
        };
        self.rows.push((encoding, form, encoded));
        self.rows.len() - 1
    }

    /// Whether a reader got the run by its topic's stream in this encoding.
    pub fn has_stream(&self, encoding: EncodingId) -> bool {
        self.find(encoding, Form::Stream).is_some()
    }
}

/// Appends the publications; returns where each ends, from the start of the first.
fn encode_run(
    encoding: EncodingId,
    publications: &[Arc<Publication>],
    message: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Vec<u32> {
    let start = bytes.len();
    let ends = publications.iter().map(|publication| {
        encoding.row().push(publication, message, bytes);
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
            parts.push((
                index,
                start,
                encode_run(EncodingId::JSON, &run.publications, &mut self.delivery.message, &mut bytes),
            ));
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
        encodings[index].rows.push((EncodingId::JSON, Form::Plain, Encoded::plain(segment, ends)));
    }
}
