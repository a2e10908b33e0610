//! Images of topics to bytes.

use super::{END, EPOCHS, HEADER_LEN, MAGIC, PUBLICATION, TAIL_LEN, TOPIC, VERSION, check, tail};
use crate::command::{PayloadKind, Publication, TopicImage};
use crate::time::MonoTime;

/// Writes one snapshot, portion by portion.
#[derive(Debug)]
pub struct Encoder {
    /// Records so far.
    records: u64,
    topics: u64,
    publications: u64,
    /// Bytes so far.
    len: u64,
}

impl Encoder {
    /// Begins a snapshot at `wall_ms`, milliseconds since 1970.
    #[must_use]
    pub fn new(wall_ms: u64, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&wall_ms.to_le_bytes());
        let check = check(0, &[&out[start..]]);
        out.extend_from_slice(&check.to_le_bytes());
        Self { records: 0, topics: 0, publications: 0, len: HEADER_LEN as u64 }
    }

    /// Appends a topic as it is at `now`.
    pub fn topic(&mut self, image: &TopicImage, now: MonoTime, out: &mut Vec<u8>) {
        self.topics += 1;
        self.record(TOPIC, out, |out| {
            out.extend_from_slice(&image.position.epoch.0.to_le_bytes());
            out.extend_from_slice(&image.position.offset.to_le_bytes());
            out.push(u8::from(image.has_last));
            out.extend_from_slice(&(image.publications.len() as u32).to_le_bytes());
            out.push(image.previous.len() as u8);
            for position in &image.previous {
                out.extend_from_slice(&position.epoch.0.to_le_bytes());
                out.extend_from_slice(&position.offset.to_le_bytes());
            }
            out.extend_from_slice(image.topic.as_str().as_bytes());
        });
        for publication in &image.publications {
            self.publication(publication, now, out);
        }
    }

    fn publication(&mut self, publication: &Publication, now: MonoTime, out: &mut Vec<u8>) {
        self.publications += 1;
        let age_ms = now.since(publication.time).as_millis() as u64;
        self.record(PUBLICATION, out, |out| {
            out.extend_from_slice(&publication.position.offset.to_le_bytes());
            out.extend_from_slice(&age_ms.to_le_bytes());
            out.push(match publication.kind {
                PayloadKind::Json => 0,
                PayloadKind::Text => 1,
                PayloadKind::Binary => 2,
            });
            let key = publication.key.as_deref();
            out.push(u8::from(key.is_some()));
            // A key has at most 255 bytes.
            out.push(key.map_or(0, str::len) as u8);
            out.extend_from_slice(key.unwrap_or_default().as_bytes());
            out.extend_from_slice(&publication.payload);
        });
    }

    /// Appends what the epochs follow from of topics in which nothing was said.
    pub fn epochs(&mut self, epoch_seed: u64, out: &mut Vec<u8>) {
        self.record(EPOCHS, out, |out| out.extend_from_slice(&epoch_seed.to_le_bytes()));
    }

    /// Ends the snapshot. `is_clean` says that nothing will be said after it.
    pub fn end(mut self, is_clean: bool, out: &mut Vec<u8>) {
        let (topics, publications) = (self.topics, self.publications);
        let unpadded = self.len as usize + RECORD_LEN + 16;
        let end_check = self.record(END, out, |out| {
            out.extend_from_slice(&topics.to_le_bytes());
            out.extend_from_slice(&publications.to_le_bytes());
            out.resize(out.len() + unpadded.next_multiple_of(TAIL_LEN) - unpadded, 0);
        });
        debug_assert!(self.len.is_multiple_of(TAIL_LEN as u64), "the tail is changed in one write");
        out.extend_from_slice(&tail(end_check, is_clean));
    }

    fn record(&mut self, kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> u64 {
        self.records += 1;
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, kind]);
        body(out);
        let len = (out.len() - start - 5) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        let check = check(self.records, &[&out[start..]]);
        out.extend_from_slice(&check.to_le_bytes());
        self.len += (out.len() - start) as u64;
        check
    }
}

/// Bytes of a record beside its body.
const RECORD_LEN: usize = 4 + 1 + 8;
