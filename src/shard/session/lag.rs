//! The publications that a reader has not got yet, of topics in mode `drop_oldest` or `latest` and of topics with a
//! rate.
//!
//! A reader that keeps up and asked for no rate is like any other: it gets every run as it is. Only what comes while it
//! is behind, or too fast for its rate, stands here, as references to publications and not yet encoded: in mode `latest`
//! the newest of each topic and key, in mode `drop_oldest` as much as the outbox may hold. When the reader has taken what
//! it was sent, topics take turns, so that a busy one does not starve the others. What was skipped shows in the offsets.
//!
//! A reader has one lag, whatever it follows, so that a topic's messages stay in order. A topic with a rate stands in the
//! lane of its rate; all others are free.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use slab::Slab;

use super::subscription::TargetId;
use crate::command::{Mode, Position, Publication, Rate, TopicName};
use crate::limits::{LAG_ENTRY_COST, LAG_KEY_COST, LAG_TOPIC_COST, LATEST_KEYS_INDEXED, LATEST_KEYS_MAX};
use crate::shard::slot::Slot;
use crate::time::MonoTime;

/// One reader's lag. It exists only while the reader is behind, or has just got what its rate allows.
#[derive(Debug, Default)]
pub(in crate::shard) struct Lag {
    topics: BTreeMap<TopicName, TopicLag>,
    /// Topics without a rate: the one whose turn it is stands first; one that was let go may still stand here.
    turns: VecDeque<TopicName>,
    /// Topics with a rate, by what sets it.
    lanes: BTreeMap<LaneKey, Lane>,
    /// Every lane, by when it may be looked at again.
    due: BTreeSet<(MonoTime, LaneKey)>,
    /// Lanes and topics without one take turns as well.
    is_lanes_turn: bool,
    /// Topics with more than one item that skip, by how many, so that whatever they are, the fullest is found at once.
    crowded: BTreeSet<(usize, TopicName)>,
    /// Bytes of topics, references, and the publications that they keep alive.
    len: usize,
}

/// The terms of a topic while it is in the lag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct Terms {
    pub mode: Mode,
    /// The rate, and the topics that share it.
    pub rate: Option<(LaneKey, Rate)>,
    /// The rate of the subscription, where the other is the topic's own.
    pub outer: Option<(LaneKey, Rate)>,
    /// In milliseconds; 0 for any age.
    pub max_age_ms: u32,
}

impl Terms {
    /// Whether the reader skips rather than waits.
    pub fn skips(&self) -> bool {
        self.mode != Mode::Queue
    }
}

/// The topics that share a rate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shard) enum LaneKey {
    /// All that one subscription brings.
    Subscription(TargetId),
    /// One topic, by its rule.
    Topic(TopicName),
}

/// Topics that share a rate.
#[derive(Debug)]
struct Lane {
    rate: Rate,
    /// Nothing goes out before.
    free_at: MonoTime,
    outer: Option<(LaneKey, Rate)>,
    turns: VecDeque<TopicName>,
    /// Under which time it stands in `due`.
    due: MonoTime,
}

#[derive(Debug)]
struct TopicLag {
    /// The offset of the publication that the reader was sent last.
    sent: u64,
    /// Oldest first; never empty, and the newest is never dropped but for its age.
    items: VecDeque<Arc<Publication>>,
    /// The position of the newest with each key. It exists once many are looked through in mode `latest`, until few are
    /// left.
    keys: Option<Box<Keys>>,
    /// The bytes that items and keys count.
    len: usize,
    lane: Option<LaneKey>,
    max_age_ms: u32,
    /// The reader waits for everything since the mode was changed: nothing of it may be dropped.
    waits: bool,
}

type Keys = BTreeMap<Option<Box<str>>, Position>;

impl TopicLag {
    /// The place of the newest item with a key.
    fn find(&self, key: &Option<Box<str>>) -> Option<usize> {
        let Some(keys) = &self.keys else { return self.items.iter().rposition(|item| item.key == *key) };
        let position = keys.get(key)?;
        let place = self.items.partition_point(|item| item.position.offset < position.offset);
        // A topic that ended begins to count anew, and then they are in no order.
        let is_it = |item: &Arc<Publication>| item.position == *position && item.key == *key;
        if self.items.get(place).is_some_and(is_it) { Some(place) } else { self.items.iter().rposition(is_it) }
    }

