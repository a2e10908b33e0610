//! What a reader that cannot keep up has not got yet, of topics where it would rather skip than wait.
//!
//! While such a reader keeps up it is like any other: it gets every run as it is. Only what comes while it is behind
//! stands here, as references to publications and not yet encoded: in mode `latest` the newest of each topic and key,
//! in mode `drop_oldest` as much as the outbox may hold. When the reader has taken what it was sent, topics take turns, so
//! that a busy one does not starve the others. What was skipped shows in the offsets.

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;

use super::conn::Slot;
use crate::command::{Mode, Publication, TopicName};
use crate::limits::LATEST_KEYS_MAX;

/// One reader's lag. It exists only while the reader is behind.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// The topic whose turn it is stands first.
    topics: VecDeque<TopicLag>,
    /// Payload bytes that are kept alive, [`ITEM_COST`] for each reference included.
    len: usize,
}

#[derive(Debug)]
struct TopicLag {
    topic: TopicName,
    /// The offset that follows what the reader was sent.
    next_offset: u64,
    /// Oldest first; never empty, and the newest is never dropped.
    items: VecDeque<Arc<Publication>>,
}

/// The next thing to send.
#[derive(Debug)]
pub(super) struct Item {
    pub publication: Arc<Publication>,
    /// How many publications of the topic were left out before it.
    pub skipped: u64,
}

impl Lag {
    /// Keeps a publication, and lets go what the mode does not need. `len_max` bounds what `drop_oldest` keeps. Returns
    /// how many publications were let go.
    pub fn push(&mut self, publication: &Arc<Publication>, mode: Mode, len_max: usize) -> u64 {
        let at = self.topics.iter().position(|lag| lag.topic == publication.topic).unwrap_or_else(|| {
            let (topic, next_offset) = (publication.topic.clone(), publication.position.offset);
            self.topics.push_back(TopicLag { topic, next_offset, items: VecDeque::new() });
            self.topics.len() - 1
        });
        let mut dropped = 0;
        let lag = &mut self.topics[at];
        if mode == Mode::Latest {
            let same_key = |item: &Arc<Publication>| item.key == publication.key;
            let old = lag.items.iter().rposition(same_key).or((lag.items.len() >= LATEST_KEYS_MAX).then_some(0));
            if let Some(item) = old.and_then(|old| lag.items.remove(old)) {
                self.len -= cost(&item);
                dropped += 1;
            }
        }
        lag.items.push_back(Arc::clone(publication));
        self.len += cost(publication);
        while self.len > len_max {
            // Its own topic first, then whichever has most to spare; the newest of each topic stays.
            let spare = |at: &usize| self.topics[*at].items.len().saturating_sub(1);
            let from = if spare(&at) > 0 { Some(at) } else { (0..self.topics.len()).max_by_key(spare) };
            let Some(from) = from.filter(|from| spare(from) > 0) else { break };
            if let Some(item) = self.topics[from].items.pop_front() {
                self.len -= cost(&item);
                dropped += 1;
            }
        }
        dropped
    }

    /// Takes the next publication; topics take turns.
    pub fn pop(&mut self) -> Option<Item> {
        let mut lag = self.topics.pop_front()?;
        let publication = lag.items.pop_front()?;
        self.len -= cost(&publication);
        let skipped = publication.position.offset.saturating_sub(lag.next_offset);
        lag.next_offset = publication.position.offset + 1;
        if !lag.items.is_empty() {
            self.topics.push_back(lag);
        }
        Some(Item { publication, skipped })
    }

    /// The newest offset of a topic that stands here.
    pub fn newest(&self, topic: &TopicName) -> Option<u64> {
        let lag = self.topics.iter().find(|lag| lag.topic == *topic)?;
        lag.items.back().map(|item| item.position.offset)
    }

    /// Lets go every topic that is not wanted any more.
    pub fn retain(&mut self, mut wanted: impl FnMut(&TopicName) -> bool) {
        self.topics.retain(|lag| wanted(&lag.topic));
        self.len = self.topics.iter().flat_map(|lag| &lag.items).map(cost).sum();
    }

    /// Whether the reader has caught up.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Bytes that it keeps alive.
    pub fn len(&self) -> usize {
        self.len
    }
}

/// The lag of a slot, made if there is none.
pub(super) fn ensure<'a>(lags: &'a mut Slab<Lag>, slot: &mut Slot) -> &'a mut Lag {
    let index = slot.index().unwrap_or_else(|| {
        let index = lags.insert(Lag::default());
        *slot = Slot::new(index);
        index
    });
    &mut lags[index]
}

fn cost(publication: &Arc<Publication>) -> usize {
    publication.payload.len() + ITEM_COST
}

/// What a reference counts beside its payload, so that empty publications are bounded too.
const ITEM_COST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, PayloadKind, Position};
    use crate::time::MonoTime;

    fn publication(topic: &str, offset: u64, key: Option<&str>) -> Arc<Publication> {
        Arc::new(Publication {
            topic: TopicName::parse(topic).expect("a valid name"),
            position: Position { epoch: Epoch(1), offset },
            kind: PayloadKind::Text,
            payload: [b'x'; 84].into(),
            key: key.map(Box::from),
            origin: None,
            time: MonoTime::ZERO,
        })
    }

    fn drain(lag: &mut Lag) -> Vec<(String, u64, u64)> {
        let item = |item: Item| {
            let topic = item.publication.topic.as_str().to_owned();
            (topic, item.publication.position.offset, item.skipped)
        };
        std::iter::from_fn(|| lag.pop()).map(item).collect()
    }

    fn row(topic: &str, offset: u64, skipped: u64) -> (String, u64, u64) {
        (topic.to_owned(), offset, skipped)
    }

    #[test]
    fn latest_keeps_the_newest_of_each_topic_and_key() {
        let mut lag = Lag::default();
        for offset in 5..100 {
            lag.push(&publication("a", offset, None), Mode::Latest, 1_000);
        }
        lag.push(&publication("b", 1, Some("x")), Mode::Latest, 1_000);
        lag.push(&publication("b", 2, Some("y")), Mode::Latest, 1_000);
        lag.push(&publication("b", 3, Some("x")), Mode::Latest, 1_000);
        assert_eq!(lag.len(), 300);
        assert_eq!(drain(&mut lag), [row("a", 99, 94), row("b", 2, 1), row("b", 3, 0)]);
        assert_eq!((lag.is_empty(), lag.len), (true, 0));
    }

    #[test]
    fn drop_oldest_keeps_what_fits_and_the_newest_of_every_topic() {
        let mut lag = Lag::default();
        for offset in 1..=10 {
            lag.push(&publication("a", offset, None), Mode::DropOldest, 300);
        }
        lag.push(&publication("b", 1, None), Mode::DropOldest, 300);
        assert_eq!(lag.len(), 300);
        assert_eq!(drain(&mut lag), [row("a", 9, 8), row("b", 1, 0), row("a", 10, 0)]);
    }

    #[test]
    fn topics_take_turns() {
        let mut lag = Lag::default();
        for offset in 1..=3 {
            lag.push(&publication("busy", offset, None), Mode::DropOldest, 10_000);
        }
        lag.push(&publication("calm", 1, None), Mode::DropOldest, 10_000);
        assert_eq!(drain(&mut lag), [row("busy", 1, 0), row("calm", 1, 0), row("busy", 2, 0), row("busy", 3, 0)]);
    }
}
