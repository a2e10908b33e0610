//! What a reader has not got yet of topics where it would rather skip than wait, or where it asked for less than all.
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
use crate::command::{Mode, Publication, Rate, TopicName};
use crate::limits::LATEST_KEYS_MAX;
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
    /// Payload bytes that are kept alive, [`ITEM_COST`] for each reference included.
    len: usize,
}

/// What holds for a topic while it stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct Terms {
    pub mode: Mode,
    /// The rate, and what it counts for.
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

/// What a rate counts for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shard) enum LaneKey {
    /// All that one subscription brings.
    Subscription(TargetId),
    /// One topic, whose rule says so.
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
    /// The offset of what the reader was sent last.
    sent: u64,
    /// Oldest first; never empty, and the newest is never dropped but for its age.
    items: VecDeque<Arc<Publication>>,
    /// What they cost.
    len: usize,
    lane: Option<LaneKey>,
    max_age_ms: u32,
    /// The reader waits for everything since the mode was changed: nothing of it may be dropped.
    waits: bool,
}

impl TopicLag {
    /// How many items it has, if some may be dropped for the sake of others.
    fn spare(&self) -> Option<usize> {
        Some(self.items.len()).filter(|count| *count > 1 && !self.waits)
    }

    fn add(&mut self, publication: &Arc<Publication>) {
        self.len += cost(publication);
        self.items.push_back(Arc::clone(publication));
    }

    fn take(&mut self, at: usize) -> Option<Arc<Publication>> {
        let publication = self.items.remove(at)?;
        self.len -= cost(&publication);
        Some(publication)
    }

    /// Lets go what is too old; returns how many that were, and the offset behind the last of them.
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
    /// What to send; nothing if all that waited had grown too old.
    pub publication: Option<Arc<Publication>>,
    /// How many publications of the topic were left out before it.
    pub skipped: u64,
    /// The offset of the publication, or of the one that will come next.
    pub offset: u64,
    /// How many of those were let go just now.
    pub expired: u64,
}

/// What is kept is at its bound, and nothing of it may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Full;

