//! From images of topics to bytes.

use super::{
    END, EPOCHS, HAS_EVENT, HAS_EXTRAS, HAS_KEY, HAS_TYPE, HEADER_LEN, IS_PASSING, LAST_AMONG, LAST_APART, LAST_NONE,
    MAGIC, PUBLICATION, TAIL_LEN, TOPIC, VERSION, check, tail,
};
use crate::command::{Extras, LastImage, PayloadKind, Publication, TopicImage};
use crate::time::MonoTime;

/// Writes one snapshot, portion by portion.
#[derive(Debug)]
pub struct Encoder {
    /// Number of records so far.
    records: u64,
    topics: u64,
    publications: u64,
    /// Number of bytes so far.
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
        let check = check(VERSION, 0, &[&out[start..]]);
        out.extend_from_slice(&check.to_le_bytes());
        Self { records: 0, topics: 0, publications: 0, len: HEADER_LEN as u64 }
    }

    /// Appends a topic as it is at `now`.
    pub fn topic(&mut self, image: &TopicImage, now: MonoTime, out: &mut Vec<u8>) {
        self.topics += 1;
        self.record(TOPIC, out, |out| {
            out.extend_from_slice(&image.position.epoch.0.to_le_bytes());
            out.extend_from_slice(&image.position.offset.to_le_bytes());
            let (kind, offset) = match &image.last {
                LastImage::None => (LAST_NONE, 0),
                LastImage::Among(offset) => (LAST_AMONG, *offset),
                LastImage::Apart(last) => (LAST_APART, last.position.offset),
            };
            out.push(kind);
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&(image.publications.len() as u32).to_le_bytes());
            out.push(image.previous.len() as u8);
            for position in &image.previous {
                out.extend_from_slice(&position.epoch.0.to_le_bytes());
                out.extend_from_slice(&position.offset.to_le_bytes());
            }
            out.extend_from_slice(image.topic.as_str().as_bytes());
        });
        let apart = if let LastImage::Apart(last) = &image.last { Some(last) } else { None };
        for publication in apart.into_iter().chain(&image.publications) {
            self.publication(publication, now, out);
        }
    }

    fn publication(&mut self, publication: &Publication, now: MonoTime, out: &mut Vec<u8>) {
        self.publications += 1;
        let age_ms = now.since(publication.time).as_millis() as u64;
        self.record(PUBLICATION, out, |out| {
            out.extend_from_slice(&publication.position.offset.to_le_bytes());
            out.extend_from_slice(&publication.prev.to_le_bytes());
            out.extend_from_slice(&age_ms.to_le_bytes());
            out.push(match publication.kind {
                PayloadKind::Json => 0,
                PayloadKind::Text => 1,
                PayloadKind::Binary => 2,
            });
            let (key, extras) = (publication.key.as_deref(), publication.extras.as_deref());
            out.push(flag(key.is_some(), HAS_KEY) | flag(extras.is_some(), HAS_EXTRAS));
            key.inspect(|key| short(key, out));
            extras.inspect(|extras| encode_extras(extras, out));
            out.extend_from_slice(&publication.payload);
        });
    }

    /// Appends the seed of the epochs of topics without publications.
    pub fn epochs(&mut self, epoch_seed: u64, out: &mut Vec<u8>) {
        self.record(EPOCHS, out, |out| out.extend_from_slice(&epoch_seed.to_le_bytes()));
    }

    /// Ends the snapshot. `is_clean` means that nothing will be published after it.
    pub fn end(mut self, is_clean: bool, out: &mut Vec<u8>) {
        let (topics, publications) = (self.topics, self.publications);
        let unpadded = self.len as usize + RECORD_LEN + 16;
        let end_check = self.record(END, out, |out| {
            out.extend_from_slice(&topics.to_le_bytes());
            out.extend_from_slice(&publications.to_le_bytes());
            out.resize(out.len() + unpadded.next_multiple_of(TAIL_LEN) - unpadded, 0);
        });
        debug_assert!(self.len.is_multiple_of(TAIL_LEN as u64), "the tail is changed in one write");
        out.extend_from_slice(&tail(VERSION, end_check, is_clean));
    }

    fn record(&mut self, kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> u64 {
        self.records += 1;
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, kind]);
        body(out);
        let len = (out.len() - start - 5) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        let check = check(VERSION, self.records, &[&out[start..]]);
        out.extend_from_slice(&check.to_le_bytes());
        self.len += (out.len() - start) as u64;
        check
    }
}

/// Writes the optional fields of a publication. `except` is left out: it names a connection of this process.
fn encode_extras(extras: &Extras, out: &mut Vec<u8>) {
    let Extras { event, attributes, is_passing, except: _ } = extras;
    let content_type = attributes.content_type.as_deref();
    let flags =
        flag(*is_passing, IS_PASSING) | flag(event.is_some(), HAS_EVENT) | flag(content_type.is_some(), HAS_TYPE);
    out.push(flags);
    event.as_deref().inspect(|event| short(event, out));
    content_type.inspect(|content_type| long(content_type, out));
    // There are at most `ATTRIBUTES_MAX`.
    out.push(attributes.pairs.len() as u8);
    for (name, value) in &attributes.pairs {
        short(name, out);
        long(value, out);
    }
}

fn flag(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

/// A text of at most 255 bytes: a key, an event, an attribute's name.
fn short(text: &str, out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// A text of at most `ATTRIBUTES_LEN_MAX` bytes.
fn long(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Bytes of a record without its body.
const RECORD_LEN: usize = 4 + 1 + 8;
