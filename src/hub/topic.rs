//! A topic in one shard, in 40 bytes. A topic with one reader and without a publication costs no more. Further parts
//! stand in slabs of the table.

use super::patterns::{PatternId, PatternTable};
use super::readers::{Readers, SubscriberKey};
use crate::command::ShardId;

/// The entry of the table.
#[derive(Debug)]
pub(super) struct Topic {
    pub name: ShortName,
    /// The upper half of the name's hash, so that a growing table need not read the names again.
    pub hash: u32,
    pub subscribers: Subscribers,
    pub state: State,
}

/// A name of up to 19 bytes, or where a longer one stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortName {
    /// 0 for a longer one: no name is empty.
    len: u8,
    bytes: [u8; SHORT_NAME_LEN_MAX],
}

impl ShortName {
    /// The name, if it is short enough.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; SHORT_NAME_LEN_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self { len: name.len() as u8, bytes })
    }

    /// Stands for a longer one.
    pub fn at(place: u32) -> Self {
        let mut bytes = [0; SHORT_NAME_LEN_MAX];
        bytes[..4].copy_from_slice(&place.to_le_bytes());
        Self { len: 0, bytes }
    }

    /// The bytes of the name, or the place of a longer one.
    pub fn read(&self) -> Result<&[u8], u32> {
        match self.len {
            0 => Err(u32::from_le_bytes([self.bytes[0], self.bytes[1], self.bytes[2], self.bytes[3]])),
            len => Ok(&self.bytes[..usize::from(len)]),
        }
    }
}

/// This shard's subscribers of a topic. *Held* are all of them, *readers* those that get what is said from now on; the
/// others are still joining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subscribers {
    /// Nobody.
    #[default]
    None,
    /// One that is held and no reader yet.
    Joining,
    /// One that is both: the common private topic.
    One(SubscriberKey),
    /// Any others, by their place.
    Many(u32),
}

/// The subscribers of a topic with more than one, or with none that joined in order.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    pub held: u32,
    pub readers: Readers,
}

/// The state of a topic beside its subscribers in this shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    #[default]
    Silent,
    /// It has its home here, no publication, and only ever one reader, in the shard `reader`.
    Private { reader: ShardId },
    /// It has its home elsewhere and a publication: the place of its [`Voice`].
    Voiced(u32),
    /// It has its home here: the place of its home, which has its voice.
    Home(u32),
}

/// The part of a topic that a shard needs if it delivers publications of the topic.
#[derive(Debug)]
pub(super) struct Voice {
    /// This turn's run, for the code that collects runs.
    pub run: Option<u32>,
    /// The state of the pattern table for which `matched` holds.
    matched_at: u32,
    matched: Box<[PatternId]>,
}

impl Default for Voice {
    fn default() -> Self {
        Self { run: None, matched_at: u32::MAX, matched: Box::default() }
    }
}

impl Voice {
    /// Every pattern that matches the topic of this name.
    pub fn match_patterns(&mut self, name: &str, patterns: &PatternTable, visits: &mut usize) -> &[PatternId] {
        *visits += 1;
        if self.matched_at != patterns.generation() {
            self.matched_at = patterns.generation();
            self.matched = patterns.matching(name, visits);
        }
        &self.matched
    }
}

/// Bytes of a name that stands in the entry itself.
const SHORT_NAME_LEN_MAX: usize = 19;

const _: () = assert!(size_of::<Topic>() == 40);