    /// Begins to keep the position of each key, if there are many.
    fn index_keys(&mut self) {
        if self.keys.is_none() && self.items.len() > LATEST_KEYS_INDEXED {
            let keys: Keys = self.items.iter().map(|item| (item.key.clone(), item.position)).collect();
            self.len += keys.keys().map(key_cost).sum::<usize>();
            self.keys = Some(Box::new(keys));
        }
    }

    /// How many items it has, if some may be dropped for the sake of others.
    fn spare(&self) -> Option<usize> {
        Some(self.items.len()).filter(|count| *count > 1 && !self.waits)
    }

    fn add(&mut self, publication: &Arc<Publication>) {
        self.len += cost(publication);
        self.items.push_back(Arc::clone(publication));
        if let Some(keys) = &mut self.keys
            && keys.insert(publication.key.clone(), publication.position).is_none()
        {
            self.len += key_cost(&publication.key);
        }
    }

    fn take(&mut self, at: usize) -> Option<Arc<Publication>> {
        let publication = self.items.remove(at)?;
        self.len -= cost(&publication);
        if let Some(keys) = &mut self.keys {
            if keys.get(&publication.key) == Some(&publication.position) {
                keys.remove(&publication.key);
                self.len -= key_cost(&publication.key);
            }
            if self.items.len() <= LATEST_KEYS_INDEXED / 2 {
                self.len -= keys.keys().map(key_cost).sum::<usize>();
                self.keys = None;
            }
        }
        Some(publication)
    }

    /// Drops publications that are too old; returns their number, and the offset behind the last of them.
    fn expire(&mut self, now: MonoTime) -> (u64, u64) {
        let age_max = u128::from(self.max_age_ms);
        let is_old = |item: &Arc<Publication>| age_max > 0 && now.since(item.time).as_millis() > age_max;
        let count = self.items.iter().take_while(|item| is_old(item)).count();
        let end = count.checked_sub(1).map_or(0, |last| self.items[last].position.offset + 1);
        (0..count).for_each(|_| drop(self.take(0)));
        (count as u64, end)
    }
}

/// The next thing to tell.
#[derive(Debug)]
pub(in crate::shard) struct Item {
    pub topic: TopicName,
    /// The publication to send; `None` if all that waited had grown too old.
    pub publication: Option<Arc<Publication>>,
    /// How many publications of the topic were left out before it.
    pub skipped: u64,
    /// The offset of the publication, or of the one that will come next.
    pub offset: u64,
    /// How many of those were let go just now.
    pub expired: u64,
}

/// The lag is at its bound, and nothing in it may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Full;

impl Lag {
    /// Keeps a publication, and drops those that the mode does not need. `len_max` bounds the bytes kept beside the
    /// newest of each topic and key. Returns how many publications were let go.
    pub fn push(&mut self, publication: &Arc<Publication>, terms: &Terms, len_max: usize) -> Result<u64, Full> {
        let topic = &publication.topic;
        if terms.mode == Mode::Queue && self.len + cost(publication) > len_max {
            return Err(Full);
        }
        let key = terms.rate.as_ref().map(|(key, _)| key);
        let is_in_line = match self.topics.get_mut(topic) {
            Some(lag) => {
                // The reader may have changed its options since.
                lag.max_age_ms = terms.max_age_ms;
                let is_in_line = lag.lane.as_ref() == key;
                lag.lane = key.cloned();
                is_in_line
            }
            None => {
                let sent = publication.prev;
                let (lane, max_age_ms) = (key.cloned(), terms.max_age_ms);
                let items = VecDeque::new();
                let lag = TopicLag { sent, items, keys: None, len: 0, lane, max_age_ms, waits: false };
                self.topics.insert(topic.clone(), lag);
                self.len += LAG_TOPIC_COST;
                false
            }
        };
        if !is_in_line {
            self.line_up(topic, terms);
            self.tidy_turns();
        }
        let mut dropped = 0;
        self.change(topic, |lag| {
            lag.waits = terms.mode == Mode::Queue;
            let is_full = lag.items.len() >= LATEST_KEYS_MAX;
            let replaced = match terms.mode {
                Mode::Latest => {
                    lag.index_keys();
                    lag.find(&publication.key).or(is_full.then_some(0))
                }
                _ => None,
            };
            dropped += u64::from(replaced.and_then(|at| lag.take(at)).is_some());
            lag.add(publication);
        });
        while terms.mode != Mode::Queue && self.len > len_max {
            // Its own topic first, then whichever has most; the newest of each topic stays.
            let has_spare = self.topics.get(topic).is_some_and(|lag| lag.items.len() > 1);
            let fullest = || self.crowded.last().map(|(_, fullest)| fullest.clone());
            let Some(from) = (if has_spare { Some(topic.clone()) } else { fullest() }) else { break };
            self.change(&from, |lag| dropped += u64::from(lag.take(0).is_some()));
        }
        Ok(dropped)
    }