impl Lag {
    /// Keeps a publication, and lets go what the mode does not need. `len_max` bounds what is kept beside the newest of
    /// each topic and key. Returns how many publications were let go.
    pub fn push(&mut self, publication: &Arc<Publication>, terms: &Terms, len_max: usize) -> Result<u64, Full> {
        let topic = &publication.topic;
        if terms.mode == Mode::Queue && self.len + cost(publication) > len_max {
            return Err(Full);
        }
        let key = terms.rate.as_ref().map(|(key, _)| key);
        let is_in_line = match self.topics.get_mut(topic) {
            Some(lag) => {
                // What the reader asks for may have changed since.
                lag.max_age_ms = terms.max_age_ms;
                let is_in_line = lag.lane.as_ref() == key;
                lag.lane = key.cloned();
                is_in_line
            }
            None => {
                let sent = publication.prev;
                let (lane, max_age_ms) = (key.cloned(), terms.max_age_ms);
                let lag = TopicLag { sent, items: VecDeque::new(), len: 0, lane, max_age_ms, waits: false };
                self.topics.insert(topic.clone(), lag);
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
            let same_key = |item: &Arc<Publication>| item.key == publication.key;
            let is_full = lag.items.len() >= LATEST_KEYS_MAX;
            let replaced = match terms.mode {
                Mode::Latest => lag.items.iter().rposition(same_key).or(is_full.then_some(0)),
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
        if is_empty {
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

    /// Whether the reader waits for all of something that stands here.
    pub fn waits(&self) -> bool {
        self.topics.values().any(|lag| lag.waits)
    }

    /// Whether the reader has caught up, and no rate has to be remembered.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.lanes.is_empty()
    }

    /// Bytes that it keeps alive.
    pub fn len(&self) -> usize {
        self.len
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
    publication.held_len() + ITEM_COST
}

/// Turns of topics that were let go which may stand in any lag.
const TURNS_SPARE: usize = 64;
/// What a reference counts beside its payload, so that empty publications are bounded too.
const ITEM_COST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Epoch, PayloadKind, Position};

    const NOW: MonoTime = MonoTime::from_nanos(10_000_000_000);

    fn publication(topic: &str, offset: u64, key: Option<&str>) -> Arc<Publication> {
        Arc::new(Publication { key: key.map(Box::from), ..copy(topic, offset) })
    }

    fn copy(topic: &str, offset: u64) -> Publication {
        Publication {
            topic: TopicName::parse(topic).expect("a valid name"),
            position: Position { epoch: Epoch(1), offset },
            prev: offset.saturating_sub(1),
            kind: PayloadKind::Text,
            payload: [b'x'; 84].into(),
            key: None,
            origin: None,
            time: MonoTime::ZERO,
            extras: None,
        }
    }

    fn drain(lag: &mut Lag) -> Vec<(String, u64, u64)> {
        let item = |item: Item| (item.topic.as_str().to_owned(), item.offset, item.skipped);
        std::iter::from_fn(|| lag.pop(NOW, NOW)).map(item).collect()
    }

    fn push(lag: &mut Lag, publication: &Arc<Publication>, mode: Mode, len_max: usize) {
        lag.push(publication, &Terms { mode, ..Terms::default() }, len_max).expect("these modes drop");
    }

    fn row(topic: &str, offset: u64, skipped: u64) -> (String, u64, u64) {
        (topic.to_owned(), offset, skipped)
    }

    #[test]
    fn latest_keeps_the_newest_of_each_topic_and_key() {
        let mut lag = Lag::default();
        for offset in 5..100 {
            push(&mut lag, &publication("a", offset, None), Mode::Latest, 1_000);
        }
        push(&mut lag, &publication("b", 1, Some("x")), Mode::Latest, 1_000);
        push(&mut lag, &publication("b", 2, Some("y")), Mode::Latest, 1_000);
        push(&mut lag, &publication("b", 3, Some("x")), Mode::Latest, 1_000);
        assert_eq!(lag.len(), 300);
        assert_eq!(drain(&mut lag), [row("a", 99, 94), row("b", 2, 1), row("b", 3, 0)]);
        assert_eq!((lag.is_empty(), lag.len), (true, 0));
    }

    #[test]
    fn drop_oldest_keeps_what_fits_and_the_newest_of_every_topic() {
        let mut lag = Lag::default();
        for offset in 1..=10 {
            push(&mut lag, &publication("a", offset, None), Mode::DropOldest, 300);
        }
        push(&mut lag, &publication("b", 1, None), Mode::DropOldest, 300);
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
                2..6 => drop(lag.pop(NOW, NOW)),
                roll => {
                    let mode = if roll < 12 { Mode::Latest } else { Mode::DropOldest };
                    push(&mut lag, &publication(&topic, offset, None), mode, 6_000);
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
            push(&mut lag, &publication("busy", offset, None), Mode::DropOldest, 10_000);
        }
        push(&mut lag, &publication("calm", 1, None), Mode::DropOldest, 10_000);
        assert_eq!(drain(&mut lag), [row("busy", 1, 0), row("calm", 1, 0), row("busy", 2, 0), row("busy", 3, 0)]);
    }

    fn rated(key: u32, per_second: f64) -> Option<(LaneKey, Rate)> {
        let target = TargetId::topic(crate::hub::TopicId(key));
        Some((LaneKey::Subscription(target), Rate::per_second(per_second).expect("a rate")))
    }

    /// How many items each of so many milliseconds brings.
    fn pops(lag: &mut Lag, from_ms: u64, count: u64) -> Vec<usize> {
        let at = |ms| MonoTime::from_nanos(ms * 1_000_000);
        (from_ms..from_ms + count).map(|ms| std::iter::from_fn(|| lag.pop(at(ms), at(ms))).count()).collect()
    }

    #[test]
    fn a_lane_lets_one_through_in_each_slot_and_is_forgotten_once_it_has_cooled_down() {
        let mut lag = Lag::default();
        let terms = Terms { mode: Mode::DropOldest, rate: rated(1, 500.0), ..Terms::default() };
        for offset in 1..=3 {
            lag.push(&publication("a", offset, None), &terms, 1_000).expect("it drops");
        }
        assert_eq!(pops(&mut lag, 100, 8), [1, 0, 1, 0, 1, 0, 0, 0]);
        assert!(lag.is_empty() && lag.next_due().is_none());
    }

    #[test]
    fn a_topic_with_a_rate_of_its_own_waits_for_that_of_its_subscription_too() {
        let mut lag = Lag::default();
        for (topic, key) in [("a", 2), ("b", 3)] {
            let terms =
                Terms { mode: Mode::DropOldest, rate: rated(key, 500.0), outer: rated(1, 250.0), ..Terms::default() };
            for offset in 1..=2 {
                lag.push(&publication(topic, offset, None), &terms, 1_000).expect("it drops");
            }
        }
        assert_eq!(pops(&mut lag, 100, 20).into_iter().filter(|count| *count > 0).count(), 4, "one each four");
        assert!(pops(&mut lag, 120, 10).iter().all(|count| *count == 0));
        assert!(lag.is_empty());
    }

    #[test]
    fn a_topic_whose_rate_is_lifted_goes_on_at_once_and_in_order() {
        let mut lag = Lag::default();
        let terms = Terms { mode: Mode::DropOldest, rate: rated(1, 1.0), ..Terms::default() };
        for offset in 1..=3 {
            lag.push(&publication("a", offset, None), &terms, 1_000).expect("it drops");
        }
        assert_eq!(pops(&mut lag, 100, 3), [1, 0, 0]);
        lag.push(&publication("a", 4, None), &Terms::default(), 1_000).expect("there is room");
        assert_eq!(pops(&mut lag, 103, 1), [3]);
    }

    #[test]
    fn what_is_too_old_is_let_go_from_the_oldest_on() {
        let mut lag = Lag::default();
        let terms = Terms { mode: Mode::DropOldest, max_age_ms: 50, ..Terms::default() };
        for offset in 1..=4 {
            let said = Publication { time: MonoTime::from_nanos(offset * 40_000_000), ..copy("a", offset) };
            lag.push(&Arc::new(said), &terms, 1_000).expect("it drops");
        }
        let now = MonoTime::from_nanos(165_000_000);
        let item = lag.pop(now, now).expect("the third is young");
        assert_eq!((item.offset, item.skipped, item.expired), (3, 2, 2));
        let later = MonoTime::from_nanos(300_000_000);
        let item = lag.pop(later, later).expect("what is let go is told");
        assert_eq!((item.publication, item.offset, item.skipped, item.expired), (None, 5, 1, 1));
        assert!(lag.pop(later, later).is_none() && lag.is_empty());
    }

    #[test]
    fn what_a_reader_has_come_to_wait_for_is_not_dropped_for_anything_else() {
        let mut lag = Lag::default();
        push(&mut lag, &publication("a", 1, None), Mode::DropOldest, 1_000);
        for offset in 2..=4 {
            push(&mut lag, &publication("a", offset, None), Mode::Queue, 1_000);
        }
        for offset in 1..=3 {
            push(&mut lag, &publication("b", offset, None), Mode::DropOldest, 600);
        }
        assert!(lag.waits());
        assert_eq!(lag.keep_newest(), 1, "of b, which had two left");
        assert_eq!(drain(&mut lag), [row("a", 1, 0), row("b", 3, 2), row("a", 2, 0), row("a", 3, 0), row("a", 4, 0)]);
        assert!(!lag.waits() && lag.crowded.is_empty());
    }

    #[test]
    fn a_reader_that_waits_for_everything_is_full_at_its_bound() {
        let mut lag = Lag::default();
        lag.push(&publication("a", 1, None), &Terms::default(), 150).expect("there is room");
        assert_eq!(lag.push(&publication("a", 2, None), &Terms::default(), 150), Err(Full));
    }
}
