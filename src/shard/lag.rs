//! What a reader that cannot keep up has not got yet, of topics where it would rather skip than wait.
//!
//! While such a reader keeps up it is like any other: it gets every run as it is. Only what comes while it is behind
//! stands here, as references to publications and not yet encoded: in mode `latest` the newest of each topic and key,
//! in mode `drop_oldest` as much as the outbox may hold. When the reader has taken what it was sent, topics take turns, so
//! that a busy one does not starve the others. What was skipped shows in the offsets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use slab::Slab;

use super::conn::Slot;
use crate::command::{Mode, Publication, TopicName};
use crate::limits::LATEST_KEYS_MAX;

/// One reader's lag. It exists only while the reader is behind.
#[derive(Debug, Default)]
pub(super) struct Lag {
    topics: BTreeMap<TopicName, TopicLag>,
    /// The topic whose turn it is stands first; one that was let go may still stand here.
    turns: VecDeque<TopicName>,
    /// Topics with more than one item, by how many, so that whatever they are, the fullest is found at once.
    crowded: BTreeSet<(usize, TopicName)>,
    /// Payload bytes that are kept alive, [`ITEM_COST`] for each reference included.
    len: usize,
}

#[derive(Debug)]
struct TopicLag {
    /// The offset that follows what the reader was sent.
    next_offset: u64,
    /// Oldest first; never empty, and the newest is never dropped.
    items: VecDeque<Arc<Publication>>,
    /// What they cost.
    len: usize,
}

impl TopicLag {
    fn add(&mut self, publication: &Arc<Publication>) {
        self.len += cost(publication);
        self.items.push_back(Arc::clone(publication));
    }

    fn take(&mut self, at: usize) -> Option<Arc<Publication>> {
        let publication = self.items.remove(at)?;
        self.len -= cost(&publication);
        Some(publication)
    }
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
        let topic = &publication.topic;
        if !self.topics.contains_key(topic) {
            let lag = TopicLag { next_offset: publication.position.offset, items: VecDeque::new(), len: 0 };
            self.topics.insert(topic.clone(), lag);
            self.turns.push_back(topic.clone());
            self.tidy_turns();
        }
        let mut dropped = 0;
        self.change(topic, |lag| {
            let same_key = |item: &Arc<Publication>| item.key == publication.key;
            let is_full = lag.items.len() >= LATEST_KEYS_MAX;
            let replaced = match mode {
                Mode::Latest => lag.items.iter().rposition(same_key).or(is_full.then_some(0)),
                _ => None,
            };
            dropped += u64::from(replaced.and_then(|at| lag.take(at)).is_some());
            lag.add(publication);
        });
        while self.len > len_max {
            // Its own topic first, then whichever has most; the newest of each topic stays.
            let has_spare = self.topics.get(topic).is_some_and(|lag| lag.items.len() > 1);
            let fullest = || self.crowded.last().map(|(_, fullest)| fullest.clone());
            let Some(from) = (if has_spare { Some(topic.clone()) } else { fullest() }) else { break };
            self.change(&from, |lag| dropped += u64::from(lag.take(0).is_some()));
        }
        dropped
    }

    /// Takes the next publication; topics take turns.
    pub fn pop(&mut self) -> Option<Item> {
        let topic = loop {
            let topic = self.turns.pop_front()?;
            if self.topics.contains_key(&topic) {
                break topic;
            }
        };
        let mut item = None;
        self.change(&topic, |lag| {
            let Some(publication) = lag.take(0) else { return };
            let skipped = publication.position.offset.saturating_sub(lag.next_offset);
            lag.next_offset = publication.position.offset + 1;
            item = Some(Item { publication, skipped });
        });
        if self.topics.contains_key(&topic) {
            self.turns.push_back(topic);
        }
        item
    }

    /// Changes the items of a topic, keeps count, and lets the topic go with its last item.
    fn change(&mut self, topic: &TopicName, change: impl FnOnce(&mut TopicLag)) {
        let Some(lag) = self.topics.get_mut(topic) else { return };
        let (len_before, count_before) = (lag.len, lag.items.len());
        change(lag);
        let count = lag.items.len();
        self.len = self.len - len_before + lag.len;
        if count_before > 1 {
            self.crowded.remove(&(count_before, topic.clone()));
        }
        if count > 1 {
            self.crowded.insert((count, topic.clone()));
        }
        if count == 0 {
            self.topics.remove(topic);
        }
    }

    /// The newest offset of a topic that stands here.
    pub fn newest(&self, topic: &TopicName) -> Option<u64> {
        self.topics.get(topic)?.items.back().map(|item| item.position.offset)
    }

    /// Lets a topic go.
    pub fn forget_topic(&mut self, topic: &TopicName) {
        self.change(topic, |lag| {
            lag.items.clear();
            lag.len = 0;
        });
    }

    /// Forgets the turns of topics that were let go, before they outnumber the others.
    fn tidy_turns(&mut self) {
        if self.turns.len() > 2 * self.topics.len() + TURNS_SPARE {
            let mut seen = BTreeSet::new();
            self.turns.retain(|topic| self.topics.contains_key(topic) && seen.insert(topic.clone()));
        }
    }

    /// Lets go every topic that is not wanted any more.
    pub fn retain(&mut self, wanted: impl Fn(&TopicName) -> bool) {
        let unwanted: Vec<TopicName> = self.topics.keys().filter(|topic| !wanted(topic)).cloned().collect();
        unwanted.iter().for_each(|topic| self.forget_topic(topic));
    }

    /// Lets go all but the newest of each topic; returns how many that were.
    pub fn keep_newest(&mut self) -> u64 {
        let mut dropped = 0;
        while let Some((_, topic)) = self.crowded.last().cloned() {
            self.change(&topic, |lag| {
                while lag.items.len() > 1 {
                    dropped += u64::from(lag.take(0).is_some());
                }
            });
        }
        dropped
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

/// Turns of topics that were let go which may stand in any lag.
const TURNS_SPARE: usize = 64;
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
    fn the_counts_stay_true_whatever_comes_and_goes() {
        let seed = 0x5eed_0005;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut lag = Lag::default();
        for offset in 1..20_000 {
            let topic = format!("t.{}", rng.u8(0..50));
            match rng.u8(0..20) {
                0 => lag.forget_topic(&TopicName::parse(&topic).expect("a valid name")),
                1 => lag.retain(|topic| topic.as_str().len() % 2 == 0),
                2..6 => drop(lag.pop()),
                roll => {
                    let mode = if roll < 12 { Mode::Latest } else { Mode::DropOldest };
                    lag.push(&publication(&topic, offset, None), mode, 6_000);
                }
            }
            let items = || lag.topics.values().flat_map(|topic| &topic.items);
            assert_eq!(lag.len, items().map(cost).sum::<usize>());
            assert!(lag.len <= 6_000, "fifty of a hundred bytes, and ten more, fit");
            let crowded: BTreeSet<_> = lag.topics.iter().map(|(topic, lag)| (lag.items.len(), topic.clone())).collect();
            assert_eq!(lag.crowded, crowded.into_iter().filter(|(count, _)| *count > 1).collect());
            assert!(lag.turns.len() <= 2 * lag.topics.len().max(50) + TURNS_SPARE + 1);
        }
        drain(&mut lag);
        assert!(lag.is_empty() && lag.len == 0 && lag.turns.is_empty() && lag.crowded.is_empty());
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