    /// Puts a topic behind the others of its lane.
    fn line_up(&mut self, topic: &TopicName, terms: &Terms) {
        let Some((key, rate)) = &terms.rate else { return self.turns.push_back(topic.clone()) };
        let lane = self.open_lane(key, *rate);
        lane.outer.clone_from(&terms.outer);
        lane.turns.push_back(topic.clone());
    }

    fn open_lane(&mut self, key: &LaneKey, rate: Rate) -> &mut Lane {
        let due = &mut self.due;
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| {
            due.insert((MonoTime::ZERO, key.clone()));
            Lane { rate, free_at: MonoTime::ZERO, outer: None, turns: VecDeque::new(), due: MonoTime::ZERO }
        });
        lane.rate = rate;
        lane
    }

    /// Takes the next thing to tell; topics take turns. `until` is `now`, or the end of time for a reader that is told
    /// everything at once.
    pub fn pop(&mut self, now: MonoTime, until: MonoTime) -> Option<Item> {
        let topic = self.next_topic(until)?;
        let (mut item, mut lane) = (None, None);
        self.change(&topic, |lag| {
            lane.clone_from(&lag.lane);
            let (expired, end) = lag.expire(now);
            let publication = lag.take(0);
            let offset = publication.as_ref().map_or(end, |next| next.position.offset);
            // Nothing is left out before one that names what the reader has, whatever the numbers are.
            let follows = publication.as_ref().is_some_and(|next| next.prev == lag.sent);
            let skipped = if follows { 0 } else { offset.saturating_sub(lag.sent + 1) };
            lag.sent = publication.as_ref().map_or(offset.saturating_sub(1), |next| next.position.offset);
            item = Some(Item { topic: topic.clone(), publication, skipped, offset, expired });
        });
        if self.topics.contains_key(&topic) {
            match lane.and_then(|lane| self.lanes.get_mut(&lane)) {
                Some(lane) => lane.turns.push_back(topic),
                None => self.turns.push_back(topic),
            }
        }
        item
    }

    /// The topic whose turn it is: of the lanes and of the others by turns.
    fn next_topic(&mut self, until: MonoTime) -> Option<TopicName> {
        self.is_lanes_turn = !self.is_lanes_turn;
        if self.is_lanes_turn {
            self.next_of_lanes(until).or_else(|| self.next_free())
        } else {
            self.next_free().or_else(|| self.next_of_lanes(until))
        }
    }

    fn next_free(&mut self) -> Option<TopicName> {
        loop {
            let topic = self.turns.pop_front()?;
            if self.topics.get(&topic).is_some_and(|lag| lag.lane.is_none()) {
                return Some(topic);
            }
        }
    }

    /// The next topic of the lane that was due first, which is then due again in its next slot.
    fn next_of_lanes(&mut self, until: MonoTime) -> Option<TopicName> {
        loop {
            if self.due.first()?.0 > until {
                return None;
            }
            let (_, key) = self.due.pop_first()?;
            let topics = &self.topics;
            let is_here = |topic: &TopicName| topics.get(topic).is_some_and(|lag| lag.lane.as_ref() == Some(&key));
            let lane = self.lanes.get_mut(&key).expect("what is due is a lane");
            while lane.turns.front().is_some_and(|topic| !is_here(topic)) {
                lane.turns.pop_front();
            }
            let (free_at, outer, is_idle) = (lane.free_at, lane.outer.clone(), lane.turns.is_empty());
            let outer_free_at = outer.as_ref().and_then(|(outer, _)| self.lanes.get(outer)).map(|outer| outer.free_at);
            let free_at = free_at.max(outer_free_at.unwrap_or(MonoTime::ZERO));
            if free_at > until {
                self.rest(&key, free_at);
            } else if is_idle {
                self.lanes.remove(&key);
            } else {
                if let Some((outer, rate)) = outer {
                    self.spend(&outer, rate, until);
                }
                let rate = self.lanes[&key].rate;
                self.spend(&key, rate, until);
                return self.lanes.get_mut(&key).and_then(|lane| lane.turns.pop_front());
            }
        }
    }

    /// Takes a lane's slot.
    fn spend(&mut self, key: &LaneKey, rate: Rate, now: MonoTime) {
        let next = rate.next_slot(now);
        let lane = self.open_lane(key, rate);
        lane.free_at = next;
        let due = lane.due;
        self.due.remove(&(due, key.clone()));
        self.rest(key, next);
    }

    /// Looks at a lane again at a time.
    fn rest(&mut self, key: &LaneKey, until: MonoTime) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.due = until;
            self.due.insert((until, key.clone()));
        }
    }

    /// When there is something to take, or to forget.
    pub fn next_due(&self) -> Option<MonoTime> {
        if self.turns.is_empty() { self.due.first().map(|(due, _)| *due) } else { Some(MonoTime::ZERO) }
    }

    /// Changes the items of a topic, keeps count, and lets the topic go with its last item.
    fn change(&mut self, topic: &TopicName, change: impl FnOnce(&mut TopicLag)) {
        let Some(lag) = self.topics.get_mut(topic) else { return };
        let (len_before, spare_before) = (lag.len, lag.spare());
        change(lag);
        let (is_empty, spare) = (lag.items.is_empty(), lag.spare());
        self.len = self.len - len_before + lag.len;
        if let Some(count) = spare_before {
            self.crowded.remove(&(count, topic.clone()));
        }
        if let Some(count) = spare {
            self.crowded.insert((count, topic.clone()));
        }
        if is_empty && self.topics.remove(topic).is_some() {
            self.len -= LAG_TOPIC_COST;
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
            (lag.keys, lag.len) = (None, 0);
        });
    }

    /// Forgets the turns of topics that were let go, before they outnumber the others.
    fn tidy_turns(&mut self) {
        let turns_max = 2 * self.topics.len() + TURNS_SPARE;
        let topics = &self.topics;
        let tidy = |turns: &mut VecDeque<TopicName>, lane: Option<&LaneKey>| {
            if turns.len() > turns_max {
                let mut seen = BTreeSet::new();
                let is_here = |topic: &TopicName| topics.get(topic).is_some_and(|lag| lag.lane.as_ref() == lane);
                turns.retain(|topic| is_here(topic) && seen.insert(topic.clone()));
            }
        };
        tidy(&mut self.turns, None);
        self.lanes.iter_mut().for_each(|(target, lane)| tidy(&mut lane.turns, Some(target)));
    }

    /// Lets go every topic that is not wanted any more.
    pub fn retain(&mut self, wanted: impl Fn(&TopicName) -> bool) {
        let unwanted: Vec<TopicName> = self.topics.keys().filter(|topic| !wanted(topic)).cloned().collect();
        unwanted.iter().for_each(|topic| self.forget_topic(topic));
    }

    /// Lets go all but the newest of each topic that skips; returns how many that were.
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

    /// Whether the reader has caught up, and no rate has to be remembered.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.lanes.is_empty()
    }

    /// Bytes that it keeps alive.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its part of them: what is kept by several counts in equal parts for each. An estimate from some of it, so that a
    /// large lag takes no longer than a small one.
    pub fn own_len(&self) -> usize {
        let topics_len = self.topics.len() * LAG_TOPIC_COST;
        let (mut all, mut own) = (0, 0);
        for lag in self.topics.values().step_by(self.topics.len().div_ceil(SAMPLED_TOPICS).max(1)) {
            let step = lag.items.len().div_ceil(SAMPLED_ITEMS).max(1);
            for item in lag.items.iter().step_by(step) {
                all += step * cost(item);
                own += step * (LAG_ENTRY_COST + item.cost() / Arc::strong_count(item));
            }
        }
        let items_len = self.len - topics_len;
        topics_len + (items_len as u128 * own as u128 / all.max(1) as u128) as usize
    }
}

/// The lag of a slot, made if there is none.
pub(in crate::shard) fn ensure<'a>(lags: &'a mut Slab<Lag>, slot: &mut Slot) -> &'a mut Lag {
    let index = slot.index().unwrap_or_else(|| {
        let index = lags.insert(Lag::default());
        *slot = Slot::new(index);
        index
    });
    &mut lags[index]
}

fn cost(publication: &Arc<Publication>) -> usize {
    publication.cost() + LAG_ENTRY_COST
}

fn key_cost(key: &Option<Box<str>>) -> usize {
    LAG_KEY_COST + key.as_ref().map_or(0, |key| key.len())
}

/// Turns of topics that were let go which may stand in any lag.
const TURNS_SPARE: usize = 64;
/// Topics of a lag, and publications of each, that are looked at to estimate how much of it others keep as well.
const SAMPLED_TOPICS: usize = 256;
const SAMPLED_ITEMS: usize = 64;

#[cfg(test)]
mod tests;
